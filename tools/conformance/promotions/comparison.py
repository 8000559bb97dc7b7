"""What a case expects, held against what our engine answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from services.promotions import engine
from services.promotions.engine import OutcomeReason as Reason
from tools.conformance.promotions import reasons, results, scenarios
from tools.conformance.promotions.goods import FEE_LINE
from tools.conformance.promotions.results import Result
from tools.conformance.promotions.scenarios import Scenario
from tools.conformance.promotions.words import (
    Gaps,
    Unsupported,
    Words,
    read_list,
    read_names,
    read_number,
)

_MINOR = 100
_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the case has it; `cents` is by how much, for amounts."""

    field: str
    expected: str
    actual: str
    cents: Decimal | None = None


_Check: TypeAlias = Callable[[Any, Scenario, Result], list[Difference]]


def compare(scenario: Scenario, result: Result, gaps: Gaps) -> list[Difference]:
    """Return every difference; expectations in unknown words are remembered as gaps."""
    expected = Words(scenario.case.part("expected"), "expected", gaps)
    found = _compare_totals(expected, result)
    for name, check in _CHECKS.items():
        if name in expected:
            with gaps.collect():
                found.extend(check(expected.take(name), scenario, result))
    expected.close()
    return found


def _compare_totals(expected: Words, result: Result) -> list[Difference]:
    found: list[Difference] = []
    for name, actual in (
        ("subtotal", result.subtotal),
        ("discount_total", result.discount),
        ("total", result.total),
    ):
        if name in expected:
            found.extend(_amounts(name, expected.take(name), actual))
    order = expected.take("order_discount", default="0")
    if "line_discounts" in expected:
        lines = _object(expected.take("line_discounts"), "expected.line_discounts")
        found.extend(_compare_lines(lines, order, result))
    return found


def _compare_lines(lines: Mapping[str, Any], order: Any, result: Result) -> list[Difference]:
    """Compare line by line; what the case leaves to the order may lie on any line.

    We spread everything, so a line has at least what belongs to it alone and at most what it got.
    """
    found = []
    for name in {**lines, **result.by_line}:
        wanted = _minor(lines.get(name, 0))
        least, most = result.settled.get(name, 0), result.by_line.get(name, 0)
        if not least <= wanted <= most:
            found.append(_difference(f"line_discounts.{name}", wanted, most))
    wanted = sum((_minor(one) for one in lines.values()), _minor(order))
    dealt = sum(result.by_line.values()) + sum(
        given[""] for given in result.by_campaign.values() if "" in given
    )
    if not found and wanted != dealt:
        found.append(_difference("line_discounts", wanted, dealt))
    return found


