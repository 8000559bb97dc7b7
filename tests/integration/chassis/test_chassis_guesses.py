"""Wrong secrets, counted by several processes together, and by each alone without Valkey."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis import attempts, config, guesses, hotstore
from tests.integration.chassis import guessing_process

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMIT = attempts.Limit(burst=3, interval=timedelta(seconds=60))
WIDE = attempts.Limit(burst=5, interval=timedelta(seconds=60))
ROOT = Path(__file__).parents[3]


class Process:
    """What one process knows of guesses, with a clock that is moved by hand."""

    def __init__(self, hot):
        self.now = NOON
        self.guesses = guesses.Guesses(hot, "test", now=lambda: self.now)

    async def guess(self, *places):
        """Return how many seconds this wrong guess has to wait; 0 when it was let through."""
        try:
            await self.guesses.charge(*places)
        except guesses.TooMany as too_many:
            return too_many.wait.total_seconds()
        return 0


@pytest.fixture
async def open_store(valkey):
    stores = []

    async def begin(url=valkey.url, timeout_ms=2000):
        store = hotstore.Hotstore(config.HotstoreSettings(url=url, timeout_ms=timeout_ms))
        stores.append(store)
        return store

    first = await begin()
    await first.client.flushall()
    yield begin
    for store in stores:
        await store.client.aclose()


@pytest.fixture
async def two(open_store):
    return Process(await open_store()), Process(await open_store())


def place(name="anna", limit=LIMIT):
    return guesses.Place((name,), limit)


async def test_guesses_of_two_processes_add_up(two):
    """Who tries here and there has no more guesses than who tries here alone."""
    one, other = two
    assert [await each.guess(place()) for each in (one, other, one)] == [0, 0, 0]
    assert [await each.guess(place()) for each in (one, other)] == [60, 60]
    assert await other.guess(place("boris")) == 0
    other.now += timedelta(seconds=60)
    assert [await other.guess(place()) for _ in range(2)] == [0, 60]


async def test_the_right_secret_costs_nothing_anywhere(two):
    one, other = two
    for each in (one, other) * 10:
        await (await each.guesses.charge(place())).give_back()
    assert [await each.guess(place()) for each in (one, other, one, other)] == [0, 0, 0, 60]


async def test_an_attempt_is_counted_at_all_places_or_at_none(two):
    """Whoever has to wait at one place uses up nothing at the others."""
    one, other = two
    till, chain = place("till"), place("chain", WIDE)
    assert [await one.guess(till, chain) for _ in range(5)] == [0, 0, 0, 60, 60]
    assert [await other.guess(place("next"), chain) for _ in range(3)] == [0, 0, 60]
    assert await other.guess(place("next")) == 0


async def test_counts_are_forgotten_by_themselves(two, open_store):
    """A key lives as long as it says something, and a right secret leaves none."""
    store = await open_store()
    one, _ = two
    await one.guess(place())
    (key,) = await store.client.keys("*guesses*")
    assert 0 < await store.client.pttl(key) <= 60_000
    assert b"anna" not in key
    await (await one.guesses.charge(place("boris"))).give_back()
    assert await store.client.keys("*guesses*") == [key]


@pytest.mark.usefixtures("open_store")
async def test_two_processes_that_guess_at_once_share_the_limit(valkey):
    """Real ones, all their guesses at the same time: exactly the burst goes through."""
    script = guessing_process.__file__
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            script,
            valkey.url,
            "30",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    answers = [(await process.communicate())[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(int(answer.split()[-1]) for answer in answers) == guessing_process.LIMIT.burst


async def test_without_valkey_each_process_counts_alone(open_store):
    """Guesses stay bounded, and whoever knows the secret is let in all the same."""
    nowhere = "redis://127.0.0.1:1/0"
    one, other = Process(await open_store(nowhere)), Process(await open_store(nowhere))
    await (await one.guesses.charge(place())).give_back()
    assert [await one.guess(place()) for _ in range(4)] == [0, 0, 0, 60]
    assert [await other.guess(place()) for _ in range(4)] == [0, 0, 0, 60]


async def test_what_was_counted_alone_is_not_taken_from_the_others(open_store):
    """An attempt that Valkey never saw is not given back there."""
    one, other = Process(await open_store("redis://127.0.0.1:1/0")), Process(await open_store())
    assert [await other.guess(place()) for _ in range(3)] == [0, 0, 0]
    await (await one.guesses.charge(place())).give_back()
    assert await other.guess(place()) == 60
