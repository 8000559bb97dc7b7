"""Corrections by hand: decided first, then posted like any other batch.

An adjustment's batch has its id, so that posting it again after a lost answer changes nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from tessera.ledger.v1 import account_pb2, adjustment_service_pb2, batch_pb2, error_reason_pb2

from services.chassis import clock, database, differences, errors, ids, timestamps
from services.ledger import engine, wire
from services.ledger import errors as refusals
from services.ledger.committer import Committer
from services.ledger.storage import Adjustments
from services.ledger.storage.adjustments import Act, Kept

pb = adjustment_service_pb2

ADJUSTMENT = "adj"
#: The account of the world that adjustments come from and go to.
_SOURCE = "adjustment"
#: What is approved and not posted after this long was left behind by a process that is gone.
_ABANDONED = timedelta(seconds=10)
_INTERVAL_S = 30.0
_PAGE = 200
_NOBODY = UUID(int=0)

log = structlog.get_logger()

Decide = Callable[[engine.Adjustment, datetime], engine.Adjustment]


class Adjusting:
    """Decides about adjustments and posts them. `run` finishes what was left behind."""

    def __init__(
        self,
        kept: Adjustments,
        committer: Committer,
        *,
        life: timedelta,
        now: clock.Clock = clock.system,
    ) -> None:
        self._kept = kept
        self._committer = committer
        self._life = life
        self._now = now

    async def propose(self, sent: pb.ProposeAdjustmentRequest, *, by: str) -> Kept:
        """Return an adjustment that is posted, refused, or waits. Raises AdjustmentConflict."""
        key, request = wire.key(sent.account), sent.SerializeToString(deterministic=True)
        adjustment_id = ids.parse(ADJUSTMENT, sent.adjustment_id)
        async with self._kept.transaction() as tx:
            await self._kept.enter(tx, adjustment_id, by)
            kept = await self._kept.lock(tx, adjustment_id)
            if kept is None:
                now = self._now()
                fresh = engine.Adjustment(
                    adjustment_id,
                    key.asset_code,
                    key.id,
                    sent.amount,
                    engine.AdjustmentState.PENDING,
                    "",
                    by,
                    now,
                    None,
                    now + self._life,
                )
                limit = await self._kept.limit(tx, key.asset_code, by)
                alone = await self._kept.alone(
                    tx, by, key.asset_code, since=now - engine.ADJUSTMENT_DAY
                )
                fresh = engine.proposed(fresh, limit=limit, alone=alone)
                kept = Kept(request, fresh)
                await self._kept.insert(tx, kept)
                propose = engine.AdjustmentAction.PROPOSE
                act = Act(propose, by, sent.operator_name, sent.note, now)
                await self._kept.act(tx, adjustment_id, act)
        if kept.adjustment.operator_id != by:
            raise refusals.AdjustmentConflict(field="operator")
        first = pb.ProposeAdjustmentRequest.FromString(kept.request)
        if difference := differences.find_difference(first, sent):
            raise refusals.AdjustmentConflict(field=difference)
        return await self._posted(kept)

    async def approve(self, adjustment_id: UUID, *, by: str, operator_name: str, note: str) -> Kept:
        """Approve and post. Raises AdjustmentNotFound, AdjustmentDecided or SameOperator."""
        action = engine.AdjustmentAction.APPROVE
        kept = await self._decide(
            adjustment_id,
            lambda one, now: engine.approved(one, by=by, now=now),
            Act(action, by, operator_name, note, self._now()),
        )
        return await self._posted(kept)

    async def reject(self, adjustment_id: UUID, *, by: str, operator_name: str, note: str) -> Kept:
        """Reject. Raises AdjustmentNotFound or AdjustmentDecided."""
        action = engine.AdjustmentAction.REJECT
        return await self._decide(
            adjustment_id,
            lambda one, now: engine.rejected(one, now=now),
            Act(action, by, operator_name, note, self._now()),
        )

    async def run(self) -> None:
        """Finish what was left behind, again and again until cancelled."""
        while True:
            try:
                await self.settle()
            except errors.Refusal as refusal:
                log.warning("adjustments wait", error=refusal.message)
            await asyncio.sleep(_INTERVAL_S)

    async def settle(self) -> None:
        """Post what was approved and left behind, and close what nobody approved in time."""
        after: UUID | None = _NOBODY
        while after is not None:
            found = await self._kept.open(after=after, limit=_PAGE)
            for adjustment in found:
                await self._finish(adjustment)
            after = found[-1].id if len(found) == _PAGE else None

    async def _finish(self, adjustment: engine.Adjustment) -> None:
        now = self._now()
        if adjustment.at(now).state is engine.AdjustmentState.EXPIRED:
            await self._expire(adjustment.id, now)
        elif adjustment.decided_at is not None and adjustment.decided_at < now - _ABANDONED:
            kept = await self._kept.get(adjustment.id)
            assert kept is not None
            await self._posted(kept)

    async def _expire(self, adjustment_id: UUID, now: datetime) -> None:
        async with self._kept.transaction() as tx:
            kept = await self._kept.lock(tx, adjustment_id)
            assert kept is not None
            over = kept.adjustment.at(now)
            if over != kept.adjustment:
                await self._kept.update(tx, over)
                act = Act(engine.AdjustmentAction.EXPIRE, "", "", "", now)
                await self._kept.act(tx, adjustment_id, act)

    async def _decide(self, adjustment_id: UUID, decide: Decide, act: Act) -> Kept:
        """Decide about an adjustment; who already has decided so is told what became of it."""
        async with self._kept.transaction() as tx:
            kept = await self._kept.lock(tx, adjustment_id)
            if kept is None:
                raise refusals.AdjustmentNotFound
            if await self._is_done(tx, adjustment_id, act):
                return kept
            decided = decide(kept.adjustment, self._now())
            await self._kept.update(tx, decided)
            await self._kept.act(tx, adjustment_id, act)
        return Kept(kept.request, decided)

    async def _is_done(self, tx: database.Queryable, adjustment_id: UUID, act: Act) -> bool:
        acts = await self._kept.acts(adjustment_id, tx)
        return any(one[:2] == act[:2] for one in acts)

    async def _posted(self, kept: Kept) -> Kept:
        """Post what is approved and not posted; return what became of it."""
        adjustment = kept.adjustment
        if adjustment.state is not engine.AdjustmentState.APPROVED:
            return kept
        order = wire.order(_batch(kept))
        result = (await self._committer.post([order]))[0]
        state, refusal = engine.AdjustmentState.POSTED, ""
        if result.state == batch_pb2.BATCH_STATE_REFUSED:
            state = engine.AdjustmentState.REFUSED
            name = error_reason_pb2.ErrorReason.Name(result.refusal.reason)
            refusal = name.removeprefix("ERROR_REASON_")
        done = replace(adjustment, state=state, refusal=refusal)
        async with self._kept.transaction() as tx:
            await self._kept.update(tx, done)
        return Kept(kept.request, done)


def _batch(kept: Kept) -> batch_pb2.Batch:
    """Return the batch that posts an adjustment, always the same."""
    adjustment = kept.adjustment
    sent = pb.ProposeAdjustmentRequest.FromString(kept.request)
    assert adjustment.decided_at is not None
    world = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id=_SOURCE)
    gives = sent.amount > 0
    transfer = batch_pb2.Transfer(
        asset_code=adjustment.asset_code,
        debit=world if gives else sent.account.owner,
        credit=sent.account.owner if gives else world,
        amount=abs(sent.amount),
        reason=account_pb2.TRANSFER_REASON_ADJUST,
    )
    if sent.HasField("lot_expire_time"):
        transfer.lot_expire_time.CopyFrom(sent.lot_expire_time)
    return batch_pb2.Batch(
        batch_id=ids.show(wire.BATCH, adjustment.id),
        operations=[batch_pb2.Operation(transfer=transfer)],
        receipt_id=sent.receipt_id,
        occurred_time=timestamps.show(adjustment.decided_at),
        operator_id=adjustment.operator_id,
    )
