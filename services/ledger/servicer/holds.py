"""Reading holds, method by method."""

from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from tessera.ledger.v1 import hold_service_pb2 as pb
from tessera.ledger.v1 import hold_service_pb2_grpc

from services.chassis import clock, ids
from services.ledger import engine, errors, pages, wire
from services.ledger.storage import Assets, HoldCursor, HoldLine, Holds

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50


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
        position = pages.position(name, request.page_token)
        after = None if position is None else _cursor(position)
        limit = request.page_size or _PAGE
        found = await self._holds.active(key.id, now=self._now(), after=after, limit=limit + 1)
        response = pb.ListHoldsResponse(holds=map(wire.hold, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(name, _position(found[limit - 1]))
        return response


def _position(line: HoldLine) -> bytes:
    batch_id, index = line.place
    return batch_id.bytes + index.to_bytes(2, "big") + line.expires_at.isoformat().encode()


def _cursor(position: bytes) -> HoldCursor:
    place = engine.Place(UUID(bytes=position[:16]), int.from_bytes(position[16:18], "big"))
    return HoldCursor(datetime.fromisoformat(position[18:].decode()), place)
