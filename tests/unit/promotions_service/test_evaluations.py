"""Decisions survive the way to the receipt and back."""

import dataclasses
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tessera.promotions.v1 import campaign_pb2, checkout_pb2, checkout_service_pb2

from services.promotions import engine, errors
from services.promotions.checkout import facts
from services.promotions.wire import carts, evaluations

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def cart(*lines, **fields):
    return checkout_pb2.Cart(
        store_id="s",
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code="EUR",
        lines=[
            checkout_pb2.CartLine(
                line_id=line_id, sku=sku, quantity_thousandths=quantity, unit_price_minor=price
            )
            for line_id, sku, quantity, price in lines
        ],
        **fields,
    )


def decide():
    """Decide about a cart with a discount, points, and a campaign that was missed."""
    milk = engine.ItemFilter(skus=frozenset({"milk"}))
    off = engine.Rules(
        title=engine.Text("Milk", "Молоко"),
        rewards=(engine.Reward(engine.PercentOff(1000), milk),),
        combination=engine.Combination(engine.Lane.ITEM),
    )
    earn = engine.Rules(
        title=engine.Text("Points"),
        rewards=(engine.Reward(engine.EarnPercent(500)),),
        combination=engine.Combination(engine.Lane.EARN),
        audience=engine.Audience(membership=engine.Membership.MEMBERS),
    )
    missed = engine.Rules(
        title=engine.Text("Much"),
        rewards=(engine.Reward(engine.PercentOff(1000)),),
        combination=engine.Combination(engine.Lane.RECEIPT),
        condition=engine.BasketTotal(2500),
    )
    ruleset = engine.compile(
        [engine.Campaign(f"cmp_{n}", 1, rules) for n, rules in enumerate((off, earn, missed))],
        version=7,
    )
    known = engine.Facts(
        store=engine.Store("north", "hyper"),
        articles={"milk": engine.Article(category_ids=frozenset({"dairy"}))},
        member=engine.Member("mem_1", frozenset({"gold"}), 3, 100),
    )
    sent = cart(("a", "milk", 2000, 1000), ("b", "bread", 1000, 500))
    return engine.evaluate(ruleset, carts.parse_cart(sent), known, now=NOW), known


def test_an_evaluation_shows_the_decision():
    """Amounts, parts, points, outcomes with their near miss, and words."""
    decision, _ = decide()
    shown = evaluations.show_decision(
        decision, member_id="mem_1", degradations=[checkout_pb2.DEGRADATION_LEDGER]
    )
    assert (shown.subtotal_minor, shown.discount_minor, shown.total_minor) == (2500, 200, 2300)
    assert shown.points_earned == sum(line.points_earned for line in shown.lines) == 115
    assert [part.discount_minor for part in shown.lines[0].parts if part.discount_minor] == [200]
    assert list(shown.degradations) == [checkout_pb2.DEGRADATION_LEDGER]
    outcomes = {outcome.campaign_id: outcome for outcome in shown.outcomes}
    assert outcomes["cmp_0"].title.ru == "Молоко"
    assert outcomes["cmp_2"].reason == checkout_pb2.OUTCOME_REASON_CONDITION_NOT_MET
    assert outcomes["cmp_2"].near_miss.amount_minor == 200
    assert evaluations.applied_campaigns(shown) == [("cmp_0", 1), ("cmp_1", 1)]
    assert evaluations.points_by_campaign(shown.lines)["cmp_1"] == 115


def test_a_stored_evaluation_prices_returns_like_the_decision():
    """What is read back holds everything that a return looks at."""
    decision, _ = decide()
    stored = evaluations.show_decision(decision).SerializeToString()
    read = evaluations.parse_evaluation(checkout_pb2.Evaluation.FromString(stored))
    assert read.lines == decision.lines
    assert [(one.campaign_id, one.reason) for one in read.outcomes] == [
        (one.campaign_id, one.reason) for one in decision.outcomes
    ]
    for name in ("total_minor", "points_spent", "points_earned", "points_payment_minor"):
        assert getattr(read, name) == getattr(decision, name)


