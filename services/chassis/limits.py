"""How many calls a role works on at once, and which it turns away when there are more."""

import asyncio
from collections import deque

from services.chassis import errors


class Limiter:
    """A bounded number of places for calls, with a short queue in front of them.

    A call that finds no place waits up to `queue_ms_max`, in order of arrival; then it is shed.
    Calls of low priority get half of the places and never wait, so they are shed first.
    """

    __slots__ = ("_low_limit", "_places", "_queue", "_queue_s_max", "in_flight")

    def __init__(self, *, places: int, queue_ms_max: int) -> None:
        self.in_flight = 0
        self._places = places
        self._low_limit = max(places // 2, 1)
        self._queue_s_max = queue_ms_max / 1000
        self._queue: deque[asyncio.Future[bool]] = deque()

    def try_enter(self, *, low_priority: bool) -> bool:
        """Take a place if there is one at once. Whoever enters must leave."""
        if self.in_flight < (self._low_limit if low_priority else self._places):
            self.in_flight += 1
            return True
        return False

    async def enter(self, *, low_priority: bool) -> None:
        """Take a place; raises Overloaded. Whoever enters must leave."""
        if self.try_enter(low_priority=low_priority):
            return
        # A queue longer than the places cannot be served in time either.
        if low_priority or len(self._queue) >= self._places or not await self._wait():
            raise errors.Overloaded

    def leave(self) -> None:
        """Give the place to the first who waits, or back."""
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(True)
                return
        self.in_flight -= 1

    async def _wait(self) -> bool:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._queue.append(waiting)
        timer = loop.call_later(self._queue_s_max, _give_up, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.result():
                self.leave()  # the place came in the same instant as the cancellation
            raise
        finally:
            timer.cancel()


def _give_up(waiting: "asyncio.Future[bool]") -> None:
    if not waiting.done():
        waiting.set_result(False)
