"""Who may correct a balance: alone within a limit, together above it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from services.ledger import errors

#: What an operator adjusts alone is summed up over this long.
DAY = timedelta(hours=24)
_MICROSECOND = timedelta(microseconds=1)


class AdjustmentState(IntEnum):
    """What became of an adjustment; numbers as in the contract."""

    PENDING = 1
    APPROVED = 2
    POSTED = 3
    REFUSED = 4
    REJECTED = 5
    EXPIRED = 6


class AdjustmentAction(IntEnum):
    """What somebody did about it; numbers as in the contract."""

    PROPOSE = 1
    APPROVE = 2
    REJECT = 3
    EXPIRE = 4


@dataclass(frozen=True, slots=True)
class AdjustmentLimit:
    """What an operator may adjust alone: at once, and within `DAY`; in the asset's units."""

    amount_max: int
    day_amount_max: int


#: Who has no limit adjusts nothing alone.
NO_LIMIT = AdjustmentLimit(0, 0)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction. `decided_at` is that of the proposal when nobody else had to agree."""

    id: UUID
    asset_code: str
    account_id: UUID
    amount: int
    state: AdjustmentState
    refusal: str
    operator_id: str
    proposed_at: datetime
    decided_at: datetime | None
    expires_at: datetime

    def at(self, now: datetime) -> "Adjustment":
        """Return the adjustment as it is at an instant: what nobody approved in time is over."""
        if self.state is AdjustmentState.PENDING and self.expires_at <= now:
            return replace(self, state=AdjustmentState.EXPIRED, decided_at=self.expires_at)
        return self


def proposed(adjustment: Adjustment, *, limit: AdjustmentLimit, alone: int) -> Adjustment:
    """Return a new adjustment approved when it is within its operator's limits.

    `alone` is what the operator has adjusted alone within the last `DAY`, in either direction.
    """
    size = abs(adjustment.amount)
    if size > limit.amount_max or alone + size > limit.day_amount_max:
        return adjustment
    return replace(adjustment, state=AdjustmentState.APPROVED, decided_at=adjustment.proposed_at)


def approved(adjustment: Adjustment, *, by: str, now: datetime) -> Adjustment:
    """Return an adjustment that a second person agrees to.

    Raises AdjustmentDecided when it waits no more, SameOperator for who proposed it.
    """
    _check_open(adjustment, now)
    if by == adjustment.operator_id:
        raise errors.SameOperator
    later = max(now, adjustment.proposed_at + _MICROSECOND)
    return replace(adjustment, state=AdjustmentState.APPROVED, decided_at=later)


def rejected(adjustment: Adjustment, *, now: datetime) -> Adjustment:
    """Return an adjustment that will not be. Raises AdjustmentDecided when it waits no more."""
    _check_open(adjustment, now)
    return replace(adjustment, state=AdjustmentState.REJECTED, decided_at=now)


def _check_open(adjustment: Adjustment, now: datetime) -> None:
    state = adjustment.at(now).state
    if state is not AdjustmentState.PENDING:
        raise errors.AdjustmentDecided(state=state.name)
