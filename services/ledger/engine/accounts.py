"""Where value is kept: accounts, their lots and reserves, and what they hold at an instant."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from services.chassis import ids
from services.ledger import errors
from services.ledger.engine.assets import Asset

#: The owner type of accounts without floor, ceiling and lots, where value comes from and goes to.
WORLD = 1
#: The owner type of companies of the coalition, whose accounts keep no lots: see `keeps_lots`.
PARTNER = 6
#: The owner type of what owners owe: see `debt_key`.
DEBT = 9
#: The owner types of members and households: lots remember which of them they came from.
PEOPLE = frozenset({2, 3})
#: No account holds more than this, whatever its ceiling: sums stay far inside of 64 bits.
BALANCE_MAX = 10**18

#: Owner types by name, as the ids of debts have them.
_OWNERS = {
    2: "member",
    3: "household",
    4: "card",
    5: "campaign",
    6: "partner",
    7: "store",
    8: "program",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)
_VARIANT = 0b10 << 62
#: The bits that operation indexes have in ids of lots: those that the ledger books have all.
_INDEX = 0xFF


class Key(NamedTuple):
    """An account's name: whose, of what; `id` follows from the others. Made by `key`."""

    id: UUID
    asset_code: str
    owner_type: int
    owner_id: str

    @property
    def is_world(self) -> bool:
        """True for accounts that are never locked and have no running balance."""
        return self.owner_type == WORLD


@lru_cache(maxsize=8192)
def key(asset_code: str, owner_type: int, owner_id: str) -> Key:
    """Return the key of an account; its id is a UUIDv8 of the BLAKE2b hash of the parts."""
    text = f"{asset_code}\x1f{owner_type}\x1f{owner_id}".encode()
    digest = hashlib.blake2b(text, digest_size=16, person=b"tessera.account").digest()
    return Key(_uuid8(int.from_bytes(digest, "big")), asset_code, owner_type, owner_id)


def debt_key(owner: Key) -> Key:
    """Return the account of what an account's owner owes of its asset; it holds 0 or less."""
    return key(owner.asset_code, DEBT, f"{_OWNERS[owner.owner_type]}:{owner.owner_id}")


class Place(NamedTuple):
    """The name of an operation: its batch and its index there."""

    batch_id: UUID
    operation_index: int


class Lot(NamedTuple):
    """Points credited together.

    `held` of what is `remaining` is reserved by holds. `activates_at` None waits for a release.
    `expires_at` None is never; of an account that slides, see `expiry`. `expiry_given` says that
    the caller chose the expiry, not the asset's policy. `issuer` is the partner's account that gave
    the points out, None when it was none; it stays when lots are handed over. `bringer` is the
    account of the member or the household that they came from, None when they came from elsewhere.
    """

    id: UUID
    account_id: UUID
    batch_id: UUID
    operation_index: int
    amount: int
    remaining: int
    held: int
    activates_at: datetime | None
    expires_at: datetime | None
    expiry_given: bool
    created_at: datetime
    issuer: UUID | None = None
    bringer: UUID | None = None

    @property
    def free(self) -> int:
        """What is left and not reserved."""
        return self.remaining - self.held

    def is_pending(self, now: datetime) -> bool:
        """Tell whether the lot may not be spent yet."""
        return self.activates_at is None or self.activates_at > now

    def holding(self, remaining: int, held: int) -> "Lot":
        """Return the lot with other amounts."""
        return Lot(
            self.id,
            self.account_id,
            self.batch_id,
            self.operation_index,
            self.amount,
            remaining,
            held,
            self.activates_at,
            self.expires_at,
            self.expiry_given,
            self.created_at,
            self.issuer,
            self.bringer,
        )


class LotPart(NamedTuple):
    """A part of a lot that an operation took or reserved."""

    lot_id: UUID
    account_id: UUID
    amount: int


class HoldState(IntEnum):
    """What became of a hold; numbers as in the contract."""

    ACTIVE = 1
    CAPTURED = 2
    VOIDED = 3
    EXPIRED = 4


class Reserve(NamedTuple):
    """What a hold keeps on one of its accounts: an amount, or on the receiving one room for it.

    `remaining` can still be captured, or was given back at the end; `lots` are the parts of lots
    that it is made of, in the order of consumption.
    """

    place: Place
    account_id: UUID
    is_credit: bool
    remaining: int
    state: HoldState
    expires_at: datetime
    ended_at: datetime | None
    lots: tuple[LotPart, ...]

    def is_active(self, now: datetime) -> bool:
        """Tell whether it keeps anything back, booked or not."""
        return self.state is HoldState.ACTIVE and self.expires_at > now


class Summary(NamedTuple):
    """What an account's live lots and active reserves come to; true until `next_event_at`.

    `next_event_at` is the next activation, expiry or time-out. `lots_from` is a lower bound of the
    expiries of live lots: a reader need not look at lots that expire earlier. `held` cannot be
    spent, `incoming` is room that is promised; the next hold to time out does so at `next_hold_at`.
    """

    pending: int
    next_event_at: datetime | None
    next_expire_at: datetime | None
    next_expire_amount: int
    lots_from: datetime | None
    held: int = 0
    incoming: int = 0
    next_hold_at: datetime | None = None


