"""Points for a purchase that was sold without knowing the shopper: prices stay, points come."""

from dataclasses import replace
from datetime import datetime

from services.promotions.engine import baskets, bearers, evaluation, index, lanes, returns, traces
from services.promotions.engine.carts import Cart, Facts
from services.promotions.engine.decisions import Decision, Explain
from services.promotions.engine.rules import Lane
from services.promotions.engine.rulesets import Ruleset


def earn_later(
    ruleset: Ruleset, cart: Cart, facts: Facts, sold: Decision, *, now: datetime
) -> Decision:
    """Return what was sold with the points that it earns a shopper who is known by now.

    `sold` is what the same rules gave an unknown shopper at the same moment. Its discounts and what
    they take of limits stay as they were; no discount for members is made up for.
    """
    cart = bearers.present(ruleset, cart, facts)
    basket = baskets.arrange(cart, facts)
    found = index.match(ruleset.index, cart, basket, facts, now=now)
    applied = {ruleset.place_by_id[part.campaign_id] for line in sold.lines for part in line.parts}
    heard = [
        place
        for place in baskets.places(found.survivors)
        if ruleset.compiled[place].lane is Lane.EARN or place in applied
    ]
    found = replace(found, survivors=sum(1 << place for place in heard), unanswered=0)
    earning = [one for place in heard if (one := ruleset.compiled[place]).lane is Lane.EARN]
    run = lanes.start(cart, facts, basket, now=now)
    run = returns.keep_prices(ruleset, cart, facts, sold, run, now=now)
    run.payment_max = sold.points_payment_minor
    evaluation.pay_and_earn(run, earning, choose_payment=lambda _: sold.points_payment_minor)
    outcomes = traces.tell(ruleset, run, found, explain=Explain.CANDIDATES)
    earned = evaluation.conclude(run, ruleset_version=ruleset.version, outcomes=outcomes)
    sold_charges = {charge.campaign_id: charge for charge in sold.charges}
    fresh = [one for one in earned.charges if one.campaign_id not in sold_charges]
    return replace(earned, charges=(*sold.charges, *fresh))
