"""Levels: what purchases reach, what is kept when time passes, and what is lost with goods.

A level is either earned, by what is in the window now, or kept, because the program lets members
down gently. Purchases raise what is earned at once. Goods that come back lower it at once, for
nothing is kept of what they alone had reached. Time lowers it on review days, and only then the
policy of downgrades speaks.
"""

import enum
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

from services.promotions.engine.programs.measures import Measure, total
from services.promotions.engine.programs.periods import PeriodUnit, period_of
from services.promotions.engine.rules import Text
from services.promotions.engine.set_problems import Problem

#: What was counted on which day.
Tally = Mapping[date, int]


class DowngradePolicy(enum.IntEnum):
    """How far down a level goes; the value is the contract's number."""

    TO_EARNED = 1
    ONE_LEVEL = 2
    NEVER = 3


@dataclass(frozen=True, slots=True)
class Tier:
    """A level from an amount on, with privileges that the platform only shows."""

    tier_id: str
    title: Text
    from_amount: int
    privileges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """What is reached in a period holds to the end of the next; `past_only` begins with that."""

    unit: PeriodUnit
    past_only: bool = False


@dataclass(frozen=True, slots=True)
class Rolling:
    """The latest days, today included."""

    days: int


@dataclass(frozen=True, slots=True)
class Downgrade:
    """What becomes of a level that time has outrun, after so many days of grace."""

    policy: DowngradePolicy = DowngradePolicy.TO_EARNED
    grace_days: int = 0


@dataclass(frozen=True, slots=True)
class TierRules:
    """Levels from the lowest, which begins at 0, to the highest."""

    measure: Measure
    window: Calendar | Rolling
    tiers: tuple[Tier, ...]
    downgrade: Downgrade = Downgrade()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands: levels are places in the rules, 0 the lowest.

    `kept` is what the policy leaves whatever is earned, up to the day before `kept_until`, for
    good when that is None; `grace` while the policy has not spoken yet. Nothing changes without a
    purchase or a return before `review_day`, ever when it is None.
    """

    level: int
    kept: int = 0
    kept_until: date | None = None
    grace: bool = False
    review_day: date | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is counted now, and the place of the next level with what is missing to it."""

    amount: int
    next_level: int | None
    missing: int


def find_tier_problems(rules: TierRules) -> list[Problem]:
    """Return why levels cannot work; empty when they can."""
    problems = []
    if rules.tiers[0].from_amount:
        problems.append(Problem("tiers[0].from_amount", "the lowest level must begin at 0"))
    for place, (lower, higher) in enumerate(pairwise(rules.tiers), start=1):
        if higher.from_amount <= lower.from_amount:
            problems.append(
                Problem(f"tiers[{place}].from_amount", "must be above that of the level before")
            )
    names = [tier.tier_id for tier in rules.tiers]
    problems.extend(
        Problem(f"tiers[{place}].tier_id", "is the name of another level, too")
        for place, name in enumerate(names)
        if name in names[:place]
    )
    return problems


def first_day(rules: TierRules, today: date) -> date:
    """Return the first day whose purchases count today."""
    match rules.window:
        case Calendar(unit=unit):
            return period_of(today, unit, shift=-1)[0]
        case Rolling(days=days):
            return today - timedelta(days=days - 1)


def begin(rules: TierRules, tally: Tally, today: date) -> Standing:
    """Return where a member stands of whom nothing is known but the purchases."""
    return _schedule(rules, Standing(_earned(rules, tally, today)), tally, today)


def settle(
    rules: TierRules, standing: Standing, *, before: Tally, after: Tally, today: date
) -> Standing:
    """Return where a member stands after purchases or returns changed the tally today."""
    passed = advance(rules, standing, before, today)
    earned = _earned(rules, after, today)
    return _schedule(rules, replace(passed, level=max(earned, passed.kept)), after, today)


def advance(rules: TierRules, standing: Standing, tally: Tally, today: date) -> Standing:
    """Return where a member stands when nothing has happened but that time has passed."""
    if standing.review_day is None or today < standing.review_day:
        return standing
    earned = _earned(rules, tally, today)
    if earned >= standing.level:
        return _schedule(rules, Standing(earned), tally, today)
    over = standing.kept_until is not None and today >= standing.kept_until
    if standing.kept and not over and standing.kept == standing.level:
        return _schedule(rules, standing, tally, today)
    kept = _keep(rules, standing, earned, today, in_time=not (over and standing.grace))
    return _schedule(rules, kept, tally, today)


