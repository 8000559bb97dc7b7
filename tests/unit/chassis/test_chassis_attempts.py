"""The limit on wrong secrets."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.chassis import attempts

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIMIT = attempts.Limit(burst=5, interval=6 * SECOND)


def fail(count: int, spent: datetime | None = None, now: datetime = NOON) -> datetime | None:
    for _ in range(count):
        assert attempts.wait(spent, limit=LIMIT, now=now) == timedelta()
        spent = attempts.charge(spent, limit=LIMIT, now=now)
    return spent


def test_burst_is_free_and_the_next_one_waits() -> None:
    """Five wrong secrets at once, then one every six seconds."""
    spent = fail(5)
    assert attempts.wait(spent, limit=LIMIT, now=NOON) == 6 * SECOND
    assert attempts.wait(spent, limit=LIMIT, now=NOON + 5 * SECOND) == SECOND
    spent = fail(1, spent, NOON + 6 * SECOND)
    assert attempts.wait(spent, limit=LIMIT, now=NOON + 6 * SECOND) == 6 * SECOND


def test_quiet_time_gives_the_burst_back() -> None:
    """After half a minute of nothing all five are there again."""
    fail(5, fail(5), NOON + 30 * SECOND)


def test_right_secret_costs_nothing() -> None:
    """Whoever knows the secret may ask as often as it likes."""
    spent: datetime | None = fail(4)
    for _ in range(100):
        assert attempts.wait(spent, limit=LIMIT, now=NOON) == timedelta()
        charged = attempts.charge(spent, limit=LIMIT, now=NOON)
        spent = attempts.give_back(charged, limit=LIMIT)
    assert attempts.wait(fail(1, spent), limit=LIMIT, now=NOON) > timedelta()


@given(st.lists(st.integers(0, 20), max_size=200))
def test_failures_never_exceed_burst_and_rate(pauses: list[int]) -> None:
    """Over any history no window holds more failures than burst and rate allow."""
    spent, now, failures = None, NOON, []
    for pause in pauses:
        now += pause * SECOND
        if attempts.wait(spent, limit=LIMIT, now=now) == timedelta():
            spent = attempts.charge(spent, limit=LIMIT, now=now)
            failures.append(now)
    for index, first in enumerate(failures):
        for offset, last in enumerate(failures[index:]):
            assert offset + 1 <= LIMIT.burst + (last - first) / LIMIT.interval
