"""Campaigns of sets that want the same goods."""

import dataclasses
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

_thorough = settings(max_examples=40, deadline=None)
_OF = [frozenset(one) for size in (1, 2, 3) for one in combinations(samples.SKUS, size)]
_wanted = st.sampled_from(_OF).map(lambda skus: engine.ItemFilter(skus=skus))
_rewards = st.sampled_from(
    [
        engine.Reward(engine.PercentOff(2_000)),
        engine.Reward(engine.PercentOff(10_000), pick=engine.Pick(engine.PickOrder.CHEAPEST, 1)),
        engine.Reward(engine.AmountOff(80, engine.AmountSpread.ACROSS)),
        engine.Reward(engine.SetPrice(400)),
    ]
)


@st.composite
def _contests(draw):
    """Return campaigns of one priority, and a cart of single goods for which they compete."""
    campaigns = []
    for place in range(draw(st.integers(1, 4))):
        groups = st.lists(
            st.builds(engine.UnitGroup, _wanted, st.integers(1, 2)), min_size=1, max_size=2
        )
        rules = engine.Rules(
            engine.Text("Set"),
            (draw(_rewards),),
            engine.Combination(engine.Lane.MULTI_BUY),
            multi_buy=engine.MultiBuy(tuple(draw(groups)), draw(st.integers(0, 2))),
        )
        campaigns.append(engine.Campaign(f"cmp_{place}", 1, rules))
    lines = tuple(
        engine.CartLine(sku, sku, draw(st.integers(1, 3)) * 1_000, draw(st.integers(1, 9)) * 100)
        for sku in samples.SKUS
    )
    return campaigns, engine.Cart("S1", engine.Channel.TILL, "EUR", lines)


def _decide(campaigns, cart):
    facts = engine.Facts(engine.Store(), {})
    return engine.evaluate(engine.compile(campaigns, version=1), cart, facts, now=samples.NOW)


@_thorough
@given(_contests())
def test_together_they_give_at_least_what_the_best_one_gives_alone(contest):
    """The search starts from each campaign served first."""
    campaigns, cart = contest
    together = _decide(campaigns, cart).discount_minor
    assert together >= max(_decide([one], cart).discount_minor for one in campaigns)


@_thorough
@given(_contests())
def test_no_unit_is_in_two_sets(contest):
    """The sets of all campaigns together need no more units than there are."""
    campaigns, cart = contest
    rules = {one.campaign_id: one.rules.multi_buy for one in campaigns}
    needed = 0
    for outcome in _decide(campaigns, cart).outcomes:
        if outcome.reason is engine.OutcomeReason.APPLIED:
            sets = rules[outcome.campaign_id]
            made = int(dict(outcome.details)["sets"])
            assert not sets.sets_max or made <= sets.sets_max
            needed += made * sum(group.units for group in sets.groups)
    assert needed * 1_000 <= sum(line.quantity_thousandths for line in cart.lines)


@_thorough
@given(_contests(), st.data())
def test_a_campaign_that_loses_changes_nothing(contest, data):
    """Taking away a campaign that was not applied leaves the sum as it is, when it is proven."""
    campaigns, cart = contest
    decision = _decide(campaigns, cart)
    details = [dict(one.details) for one in decision.outcomes]
    lost = [
        one.campaign_id
        for one in decision.outcomes
        if one.reason is not engine.OutcomeReason.APPLIED
    ]
    if lost and not any(one.get("optimality") == "BOUNDED" for one in details):
        name = data.draw(st.sampled_from(lost))
        rest = [one for one in campaigns if one.campaign_id != name]
        again = _decide(rest, cart)
        assert again.discount_minor == decision.discount_minor


@_thorough
@given(_contests(), st.integers(1, 3))
def test_priority_comes_before_the_best_combination(contest, place):
    """A campaign of higher priority gets what it gets alone."""
    campaigns, cart = contest
    first = campaigns[place % len(campaigns)]
    raised = dataclasses.replace(
        first,
        rules=dataclasses.replace(
            first.rules, combination=engine.Combination(engine.Lane.MULTI_BUY, priority=1)
        ),
    )
    decision = _decide([raised if one is first else one for one in campaigns], cart)
    given_first = {one.campaign_id: one.discount_minor for one in decision.outcomes}
    alone = _decide([raised], cart).discount_minor
    assert given_first.get(first.campaign_id, 0) == alone
