"""Accounts while they are being decided on: pages that operations write on, and the rows made."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.ledger.engine import accounts, assets
from services.ledger.engine.accounts import (
    Account,
    Balance,
    HoldState,
    Key,
    Lot,
    LotPart,
    LotsUnread,
    Place,
    Reserve,
    Summary,
)
from services.ledger.engine.assets import Asset
from services.ledger.engine.batches import (
    BY_LEDGER,
    EXPIRE,
    EntryRow,
    ExpiryRow,
    HoldRow,
    ReversalRow,
    TakeRow,
    TransferRow,
    Written,
)

#: The account of the world that takes what passes its expiry.
BREAKAGE = "breakage"


class Rows:
    """Rows to be written, in the order in which they were made."""

    __slots__ = ("entries", "expiries", "holds", "reversals", "takes", "tallies", "transfers")

    def __init__(self) -> None:
        self.transfers: list[TransferRow] = []
        self.entries: list[EntryRow] = []
        self.takes: list[TakeRow] = []
        self.reversals: list[ReversalRow] = []
        self.expiries: list[ExpiryRow] = []
        self.holds: list[HoldRow] = []
        self.tallies: list[tuple[Key, int]] = []

    def take(self, place: Place, lot: Lot, amount: int) -> None:
        """Note what a movement takes from a lot; the rows of one movement come together."""
        last = self.takes[-1] if self.takes else None
        position = last.position + 1 if last is not None and last[:2] == place else 0
        self.takes.append(TakeRow(*place, position, lot.account_id, lot.id, amount))

    def absorb(self, other: "Rows") -> None:
        """Append the rows of another."""
        self.transfers += other.transfers
        self.entries += other.entries
        self.takes += other.takes
        self.reversals += other.reversals
        self.expiries += other.expiries
        self.holds += other.holds
        self.tallies += other.tallies

    def mark(self) -> tuple[int, ...]:
        """Return how far the rows go, to cut them there again."""
        return (
            len(self.transfers),
            len(self.entries),
            len(self.takes),
            len(self.reversals),
            len(self.expiries),
            len(self.holds),
            len(self.tallies),
        )

    def cut(self, mark: tuple[int, ...]) -> None:
        """Forget the rows that came after a mark."""
        kinds: tuple[list[Any], ...] = (
            self.transfers,
            self.entries,
            self.takes,
            self.reversals,
            self.expiries,
            self.holds,
            self.tallies,
        )
        for rows, length in zip(kinds, mark, strict=True):
            del rows[length:]


class Page:
    """One account with a running balance, as the operations so far have left it.

    Its lots are all the live ones, or, when they were not read, those that came since; `unread`
    then sums up the others, and the same goes for its reserves. What is due is booked when a page
    is opened, into rows that wait until a batch on the page is posted.
    """

    __slots__ = (
        "_summary",
        "account",
        "asset",
        "balance",
        "changed",
        "debt",
        "expired",
        "held",
        "incoming",
        "last_read",
        "lots",
        "reserves",
        "reserves_changed",
        "slides_until",
        "unread",
        "version",
        "waiting",
    )

    def __init__(self, account: Account, asset: Asset, now: datetime) -> None:
        self.account = account
        self.asset = asset
        self.balance = account.balance
        self.version = account.version
        self.debt = account.debt
        self.slides_until = account.slides_until
        self.held = account.summary.held
        self.incoming = account.summary.incoming
        self.unread = _unread(account, now)
        #: The last lot that was read when more follow in spending order.
        self.last_read = account.lots[-1] if account.lots and account.has_more else None
        self.lots: dict[UUID, Lot] = {lot.id: lot for lot in account.lots or ()}
        self.changed: dict[UUID, tuple[Lot | None, Lot]] = {}
        self.reserves = {reserve.place: reserve for reserve in account.reserves or ()}
        #: The places of reserves that changed; True for those that are new.
        self.reserves_changed: dict[Place, bool] = {}
        #: How much of lots has expired since the account was read.
        self.expired: dict[UUID, int] = {}
        self._summary: Summary | None = None
        self.waiting: Rows | None = None
        if accounts.is_due(account, now):
            if account.lots is None or self.unread.next_hold_at is not None:
                raise ValueError("what an account with due changes has was not read")
            self.waiting = Rows()
            self._time_out(now)
            self.expire(now, self.waiting)

    def copy(self) -> "Page":
        """Return a page that can be written on without touching this one."""
        page = Page.__new__(Page)
        page.account = self.account
        page.asset = self.asset
        page.balance = self.balance
        page.held = self.held
        page.incoming = self.incoming
        page.version = self.version
        page.debt = self.debt
        page.slides_until = self.slides_until
        page.unread = self.unread
        page.last_read = self.last_read
        page.lots = self.lots.copy()
        page.changed = self.changed.copy()
        page.reserves = self.reserves.copy()
        page.reserves_changed = self.reserves_changed.copy()
        page.expired = self.expired.copy()
        page.waiting = self.waiting
        page._summary = None  # noqa: SLF001
        return page

    @property
    def room(self) -> int:
        """How much may still come, with what is promised room already."""
        ceiling = self.account.ceiling
        if ceiling is None or ceiling > accounts.BALANCE_MAX:
            ceiling = accounts.BALANCE_MAX
        return max(ceiling - self.balance - self.incoming, 0)

    @property
    def above_floor(self) -> int:
        """How much may be taken from a balance without lots."""
        return max(self.balance - self.held - self.account.floor, 0)

    def spendable_lots(self, now: datetime) -> list[Lot]:
        """Return the active lots in the order in which they are spent, up to the last read."""
        active = [
            lot
            for lot in self.lots.values()
            if lot.remaining > lot.held and (since := lot.activates_at) is not None and since <= now
        ]
        if len(active) > 1:
            active.sort(key=lambda lot: accounts.spending_order(lot, self.slides_until))
        if self.last_read is not None:
            last = accounts.spending_order(self.last_read, None)
            return [lot for lot in active if accounts.spending_order(lot, None) <= last]
        return active

    def move(self, amount: int, place: Place, rows: Rows) -> None:
        """Change the balance by an amount, negative for a debit, as one entry."""
        before = self.balance
        self.balance = before + amount
        self.version += 1
        rows.entries.append(
            EntryRow(self.account.key.id, self.version, *place, amount, before, self.balance)
        )

    def take(self, lots: Iterable[Lot], amount: int, place: Place, rows: Rows) -> list[LotPart]:
        """Take an amount from lots, in the order given; returns the parts taken."""
        parts = []
        for lot in lots:
            if not amount:
                break
            part = min(lot.remaining - lot.held, amount)
            amount -= part
            self.put(lot, lot.holding(lot.remaining - part, lot.held))
            parts.append(LotPart(lot.id, lot.account_id, part))
            rows.take(place, lot, part)
        return parts

    def give_back(
        self,
        parts: Iterable[LotPart],
        known: dict[UUID, Lot],
        place: Place,
        rows: Rows,
        *,
        now: datetime,
    ) -> None:
        """Restore parts of lots; `known` has the lots that were spent before.

        What has expired meanwhile becomes a lot of its own when the asset grants it some grace.
        """
        policy = self.asset.lots
        grace = assets.grace(policy, refunded_at=now) if policy is not None else None
        for part in parts:
            changed = self.changed.get(part.lot_id)
            lot = changed[1] if changed else self.lots.get(part.lot_id) or known[part.lot_id]
            ends = accounts.expiry(lot, self.slides_until)
            if grace is not None and ends is not None and ends <= now:
                self.put(None, _renewed(lot, part.amount, place, expires_at=grace, now=now))
                continue
            self.put(lot, lot.holding(lot.remaining + part.amount, lot.held))
            rows.take(place, lot, -part.amount)

    def reserve(
        self,
        lots: Iterable[Lot],
        amount: int,
        place: Place,
        *,
        is_credit: bool,
        expires_at: datetime,
    ) -> None:
        """Keep back an amount, from lots in the order given, or room for it."""
        parts = []
        left = 0 if is_credit else amount
        for lot in lots:
            if not left:
                break
            part = min(lot.remaining - lot.held, left)
            left -= part
            self.put(lot, lot.holding(lot.remaining, lot.held + part))
            parts.append(LotPart(lot.id, lot.account_id, part))
        self._keep_back(amount, is_credit=is_credit)
        account_id = self.account.key.id
        self.reserves[place] = Reserve(
            place, account_id, is_credit, amount, HoldState.ACTIVE, expires_at, None, tuple(parts)
        )
        self.reserves_changed[place] = True
        self.version += 1

    def draw(self, reserve: Reserve, amount: int, place: Place, rows: Rows) -> list[LotPart]:
        """Take an amount out of a reserve, and out of its lots; returns their parts taken."""
        taken, left = [], []
        wanted = amount
        for part in reserve.lots:
            now_taken = min(part.amount, wanted)
            wanted -= now_taken
            if now_taken:
                lot = self.lots[part.lot_id]
                held = lot.held - now_taken
                self.put(lot, lot.holding(lot.remaining - now_taken, held))
                rows.take(place, lot, now_taken)
                taken.append(LotPart(part.lot_id, part.account_id, now_taken))
            if part.amount > now_taken:
                left.append(LotPart(part.lot_id, part.account_id, part.amount - now_taken))
        self._keep_back(-amount, is_credit=reserve.is_credit)
        self._replace(
            reserve._replace(remaining=reserve.remaining - amount, lots=tuple(left)),
        )
        return taken

    def end(self, place: Place, state: HoldState, at: datetime) -> None:
        """Give back what a reserve still keeps."""
        reserve = self.reserves[place]
        for part in reserve.lots:
            lot = self.lots[part.lot_id]
            self.put(lot, lot.holding(lot.remaining, lot.held - part.amount))
        self._keep_back(-reserve.remaining, is_credit=reserve.is_credit)
        self._replace(reserve._replace(state=state, ended_at=at))

    def _keep_back(self, amount: int, *, is_credit: bool) -> None:
        if is_credit:
            self.incoming += amount
        else:
            self.held += amount

    def _replace(self, reserve: Reserve) -> None:
        self.reserves[reserve.place] = reserve
        self.reserves_changed.setdefault(reserve.place, False)
        self.version += 1

    def _time_out(self, now: datetime) -> None:
        """End the holds that are over, at the instant at which they were."""
        for place, reserve in list(self.reserves.items()):
            if reserve.state is HoldState.ACTIVE and reserve.expires_at <= now:
                self.end(place, HoldState.EXPIRED, reserve.expires_at)

    def put(self, before: Lot | None, after: Lot) -> None:
        """Replace a lot, or add a new one."""
        self._summary = None
        first = self.changed.get(after.id)
        self.changed[after.id] = (before if first is None else first[0], after)
        if after.remaining:
            self.lots[after.id] = after
        else:
            self.lots.pop(after.id, None)

    def expire(self, now: datetime, rows: Rows) -> None:
        """Book what is past its expiry: one movement for each expiry that lots had."""
        if not self.lots:
            return
        due: defaultdict[datetime, list[Lot]] = defaultdict(list)
        slides_until = self.slides_until
        for lot in self.lots.values():
            ends = lot.expires_at if slides_until is None else accounts.expiry(lot, slides_until)
            if ends is not None and ends <= now and lot.remaining > lot.held:
                due[ends].append(lot)
        for ends in sorted(due):
            self._expire_together(sorted(due[ends], key=lambda lot: lot.id), ends, rows)

    def _expire_together(self, lots: Sequence[Lot], ends: datetime, rows: Rows) -> None:
        key = self.account.key
        amount = sum(lot.remaining - lot.held for lot in lots)
        place = self.own_place()
        breakage = accounts.key(key.asset_code, accounts.WORLD, BREAKAGE)
        for part in self.take(lots, amount, place, rows):
            self.expired[part.lot_id] = self.expired.get(part.lot_id, 0) + part.amount
        self.move(-amount, place, rows)
        rows.transfers.append(TransferRow(*place, key.id, breakage.id, amount, EXPIRE, "", ends))
        rows.tallies.append((breakage, amount))
        rows.expiries.append(ExpiryRow(key, amount, ends))

    def own_place(self) -> Place:
        """Return the place of the next movement here, when the ledger books it itself."""
        return Place(accounts.booking_id(self.account.key.id, self.version + 1), BY_LEDGER)

    def summary(self, now: datetime) -> Summary:
        """Return what lots and reserves come to, once nothing changes on the page any more.

        Raises LotsUnread when the next expiry may be one of lots that were not read.
        """
        if self.asset.lots is None and not self.reserves and self.unread.next_hold_at is None:
            return accounts.EMPTY
        if self._summary is None:
            active = [one for one in self.reserves.values() if one.state is HoldState.ACTIVE]
            self._summary = accounts.summarise(
                self.lots.values(),
                active,
                now=now,
                slides_until=self.slides_until,
                base=self.unread,
            )
            self._check_expiry(self._summary.next_expire_at)
        return self._summary

    def _check_expiry(self, expire: datetime | None) -> None:
        """See to it that no lot that was not read can expire as early."""
        if self.last_read is None or self.unread.next_expire_at is not None:
            return
        through = self.last_read.expires_at
        if through is not None and (expire is None or expire >= through):
            self._summary = None
            raise LotsUnread

    def view(self, now: datetime) -> Balance:
        """Return what the account holds."""
        summary = self.summary(now)
        return Balance(
            self.account.key,
            self.balance - summary.pending - summary.held,
            summary.pending,
            summary.held,
            summary.incoming,
            self.debt,
            self.version,
            summary.next_expire_at,
            summary.next_expire_amount,
            now,
            summary.next_event_at,
        )

    def written(self, now: datetime) -> Written:
        """Return the account before and after."""
        account = self.account
        after = Account(
            account.key,
            account.floor,
            account.ceiling,
            self.balance,
            self.version,
            self.summary(now),
            self.slides_until,
            None,
            None,
            account.state,
            self.debt,
        )
        return Written(account, after)

    def lots_made(self) -> Iterable[Lot]:
        """Return the lots that are new."""
        return [after for before, after in self.changed.values() if before is None]

    def lots_changed(self) -> Iterable[tuple[Lot, Lot]]:
        """Return the lots that were touched, before and after."""
        return [(before, after) for before, after in self.changed.values() if before is not None]

    def reserves_kept(self, *, new: bool) -> Iterable[Reserve]:
        """Return the reserves that are new, or the others that were touched."""
        return [
            self.reserves[place] for place, is_new in self.reserves_changed.items() if is_new is new
        ]


def _renewed(lot: Lot, amount: int, place: Place, *, expires_at: datetime, now: datetime) -> Lot:
    """Return what a refund makes of a part of a lot that has expired."""
    return lot._replace(
        id=accounts.handed_lot_id(lot.id, **place._asdict()),
        batch_id=place.batch_id,
        operation_index=place.operation_index,
        amount=amount,
        remaining=amount,
        held=0,
        expires_at=expires_at,
        expiry_given=True,
        created_at=now,
    )


def _unread(account: Account, now: datetime) -> Summary:
    """Return what comes to the lots and reserves that were read, from those that were not."""
    summary = account.summary
    if account.lots is None:
        return summary
    if account.has_more:
        return accounts.rest(account, now)
    if account.reserves is not None or summary.next_hold_at is None:
        return accounts.EMPTY
    return accounts.EMPTY._replace(
        next_event_at=summary.next_hold_at,
        held=summary.held,
        incoming=summary.incoming,
        next_hold_at=summary.next_hold_at,
    )
