"""What is wrong with conditions before they go live."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from services.promotions.engine import contradictions, expressions, rules
from services.promotions.engine.set_problems import Problem, check_filter

DEPTH_MAX: Final = 6
NODES_MAX: Final = 100
_YEARLY_DAYS_MAX: Final = 182
_PREFIX_MAX: Final = 8


def find_problems(condition: rules.Condition | None) -> Iterator[Problem]:
    """Return what is wrong with the condition of a campaign."""
    if condition is None:
        return
    depth, nodes = _measure(condition)
    if depth > DEPTH_MAX:
        yield Problem("condition", f"is {depth} levels deep, at most {DEPTH_MAX} are allowed")
    elif nodes > NODES_MAX:
        yield Problem("condition", f"has {nodes} nodes, at most {NODES_MAX} are allowed")
    else:
        yield from _check_node(condition, "condition")
        yield from contradictions.find_problems(condition, "condition")


def _measure(condition: rules.Condition) -> tuple[int, int]:
    """Return depth and number of nodes, walking without recursion and no further than needed."""
    depth, nodes, level = 0, 0, [condition]
    while level and depth <= DEPTH_MAX and nodes <= NODES_MAX:
        depth += 1
        nodes += len(level)
        level = [child for node in level for child in _children(node)]
    return depth, nodes


def _children(condition: rules.Condition) -> tuple[rules.Condition, ...]:
    match condition:
        case rules.AllOf() | rules.AnyOf():
            return condition.conditions
        case rules.Not():
            return (condition.condition,)
    return ()


def _check_node(condition: rules.Condition, path: str) -> Iterator[Problem]:
    match condition:
        case rules.AllOf() | rules.AnyOf():
            name = "all" if isinstance(condition, rules.AllOf) else "any"
            if not condition.conditions:
                yield Problem(f"{path}.{name}.conditions", "must hold a condition")
            for place, child in enumerate(condition.conditions):
                yield from _check_node(child, f"{path}.{name}.conditions[{place}]")
        case rules.Not():
            yield from _check_node(condition.condition, f"{path}.not")
        case rules.Expression():
            if flaw := expressions.find_flaw(condition.cel):
                where = f"line {flaw.line}, column {flaw.column}"
                yield Problem(f"{path}.expression.cel", f"{where}: {flaw.problem}")
        case _:
            yield from _check_leaf(condition, path)


def _check_leaf(condition: rules.Condition, path: str) -> Iterator[Problem]:
    for kind, (name, check) in _LEAVES.items():
        if isinstance(condition, kind):
            yield from check(condition, f"{path}.{name}")


def _check_total(condition: rules.BasketTotal, path: str) -> Iterator[Problem]:
    if condition.amount_min_minor <= 0:
        yield Problem(f"{path}.amount_min_minor", "must be above 0")
    yield from check_filter(condition.filter, f"{path}.filter")


def _check_group(condition: rules.ItemGroup, path: str) -> Iterator[Problem]:
    minimums = (condition.quantity_min_thousandths, condition.amount_min_minor)
    if min(minimums) < 0 or max(minimums) == 0:
        yield Problem(path, "quantity_min_thousandths or amount_min_minor must be above 0")
    yield from check_filter(condition.filter, f"{path}.filter")


def _check_distinct(condition: rules.DistinctItems, path: str) -> Iterator[Problem]:
    if condition.count_min <= 0:
        yield Problem(f"{path}.count_min", "must be above 0")
    yield from check_filter(condition.filter, f"{path}.filter")


def _check_number(condition: rules.PurchaseNumber, path: str) -> Iterator[Problem]:
    numbers = (condition.number, condition.every)
    if min(numbers) < 0 or (numbers[0] > 0) == (numbers[1] > 0):
        yield Problem(path, "exactly one of number and every counts")


def _check_every_line(condition: rules.EveryLine, path: str) -> Iterator[Problem]:
    yield from check_filter(condition.filter, f"{path}.filter")
    yield from check_filter(condition.required, f"{path}.required")
    for name in ("amount", "quantity"):
        unit = "minor" if name == "amount" else "thousandths"
        least = getattr(condition, f"{name}_min_{unit}")
        most = getattr(condition, f"{name}_max_{unit}")
        if min(least, most) < 0 or (most and most < least):
            yield Problem(f"{path}.{name}_max_{unit}", f"must not be below {name}_min_{unit}")


def _check_attribute(condition: rules.Attribute, path: str) -> Iterator[Problem]:
    values, test = condition.values, condition.test
    if test in {rules.AttributeTest.AT_LEAST, rules.AttributeTest.AT_MOST}:
        if len(values) != 1 or not values[0].removeprefix("-").isdecimal():
            yield Problem(f"{path}.values", "must be one whole number")
    elif (test is rules.AttributeTest.PRESENT) == bool(values):
        yield Problem(f"{path}.values", "must be there, and not for PRESENT")


def _check_member_date(condition: rules.MemberDate, path: str) -> Iterator[Problem]:
    if condition.days_from > condition.days_to:
        yield Problem(f"{path}.days_to", "must not be before days_from")
    elif condition.yearly and max(-condition.days_from, condition.days_to) > _YEARLY_DAYS_MAX:
        yield Problem(f"{path}.days_to", f"must be within {_YEARLY_DAYS_MAX} days of a yearly date")
    elif condition.name == rules.BIRTH and not condition.yearly:
        yield Problem(f"{path}.yearly", "must be true for birth: its year is not known here")


def _check_last_purchase(condition: rules.LastPurchase, path: str) -> Iterator[Problem]:
    if min(condition.days_min, condition.days_max) < 0 or (
        condition.days_max and condition.days_max < condition.days_min
    ):
        yield Problem(f"{path}.days_max", "must not be below days_min")


def _check_payment_plan(condition: rules.PaymentPlan, path: str) -> Iterator[Problem]:
    if not condition.types and not condition.card_prefixes:
        yield Problem(path, "types or card_prefixes must be there")
    for prefix in condition.card_prefixes:
        if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= _PREFIX_MAX):
            yield Problem(f"{path}.card_prefixes", f"must be 1 to {_PREFIX_MAX} digits")


_LEAVES: Mapping[type, tuple[str, Callable[[Any, str], Iterator[Problem]]]] = {
    rules.BasketTotal: ("basket_total", _check_total),
    rules.ItemGroup: ("item_group", _check_group),
    rules.DistinctItems: ("distinct_items", _check_distinct),
    rules.PurchaseNumber: ("purchase_number", _check_number),
    rules.Attribute: ("attribute", _check_attribute),
    rules.EveryLine: ("every_line", _check_every_line),
    rules.MemberDate: ("member_date", _check_member_date),
    rules.LastPurchase: ("last_purchase", _check_last_purchase),
    rules.PaymentPlan: ("payment_plan", _check_payment_plan),
}
