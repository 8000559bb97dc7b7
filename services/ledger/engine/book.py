"""Accounts while they are being decided on: pages that operations write on, and the rows made."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Account, Balance, Key, Lot, Summary
from services.ledger.engine.assets import Asset
from services.ledger.engine.batches import (
    BY_LEDGER,
    EXPIRE,
    EntryRow,
    ExpiryRow,
    LotPart,
    Place,
    ReversalRow,
    TakeRow,
    TransferRow,
    Written,
)

#: The account of the world that takes what passes its expiry.
BREAKAGE = "breakage"


class Rows:
    """Rows to be written, in the order in which they were made."""

    __slots__ = ("entries", "expiries", "reversals", "takes", "tallies", "transfers")

    def __init__(self) -> None:
        self.transfers: list[TransferRow] = []
        self.entries: list[EntryRow] = []
        self.takes: list[TakeRow] = []
        self.reversals: list[ReversalRow] = []
        self.expiries: list[ExpiryRow] = []
        self.tallies: defaultdict[Key, int] = defaultdict(int)

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
        for key, amount in other.tallies.items():
            self.tallies[key] += amount


class Page:
    """One account with a running balance, as the operations so far have left it.

    Its lots are all the live ones, or, when they were not read, those that came since; `unread`
    then sums up the others. Due expiries are booked when a page is opened, into rows that wait
    until a batch on the page is posted.
    """

    __slots__ = (
        "_summary",
        "account",
        "asset",
        "balance",
        "changed",
        "lots",
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
        self.slides_until = account.slides_until
        self.unread = account.summary if account.lots is None else accounts.NO_LOTS
        self.lots: dict[UUID, Lot] = {lot.id: lot for lot in account.lots or ()}
        self.changed: dict[UUID, tuple[Lot | None, Lot]] = {}
        self._summary: Summary | None = None
        self.waiting: Rows | None = None
        if accounts.needs_lots(account, now):
            if account.lots is None:
                raise ValueError("the lots of an account with due changes were not read")
            self.waiting = Rows()
            self.expire(now, self.waiting)

    def copy(self) -> "Page":
        """Return a page that can be written on without touching this one."""
        page = Page.__new__(Page)
        page.account = self.account
        page.asset = self.asset
        page.balance = self.balance
        page.version = self.version
        page.slides_until = self.slides_until
        page.unread = self.unread
        page.lots = self.lots.copy()
        page.changed = self.changed.copy()
        page.waiting = self.waiting
        page._summary = None  # noqa: SLF001
        return page

    @property
    def room(self) -> int:
        """How much may still come."""
        ceiling = self.account.ceiling
        if ceiling is None or ceiling > accounts.BALANCE_MAX:
            ceiling = accounts.BALANCE_MAX
        return max(ceiling - self.balance, 0)

    @property
    def above_floor(self) -> int:
        """How much may be taken from a balance without lots."""
        return max(self.balance - self.account.floor, 0)

    def spendable_lots(self, now: datetime) -> list[Lot]:
        """Return the active lots in the order in which they are spent."""
        active = [lot for lot in self.lots.values() if not lot.is_pending(now)]
        if len(active) > 1:
            active.sort(key=lambda lot: accounts.spending_order(lot, self.slides_until))
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
            part = min(lot.remaining, amount)
            amount -= part
            self.put(lot, lot.holding(lot.remaining - part))
            parts.append(LotPart(lot.id, lot.account_id, part))
            rows.take(place, lot, part)
        return parts

    def give_back(
        self, parts: Iterable[LotPart], known: dict[UUID, Lot], place: Place, rows: Rows
    ) -> None:
        """Restore parts of lots; `known` has the lots that were spent before."""
        for part in parts:
            changed = self.changed.get(part.lot_id)
            lot = changed[1] if changed else self.lots.get(part.lot_id) or known[part.lot_id]
            self.put(lot, lot.holding(lot.remaining + part.amount))
            rows.take(place, lot, -part.amount)

    def put(self, before: Lot | None, after: Lot) -> None:
        """Replace a lot, or add a new one."""
        first = self.changed.get(after.id)
        self.changed[after.id] = (before if first is None else first[0], after)
        if after.remaining:
            self.lots[after.id] = after
        else:
            self.lots.pop(after.id, None)

    def expire(self, now: datetime, rows: Rows) -> None:
        """Book what is past its expiry: one movement for each expiry that lots had."""
        due: defaultdict[datetime, list[Lot]] = defaultdict(list)
        for lot in self.lots.values():
            ends = accounts.expiry(lot, self.slides_until)
            if ends is not None and ends <= now:
                due[ends].append(lot)
        for ends in sorted(due):
            self._expire_together(sorted(due[ends], key=lambda lot: lot.id), ends, rows)

    def _expire_together(self, lots: Sequence[Lot], ends: datetime, rows: Rows) -> None:
        key = self.account.key
        amount = sum(lot.remaining for lot in lots)
        place = Place(accounts.expiry_id(key.id, self.version + 1), BY_LEDGER)
        breakage = accounts.key(key.asset_code, accounts.WORLD, BREAKAGE)
        self.take(lots, amount, place, rows)
        self.move(-amount, place, rows)
        rows.transfers.append(TransferRow(*place, key.id, breakage.id, amount, EXPIRE, "", ends))
        rows.tallies[breakage] += amount
        rows.expiries.append(ExpiryRow(key, amount, ends))

    def summary(self, now: datetime) -> Summary:
        """Return what the lots come to, once nothing changes on the page any more."""
        if self.asset.lots is None:
            return accounts.NO_LOTS
        if self._summary is None:
            self._summary = accounts.summarise(
                self.lots.values(), now=now, slides_until=self.slides_until, base=self.unread
            )
        return self._summary

    def view(self, now: datetime) -> Balance:
        """Return what the account holds."""
        summary = self.summary(now)
        return Balance(
            self.account.key,
            self.balance - summary.pending,
            summary.pending,
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
        )
        return Written(account, after)

    def lots_made(self) -> Iterable[Lot]:
        """Return the lots that are new."""
        return [after for before, after in self.changed.values() if before is None]

    def lots_changed(self) -> Iterable[tuple[Lot, Lot]]:
        """Return the lots that were touched, before and after."""
        return [(before, after) for before, after in self.changed.values() if before is not None]
