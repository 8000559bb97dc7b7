"""The main job in small: replayed, proven, continued, and proven again with processes killed.

The tests build on one another: each replays more of the same year on the same stack.
"""

import asyncio
import os
import signal
import time

from tools.demo import job
from tools.demo.job import Gateway, Options, Outcome
from tools.stack import lifecycle
from tools.stack.composition import Composition

FIRST, LATER = 120, 320
VICTIMS = ("ledger", "promotions", "identity")
PATIENCE_S = 120


def ignore(name: str, done: int, total: int) -> None:
    """Show no progress."""


def failures(outcome: Outcome) -> list[str]:
    return [f"{check.name}: {check.figures}" for check in outcome.checks if not check.passed]


async def test_a_part_of_the_year_is_proven(own_gateway: Gateway) -> None:
    """The chain is loaded, receipts are replayed, and every check passes."""
    outcome = await job.perform(own_gateway, Options(receipts=FIRST, workers=8), ignore)
    assert failures(outcome) == []
    assert not outcome.was_loaded
    assert outcome.receipts.receipts.height > FIRST * 0.9
    assert outcome.journal.returns
    assert len(outcome.checks) >= 12


async def test_a_second_run_finds_everything_done(own_gateway: Gateway) -> None:
    """Nothing is loaded or recorded twice, and the proof still holds."""
    outcome = await job.perform(own_gateway, Options(receipts=FIRST, workers=8), ignore)
    assert failures(outcome) == []
    assert outcome.was_loaded
    assert outcome.journal.found == outcome.receipts.receipts.height


async def test_killed_services_change_nothing(own_gateway: Gateway, own_stack: Composition) -> None:
    """`kill -9` of one service after another during the replay: tills repeat, the proof holds."""
    reached = 0

    def listen(name: str, done: int, _: int) -> None:
        nonlocal reached
        if name == "replay":
            reached = done

    async def reach(count: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while reached < count:
            assert time.monotonic() < until, "the replay does not go on"
            await asyncio.sleep(0.02)

    async def kill() -> None:
        for place, victim in enumerate(VICTIMS, start=1):
            await reach(FIRST + place * (LATER - FIRST) // (len(VICTIMS) + 1))
            rows = lifecycle.processes(own_stack.layout) or []
            os.kill(next(row.pid for row in rows if row.name == victim), signal.SIGKILL)

    options = Options(receipts=LATER, workers=4)
    outcome, _ = await asyncio.gather(job.perform(own_gateway, options, listen), kill())
    assert failures(outcome) == []
    assert sum(one.retries for one in outcome.timings) > 0
