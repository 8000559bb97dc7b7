"""Which of several refusals is given."""

from services.ledger import errors

#: When several reasons apply to a batch, the first of these is given.
PRECEDENCE: tuple[type[errors.LedgerRefusal], ...] = (
    errors.BatchConflict,
    errors.OccurredInFuture,
    errors.AssetNotFound,
    errors.AccountsMustDiffer,
    errors.DebtAccount,
    errors.LotsNotKept,
    errors.TransferNotFound,
    errors.HoldNotFound,
    errors.NotReversible,
    errors.NotAHold,
    errors.HoldCaptured,
    errors.HoldVoided,
    errors.HoldExpired,
    errors.AccountNotFound,
    errors.AccountClosed,
    errors.AccountFrozen,
    errors.ExceedsReversible,
    errors.ExceedsHold,
    errors.InsufficientFunds,
    errors.CeilingExceeded,
)

#: The place of each in that order.
RANKS = {kind: rank for rank, kind in enumerate(PRECEDENCE)}