def _compare_campaigns(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    found = []
    for name, wanted in _object(plain, "expected.by_campaign").items():
        given = result.by_campaign.get(name, {})
        if isinstance(wanted, Mapping):
            for line in sorted({**wanted, **given}.keys() - ({FEE_LINE} - wanted.keys())):
                found.extend(
                    _amounts(f"by_campaign.{name}.{line}", wanted.get(line, 0), given.get(line, 0))
                )
        else:
            found.extend(_amounts(f"by_campaign.{name}", wanted, sum(given.values())))
    return found


def _compare_reasons(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    found = []
    for answer in read_list(plain, "expected.not_applied"):
        one = _object(answer, "expected.not_applied")
        name, wanted = str(one.get("campaign", "")), str(one.get("reason") or "")
        if not wanted:  # whatever keeps it away
            if result.reasons.get(name) is Reason.APPLIED:
                found.append(Difference(f"not_applied.{name}", "not applied", "APPLIED"))
            continue
        if wanted not in reasons.SAME:
            raise Unsupported(f"reason {wanted}")
        actual = result.reasons.get(name)
        silent = actual is None and wanted in reasons.SILENT
        if actual not in reasons.SAME[wanted] and not silent:
            given = actual.name if actual else "no answer"
            found.append(Difference(f"not_applied.{name}", wanted, given))
    return found


def _compare_applied(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    """Compare which campaigns are applied, in whatever order."""
    wanted = sorted(read_names(plain, "expected.applied"))
    actual = sorted(name for name, why in result.reasons.items() if why is Reason.APPLIED)
    if wanted == actual:
        return []
    return [Difference("applied", ", ".join(wanted), ", ".join(actual))]


def _compare_unit_prices(plain: Any, scenario: Scenario, result: Result) -> list[Difference]:
    """Compare what a unit costs in the end; cents that a line cannot divide are left aside."""
    lines = {line.line_id: line for line in scenario.cart.lines}
    found = []
    for name, wanted in _object(plain, "expected.unit_prices").items():
        if name not in lines:
            raise Unsupported(f"expected.unit_prices of {name}, which is no line")
        units = Decimal(lines[name].quantity_thousandths) / 1_000
        paid = lines[name].unit_price_minor * units - result.by_line.get(name, 0)
        listed = [_minor(one) for one in wanted] if isinstance(wanted, list) else []
        asked = sum(listed, Decimal(0)) if listed else _minor(wanted) * units
        if abs(asked - paid) > (0 if listed else units / 2):
            found.append(_difference(f"unit_prices.{name}", asked / units, int(paid / units)))
    return found


def _compare_points(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    found = []
    if not isinstance(plain, Mapping):
        plain = {"total": plain}
    for name, wanted in plain.items():
        exact = Fraction(read_number(wanted, "expected.points"))
        actual = result.points.get(name, Fraction(0))
        if exact != actual:
            found.append(Difference(f"points.{name}", str(wanted), f"{float(actual):g}"))
    return found


def _compare_spent(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    if Fraction(read_number(plain, "expected.points_spent")) == result.points_spent:
        return []
    return [Difference("points_spent", str(plain), f"{float(result.points_spent):g}")]


def _compare_budget(plain: Any, scenario: Scenario, result: Result) -> list[Difference]:
    words = Words(plain, "expected.budget", Gaps())
    limits = [offer.limits for offer in scenario.offers]
    charges = () if scenario.cancelled else result.decision.charges
    spent = sum(one.spent_minor for one in limits) + sum(one.budget_minor for one in charges)
    found = []
    for name, actual in (
        ("used", spent),
        ("used_after", spent),
        ("left", sum(one.budget_minor for one in limits) - spent),
        ("remaining", sum(one.budget_minor for one in limits) - spent),
    ):
        if name in words:
            found.extend(_amounts(f"budget.{name}", words.take(name), actual))
    for code, wanted in words.table("code_usage").items():
        uses = sum(offer.limits.uses for offer in scenario.offers if offer.code == code)
        if not scenario.cancelled:
            uses += sum(result.uses.get(one.name, 0) for one in scenario.offers if one.code == code)
        found.extend(_count("budget.code_usage", code, wanted, uses))
    for name, wanted in words.table("campaign_usage").items():
        uses = sum(offer.limits.uses for offer in scenario.offers if offer.name == name)
        uses += 0 if scenario.cancelled else result.uses.get(name, 0)
        found.extend(_count("budget.campaign_usage", name, wanted, uses))
    for place in ("member_usage", "member_code_usage"):
        for name, wanted in words.table(place).items():
            meant = [one for one in scenario.offers if name in {one.name, one.code}]
            uses = sum(one.limits.member_uses for one in meant)
            uses += 0 if scenario.cancelled else sum(result.uses.get(one.name, 0) for one in meant)
            found.extend(_count(f"budget.{place}", name, wanted, uses))
    charged = sum(count for charge in charges for _, count in charge.units)
    before = {
        "campaign_units_used": sum(one.units for one in limits),
        "member_units_used": sum(one.member_units for one in limits),
    }
    words.put("campaign_units_used", words.take("campaign_units_used", "units_used"))
    for name, used in before.items():
        wanted = words.take(name)
        found.extend([] if wanted is None else _count("budget", name, wanted, used + charged))
    words.close()
    if words.gaps.found:
        raise Unsupported(words.gaps.found[0])
    return found


def _count(field: str, name: str, wanted: object, actual: int) -> list[Difference]:
    if read_number(wanted, field) == actual:
        return []
    return [Difference(f"{field}.{name}", str(wanted), str(actual))]


def _compare_refund(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    if result.refund is None:
        raise Unsupported("a refund without a return")
    return _amounts("refund", plain, result.refund.refund_minor)


def _compare_gifts(plain: Any, scenario: Scenario, result: Result) -> list[Difference]:
    """Compare what is added for nothing, and what is offered for less, at its price."""
    wanted: list[tuple[Any, ...]] = []
    offered: list[tuple[Any, ...]] = []
    for answer in read_list(plain, "expected.gifts"):
        one = Words(answer, "expected.gifts", Gaps())
        price = one.minor("price", "unit_price")
        told = (one.text("campaign"), one.text("sku"), one.whole("qty"), one.minor("value"))
        one.close()
        (offered if price else wanted).append((*told, price) if price else told)
        if one.gaps.found:
            raise Unsupported(one.gaps.found[0])
    valued = {(name, sku) for name, sku, _, value in wanted if value is not None}
    actual = [
        (
            one.campaign_id,
            one.sku,
            one.units,
            one.units * one.value_minor if (one.campaign_id, one.sku) in valued else None,
        )
        for one in result.decision.gifts
    ]
    return [
        *_compare_lists("gifts", wanted, actual),
        *_compare_lists("gifts.offered", offered, _find_offered(scenario, result)),
    ]


def _find_offered(scenario: Scenario, result: Result) -> list[tuple[Any, ...]]:
    """Return the articles that are offered for less: each campaign's, with value and price."""
    values = {
        (offer.name, item.sku): item.value_minor
        for offer in scenario.offers
        for reward in offer.gift.rewards
        if isinstance(reward.kind, engine.GiftItems)
        for item in reward.kind.items
    }
    found = []
    for one in result.decision.gift_offers:
        if one.basis_points < _WHOLE and len(one.skus) == 1:
            value = values[one.campaign_id, one.skus[0]]
            price = value * (_WHOLE - one.basis_points) // _WHOLE
            found.append((one.campaign_id, one.skus[0], one.number, one.number * value, price))
    return found


def _compare_coupons(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    """Compare coupons for later; until the purchase is recorded all of them are pending."""
    wanted = [
        (str(one.get("campaign", "")), read_number(one.get("qty", 1), "qty"))
        for answer in read_list(plain, "expected.coupons_issued")
        for one in [_object(answer, "expected.coupons_issued")]
    ]
    actual = [(one.campaign_id, Decimal(one.uses)) for one in result.decision.coupon_grants]
    return _compare_lists("coupons_issued", wanted, actual)


def _compare_lists(field: str, wanted: list[Any], actual: list[Any]) -> list[Difference]:
    if sorted(map(str, wanted)) == sorted(map(str, actual)):
        return []
    return [Difference(field, str(wanted), str(actual))]


def _compare_stamps(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    found = []
    for name, wanted in _object(plain, "expected.stamps").items():
        card = scenarios.card_of(name)
        moves = [one for one in result.decision.stamp_moves if one.card == card]
        earned, spent = sum(one.earned for one in moves), sum(one.spent for one in moves)
        balance = result.stamps.get(card, 0) + earned - spent
        actual = {"earned": earned, "spent": spent, "balance": balance}
        asked = wanted if isinstance(wanted, Mapping) else {"balance": wanted}
        told = {one: actual.get(one) for one in asked}
        if told != dict(asked):
            found.append(Difference(f"stamps.{name}", str(wanted), str(told)))
    return found


def _compare_near(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    """Compare what is missing to campaigns: money or units, whichever the case names."""
    near = {one.campaign_id: one.near_miss for one in result.decision.outcomes}
    found = []
    for answer in read_list(plain, "expected.near_miss"):
        words = Words(answer, "expected.near_miss", Gaps())
        name = words.text("campaign")
        missing = near.get(name)
        amount = words.minor("missing_amount", "amount", "missing")
        units = words.thousandths("missing_qty", "missing_units", "qty", "units")
        actual = (missing.amount_minor, missing.quantity_thousandths) if missing else (0, 0)
        words.drop("detail", "message")
        words.close()
        if words.gaps.found:
            raise Unsupported(words.gaps.found[0])
        for wanted, have in ((amount, actual[0]), (units, actual[1])):
            if wanted is not None and wanted != have:
                found.append(Difference(f"near_miss.{name}", str(wanted), str(have)))
    return found


def _compare_line_totals(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    totals = {one.line_id: one.total_minor for one in result.decision.lines}
    found = []
    for name, wanted in _object(plain, "expected.line_totals").items():
        found.extend(_amounts(f"line_totals.{name}", wanted, totals.get(name, 0)))
    return found


def _compare_fees(plain: Any, _: Scenario, result: Result) -> list[Difference]:
    left = sum(one.total_minor for one in result.decision.lines if one.line_id == FEE_LINE)
    return _amounts("fees", plain, left)


def _compare_unit_discounts(plain: Any, scenario: Scenario, result: Result) -> list[Difference]:
    return _compare_units(_object(plain, "expected.unit_discounts"), scenario, result)


def _compare_details(plain: Any, scenario: Scenario, result: Result) -> list[Difference]:
    """Compare what a case says besides: parts of units, what a budget cut, what came back."""
    words = Words(plain, "expected.result", Gaps())
    words.drop("tender", "requests")  # not the engine's: it is told, or it cannot know
    details = {
        name: value
        for outcome in result.decision.outcomes
        if outcome.reason is Reason.APPLIED
        for name, value in outcome.details
    }
    found = []
    for name, actual in (
        ("desired_value", int(details.get("desired_minor", "0"))),
        ("cut", int(details.get("cut_minor", "0"))),
        ("rollback_discount", _rolled_back(scenario, result)),
    ):
        if name in words:
            found.extend(_amounts(f"result.{name}", words.take(name), actual))
    for name, check in (
        ("applied", _compare_applied),
        ("winner", _compare_applied),
        ("unit_prices", _compare_unit_prices),
        ("line_totals", _compare_line_totals),
        ("near_miss", _compare_near),
    ):
        if name in words:
            found.extend(check(words.take(name), scenario, result))
    found.extend(_compare_counts(words, scenario, result))
    found.extend(_compare_tie(words, result))
    found.extend(_compare_eligible(words, scenario, result))
    units = _object(words.take("unit_discounts", default={}), "result.unit_discounts")
    found.extend(_compare_units(units, scenario, result))
    words.close()
    if words.gaps.found:
        raise Unsupported(words.gaps.found[0])
    return found


def _compare_counts(words: Words, scenario: Scenario, result: Result) -> list[Difference]:
    scale = 10**scenario.facts.terms.points_scale
    refund = result.refund
    found = []
    for name, actual in (
        ("usages", Fraction(sum(result.uses.values()))),
        ("accepted", Fraction(result.accepted)),
        ("rejected", Fraction(scenario.requests - result.accepted)),
        ("refused", Fraction(scenario.requests - result.accepted)),
        ("points_returned", Fraction(refund.points_restored if refund else 0, scale)),
        ("points_reversed", Fraction(refund.points_clawed_back if refund else 0, scale)),
        *_count_units(words, scenario),
    ):
        wanted = words.take(name)
        if wanted is not None and Fraction(read_number(wanted, name)) != actual:
            found.append(Difference(f"result.{name}", str(wanted), f"{float(actual):g}"))
    return found


def _count_units(words: Words, scenario: Scenario) -> list[tuple[str, Fraction]]:
    """Return how many units sets have used and left, where a case asks for it."""
    if "units_left" not in words and "units_consumed" not in words:
        return []
    left = results.count_free_units(scenario)
    bought = sum(line.quantity_thousandths // 1_000 for line in scenario.goods.counted_lines)
    return [("units_left", Fraction(left)), ("units_consumed", Fraction(bought - left))]


def _compare_eligible(words: Words, scenario: Scenario, result: Result) -> list[Difference]:
    """Compare who may work on the cart at all, whatever is left for them to take off."""
    wanted = words.names("eligible", "candidates", "survivors")
    eligible = {
        one.name for one in scenario.offers if result.reasons.get(one.name) in reasons.ELIGIBLE
    }
    if not wanted or wanted == eligible:
        return []
    return [Difference("result.eligible", ", ".join(sorted(wanted)), ", ".join(sorted(eligible)))]


def _compare_tie(words: Words, result: Result) -> list[Difference]:
    """Compare who wins among equals: any one of them, but just one."""
    equals = words.names("tie")
    winners = [name for name in sorted(equals) if result.by_campaign.get(name)]
    if not equals or len(winners) == 1:
        return []
    return [Difference("result.tie", "one winner", ", ".join(winners) or "no winner")]


def _rolled_back(scenario: Scenario, result: Result) -> int:
    """Return the discount that went back with the goods: their price less what they gave back."""
    if result.refund is None or scenario.returned is None:
        return 0
    amount = sum(
        scenario.returned.get(line.line_id, 0) * line.unit_price_minor // 1_000
        for line in scenario.cart.lines
    )
    terms = scenario.facts.terms
    restored = result.refund.points_restored * terms.point_value_minor // terms.point_units
    return amount - result.refund.refund_minor - restored


def _compare_units(
    units: Mapping[str, Any], scenario: Scenario, result: Result
) -> list[Difference]:
    """Compare what the units of a line got: its discount, as even as cents allow, in any order."""
    quantities = {line.line_id: line.quantity_thousandths for line in scenario.cart.lines}
    found = []
    for name, wanted in units.items():
        count = max(1, quantities.get(name, 0) // 1_000)
        share, more = divmod(result.by_line.get(name, 0), count)
        actual = [share + 1] * more + [share] * (count - more)
        listed = sorted((_minor(one) for one in read_list(wanted, name)), reverse=True)
        if listed != actual:
            found.append(Difference(f"result.unit_discounts.{name}", _list(listed), _list(actual)))
    return found


_CHECKS: Mapping[str, _Check] = {
    "by_campaign": _compare_campaigns,
    "not_applied": _compare_reasons,
    "applied": _compare_applied,
    "applied_campaigns": _compare_applied,
    "unit_prices": _compare_unit_prices,
    "points": _compare_points,
    "points_spent": _compare_spent,
    "budget": _compare_budget,
    "refund": _compare_refund,
    "gifts": _compare_gifts,
    "coupons_issued": _compare_coupons,
    "stamps": _compare_stamps,
    "result": _compare_details,
    "near_miss": _compare_near,
    "line_totals": _compare_line_totals,
    "unit_discounts": _compare_unit_discounts,
    "fees": _compare_fees,
}


def _object(plain: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(plain, Mapping):
        raise Unsupported(f"{where} that is not an object")
    return plain


def _minor(plain: Any) -> Decimal:
    """Return an expected amount in minor units; a case may expect parts of them."""
    return read_number(plain, "expected") * _MINOR


def _amounts(field: str, wanted: Any, actual: int) -> list[Difference]:
    exact = _minor(wanted)
    return [] if exact == actual else [_difference(field, exact, actual)]


def _difference(field: str, wanted: Decimal, actual: int) -> Difference:
    return Difference(field, _show(wanted), _show(Decimal(actual)), Decimal(actual) - wanted)


def _show(minor: Decimal) -> str:
    return (
        f"{minor / _MINOR:.4f}".rstrip("0").ljust(4, "0") if minor % 1 else f"{minor / _MINOR:.2f}"
    )


def _list(amounts: list[Any]) -> str:
    return ", ".join(_show(Decimal(one)) for one in amounts)
