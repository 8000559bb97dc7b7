"""How long callers of ours are kept waiting for another service."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from services.chassis import deadlines
from services.promotions import errors

T = TypeVar("T")


async def in_time(answer: Awaitable[T], *, service: str, seconds_max: float | None = None) -> T:
    """Return an answer, or raise DependencyUnavailable while the caller can still be told.

    What nobody waits for has no deadline, and takes as long as it takes.
    """
    try:
        async with asyncio.timeout(_left(seconds_max)) as limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise
    raise errors.DependencyUnavailable(service=service)


def _left(seconds_max: float | None) -> float | None:
    left = deadlines.remaining()
    if left is None:
        return None
    left = max(left - deadlines.FLOOR_S, 0.0)
    return left if seconds_max is None else min(left, seconds_max)
