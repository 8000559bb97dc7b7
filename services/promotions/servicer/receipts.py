"""ReceiptService: receipts found again, explained, made good."""

from datetime import UTC, datetime
from typing import Any

import grpc
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
)

from services.chassis import auth, database, timestamps
from services.promotions import storage
from services.promotions.checkout import documents, permissions, reruns
from services.promotions.checkout.compensations import SCOPE, Compensations
from services.promotions.checkout.purchases import Purchases
from services.promotions.peers.identity import Identity
from services.promotions.storage.searching import Found, Search
from services.promotions.wire import evaluations, pages, times

Context = grpc.aio.ServicerContext[Any, Any]

_KIND = "receipts"
_END = datetime(2999, 12, 31, tzinfo=UTC)


class ReceiptServicer(receipt_service_pb2_grpc.ReceiptServiceServicer):
    """Answers those who answer complaints."""

    def __init__(
        self,
        db: database.Database,
        purchases: Purchases,
        again: reruns.Reruns,
        *,
        identity: Identity,
        making_good: Compensations,
    ) -> None:
        self._db = db
        self._purchases = purchases
        self._again = again
        self._identity = identity
        self._compensations = making_good

    async def SearchReceipts(
        self, request: receipt_service_pb2.SearchReceiptsRequest, context: Context
    ) -> receipt_service_pb2.SearchReceiptsResponse:
        """Find receipts by what is remembered of them."""
        permissions.require_store(request.store_id)
        count = pages.count(request.page_size)
        wanted = _parse_search(request, member_id=await self._find_member(request), count=count)
        found = await storage.searching.search(self._db, wanted)
        token = ""
        if len(found) > count:
            last = found[count - 1]
            token = pages.token(_KIND, last.occurred_time, last.receipt_id)
        return receipt_service_pb2.SearchReceiptsResponse(
            receipts=[_show(one) for one in found[:count]], next_page_token=token
        )

    async def _find_member(self, request: receipt_service_pb2.SearchReceiptsRequest) -> str:
        """Return the member behind the key, blocked or not; empty when none is asked for."""
        if not request.HasField("member_key"):
            return ""
        if request.member_key.WhichOneof("key") == "member_id":
            return request.member_key.member_id
        return await self._identify(request.member_key)

    async def _identify(self, key: member_pb2.MemberKey) -> str:
        context = await self._identity.find(key)
        return context.member_id

    async def RerunReceipt(
        self, request: receipt_service_pb2.RerunReceiptRequest, context: Context
    ) -> receipt_service_pb2.RerunReceiptResponse:
        """Decide a receipt again."""
        if request.HasField("cart"):
            permissions.require_store(request.cart.store_id)
        receipt = await self._purchases.get(request.receipt_id)
        rerun = await self._again.rerun(receipt, request)
        given = await self._compensations.of_receipt(receipt.receipt_id)
        return receipt_service_pb2.RerunReceiptResponse(
            recorded=rerun.recorded,
            rerun=rerun.rerun,
            differences=reruns.find_differences(rerun),
            compensations=map(documents.show_compensation, given),
            currency_code=rerun.currency_code,
        )

    async def CompensateReceipt(
        self, request: receipt_service_pb2.CompensateReceiptRequest, context: Context
    ) -> receipt_service_pb2.CompensateReceiptResponse:
        """Give points to the shopper of a receipt."""
        auth.require(SCOPE)
        receipt = await self._purchases.get(request.receipt_id)
        given = await self._compensations.give(
            receipt, request_id=request.request_id, points=request.points, cause=request.cause
        )
        return receipt_service_pb2.CompensateReceiptResponse(
            batch_id=given.batch_id,
            member_id=given.member_id,
            points_available=await self._compensations.points_of(given.member_id),
            compensation=documents.show_compensation(given),
        )


def _parse_search(
    request: receipt_service_pb2.SearchReceiptsRequest, *, member_id: str, count: int
) -> Search:
    def moment(name: str, otherwise: datetime) -> datetime:
        if not request.HasField(name):  # type: ignore[arg-type]
            return otherwise
        return times.read(getattr(request, name), field=name)

    return Search(
        store_id=request.store_id,
        member_id=member_id,
        from_time=moment("from_time", pages.BEGINNING),
        until_time=moment("until_time", _END),
        total_min_minor=request.total_min_minor if request.HasField("total_min_minor") else None,
        total_max_minor=request.total_max_minor if request.HasField("total_max_minor") else None,
        campaign_id=request.campaign_id,
        till_id=request.till_id,
        receipt_number=request.receipt_number,
        before=pages.position(_KIND, request.page_token, pages.receipt),
        count_max=count + 1,
    )


def _show(found: Found) -> receipt_service_pb2.ReceiptSummary:
    request = checkout_service_pb2.CommitRequest.FromString(found.request)
    evaluation = checkout_pb2.Evaluation.FromString(found.evaluation)
    return receipt_service_pb2.ReceiptSummary(
        receipt_id=found.receipt_id,
        receipt_key=request.receipt_key,
        state=documents.show_state(found.state),
        member_id=found.member_id,
        occurred_time=timestamps.show(found.occurred_time),
        record_time=timestamps.show(found.record_time),
        currency_code=request.cart.currency_code,
        total_minor=evaluation.total_minor,
        discount_minor=evaluation.discount_minor,
        points_earned=evaluation.points_earned,
        points_spent=evaluation.points_spent,
        campaign_ids=[name for name, _ in evaluations.applied_campaigns(evaluation)],
    )
