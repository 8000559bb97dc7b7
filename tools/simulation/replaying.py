"""Every purchase decided twice: by the live campaigns, and with the draft; over all cores."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context

import polars as pl

from services.promotions import engine
from tools.simulation import limits
from tools.simulation.limits import Ends
from tools.simulation.purchases import Chunk, Purchase, Schema, Source

LIVE, DRAFT = "live", "draft"
SIDES = (LIVE, DRAFT)

#: After so many repetitions the ends of shared limits are taken as they are.
_ROUNDS_MAX = 8

_RECEIPTS: Schema = {
    "number": pl.Int64,
    "subtotal_minor": pl.Int64,
    "live_discount_minor": pl.Int64,
    "draft_discount_minor": pl.Int64,
    "live_points": pl.Int64,
    "draft_points": pl.Int64,
    "segment_ids": pl.List(pl.String),
}
_GAINS: Schema = {
    "side": pl.String,
    "number": pl.Int64,
    "campaign_id": pl.String,
    "discount_minor": pl.Int64,
    "points": pl.Int64,
    "budget_minor": pl.Int64,
    "uses": pl.Int64,
    "member_uses": pl.Int64,
    "chances": pl.Int64,
}
_EVER = engine.Period(
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
)

#: Called with the number of purchases decided since the last call.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Plan:
    """What is held against each other: the live campaigns, and those with the draft among them."""

    live: Sequence[engine.Campaign]
    draft: Sequence[engine.Campaign]

    def side(self, name: str) -> Sequence[engine.Campaign]:
        """Return the campaigns of one side."""
        return self.live if name == LIVE else self.draft


@dataclass(frozen=True)
class Replayed:
    """What became of every purchase.

    `receipts` has a row for each, `gains` one for each side and campaign that gave something.
    `is_settled` is False when the ends of shared limits still moved after the last repetition.
    """

    receipts: pl.DataFrame
    gains: pl.DataFrame
    ends: Mapping[str, Ends]
    is_settled: bool


def timeless(campaigns: Sequence[engine.Campaign]) -> list[engine.Campaign]:
    """Return campaigns as if each had been live all the time; weekdays and hours stay."""
    return [
        replace(
            one,
            rules=replace(
                one.rules,
                validity=replace(one.rules.validity, start_time=None, end_time=None),
                rewards=tuple(map(_timeless, one.rules.rewards)),
            ),
        )
        for one in campaigns
    ]


def _timeless(reward: engine.Reward) -> engine.Reward:
    """Return a reward whose chances of winning are given all the time."""
    if not isinstance(reward.kind, engine.InstantWin):
        return reward
    return replace(reward, kind=replace(reward.kind, period=_EVER))


def replay(
    source: Source, plan: Plan, *, progress: Progress, processes: int | None = None
) -> Replayed:
    """Decide every purchase by both sides.

    `progress` hears of the first time that a purchase is decided, not of repetitions. Raises
    engine.RulesetInvalid when a side's campaigns cannot stand together.
    """
    sides = {name: engine.compile(plan.side(name), version=1) for name in SIDES}
    limited = {name: limits.limited(ruleset) for name, ruleset in sides.items()}
    count = min(processes or os.cpu_count() or 1, max(len(source.chunks), 1))
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_enter, initargs=(plan,)
    ) as pool:
        work = _Work(pool, source.chunks)
        receipts, gains = work.decide_all(progress)
        wanted = gains
        ends: dict[str, dict[str, limits.End]] = {name: {} for name in SIDES}
        for _ in range(_ROUNDS_MAX):
            found = {name: _find_ends(ends[name], gains, name, limited[name]) for name in SIDES}
            if found == ends:
                return Replayed(receipts, gains, ends, is_settled=True)
            numbers = _touched(wanted, ends, found)
            ends = found
            changed, gained = work.decide_again(numbers, gains, ends)
            receipts = _replaced(receipts, changed, changed)
            gains = _replaced(gains, gained, changed)
    return Replayed(receipts, gains, ends, is_settled=False)


def _find_ends(
    before: Ends, gains: pl.DataFrame, side: str, limited: Mapping[str, engine.Limits]
) -> dict[str, limits.End]:
    """Return the ends that gains show, and those of before that show no more.

    What lies behind an end takes nothing, so an end that holds is not seen again.
    """
    return {**before, **limits.find_ends(gains.filter(pl.col("side") == side), limited)}


def _touched(
    wanted: pl.DataFrame, before: Mapping[str, Ends], after: Mapping[str, Ends]
) -> pl.DataFrame:
    """Return the numbers of purchases whose campaigns end elsewhere than they were decided by."""
    moved = [
        {
            "side": side,
            "campaign_id": name,
            "from_number": min(one.number for one in (before[side].get(name), end) if one),
        }
        for side, ends in after.items()
        for name, end in ends.items()
        if before[side].get(name) != end
    ]
    schema = {"side": pl.String, "campaign_id": pl.String, "from_number": pl.Int64}
    return (
        wanted.join(pl.DataFrame(moved, schema=schema), on=["side", "campaign_id"])
        .filter(pl.col("number") >= pl.col("from_number"))
        .select(pl.col("number").unique())
    )


def _replaced(old: pl.DataFrame, new: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([old.join(decided, on="number", how="anti"), new])


@dataclass(frozen=True)
class _Again:
    """Which purchases of a chunk to decide again, and what the others used, by side and number."""

    wanted: frozenset[int]
    used: Mapping[tuple[str, int], Sequence[str]]


def _by_purchase(used: pl.DataFrame) -> dict[tuple[str, int], list[str]]:
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for side, number, campaign_id in used.iter_rows():
        found[side, number].append(campaign_id)
    return dict(found)


class _Work:
    """Chunks on their way through the processes."""

    def __init__(self, pool: ProcessPoolExecutor, chunks: Sequence[Chunk]) -> None:
        self._pool = pool
        self._chunks = chunks
        #: The purchases of each chunk, once it was decided.
        self._numbers: dict[int, pl.DataFrame] = {}

    def decide_all(self, progress: Progress) -> tuple[pl.DataFrame, pl.DataFrame]:
        none: dict[str, Ends] = {name: {} for name in SIDES}
        jobs = {
            self._pool.submit(_decide, chunk, None, none): place
            for place, chunk in enumerate(self._chunks)
        }
        return self._collect(jobs, progress)

    def decide_again(
        self, numbers: pl.DataFrame, gains: pl.DataFrame, ends: Mapping[str, Ends]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        used = (
            gains.filter(pl.col("member_uses") > 0)
            .join(numbers, on="number", how="anti")
            .select("side", "number", "campaign_id")
        )
        jobs = {}
        for place, held in self._numbers.items():
            wanted = numbers.join(held, on="number", how="semi")
            if wanted.height:
                again = _Again(
                    frozenset(wanted["number"]), _by_purchase(used.join(held, on="number"))
                )
                jobs[self._pool.submit(_decide, self._chunks[place], again, ends)] = place
        return self._collect(jobs, lambda _: None)

    def _collect(
        self, jobs: Mapping[Future[tuple[pl.DataFrame, pl.DataFrame]], int], progress: Progress
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        receipts, gains = [pl.DataFrame(schema=_RECEIPTS)], [pl.DataFrame(schema=_GAINS)]
        for job in as_completed(jobs):
            decided, gained = job.result()
            self._numbers.setdefault(jobs[job], decided.select("number"))
            receipts.append(decided)
            gains.append(gained)
            progress(decided.height)
        return pl.concat(receipts), pl.concat(gains)


# In the processes


class _Side:
    """One side's compiled campaigns."""

    def __init__(self, campaigns: Sequence[engine.Campaign]) -> None:
        self.ruleset = engine.compile(campaigns, version=1)
        self.limits = limits.limited(self.ruleset)


