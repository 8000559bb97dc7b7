"""What the next version of a live campaign must leave as it is: it is counted by, or sealed."""

from collections.abc import Iterator

from services.promotions.engine import rules
from services.promotions.engine.set_problems import Problem


def find_succession_problems(before: rules.Rules, after: rules.Rules) -> list[Problem]:
    """Return why these rules cannot follow those that are live."""
    return [*_check_limits(before.limits, after.limits), *_check_chances(before, after)]


def _check_limits(before: rules.Limits, after: rules.Limits) -> Iterator[Problem]:
    for name in ("uses_per_member_max", "units_per_article_max", "units_per_member_max"):
        old, new = getattr(before, name), getattr(after, name)
        if old not in {0, new}:
            yield Problem(
                f"limits.{name}",
                f"is {old} in the live version and stays so: each bound counts anew",
            )
    for name in ("uses_max", "budget_minor", "units_max"):
        old, new = getattr(before, name), getattr(after, name)
        if 0 < new < old:
            yield Problem(
                f"limits.{name}",
                f"is {old} in the live version and cannot become less: it is spent",
            )


def _check_chances(before: rules.Rules, after: rules.Rules) -> Iterator[Problem]:
    if before.instant_win not in {None, after.instant_win}:
        yield Problem(
            "rewards", "prizes, odds and period of chances are sealed with the live version"
        )
