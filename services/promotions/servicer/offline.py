"""OfflineService: what happened at tills without a line."""

from datetime import timedelta
from typing import Any

import grpc
from tessera.promotions.v1 import (
    checkout_service_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
)

from services.chassis import clock, database, timestamps
from services.promotions import config, engine, storage
from services.promotions.checkout import conflicts, documents, permissions
from services.promotions.checkout.offline import Offline
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import pages, times

Context = grpc.aio.ServicerContext[Any, Any]

_KIND = "conflicts"


class OfflineServicer(offline_service_pb2_grpc.OfflineServiceServicer):
    """Hears of what has happened."""

    def __init__(
        self,
        db: database.Database,
        offline: Offline,
        *,
        bounds: config.OfflineSettings,
        terms: engine.PointsTerms,
        ahead_s_max: int,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._offline = offline
        self._bounds = bounds
        self._terms = terms
        self._ahead_max = timedelta(seconds=ahead_s_max)
        self._now = now

    async def RecordReceipt(
        self, request: offline_service_pb2.RecordReceiptRequest, context: Context
    ) -> offline_service_pb2.RecordReceiptResponse:
        """Record a purchase that has happened."""
        permissions.require_store(request.purchase.receipt_key.store_id)
        times.require_past(
            request.purchase.occurred_time,
            field="purchase.occurred_time",
            now=self._now(),
            ahead_max=self._ahead_max,
        )
        receipt, replayed = await self._offline.record(request)
        key = storage.keys.locate(receipt.receipt_id, receipt.occurred_time)
        returns = await storage.returns.of_purchase(self._db, key) if replayed else ()
        return offline_service_pb2.RecordReceiptResponse(
            receipt=documents.show_receipt(
                receipt, returns, bounds=self._bounds, terms=self._terms
            ),
            replayed=replayed,
        )

    async def ListConflicts(
        self, request: offline_service_pb2.ListConflictsRequest, context: Context
    ) -> offline_service_pb2.ListConflictsResponse:
        """List receipts with conflicts."""
        permissions.require_store(request.store_id)
        count = pages.count(request.page_size)
        after = pages.position(_KIND, request.page_token, pages.receipt)
        if after is None:
            first = pages.BEGINNING
            if request.HasField("from_time"):
                first = times.read(request.from_time, field="from_time")
            after = (first - timedelta(microseconds=1), "")
        found = await storage.searching.conflicted(
            self._db, after=after, store_id=request.store_id, count_max=count + 1
        )
        token = ""
        if len(found) > count:
            last = found[count - 1]
            token = pages.token(_KIND, last.occurred_time, last.receipt_id)
        return offline_service_pb2.ListConflictsResponse(
            receipts=[self._show(one) for one in found[:count]], next_page_token=token
        )

    def _show(self, receipt: Receipt) -> offline_service_pb2.ConflictedReceipt:
        request = checkout_service_pb2.CommitRequest.FromString(receipt.request)
        return offline_service_pb2.ConflictedReceipt(
            receipt_id=receipt.receipt_id,
            receipt_key=request.receipt_key,
            member_id=receipt.member_id,
            occurred_time=timestamps.show(receipt.occurred_time),
            record_time=timestamps.show(receipt.record_time),
            conflicts=conflicts.of_receipt(receipt, self._bounds),
        )
