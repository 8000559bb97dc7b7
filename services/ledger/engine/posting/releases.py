"""Releases: what is pending becomes active before its time."""

from services.ledger import errors
from services.ledger.engine import assets
from services.ledger.engine.accounts import Lot
from services.ledger.engine.batches import Moved, OperationResult, Other, Release
from services.ledger.engine.posting.draft import Draft


def release(draft: Draft, order: Release, moved: Moved) -> None:
    """Make the pending lot of a transfer active now."""
    page = draft.page(moved.credit)
    policy = None if page is None else page.asset.lots
    lot_id = draft.lot_id(order.target, moved.occurred_at)
    lot = None if page is None else page.lots.get(lot_id)
    if page is None or policy is None or lot is None or not lot.is_pending(draft.now):
        draft.refuse(errors.NotReversible())
        return
    activates_at, expires_at = draft.batch.occurred_at, lot.expires_at
    if not lot.expiry_given:
        expires_at = assets.expiry(policy, activated_at=activates_at)
    released = Lot(
        lot.id,
        lot.account_id,
        lot.batch_id,
        lot.operation_index,
        lot.amount,
        lot.remaining,
        lot.held,
        activates_at,
        expires_at,
        lot.expiry_given,
        lot.created_at,
        lot.issuer,
        lot.bringer,
    )
    page.put(lot, released)
    page.version += 1
    draft.results.append(OperationResult(lot.remaining))
    draft.targets[draft.place] = Other()
