"""Calls in flight share their round trips: while one is under way, those that follow gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gatherer(Generic[Item, Result]):
    """Hands whatever waits to `handle`, which answers one result for each item, in order.

    A lonely item is handled at once. `lanes` handlings may be under way at the same time, and
    items of one handling weigh no more than `weight_max` together. Before each, `linger_s` pass, so
    that what nobody waits for gathers in larger groups. An exception of `handle` goes
    to everybody whose item it held. `run` belongs into the background of a server: what is
    handled there has no caller and no deadline of its own.
    """

    def __init__(
        self,
        handle: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        *,
        weight_max: int,
        weigh: Callable[[Item], int] = lambda _: 1,
        lanes: int = 1,
        linger_s: float = 0.0,
    ) -> None:
        self._handle = handle
        self._weight_max = weight_max
        self._weigh = weigh
        self._lanes = lanes
        self._linger_s = linger_s
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()

    async def ask(self, item: Item) -> Result:
        """Return the result for one item."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._arrived.set()
        return await answer

    def leave(self, item: Item) -> None:
        """Hand over an item whose result nobody waits for; what goes wrong with it is dropped."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append((item, answer))
        self._arrived.set()

    async def run(self) -> None:
        """Handle items until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            group = self._take()
            if group:
                await self._answer(group)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """Return what waits, as far as it fits; whoever gave up meanwhile is left out."""
        group: list[tuple[Item, asyncio.Future[Result]]] = []
        weight = 0
        while self._waiting:
            item, answer = self._waiting[0]
            if not answer.done():
                weight += self._weigh(item)
                if group and weight > self._weight_max:
                    break
                group.append((item, answer))
            self._waiting.popleft()
        return group

    async def _answer(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in group])
        except asyncio.CancelledError:
            for _, answer in group:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  each of the callers gets to hear it
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), result in zip(group, results, strict=True):
                if not answer.done():
                    answer.set_result(result)
