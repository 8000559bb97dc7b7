"""Where we decided otherwise than the source of a case, on purpose: rules, never names of cases.

A policy applies to a case by its content, and explains a difference by its kind and size. A case
differs by policy when the policies that apply to it explain every difference; anything else is a
failure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from services.promotions import engine
from tools.conformance.promotions.comparison import Difference
from tools.conformance.promotions.offers import Offer
from tools.conformance.promotions.scenarios import Scenario

_MONEY = ("discount_total", "total", "line_discounts", "by_campaign", "refund", "budget.used")
_BY_LINE = ("line_discounts.", "by_campaign.", "result.unit_discounts")
_Applies: TypeAlias = Callable[[Scenario], bool]
_Explains: TypeAlias = Callable[[Scenario, Difference, Sequence[Difference]], bool]


@dataclass(frozen=True, slots=True)
class Policy:
    """One decision: what engines answer differently, what we answer, and why."""

    question: str
    answer: str
    applies: _Applies
    explains: _Explains


def find(scenario: Scenario, differences: Sequence[Difference]) -> tuple[Policy, ...]:
    """Return the policies that together explain every difference, or none."""
    applying = [policy for policy in POLICIES if policy.applies(scenario)]
    found: dict[str, Policy] = {}
    for difference in differences:
        explaining = next(
            (one for one in applying if one.explains(scenario, difference, differences)), None
        )
        if explaining is None:
            return ()
        found[explaining.question] = explaining
    return tuple(found.values())


def _is_money(difference: Difference) -> bool:
    return difference.cents is not None and difference.field.startswith(_MONEY)


def _same_totals(differences: Sequence[Difference]) -> bool:
    """Tell whether only the division among lines differs."""
    whole = {"discount_total", "total", "line_discounts", "refund"}
    return not any(difference.field in whole for difference in differences)


def _amounts_and_answers(_: Scenario, difference: Difference, __: Sequence[Difference]) -> bool:
    return _is_money(difference) or difference.field.startswith("not_applied.")


def _reducing(scenario: Scenario) -> list[Offer]:
    return [offer for offer in scenario.offers if offer.gift.reduces]


def _kinds(scenario: Scenario) -> list[engine.RewardKind]:
    return [reward.kind for offer in _reducing(scenario) for reward in offer.gift.rewards]


def _has_tender_first(scenario: Scenario) -> bool:
    """Tell whether a gift card is presented before a code that takes something off."""
    tendered = {offer.code.upper() for offer in scenario.offers if offer.gift.tender}
    reducing = {offer.code.upper() for offer in _reducing(scenario)}
    codes = [code.upper() for code in scenario.cart.coupon_codes]
    first = next((place for place, code in enumerate(codes) if code in tendered), len(codes))
    return any(code in reducing for code in codes[first:])


def _has_percentages(scenario: Scenario) -> bool:
    return any(isinstance(kind, engine.PercentOff) for kind in _kinds(scenario))


def _rounds(scenario: Scenario, difference: Difference, _: Sequence[Difference]) -> bool:
    """Allow half a cent for each percentage and article, or unit where units are rounded."""
    if not _is_money(difference) or difference.cents is None:
        return False
    percentages = sum(isinstance(kind, engine.PercentOff) for kind in _kinds(scenario))
    by_unit = any(offer.gift.rounding.startswith("per_unit") for offer in scenario.offers)
    lines = scenario.goods.counted_lines
    pieces = sum(line.quantity_thousandths // 1_000 for line in lines) if by_unit else len(lines)
    return abs(difference.cents) <= max(Decimal(1), Decimal(percentages * pieces) / 2)


def _spreads(scenario: Scenario) -> int:
    """Return how many amounts are divided among lines: amounts off and bounds of rewards."""
    spreads = [
        kind
        for kind in _kinds(scenario)
        if isinstance(kind, engine.AmountOff) and kind.spread is engine.AmountSpread.ACROSS
    ]
    return len(spreads) + _bounds(scenario)


def _bounds(scenario: Scenario) -> int:
    return sum(
        bool(reward.amount_max) for offer in _reducing(scenario) for reward in offer.gift.rewards
    )


def _moves_cents(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    return (
        difference.field.startswith(_BY_LINE)
        and _same_totals(differences)
        and difference.cents is not None
        and abs(difference.cents) <= _spreads(scenario)
    )


def _divides_otherwise(scenario: Scenario) -> bool:
    return _bounds(scenario) > 0 or any(
        offer.gift.allocation == "equal_split" for offer in scenario.offers
    )


def _moves_money(_: Scenario, difference: Difference, differences: Sequence[Difference]) -> bool:
    return (
        difference.field.startswith(_BY_LINE)
        and difference.cents is not None
        and _same_totals(differences)
    )


def _has_open_budget(scenario: Scenario) -> bool:
    return any(_gives_rest(offer) for offer in _reducing(scenario))


def _gives_rest(offer: Offer) -> bool:
    limits = offer.limits
    return limits.partial is None and limits.spent_minor < limits.budget_minor


def _gives_rest_instead(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    """Explain what follows when a campaign applies that the case refuses for its budget."""
    served = {f"not_applied.{offer.name}" for offer in _reducing(scenario) if _gives_rest(offer)}
    refusals = {
        one.field
        for one in differences
        if (one.expected, one.actual) == ("BUDGET_EXHAUSTED", "APPLIED")
    }
    return bool(served & refusals) and (_is_money(difference) or difference.field in served)


def _has_rivals(scenario: Scenario) -> bool:
    rivals = [
        offer
        for offer in _reducing(scenario)
        if offer.stacking.incompatible_with or offer.stacking.mode == "exclusive"
    ]
    return len(rivals) > 1 or _has_rival_classes(scenario)


def _has_rival_classes(scenario: Scenario) -> bool:
    """Tell whether some classes of campaigns do not combine."""
    classed = [one.stacking for one in _reducing(scenario) if one.stacking.kind]
    return any(
        other.kind not in one.combines_with for one in classed for other in classed if other != one
    )


def _codes_differ_in_case(scenario: Scenario) -> bool:
    codes = set(scenario.presented)
    folded = {code.upper() for code in codes}
    return any(
        offer.code.upper() in folded and offer.code not in codes
        for offer in scenario.offers
        if offer.code
    )


def _always(_: Scenario) -> bool:
    return True


def _is_part_of_cent(scenario: Scenario, difference: Difference, _: Sequence[Difference]) -> bool:
    """Allow less than a cent, and half a cent for each unit whose price is finer than one."""
    cart = scenario.case.part("cart")
    units = 0
    if _is_finer(cart, _PRICE_WORDS):
        units = sum(line.quantity_thousandths // 1_000 + 1 for line in scenario.cart.lines)
    return difference.cents is not None and abs(difference.cents) < 1 + Decimal(units) / 2


_PRICE_WORDS = ("unit_price", "price")
_PERCENT_WORDS = ("value", "percent", "percent_back")


def _is_finer(plain: object, words: Sequence[str]) -> bool:
    """Tell whether a number under one of these words has more than two decimals."""
    if isinstance(plain, Mapping):
        return any(
            _has_more_decimals(value) if name in words else _is_finer(value, words)
            for name, value in plain.items()
        )
    return isinstance(plain, list) and any(_is_finer(one, words) for one in plain)


def _has_more_decimals(value: object) -> bool:
    try:
        number = Decimal(str(value).removesuffix("%"))
    except InvalidOperation:
        return False
    return number.is_finite() and number != round(number, 2)


def _has_fine_percentages(scenario: Scenario) -> bool:
    return _has_percentages(scenario) and _is_finer(scenario.case.part("campaigns"), _PERCENT_WORDS)


def _is_part_of_percent(
    scenario: Scenario, difference: Difference, _: Sequence[Difference]
) -> bool:
    """Allow half a hundredth of a percent of the cart for each percentage, and a cent."""
    percentages = sum(isinstance(kind, engine.PercentOff) for kind in _kinds(scenario))
    whole = sum(
        line.quantity_thousandths * line.unit_price_minor // 1_000 for line in scenario.cart.lines
    )
    if not _is_money(difference) or difference.cents is None:
        return False
    return abs(difference.cents) <= 1 + Decimal(percentages * whole) / 20_000


def _has_split_lines(scenario: Scenario) -> bool:
    """Tell whether an article is on two lines at one price."""
    piles = [(line.sku, line.unit_price_minor) for line in scenario.cart.lines]
    return len(set(piles)) < len(piles)


def _gives_by_line(scenario: Scenario) -> bool:
    return any(
        isinstance(kind, engine.AmountOff) and kind.spread is engine.AmountSpread.EACH_LINE
        for kind in _kinds(scenario)
    )


def _moves_among_equals(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    """Explain all of what is given by the line, else how equal lines share."""
    return _amounts_and_answers(scenario, difference, differences) and (
        _gives_by_line(scenario) or _moves_money(scenario, difference, differences)
    )


def _has_rival_sets(scenario: Scenario) -> bool:
    return sum(offer.gift.multi_buy is not None for offer in _reducing(scenario)) > 1


def _lacks_whole_set(scenario: Scenario) -> bool:
    """Tell whether the receipt has too few units for one set of some campaign."""
    units = sum(line.quantity_thousandths // 1_000 for line in scenario.goods.counted_lines)
    return any(
        sum(group.units for group in offer.gift.multi_buy.groups) > units
        for offer in _reducing(scenario)
        if offer.gift.multi_buy is not None
    )


def _gives_less(_: Scenario, difference: Difference, differences: Sequence[Difference]) -> bool:
    """Explain that less is given, and who gives it."""
    whole = next((one for one in differences if one.field == "discount_total"), None)
    less = whole is not None and whole.cents is not None and whole.cents < 0
    return less and (_is_money(difference) or difference.field.startswith("not_applied."))


def _chooses_units(scenario: Scenario) -> bool:
    """Tell whether something is given on some units and not on others."""
    return any(
        offer.gift.multi_buy or any(reward.pick for reward in offer.gift.rewards)
        for offer in _reducing(scenario)
    )


def _swaps_equals(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    """Explain a discount that lies on another line, where both cost the same."""
    prices = {line.line_id: line.unit_price_minor for line in scenario.goods.counted_lines}
    price = prices.get(difference.field.rsplit(".", 1)[-1])
    return _moves_money(scenario, difference, differences) and (
        list(prices.values()).count(price or 0) > 1
    )


def _picks_by_price(scenario: Scenario) -> bool:
    """Tell whether sets or bounds choose among units of several prices."""
    prices = {line.unit_price_minor for line in scenario.goods.counted_lines}
    return len(prices) > 1 and any(offer.gift.in_line_order for offer in _reducing(scenario))


def _counts_free_goods(scenario: Scenario) -> bool:
    """Tell whether goods that cost nothing could have been counted."""
    return any(not line.unit_price_minor for line in scenario.cart.lines) and any(
        isinstance(condition, engine.ItemGroup | engine.DistinctItems)
        for offer in scenario.offers
        for condition in offer.terms.conditions
    )


def _leaves_order_open(scenario: Scenario) -> bool:
    """Tell whether several campaigns stack in an order that the case does not name."""
    stacked = [one for one in _reducing(scenario) if one.priority is None and not one.code]
    return len(stacked) > 1


def _only_who_gave(_: Scenario, __: Difference, differences: Sequence[Difference]) -> bool:
    """Allow another giver for what each line gets all the same."""
    return all(one.field.startswith("by_campaign.") for one in differences)


def _returns_part(scenario: Scenario) -> bool:
    return scenario.returned is not None and any(
        offer.terms.condition is not None or offer.gift.scale or offer.gift.multi_buy
        for offer in scenario.offers
    )


def _makes_sets(scenario: Scenario) -> bool:
    return any(offer.gift.multi_buy for offer in _reducing(scenario))


def _moves_within_sets(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    """Explain another division among lines, and what comes back for them."""
    return _is_refund(scenario, difference, differences) or (
        difference.field.startswith(_BY_LINE)
        and difference.cents is not None
        and not any(one.field in {"discount_total", "total"} for one in differences)
    )


def _find_open_thresholds(scenario: Scenario) -> set[str]:
    """Return the campaigns with a threshold of which the case does not say when it is measured."""
    plains = scenario.case.part("campaigns") or []
    spoken = {
        str(plain.get("id"))
        for plain in plains
        if any("basis" in one for one in plain.get("conditions") or [])
    }
    return {
        offer.name
        for offer in _reducing(scenario)
        if offer.name not in spoken
        and any(isinstance(one, engine.BasketTotal) for one in offer.terms.conditions)
    }


def _measures_thresholds(scenario: Scenario) -> bool:
    return len(_reducing(scenario)) > 1 and bool(_find_open_thresholds(scenario))


def _judges_otherwise(
    scenario: Scenario, difference: Difference, differences: Sequence[Difference]
) -> bool:
    """Explain what follows when a campaign with a threshold is applied or not."""
    fields = tuple(
        f"{where}.{name}"
        for name in _find_open_thresholds(scenario)
        for where in ("not_applied", "by_campaign")
    )
    judged = any(one.field.startswith(fields) for one in differences)
    return judged and _amounts_and_answers(scenario, difference, differences)


def _earns_money(scenario: Scenario) -> bool:
    return any(offer.gift.rate is not None for offer in scenario.offers)


def _is_part_of_point(_: Scenario, difference: Difference, __: Sequence[Difference]) -> bool:
    if not difference.field.startswith("points."):
        return False
    return abs(Decimal(difference.expected) - Decimal(difference.actual)) <= 1


def _is_refund(_: Scenario, difference: Difference, __: Sequence[Difference]) -> bool:
    return difference.field in {
        "refund",
        "result.rollback_discount",
        "result.points_returned",
        "result.points_reversed",
    }


POLICIES: tuple[Policy, ...] = (
    Policy(
        question="When does a gift card pay?",
        answer="It is tender, whatever the order of codes: it pays what is left after everything,"
        " so that it changes neither percentages nor thresholds.",
        applies=_has_tender_first,
        explains=_amounts_and_answers,
    ),
    Policy(
        question="Is a code compared with its letter case?",
        answer="No: people type codes by hand, and no two campaigns differ by case alone.",
        applies=_codes_differ_in_case,
        explains=_amounts_and_answers,
    ),
    Policy(
        question="What does a campaign give whose budget is too small?",
        answer="What is left of its budget, unless the campaign asks for all or nothing.",
        applies=_has_open_budget,
        explains=_gives_rest_instead,
    ),
    Policy(
        question="Which of several campaigns that exclude each other applies?",
        answer="The one that gives most; of equals the one with the higher priority, then the"
        " smaller id.",
        applies=_has_rivals,
        explains=_amounts_and_answers,
    ),
    Policy(
        question="How are percentages rounded?",
        answer="Half up, once for each article at one price, on what the campaign touches of it:"
        " not by unit, not on the sum, never down.",
        applies=_has_percentages,
        explains=_rounds,
    ),
    Policy(
        question="How fine are percentages?",
        answer="Hundredths of a percent; what a source has finer is rounded half up.",
        applies=_has_fine_percentages,
        explains=_is_part_of_percent,
    ),
    Policy(
        question="Who gets the cent that a division leaves over?",
        answer="The largest remainder; of equals the larger amount, then the smaller article"
        " number.",
        applies=lambda scenario: _spreads(scenario) > 0,
        explains=_moves_cents,
    ),
    Policy(
        question="How is an amount divided among lines?",
        answer="In proportion to what is left of them, a bound on a reward as well: not in equal"
        " parts, not by serving the first line first.",
        applies=_divides_otherwise,
        explains=_moves_money,
    ),
    Policy(
        question="Are there amounts finer than the smallest coin?",
        answer="No: money is whole minor units from the first step on.",
        applies=_always,
        explains=_is_part_of_cent,
    ),
    Policy(
        question="Do two lines of one article count twice?",
        answer="No: equal goods at one price are one, however they were scanned, and share what"
        " they get in proportion.",
        applies=_has_split_lines,
        explains=_moves_among_equals,
    ),
    Policy(
        question="May one unit be in the sets of two campaigns?",
        answer="No, unless both campaigns say so: what was bought for one offer does not buy"
        " another.",
        applies=_has_rival_sets,
        explains=_gives_less,
    ),
    Policy(
        question="What does a deal give when fewer units are there than a set has?",
        answer="Nothing: a set is whole, unless it has a price of its own and says otherwise.",
        applies=_lacks_whole_set,
        explains=_gives_less,
    ),
    Policy(
        question="Which of several units at one price carries a discount?",
        answer="That of the smaller article number, whatever was scanned first.",
        applies=_chooses_units,
        explains=_swaps_equals,
    ),
    Policy(
        question="Which of several campaigns without a priority comes first?",
        answer="The one with the smaller id, or that is written first: what a later one finds"
        " taken it does not give.",
        applies=_leaves_order_open,
        explains=_only_who_gave,
    ),
    Policy(
        question="Which units make a set?",
        answer="The dearest, or the cheapest where the campaign says so; never those that were"
        " scanned first.",
        applies=_picks_by_price,
        explains=_amounts_and_answers,
    ),
    Policy(
        question="Do goods that cost nothing count?",
        answer="No: they meet no condition and carry no part of an amount.",
        applies=_counts_free_goods,
        explains=_amounts_and_answers,
    ),
    Policy(
        question="Which goods of a set carry its discount?",
        answer="Those that it rewards, unless the campaign says that all of them do, in proportion"
        " to what they cost.",
        applies=_makes_sets,
        explains=_moves_within_sets,
    ),
    Policy(
        question="On what is a threshold measured when nobody says it?",
        answer="On what the lanes before have left: prices of articles count, other discounts of"
        " the receipt do not.",
        applies=_measures_thresholds,
        explains=_judges_otherwise,
    ),
    Policy(
        question="What becomes of a part of a point?",
        answer="Points are whole in their smallest unit; what is below one is not given.",
        applies=_earns_money,
        explains=_is_part_of_point,
    ),
    Policy(
        question="What becomes of a discount whose condition a return breaks?",
        answer="The receipt's own campaigns are held against what stays: what is no longer earned"
        " is not kept.",
        applies=_returns_part,
        explains=_is_refund,
    ),
)
