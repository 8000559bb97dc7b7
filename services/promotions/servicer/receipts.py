"""ReceiptService: receipts found again, explained, made good."""

from datetime import UTC, datetime
from typing import Any

import grpc
from tessera.identity.v1 import member_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
)

from services.chassis import auth, clock, database, ids, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import errors, storage
from services.promotions.checkout import documents, permissions, reruns
from services.promotions.checkout.purchases import Purchases
from services.promotions.peers.identity import Identity
from services.promotions.peers.ledger import Ledger
from services.promotions.storage.searching import Compensation, Found, Search
from services.promotions.wire import accounts, evaluations, pages, times

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
        ledger: Ledger,
        points_asset: str,
        compensation_max: int,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._purchases = purchases
        self._again = again
        self._identity = identity
        self._ledger = ledger
        self._points_asset = points_asset
        self._compensation_max = compensation_max
        self._now = now

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
        given = await storage.searching.of_receipt(self._db, receipt.receipt_id)
        return receipt_service_pb2.RerunReceiptResponse(
            recorded=rerun.recorded,
            rerun=rerun.rerun,
            differences=reruns.find_differences(rerun),
            compensations=[_show_compensation(one) for one in given],
        )

    async def CompensateReceipt(
        self, request: receipt_service_pb2.CompensateReceiptRequest, context: Context
    ) -> receipt_service_pb2.CompensateReceiptResponse:
        """Give points to the shopper of a receipt."""
        receipt = await self._purchases.get(request.receipt_id)
        if not receipt.member_id:
            raise errors.ReceiptWithoutMember
        if request.points > self._compensation_max:
            raise errors.CompensationTooHigh(max_points=self._compensation_max)
        wanted = Compensation(
            request_id=request.request_id,
            receipt_id=receipt.receipt_id,
            member_id=receipt.member_id,
            points=request.points,
            cause=request.cause,
            client_id=auth.current().client_id,
            batch_id=ids.derive("bat", "compensation", request.request_id),
            create_time=self._now(),
        )
        noted = await storage.searching.note(self._db, wanted)
        for name in ("receipt_id", "points", "cause"):
            if getattr(noted, name) != getattr(wanted, name):
                raise errors.RequestConflict(field=name)
        result = await self._ledger.post(self._batch(noted))
        if result.state != batch_pb2.BATCH_STATE_POSTED:
            raise chassis_errors.Internal
        await storage.searching.mark_posted(self._db, noted.request_id, now=self._now())
        account = accounts.points(noted.member_id, self._points_asset)
        balance = await self._ledger.balance(account)
        return receipt_service_pb2.CompensateReceiptResponse(
            batch_id=noted.batch_id,
            member_id=noted.member_id,
            points_available=balance.available,
        )

    def _batch(self, noted: Compensation) -> batch_pb2.Batch:
        held = accounts.points(noted.member_id, self._points_asset)
        transfer = batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.world(accounts.ISSUANCE),
            credit=accounts.owner(held),
            amount=noted.points,
            reason=account_pb2.TRANSFER_REASON_ADJUST,
        )
        return batch_pb2.Batch(
            batch_id=noted.batch_id,
            operations=[batch_pb2.Operation(transfer=transfer)],
            receipt_id=noted.receipt_id,
            occurred_time=timestamps.show(noted.create_time),
            operator_id=noted.client_id[:64],
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


def _show_compensation(given: Compensation) -> receipt_service_pb2.Compensation:
    return receipt_service_pb2.Compensation(
        batch_id=given.batch_id,
        points=given.points,
        cause=given.cause,
        client_id=given.client_id,
        create_time=timestamps.show(given.create_time),
    )
