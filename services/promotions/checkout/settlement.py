"""From decided to done: batches are posted and their outcome is recorded, by whoever comes first.

What is to be posted is on disk before it is posted. So whoever finds a receipt half way, the call
that made it, a repeated call or the recovery, can take it to its end: the ledger answers a batch
the same way for ever, and each step of ours counts once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog
from tessera.event.v1 import event_pb2
from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import clock, database, ids, outbox
from services.chassis import errors as chassis_errors
from services.promotions import errors, storage
from services.promotions.checkout import conflicts, documents
from services.promotions.gathering import Gatherer
from services.promotions.peers.ledger import Ledger
from services.promotions.programs.counting import Counting
from services.promotions.storage.receipts import Event, Posting, Receipt
from services.promotions.storage.returns import Return
from services.promotions.wire import batches, events
from services.promotions.wire.batches import Terms

_ROWS_MAX = 200
#: How long a posted purchase may wait to be recorded together with others.
_LINGER_S = 0.02

log = structlog.get_logger()


class Settlement:
    """Takes receipts to their end. `run` belongs into the background of the server."""

    def __init__(
        self,
        db: database.Database,
        ledger: Ledger,
        terms: Terms,
        *,
        counting: Counting,
        relay: outbox.Relay,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._terms = terms
        self._counting = counting
        self._relay = relay
        self._now = now
        self._additions: Gatherer[tuple[Receipt, Event | None], bool] = Gatherer(
            self._add, weight_max=_ROWS_MAX
        )
        self._finishes: Gatherer[Posting, None] = Gatherer(
            self._finish, weight_max=_ROWS_MAX, linger_s=_LINGER_S
        )
        self._urgent: Gatherer[Posting, None] = Gatherer(self._finish, weight_max=_ROWS_MAX)

    async def run(self) -> None:
        """Write new receipts and record posted ones until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._additions.run())
            group.create_task(self._finishes.run())
            group.create_task(self._urgent.run())

    async def add(self, receipt: Receipt) -> bool:
        """Write a decided purchase; False when its key is in use."""
        event = None if receipt.state == storage.receipts.PENDING else _committed(receipt)
        return await self._additions.ask((receipt, event))

    async def _add(self, group: list[tuple[Receipt, Event | None]]) -> Sequence[bool]:
        # Of equal ids in one statement the first wins, as it would in two.
        first = {receipt.receipt_id: (receipt, event) for receipt, event in reversed(group)}
        if self._counting.is_idle:
            written = await storage.receipts.add(self._db, list(first.values()))
        else:
            async with self._db.transaction() as tx:
                written = await storage.receipts.add(tx, list(first.values()))
                await self._counting.purchased(
                    tx, [first[one][0] for one in written if first[one][1] is not None]
                )
        self._relay.nudge()
        return [
            receipt.receipt_id in written and first[receipt.receipt_id][0] is receipt
            for receipt, _ in group
        ]

    async def complete(self, receipt: Receipt) -> Receipt:
        """Post a pending purchase and record it; return it as committed.

        Raises BenefitGone or PointsPaymentTooHigh when the ledger refused, and then the key is
        free again; DependencyUnavailable when the outcome is open.
        """
        posting = await self._posted(receipt)
        await self._finishes.ask(posting)
        return _as_committed(posting)

    async def post(self, receipt: Receipt) -> Receipt:
        """Post a pending purchase; return it as committed, which is recorded within moments.

        The till need not wait for that: from the ledger's answer on nothing undoes the purchase,
        and whoever finds it pending completes it. Only what programs count is recorded at once,
        for the next cart must know of it. Raises what `complete` raises.
        """
        posting = await self._posted(receipt)
        if receipt.member_id and not self._counting.is_idle:
            await self._urgent.ask(posting)
        else:
            self._finishes.leave(posting)
        return _as_committed(posting)

    async def _posted(self, receipt: Receipt) -> Posting:
        batch = batch_pb2.Batch.FromString(receipt.batch)
        result = await self._ledger.post(batch)
        if result.state == batch_pb2.BATCH_STATE_REFUSED:
            if batches.is_prize_gone(batch, result.refusal):
                return await self._posted_without_prize(
                    receipt, batch, result.refusal.operation_index
                )
            if receipt.promised:
                return await self._posted_without(receipt, batch, result.refusal)
            await storage.receipts.drop(self._db, receipt)
            raise self._explained(batch, result)
        moved = _moved(result)
        wanted = [operation.transfer.amount for operation in batch.operations]
        is_short = receipt.promised and list(moved) != wanted
        return Posting(receipt, moved, _committed(receipt), is_short=is_short)

    async def _posted_without_prize(
        self, receipt: Receipt, batch: batch_pb2.Batch, index: int
    ) -> Posting:
        """Post a purchase without a prize of which none is out: that chance gets nothing."""
        rest = batches.without_prize(batch, index)
        if not rest.operations:
            return Posting(receipt, (0,) * len(batch.operations), _committed(receipt))
        return await self._posted(await self._rewrite(receipt, rest, receipt.conflicts))

    async def _rewrite(self, receipt: Receipt, batch: batch_pb2.Batch, told: bytes) -> Receipt:
        """Give a pending purchase another batch, under another id; return it as it is then."""
        batch.batch_id = new_batch_id()
        changed = replace(
            receipt,
            batch_id=batch.batch_id,
            batch=batch.SerializeToString(),
            conflicts=told,
        )
        if not await storage.receipts.replace_batch(self._db, receipt, changed, now=self._now()):
            raise errors.DependencyUnavailable(service="ledger", outcome="unknown")
        return changed

    async def _posted_without(
        self, receipt: Receipt, batch: batch_pb2.Batch, refusal: batch_pb2.BatchRefusal
    ) -> Posting:
        """Post what was promised without what the ledger will not have; that is a conflict."""
        index = refusal.operation_index
        if not 0 <= index < len(batch.operations) or len(batch.operations) == 1:
            log.error("a promised purchase moves nothing", batch=str(batch), why=str(refusal))
            return Posting(
                receipt, (0,) * len(batch.operations), _committed(receipt), is_short=True
            )
        told = conflicts.refused(batch.operations[index].transfer)
        rest = [one for place, one in enumerate(batch.operations) if place != index]
        again = batch_pb2.Batch()
        again.CopyFrom(batch)
        del again.operations[:]
        again.operations.extend(rest)
        found = conflicts.pack([*conflicts.unpack(receipt.conflicts), told])
        return await self._posted(await self._rewrite(receipt, again, found))

    async def record_plain(self, tx: database.Transaction, receipt: Receipt) -> Receipt:
        """Record a promised purchase that moves nothing as committed."""
        event, now = _committed(receipt), self._now()
        if await storage.receipts.finish_plain(tx, receipt, event=event, now=now):
            await self._counting.purchased(tx, [receipt])
        self._relay.nudge()
        return replace(receipt, state=storage.receipts.COMMITTED)

    async def _finish(self, postings: list[Posting]) -> Sequence[None]:
        different = {posting.receipt.receipt_id: posting for posting in postings}
        news, now = list(different.values()), self._now()
        if self._counting.is_idle:
            await storage.receipts.finish(self._db, news, now=now)
        else:
            async with self._db.transaction() as tx:
                finished = await storage.receipts.finish(tx, news, now=now)
                await self._counting.purchased(tx, [different[one].receipt for one in finished])
        self._relay.nudge()
        return [None] * len(postings)

    async def complete_void(self, receipt: Receipt) -> Receipt:
        """Post what undoes a purchase and record it; return it as voided.

        Raises DependencyUnavailable when the outcome is open.
        """
        batch = batch_pb2.Batch.FromString(receipt.undo_batch)
        result = await self._ledger.post(batch)
        if result.state == batch_pb2.BATCH_STATE_REFUSED:
            await storage.receipts.cancel_void(self._db, receipt, now=self._now())
            raise _defect(batch, result)
        undone = batches.settle_undo(batch, _moved(result)).SerializeToString()
        async with self._db.transaction() as tx:
            await self.record_void(tx, receipt, undone=undone)
        return replace(receipt, state=storage.receipts.VOIDED, undo_batch=undone)

    async def record_void(
        self, tx: database.Transaction, receipt: Receipt, *, undone: bytes = b""
    ) -> None:
        """Record a purchase as voided, when it is still in the state that it was read in.

        `undone` is the batch that undid it, with what it could move; empty when nothing had moved.
        """
        now = self._now()
        told = events.tell_voided(receipt.receipt_id, member_id=receipt.member_id, now=now)
        if await storage.receipts.finish_void(
            tx, receipt, undone=undone, event=_row(told), now=now
        ):
            await self._counting.voided(tx, replace(receipt, state=storage.receipts.VOIDED))
        self._relay.nudge()

    async def complete_return(self, returned: Return) -> Return:
        """Post a pending return and record it; return it as committed.

        Raises DependencyUnavailable when the outcome is open.
        """
        batch = batch_pb2.Batch.FromString(returned.batch)
        result = await self._ledger.post(batch)
        if result.state == batch_pb2.BATCH_STATE_REFUSED:
            await storage.returns.drop(self._db, returned)
            raise _defect(batch, result)
        async with self._db.transaction() as tx:
            return await self.record_return(tx, replace(returned, moved=_moved(result)))

    async def record_return(self, tx: database.Transaction, returned: Return) -> Return:
        """Record a pending return as committed, with what moved when anything did."""
        told = events.tell_returned(
            documents.show_return(returned, terms=self._terms.points),
            member_id=returned.member_id,
            empties=returned.empties,
        )
        moved = returned.moved if returned.batch else None
        event, now = _row(told), self._now()
        if await storage.returns.finish(tx, returned, moved=moved, event=event, now=now):
            await self._counting.returned(tx, returned)
        self._relay.nudge()
        return replace(returned, state=storage.returns.COMMITTED)

    def _explained(
        self, batch: batch_pb2.Batch, result: batch_pb2.BatchResult
    ) -> chassis_errors.Refusal:
        refusal = batches.explain_refusal(batch, result.refusal, terms=self._terms)
        return refusal or _defect(batch, result)