_sides: dict[str, _Side] = {}


def _enter(plan: Plan) -> None:
    _sides.update({name: _Side(plan.side(name)) for name in SIDES})


def _decide(
    chunk: Chunk, again: "_Again | None", ends: Mapping[str, Ends]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decide the purchases of a chunk: all of them, or some again."""
    rows, gains = _Columns(_RECEIPTS), _Columns(_GAINS)
    for history in chunk.histories():
        if again is None or any(one.number in again.wanted for one in history):
            _decide_history(history, again, ends, rows, gains)
    return rows.frame(), gains.frame()


def _decide_history(
    history: Sequence[Purchase],
    again: "_Again | None",
    ends: Mapping[str, Ends],
    rows: "_Columns",
    gains: "_Columns",
) -> None:
    allowances = {name: limits.Allowance(side.limits, ends[name]) for name, side in _sides.items()}
    for purchase in history:
        if again is not None and purchase.number not in again.wanted:
            for name in SIDES:
                allowances[name].take(again.used.get((name, purchase.number), ()))
            continue
        live, draft = (_decide_purchase(purchase, _sides[name], allowances[name]) for name in SIDES)
        member = purchase.facts.member
        rows.add(
            purchase.number,
            live.subtotal_minor,
            live.discount_minor,
            draft.discount_minor,
            live.points_earned,
            draft.points_earned,
            sorted(member.segment_ids) if member else [],
        )
        for name, decision in ((LIVE, live), (DRAFT, draft)):
            for gain in _gains(decision):
                gains.add(name, purchase.number, *gain)


def _decide_purchase(
    purchase: Purchase, side: _Side, allowance: limits.Allowance
) -> engine.Decision:
    facts = replace(purchase.facts, remaining=allowance.remaining(purchase.number))
    decision = engine.evaluate(side.ruleset, purchase.cart, facts, now=purchase.now)
    allowance.take(one.campaign_id for one in decision.charges if one.member_uses)
    return decision


def _gains(decision: engine.Decision) -> Iterator[tuple[str, int, int, int, int, int, int]]:
    """Yield what applied campaigns gave.

    That is discount, points, budget drawn, uses, member's uses, and chances of winning at once.
    """
    chances = {one.campaign_id: one.number for one in decision.instant_chances}
    charges: defaultdict[str, list[engine.Charge]] = defaultdict(list)
    for charge in decision.charges:
        charges[charge.campaign_id].append(charge)
    for outcome in decision.outcomes:
        if outcome.reason is engine.OutcomeReason.APPLIED:
            taken = charges[outcome.campaign_id]
            yield (
                outcome.campaign_id,
                outcome.discount_minor,
                outcome.points,
                sum(one.budget_minor for one in taken),
                sum(one.uses for one in taken),
                sum(one.member_uses for one in taken),
                chances.get(outcome.campaign_id, 0),
            )


class _Columns:
    """Rows on their way into a frame, as one list for each column."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._columns: list[list[object]] = [[] for _ in schema]

    def add(self, *values: object) -> None:
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(
            dict(zip(self._schema, self._columns, strict=True)),
            schema=self._schema,
        )
