"""The deadline of the call at hand, known to everything that the call does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: What every hop keeps back for its own answer, in seconds.
HOP_MARGIN_S = 0.020
#: With less than this left there is no point in starting, in seconds.
FLOOR_S = 0.100

# Seconds on the monotonic clock: a step of the wall clock must not end calls.
_expiry: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(seconds: float | None) -> None:
    """Set the time left for the rest of the present task; None is no deadline."""
    _expiry.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Return the seconds left, negative when they are over, or None without a deadline."""
    expiry = _expiry.get()
    return None if expiry is None else expiry - time.monotonic()


def cap(seconds: float | None) -> float | None:
    """Return the time that a further hop may take: no more than asked, never past our own end."""
    left = remaining()
    if left is None:
        return seconds
    left = max(left - HOP_MARGIN_S, 0.0)
    return left if seconds is None else min(seconds, left)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the block a deadline; an earlier one that already runs stays in force."""
    left = remaining()
    expiry = time.monotonic() + (seconds if left is None else min(seconds, left))
    token = _expiry.set(expiry)
    try:
        yield
    finally:
        _expiry.reset(token)


@contextmanager
def unbounded() -> Iterator[None]:
    """Lift the deadline for the block: tasks started here outlive the call that started them."""
    token = _expiry.set(None)
    try:
        yield
    finally:
        _expiry.reset(token)
