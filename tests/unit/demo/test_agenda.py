"""Tills share the work without mixing up one household's purchases."""

import asyncio

from tools.demo.replay import Agenda, Step


async def test_a_households_steps_come_one_after_the_other() -> None:
    """Many workers, few households: each household's steps keep their order."""
    steps = [Step(number % 3, number, "sale") for number in range(60)]
    agenda = Agenda(iter(steps), window=12)
    busy: set[int] = set()
    finished: dict[int, list[int]] = {0: [], 1: [], 2: []}

    async def work() -> None:
        while step := await agenda.take():
            assert step.household_id not in busy
            busy.add(step.household_id)
            await asyncio.sleep(0)
            busy.remove(step.household_id)
            finished[step.household_id].append(step.basket_id)
            await agenda.finish(step)

    await asyncio.gather(*(work() for _ in range(8)))
    assert finished == {place: list(range(place, 60, 3)) for place in range(3)}


async def test_nobody_runs_far_ahead() -> None:
    """While the oldest step is under way, others get no further than the window."""
    steps = [Step(number, number, "sale") for number in range(20)]
    agenda = Agenda(iter(steps), window=4)
    oldest = await agenda.take()
    assert oldest == steps[0]
    for step in steps[1:4]:
        assert await agenda.take() == step
        await agenda.finish(step)
    waiting = asyncio.create_task(agenda.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    await agenda.finish(oldest)
    assert await waiting == steps[4]


async def test_the_end_is_told_to_everybody() -> None:
    """Workers that wait when the last step is finished are sent home."""
    steps = [Step(1, 1, "sale"), Step(1, 1, "void")]
    agenda = Agenda(iter(steps), window=4)
    first = await agenda.take()
    assert first == steps[0]
    waiting = asyncio.create_task(agenda.take())
    await agenda.finish(first)
    assert await waiting == steps[1]
    await agenda.finish(steps[1])
    assert await agenda.take() is None
