"""Which stores the caller may act for."""

from services.chassis import auth
from services.promotions import errors


def require_store(store_id: str) -> None:
    """Raise StoreNotAllowed unless the caller's token is for the store."""
    if not auth.current().may_act_for(store_id):
        raise errors.StoreNotAllowed(store_id=store_id)
