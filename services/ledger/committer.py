"""Group commit: the requests in flight share one transaction.

While one group is being written, the next gathers. Batches are decided in the order in which they
came, on facts read without locks; when somebody else was faster, the round is repeated with locks.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram
from tessera.event.v1 import event_pb2
from tessera.ledger.v1 import batch_pb2

from services.chassis import clock, errors, ids, outbox
from services.ledger import engine, wire
from services.ledger.pace import Pace
from services.ledger.storage import Assets, Postings, Stale, StoredBatch
from services.ledger.wire import Order

Publish = Callable[[Sequence[engine.Balance]], Awaitable[None]]
#: Reads the batches of one caller; what it raises, that caller is told.
Read = Callable[[], Sequence[Order]]

BATCHES = Counter("ledger_batches", "Batches answered, by outcome", ["outcome"])
_POSTED, _REFUSED, _REPLAYED = map(BATCHES.labels, ("posted", "refused", "replayed"))
GROUP_SIZE = Histogram(
    "ledger_group_size", "Batches in one transaction", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
RETRIES = Counter("ledger_group_retries", "Groups decided again because facts had changed")

SECOND_READS = Counter(
    "ledger_second_reads",
    "Reads of all lots after the first of an account: of `accounts` before a group was decided, of "
    "whole `groups` when deciding asked for them",
    ["of"],
)
_ACCOUNTS_REREAD, _GROUPS_REREAD = map(SECOND_READS.labels, ("accounts", "groups"))

_ROUNDS_MAX = 20
#: How long a group is tried again while the database is away or its answer was lost, in seconds.
_PATIENCE_S = 2.0
_RETRY_S = 0.1
#: How long accounts are locked beforehand after somebody else was faster, in seconds.
_CAUTION_S = 1.0
#: Waiting for company ends early when nobody came for this long, in seconds.
_QUIET_S = 0.002
#: A clock that goes back further than this was wrong before.
_STEP_BACK_MAX = timedelta(minutes=1)

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Call:
    """One caller who waits: for the answers to batches, or for due expiries to be booked."""

    orders: Sequence[Order]
    due: Sequence[engine.Key]
    answers: "asyncio.Future[list[batch_pb2.BatchResult]]"
    #: What still has to be called for the orders.
    read: Read | None = None

    @property
    def weight(self) -> int:
        return len(self.due) + sum(len(order.batch.operations) for order in self.orders)

    def is_good(self) -> bool:
        """Tell whether there is something to do: nobody has gone, and the orders make sense."""
        if self.answers.done():
            return False
        if self.read is not None:
            try:
                self.orders, self.read = self.read(), None
            except Exception as error:  # noqa: BLE001  it is the caller's, whatever it is
                self.answers.set_exception(error)
                return False
        return True


class _Answered(NamedTuple):
    """A batch with its answer; `order` is the one that brought it about, if that was just now."""

    request: bytes
    answer: bytes
    order: Order | None
    result: batch_pb2.BatchResult | None


@dataclass(frozen=True, slots=True)
class _Round:
    """What one transaction made of a group."""

    answered: Mapping[UUID, _Answered]
    balances: Sequence[engine.Balance]
    now: datetime


class Committer:
    """Answers batches after their outcome is on disk. `run` must be running."""

    def __init__(
        self,
        postings: Postings,
        assets: Assets,
        *,
        publish: Publish,
        now: clock.Clock = clock.system,
        pace_s: float = 0.004,
        group_operations_max: int = 2000,
    ) -> None:
        self._postings = postings
        self._assets = assets
        self._publish = publish
        self._now = now
        self._pace = Pace(longest_s=pace_s, quiet_s=_QUIET_S)
        self._group_operations_max = group_operations_max
        self._waiting: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        self._cautious_until = 0.0
        self._latest: datetime | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    async def post(self, orders: Sequence[Order]) -> list[batch_pb2.BatchResult]:
        """Return one answer for each batch, when all are on disk.

        Raises the chassis' Unavailable, DeadlineExceeded or Contention when that could not be
        brought about; the outcome is then unknown, and the same call finds out.
        """
        return await self._enqueue(orders=orders)

    async def post_unread(self, read: Read) -> list[batch_pb2.BatchResult]:
        """Do as `post` with orders that are read when their group is formed.

        Reading those of a whole group in one go costs a third of reading each when it comes:
        between the work of others nothing that it needs is left in the processor's caches.
        """
        return await self._enqueue(read=read)

    async def sweep(self, due: Sequence[engine.Key]) -> None:
        """Book the due expiries of accounts."""
        await self._enqueue(due=due)

    async def run(self) -> None:
        """Commit group after group until cancelled."""
        while True:
            await self._arrived.wait()
            await self._pace.gather(self._waiting)
            calls = self._take()
            if calls:
                await self._commit(calls)

    async def _enqueue(
        self,
        *,
        orders: Sequence[Order] = (),
        due: Sequence[engine.Key] = (),
        read: Read | None = None,
    ) -> list[batch_pb2.BatchResult]:
        answers: asyncio.Future[list[batch_pb2.BatchResult]] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiting.append(_Call(orders, due, answers, read))
        self._arrived.set()
        return await answers

    def _take(self) -> list[_Call]:
        """Take the calls that came first, as many as one transaction should carry."""
        calls: list[_Call] = []
        room = self._group_operations_max
        while self._waiting:
            call = self._waiting[0]
            if call.is_good():
                room -= call.weight
                if calls and room < 0:
                    break
                calls.append(call)
            self._waiting.popleft()
        if not self._waiting:
            self._arrived.clear()
        return calls

    async def _commit(self, calls: Sequence[_Call]) -> None:
        try:
            done = await self._persist(calls)
        except errors.Refusal as refusal:
            for call in calls:
                _fail(call, refusal)
        except Exception as error:  # whatever it is, it is the fault of one call, not of all
            if len(calls) > 1:
                log.exception("group failed, its calls go one by one", calls=len(calls))
                for call in calls:
                    await self._commit([call])
            else:
                _fail(calls[0], error)
        else:
            farewell = asyncio.create_task(self._answer(calls, done))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)

    async def _answer(self, calls: Sequence[_Call], done: _Round) -> None:
        """Show the new balances, then answer; the next group is already under way."""
        try:
            if done.balances:
                await self._publish(done.balances)
        finally:
            for call in calls:
                if not call.answers.done():
                    call.answers.set_result([_answer(order, done) for order in call.orders])

    async def _persist(self, calls: Sequence[_Call]) -> _Round:
        """Decide and write a group, again and again until it stands."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _PATIENCE_S
        for _ in range(_ROUNDS_MAX):
            try:
                return await self._attempt(calls, with_locks=loop.time() < self._cautious_until)
            except Stale:
                RETRIES.inc()
                self._cautious_until = loop.time() + _CAUTION_S
            except (errors.Unavailable, errors.DeadlineExceeded):
                # Whether it was written is unknown; the ids tell in the next round.
                if loop.time() > give_up_at:
                    raise
                await asyncio.sleep(_RETRY_S)
        raise errors.Contention

    async def _attempt(self, calls: Sequence[_Call], *, with_locks: bool) -> _Round:
        orders: dict[UUID, Order] = {}
        for call in calls:
            for order in call.orders:
                orders.setdefault(order.batch.id, order)
        due = [key for call in calls for key in call.due]
        batches = [order.batch for order in orders.values()]
        targets = await self._postings.targets(engine.targets(batches))
        codes = engine.asset_codes(batches) | engine.target_codes(targets.values())
        assets = await self._assets.get(codes.union(key.asset_code for key in due))
        plan = engine.plan(batches, assets=assets, targets=targets, due=due)
        now = self._instant()
        async with self._postings.round(with_locks=with_locks) as source:
            while True:
                tables = await self._postings.read(
                    plan, list(orders), now=now, source=source, with_locks=with_locks
                )
                if tables.reread:
                    _ACCOUNTS_REREAD.inc(tables.reread)
                fresh = [order for order in orders.values() if order.batch.id not in tables.known]
                if tables.known:
                    await self._require_targets(fresh, targets, tables.known)
                facts = engine.Facts(assets, tables.accounts, targets, tables.lots, tables.expired)
                try:
                    outcome = engine.post(facts, [order.batch for order in fresh], now=now, due=due)
                    break
                except engine.LotsUnread:
                    _GROUPS_REREAD.inc()
                    plan = replace(plan, brief={})
            answered = _answered(fresh, outcome, now)
            if answered or outcome.changes.accounts:
                events = outbox.rows(*_events(fresh, outcome))
                stored = list(map(_stored, fresh, answered, outcome.decisions))
                await self._postings.write(
                    outcome.changes,
                    stored,
                    events,
                    now=now,
                    source=source,
                    with_locks=with_locks,
                )
        GROUP_SIZE.observe(len(orders))
        kept = {order.batch.id: one for order, one in zip(fresh, answered, strict=True)}
        for batch_id, known in tables.known.items():
            kept[batch_id] = _Answered(known.request, known.answer, None, None)
        shown = _balances(outcome, now)
        if len(orders) > len(fresh) or any(
            isinstance(decision, engine.Refused) for decision in outcome.decisions
        ):
            shown += _unchanged(facts, outcome, now)
        return _Round(kept, shown, now)

    async def _require_targets(
        self,
        fresh: Iterable[Order],
        targets: Mapping[engine.Place, engine.Target],
        known: Container[UUID],
    ) -> None:
        """Raise Stale when a batch was posted elsewhere after it was looked for as a target."""
        unseen = [
            place
            for place in engine.targets(order.batch for order in fresh)
            if place.batch_id in known and place not in targets
        ]
        if unseen and await self._postings.targets(unseen):
            raise Stale

    def _instant(self) -> datetime:
        """Return the time; a clock that is put back a little stands still instead."""
        now = self._now()
        if self._latest is None or not now < self._latest < now + _STEP_BACK_MAX:
            self._latest = now
        return self._latest


