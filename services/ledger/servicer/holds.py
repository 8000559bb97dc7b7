"""Reading holds, method by method."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
from tessera.ledger.v1 import hold_service_pb2 as pb
from tessera.ledger.v1 import hold_service_pb2_grpc

from services.chassis import clock, ids
from services.ledger import engine, errors, pages, wire
from services.ledger.storage import Assets, HoldCursor, Holds

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50
_INDEX_MAX = 2**15 - 1


class HoldServicer(hold_service_pb2_grpc.HoldServiceServicer):
    """Answers what is reserved."""

    def __init__(self, *, holds: Holds, assets: Assets, now: clock.Clock = clock.system) -> None:
        self._holds = holds
        self._assets = assets
        self._now = now

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        """Read a hold."""
        place = engine.Place(ids.parse(wire.BATCH, request.batch_id), request.operation_index)
        found = await self._holds.get(place, now=self._now())
        if found is None:
            raise errors.HoldNotFound
        return pb.GetHoldResponse(hold=wire.hold(found))

    async def ListHolds(
        self, request: pb.ListHoldsRequest, context: Context
    ) -> pb.ListHoldsResponse:
        """List the active holds of an account."""
        key = wire.key(request.account)
        if key.asset_code not in await self._assets.get([key.asset_code]):
            raise errors.AssetNotFound(asset_code=key.asset_code)
        name = f"holds {key.id}"
        after = pages.position(name, request.page_token, _cursor)
        limit = request.page_size or _PAGE
        found = await self._holds.active(key.id, now=self._now(), after=after, limit=limit + 1)
        response = pb.ListHoldsResponse(holds=map(wire.hold, found[:limit]))
        if len(found) > limit:
            last = found[limit - 1]
            response.next_page_token = pages.token(name, last.expires_at, *last.place)
        return response


def _cursor(parts: Sequence[str]) -> HoldCursor:
    expires_at, batch_id, index = parts
    place = engine.Place(UUID(batch_id), pages.number([index], maximum=_INDEX_MAX))
    return HoldCursor(pages.moment(expires_at), place)
