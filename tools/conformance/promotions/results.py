"""What our engine makes of a scenario, counted the way that cases count."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from services.promotions import engine
from tools.conformance.promotions import goods
from tools.conformance.promotions.scenarios import Scenario
from tools.conformance.promotions.words import Unsupported

_VERSION = 1
_COUNTER = "~counter"
_LAST = -1_000


@dataclass(frozen=True, slots=True)
class Result:
    """The answer in minor units; points and tender count as discounts, as cases have it.

    `settled` is the part of each line's discount that no case leaves to the order as a whole; what
    comes off fees without a line is always left to it.
    `accepted` of the requests got something off, `uses` is what they took of each campaign.
    `reasons` say of every campaign and every unknown code what became of it.
    """

    ruleset: engine.Ruleset
    decision: engine.Decision
    subtotal: int
    discount: int
    total: int
    by_line: Mapping[str, int]
    settled: Mapping[str, int]
    by_campaign: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, engine.OutcomeReason]
    points: Mapping[str, Fraction]
    points_spent: Fraction
    refund: engine.ReturnDecision | None
    stamps: Mapping[str, int]
    accepted: int
    uses: Mapping[str, int]


def evaluate(scenario: Scenario) -> Result:
    """Return what the engine answers; raises Unsupported when it refuses the campaigns."""
    try:
        ruleset = engine.compile(scenario.campaigns, version=_VERSION)
    except engine.RulesetInvalid as refused:
        raise Unsupported(f"refused when published: {refused}") from refused
    cart, decision = _decide(scenario, ruleset)
    accepted, uses = _repeat(scenario, ruleset, cart, decision)
    tenders = _tender(scenario, decision)
    by_campaign = _by_campaign(scenario, decision, tenders)
    paid = sum(tenders.values()) + decision.points_payment_minor
    fee = sum(line.amount_minor for line in decision.lines if line.line_id == goods.FEE_LINE)
    return Result(
        ruleset=ruleset,
        decision=decision,
        subtotal=decision.subtotal_minor - fee,
        discount=decision.discount_minor + paid,
        total=decision.total_minor - paid,
        by_line={
            line.line_id: line.discount_minor + line.points_payment_minor for line in decision.lines
        },
        settled=_settled(scenario, decision),
        by_campaign=by_campaign,
        reasons=_reasons(scenario, decision),
        points=_points(scenario, decision),
        points_spent=Fraction(_spent(decision), 10**scenario.facts.terms.points_scale),
        refund=_give_back(scenario, ruleset, cart, decision),
        stamps=scenario.facts.member.stamps or {} if scenario.facts.member else {},
        accepted=accepted,
        uses=uses,
    )


def count_free_units(scenario: Scenario) -> int:
    """Return how many units no set has used: as many as a campaign that comes last still finds."""
    reward = engine.Reward(engine.AmountOff(1, engine.AmountSpread.EACH_UNIT))
    combination = engine.Combination(engine.Lane.MULTI_BUY, priority=_LAST)
    group = engine.UnitGroup(goods.everything(scenario.goods), 1)
    rules = engine.Rules(
        engine.Text(_COUNTER), (reward,), combination, multi_buy=engine.MultiBuy((group,))
    )
    counter = engine.Campaign(_COUNTER, _VERSION, rules)
    ruleset = engine.compile((*scenario.campaigns, counter), version=_VERSION)
    decision = _evaluate(scenario, ruleset, scenario.cart)
    return next(
        (
            int(dict(outcome.details)["sets"])
            for outcome in decision.outcomes
            if outcome.campaign_id == _COUNTER and "sets" in dict(outcome.details)
        ),
        0,
    )


def _decide(scenario: Scenario, ruleset: engine.Ruleset) -> tuple[engine.Cart, engine.Decision]:
    """Evaluate; a shopper who pays with points asks first how many are allowed."""
    cart, decision = scenario.cart, _evaluate(scenario, ruleset, scenario.cart)
    if scenario.payment and (most := _find_payment(scenario, decision)):
        cart = replace(cart, points_payment_minor=most)
        decision = _evaluate(scenario, ruleset, cart)
    return cart, decision


def _find_payment(scenario: Scenario, decision: engine.Decision) -> int:
    """Return how much the shopper pays with points: as much as the case allows."""
    payment, worth = scenario.payment, scenario.worth
    bounds = [decision.points_payment_max_minor]
    if payment and payment.amount_max is not None:
        bounds.append(payment.amount_max)
    if payment and payment.points_max is not None:
        bounds.append(int(payment.points_max * 100 / worth))
    return min(bounds)


def _repeat(
    scenario: Scenario, ruleset: engine.Ruleset, cart: engine.Cart, decision: engine.Decision
) -> tuple[int, dict[str, int]]:
    """Sell the cart as often as the case asks for, each time with what the last one has left.

    Requests at the same moment are one after the other for the ledger, in whatever order.
    """
    uses: dict[str, int] = defaultdict(int)
    left = dict(scenario.facts.remaining)
    accepted = 0
    for turn in range(scenario.requests):
        if turn:
            facts = replace(scenario.facts, remaining=left)
            decision = engine.evaluate(ruleset, cart, facts, now=scenario.now)
        accepted += decision.discount_minor > 0
        if not decision.charges:
            break
        for charge in decision.charges:
            uses[charge.campaign_id] += charge.uses
            left[charge.campaign_id] = _take(left[charge.campaign_id], charge)
    return accepted, dict(uses)


def _take(left: engine.Remaining, charge: engine.Charge) -> engine.Remaining:
    return replace(
        left,
        uses=(left.uses or 0) - charge.uses,
        member_uses=(left.member_uses or 0) - charge.uses,
        budget_minor=(left.budget_minor or 0) - charge.budget_minor,
        units=(left.units or 0) - sum(count for _, count in charge.units),
        member_units=(left.member_units or 0) - sum(count for _, count in charge.units),
    )


def _evaluate(scenario: Scenario, ruleset: engine.Ruleset, cart: engine.Cart) -> engine.Decision:
    return engine.evaluate(
        ruleset, cart, scenario.facts, now=scenario.now, explain=engine.Explain.FULL
    )


def _spent(decision: engine.Decision) -> int:
    """Return the points that paid for goods and for rewards."""
    prices = [one.spent for one in decision.stamp_moves if one.card == engine.POINTS_CARD]
    return decision.points_spent + sum(prices)


def _tender(scenario: Scenario, decision: engine.Decision) -> dict[str, int]:
    """Return what gift cards and the like pay of what is left after everything else."""
    left = decision.total_minor - decision.points_payment_minor
    presented = {code.upper() for code in scenario.cart.coupon_codes}
    paid = {}
    for offer in scenario.offers:
        tender = offer.gift.tender
        if tender and (not offer.code or offer.code.upper() in presented):
            paid[offer.name] = min(left, tender.amount_minor)
            left -= paid[offer.name]
    return paid


def _by_campaign(
    scenario: Scenario, decision: engine.Decision, tenders: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    paying = next((offer.name for offer in scenario.offers if offer.gift.payment), "")
    for line in decision.lines:
        for part in line.parts:
            if part.discount_minor:
                found[part.campaign_id][line.line_id] = part.discount_minor
        if line.points_payment_minor:
            found[paying][line.line_id] = line.points_payment_minor
    for name, amount in tenders.items():
        found[name][""] = amount
    return dict(found)


def _settled(scenario: Scenario, decision: engine.Decision) -> dict[str, int]:
    floating = {offer.name for offer in scenario.offers if offer.gift.on_order or offer.gift.mixed}
    return {
        line.line_id: sum(
            part.discount_minor for part in line.parts if part.campaign_id not in floating
        )
        for line in decision.lines
        if line.line_id != goods.FEE_LINE
    }


def _reasons(scenario: Scenario, decision: engine.Decision) -> dict[str, engine.OutcomeReason]:
    found = {
        offer.name: engine.OutcomeReason.CONDITION_NOT_MET
        for offer in scenario.offers
        if offer.gift.payment and not decision.points_spent
    }
    for outcome in decision.outcomes:
        name = outcome.campaign_id or dict(outcome.details).get("code", "")
        found[name] = outcome.reason
    return found


def _points(scenario: Scenario, decision: engine.Decision) -> dict[str, Fraction]:
    unit = 10**scenario.facts.terms.points_scale
    found: dict[str, Fraction] = defaultdict(Fraction)
    for earning in decision.earnings:
        found[earning.campaign_id] += Fraction(earning.points, unit)
    found["total"] = Fraction(decision.points_earned, unit)
    return dict(found)


def _give_back(
    scenario: Scenario, ruleset: engine.Ruleset, cart: engine.Cart, decision: engine.Decision
) -> engine.ReturnDecision | None:
    if scenario.returned is None:
        return None
    try:
        return engine.price_return(
            ruleset, cart, scenario.facts, decision, now=scenario.now, returned=scenario.returned
        )
    except (engine.LineUnknown, engine.ReturnExceeds) as refused:
        raise Unsupported(f"a return that is refused: {refused}") from refused
