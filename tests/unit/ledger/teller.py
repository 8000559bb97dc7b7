"""A bank clerk for engine tests: keeps what decisions write, in plain dictionaries."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from services.ledger import engine

START = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
SHOP = engine.key("points", engine.WORLD, "shop")
_NAMES = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
MEMBER = 2


def points(
    *,
    pending_days: int | None = 0,
    expiry: engine.Rolling | engine.Calendar | engine.Sliding | None = None,
    time_zone: str = "UTC",
    code: str = "points",
    ceiling: int | None = None,
    grace_days: int = 0,
) -> engine.Asset:
    """Return an asset that keeps lots."""
    policy = engine.LotPolicy(pending_days, expiry, time_zone, grace_days)
    return engine.Asset(code, 0, 0, ceiling, policy, START)


def plain(*, code: str = "points", floor: int = 0, ceiling: int | None = None) -> engine.Asset:
    """Return an asset that keeps no lots."""
    return engine.Asset(code, 0, floor, ceiling, None, START)


def days(number: float) -> engine.Rolling:
    """Return an expiry some days after activation, to the instant."""
    return engine.Rolling(0, int(number), engine.Rounding.NONE)


def batch_id(name: str) -> UUID:
    """Return the id of the batch called so."""
    return uuid5(_NAMES, name)


def member(name: str, code: str = "points") -> engine.Key:
    """Return a member's account."""
    return engine.key(code, MEMBER, name)


