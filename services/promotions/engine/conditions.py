"""Conditions, compiled: does it hold, and if not, how little was missing.

A condition is measured once per lane, on what the lanes before it have left.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from services.promotions.engine import expressions, filters, rules
from services.promotions.engine.carts import PlannedPayment
from services.promotions.engine.decisions import NearMiss
from services.promotions.engine.scenes import Scene

_UNIT: Final = 1_000


class Shortfall(NamedTuple):
    """What a failed condition lacks.

    It `helps` to buy more when amounts and quantities are all that is missing; it is `near` when
    at least half of them is there.

    One that is `unanswered`, `broken` or `unknown` says nothing, and neither does its opposite.
    `unknown` names the attribute or date that nobody said.
    """

    amount_minor: int = 0
    quantity_thousandths: int = 0
    helps: bool = False
    near: bool = False
    unanswered: bool = False
    broken: bool = False
    unknown: str = ""
    details: tuple[tuple[str, str], ...] = ()

    @property
    def near_miss(self) -> NearMiss | None:
        """Return what to buy in addition, unless buying does not help."""
        if not self.helps:
            return None
        return NearMiss(self.amount_minor, self.quantity_thousandths, self.near)


Check: TypeAlias = Callable[[Scene], Shortfall | None]
OUT_OF_REACH: Final = Shortfall()
_UNANSWERED: Final = Shortfall(unanswered=True)


def compile_condition(condition: rules.Condition) -> Check:
    """Return the function that answers None when the condition holds, else what is lacking."""
    return _COMPILERS[type(condition)](condition)


def counts_purchases(condition: rules.Condition | None) -> bool:
    """Tell whether the condition asks how many purchases the member has made."""
    match condition:
        case rules.AllOf() | rules.AnyOf():
            return any(counts_purchases(child) for child in condition.conditions)
        case rules.Not():
            return counts_purchases(condition.condition)
        case rules.Expression():
            return expressions.mentions(condition.cel, "purchases_before")
    return isinstance(condition, rules.PurchaseNumber)


def asks_price_state(condition: rules.Condition | None) -> bool:
    """Tell whether the condition looks at what campaigns have reduced so far."""
    match condition:
        case rules.AllOf() | rules.AnyOf():
            return any(asks_price_state(child) for child in condition.conditions)
        case rules.Not():
            return asks_price_state(condition.condition)
        case rules.BasketTotal() | rules.ItemGroup() | rules.DistinctItems():
            return bool(condition.filter.price_state)
        case rules.EveryLine():
            return bool(condition.filter.price_state or condition.required.price_state)
    return False


def reads_clock(condition: rules.Condition | None) -> bool:
    """Tell whether the condition may change its mind from one minute to the next."""
    match condition:
        case rules.AllOf() | rules.AnyOf():
            return any(reads_clock(child) for child in condition.conditions)
        case rules.Not():
            return reads_clock(condition.condition)
        case rules.Expression():
            return expressions.mentions(condition.cel, "minute_of_day")
    return False


def required_spend(condition: rules.Condition | None) -> int:
    """Return an amount before discounts that every cart has which meets the condition."""
    match condition:
        case rules.AllOf():
            return max(required_spend(child) for child in condition.conditions)
        case rules.AnyOf():
            return min(required_spend(child) for child in condition.conditions)
        case rules.BasketTotal() | rules.ItemGroup():
            return 0 if condition.filter.kinds else condition.amount_min_minor
    return 0


def required_names(condition: rules.Condition | None) -> tuple[int, frozenset[str]] | None:
    """Return names of goods of which every cart has one that meets the condition."""
    match condition:
        case rules.AllOf():
            for child in condition.conditions:
                if found := required_names(child):
                    return found
        case rules.BasketTotal() | rules.ItemGroup() | rules.DistinctItems() | rules.EveryLine():
            return filters.required_names(condition.filter)
    return None


def _compile_all(condition: rules.AllOf) -> Check:
    checks = tuple(compile_condition(child) for child in condition.conditions)

    def check(scene: Scene) -> Shortfall | None:
        failed = [lack for one in checks if (lack := one(scene)) is not None]
        if not failed:
            return None
        return failed[0] if len(failed) == 1 else _add_up(failed)

    return check


def _add_up(failed: list[Shortfall]) -> Shortfall:
    return Shortfall(
        amount_minor=sum(lack.amount_minor for lack in failed),
        quantity_thousandths=sum(lack.quantity_thousandths for lack in failed),
        helps=all(lack.helps for lack in failed),
        near=all(lack.near for lack in failed),
        unanswered=all(lack.unanswered for lack in failed),
        broken=any(lack.broken for lack in failed),
        unknown=next((lack.unknown for lack in failed if lack.unknown), ""),
        details=failed[0].details,
    )


def _compile_any(condition: rules.AnyOf) -> Check:
    checks = tuple(compile_condition(child) for child in condition.conditions)

    def check(scene: Scene) -> Shortfall | None:
        failed = []
        for one in checks:
            lack = one(scene)
            if lack is None:
                return None
            failed.append(lack)
        return min(failed, key=_reach)

    return check


def _reach(lack: Shortfall) -> tuple[bool, bool, bool, bool, int, int]:
    silent = (not lack.unanswered, not lack.broken)
    return *silent, not lack.near, not lack.helps, lack.amount_minor, lack.quantity_thousandths


def _compile_not(condition: rules.Not) -> Check:
    inner = compile_condition(condition.condition)

    def check(scene: Scene) -> Shortfall | None:
        lack = inner(scene)
        if lack is None:
            return OUT_OF_REACH
        silent = lack.unanswered or lack.broken or lack.unknown
        return lack if silent else None

    return check


def _compile_total(condition: rules.BasketTotal) -> Check:
    select = filters.compile_filter(condition.filter)
    original = condition.basis is rules.Basis.ORIGINAL
    at_turn = condition.basis is rules.Basis.TURN
    required = condition.amount_min_minor

    def check(scene: Scene) -> Shortfall | None:
        mask = select(scene.basket)
        if original or at_turn:
            source = scene.basket.amounts if original else scene.turn
            available = sum([source[place] for place in scene.basket.places(mask)])
        else:
            available = scene.sum_up(mask)
        return None if available >= required else _lack_amount(available, required)

    return check


def _lack_amount(available: int, required: int) -> Shortfall:
    return Shortfall(
        amount_minor=required - available,
        helps=True,
        near=available * 2 >= required,
        details=(("available_minor", str(available)), ("required_minor", str(required))),
    )


def _lack_quantity(available: int, required: int) -> Shortfall:
    return Shortfall(
        quantity_thousandths=required - available,
        helps=True,
        near=available * 2 >= required,
        details=(
            ("available_thousandths", str(available)),
            ("required_thousandths", str(required)),
        ),
    )


def _compile_group(condition: rules.ItemGroup) -> Check:
    select = filters.compile_filter(condition.filter)
    quantity_min = condition.quantity_min_thousandths
    amount_min = condition.amount_min_minor

    def check(scene: Scene) -> Shortfall | None:
        basket = scene.basket
        meant = basket.places(select(basket))
        quantity = sum([basket.quantities[place] for place in meant])
        amount = sum([basket.amounts[place] for place in meant]) if amount_min else 0
        if quantity >= quantity_min and amount >= amount_min:
            return None
        if amount >= amount_min:
            return _lack_quantity(quantity, quantity_min)
        if quantity >= quantity_min:
            return _lack_amount(amount, amount_min)
        return _add_up([_lack_amount(amount, amount_min), _lack_quantity(quantity, quantity_min)])

    return check


def _compile_distinct(condition: rules.DistinctItems) -> Check:
    select = filters.compile_filter(condition.filter)
    count_min = condition.count_min

    def check(scene: Scene) -> Shortfall | None:
        skus = scene.basket.skus
        count = len({skus[place] for place in scene.basket.places(select(scene.basket))})
        return None if count >= count_min else _lack_quantity(count * _UNIT, count_min * _UNIT)

    return check


def _compile_number(condition: rules.PurchaseNumber) -> Check:
    number, every = condition.number, condition.every

    def check(scene: Scene) -> Shortfall | None:
        if scene.member is None:
            return OUT_OF_REACH if scene.identity_answered else _UNANSWERED
        if scene.member.purchases_before is None:
            return _UNANSWERED
        current = scene.member.purchases_before + 1
        if current == number or (every and current % every == 0):
            return None
        return Shortfall(details=(("purchase_number", str(current)),))

    return check


def _compile_expression(condition: rules.Expression) -> Check:
    run = expressions.compile_expression(condition.cel)

    def check(scene: Scene) -> Shortfall | None:
        answer = run(scene)
        if answer is True:
            return None
        if answer is False:
            return OUT_OF_REACH
        if answer.unanswered:
            return _UNANSWERED
        return Shortfall(broken=True, details=(("expression_problem", answer.problem),))

    return check


def _compile_attribute(condition: rules.Attribute) -> Check:
    name, test = condition.name, condition.test
    of_member = condition.source is rules.AttributeSource.MEMBER
    values = frozenset(condition.values)
    bound = _read_number(condition.values[0]) if condition.values else None

    def holds(value: str) -> bool:
        match test:
            case rules.AttributeTest.IN:
                return value in values
            case rules.AttributeTest.NOT_IN:
                return value not in values
            case rules.AttributeTest.PRESENT:
                return True
        number = _read_number(value)
        if number is None or bound is None:
            return False
        return number >= bound if test is rules.AttributeTest.AT_LEAST else number <= bound

    def check(scene: Scene) -> Shortfall | None:
        said = scene.cart.attributes
        if of_member:
            if scene.member is None:
                return OUT_OF_REACH if scene.identity_answered else _UNANSWERED
            said = scene.member.attributes
        value = said.get(name)
        if value is None:
            return _lack_attribute(name)
        return None if holds(value) else Shortfall(details=(("attribute", name),))

    return check


def _read_number(text: str) -> int | None:
    """Return a whole number that is written in digits, else None."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _lack_attribute(name: str) -> Shortfall:
    return Shortfall(unknown=name, details=(("attribute", name),))