def _answered(orders: Iterable[Order], outcome: engine.Outcome, now: datetime) -> list[_Answered]:
    results = (wire.result(decision, now=now) for decision in outcome.decisions)
    return [
        _Answered(order.request, result.SerializeToString(), order, result)
        for order, result in zip(orders, results, strict=True)
    ]


def _stored(order: Order, answered: _Answered, decision: engine.Decision) -> StoredBatch:
    batch = order.batch
    return StoredBatch(
        batch.id,
        order.request,
        answered.answer,
        isinstance(decision, engine.Refused),
        len(batch.operations),
        batch.receipt_id,
        batch.operator_id,
        batch.occurred_at,
    )


def _events(orders: Iterable[Order], outcome: engine.Outcome) -> list[event_pb2.Event]:
    posted = [
        wire.posted(order, decision)
        for order, decision in zip(orders, outcome.decisions, strict=True)
        if isinstance(decision, engine.Posted)
    ]
    return [*posted, *map(wire.expired, outcome.changes.expiries)]


def _balances(outcome: engine.Outcome, now: datetime) -> list[engine.Balance]:
    """Return what the accounts that changed hold now."""
    return [engine.balance_at(written.after, now) for written in outcome.changes.accounts]


def _unchanged(facts: engine.Facts, outcome: engine.Outcome, now: datetime) -> list[engine.Balance]:
    """Return what accounts hold that refused or repeated batches name, as it was read.

    A process that was killed between writing and showing leaves old copies behind, and callers who
    trust those are refused, or ask again. Both find out here, and so do all who read after them.
    """
    changed = {written.after.key.id for written in outcome.changes.accounts}
    return [
        engine.balance_at(account, now)
        for account in facts.accounts.values()
        if account.version
        and account.key.id not in changed
        and (account.lots is not None or not engine.is_due(account, now))
    ]


def _answer(order: Order, done: _Round) -> batch_pb2.BatchResult:
    """Return what this order is told: the answer, its repetition, or whose id it has taken."""
    answered = done.answered[order.batch.id]
    if answered.result is not None and answered.order is order:
        is_posted = answered.result.state == batch_pb2.BATCH_STATE_POSTED
        (_POSTED if is_posted else _REFUSED).inc()
        return answered.result
    difference = wire.first_difference(answered.request, order.request)
    if difference is None:
        _REPLAYED.inc()
        return wire.replay(answered.answer)
    _REFUSED.inc()
    shown = ids.show(wire.BATCH, order.batch.id)
    return wire.conflict(shown, field=difference, now=done.now)


def _fail(call: _Call, error: Exception) -> None:
    if not call.answers.done():
        call.answers.set_exception(error)
