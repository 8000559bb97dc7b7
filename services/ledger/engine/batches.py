"""What the ledger is asked to do, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from services.ledger import errors
from services.ledger.engine.accounts import (
    Account,
    Balance,
    Key,
    Lot,
    LotPart,
    Place,
    Reserve,
)
from services.ledger.engine.assets import Asset

#: Reasons that the ledger books itself; numbers as in the contract.
EXPIRE = 3
REVERSE = 8
#: What a reversal could not take back becomes a debt; what comes then pays it off.
OWE = 10
PAY_OFF = 11
#: Reasons of handovers: into a household, and out of it.
POOL = 20
SPLIT = 21
#: Movements with these reasons are not undone by reversals.
IRREVERSIBLE = frozenset({EXPIRE, REVERSE, OWE, PAY_OFF, POOL, SPLIT})
#: The operation index of expiries, which belong to no batch.
BY_LEDGER = -1


class Shortfall(IntEnum):
    """What to do when a reversal finds less than it should take; numbers as in the contract."""

    REFUSE = 1
    TAKE_AVAILABLE = 2
    TAKE_PENDING = 3
    #: Take what there is, and owe the rest.
    DEBT = 4


class Transfer(NamedTuple):
    """Move an amount between two accounts of one asset; `reason` as in the contract."""

    debit: Key
    credit: Key
    amount: int
    reason: int
    campaign_id: str
    up_to: bool
    activates_at: datetime | None
    expires_at: datetime | None

    @property
    def has_lot_terms(self) -> bool:
        """True when the caller chose when the lot is to start or to end."""
        return self.activates_at is not None or self.expires_at is not None

    @property
    def needs_lots(self) -> tuple[Key, ...]:
        """The accounts that must keep lots."""
        return (self.credit,) if self.has_lot_terms else ()


@dataclass(frozen=True, slots=True)
class Reversal:
    """Undo an earlier transfer, in whole or in part."""

    target: Place
    amount: int
    shortfall: Shortfall


@dataclass(frozen=True, slots=True)
class Release:
    """Make the pending lots of an earlier transfer active."""

    target: Place


class Selection(IntEnum):
    """Which lots are handed over; numbers as in the contract."""

    ALL = 1
    #: Those that came from the receiving account.
    BROUGHT = 2
    #: Those that came from no member and no household.
    COMMON = 3


@dataclass(frozen=True, slots=True)
class Handover:
    """Give active lots to another account with their terms: `share` parts of `whole` of each."""

    debit: Key
    credit: Key
    reason: int
    selection: Selection
    share: int
    whole: int

    @property
    def needs_lots(self) -> tuple[Key, ...]:
        """The accounts that must keep lots."""
        return self.debit, self.credit


@dataclass(frozen=True, slots=True)
class Hold:
    """Reserve an amount for a movement that may come within `life`, and room for it."""

    debit: Key
    credit: Key
    amount: int
    reason: int
    campaign_id: str
    up_to: bool
    life: timedelta

    @property
    def needs_lots(self) -> tuple[Key, ...]:
        """The accounts that must keep lots: none, but they may."""
        return ()


@dataclass(frozen=True, slots=True)
class Capture:
    """Move what a hold reserved; `amount` None is all of it. `is_final` gives back the rest."""

    target: Place
    amount: int | None
    is_final: bool


@dataclass(frozen=True, slots=True)
class Void:
    """Give back what a hold still reserves."""

    target: Place


Operation = Transfer | Reversal | Release | Handover | Hold | Capture | Void
#: Operations that name their accounts; the others refer back to one of these. A tuple and not a
#: union, which would be made anew at every use.
NAMING = (Transfer, Handover, Hold)


class Batch(NamedTuple):
    """Operations that stand or fall together, or, when `independent`, each for itself."""

    id: UUID
    operations: tuple[Operation, ...]
    receipt_id: str
    operator_id: str
    occurred_at: datetime
    independent: bool = False


class Moved(NamedTuple):
    """A transfer that took place, with what undoing it needs to know.

    `taken` is in the order of consumption; `reversed` sums the reversals so far, `reversals`
    counts them.
    """

    debit: Key
    credit: Key
    amount: int
    campaign_id: str
    occurred_at: datetime
    taken: tuple[LotPart, ...]
    reversed: int
    reversals: int


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that took place: what never changes of it; the rest is with its accounts' reserves."""

    debit: Key
    credit: Key
    amount: int
    reason: int
    campaign_id: str


