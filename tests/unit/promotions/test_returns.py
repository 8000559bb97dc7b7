"""Returns that cannot be, and what a return carries on to the next."""

from datetime import UTC, datetime

import pytest

from services.promotions import engine

_NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)


@pytest.fixture
def sale():
    cart = engine.Cart(
        "S1",
        engine.Channel.TILL,
        "EUR",
        (engine.CartLine("1", "ale", 3_000, 250), engine.CartLine("2", "bun", 532, 999)),
    )
    facts = engine.Facts(engine.Store(), {})
    ruleset = engine.compile([], version=1)
    return ruleset, cart, facts, engine.evaluate(ruleset, cart, facts, now=_NOW)


def _return(sale, returned, before=None):
    before = before or engine.ReturnedSoFar()
    return engine.price_return(*sale, now=_NOW, returned=returned, before=before)


def test_a_line_that_was_not_bought_does_not_come_back(sale):
    """The refusal names the line."""
    with pytest.raises(engine.LineUnknown) as caught:
        _return(sale, {"9": 1_000})
    assert caught.value.line_id == "9"


def test_more_than_was_bought_does_not_come_back(sale):
    """What came back before counts, and the refusal says how much is left."""
    first = _return(sale, {"1": 2_000})
    with pytest.raises(engine.ReturnExceeds) as caught:
        _return(sale, {"1": 2_000}, first.so_far)
    assert (caught.value.line_id, caught.value.remaining_thousandths) == ("1", 1_000)


@pytest.mark.parametrize("quantity", [0, -1_000])
def test_nothing_or_less_does_not_come_back(sale, quantity):
    """A return has goods."""
    with pytest.raises(engine.ReturnExceeds):
        _return(sale, {"1": quantity})


def test_what_came_back_is_carried_on(sale):
    """Quantities add up over returns, in the order of the receipt's lines."""
    first = _return(sale, {"2": 32})
    second = _return(sale, {"1": 1_000, "2": 500}, first.so_far)
    assert second.so_far.quantities == (("1", 1_000), ("2", 532))
    assert second.remaining is not None
    assert [line.line_id for line in second.remaining.lines] == ["1"]
    assert second.so_far.refund_minor == first.refund_minor + second.refund_minor


def test_the_rest_makes_no_messages_and_takes_nothing(sale):
    """A return is a statement on the rest, not a new purchase."""
    answer = _return(sale, {"1": 1_000})
    assert answer.remaining is not None
    assert answer.remaining.messages == ()
    assert answer.remaining.charges == ()


@pytest.fixture
def gift_sale():
    """Six ales of 1.00 and, from 5.00 on, a cup worth 0.80 that is deducted."""
    kind = engine.GiftItems((engine.GiftItem("cup", 1, 80),), on_return=engine.GiftReturn.DEDUCT)
    rules = engine.Rules(
        title=engine.Text("Cup"),
        rewards=(engine.Reward(kind),),
        combination=engine.Combination(engine.Lane.RECEIPT),
        condition=engine.BasketTotal(500),
    )
    cart = engine.Cart("S1", engine.Channel.TILL, "EUR", (engine.CartLine("1", "ale", 6_000, 100),))
    facts = engine.Facts(engine.Store(), {})
    ruleset = engine.compile([engine.Campaign("cmp_cup", 1, rules)], version=1)
    return ruleset, cart, facts, engine.evaluate(ruleset, cart, facts, now=_NOW)


def test_a_gift_is_deducted_when_the_rest_does_not_deserve_it(gift_sale):
    """Not before, not twice, and not when it comes back, too."""
    first = _return(gift_sale, {"1": 1_000})
    assert (first.refund_minor, first.gifts_deducted_minor) == (100, 0)
    second = _return(gift_sale, {"1": 2_000}, first.so_far)
    assert (second.refund_minor, second.gifts_deducted_minor) == (120, 80)
    third = _return(gift_sale, {"1": 1_000}, second.so_far)
    assert third.refund_minor == 100
    cup = {("cmp_cup", "cup"): 1}
    together = engine.price_return(*gift_sale, now=_NOW, returned={"1": 6_000}, gifts=cup)
    assert (together.refund_minor, together.gifts_deducted_minor) == (600, 0)
    alone = _return(gift_sale, {"1": 6_000})
    assert (alone.refund_minor, alone.complete) == (520, True)


def test_a_gift_that_was_not_given_does_not_come_back(gift_sale):
    """Nor a second time; the refusal says how many are left."""
    cup = {("cmp_cup", "cup"): 1}
    first = engine.price_return(*gift_sale, now=_NOW, returned={"1": 1_000}, gifts=cup)
    with pytest.raises(engine.GiftUnknown) as caught:
        engine.price_return(
            *gift_sale, now=_NOW, returned={"1": 1_000}, gifts=cup, before=first.so_far
        )
    assert caught.value.remaining_units == 0
    with pytest.raises(engine.GiftUnknown):
        engine.price_return(
            *gift_sale, now=_NOW, returned={"1": 1_000}, gifts={("cmp_cup", "tea"): 1}
        )


def test_stamps_go_back_with_the_goods():
    """Earned ones by the piece, spent ones when the reward does not stand any more."""
    earn = engine.Rules(
        title=engine.Text("Stamps"),
        rewards=(engine.Reward(engine.EarnStamps("coffee", 1, engine.PointsSpread.EACH_UNIT)),),
        combination=engine.Combination(engine.Lane.EARN),
    )
    spend = engine.Rules(
        title=engine.Text("Free"),
        rewards=(engine.Reward(engine.PercentOff(10_000), pick=engine.Pick(count_max=1)),),
        combination=engine.Combination(engine.Lane.ITEM),
        condition=engine.ItemGroup(quantity_min_thousandths=2_000),
        stamp_price=engine.StampPrice("coffee", 9),
    )
    cart = engine.Cart("S1", engine.Channel.TILL, "EUR", (engine.CartLine("1", "ale", 3_000, 100),))
    member = engine.Member("mem_1", stamps={"coffee": 9})
    facts = engine.Facts(engine.Store(), {}, member=member)
    ruleset = engine.compile(
        [engine.Campaign("cmp_a", 1, spend), engine.Campaign("cmp_b", 1, earn)], version=1
    )
    decision = engine.evaluate(ruleset, cart, facts, now=_NOW)
    assert decision.stamp_moves == (
        engine.StampMove("cmp_a", "coffee", 0, 9),
        engine.StampMove("cmp_b", "coffee", 2, 0),
    )
    sale = (ruleset, cart, facts, decision)
    first = _return(sale, {"1": 1_000})
    assert first.stamp_moves == (), "both that stay are paid for, at their share of the receipt"
    second = _return(sale, {"1": 1_000}, first.so_far)
    assert second.stamp_moves == (
        engine.StampMove("cmp_a", "coffee", 0, 9),
        engine.StampMove("cmp_b", "coffee", 1, 0),
    )
