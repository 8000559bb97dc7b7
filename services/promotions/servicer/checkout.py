"""CheckoutService: what tills, sites and apps call."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import timestamp_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
)

from services.chassis import clock, database
from services.promotions import config, engine, storage
from services.promotions.checkout import documents, permissions
from services.promotions.checkout.compensations import Compensations
from services.promotions.checkout.purchases import Purchases
from services.promotions.checkout.returning import Returns
from services.promotions.storage.compensations import Compensation
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import times

Context = grpc.aio.ServicerContext[Any, Any]


class CheckoutServicer(checkout_service_pb2_grpc.CheckoutServiceServicer):
    """From cart to receipt and back."""

    def __init__(
        self,
        db: database.Database,
        purchases: Purchases,
        returns: Returns,
        making_good: Compensations,
        *,
        bounds: config.OfflineSettings,
        terms: engine.PointsTerms,
        ahead_s_max: int,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._purchases = purchases
        self._returns = returns
        self._compensations = making_good
        self._bounds = bounds
        self._terms = terms
        self._ahead_max = timedelta(seconds=ahead_s_max)
        self._now = now

    async def Evaluate(
        self, request: checkout_service_pb2.EvaluateRequest, context: Context
    ) -> checkout_service_pb2.EvaluateResponse:
        """Tell what a cart gets, and why."""
        permissions.require_store(request.cart.store_id)
        decided = await self._purchases.evaluate(request)
        return checkout_service_pb2.EvaluateResponse(evaluation=decided.evaluation)

    async def Commit(
        self, request: checkout_service_pb2.CommitRequest, context: Context
    ) -> checkout_service_pb2.CommitResponse:
        """Record a purchase."""
        permissions.require_store(request.receipt_key.store_id)
        self._require_past(request.occurred_time)
        receipt, replayed = await self._purchases.commit(request)
        return checkout_service_pb2.CommitResponse(
            receipt=await self._show(receipt)
            if replayed
            else documents.show_receipt(receipt, bounds=self._bounds, terms=self._terms),
            replayed=replayed,
            printed_coupons=await self._purchases.printed(receipt),
        )

    async def Void(
        self, request: checkout_service_pb2.VoidRequest, context: Context
    ) -> checkout_service_pb2.VoidResponse:
        """Undo a purchase before it is fiscalised."""
        receipt = await self._purchases.void(request.receipt_id)
        return checkout_service_pb2.VoidResponse(
            receipt=documents.show_receipt(receipt, bounds=self._bounds, terms=self._terms)
        )

    async def Return(
        self, request: checkout_service_pb2.ReturnRequest, context: Context
    ) -> checkout_service_pb2.ReturnResponse:
        """Take goods back."""
        permissions.require_store(request.receipt_key.store_id)
        self._require_past(request.occurred_time)
        returned, replayed = await self._returns.give_back(request)
        return checkout_service_pb2.ReturnResponse(
            returned=documents.show_return(returned, terms=self._terms), replayed=replayed
        )

    async def GetReceipt(
        self, request: checkout_service_pb2.GetReceiptRequest, context: Context
    ) -> checkout_service_pb2.GetReceiptResponse:
        """Read a receipt with its trace."""
        receipt = await self._purchases.get(request.receipt_id)
        return checkout_service_pb2.GetReceiptResponse(receipt=await self._read(receipt))

    async def FindReceipt(
        self, request: checkout_service_pb2.FindReceiptRequest, context: Context
    ) -> checkout_service_pb2.FindReceiptResponse:
        """Find a receipt by its key."""
        permissions.require_store(request.receipt_key.store_id)
        receipt = await self._purchases.find_by_key(storage.keys.derive(request.receipt_key))
        return checkout_service_pb2.FindReceiptResponse(receipt=await self._read(receipt))

    async def _read(self, receipt: Receipt) -> checkout_pb2.Receipt:
        """Return a receipt with what was to make it good."""
        given = await self._compensations.of_receipt(receipt.receipt_id)
        return await self._show(receipt, given)

    async def _show(
        self, receipt: Receipt, given: Iterable[Compensation] = ()
    ) -> checkout_pb2.Receipt:
        key = storage.keys.locate(receipt.receipt_id, receipt.occurred_time)
        returns = await storage.returns.of_purchase(self._db, key)
        return documents.show_receipt(
            receipt, returns, bounds=self._bounds, terms=self._terms, given=given
        )

    def _require_past(self, stamp: timestamp_pb2.Timestamp) -> None:
        times.require_past(stamp, field="occurred_time", now=self._now(), ahead_max=self._ahead_max)
