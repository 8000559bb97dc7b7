"""Calls through the gateway as a program of the retailer makes them: a token, patience, a clock."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from tessera.identity.v1 import member_service_pb2_grpc
from tessera.ledger.v1 import ledger_service_pb2_grpc
from tessera.promotions.v1 import (
    campaign_service_pb2_grpc,
    catalogue_service_pb2_grpc,
    checkout_service_pb2_grpc,
)

from services.chassis import clients, config, errors, status

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Item = TypeVar("Item")
Result = TypeVar("Result")
#: Told the name of a step, how many of its parts are done, and how many there are.
Progress = Callable[[str, int, int], None]

#: A service that was killed is back within seconds; whoever waits longer has another problem.
_PATIENCE_S = 90.0
_PAUSE_S_FIRST = 0.05
_PAUSE_S_MAX = 2.0
_CALLS_IN_FLIGHT = 32
_TRANSIENT = frozenset(
    {
        errors.Category.UNAVAILABLE,
        errors.Category.DEADLINE_EXCEEDED,
        errors.Category.RESOURCE_EXHAUSTED,
        errors.Category.ABORTED,
        errors.Category.CANCELLED,
    }
)


class Refused(Exception):  # noqa: N818  a refusal is an answer, not an error of ours
    """A call was answered with a refusal that repeating it would not change."""

    def __init__(self, method: str, answer: status.Answer) -> None:
        super().__init__(f"{method}: {answer.category.name} {answer.reason} {answer.message}")
        self.answer = answer


@dataclass
class Timings:
    """Milliseconds of every call by the method's name, retries included; and how many retries."""

    latencies_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    retries: int = 0


@dataclass(frozen=True)
class Login:
    """A client's name and the file of its secret."""

    client_id: str
    secret_file: Path


class Session:
    """One program's connection to the gateway, with a stub for each service."""

    def __init__(self, channels: dict[str, grpc.aio.Channel]) -> None:
        self.timings = Timings()
        identity, promotions = "tessera.identity.v1", "tessera.promotions.v1"
        self.members = member_service_pb2_grpc.MemberServiceStub(
            channels[f"{identity}.MemberService"]
        )
        self.ledger = ledger_service_pb2_grpc.LedgerServiceStub(
            channels["tessera.ledger.v1.LedgerService"]
        )
        self.campaigns = campaign_service_pb2_grpc.CampaignServiceStub(
            channels[f"{promotions}.CampaignService"]
        )
        self.catalogue = catalogue_service_pb2_grpc.CatalogueServiceStub(
            channels[f"{promotions}.CatalogueService"]
        )
        self.checkout = checkout_service_pb2_grpc.CheckoutServiceStub(
            channels[f"{promotions}.CheckoutService"]
        )

    async def ask(
        self, name: str, method: Callable[[Request], Awaitable[Answer]], request: Request
    ) -> Answer:
        """Call until there is an answer: every call of ours may be repeated.

        Raises Refused when the answer is no, or when there is none for too long.
        """
        start = time.perf_counter()
        pause_s = _PAUSE_S_FIRST
        while True:
            try:
                answer = await method(request)
                break
            except (grpc.aio.AioRpcError, errors.Refusal) as error:
                told = _told(error)
                if told.category not in _TRANSIENT or time.perf_counter() - start > _PATIENCE_S:
                    raise Refused(name, told) from error
            self.timings.retries += 1
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  no secret
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
        self.timings.latencies_ms[name].append((time.perf_counter() - start) * 1000)
        return answer

    async def each(
        self,
        items: Sequence[Item],
        work: Callable[[Item], Awaitable[Result]],
        name: str,
        progress: Progress,
        *,
        in_flight: int = _CALLS_IN_FLIGHT,
    ) -> list[Result]:
        """Do the work for every item, so many at a time; results come in no particular order."""
        waiting = iter(items)
        results: list[Result] = []

        async def worker() -> None:
            for item in waiting:
                results.append(await work(item))
                progress(name, len(results), len(items))

        progress(name, 0, len(items))
        await together(worker() for _ in range(min(in_flight, len(items))))
        return results


_SERVICES = (
    "tessera.identity.v1.MemberService",
    "tessera.ledger.v1.LedgerService",
    "tessera.promotions.v1.CampaignService",
    "tessera.promotions.v1.CatalogueService",
    "tessera.promotions.v1.CheckoutService",
)


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything at the same time; the first failure stops the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failures:
        first = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


@asynccontextmanager
async def connect(gateway: str, login: Login) -> AsyncIterator[Session]:
    """Open a session at the gateway's `host:port`."""
    tokens = clients.Tokens(
        config.AuthSettings(
            token_url=f"http://{gateway}/oauth2/token",
            client_id=login.client_id,
            client_secret_file=login.secret_file,
        )
    )
    async with AsyncExitStack() as stack:
        yield Session(
            {
                service: await stack.enter_async_context(
                    clients.channel(gateway, service=service, tokens=tokens)
                )
                for service in _SERVICES
            }
        )


def _told(error: grpc.aio.AioRpcError | errors.Refusal) -> status.Answer:
    if isinstance(error, errors.Refusal):
        return status.Answer(error.category, error.message, error.reason, error.domain)
    return status.read(error)
