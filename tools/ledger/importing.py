"""`python -m tools ledger import`: a file of transfers for a ledger, resumed after a cut."""

import asyncio
import csv
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tessera.ledger.v1 import error_reason_pb2, upload_service_pb2, upload_service_pb2_grpc
from tessera.ledger.v1.batch_pb2 import Transfer

from services.chassis import clients, clock, config, errors, ids, status, timestamps
from services.ledger.engine import uploads
from tools.ledger.transfers import FileProblem, Refused, Source
from tools.stack import layout
from tools.stack.state import State

pb = upload_service_pb2
Authorize = Callable[[], Awaitable[str]]

_ROWS_MAX = 8_000
#: A message may have 4 MiB; transfers are measured without what surrounds them.
_BYTES_MAX = 3 * 2**20
#: A stream is closed by us before the ledger has to, in seconds.
_STREAM_S = 20
_ATTEMPTS_MAX = 8
_PAUSE_S = 0.5

_console = Console(soft_wrap=True)


def import_transfers(
    file: Annotated[Path, typer.Argument(help="A .csv, .ndjson or .jsonl file of transfers.")],
    *,
    label: Annotated[
        str, typer.Option(help="What it is. The same file under another label counts again.")
    ] = "",
    operator: Annotated[str, typer.Option(help="Who orders it.")] = "",
    refused: Annotated[
        Path | None,
        typer.Option(help="Where refused rows go; FILE.refused.csv by default."),
    ] = None,
    address: Annotated[
        str, typer.Option(help="The gateway; that of the stack in the clone by default.")
    ] = "",
    client_id: Annotated[str, typer.Option(help="The API client.")] = "admin",
    secret_file: Annotated[
        Path | None,
        typer.Option(help="The file of its secret; that of the stack in the clone by default."),
    ] = None,
    tls: Annotated[bool, typer.Option(help="The gateway speaks TLS.")] = False,
) -> None:
    """Send a file of transfers: broadcast bonuses, opening balances.

    Columns (or JSON names): asset_code, debit and credit (`member:mem_…`, `world:issuance`), amount
    in the smallest unit, reason (earn, fund, adjust, …); if wanted campaign_id, lot_activate_time,
    lot_expire_time, up_to.

    Each row stands for itself. Run it again after a cut: it goes on where the ledger stands, and
    the same file never counts twice. Refused rows are written to a file with their reasons and end
    the command with 1.
    """
    gateway = address or _stack_gateway()
    settings = config.AuthSettings(
        token_url=f"{'https' if tls else 'http'}://{gateway}/oauth2/token",
        client_id=client_id,
        client_secret_file=secret_file or layout.at(None).secrets / f"client-{client_id}",
    )
    source = Source(file)
    try:
        done, rows = asyncio.run(
            _send(source, gateway, settings, tls=tls, label=label, operator=operator)
        )
    except FileProblem as problem:
        raise typer.BadParameter(str(problem), param_hint="FILE") from None
    except (grpc.aio.AioRpcError, errors.Refusal) as error:
        _console.print(f"[red]{escape(_words(error))}[/red]")
        _console.print("What was sent is on disk. Run the same command again to go on.")
        raise typer.Exit(2) from None
    _console.print(f"{done.posted_count:,} posted, {len(rows):,} refused.")
    if rows:
        target = refused or file.with_name(f"{file.name}.refused.csv")
        write(target, rows)
        _console.print(f"Refused rows with their reasons: {target}")
        raise typer.Exit(1)


def _stack_gateway() -> str:
    state = State.load(layout.at(None))
    if state is None:
        raise typer.BadParameter(
            "no stack runs in this clone: name a gateway", param_hint="address"
        )
    return state.address("gateway")


async def _send(
    source: Source,
    gateway: str,
    settings: config.AuthSettings,
    *,
    tls: bool,
    label: str,
    operator: str,
) -> tuple[pb.Upload, list[Refused]]:
    opened = (
        grpc.aio.secure_channel(gateway, grpc.ssl_channel_credentials())
        if tls
        else grpc.aio.insecure_channel(gateway)
    )
    async with opened as channel:
        importer = Importer(
            upload_service_pb2_grpc.UploadServiceStub(channel),
            source,
            authorize=clients.Tokens(settings).authorization,
        )
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=_console,
        ) as progress:
            task = progress.add_task("reading", total=None)
            progress.update(task, description="sending", total=source.scan())
            upload = await importer.run(
                label=label,
                operator_id=operator,
                notice=lambda row: progress.update(task, completed=row),
            )
            return upload, await importer.refused(upload)


