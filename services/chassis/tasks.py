"""Tasks that outlive a call, and their end."""

import asyncio
from typing import Any

_AGAIN_S = 0.2


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
