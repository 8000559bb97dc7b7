"""A closed-loop load generator: a fixed number of calls in flight for a fixed time."""

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Subject:
    """What is measured: one call, repeated by every worker until the time is over.

    `units` says how many things one call does (8,000 transfers in a bulk call); rates count those.
    `prepare` gets ready what so many seconds will need, before they begin: on a machine that serves
    everything, a request that is made while the clock runs is taken from the servers' time.
    """

    name: str
    call: Call
    in_flight: int
    units: int = 1
    prepare: Callable[[float], None] | None = None

    async def drive(self, seconds: float) -> "Sample":
        """Keep `in_flight` calls under way for `seconds`; a failing call ends the bench."""
        return await drive(self, seconds=seconds)


@dataclass(frozen=True)
class Steady:
    """A subject at a share of its own best: calls come evenly, whether or not earlier ones ended.

    What it can do at its best is measured first, for half of the time; then the calls come for as
    long again before they are counted, so that nothing of the rush is left. Latencies count from
    when a call was due, so that a server that stalls cannot hide it by keeping the load waiting.
    """

    subject: Subject
    share: float = 0.5

    @property
    def name(self) -> str:
        """The subject's name, and how hard it is driven."""
        return f"{self.subject.name}, at {self.share:.0%}"

    @property
    def in_flight(self) -> int:
        """How many calls are under way when the subject is at its best."""
        return self.subject.in_flight

    async def drive(self, seconds: float) -> "Sample":
        """Let calls come for `seconds`; a failing call ends the bench."""
        best = await drive(self.subject, seconds=seconds / 2)
        rate = self.share * best.rate
        await self._come_evenly(rate, seconds / 2)
        return await self._come_evenly(rate, seconds)

    async def _come_evenly(self, rate: float, seconds: float) -> "Sample":
        if self.subject.prepare is not None:
            self.subject.prepare(seconds)
        latencies: list[float] = []
        start = time.perf_counter()

        async def call(due: float) -> None:
            await self.subject.call()
            latencies.append((time.perf_counter() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            for number in range(math.ceil(seconds * rate)):
                due = start + number / rate
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                group.create_task(call(due))
        return Sample(len(latencies) / (time.perf_counter() - start), latencies)


@dataclass(frozen=True)
class Peer:
    """Something else that is measured beside our calls, by means of its own."""

    name: str
    in_flight: int
    measure: "Callable[[float], Awaitable[Sample]]"

    async def drive(self, seconds: float) -> "Sample":
        """Let it work for `seconds`, and return what it says of itself."""
        return await self.measure(seconds)


@dataclass(frozen=True)
class Sample:
    """One round of one subject: units per second, and every call's latency in milliseconds."""

    rate: float
    latencies_ms: list[float]


@dataclass
class Measurement:
    """All rounds of one subject, beside the no-op's rounds that they were interleaved with."""

    name: str
    in_flight: int
    samples: list[Sample] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return the median rate over the rounds, in units per second."""
        return statistics.median(sample.rate for sample in self.samples)

    @property
    def ratio(self) -> float:
        """Return the median over the rounds of the rate over the no-op's rate of that round."""
        return statistics.median(self.ratios)

    def percentile_ms(self, share: float) -> float:
        """Return the milliseconds that the given share (0 to 1) of the calls stays below."""
        latencies = sorted(latency for sample in self.samples for latency in sample.latencies_ms)
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))]


async def drive(subject: Subject, *, seconds: float) -> Sample:
    """Keep `subject.in_flight` calls under way for `seconds`; a failing call ends the bench."""
    latencies: list[float] = []
    if subject.prepare is not None:
        subject.prepare(seconds)
    start = time.perf_counter()
    end = start + seconds

    async def work() -> None:
        while (begun := time.perf_counter()) < end:
            await subject.call()
            latencies.append((time.perf_counter() - begun) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(subject.in_flight):
            group.create_task(work())
    return Sample(len(latencies) * subject.units / (time.perf_counter() - start), latencies)


async def compare(
    baseline: Callable[[int], Subject],
    subjects: Sequence[Subject | Steady | Peer],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
    settle: Callable[[], Awaitable[None]],
) -> list[Measurement]:
    """Measure every subject in turn with the no-op beside it, round by round.

    `baseline` makes the no-op subject for a number of calls in flight. A ratio is taken inside a
    round, so that the machine's moods reach both sides alike; the first round only warms up.
    `settle` returns when what a subject has left to be done is done, so that none is measured with
    the work of the one before.
    """
    widths = sorted({subject.in_flight for subject in subjects})
    base = {width: Measurement(baseline(width).name, width) for width in widths}
    measured = [Measurement(subject.name, subject.in_flight) for subject in subjects]
    for number in range(rounds + 1):
        noop: dict[int, Sample] = {}
        await settle()
        for width in widths:
            progress(f"{base[width].name}, {width} in flight")
            noop[width] = await drive(baseline(width), seconds=seconds)
        for subject, measurement in zip(subjects, measured, strict=True):
            await settle()
            progress(f"{subject.name}, {subject.in_flight} in flight")
            sample = await subject.drive(seconds)
            if number:
                measurement.samples.append(sample)
                measurement.ratios.append(sample.rate / noop[subject.in_flight].rate)
        if number:
            for width in widths:
                base[width].samples.append(noop[width])
                base[width].ratios.append(1.0)
    return [*base.values(), *measured]


def named(measurements: Sequence[Measurement], suffix: str) -> list[Measurement]:
    """Return the measurements with more in their names, to tell them from others of the kind."""
    return [replace(one, name=f"{one.name}, {suffix}") for one in measurements]
