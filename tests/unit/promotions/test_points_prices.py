"""Rewards that cost points: who has them, what is left of them, and when they come back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.promotions import engine
from services.promotions.engine import OutcomeReason as Reason
from services.promotions.engine import StampMove

_NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_MEMBER = engine.Member("mem_1", points_balance=250)


def _campaign(name, points, amount_minor=100, *, lane=engine.Lane.RECEIPT, **fields):
    off = engine.AmountOff(amount_minor, engine.AmountSpread.ACROSS)
    rules = engine.Rules(
        title=engine.Text(name),
        rewards=(engine.Reward(off),),
        combination=engine.Combination(lane),
        points_price=engine.PointsPrice(points),
    )
    return engine.Campaign(f"cmp_{name}", 1, replace(rules, **fields))


def _cart(units=1, unit_price_minor=1_000, **fields):
    line = engine.CartLine("1", "ale", units * 1_000, unit_price_minor)
    return engine.Cart("S1", engine.Channel.TILL, "EUR", (line,), **fields)


def _facts(member=_MEMBER, **fields):
    return engine.Facts(engine.Store(), {}, member=member, **fields)


def _sell(*campaigns, cart=None, facts=None):
    ruleset = engine.compile(campaigns, version=1)
    cart, facts = cart or _cart(), facts or _facts()
    decision = engine.evaluate(ruleset, cart, facts, now=_NOW, explain=engine.Explain.FULL)
    return ruleset, cart, facts, decision


def _reasons(decision):
    return {one.campaign_id.removeprefix("cmp_"): one for one in decision.outcomes}


def test_each_reward_finds_what_those_before_it_left():
    """Of 250 points two rewards of 100 take their price, and the third is told what lacks."""
    *_, decision = _sell(*[_campaign(name, 100) for name in "abc"])
    assert decision.discount_minor == 200
    assert decision.stamp_moves == (StampMove("cmp_a", "", 0, 100), StampMove("cmp_b", "", 0, 100))
    third = _reasons(decision)["c"]
    assert third.reason is Reason.POINTS_MISSING
    assert dict(third.details) == {"available": "50", "required": "100"}
    assert decision.points_spent == 0, "that is what points paid for goods"


@pytest.mark.parametrize(
    ("member", "answered", "reason"),
    [
        (None, True, Reason.NOT_IN_AUDIENCE),
        (None, False, Reason.DEPENDENCY_UNAVAILABLE),
        (engine.Member("mem_1"), True, Reason.DEPENDENCY_UNAVAILABLE),
        (engine.Member("mem_1", points_balance=-5), True, Reason.POINTS_MISSING),
        (engine.Member("mem_1", points_balance=99), True, Reason.POINTS_MISSING),
        (engine.Member("mem_1", points_balance=100), True, Reason.APPLIED),
    ],
)
def test_it_works_for_who_has_the_points(member, answered, reason):
    """Nobody else gets it, and what nobody knows is no answer."""
    facts = _facts(member, identity_answered=answered)
    *_, decision = _sell(_campaign("a", 100), facts=facts)
    assert _reasons(decision)["a"].reason is reason
    assert bool(decision.stamp_moves) is (reason is Reason.APPLIED)


def test_points_that_a_reward_cost_pay_for_no_goods():
    """They are offered as payment without the price, and nothing is spent twice."""
    *_, decision = _sell(_campaign("a", 100), cart=_cart(points_payment_minor=900))
    assert decision.payment is not None
    assert decision.payment.max_minor == 150
    assert decision.points_spent == 150
    assert decision.stamp_moves == (StampMove("cmp_a", "", 0, 100),)


def test_a_coupon_for_points_finds_what_payment_left():
    """What comes after payment counts it: 250 less 200 do not buy for 100."""
    kind = engine.IssueCoupon("cmp_later")
    later = _campaign("a", 100, lane=engine.Lane.EARN, rewards=(engine.Reward(kind),))
    *_, paid = _sell(later, cart=_cart(points_payment_minor=200))
    assert (paid.points_spent, paid.coupon_grants) == (200, ())
    *_, bought = _sell(later, cart=_cart(points_payment_minor=100))
    assert len(bought.coupon_grants) == 1
    assert bought.stamp_moves == (StampMove("cmp_a", "", 0, 100),)


def test_every_set_has_its_price():
    """Sets are made as long as there are points for them."""
    free = _campaign(
        "a",
        100,
        lane=engine.Lane.MULTI_BUY,
        rewards=(engine.Reward(engine.PercentOff(10_000)),),
        multi_buy=engine.MultiBuy((engine.UnitGroup(units=1),)),
    )
    *_, decision = _sell(free, cart=_cart(units=5))
    assert decision.discount_minor == 2_000
    assert decision.stamp_moves == (StampMove("cmp_a", "", 0, 200),)


def test_prices_of_several_sets_may_be_beyond_32_bits():
    """Where the smallest unit of points is tiny, numbers are large."""
    price = 1_000_000_000
    free = _campaign(
        "a",
        price,
        lane=engine.Lane.MULTI_BUY,
        rewards=(engine.Reward(engine.PercentOff(10_000)),),
        multi_buy=engine.MultiBuy((engine.UnitGroup(units=1),)),
    )
    member = engine.Member("mem_1", points_balance=3 * price)
    *_, decision = _sell(free, cart=_cart(units=5), facts=_facts(member))
    assert decision.stamp_moves == (StampMove("cmp_a", "", 0, 3 * price),)


def test_the_price_comes_back_when_the_rest_does_not_get_the_reward():
    """Whole, and once: a part of a reward is not bought."""
    asked = engine.ItemGroup(quantity_min_thousandths=2_000)
    sale = _sell(_campaign("a", 100, 100, condition=asked), cart=_cart(units=3))
    first = engine.price_return(*sale, now=_NOW, returned={"1": 1_000})
    assert first.stamp_moves == ()
    second = engine.price_return(*sale, now=_NOW, returned={"1": 2_000}, before=first.so_far)
    assert second.complete
    assert second.stamp_moves == (StampMove("cmp_a", "", 0, 100),)
    assert second.points_restored == 0


def test_the_shopper_reads_what_it_cost():
    """In both languages, on the receipt."""
    *_, decision = _sell(_campaign("a", 100))
    told = [one.text for one in decision.messages if one.campaign_id == "cmp_a"]
    assert (
        engine.Text("Taken for the reward: 100 points", "Списано за вознаграждение: 100 баллов")
        in told
    )
