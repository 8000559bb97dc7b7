"""Campaigns of sets that want the same goods."""

import dataclasses
from itertools import combinations, combinations_with_replacement

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
def test_a_campaign_that_loses_is_in_nobodys_way(contest, data):
    """Taking away a campaign that was not applied never gives more, when the sum is proven."""
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
        assert again.discount_minor <= decision.discount_minor


def _make_campaign(place, kind, *groups, most=0):
    parts = tuple(
        engine.UnitGroup(engine.ItemFilter(skus=frozenset(skus)), units) for skus, units in groups
    )
    rules = engine.Rules(
        engine.Text("Set"),
        (engine.Reward(kind),),
        engine.Combination(engine.Lane.MULTI_BUY),
        multi_buy=engine.MultiBuy(parts, most),
    )
    return engine.Campaign(f"cmp_{place}", 1, rules)


def _make_cart(**goods):
    lines = tuple(
        engine.CartLine(sku, sku, units * 1_000, price) for sku, (units, price) in goods.items()
    )
    return engine.Cart("S1", engine.Channel.TILL, "EUR", lines)


def test_the_best_sets_need_not_stand_together_by_price():
    """A set of the dearest and the cheapest article is found, whoever else competes."""
    fifth = engine.PercentOff(2_000)
    campaigns = [
        _make_campaign(0, fifth, (["ale"], 1), most=1),
        _make_campaign(1, fifth, (["ale", "bun"], 1), (["ale", "cod"], 2), most=1),
        _make_campaign(2, engine.SetPrice(400), (["ale"], 1), most=1),
        _make_campaign(3, engine.AmountOff(80, engine.AmountSpread.ACROSS), (["bun"], 1)),
    ]
    cart = _make_cart(ale=(2, 600), bun=(1, 100), cod=(1, 500))
    decision = _decide(campaigns, cart)
    assert decision.discount_minor >= _decide(campaigns[1:], cart).discount_minor
    assert {
        dict(one.details).get("optimality")
        for one in decision.outcomes
        if one.reason is engine.OutcomeReason.APPLIED
    } == {"PROVEN"}


def test_only_what_was_searched_is_proven():
    """With more sets than the allowance is for, or bounds on a reward, nobody says proven."""
    many = [f"i{n}" for n in range(30)]
    wide = [
        _make_campaign(0, engine.AmountOff(80, engine.AmountSpread.ACROSS), (many, 3)),
        _make_campaign(1, engine.PercentOff(1_000), (many, 2)),
    ]
    cart = _make_cart(**{sku: (1, 100 + n) for n, sku in enumerate(many)})
    bounded = [_make_campaign(0, engine.PercentOff(1_000), (["i1"], 1)), _limit(wide[1])]
    for campaigns in (wide, bounded):
        outcomes = _decide(campaigns, cart).outcomes
        found = {dict(one.details).get("optimality") for one in outcomes}
        assert "BOUNDED" in found
        assert "PROVEN" not in found


def _limit(campaign):
    (reward,) = campaign.rules.rewards
    rewards = (dataclasses.replace(reward, amount_max=10),)
    return dataclasses.replace(campaign, rules=dataclasses.replace(campaign.rules, rewards=rewards))


def _list_best(campaigns, counts, prices, made):
    """Return the most that campaigns of one group each can save, trying every unit."""
    best = 0
    for place, one in enumerate(campaigns):
        sets = one.rules.multi_buy
        if sets.sets_max and made[place] == sets.sets_max:
            continue
        (group,), kind = sets.groups, one.rules.rewards[0].kind
        for skus in combinations_with_replacement(sorted(group.filter.skus), group.units):
            if all(skus.count(sku) <= counts[sku] for sku in skus):
                worth = sum(prices[sku] for sku in skus)
                saving = {
                    engine.PercentOff: lambda worth=worth: worth // 5,
                    engine.SetPrice: lambda worth=worth: max(0, worth - 400),
                }[type(kind)]()
                if saving:
                    rest = {sku: count - skus.count(sku) for sku, count in counts.items()}
                    more = [count + (n == place) for n, count in enumerate(made)]
                    best = max(best, saving + _list_best(campaigns, rest, prices, more))
    return best


@_thorough
@given(st.data())
def test_proven_is_what_trying_everything_finds(data):
    """No choice of units saves more than what is called proven."""
    kinds = st.sampled_from([engine.PercentOff(2_000), engine.SetPrice(400)])
    campaigns = [
        _make_campaign(
            place,
            data.draw(kinds),
            (data.draw(st.sampled_from(_OF)), data.draw(st.integers(1, 2))),
            most=data.draw(st.integers(0, 1)),
        )
        for place in range(data.draw(st.integers(2, 3)))
    ]
    goods = {
        sku: (data.draw(st.integers(1, 2)), data.draw(st.integers(1, 9)) * 100)
        for sku in samples.SKUS
    }
    decision = _decide(campaigns, _make_cart(**goods))
    found = [dict(one.details).get("optimality") for one in decision.outcomes]
    if "PROVEN" in found and "BOUNDED" not in found and found.count("PROVEN") == len(found):
        counts = {sku: units for sku, (units, _) in goods.items()}
        prices = {sku: price for sku, (_, price) in goods.items()}
        best = _list_best(campaigns, counts, prices, [0] * len(campaigns))
        assert decision.discount_minor == best


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