#: The summary of an account without lots and reserves.
EMPTY = Summary(0, None, None, 0, None)


class AccountState(IntEnum):
    """What an account lets happen; numbers as in the contract."""

    OPEN = 1
    #: Nothing is spent; what comes comes, and what the program takes back it takes.
    FROZEN = 2
    #: Nothing moves but what holds give back.
    CLOSED = 3


class Account(NamedTuple):
    """An account as it was last written.

    `ceiling` None is no ceiling. `slides_until` keeps lots that follow a sliding policy alive.
    `lots` None: not read, which is enough while only credits come. `reserves` None: not read, which
    is enough while no hold ends; where they were read, so were the lots. `debt` is what its owner
    owes, which the debt's own account holds as a negative balance. `has_more`: only the first of
    its live lots in spending order were read, of an account where nothing is due or slides.
    """

    key: Key
    floor: int
    ceiling: int | None
    balance: int
    version: int
    summary: Summary
    slides_until: datetime | None
    lots: tuple[Lot, ...] | None
    reserves: tuple[Reserve, ...] | None
    state: AccountState = AccountState.OPEN
    debt: int = 0
    has_more: bool = False


class LotsUnread(Exception):  # noqa: N818  not a fault: read more and decide again
    """A decision needs lots of an account that were not read."""


def keeps_lots(key: Key, asset: Asset) -> bool:
    """Tell whether an account keeps lots: the world's do not, nor do debts and those of partners.

    A partner gives out points that it does not have, down to the floor of its account, and takes in
    points that no longer age.
    """
    return asset.lots is not None and key.owner_type not in {WORLD, PARTNER, DEBT}


def opened(key: Key, asset: Asset) -> Account:
    """Return an account that nothing was posted to, with the limits of its asset."""
    if key.owner_type == DEBT:
        return Account(key, -BALANCE_MAX, 0, 0, 0, EMPTY, None, (), ())
    return Account(key, asset.floor, asset.ceiling, 0, 0, EMPTY, None, (), ())


def limited(account: Account, asset: Asset, *, floor: int, ceiling: int | None) -> Account:
    """Return an account with limits of its own; the same limits again change nothing.

    Raises LimitConflict when it holds more or less than they allow, what is held and what room is
    promised included, or keeps lots and was given a floor below 0.
    """
    lowest, highest = account.balance - account.summary.held, account.balance
    highest += account.summary.incoming
    too_much = ceiling is not None and highest > ceiling
    if too_much or lowest < floor or (floor and keeps_lots(account.key, asset)):
        raise errors.LimitConflict(balance=account.balance)
    if account.version and (account.floor, account.ceiling) == (floor, ceiling):
        return account
    return account._replace(floor=floor, ceiling=ceiling, version=account.version + 1)


class Balance(NamedTuple):
    """What an account holds at `as_of`; right as long as `as_of` is before `changes_at`.

    `held` is neither available nor pending; `incoming` is not there yet. `debt` is owed apart.
    """

    key: Key
    available: int
    pending: int
    held: int
    incoming: int
    debt: int
    version: int
    next_expire_at: datetime | None
    next_expire_amount: int
    as_of: datetime
    changes_at: datetime | None


def expiry(lot: Lot, slides_until: datetime | None) -> datetime | None:
    """Return when a lot expires: its own term, or later when its account was kept alive."""
    term = lot.expires_at
    if slides_until is None or term is None or lot.expiry_given:
        return term
    return max(term, slides_until)


def spending_order(lot: Lot, slides_until: datetime | None) -> tuple[datetime, UUID]:
    """Return the sort key of lots: earliest expiry first, never last; ties by id.

    The id of a lot begins with the time of its credit, so ties go by earning date.
    """
    return expiry(lot, slides_until) or _FOREVER, lot.id


def summarise(
    lots: Iterable[Lot],
    reserves: Iterable[Reserve],
    *,
    now: datetime,
    slides_until: datetime | None,
    base: Summary = EMPTY,
) -> Summary:
    """Return what live lots and active reserves come to, on top of those not read (`base`).

    Of lots past their expiry, nothing but what is held may be left.
    """
    pending = base.pending
    event, expire, amount = base.next_event_at, base.next_expire_at, base.next_expire_amount
    earliest = base.lots_from
    for lot in lots:
        term = ends = lot.expires_at
        if slides_until is not None:
            ends = expiry(lot, slides_until)
        if term is not None and (earliest is None or term < earliest):
            earliest = term
        free = lot.remaining - lot.held
        if not free:
            continue
        if lot.is_pending(now):
            pending += free
            event = _earlier(event, lot.activates_at)
        elif ends is not None and (expire is None or ends <= expire):
            amount = free + (amount if ends == expire else 0)
            expire = ends
        if ends is not None and (event is None or ends < event):
            event = ends
    held, incoming, next_hold = base.held, base.incoming, base.next_hold_at
    for reserve in reserves:
        if reserve.is_credit:
            incoming += reserve.remaining
        else:
            held += reserve.remaining
        next_hold = _earlier(next_hold, reserve.expires_at)
    event = _earlier(event, next_hold)
    return Summary(pending, event, expire, amount, earliest, held, incoming, next_hold)