def _defect(batch: batch_pb2.Batch, result: batch_pb2.BatchResult) -> chassis_errors.Refusal:
    """Return the refusal for what must not be refused, and leave a trace of it."""
    log.error("the ledger refused a batch of ours", batch=str(batch), why=str(result.refusal))
    return chassis_errors.Internal()


def _moved(result: batch_pb2.BatchResult) -> tuple[int, ...]:
    return tuple(operation.amount for operation in result.operations)


def _as_committed(posting: Posting) -> Receipt:
    return replace(posting.receipt, state=storage.receipts.COMMITTED, moved=posting.moved)


def _committed(receipt: Receipt) -> Event:
    cart = checkout_service_pb2.CommitRequest.FromString(receipt.request).cart
    evaluation = checkout_pb2.Evaluation.FromString(receipt.evaluation)
    return _row(
        events.tell_committed(
            receipt.receipt_id,
            cart=cart,
            evaluation=evaluation,
            occurred_time=receipt.occurred_time,
        )
    )


def _row(event: event_pb2.Event) -> Event:
    event_ids, payloads = outbox.rows(event)
    return event_ids[0], payloads[0]


def new_batch_id() -> str:
    """Return a fresh batch id: a refused one is spent for ever, so every attempt has its own."""
    return ids.new(storage.receipts.BATCH_PREFIX)