class Importer:
    """Sends a scanned source as one upload, whose id follows from its contents and the label."""

    def __init__(self, stub: Any, source: Source, *, authorize: Authorize) -> None:
        self._stub = stub
        self._source = source
        self._authorize = authorize

    async def run(
        self, *, label: str, operator_id: str, notice: Callable[[int], None]
    ) -> pb.Upload:
        """Send what the ledger does not have yet; `notice` hears the next row after each piece.

        Transient failures are tried again from where the ledger stands. Raises AioRpcError when
        they last, or when the ledger refuses the upload.
        """
        upload = await self._begin(
            ids.derive("upl", self._source.digest(), label), label=label, operator_id=operator_id
        )
        failures = 0
        while True:
            notice(upload.next_row)
            before = upload.next_row
            try:
                async for upload in self._stream(upload):  # noqa: B020  each answer is the newer one
                    notice(upload.next_row)
            except grpc.aio.AioRpcError as error:
                failures = 1 if upload.next_row > before else failures + 1
                if not _may_pass(status.read(error)) or failures > _ATTEMPTS_MAX:
                    raise
                await asyncio.sleep(_PAUSE_S * failures)
                with suppress(grpc.aio.AioRpcError):
                    upload = await self._get(upload.upload_id)
                continue
            if upload.next_row >= len(self._source.lines):
                return upload

    async def refused(self, upload: pb.Upload) -> list[Refused]:
        """Return all rows without effect: those that are no transfers, and those refused."""
        rows = [Refused(line, "INVALID_ROW", why) for line, why in self._source.problems.items()]
        token, is_last = "", False
        while not is_last:
            page = await self._stub.ListUploadRefusals(
                pb.ListUploadRefusalsRequest(
                    upload_id=upload.upload_id, page_size=1000, page_token=token
                ),
                metadata=await self._metadata(),
                timeout=10,
            )
            for one in page.refusals:
                name = error_reason_pb2.ErrorReason.Name(one.refusal.reason)
                reason = name.removeprefix("ERROR_REASON_")
                line = self._source.lines[one.row]
                rows.append(Refused(line, reason, one.refusal.message))
            token = page.next_page_token
            is_last = not token
        return sorted(rows)

    async def _begin(self, upload_id: str, *, label: str, operator_id: str) -> pb.Upload:
        try:
            return await self._get(upload_id)
        except grpc.aio.AioRpcError as error:
            if status.read(error).reason != "UPLOAD_NOT_FOUND":
                raise
        response = await self._stub.CreateUpload(
            pb.CreateUploadRequest(
                upload_id=upload_id,
                occurred_time=timestamps.show(clock.system()),
                operator_id=operator_id,
                label=label,
            ),
            metadata=await self._metadata(),
            timeout=10,
        )
        upload: pb.Upload = response.upload
        return upload

    async def _get(self, upload_id: str) -> pb.Upload:
        request = pb.GetUploadRequest(upload_id=upload_id)
        response = await self._stub.GetUpload(request, metadata=await self._metadata(), timeout=10)
        upload: pb.Upload = response.upload
        return upload

    async def _stream(self, upload: pb.Upload) -> AsyncIterator[pb.Upload]:
        """Send pieces for some time; yields the upload as each of them is answered."""
        first = upload.next_row - upload.next_row % uploads.ROWS_PER_BATCH
        pieces = _pieces(upload.upload_id, first, self._source.transfers())
        answers = self._stub.UploadTransfers(
            _for_some_time(pieces), metadata=await self._metadata(), timeout=30
        )
        async for answer in answers:
            yield answer.upload

    async def _metadata(self) -> Sequence[tuple[str, str]]:
        authorization = await self._authorize()
        return (("authorization", authorization),) if authorization else ()


def _may_pass(answer: status.Answer) -> bool:
    """Say whether the stream is worth a second one.

    When a refusal overtakes a piece that is being sent, gRPC itself ends the stream as INTERNAL and
    drops what was answered: the next stream hears the reason.
    """
    is_local = answer.category is errors.Category.INTERNAL and not answer.reason
    return is_local or answer.category in errors.TRANSIENT


def _for_some_time(pieces: Iterator[pb.UploadTransfersRequest]) -> Iterator[Any]:
    end = time.monotonic() + _STREAM_S
    for piece in pieces:
        yield piece
        if time.monotonic() > end:
            return


def _pieces(
    upload_id: str, first: int, transfers: Iterable[Transfer]
) -> Iterator[pb.UploadTransfersRequest]:
    """Yield the messages for transfers from number `first` on, none of them too large."""
    piece = pb.UploadTransfersRequest(upload_id=upload_id, first_row=first)
    size = 0
    rest = itertools.islice(transfers, first, None)
    while batch := list(itertools.islice(rest, uploads.ROWS_PER_BATCH)):
        batch_size = sum(transfer.ByteSize() + 4 for transfer in batch)
        is_full = len(piece.transfers) + len(batch) > _ROWS_MAX or size + batch_size > _BYTES_MAX
        if is_full and piece.transfers:
            yield piece
            first += len(piece.transfers)
            piece = pb.UploadTransfersRequest(upload_id=upload_id, first_row=first)
            size = 0
        piece.transfers.extend(batch)
        size += batch_size
    if piece.transfers:
        yield piece


def write(target: Path, rows: Iterable[Refused]) -> None:
    """Write refused rows as CSV: the line in the file, the reason, its message."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Refused._fields)
        writer.writerows(rows)


def _words(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return status.read(error).message or str(error.details())
    return str(error)
