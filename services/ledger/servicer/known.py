"""What calls name and must exist."""

from services.ledger import engine, errors
from services.ledger.storage import Assets


async def asset(assets: Assets, code: str) -> engine.Asset:
    """Return an asset. Raises AssetNotFound."""
    found = (await assets.get([code])).get(code)
    if found is None:
        raise errors.AssetNotFound(asset_code=code)
    return found
