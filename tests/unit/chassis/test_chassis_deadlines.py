"""Deadlines: nobody gets more time than is left."""

import asyncio
import contextvars

import pytest

from services.chassis import deadlines


def test_without_a_deadline_the_wish_stands():
    """Background work takes the time it asks for."""
    assert deadlines.remaining() is None
    assert deadlines.cap(3) == 3
    assert deadlines.cap(None) is None


def test_every_hop_keeps_back_its_margin():
    """The answer still has to travel home."""
    with deadlines.within(1):
        assert deadlines.cap(None) == pytest.approx(1 - deadlines.HOP_MARGIN_S, abs=0.01)
        assert deadlines.cap(10) == pytest.approx(1 - deadlines.HOP_MARGIN_S, abs=0.01)
        assert deadlines.cap(0.5) == 0.5


def test_time_that_is_over_is_zero():
    """A negative time-out would be read as no time-out by some."""
    with deadlines.within(-1):
        assert (deadlines.remaining() or 0) < 0
        assert deadlines.cap(5) == 0


def test_inner_deadline_cannot_outlive_the_outer():
    """A block may ask for less, never for more."""
    with deadlines.within(1):
        with deadlines.within(60):
            assert (deadlines.remaining() or 0) <= 1
        with deadlines.within(0.1):
            assert (deadlines.remaining() or 0) <= 0.1
        assert (deadlines.remaining() or 0) > 0.5


def test_unbounded_lifts_and_restores():
    """Tasks that outlive a call are started without its deadline."""
    with deadlines.within(1):
        with deadlines.unbounded():
            assert deadlines.remaining() is None
        assert deadlines.remaining() is not None


async def test_tasks_inherit_the_deadline_of_their_call():
    """Parallel reads of one call share its time."""

    async def child():
        return deadlines.remaining()

    with deadlines.within(1):
        left = await asyncio.create_task(child())
    assert left is not None


def test_begin_is_seen_by_the_rest_of_the_task_only():
    """One call's deadline never leaks into another's."""
    context = contextvars.copy_context()
    context.run(deadlines.begin, 5)
    assert context.run(deadlines.remaining) == pytest.approx(5, abs=0.1)
    assert deadlines.remaining() is None
