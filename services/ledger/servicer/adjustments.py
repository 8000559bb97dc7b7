"""Corrections by hand, method by method."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
from tessera.ledger.v1 import adjustment_service_pb2 as pb
from tessera.ledger.v1 import adjustment_service_pb2_grpc

from services.chassis import auth, clock, ids, timestamps
from services.ledger import adjusting, engine, errors, pages, wire
from services.ledger.adjusting import ADJUSTMENT, Adjusting
from services.ledger.servicer import known
from services.ledger.storage import Adjustments, Assets
from services.ledger.storage.adjustments import Act, Kept

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50
_NEWEST = datetime(9000, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1)


class AdjustmentServicer(adjustment_service_pb2_grpc.AdjustmentServiceServicer):
    """Answers operators. Who they are is the subject of their access token."""

    def __init__(
        self,
        work: Adjusting,
        kept: Adjustments,
        assets: Assets,
        *,
        now: clock.Clock = clock.system,
    ) -> None:
        self._work = work
        self._kept = kept
        self._assets = assets
        self._now = now

    async def ProposeAdjustment(
        self, request: pb.ProposeAdjustmentRequest, context: Context
    ) -> pb.ProposeAdjustmentResponse:
        """Propose, and post what needs nobody else."""
        key = wire.key(request.account)
        asset = await known.asset(self._assets, key.asset_code)
        adjustment_id = ids.parse(ADJUSTMENT, request.adjustment_id)
        if request.HasField("lot_expire_time"):
            if not engine.keeps_lots(key, asset):
                raise errors.LotsNotKept
            is_late = timestamps.read(request.lot_expire_time) <= self._now()
            if is_late and await self._kept.get(adjustment_id) is None:
                raise errors.TimeNotFuture
        done = await self._work.propose(request, by=auth.current().client_id)
        return pb.ProposeAdjustmentResponse(adjustment=await self._shown(done))

    async def ApproveAdjustment(
        self, request: pb.ApproveAdjustmentRequest, context: Context
    ) -> pb.ApproveAdjustmentResponse:
        """Agree to what somebody else proposed."""
        done = await self._work.approve(
            ids.parse(ADJUSTMENT, request.adjustment_id),
            by=auth.current().client_id,
            operator_name=request.operator_name,
            note=request.note,
        )
        return pb.ApproveAdjustmentResponse(adjustment=await self._shown(done))

    async def RejectAdjustment(
        self, request: pb.RejectAdjustmentRequest, context: Context
    ) -> pb.RejectAdjustmentResponse:
        """Disagree."""
        done = await self._work.reject(
            ids.parse(ADJUSTMENT, request.adjustment_id),
            by=auth.current().client_id,
            operator_name=request.operator_name,
            note=request.note,
        )
        return pb.RejectAdjustmentResponse(adjustment=await self._shown(done))

    async def GetAdjustment(
        self, request: pb.GetAdjustmentRequest, context: Context
    ) -> pb.GetAdjustmentResponse:
        """Read an adjustment."""
        kept = await self._kept.get(ids.parse(ADJUSTMENT, request.adjustment_id))
        if kept is None:
            raise errors.AdjustmentNotFound
        return pb.GetAdjustmentResponse(adjustment=await self._shown(kept))

    async def ListAdjustments(
        self, request: pb.ListAdjustmentsRequest, context: Context
    ) -> pb.ListAdjustmentsResponse:
        """List adjustments."""
        account_id = wire.key(request.account).id if request.HasField("account") else None
        name = f"adjustments {request.state} {account_id}"
        before = pages.position(name, request.page_token, _cursor)
        limit = request.page_size or _PAGE
        now = self._now()
        found = await self._kept.page(
            before=before or _NEWEST,
            state=request.state,
            account_id=account_id,
            now=now,
            limit=limit + 1,
        )
        response = pb.ListAdjustmentsResponse(
            adjustments=[_show(kept, now, ()) for kept in found[:limit]]
        )
        if len(found) > limit:
            last = found[limit - 1].adjustment
            response.next_page_token = pages.token(name, last.proposed_at, last.id)
        return response

    async def SetAdjustmentLimit(
        self, request: pb.SetAdjustmentLimitRequest, context: Context
    ) -> pb.SetAdjustmentLimitResponse:
        """Set what an operator may adjust alone."""
        sent = request.limit
        await known.asset(self._assets, sent.asset_code)
        await self._kept.set_limit(
            sent.asset_code,
            sent.operator_id,
            engine.AdjustmentLimit(sent.amount_max, sent.day_amount_max),
            set_by=auth.current().client_id,
            now=self._now(),
        )
        return pb.SetAdjustmentLimitResponse(limit=sent)

    async def ListAdjustmentLimits(
        self, request: pb.ListAdjustmentLimitsRequest, context: Context
    ) -> pb.ListAdjustmentLimitsResponse:
        """List limits."""
        name = f"adjustment limits {request.asset_code}"
        limit = request.page_size or _PAGE
        found = await self._kept.limits(
            request.asset_code,
            after=pages.position(name, request.page_token, pages.text),
            limit=limit + 1,
        )
        response = pb.ListAdjustmentLimitsResponse(
            limits=[
                pb.AdjustmentLimit(
                    asset_code=request.asset_code,
                    operator_id=operator_id,
                    amount_max=one.amount_max,
                    day_amount_max=one.day_amount_max,
                )
                for operator_id, one in found[:limit]
            ]
        )
        if len(found) > limit:
            response.next_page_token = pages.token(name, found[limit - 1][0])
        return response

    async def _shown(self, kept: Kept) -> pb.Adjustment:
        acts = await self._kept.acts(kept.adjustment.id)
        return _show(kept, self._now(), acts)


def _show(kept: Kept, now: datetime, acts: "list[Act] | tuple[()]") -> pb.Adjustment:
    one = kept.adjustment.at(now)
    sent = adjusting.pb.ProposeAdjustmentRequest.FromString(kept.request)
    shown = pb.Adjustment(
        adjustment_id=sent.adjustment_id,
        account=sent.account,
        amount=sent.amount,
        reason=sent.reason,
        state=pb.AdjustmentState.ValueType(one.state),
        refusal_reason=one.refusal,
        batch_id=ids.show(wire.BATCH, one.id),
        propose_time=timestamps.show(one.proposed_at),
        expire_time=timestamps.show(one.expires_at),
        receipt_id=sent.receipt_id,
        acts=[
            pb.AdjustmentAct(
                action=pb.AdjustmentAction.ValueType(act.action),
                operator_id=act.operator_id,
                operator_name=act.operator_name,
                note=act.note,
                record_time=timestamps.show(act.recorded_at),
            )
            for act in acts
        ],
    )
    if sent.HasField("lot_expire_time"):
        shown.lot_expire_time.CopyFrom(sent.lot_expire_time)
    return shown


def _cursor(parts: Sequence[str]) -> tuple[datetime, UUID]:
    proposed_at, adjustment_id = parts
    return pages.moment(proposed_at), UUID(adjustment_id)