def rest(account: Account, now: datetime) -> Summary:
    """Return what the lots come to that were not read of an account that `has_more` of them.

    Its stored summary less what the first lots contribute. Raises LotsUnread when that leaves open
    when the next of the rest becomes active, or when the clock is behind the summary.
    """
    whole, first = account.summary, account.lots or ()
    alone = summarise(first, (), now=now, slides_until=None)
    pending, amount = whole.pending - alone.pending, whole.next_expire_amount
    if alone.next_expire_at == whole.next_expire_at:
        amount -= alone.next_expire_amount
    event, expire = whole.next_hold_at, whole.next_expire_at if amount else None
    if pending:
        known = _earlier(alone.next_event_at, event)
        event = whole.next_event_at
        if event is None or (known is not None and known <= event):
            raise LotsUnread
    if pending < 0 or amount < 0:
        raise LotsUnread
    event = _earlier(event, expire)
    return EMPTY._replace(
        pending=pending,
        next_event_at=event,
        next_expire_at=expire,
        next_expire_amount=amount,
        lots_from=first[-1].expires_at,
        held=whole.held,
        incoming=whole.incoming,
        next_hold_at=whole.next_hold_at,
    )


def balance_at(account: Account, now: datetime) -> Balance:
    """Return what an account holds at an instant, whether or not what is due is booked yet.

    Lots and reserves must have been read when the summary no longer holds: see `is_due`.
    """
    summary, balance = account.summary, account.balance
    if is_due(account, now):
        reserves = [one for one in account.reserves or () if one.is_active(now)]
        lots = lots_at(account, now)
        summary = summarise(lots, reserves, now=now, slides_until=account.slides_until)
        lost = sum(lot.remaining for lot in account.lots or ()) - sum(lot.remaining for lot in lots)
        balance -= lost
    return Balance(
        account.key,
        balance - summary.pending - summary.held,
        summary.pending,
        summary.held,
        summary.incoming,
        account.debt,
        account.version,
        summary.next_expire_at,
        summary.next_expire_amount,
        now,
        summary.next_event_at,
    )


def is_due(account: Account, now: datetime) -> bool:
    """Tell whether something became active, expired or timed out since the last writing."""
    event = account.summary.next_event_at
    return event is not None and event <= now


def lots_at(account: Account, now: datetime) -> Sequence[Lot]:
    """Return the lots that an account has at an instant, as if all that is due were booked.

    What is held survives its lot's expiry until the hold ends.
    """
    if account.lots is None or (account.summary.next_hold_at and account.reserves is None):
        raise ValueError("the lots or the reserves of the account were not read")
    kept: defaultdict[UUID, int] = defaultdict(int)
    for reserve in account.reserves or ():
        if reserve.is_active(now):
            for part in reserve.lots:
                kept[part.lot_id] += part.amount
    lots = []
    for lot in account.lots:
        held = kept[lot.id]
        ends = expiry(lot, account.slides_until)
        left = lot.remaining if ends is None or ends > now else held
        if left:
            lots.append(lot.holding(left, held))
    return lots


def lot_id(*, batch_id: UUID, operation_index: int, credited_at: datetime) -> UUID:
    """Return the id of the lot that an operation makes: a UUIDv7 that the facts determine.

    Its time is that of the credit, to the microsecond; the operation's index follows, then a hash
    of the batch's id. An earlier credit sorts first.
    """
    microseconds = (credited_at - _EPOCH) // _MICROSECOND
    milliseconds, fraction = divmod(max(microseconds, 0), 1000)
    digest = hashlib.blake2b(batch_id.bytes, digest_size=8, person=b"tessera.lot").digest()
    tail = (operation_index & _INDEX) << 54 | int.from_bytes(digest, "big") & (1 << 54) - 1
    return ids.from_int(milliseconds << 80 | 7 << 76 | fraction << 64 | _VARIANT | tail)


def handed_lot_id(lot_id: UUID, *, batch_id: UUID, operation_index: int) -> UUID:
    """Return the id of the lot that a handover makes of another: the same time, another tail."""
    digest = hashlib.blake2b(
        batch_id.bytes + lot_id.bytes, digest_size=8, person=b"tessera.handed"
    ).digest()
    tail = (operation_index & _INDEX) << 54 | int.from_bytes(digest, "big") & (1 << 54) - 1
    return ids.from_int(lot_id.int >> 64 << 64 | _VARIANT | tail)


def booking_id(account_id: UUID, version: int) -> UUID:
    """Return the id of a movement that the ledger books itself, where others have their batch's."""
    digest = hashlib.blake2b(
        account_id.bytes + version.to_bytes(8, "big"), digest_size=16, person=b"tessera.expiry"
    )
    return _uuid8(int.from_bytes(digest.digest(), "big"))


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None:
        return other
    return one if other is None or one <= other else other


def _uuid8(bits: int) -> UUID:
    bits &= ~(0xF << 76 | 0b11 << 62)
    return ids.from_int(bits | 8 << 76 | _VARIANT)
