"""Where value is kept: accounts, the lots in them, and what they hold at an instant."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from services.ledger import errors
from services.ledger.engine.assets import Asset

#: The owner type of accounts without floor, ceiling and lots, where value comes from and goes to.
WORLD = 1
#: The owner type of companies of the coalition, whose accounts keep no lots: see `keeps_lots`.
PARTNER = 6
#: The owner types of members and households: lots remember which of them they came from.
PEOPLE = frozenset({2, 3})
#: No account holds more than this, whatever its ceiling: sums stay far inside of 64 bits.
BALANCE_MAX = 10**18

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)
_VARIANT = 0b10 << 62


@dataclass(frozen=True, slots=True)
class Key:
    """An account's name: whose, of what; `id` follows from the others. Made by `key`."""

    id: UUID
    asset_code: str
    owner_type: int
    owner_id: str

    def __hash__(self) -> int:
        # Texts remember their hash, UUIDs compute it every time.
        return hash(self.owner_id)

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


class Lot(NamedTuple):
    """Points credited together.

    `activates_at` None waits for a release. `expires_at` None is never; of an account that slides,
    see `expiry`. `expiry_given` says that the caller chose the expiry, not the asset's policy.
    `issuer` is the partner's account that gave the points out, None when it was none; it stays when
    lots are handed over. `bringer` is the account of the member or the household that they came
    from, None when they came from elsewhere.
    """

    id: UUID
    account_id: UUID
    batch_id: UUID
    operation_index: int
    amount: int
    remaining: int
    activates_at: datetime | None
    expires_at: datetime | None
    expiry_given: bool
    created_at: datetime
    issuer: UUID | None = None
    bringer: UUID | None = None

    def is_pending(self, now: datetime) -> bool:
        """Tell whether the lot may not be spent yet."""
        return self.activates_at is None or self.activates_at > now

    def holding(self, remaining: int) -> "Lot":
        """Return the lot with another remaining amount."""
        return Lot(
            self.id,
            self.account_id,
            self.batch_id,
            self.operation_index,
            self.amount,
            remaining,
            self.activates_at,
            self.expires_at,
            self.expiry_given,
            self.created_at,
            self.issuer,
            self.bringer,
        )


class Summary(NamedTuple):
    """What an account's live lots come to; true until `next_event_at`.

    `next_event_at` is the next activation or expiry. `lots_from` is a lower bound of the expiries
    of live lots: a reader need not look at lots that expire earlier.
    """

    pending: int
    next_event_at: datetime | None
    next_expire_at: datetime | None
    next_expire_amount: int
    lots_from: datetime | None


#: The summary of an account without lots.
NO_LOTS = Summary(0, None, None, 0, None)


class Account(NamedTuple):
    """An account as it was last written.

    `ceiling` None is no ceiling. `slides_until` keeps lots that follow a sliding policy alive.
    `lots` None: not read, which is enough while only credits come.
    """

    key: Key
    floor: int
    ceiling: int | None
    balance: int
    version: int
    summary: Summary
    slides_until: datetime | None
    lots: tuple[Lot, ...] | None


def keeps_lots(key: Key, asset: Asset) -> bool:
    """Tell whether an account keeps lots: the world's do not, and neither do those of partners.

    A partner gives out points that it does not have, down to the floor of its account, and takes in
    points that no longer age.
    """
    return asset.lots is not None and key.owner_type not in {WORLD, PARTNER}


def opened(key: Key, asset: Asset) -> Account:
    """Return an account that nothing was posted to, with the limits of its asset."""
    return Account(key, asset.floor, asset.ceiling, 0, 0, NO_LOTS, None, ())


def limited(account: Account, asset: Asset, *, floor: int, ceiling: int | None) -> Account:
    """Return an account with limits of its own; the same limits again change nothing.

    Raises LimitConflict when it holds more or less than they allow, or keeps lots and was given a
    floor below 0.
    """
    too_much = ceiling is not None and account.balance > ceiling
    if too_much or account.balance < floor or (floor and keeps_lots(account.key, asset)):
        raise errors.LimitConflict(balance=account.balance)
    if account.version and (account.floor, account.ceiling) == (floor, ceiling):
        return account
    return account._replace(floor=floor, ceiling=ceiling, version=account.version + 1)