def _compile_every_line(condition: rules.EveryLine) -> Check:
    select = filters.compile_filter(condition.filter)
    select_required = filters.compile_filter(condition.required)
    anything = condition.required == rules.EVERYTHING
    amount_min, amount_max = condition.amount_min_minor, condition.amount_max_minor
    least, most = condition.quantity_min_thousandths, condition.quantity_max_thousandths

    def check(scene: Scene) -> Shortfall | None:
        basket = scene.basket
        mask = select(basket)
        fits = mask and (anything or not mask & ~select_required(basket))
        for place in basket.places(mask) if fits else ():
            amount, quantity = basket.amounts[place], basket.quantities[place]
            if (
                amount < amount_min
                or (amount_max and amount > amount_max)
                or quantity < least
                or (most and quantity > most)
            ):
                return Shortfall(details=(("sku", basket.skus[place]),))
        return None if fits else OUT_OF_REACH

    return check


def _compile_member_date(condition: rules.MemberDate) -> Check:
    name = condition.name

    def check(scene: Scene) -> Shortfall | None:
        if scene.member is None:
            return OUT_OF_REACH if scene.identity_answered else _UNANSWERED
        day = scene.member.dates.get(name)
        if day is None:
            return _lack_attribute(name)
        today = scene.now.date()
        starts = [day]
        if condition.yearly:
            starts = [_return_of(day, today.year + years) for years in (-1, 0, 1)]
        for start in starts:
            if condition.days_from <= (today - start) // timedelta(days=1) <= condition.days_to:
                return None
        return Shortfall(details=(("date", name),))

    return check


