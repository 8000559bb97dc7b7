"""Uploads, method by method."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import grpc
from tessera.ledger.v1 import batch_pb2, error_reason_pb2, upload_service_pb2_grpc
from tessera.ledger.v1 import upload_service_pb2 as pb

from services.chassis import clock, ids, telemetry, timestamps
from services.ledger import engine, errors, pages, wire
from services.ledger.committer import Committer
from services.ledger.engine import uploads
from services.ledger.storage import Upload, Uploads

Context = grpc.aio.ServicerContext[Any, Any]

_UPLOAD = "upl"
_PAGE = 200
#: Batches that are decided at once: what comes from tills meanwhile is not kept waiting for long.
_BATCHES_AT_ONCE = 5
#: Batches that a page of refusals looks at.
_BATCHES_A_PAGE = 500


class UploadServicer(upload_service_pb2_grpc.UploadServiceServicer):
    """Answers the calls of uploads."""

    def __init__(
        self, *, lanes: Sequence[Committer], uploads: Uploads, now: clock.Clock = clock.system
    ) -> None:
        self._lanes = lanes
        self._uploads = uploads
        self._now = now

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: Context
    ) -> pb.CreateUploadResponse:
        """Begin an upload, or find how far it is."""
        now = self._now()
        occurred_at = timestamps.read(request.occurred_time)
        if occurred_at > now + engine.FUTURE_MAX:
            raise errors.OccurredInFuture
        made = await self._uploads.create(
            ids.parse(_UPLOAD, request.upload_id),
            occurred_at=occurred_at,
            operator_id=request.operator_id,
            label=request.label,
            now=now,
        )
        for field, first, sent in (
            ("occurred_time", made.occurred_at, occurred_at),
            ("operator_id", made.operator_id, request.operator_id),
            ("label", made.label, request.label),
        ):
            if first != sent:
                raise errors.UploadConflict(row=-1, field=field)
        return pb.CreateUploadResponse(upload=_show(made))

    async def UploadTransfers(
        self, requests: AsyncIterator[pb.UploadTransfersRequest], context: Context
    ) -> AsyncIterator[pb.UploadTransfersResponse]:
        """Post the rows of each piece, and answer when they are on disk."""
        async for request in requests:
            upload = await self._require(request.upload_id)
            uploads.require_no_gap(upload.progress, request.first_row)
            response = pb.UploadTransfersResponse()
            row = request.first_row
            async with aclosing(self._posted(_orders(request, upload))) as posted:
                async for results in posted:
                    first_rows = itertools.count(row, uploads.ROWS_PER_BATCH)
                    counts = list(map(_count, first_rows, results))
                    progress = uploads.advance(upload.progress, row, counts)
                    if progress != upload.progress:
                        upload = await self._uploads.advance(upload, progress, now=self._now())
                    for one in results:
                        response.refusals.extend(_refusals(row, one))
                        row += uploads.ROWS_PER_BATCH
            response.upload.CopyFrom(_show(upload))
            yield response

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: Context
    ) -> pb.GetUploadResponse:
        """Read how far an upload is."""
        return pb.GetUploadResponse(upload=_show(await self._require(request.upload_id)))

    async def ListUploadRefusals(
        self, request: pb.ListUploadRefusalsRequest, context: Context
    ) -> pb.ListUploadRefusalsResponse:
        """List refused rows."""
        upload = await self._require(request.upload_id)
        name = f"refusals {upload.id}"
        limit = request.page_size or _PAGE
        row = pages.position(name, request.page_token, pages.number) or 0
        first = row // uploads.ROWS_PER_BATCH
        end = -(-upload.progress.next_row // uploads.ROWS_PER_BATCH)
        numbers = range(first, min(first + _BATCHES_A_PAGE, end))
        found = [one for one in await self._refused(upload, numbers) if one.row >= row]
        response = pb.ListUploadRefusalsResponse(refusals=found[:limit])
        if len(found) > limit:
            following = found[limit].row
        else:
            following = numbers.stop * uploads.ROWS_PER_BATCH
        if following < upload.progress.next_row:
            response.next_page_token = pages.token(name, following)
        return response

    async def _require(self, upload_id: str) -> Upload:
        found = await self._uploads.get(ids.parse(_UPLOAD, upload_id))
        if found is None:
            raise errors.UploadNotFound
        return found

    async def _posted(
        self, orders: Iterator[wire.Order]
    ) -> AsyncGenerator[list[batch_pb2.BatchResult]]:
        """Post batches some at a time, and yield their results in order.

        While PostgreSQL writes some, the next are decided in the other lane, unless they move an
        account that those before them move: rows of one account count in their order.
        """
        lanes = itertools.cycle(self._lanes)
        under_way: asyncio.Task[list[batch_pb2.BatchResult]] | None = None
        moved: frozenset[str] = frozenset()
        try:
            while some := list(itertools.islice(orders, _BATCHES_AT_ONCE)):
                before, owners = under_way, _owners(some)
                if before is not None and not owners.isdisjoint(moved):
                    yield await before
                    before = None
                under_way, moved = asyncio.create_task(next(lanes).post(some)), owners
                if before is not None:
                    yield await before
            if under_way is not None:
                yield await under_way
        finally:
            if under_way is not None:
                under_way.cancel()

    async def _refused(self, upload: Upload, numbers: range) -> list[pb.RowRefusal]:
        batch_ids = {number: _batch_id(upload.id, number) for number in numbers}
        answers = await self._uploads.answers(list(batch_ids.values()))
        return [
            refusal
            for number, batch_id in batch_ids.items()
            if batch_id in answers
            for refusal in _refusals(
                number * uploads.ROWS_PER_BATCH,
                batch_pb2.BatchResult.FromString(answers[batch_id]),
            )
        ]


def _orders(request: pb.UploadTransfersRequest, upload: Upload) -> Iterator[wire.Order]:
    """Yield the batches of a piece; the same rows always make the same ones."""
    trace_parent = telemetry.trace_parent()
    occurred_time = timestamps.show(upload.occurred_at)
    for start in range(0, len(request.transfers), uploads.ROWS_PER_BATCH):
        number = (request.first_row + start) // uploads.ROWS_PER_BATCH
        batch = batch_pb2.Batch(
            batch_id=ids.show(wire.BATCH, _batch_id(upload.id, number)),
            occurred_time=occurred_time,
            operator_id=upload.operator_id,
            independent=True,
        )
        for transfer in request.transfers[start : start + uploads.ROWS_PER_BATCH]:
            batch.operations.add().transfer.CopyFrom(transfer)
        yield wire.order(batch, trace_parent=trace_parent)


def _owners(orders: Iterable[wire.Order]) -> frozenset[str]:
    """Return who owns the accounts with a running balance that batches move."""
    return frozenset(
        key.owner_id
        for order in orders
        for operation in order.batch.operations
        if isinstance(operation, engine.Transfer)
        for key in (operation.debit, operation.credit)
        if not key.is_world
    )


def _batch_id(upload_id: UUID, number: int) -> UUID:
    return ids.parse(wire.BATCH, ids.derive(wire.BATCH, "upload", upload_id.hex, str(number)))


def _count(first_row: int, result: batch_pb2.BatchResult) -> uploads.BatchOutcome:
    """Count a batch's rows. Raises UploadConflict when the rows were others before."""
    if result.state == batch_pb2.BATCH_STATE_REFUSED:
        assert result.refusal.reason == error_reason_pb2.ERROR_REASON_BATCH_CONFLICT
        raise errors.UploadConflict(row=first_row, field=result.refusal.metadata["field"])
    refused = sum(operation.HasField("refusal") for operation in result.operations)
    return uploads.BatchOutcome(len(result.operations), refused)


def _refusals(first_row: int, result: batch_pb2.BatchResult) -> Iterator[pb.RowRefusal]:
    for index, operation in enumerate(result.operations):
        if operation.HasField("refusal"):
            yield pb.RowRefusal(row=first_row + index, refusal=operation.refusal)


def _show(upload: Upload) -> pb.Upload:
    return pb.Upload(
        upload_id=ids.show(_UPLOAD, upload.id),
        occurred_time=timestamps.show(upload.occurred_at),
        operator_id=upload.operator_id,
        label=upload.label,
        next_row=upload.progress.next_row,
        posted_count=upload.progress.posted,
        refused_count=upload.progress.refused,
        create_time=timestamps.show(upload.created_at),
        update_time=timestamps.show(upload.updated_at),
    )
