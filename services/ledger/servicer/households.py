"""Households, method by method."""

from typing import Any

import grpc
from tessera.ledger.v1 import account_pb2, batch_pb2, household_service_pb2_grpc
from tessera.ledger.v1 import household_service_pb2 as pb

from services.chassis import clock, telemetry
from services.ledger import engine, wire
from services.ledger.committer import Committer
from services.ledger.servicer import known
from services.ledger.storage import Assets, Households, households

Context = grpc.aio.ServicerContext[Any, Any]

_HOUSEHOLD = account_pb2.OWNER_TYPE_HOUSEHOLD
_MEMBER = account_pb2.OWNER_TYPE_MEMBER
_POOL, _SPLIT = account_pb2.TRANSFER_REASON_POOL, account_pb2.TRANSFER_REASON_SPLIT


class HouseholdServicer(household_service_pb2_grpc.HouseholdServiceServicer):
    """Pools and divides points; each is one batch of handovers."""

    def __init__(
        self,
        committer: Committer,
        source: Households,
        assets: Assets,
        *,
        now: clock.Clock = clock.system,
    ) -> None:
        self._committer = committer
        self._households = source
        self._assets = assets
        self._now = now

    async def PoolPoints(
        self, request: pb.PoolPointsRequest, context: Context
    ) -> pb.PoolPointsResponse:
        """Move members' points to their household."""
        household = _owner(_HOUSEHOLD, request.household_id)
        handovers = [
            batch_pb2.Handover(
                asset_code=request.asset_code,
                debit=_owner(_MEMBER, member_id),
                credit=household,
                reason=_POOL,
                selection=batch_pb2.LOT_SELECTION_ALL,
            )
            for member_id in request.member_ids
        ]
        return pb.PoolPointsResponse(result=await self._post(request, handovers))

    async def SplitPoints(
        self, request: pb.SplitPointsRequest, context: Context
    ) -> pb.SplitPointsResponse:
        """Give members their parts."""
        return pb.SplitPointsResponse(result=await self._post(request, _parts(request)))

    async def GetHouseholdShares(
        self, request: pb.GetHouseholdSharesRequest, context: Context
    ) -> pb.GetHouseholdSharesResponse:
        """Tell who brought how much."""
        await known.asset(self._assets, request.asset_code)
        key = engine.key(request.asset_code, _HOUSEHOLD, request.household_id)
        shares = await self._households.shares(key.id, now=self._now(), split=engine.SPLIT)
        response = pb.GetHouseholdSharesResponse()
        for share in shares:
            if share.owner_id is None:
                response.common.CopyFrom(_share(share))
            else:
                response.shares.append(_share(share))
        return response

    async def _post(
        self,
        request: pb.PoolPointsRequest | pb.SplitPointsRequest,
        handovers: list[batch_pb2.Handover],
    ) -> batch_pb2.BatchResult:
        batch = batch_pb2.Batch(
            batch_id=request.batch_id,
            operations=[batch_pb2.Operation(handover=handover) for handover in handovers],
            occurred_time=request.occurred_time,
            operator_id=request.operator_id,
        )
        order = wire.order(batch, trace_parent=telemetry.trace_parent())
        return (await self._committer.post([order]))[0]


def _parts(request: pb.SplitPointsRequest) -> list[batch_pb2.Handover]:
    """Return everybody's own first; then each takes a part of what those before have left."""
    handovers = [
        _given(request, member.member_id, batch_pb2.LOT_SELECTION_BROUGHT)
        for member in request.members
    ]
    whole = sum(member.common_weight for member in request.members)
    for member in request.members:
        if member.common_weight:
            given = _given(request, member.member_id, batch_pb2.LOT_SELECTION_COMMON)
            given.share, given.whole = member.common_weight, whole
            handovers.append(given)
            whole -= member.common_weight
    return handovers


def _given(
    request: pb.SplitPointsRequest, member_id: str, selection: batch_pb2.LotSelection.ValueType
) -> batch_pb2.Handover:
    return batch_pb2.Handover(
        asset_code=request.asset_code,
        debit=_owner(_HOUSEHOLD, request.household_id),
        credit=_owner(_MEMBER, member_id),
        reason=_SPLIT,
        selection=selection,
    )


def _owner(owner_type: account_pb2.OwnerType.ValueType, owner_id: str) -> account_pb2.Owner:
    return account_pb2.Owner(owner_type=owner_type, owner_id=owner_id)


def _share(share: households.Share) -> pb.HouseholdShare:
    shown = pb.HouseholdShare(
        brought=share.brought,
        given_back=share.given_back,
        used=share.brought - share.given_back - share.left,
        left=share.left,
    )
    if share.owner_id is not None:
        shown.owner.owner_type = account_pb2.OwnerType.ValueType(share.owner_type or 0)
        shown.owner.owner_id = share.owner_id
    return shown