def test_facts_are_kept_with_their_zone():
    """A return a year later counts hours and days as the till's wall clock did."""
    _, known = decide()
    local = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    kept = facts.Gathered(facts=known, now=local).dump()
    read = facts.load(kept, occurred_time=NOW)
    assert read.facts == known
    assert (read.now, read.now.hour, read.member_id) == (local, 21, "mem_1")


def test_bad_carts_are_refused_with_the_line():
    """Twice the same id, or an amount that is none."""
    with pytest.raises(errors.LineDuplicate) as twice:
        carts.parse_cart(cart(("a", "x", 1000, 1), ("b", "x", 1000, 1), ("a", "y", 1000, 1)))
    assert twice.value.fields["line_id"] == "a"
    assert twice.value.metadata["field"] == "lines[2].line_id"
    with pytest.raises(errors.AmountOutOfRange) as nothing:
        carts.parse_cart(cart(("a", "x", 1, 1)))
    assert nothing.value.fields["line_id"] == "a"
    request = checkout_service_pb2.ReturnRequest(
        lines=[checkout_pb2.ReturnLine(line_id="a", quantity_thousandths=1)] * 2
    )
    with pytest.raises(errors.LineDuplicate):
        carts.parse_returned(request)


def test_gifts_coupons_and_stamps_survive():
    """What is no money on a line is shown, and read back as far as returns look at it."""
    decision, _ = decide()
    given = dataclasses.replace(
        decision,
        gifts=(engine.Gift("cmp_0", "cup", 2, 150),),
        gift_offers=(engine.GiftOffer("cmp_0", ("cup", "plate"), 1, 2_500),),
        coupon_grants=(engine.CouponGrant("cmp_0", "cmp_9", 2, 14, bearer=True),),
        stamp_moves=(
            engine.StampMove("cmp_0", "coffee", 2, 9),
            engine.StampMove("cmp_1", engine.POINTS_CARD, 0, 3_000_000_000),
        ),
    )
    shown = evaluations.show_decision(given)
    gift, offer, grant = shown.gifts[0], shown.gift_offers[0], shown.coupon_grants[0]
    assert (gift.sku, gift.units, gift.value_minor) == ("cup", 2, 150)
    assert (list(offer.skus), offer.count, offer.basis_points) == (["cup", "plate"], 1, 2_500)
    told = (grant.coupon_campaign_id, grant.uses, grant.expire_days, grant.bearer)
    assert told == ("cmp_9", 2, 14, True)
    assert [one.card_id for one in shown.stamp_moves] == ["coffee"]
    assert [(one.campaign_id, one.points) for one in shown.points_prices] == [
        ("cmp_1", 3_000_000_000)
    ]
    read = evaluations.parse_evaluation(shown)
    assert (read.gifts, read.stamp_moves) == (given.gifts, given.stamp_moves)


def test_a_cart_says_how_the_shopper_pays_and_chooses():
    """Attributes, planned payments, gifts, kinds of lines and regular prices arrive."""
    sent = cart(("a", "milk", 1000, 100), codes_all_or_none=True)
    sent.attributes.add(name="bag", value="own")
    sent.planned_payments.add(type=campaign_pb2.PAYMENT_TYPE_CARD, card_prefix="220012")
    sent.gift_choices.add(campaign_id="cmp_1", skus=["cup"])
    sent.lines[0].kind = campaign_pb2.LINE_KIND_FEE
    sent.lines[0].regular_unit_price_minor = 150
    parsed = carts.parse_cart(sent)
    assert parsed.attributes == {"bag": "own"}
    assert parsed.planned_payments == (engine.PlannedPayment(engine.PaymentType.CARD, "220012"),)
    assert (parsed.gift_choices, parsed.codes_all_or_none) == ({"cmp_1": ("cup",)}, True)
    line = parsed.lines[0]
    assert (line.kind, line.regular_unit_price_minor) == (engine.LineKind.FEE, 150)
    request = checkout_service_pb2.ReturnRequest()
    request.gifts.add(campaign_id="cmp_1", sku="cup", units=1)
    request.gifts.add(campaign_id="cmp_1", sku="cup", units=2)
    assert carts.parse_returned_gifts(request) == {("cmp_1", "cup"): 3}
