"""InstantWinService: what is sealed of chances of winning at once, and what became of them."""

from typing import Any

import grpc
from tessera.promotions.v1 import (
    instant_win_service_pb2,
    instant_win_service_pb2_grpc,
)

from services.chassis import clock, database, timestamps
from services.promotions import engine, errors, storage
from services.promotions.checkout import chances
from services.promotions.storage.instant_wins import Sealed
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import pages

Context = grpc.aio.ServicerContext[Any, Any]


class InstantWinServicer(instant_win_service_pb2_grpc.InstantWinServiceServicer):
    """Shows what anybody needs to check chances."""

    def __init__(self, db: database.Database, *, now: clock.Clock) -> None:
        self._db = db
        self._now = now

    async def GetInstantWin(
        self, request: instant_win_service_pb2.GetInstantWinRequest, context: Context
    ) -> instant_win_service_pb2.GetInstantWinResponse:
        """Read what is sealed, with the seed when its time has come."""
        found = await self._require(request.campaign_id)
        tell_time = engine.instant_wins.read_terms(found.terms).told_from
        shown = instant_win_service_pb2.SealedInstantWin(
            campaign_id=found.campaign_id,
            seal=engine.instant_wins.seal(found.seed, found.terms),
            terms=found.terms,
            seed=found.seed.hex() if self._now() >= tell_time else "",
            seal_time=timestamps.show(found.seal_time),
            tell_time=timestamps.show(tell_time),
        )
        return instant_win_service_pb2.GetInstantWinResponse(instant_win=shown)

    async def ListInstantDraws(
        self, request: instant_win_service_pb2.ListInstantDrawsRequest, context: Context
    ) -> instant_win_service_pb2.ListInstantDrawsResponse:
        """List receipts with their chances, by the time of purchase."""
        campaign_id, count = request.campaign_id, pages.count(request.page_size)
        period = engine.instant_wins.read_terms((await self._require(campaign_id)).terms).win.period
        name = f"instantDraws.{campaign_id}"
        found = await storage.instant_wins.drawn(
            self._db,
            campaign_id,
            start=period.start_time,
            end=period.end_time,
            after=pages.position(name, request.page_token, pages.receipt),
            count_max=count + 1,
        )
        response = instant_win_service_pb2.ListInstantDrawsResponse(
            receipts=[_show(one, campaign_id) for one in found[:count]]
        )
        if len(found) > count:
            last = found[count - 1]
            response.next_page_token = pages.token(name, last.occurred_time, last.receipt_id)
        return response

    async def _require(self, campaign_id: str) -> Sealed:
        found = await storage.instant_wins.find(self._db, [campaign_id])
        if campaign_id not in found:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        return found[campaign_id]


def _show(receipt: Receipt, campaign_id: str) -> instant_win_service_pb2.ReceiptDraws:
    return instant_win_service_pb2.ReceiptDraws(
        receipt_id=receipt.receipt_id,
        occurred_time=timestamps.show(receipt.occurred_time),
        record_time=timestamps.show(receipt.record_time),
        draws=[
            one for one in chances.tell(receipt).instant_draws if one.campaign_id == campaign_id
        ],
    )