@dataclass(frozen=True, slots=True)
class Other:
    """An operation that took place and cannot be undone: a release, a reversal, a void."""


@dataclass(frozen=True, slots=True)
class Unmoved:
    """A transfer that found nothing to move: its accounts may not even exist."""


Target = Moved | Unmoved | Held | Other


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision is made from. What is not there does not exist."""

    assets: Mapping[str, Asset]
    accounts: Mapping[UUID, Account]
    targets: Mapping[Place, Target]
    #: Lots that reversals may restore or take from, whether or not anything is left of them.
    lots: Mapping[UUID, Lot]
    #: How much of lots that reversals claim back has expired, as far as that is booked.
    expired: Mapping[UUID, int] = field(default_factory=dict)


class OperationResult(NamedTuple):
    """What an operation moved or reserved, the parts of lots that it took, oldest first.

    Of a hold, also when it times out; of an independent operation without effect, why; of a
    reversal, what is owed now; of what came in, how much of it has paid off a debt.
    """

    amount: int
    taken: tuple[LotPart, ...] = ()
    expires_at: datetime | None = None
    refusal: errors.LedgerRefusal | None = None
    owed: int = 0
    paid_off: int = 0


class Movement(NamedTuple):
    """An amount that went from one account to another."""

    debit: Key
    credit: Key
    amount: int
    reason: int
    campaign_id: str


class Posted(NamedTuple):
    """Every operation took effect; one balance for each account touched, the world excepted.

    Of independent operations, those without a refusal; their balances are not told.
    """

    batch: Batch
    operations: tuple[OperationResult, ...]
    movements: tuple[Movement, ...]
    balances: tuple[Balance, ...]


class Refused(NamedTuple):
    """Nothing took effect; `operation_index` is -1 for a refusal of the batch as a whole."""

    batch: Batch
    refusal: errors.LedgerRefusal
    operation_index: int


Decision = Posted | Refused


class TransferRow(NamedTuple):
    """One movement with both its sides; `amount` may be 0 when an operation allowed less."""

    batch_id: UUID
    operation_index: int
    debit_account_id: UUID
    credit_account_id: UUID
    amount: int
    reason: int
    campaign_id: str
    occurred_at: datetime


class EntryRow(NamedTuple):
    """One side of a movement on an account with a running balance."""

    account_id: UUID
    version: int
    batch_id: UUID
    operation_index: int
    amount: int
    balance_before: int
    balance_after: int


class TakeRow(NamedTuple):
    """What a movement took from a lot, or gave back to it when negative."""

    batch_id: UUID
    operation_index: int
    position: int
    account_id: UUID
    lot_id: UUID
    amount: int


class ReversalRow(NamedTuple):
    """The `number`-th reversal of a transfer, and what all of them have undone."""

    batch_id: UUID
    operation_index: int
    number: int
    reversing_batch_id: UUID
    reversing_operation_index: int
    amount: int
    reversed_amount: int
    transfer_amount: int


class HoldRow(NamedTuple):
    """A hold as it was placed."""

    place: Place
    debit: Key
    credit: Key
    amount: int
    reason: int
    campaign_id: str
    expires_at: datetime


class ExpiryRow(NamedTuple):
    """Value that passed its expiry and left an account."""

    key: Key
    amount: int
    expired_at: datetime


class Written(NamedTuple):
    """An account after its changes, and the version that they were made from."""

    before: Account
    after: Account


@dataclass(frozen=True, slots=True)
class Changes:
    """What a decision writes. `tallies` are the sums that each account of the world received."""

    accounts: Sequence[Written]
    transfers: Sequence[TransferRow]
    entries: Sequence[EntryRow]
    lots_made: Sequence[Lot]
    #: Lots before and after.
    lots_changed: Sequence[tuple[Lot, Lot]]
    takes: Sequence[TakeRow]
    reversals: Sequence[ReversalRow]
    expiries: Sequence[ExpiryRow]
    holds: Sequence[HoldRow]
    reserves_made: Sequence[Reserve]
    #: Reserves as they are now.
    reserves_changed: Sequence[Reserve]
    tallies: Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One decision for each batch, in their order, and what they change together."""

    decisions: Sequence[Decision]
    changes: Changes