def revise(
    before: TierRules, after: TierRules, standing: Standing, tally: Tally, first: date
) -> Standing:
    """Return where a member stands on the first day of other terms with the same window.

    Whoever reaches more by them has it at once. Whoever no longer reaches the level has it as it
    was promised: to the end of the period, for the length of a rolling window, or as it was kept.
    """
    passed = advance(before, standing, tally, first)
    earned = _earned(after, tally, first)
    if earned >= passed.level:
        return _schedule(after, Standing(earned), tally, first)
    if passed.kept == passed.level:
        return _schedule(after, passed, tally, first)
    until = _next_boundary(after, first)
    promised = Standing(passed.level, kept=passed.level, kept_until=until)
    return _schedule(after, promised, tally, first)


def _keep(
    rules: TierRules, standing: Standing, earned: int, today: date, *, in_time: bool
) -> Standing:
    """Return what is left of a level that time has outrun; `in_time` when grace is still due."""
    policy, grace_days = rules.downgrade.policy, rules.downgrade.grace_days
    if policy is DowngradePolicy.NEVER:
        return Standing(standing.level, kept=standing.level)
    if in_time and grace_days:
        until = _boundary(rules, today) + timedelta(days=grace_days)
        if today < until:
            return Standing(standing.level, kept=standing.level, kept_until=until, grace=True)
    if policy is DowngradePolicy.ONE_LEVEL and standing.level - 1 > earned:
        lower = standing.level - 1
        return Standing(lower, kept=lower, kept_until=_next_boundary(rules, today))
    return Standing(earned)


def _boundary(rules: TierRules, today: date) -> date:
    match rules.window:
        case Calendar(unit=unit):
            return period_of(today, unit)[0]
        case Rolling():
            return today


def _next_boundary(rules: TierRules, today: date) -> date:
    match rules.window:
        case Calendar(unit=unit):
            return period_of(today, unit)[1]
        case Rolling(days=days):
            return today + timedelta(days=days)


def _earned(rules: TierRules, tally: Tally, today: date) -> int:
    """Return the place of the level that the tally reaches today."""
    window, measure = rules.window, rules.measure
    if isinstance(window, Rolling):
        first = first_day(rules, today)
        return _level(rules.tiers, total(measure, tally, first, today + timedelta(days=1)))
    start, end = period_of(today, window.unit)
    past = total(measure, tally, first_day(rules, today), start)
    present = 0 if window.past_only else total(measure, tally, start, end)
    return _level(rules.tiers, max(past, present))


def _level(tiers: Sequence[Tier], amount: int) -> int:
    return max(place for place, tier in enumerate(tiers) if tier.from_amount <= max(amount, 0))


def _schedule(rules: TierRules, standing: Standing, tally: Tally, today: date) -> Standing:
    """Set the first day after today on which time alone may change the level."""
    days = [] if standing.kept_until is None else [standing.kept_until]
    if isinstance(rules.window, Calendar):
        if standing.level or rules.window.past_only:
            days.append(period_of(today, rules.window.unit)[1])
    elif standing.level > standing.kept:
        # The level is earned; it may be lost on the day after one with purchases has left.
        length = timedelta(days=rules.window.days)
        leaving = sorted(day + length for day in tally if day + length > today)
        # Without purchases the window only loses, so the first such day can be searched for.
        place = bisect_left(
            leaving, 1, key=lambda day: int(_earned(rules, tally, day) < standing.level)
        )
        days.extend(leaving[place : place + 1])
    return replace(standing, review_day=min(days, default=None))


def find_progress(rules: TierRules, standing: Standing, tally: Tally, today: date) -> Progress:
    """Return what is counted now and what is missing to the next level."""
    if isinstance(rules.window, Rolling):
        amount = total(rules.measure, tally, first_day(rules, today), today + timedelta(days=1))
    else:
        amount = total(rules.measure, tally, *period_of(today, rules.window.unit))
    following = standing.level + 1
    if following == len(rules.tiers):
        return Progress(amount, None, 0)
    return Progress(amount, following, max(rules.tiers[following].from_amount - amount, 0))