class Balance(NamedTuple):
    """What an account holds at `as_of`; right as long as `as_of` is before `changes_at`."""

    key: Key
    available: int
    pending: int
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
    lots: Iterable[Lot], *, now: datetime, slides_until: datetime | None, base: Summary = NO_LOTS
) -> Summary:
    """Return what live, unexpired lots come to, on top of lots that were not read (`base`)."""
    pending = base.pending
    event, expire, amount = base.next_event_at, base.next_expire_at, base.next_expire_amount
    earliest = base.lots_from
    for lot in lots:
        ends = expiry(lot, slides_until)
        if lot.is_pending(now):
            pending += lot.remaining
            event = _earlier(event, lot.activates_at)
        elif ends is not None and (expire is None or ends <= expire):
            amount = lot.remaining + (amount if ends == expire else 0)
            expire = ends
        event = _earlier(event, ends)
        earliest = _earlier(earliest, lot.expires_at)
    return Summary(pending, event, expire, amount, earliest)


def balance_at(account: Account, now: datetime) -> Balance:
    """Return what an account holds at an instant, whether or not due expiries are booked yet.

    Lots must have been read when the account's summary no longer holds: see `needs_lots`.
    """
    summary, balance = account.summary, account.balance
    if needs_lots(account, now):
        lots = _unexpired(account, now)
        summary = summarise(lots, now=now, slides_until=account.slides_until)
        balance = sum(lot.remaining for lot in lots)
    return Balance(
        account.key,
        balance - summary.pending,
        summary.pending,
        account.version,
        summary.next_expire_at,
        summary.next_expire_amount,
        now,
        summary.next_event_at,
    )


def needs_lots(account: Account, now: datetime) -> bool:
    """Tell whether something became active or expired since the account was last written."""
    event = account.summary.next_event_at
    return event is not None and event <= now


def lot_id(*, batch_id: UUID, operation_index: int, credited_at: datetime) -> UUID:
    """Return the id of the lot that an operation makes: a UUIDv7 that the facts determine.

    Its time is that of the credit, to the microsecond; the operation's index follows, then a hash
    of the batch's id. An earlier credit sorts first.
    """
    microseconds = (credited_at - _EPOCH) // timedelta(microseconds=1)
    milliseconds, fraction = divmod(max(microseconds, 0), 1000)
    digest = hashlib.blake2b(batch_id.bytes, digest_size=8, person=b"tessera.lot").digest()
    tail = operation_index << 54 | int.from_bytes(digest, "big") & (1 << 54) - 1
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | _VARIANT | tail)


def handed_lot_id(lot_id: UUID, *, batch_id: UUID, operation_index: int) -> UUID:
    """Return the id of the lot that a handover makes of another: the same time, another tail."""
    digest = hashlib.blake2b(
        batch_id.bytes + lot_id.bytes, digest_size=8, person=b"tessera.handed"
    ).digest()
    tail = operation_index << 54 | int.from_bytes(digest, "big") & (1 << 54) - 1
    return UUID(int=lot_id.int >> 64 << 64 | _VARIANT | tail)


def expiry_id(account_id: UUID, version: int) -> UUID:
    """Return the id under which an expiry is booked, where other transfers have their batch's."""
    digest = hashlib.blake2b(
        account_id.bytes + version.to_bytes(8, "big"), digest_size=16, person=b"tessera.expiry"
    )
    return _uuid8(int.from_bytes(digest.digest(), "big"))


def _unexpired(account: Account, now: datetime) -> Sequence[Lot]:
    if account.lots is None:
        raise ValueError("the lots of the account were not read")
    slides_until = account.slides_until
    return [lot for lot in account.lots if (expiry(lot, slides_until) or _FOREVER) > now]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None:
        return other
    return one if other is None or one <= other else other


def _uuid8(bits: int) -> UUID:
    bits &= ~(0xF << 76 | 0b11 << 62)
    return UUID(int=bits | 8 << 76 | _VARIANT)