class Teller:
    """Posts batches one group at a time, as storage and committer would; time is `now`."""

    def __init__(self, *assets: engine.Asset) -> None:
        self.assets = {asset.code: asset for asset in assets}
        self.now = START
        self.accounts: dict[UUID, engine.Account] = {}
        self.lots: dict[UUID, engine.Lot] = {}
        self.posted: dict[UUID, engine.Batch] = {}
        self.entries: list[engine.EntryRow] = []
        self.transfers: list[engine.TransferRow] = []
        self.takes: list[engine.TakeRow] = []
        self.reversals: list[engine.ReversalRow] = []
        self.expiries: list[engine.ExpiryRow] = []
        self.holds: list[engine.HoldRow] = []
        self.reserves: dict[tuple[engine.Place, UUID], engine.Reserve] = {}
        self.tallies: dict[UUID, int] = {}
        #: How often the first lots of accounts were enough to decide, and how often not.
        self.briefs: Counter[str] = Counter()
        self._count = 0

    def at(self, day: float) -> "Teller":
        """Move the clock to some days after the start."""
        self.now = START + timedelta(days=day)
        return self

    def earn(self, amount: int, to: engine.Key | None = None, **terms: Any) -> Any:
        return self.transfer(SHOP, to or member("anna"), amount, **terms)

    def spend(self, amount: int, of: engine.Key | None = None, **terms: Any) -> Any:
        return self.transfer(of or member("anna"), SHOP, amount, **terms)

    def transfer(self, debit: engine.Key, credit: engine.Key, amount: int, **terms: Any) -> Any:
        return self.post(move(debit, credit, amount, **terms))

    def reverse(
        self,
        target: Any,
        amount: int,
        shortfall: engine.Shortfall = engine.Shortfall.REFUSE,
        index: int = 0,
    ) -> Any:
        place = engine.Place(target.batch.id, index)
        return self.post(engine.Reversal(place, amount, shortfall))

    def act(self, action: engine.Action, key: engine.Key | None = None) -> None:
        """Open, freeze or close an account."""
        key = key or member("anna")
        account = self.accounts.get(key.id)
        if account is None:
            account = engine.opened(key, self.assets[key.asset_code])._replace(version=1)
        self.accounts[key.id] = engine.changed(account, action)

    def debt(self, key: engine.Key | None = None) -> int:
        """Return what the owner of an account owes."""
        return self.balance(key).debt

    def release(self, target: Any) -> Any:
        return self.post(engine.Release(engine.Place(target.batch.id, 0)))

    def hold(self, amount: int, of: engine.Key | None = None, **terms: Any) -> Any:
        return self.post(hold(of or member("anna"), SHOP, amount, **terms))

    def capture(self, held: Any, amount: int | None = None, *, final: bool = False) -> Any:
        return self.post(engine.Capture(engine.Place(held.batch.id, 0), amount, final))

    def void(self, held: Any) -> Any:
        return self.post(engine.Void(engine.Place(held.batch.id, 0)))

    def post(self, *operations: Any) -> Any:
        """Post one batch."""
        return self.group(self.batch(*operations))[0]

    def batch(
        self, *operations: engine.Operation, name: str = "", occurred_at: datetime | None = None
    ) -> engine.Batch:
        self._count += 1
        name = name or f"batch {self._count}"
        return engine.Batch(batch_id(name), operations, "", "", occurred_at or self.now)

    def group(self, *batches: engine.Batch) -> Any:
        """Post several batches in one go."""
        found = {place: self._target(place) for place in engine.targets(batches)}
        targets = {place: target for place, target in found.items() if target is not None}
        plan = engine.plan(batches, assets=self.assets, targets=targets)
        accounts = {
            account_id: self._read(
                self.accounts[account_id],
                deep=account_id in plan.deep,
                holds=plan.holds if account_id in plan.holding else None,
            )
            for account_id in plan.keys
            if account_id in self.accounts
        }
        for account in list(accounts.values()):
            if account.debt:
                debt = self.accounts[engine.debt_key(account.key).id]
                accounts.setdefault(debt.key.id, self._read(debt, deep=False))
        lots = {lot_id: self.lots[lot_id] for lot_id in plan.lots if lot_id in self.lots}
        expired = {lot_id: self._expired(lot_id) for lot_id in plan.claimed}
        facts = engine.Facts(self.assets, accounts, targets, lots, expired)
        outcome = engine.post(facts, batches, now=self.now)
        self._check_brief(plan, facts, batches, outcome)
        self._keep(outcome.changes)
        for decision in outcome.decisions:
            if isinstance(decision, engine.Posted):
                self.posted[decision.batch.id] = decision.batch
        return outcome.decisions

    def plan_of(self, *operations: Any) -> engine.Plan:
        """Return what posting these operations would read."""
        return engine.plan([self.batch(*operations)], assets=self.assets, targets={})

    def sweep(self) -> engine.Changes:
        """Book what is past its expiry, on every account."""
        due = [account.key for account in self.accounts.values()]
        accounts = {key.id: self._read(self.accounts[key.id], deep=True) for key in due}
        facts = engine.Facts(self.assets, accounts, {}, {})
        changes = engine.post(facts, [], now=self.now, due=due).changes
        self._keep(changes)
        return changes

    def balance(self, key: engine.Key | None = None) -> engine.Balance:
        """Return what an account holds now."""
        key = key or member("anna")
        account = self.accounts.get(key.id) or engine.opened(key, self.assets[key.asset_code])
        return engine.balance_at(self._read(account, deep=False), self.now)

    def available(self, key: engine.Key | None = None) -> int:
        return self.balance(key).available

    def held(self, key: engine.Key | None = None) -> tuple[int, int]:
        """Return what is available and what is pending."""
        balance = self.balance(key)
        return balance.available, balance.pending

    def live(self, key: engine.Key | None = None) -> list[engine.Lot]:
        """Return the lots of an account that have something left, as they will be spent."""
        key = key or member("anna")
        account = self.accounts[key.id]
        lots = [lot for lot in self.lots.values() if lot.account_id == key.id and lot.remaining]
        return sorted(lots, key=lambda lot: engine.spending_order(lot, account.slides_until))

    def sum(self) -> int:
        """Return the sum over all accounts."""
        kept = sum(account.balance for account in self.accounts.values())
        return kept + sum(self.tallies.values())

    def _read(self, account: engine.Account, *, deep: bool, holds: Any = None) -> engine.Account:
        lots = reserves = None
        is_due = engine.is_due(account, self.now)
        if holds is not None or (is_due and account.summary.next_hold_at is not None):
            deep = True
            reserves = tuple(
                one
                for (place, account_id), one in self.reserves.items()
                if account_id == account.key.id
                and (one.state is engine.HoldState.ACTIVE or place in (holds or ()))
            )
        if deep or is_due:
            from_ = account.summary.lots_from
            lots = tuple(
                lot
                for lot in self.lots.values()
                if lot.account_id == account.key.id
                and lot.remaining
                and (lot.expires_at is None or (from_ is not None and lot.expires_at >= from_))
            )
        return account._replace(lots=lots, reserves=reserves)

    def _check_brief(
        self,
        plan: engine.Plan,
        facts: engine.Facts,
        batches: tuple[engine.Batch, ...],
        outcome: engine.Outcome,
    ) -> None:
        """Decide with the first lots of each account alone: the same comes of it, or LotsUnread."""
        for count in (1, 2, 3):
            accounts = dict(facts.accounts)
            for account_id in plan.brief.keys() & accounts.keys():
                account = accounts[account_id]
                if account.reserves is not None or engine.is_due(account, self.now):
                    continue
                assert account.lots is not None
                lots = sorted(account.lots, key=lambda lot: engine.spending_order(lot, None))
                accounts[account_id] = account._replace(
                    lots=tuple(lots[:count]), has_more=len(lots) >= count
                )
            try:
                brief = engine.post(replace(facts, accounts=accounts), batches, now=self.now)
            except engine.LotsUnread:
                self.briefs["unread"] += 1
                continue
            self.briefs["decided"] += any(one.has_more for one in accounts.values())
            assert _told(brief) == _told(outcome)

    def _keep(self, changes: engine.Changes) -> None:
        for written in changes.accounts:
            before = self.accounts.get(written.before.key.id)
            assert written.before.version == (before.version if before else 0)
            self.accounts[written.after.key.id] = written.after
        for lot in changes.lots_made:
            assert lot.id not in self.lots
            self.lots[lot.id] = lot
        for before_lot, after in changes.lots_changed:
            assert self.lots[after.id] == before_lot
            self.lots[after.id] = after
        for reserve in changes.reserves_made:
            assert (reserve.place, reserve.account_id) not in self.reserves
            self.reserves[reserve.place, reserve.account_id] = reserve
        for reserve in changes.reserves_changed:
            known = self.reserves[reserve.place, reserve.account_id]
            assert known.state is engine.HoldState.ACTIVE
            self.reserves[reserve.place, reserve.account_id] = reserve
        moved = {(row.account_id, row.batch_id, row.operation_index) for row in changes.entries}
        for take in changes.takes:
            # By its entry a take is found again, and by nothing else.
            assert (take.account_id, take.batch_id, take.operation_index) in moved
        self.holds += changes.holds
        self.reversals += changes.reversals
        self.entries += changes.entries
        self.transfers += changes.transfers
        self.takes += changes.takes
        self.expiries += changes.expiries
        for key, amount in changes.tallies.items():
            self.tallies[key.id] = self.tallies.get(key.id, 0) + amount

    def _expired(self, lot_id: UUID) -> int:
        booked = {row[:2] for row in self.transfers if row.reason == engine.EXPIRE}
        return sum(row.amount for row in self.takes if row.lot_id == lot_id and row[:2] in booked)

    def _target(self, place: engine.Place) -> engine.Target | None:
        batch = self.posted.get(place.batch_id)
        if batch is None or place.operation_index >= len(batch.operations):
            return None
        row = next((row for row in self.transfers if row[:2] == place), None)
        held = next((row for row in self.holds if row.place == place), None)
        if held is not None:
            return engine.Held(held.debit, held.credit, held.amount, held.reason, held.campaign_id)
        if row is None or row.reason in engine.IRREVERSIBLE:
            return engine.Other()
        operation = batch.operations[place.operation_index]
        if isinstance(operation, engine.Capture):
            transfer: Any = next(row for row in self.holds if row.place == operation.target)
        else:
            assert isinstance(operation, engine.Transfer)
            transfer = operation
        undone = [one.amount for one in self.reversals if one[:2] == place]
        return engine.Moved(
            transfer.debit,
            transfer.credit,
            row.amount,
            row.campaign_id,
            row.occurred_at,
            tuple(
                engine.LotPart(take.lot_id, take.account_id, take.amount)
                for take in self.takes
                if take[:2] == place
            ),
            sum(undone),
            len(undone),
        )


def move(
    debit: engine.Key,
    credit: engine.Key,
    amount: int,
    *,
    up_to: bool = False,
    activates_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> engine.Transfer:
    """Return a transfer."""
    return engine.Transfer(debit, credit, amount, 1, "", up_to, activates_at, expires_at)


def hold(
    debit: engine.Key,
    credit: engine.Key,
    amount: int,
    *,
    up_to: bool = False,
    life: timedelta = timedelta(days=1),
) -> engine.Hold:
    """Return a hold."""
    return engine.Hold(debit, credit, amount, 2, "", up_to, life)


def refusal(decision: engine.Decision) -> Any:
    """Return why a batch was refused, None when it was not."""
    return decision.refusal if isinstance(decision, engine.Refused) else None


def _told(outcome: engine.Outcome) -> Any:
    """Return what an outcome says, but for what was read of the accounts before."""
    after = [written.after for written in outcome.changes.accounts]
    changes = replace(outcome.changes, accounts=())
    return list(map(repr, outcome.decisions)), after, changes
