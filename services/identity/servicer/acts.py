"""What the caller does, for the record."""

from collections.abc import Mapping
from datetime import datetime

from services.chassis import auth
from services.identity import storage


def act(
    action: str,
    subject_id: str,
    detail: Mapping[str, str | int | list[str]] | None = None,
    *,
    now: datetime,
) -> storage.Entry:
    """Return an act of the caller: `action` is `noun.verb`, `detail` names no person."""
    return storage.Entry(
        act_time=now,
        client_id=auth.current().client_id,
        action=action,
        subject_id=subject_id,
        detail=detail or {},
    )
