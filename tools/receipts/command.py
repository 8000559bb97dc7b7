"""`python -m tools receipts`: a complaint, answered from the command line."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from google.protobuf import json_format
from rich.console import Console
from rich.markup import escape
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
)

from services.chassis import clients, config, status, timestamps
from tools.receipts import wording
from tools.stack import layout
from tools.stack.state import State

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
_console = Console(soft_wrap=True)

T = TypeVar("T")

Gateway = Annotated[
    str, typer.Option(help="HOST:PORT of the gateway; that of the running stack by default.")
]
Client = Annotated[str, typer.Option(help="The API client to call as.")]
Secret = Annotated[
    Path | None, typer.Option("--secret-file", help="Its secret; the stack's by default.")
]


@app.callback()
def receipts() -> None:
    """Find receipts, show why they are as they are, decide them again, make them good."""


class _Desk:
    """The gateway, as one client sees it."""

    def __init__(self, channel: grpc.aio.Channel, authorization: str) -> None:
        self.checkout: Any = checkout_service_pb2_grpc.CheckoutServiceStub(channel)
        self.receipts: Any = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        self._metadata = (("authorization", authorization),)

    async def call(self, method: Any, request: Any) -> Any:
        return await method(request, metadata=self._metadata, timeout=20)


def _at_desk(
    work: Callable[[_Desk], Awaitable[T]], gateway: str, client: str, secret: Path | None
) -> T:
    """Return what comes of calls through the gateway; refusals end the command with their text."""
    place = layout.at(None)
    state = State.load(place)
    if not gateway:
        if state is None:
            raise typer.BadParameter("no stack is running here", param_hint="--gateway")
        gateway = state.address("gateway")
    settings = config.AuthSettings(
        token_url=f"http://{gateway}/oauth2/token",
        client_id=client,
        client_secret_file=secret or place.secrets / f"client-{client}",
    )

    async def run() -> T:
        authorization = await clients.Tokens(settings).authorization()
        async with grpc.aio.insecure_channel(gateway) as channel:
            return await work(_Desk(channel, authorization))

    try:
        return asyncio.run(run())
    except grpc.aio.AioRpcError as error:
        answer = status.read(error)
        _console.print(
            f"[red]{answer.reason or answer.category.name}[/red]: {escape(answer.message)}"
        )
        raise typer.Exit(1) from None


@app.command()
def find(
    key: Annotated[str, typer.Option(help="STORE/TILL/SHIFT/NUMBER.")] = "",
    store: Annotated[str, typer.Option(help="The store.")] = "",
    till: Annotated[str, typer.Option(help="The till.")] = "",
    number: Annotated[str, typer.Option(help="The number on the paper.")] = "",
    member: Annotated[str, typer.Option(help="The member id.")] = "",
    card: Annotated[str, typer.Option(help="A card of the shopper.")] = "",
    phone: Annotated[str, typer.Option(help="The shopper's phone.")] = "",
    day: Annotated[str, typer.Option(help="YYYY-MM-DD, in UTC.")] = "",
    days: Annotated[int, typer.Option(min=1, max=100, help="How many days from then on.")] = 1,
    total: Annotated[int | None, typer.Option(help="The total in minor units.")] = None,
    campaign: Annotated[str, typer.Option(help="A campaign that gave something.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 20,
    gateway: Gateway = "",
    client: Client = "admin",
    secret: Secret = None,
) -> None:
    """List receipts, newest first; by default of the last hundred days.

    Into a pipe or a file goes a line for each, with tabs between the columns.
    """
    if key:
        parts = key.split("/")
        if len(parts) != 4:
            raise typer.BadParameter("a key has four parts", param_hint="--key")
        _show_key(
            dict(zip(("store_id", "till_id", "shift_id", "receipt_number"), parts, strict=True)),
            gateway,
            client,
            secret,
        )
        return
    request = receipt_service_pb2.SearchReceiptsRequest(
        store_id=store,
        till_id=till,
        receipt_number=number,
        campaign_id=campaign,
        page_size=min(limit, 200),
    )
    _narrow(request, day, days)
    named = [("member_id", member), ("card_number", card), ("phone", phone)]
    for name, value in named:
        if value:
            request.member_key.CopyFrom(member_pb2.MemberKey(**{name: value}))
    if total is not None:
        request.total_min_minor = request.total_max_minor = total

    async def search(desk: _Desk) -> list[receipt_service_pb2.ReceiptSummary]:
        found: list[receipt_service_pb2.ReceiptSummary] = []
        while True:
            page = await desk.call(desk.receipts.SearchReceipts, request)
            found += page.receipts
            request.page_token = page.next_page_token
            if not request.page_token or len(found) >= limit:
                return found[:limit]

    _list(_at_desk(search, gateway, client, secret))


def _list(found: list[receipt_service_pb2.ReceiptSummary]) -> None:
    if _console.is_terminal:
        _console.print(wording.table(found))
        return
    for line in wording.tabbed(found):
        typer.echo(line)


def _narrow(request: receipt_service_pb2.SearchReceiptsRequest, day: str, days: int) -> None:
    if day:
        try:
            first = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        except ValueError:
            raise typer.BadParameter("a day is YYYY-MM-DD", param_hint="--day") from None
        last = first + timedelta(days=days)
    else:
        last = datetime.now(UTC) + timedelta(hours=1)
        first = last - timedelta(days=100)
    request.from_time.CopyFrom(timestamps.show(first))
    request.until_time.CopyFrom(timestamps.show(last))


def _show_key(parts: dict[str, str], gateway: str, client: str, secret: Path | None) -> None:
    request = checkout_service_pb2.FindReceiptRequest(receipt_key=checkout_pb2.ReceiptKey(**parts))
    _explain("FindReceipt", request, gateway, client, secret)


@app.command()
def show(
    receipt_id: Annotated[str, typer.Argument(help="The receipt, `rcp_…`.")],
    gateway: Gateway = "",
    client: Client = "admin",
    secret: Secret = None,
) -> None:
    """Print what was bought, what every campaign gave, and why the others gave nothing."""
    request = checkout_service_pb2.GetReceiptRequest(receipt_id=receipt_id)
    _explain("GetReceipt", request, gateway, client, secret)


def _explain(method: str, request: Any, gateway: str, client: str, secret: Path | None) -> None:
    """Print the receipt that a method answers with."""

    async def look(desk: _Desk) -> checkout_pb2.Receipt:
        answer = await desk.call(getattr(desk.checkout, method), request)
        found: checkout_pb2.Receipt = answer.receipt
        return found

    wording.put(_console, wording.explain(_at_desk(look, gateway, client, secret)))


@app.command()
def rerun(
    receipt_id: Annotated[str, typer.Argument(help="The receipt, `rcp_…`.")],
    ruleset: Annotated[int, typer.Option(help="Another rule set than that of the day.")] = 0,
    cart: Annotated[
        Path | None, typer.Option(help="Another cart than was bought, as JSON of the contract.")
    ] = None,
    everything: Annotated[  # noqa: FBT002  options of typer
        bool, typer.Option("--all", help="Say why every campaign gave nothing, near or far.")
    ] = False,
    gateway: Gateway = "",
    client: Client = "admin",
    secret: Secret = None,
) -> None:
    """Decide a receipt again, with the facts of its day, and print what differs.

    A receipt keeps the answers of campaigns that came near its cart; `--all` asks the others, too.
    """
    request = receipt_service_pb2.RerunReceiptRequest(
        receipt_id=receipt_id, ruleset_version=ruleset, explain_all=everything
    )
    if cart is not None:
        try:
            json_format.Parse(cart.read_text(), request.cart)
        except (OSError, json_format.ParseError) as error:
            raise typer.BadParameter(str(error), param_hint="--cart") from None

    async def decide(desk: _Desk) -> receipt_service_pb2.RerunReceiptResponse:
        answer: receipt_service_pb2.RerunReceiptResponse = await desk.call(
            desk.receipts.RerunReceipt, request
        )
        return answer

    answer = _at_desk(decide, gateway, client, secret)
    wording.put(_console, wording.compare(answer))
    if everything:
        wording.put(_console, wording.explain_others(answer.rerun, answer.currency_code))


@app.command()
def compensate(
    receipt_id: Annotated[str, typer.Argument(help="The receipt, `rcp_…`.")],
    points: Annotated[int, typer.Option(min=1, help="How many, in the smallest unit.")],
    cause: Annotated[str, typer.Option(help="Why; the ledger keeps it, so no personal data.")],
    gateway: Gateway = "",
    client: Client = "admin",
    secret: Secret = None,
) -> None:
    """Give the shopper points with a reason; above the limit they wait for a second person.

    The same once more gives nothing twice and says what has become of it.
    """
    told = f"{receipt_id} {points} {cause}"
    request = receipt_service_pb2.CompensateReceiptRequest(
        request_id=f"desk-{hashlib.sha256(told.encode()).hexdigest()[:40]}",
        receipt_id=receipt_id,
        points=points,
        cause=cause,
    )

    async def give(desk: _Desk) -> checkout_pb2.Compensation:
        answer = await desk.call(desk.receipts.CompensateReceipt, request)
        given: checkout_pb2.Compensation = answer.compensation
        return given

    wording.put(_console, [wording.tell_compensation(_at_desk(give, gateway, client, secret))])
