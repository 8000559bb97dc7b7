"""Challenges: a goal to reach by purchases, once or week after week, for a reward."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.promotions.engine.programs.measures import Measure, total
from services.promotions.engine.programs.spans import find_day_problems
from services.promotions.engine.set_problems import Problem

_WEEK = 7
_FOREVER = date(9999, 12, 31)


@dataclass(frozen=True, slots=True)
class Reward:
    """Points in the asset's smallest unit, or uses of a personal coupon.

    `expire_days` 0 keeps the policy of the asset.
    """

    points: int = 0
    expire_days: int = 0
    campaign_id: str = ""
    uses: int = 0


@dataclass(frozen=True, slots=True)
class ChallengeRules:
    """A goal in what the measure counts, between two days, both included.

    With `weeks` the goal is for each of so many weeks in a row, from Monday to Sunday. `take_back`
    when the reward goes with the goods that had reached the goal.
    """

    measure: Measure
    goal: int
    reward: Reward
    first: date | None = None
    last: date | None = None
    weeks: int = 0
    take_back: bool = True


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a member is: in what the measure counts, or in weeks in a row."""

    amount: int
    goal: int
    reached: bool


def find_challenge_problems(rules: ChallengeRules) -> list[Problem]:
    """Return why a challenge cannot work; empty when it can."""
    problems = find_day_problems({"first_date": rules.first, "last_date": rules.last})
    if rules.first is not None and rules.last is not None and rules.first > rules.last:
        problems.append(Problem("last_date", "must not be before first_date"))
    if rules.first is not None and rules.last is not None and rules.weeks:
        days = (rules.last - rules.first).days + 1
        if days < (rules.weeks - 1) * _WEEK + 1:
            problems.append(Problem("weeks", "are more than lie between the dates"))
    return problems


def find_reach(rules: ChallengeRules, tally: Mapping[date, int], *, today: date) -> Reach:
    """Return how far purchases lead; `tally` is what was counted by day since the beginning.

    A run of weeks is shown as long as it may go on: through the week after its last one.
    """
    first, last = rules.first or date.min, rules.last or _FOREVER
    after = last + timedelta(days=1) if last < _FOREVER else last
    if not rules.weeks:
        amount = total(rules.measure, tally, first, after)
        return Reach(amount, rules.goal, amount >= rules.goal)
    runs = _find_runs(rules, {day: tally[day] for day in tally if first <= day < after})
    present = _week_of(today)
    current = max((length for end, length in runs if present - end <= 1), default=0)
    longest = max((length for _, length in runs), default=0)
    reached = longest >= rules.weeks
    return Reach(rules.weeks if reached else current, rules.weeks, reached)


def _find_runs(rules: ChallengeRules, tally: Mapping[date, int]) -> list[tuple[int, int]]:
    """Return each run of weeks in which the goal was met: its last week and its length."""
    runs: list[tuple[int, int]] = []
    for week in sorted({_week_of(day) for day in tally}):
        monday = date.fromordinal(week * _WEEK + 1)
        if total(rules.measure, tally, monday, monday + timedelta(days=_WEEK)) < rules.goal:
            continue
        if runs and runs[-1][0] == week - 1:
            runs[-1] = (week, runs[-1][1] + 1)
        else:
            runs.append((week, 1))
    return runs


def _week_of(day: date) -> int:
    """Return the number of a day's week; day 1 of the calendar is a Monday."""
    return (day.toordinal() - 1) // _WEEK
