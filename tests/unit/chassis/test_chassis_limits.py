"""Admission: who gets a place, who waits, who is turned away."""

import asyncio

import pytest

from services.chassis import errors, limits


async def _settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_are_given_at_once_and_returned():
    """Under the limit nothing waits."""
    limiter = limits.Limiter(places=2, queue_ms_max=50)
    await limiter.enter(low_priority=False)
    await limiter.enter(low_priority=False)
    assert limiter.in_flight == 2
    limiter.leave()
    limiter.leave()
    assert limiter.in_flight == 0


async def test_call_without_a_place_is_shed_after_the_queue_time():
    """A caller learns within milliseconds that it should come back later."""
    limiter = limits.Limiter(places=1, queue_ms_max=20)
    await limiter.enter(low_priority=False)
    started = asyncio.get_running_loop().time()
    with pytest.raises(errors.Overloaded):
        await limiter.enter(low_priority=False)
    assert 0.015 < asyncio.get_running_loop().time() - started < 1
    assert limiter.in_flight == 1


async def test_waiting_calls_get_places_in_order_of_arrival():
    """The queue is fair."""
    limiter = limits.Limiter(places=3, queue_ms_max=5_000)
    for _ in range(3):
        await limiter.enter(low_priority=False)
    order = []

    async def call(number):
        await limiter.enter(low_priority=False)
        order.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(3)]
    await _settle()
    for _ in range(3):
        limiter.leave()
        await _settle()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert limiter.in_flight == 3


async def test_queue_is_no_longer_than_the_places():
    """Whoever could not be served in time is told so at once."""
    limiter = limits.Limiter(places=1, queue_ms_max=5_000)
    await limiter.enter(low_priority=False)
    waiting = asyncio.create_task(limiter.enter(low_priority=False))
    await _settle()
    with pytest.raises(errors.Overloaded):
        await limiter.enter(low_priority=False)
    limiter.leave()
    await waiting


async def test_low_priority_gets_half_and_never_waits():
    """Reports are shed while checkouts still pass."""
    limiter = limits.Limiter(places=4, queue_ms_max=5_000)
    await limiter.enter(low_priority=True)
    await limiter.enter(low_priority=True)
    with pytest.raises(errors.Overloaded):
        await limiter.enter(low_priority=True)
    await limiter.enter(low_priority=False)
    await limiter.enter(low_priority=False)


async def test_cancelled_waiter_gives_its_place_away():
    """A client that hangs up in the queue takes nothing with it."""
    limiter = limits.Limiter(places=1, queue_ms_max=5_000)
    await limiter.enter(low_priority=False)
    gone = asyncio.create_task(limiter.enter(low_priority=False))
    await _settle()
    limiter.leave()  # the place is on its way to the waiter …
    gone.cancel()  # … which hangs up in the same instant
    await asyncio.gather(gone, return_exceptions=True)
    assert limiter.in_flight == 0


async def test_no_queue_sheds_at_once():
    """A queue time of zero is allowed."""
    limiter = limits.Limiter(places=1, queue_ms_max=0)
    await limiter.enter(low_priority=False)
    with pytest.raises(errors.Overloaded):
        await limiter.enter(low_priority=False)


async def test_cancelled_waiter_that_was_shed_takes_no_place():
    """Giving up and hanging up in the same instant is one departure, not two."""
    limiter = limits.Limiter(places=1, queue_ms_max=5_000)
    await limiter.enter(low_priority=False)
    gone = asyncio.create_task(limiter.enter(low_priority=False))
    await _settle()
    limits._give_up(limiter._queue[0])
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert limiter.in_flight == 1