def _return_of(day: date, year: int) -> date:
    if (day.month, day.day) == (2, 29):
        return date(year, 3, 1) - timedelta(days=1)
    return day.replace(year=year)


def _compile_last_purchase(condition: rules.LastPurchase) -> Check:
    least, most = condition.days_min, condition.days_max

    def check(scene: Scene) -> Shortfall | None:
        member = scene.member
        if member is None:
            return OUT_OF_REACH if scene.identity_answered else _UNANSWERED
        last = member.last_purchase_time
        if last is None:
            return None if condition.or_never else OUT_OF_REACH
        days = (scene.now.date() - last.astimezone(scene.now.tzinfo).date()).days
        if days >= least and (not most or days <= most):
            return None
        return Shortfall(details=(("days", str(days)),))

    return check


def _compile_payment_plan(condition: rules.PaymentPlan) -> Check:
    types, prefixes = condition.types, tuple(sorted(condition.card_prefixes))

    def fits(payment: PlannedPayment) -> bool:
        return (not types or payment.type in types) and (
            not prefixes or payment.card_prefix.startswith(prefixes)
        )

    def check(scene: Scene) -> Shortfall | None:
        found = [fits(payment) for payment in scene.cart.planned_payments]
        if found and (all(found) if condition.every else any(found)):
            return None
        return OUT_OF_REACH

    return check


_COMPILERS: Mapping[type, Callable[[Any], Check]] = {
    rules.AllOf: _compile_all,
    rules.AnyOf: _compile_any,
    rules.Not: _compile_not,
    rules.BasketTotal: _compile_total,
    rules.ItemGroup: _compile_group,
    rules.DistinctItems: _compile_distinct,
    rules.PurchaseNumber: _compile_number,
    rules.Expression: _compile_expression,
    rules.Attribute: _compile_attribute,
    rules.EveryLine: _compile_every_line,
    rules.MemberDate: _compile_member_date,
    rules.LastPurchase: _compile_last_purchase,
    rules.PaymentPlan: _compile_payment_plan,
}
