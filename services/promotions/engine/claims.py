"""What a till gave by itself, as what it takes of limits: counted as if we had given it.

A till tells money and points by line. How many units and sets they are for follows from the cart:
the campaigns that it names run over it as if nobody had used them before. Where a till gave less
than that, it took so much less of the limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.promotions.engine import baskets, bearers, evaluation, index, lanes, payments, traces
from services.promotions.engine.carts import Cart, Facts, Remaining
from services.promotions.engine.decisions import Charge, LineDecision, OutcomeReason, StampMove
from services.promotions.engine.offers import Offer, count_units
from services.promotions.engine.rulesets import Compiled, Ruleset

_ENDLESS = 1 << 40


@dataclass(frozen=True, slots=True)
class Claim:
    """What a till's decision takes: of limits, coupons and stamps.

    `payment_max_minor` is the most that points may pay of what the till charged, whoever has how
    many; 0 for an unknown shopper.
    """

    charges: tuple[Charge, ...]
    stamp_moves: tuple[StampMove, ...]
    payment_max_minor: int


def weigh(
    ruleset: Ruleset, cart: Cart, facts: Facts, lines: Sequence[LineDecision], *, now: datetime
) -> Claim:
    """Return what a till took that gave this on the cart's lines.

    The rule set must hold every campaign that the lines name.
    """
    given = _add_up(lines)
    cart = bearers.present(ruleset, cart, facts)
    named = [
        ruleset.compiled[place] for place in sorted(ruleset.place_by_id[name] for name in given)
    ]
    facts = _forget_use(facts, cart, named)
    basket = baskets.arrange(cart, facts)
    found = index.match(ruleset.index, cart, basket, facts, now=now)
    run = lanes.start(cart, facts, basket, now=now)
    lanes.run_discounts(run, [one for one in named if found.survivors >> one.place & 1])
    made = {one.place: offer for one, offer in run.applied}
    codes = traces.presented_codes(cart)
    claimed = [
        (one, _cut(made.get(one.place), one, given[one.campaign.campaign_id], cart, lines))
        for one in named
    ]
    return Claim(
        charges=tuple(
            evaluation.charge(one, offer, codes, facts.bearers)
            for one, offer in claimed
            if one.need
        ),
        stamp_moves=tuple(
            StampMove(
                one.campaign.campaign_id,
                one.price.card_id,
                0,
                one.price.count * offer.sets,
            )
            for one, offer in claimed
            if one.price is not None
        ),
        payment_max_minor=_find_payment(basket, lines, facts),
    )


def _find_payment(basket: baskets.Basket, lines: Sequence[LineDecision], facts: Facts) -> int:
    """Return the most that points may pay of what the till charged, by their rules alone."""
    held = facts.member.points_balance if facts.member else None
    return payments.find_offer(basket, _charged(basket, lines), facts, held=held).max_minor


def _add_up(lines: Sequence[LineDecision]) -> dict[str, tuple[int, int]]:
    """Return the discount and the points of each campaign."""
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        for part in line.parts:
            discount, points = sums.get(part.campaign_id, (0, 0))
            sums[part.campaign_id] = (discount + part.discount_minor, points + part.points)
    return sums


def _forget_use(facts: Facts, cart: Cart, named: Sequence[Compiled]) -> Facts:
    """Return the facts as of a campaign's first use, by a shopper who has everything."""
    remaining = {
        one.campaign.campaign_id: Remaining(
            uses=one.limits.uses_max,
            member_uses=one.limits.uses_per_member_max,
            budget_minor=one.limits.budget_minor,
            coupons=1,
            stamps=_ENDLESS,
            units=one.limits.units_max,
            member_units=one.limits.units_per_member_max,
            article_units={line.sku: one.limits.units_per_article_max for line in cart.lines},
        )
        for one in named
        if one.need
    }
    member = facts.member
    if member is not None:
        prices = (price for one in named for price in (one.stamps, one.price) if price)
        stamps = {price.card_id: _ENDLESS for price in prices}
        member = replace(member, stamps=stamps, points_balance=_ENDLESS)
    return replace(facts, member=member, remaining=remaining)


def _cut(
    made: Offer | None,
    one: Compiled,
    given: tuple[int, int],
    cart: Cart,
    lines: Sequence[LineDecision],
) -> Offer:
    """Return the offer that comes to what the till gave."""
    total = given[0] if one.discount is not None else given[1]
    if made is None or not made.total:
        units = _units_below(one.campaign.campaign_id, cart, lines)
        return Offer(total, [], [], total, OutcomeReason.APPLIED, units=units)
    share = min(total, made.total)
    return made._replace(
        total=total,
        units=tuple((sku, -(-count * share // made.total)) for sku, count in made.units),
        sets=max(-(-made.sets * share // made.total), 1),
    )


def _units_below(
    campaign_id: str, cart: Cart, lines: Sequence[LineDecision]
) -> tuple[tuple[str, int], ...]:
    """Return the units of the lines on which a campaign gave something; weighed goods are one."""
    return count_units(
        [
            (bought.sku, max(bought.quantity_thousandths // 1_000, 1))
            for bought, line in zip(cart.lines, lines)
            if any(part.campaign_id == campaign_id and part.discount_minor for part in line.parts)
        ]
    )


def _charged(basket: baskets.Basket, lines: Sequence[LineDecision]) -> list[int]:
    """Return what the till charged for each pile, before points."""
    return [sum([lines[place].total_minor for place in places]) for places in basket.line_places]
