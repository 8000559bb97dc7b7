"""What a till gave by itself takes of limits what it would have taken with us."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

NAME = "cmp_limited"


@st.composite
def limited(draw):
    """Return campaigns of which most are limited, in every way."""
    few = st.sampled_from([0, 0, 2, 5])
    campaigns = []
    for one in draw(samples.rulebooks()):
        takes_off = one.rules.combination.lane is not engine.Lane.EARN
        uses = draw(few)
        limits = engine.Limits(
            uses_max=uses,
            units_max=draw(few) if takes_off else 0,
            units_per_article_max=draw(few) if takes_off else 0,
            units_per_member_max=draw(few) if takes_off else 0,
            budget_minor=draw(st.sampled_from([0, 700])) if takes_off else 0,
            count_sets=bool(uses) and one.rules.multi_buy is not None,
        )
        bounded = replace(one, rules=replace(one.rules, limits=limits))
        campaigns.append(one if engine.find_problems(bounded.rules) else bounded)
    return campaigns


def _named(decision):
    return {part.campaign_id for line in decision.lines for part in line.parts}


@settings(max_examples=120, deadline=None)
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_a_claim_takes_what_the_decision_took(campaigns, cart, facts):
    """By the lines alone; only units and sets of campaigns that were nearly used up may differ."""
    ruleset = engine.compile(campaigns, version=1)
    decision = engine.evaluate(ruleset, cart, facts, now=samples.NOW)
    claim = engine.weigh(ruleset, cart, facts, decision.lines, now=samples.NOW)
    named = _named(decision)

    def plain(charges):
        kept = [one for one in charges if one.campaign_id in named]
        return {one.campaign_id: replace(one, units=(), uses=min(one.uses, 1)) for one in kept}

    assert plain(claim.charges) == plain(decision.charges)
    assert decision.points_payment_minor <= claim.payment_max_minor


@settings(max_examples=60, deadline=None)
@given(limited(), samples.carts(), samples.facts())
def test_units_and_sets_of_fresh_campaigns_are_those_of_the_decision(campaigns, cart, facts):
    """Nobody had used them before, so the lines tell everything."""
    cart = replace(cart, codes_all_or_none=False)
    ruleset = engine.compile(campaigns, version=1)
    skus = [line.sku for line in cart.lines]
    fresh = {
        one.campaign_id: engine.Remaining(
            limits.uses_max,
            limits.uses_per_member_max,
            limits.budget_minor,
            coupons=1,
            stamps=1_000,
            units=limits.units_max,
            article_units=dict.fromkeys(skus, limits.units_per_article_max),
            member_units=limits.units_per_member_max,
        )
        for one in campaigns
        for limits in [one.rules.limits]
    }
    facts = replace(facts, remaining=fresh)
    decision = engine.evaluate(ruleset, cart, facts, now=samples.NOW)
    claim = engine.weigh(ruleset, cart, facts, decision.lines, now=samples.NOW)
    named = _named(decision)
    assert claim.charges == tuple(one for one in decision.charges if one.campaign_id in named)


def _limited(**limits):
    rules = engine.Rules(
        title=engine.Text("Half"),
        rewards=(engine.Reward(engine.PercentOff(5_000)),),
        combination=engine.Combination(engine.Lane.ITEM),
        limits=engine.Limits(**limits),
    )
    return engine.compile([engine.Campaign(NAME, 1, rules)], version=1)


def _sell(ruleset, count, **left):
    line = engine.CartLine("1", "cup", count * 1_000, 100)
    cart = engine.Cart("s1", engine.Channel.TILL, "USD", (line,))
    facts = engine.Facts(engine.Store(), {}, remaining={NAME: engine.Remaining(**left)})
    return cart, facts, engine.evaluate(ruleset, cart, facts, now=samples.NOW)


def test_units_are_those_that_were_rewarded():
    """Also when nothing is left now, and when the till rewarded but some of them."""
    ruleset = _limited(units_max=4)
    for left, rewarded in ((4, 4), (1, 1)):
        cart, facts, sold = _sell(ruleset, 5, units=left)
        assert sold.charges[0].units == (("cup", rewarded),)
        gone = replace(facts, remaining={NAME: engine.Remaining(units=0)})
        claim = engine.weigh(ruleset, cart, gone, sold.lines, now=samples.NOW)
        assert claim.charges == sold.charges


def test_a_campaign_that_does_not_fit_the_cart_takes_units_of_its_lines():
    """A till may have known better, or pretended to; what it named is counted."""
    ruleset = _limited(units_max=4, budget_minor=10_000)
    cart, facts, sold = _sell(ruleset, 3, units=4, budget_minor=10_000)
    other_cart = replace(cart, channel=engine.Channel.SITE)
    narrow = engine.compile(
        [
            replace(
                one,
                rules=replace(
                    one.rules, audience=engine.Audience(channels=frozenset({engine.Channel.TILL}))
                ),
            )
            for one in ruleset.campaigns
        ],
        version=1,
    )
    claim = engine.weigh(narrow, other_cart, facts, sold.lines, now=samples.NOW)
    assert claim.charges == sold.charges


def test_points_may_pay_their_share_of_what_the_till_charged():
    """Whoever has how many; an unknown shopper has none."""
    cart, facts, sold = _sell(_limited(), 4)
    terms = engine.PointsTerms(payment_share_max_basis_points=5_000)
    member = engine.Member("mem_1", points_balance=0)
    for shopper, most in ((member, 100), (None, 0)):
        known = replace(facts, member=shopper, terms=terms)
        claim = engine.weigh(_limited(), cart, known, sold.lines, now=samples.NOW)
        assert claim.payment_max_minor == most
