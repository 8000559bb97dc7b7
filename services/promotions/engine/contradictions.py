"""Conditions that no cart can meet, because they ask for a thing and for its opposite."""

import itertools
from collections.abc import Iterator

from services.promotions.engine import rules
from services.promotions.engine.set_problems import Problem

_Placed = tuple[str, rules.Condition]


def find_problems(condition: rules.Condition, path: str) -> Iterator[Problem]:
    """Return every condition that cannot hold together with what must hold beside it.

    What is named is surely impossible; what is not may be so all the same.
    """
    wanted, refused = _flatten(condition, path)
    for (here, one), (there, other) in itertools.product(wanted, refused):
        if _implies(one, other):
            yield Problem(max(here, there), f"cannot hold together with {min(here, there)}")
    for (here, one), (there, other) in itertools.combinations(wanted, 2):
        if _excludes(one, other):
            yield Problem(there, f"cannot hold together with {here}")
    for place, inner in _alternatives(wanted):
        yield from find_problems(inner, place)


def _flatten(condition: rules.Condition, path: str) -> tuple[list[_Placed], list[_Placed]]:
    """Return what must hold and what must not, each with its place."""
    match condition:
        case rules.AllOf():
            wanted, refused = [], []
            for place, child in enumerate(condition.conditions):
                more, less = _flatten(child, f"{path}.all.conditions[{place}]")
                wanted += more
                refused += less
            return wanted, refused
        case rules.Not(rules.AnyOf(children)):
            places = (f"{path}.not.any.conditions[{place}]" for place in range(len(children)))
            return [], list(zip(places, children))
        case rules.Not():
            return [], [(f"{path}.not", condition.condition)]
    return [(path, condition)], []


def _alternatives(wanted: list[_Placed]) -> Iterator[_Placed]:
    for path, one in wanted:
        if isinstance(one, rules.AnyOf):
            for place, child in enumerate(one.conditions):
                yield f"{path}.any.conditions[{place}]", child


def _implies(one: rules.Condition, other: rules.Condition) -> bool:
    """Tell whether the other holds wherever the one does."""
    match one, other:
        case rules.BasketTotal(), rules.BasketTotal():
            same = (one.filter, one.basis) == (other.filter, other.basis)
            return same and one.amount_min_minor >= other.amount_min_minor
        case rules.ItemGroup(), rules.ItemGroup():
            return (
                one.filter == other.filter
                and one.quantity_min_thousandths >= other.quantity_min_thousandths
                and one.amount_min_minor >= other.amount_min_minor
            )
        case rules.DistinctItems(), rules.DistinctItems():
            return one.filter == other.filter and one.count_min >= other.count_min
    return one == other


def _excludes(one: rules.Condition, other: rules.Condition) -> bool:
    """Tell whether the two never hold together."""
    match one, other:
        case rules.PurchaseNumber(), rules.PurchaseNumber():
            return bool(one.number and other.number and one.number != other.number)
        case rules.LastPurchase(), rules.LastPurchase():
            return not (one.or_never and other.or_never) and any(
                early.days_max and early.days_max < late.days_min
                for early, late in ((one, other), (other, one))
            )
    return False
