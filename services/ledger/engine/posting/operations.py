"""Which kind of operation is carried out where, and what is wrong with one at sight."""

from services.ledger import errors
from services.ledger.engine import accounts
from services.ledger.engine.accounts import Place
from services.ledger.engine.batches import (
    NAMING,
    Capture,
    Handover,
    Hold,
    Moved,
    Operation,
    Reversal,
    Transfer,
    Unmoved,
    Void,
)
from services.ledger.engine.posting import handovers, holds, releases, reversals, transfers
from services.ledger.engine.posting.draft import Draft


def apply(draft: Draft, index: int, operation: Operation) -> None:
    """Carry out one operation, or note why not."""
    draft.place = Place(draft.batch.id, index)
    if isinstance(operation, NAMING):
        if _examine(draft, operation):
            _begin(draft, operation)
        return
    target = draft.targets.get(operation.target) or draft.desk.targets.get(operation.target)
    if isinstance(operation, (Capture, Void)):
        holds.settle(draft, operation, target)
    elif target is None:
        draft.refuse(errors.TransferNotFound())
    elif isinstance(target, Unmoved) and isinstance(operation, Reversal):
        draft.refuse(errors.ExceedsReversible(remaining=0))
    elif not isinstance(target, Moved):
        draft.refuse(errors.NotReversible())
    elif isinstance(operation, Reversal):
        reversals.reverse(draft, operation, target)
    else:
        releases.release(draft, operation, target)


def _begin(draft: Draft, operation: Transfer | Handover | Hold) -> None:
    if isinstance(operation, Transfer):
        transfers.transfer(draft, operation)
    elif isinstance(operation, Hold):
        holds.hold(draft, operation)
    else:
        handovers.hand_over(draft, operation)


def _examine(draft: Draft, operation: Transfer | Handover | Hold) -> bool:
    """Refuse what is wrong at sight; tells whether nothing is."""
    debit, credit = operation.debit, operation.credit
    asset = draft.desk.facts.assets.get(debit.asset_code)
    found = len(draft.refusals)
    if asset is None:
        draft.refuse(errors.AssetNotFound(asset_code=debit.asset_code))
    if debit.id == credit.id:
        draft.refuse(errors.AccountsMustDiffer())
    if accounts.DEBT in (debit.owner_type, credit.owner_type):
        draft.refuse(errors.DebtAccount())
    for_lots = operation.needs_lots
    if for_lots and asset and not all(accounts.keeps_lots(key, asset) for key in for_lots):
        draft.refuse(errors.LotsNotKept())
    return found == len(draft.refusals)
