"""Items in flight share what is done for them."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from services.promotions.gathering import Gatherer


@asynccontextmanager
async def at_work(gatherer):
    task = asyncio.create_task(gatherer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def test_what_waits_is_handled_together():
    """A lonely item goes at once; those that come meanwhile share the next handling."""
    handled, gate = [], asyncio.Event()

    async def handle(items):
        handled.append(list(items))
        await gate.wait()
        return [item * 10 for item in items]

    gatherer = Gatherer(handle, weight_max=100)
    async with at_work(gatherer):
        first = asyncio.create_task(gatherer.ask(1))
        while not handled:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(gatherer.ask(number)) for number in range(2, 6)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *rest) == [10, 20, 30, 40, 50]
    assert handled == [[1], [2, 3, 4, 5]]


async def test_weight_bounds_a_handling():
    """What does not fit goes with the next; what alone is too heavy goes alone."""
    handled = []

    async def handle(items):
        handled.append(list(items))
        return items

    gatherer = Gatherer(handle, weight_max=5, weigh=lambda item: item)
    asked = [asyncio.ensure_future(gatherer.ask(weight)) for weight in (2, 3, 1, 9, 4)]
    await asyncio.sleep(0)
    async with at_work(gatherer):
        assert await asyncio.gather(*asked) == [2, 3, 1, 9, 4]
    assert handled == [[2, 3], [1], [9], [4]]


async def test_a_failure_is_told_to_everybody_and_work_goes_on():
    """The next items are handled as if nothing had happened."""

    async def handle(items):
        if "bad" in items:
            raise ValueError("no")
        return items

    gatherer = Gatherer(handle, weight_max=10)
    asked = [asyncio.ensure_future(gatherer.ask(item)) for item in ("good", "bad")]
    await asyncio.sleep(0)
    async with at_work(gatherer):
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, ValueError) for outcome in outcomes)
        assert await gatherer.ask("later") == "later"


async def test_whoever_gave_up_is_left_out():
    """A cancelled call costs nobody anything."""
    handled = []

    async def handle(items):
        handled.extend(items)
        return items

    gatherer = Gatherer(handle, weight_max=10)
    given_up = asyncio.ensure_future(gatherer.ask("gone"))
    kept = asyncio.ensure_future(gatherer.ask("kept"))
    await asyncio.sleep(0)
    given_up.cancel()
    async with at_work(gatherer):
        assert await kept == "kept"
    assert handled == ["kept"]
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_lanes_work_side_by_side():
    """Two lanes handle two items at the same time."""
    busy, gate = [], asyncio.Event()

    async def handle(items):
        busy.append(items)
        await gate.wait()
        return items

    gatherer = Gatherer(handle, weight_max=1, lanes=2)
    async with at_work(gatherer):
        asked = [asyncio.ensure_future(gatherer.ask(number)) for number in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(busy) == 2
        gate.set()
        assert await asyncio.gather(*asked) == [0, 1, 2]


async def test_what_nobody_waits_for_is_handled_too():
    """And with it, in one go, what came while it lingered; its failure is nobody's."""
    handled = []

    async def handle(items):
        handled.append(list(items))
        if "bad" in items:
            raise ValueError("no")
        return items

    gatherer = Gatherer(handle, weight_max=10, linger_s=0.001)
    gatherer.leave("bad")
    async with at_work(gatherer):
        with pytest.raises(ValueError, match="no"):
            await gatherer.ask("with it")
        gatherer.leave("left")
        assert await gatherer.ask("good") == "good"
    assert handled == [["bad", "with it"], ["left", "good"]]
