"""Tasks that outlive a call, and their end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from services.chassis import database, errors

_AGAIN_S = 0.2
_RETRY_S = 1.0

log = structlog.get_logger()


async def alone(
    source: database.Database,
    name: str,
    work: Callable[[database.Transaction], Awaitable[object]],
    *,
    interval_s: float = 0,
    outages: tuple[type[Exception], ...] = (),
) -> None:
    """Do some work again and again, of all processes one at a time, until cancelled.

    `work` gets the session that holds the right to it, and after it has returned comes again in
    `interval_s`. Refusals, and what else counts as `outages`, are waited out.
    """
    waited_out: tuple[type[Exception], ...] = (errors.Refusal, *outages)
    while True:
        try:
            async with source.sole(name) as session:
                while True:
                    await session.fetchval("SELECT 1")  # still the only one?
                    await work(session)
                    await asyncio.sleep(interval_s)
        except waited_out as error:
            log.warning("work waits", work=name, error=str(error))
        await asyncio.sleep(_RETRY_S)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they are over.

    Asks again: before Python 3.12 `asyncio.wait_for`, which the Redis client uses for every write,
    forgets a cancellation that arrives in the instant in which its work is done.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
