"""Gifts, rewarded units and stamps that campaigns give, from the cart to the ledger and back."""

import secrets

import pytest
from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, line, return_of

CAMPAIGN, MEMBER = account_pb2.OWNER_TYPE_CAMPAIGN, account_pb2.OWNER_TYPE_MEMBER


@pytest.fixture
def sku():
    """An article that no other test sells."""
    return f"sku-{secrets.token_hex(4)}"


async def test_a_budget_of_units_ends_with_its_last_unit(house, sku):
    """What a receipt rewards is counted in its batch, in all and by article."""
    rules = promises.percent_off(5_000, sku, limits=pb.Limits(units_max=3, units_per_article_max=2))
    (campaign_id,) = await house.publish(rules)
    receipt = await house.buy(cart_of(line("1", sku, 1_000, 5_000)))
    assert receipt.evaluation.total_minor == 4_000
    assert await house.available(CAMPAIGN, campaign_id, "units") == 2
    second = await house.evaluate(cart_of(line("1", sku, 1_000, 5_000)))
    assert second.total_minor == 5_000
    await house.give_back(receipt, **{"1": 5_000})
    assert await house.available(CAMPAIGN, campaign_id, "units") == 0
    await house.end(campaign_id)


async def test_a_member_has_so_many_units_and_another_one_has_others(house, sku):
    """Counted over receipts; a void gives them back, and who is not known gets none."""
    rules = promises.percent_off(5_000, sku, limits=pb.Limits(units_per_member_max=3))
    (campaign_id,) = await house.publish(rules)
    member_id, other_id = await house.register(), await house.register()
    two = cart_of(line("1", sku, 1_000, 2_000), member_id=member_id)
    receipt = await house.buy(two)
    assert receipt.evaluation.total_minor == 1_000
    assert (await house.evaluate(two)).total_minor == 1_500
    of_other = cart_of(line("1", sku, 1_000, 2_000), member_id=other_id)
    assert (await house.evaluate(of_other)).total_minor == 1_000
    assert (await house.evaluate(cart_of(line("1", sku, 1_000, 2_000)))).total_minor == 2_000
    undone = checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    await house.call(house.checkout.Void, undone)
    assert (await house.evaluate(two)).total_minor == 1_000
    await house.end(campaign_id)


async def test_a_gift_is_deducted_unless_it_comes_back(house, sku):
    """The receipt keeps it, and a return finds it there."""
    item = pb.GiftItem(sku="cup", units=1, value_minor=150)
    gift = pb.GiftItems(items=[item], on_return=pb.GIFT_RETURN_DEDUCT)
    reward = pb.Reward(gift_items=gift, target=pb.ItemFilter(skus=[sku]))
    (campaign_id,) = await house.publish(promises.rules(reward, pb.LANE_RECEIPT))
    cart = cart_of(line("1", sku, 1_000))
    kept, together = await house.buy(cart), await house.buy(cart)
    assert [(one.campaign_id, one.sku) for one in kept.evaluation.gifts] == [(campaign_id, "cup")]
    returned = await house.give_back(kept, **{"1": 1_000})
    assert (returned.refund_minor, returned.gifts_deducted_minor) == (850, 150)
    request = return_of(together, {"1": 1_000})
    cup = checkout_pb2.ReturnGift(campaign_id=campaign_id, sku="cup", units=1)
    request.gifts.extend([cup, cup])
    assert (await house.refusal(house.checkout.Return, request)).reason == "GIFT_NOT_FOUND"
    del request.gifts[1:]
    answer = await house.call(house.checkout.Return, request)
    assert (answer.returned.refund_minor, answer.returned.gifts_deducted_minor) == (1_000, 0)
    await house.end(campaign_id)


async def test_what_is_cheaper_is_offered_until_it_is_bought(house, sku):
    """An offer that nobody takes is no use; who takes it pays less and gets that back."""
    other = f"{sku}-more"
    cheaper = pb.GiftItems(
        items=[pb.GiftItem(sku=other, units=1)], add_missing=True, basis_points=2_500
    )
    reward = pb.Reward(gift_items=cheaper, target=pb.ItemFilter(skus=[sku]))
    rules = promises.rules(reward, pb.LANE_ITEM, limits=pb.Limits(uses_max=1))
    (campaign_id,) = await house.publish(rules)
    alone = (await house.buy(cart_of(line("1", sku, 1_000)))).evaluation
    (offer,) = alone.gift_offers
    told = (offer.campaign_id, list(offer.skus), offer.count, offer.basis_points)
    assert told == (campaign_id, [other], 1, 2_500)
    assert (alone.total_minor, len(alone.gifts)) == (1_000, 0)
    assert await house.uses(campaign_id) == 0
    receipt = await house.buy(cart_of(line("1", sku, 1_000), line("2", other, 1_000)))
    assert (receipt.evaluation.total_minor, len(receipt.evaluation.gift_offers)) == (1_750, 0)
    assert await house.uses(campaign_id) == 1
    assert (await house.give_back(receipt, **{"2": 1_000})).refund_minor == 750
    await house.end(campaign_id)


async def test_a_reward_costs_points_and_gives_them_back(house, sku):
    """The price goes with the receipt, is not there for the next one, and comes back."""
    earn = pb.EarnPoints(points=250, spread=pb.POINTS_SPREAD_ONCE)
    reward = pb.Reward(earn_points=earn, target=pb.ItemFilter(skus=[f"{sku}-other"]))
    gives = promises.rules(reward, pb.LANE_EARN)
    costs = promises.percent_off(5_000, sku, points_price=pb.PointsPrice(points=200))
    campaigns = await house.publish(gives, costs)
    member = await house.register()
    await house.buy(cart_of(line("1", f"{sku}-other", 1_000), member_id=member))
    before = await house.available(MEMBER, member, "points")
    assert before >= 250
    cart = cart_of(line("1", sku, 1_000), member_id=member)
    receipt = await house.buy(cart)
    (price,) = receipt.evaluation.points_prices
    assert (price.campaign_id, price.points) == (campaigns[1], 200)
    assert receipt.evaluation.points_spent == 0
    assert receipt.evaluation.total_minor == 500
    spent = await house.available(MEMBER, member, "points")
    assert spent == before - 200 + receipt.evaluation.points_earned
    outcomes = (await house.evaluate(cart)).outcomes
    reasons = {one.campaign_id: one.reason for one in outcomes}
    assert reasons[campaigns[1]] == checkout_pb2.OUTCOME_REASON_POINTS_MISSING
    returned = await house.give_back(receipt, **{"1": 1_000})
    assert list(returned.points_prices) == [price]
    assert await house.available(MEMBER, member, "points") == before
    await house.end(*campaigns)


async def test_stamps_are_earned_spent_and_taken_back(house, sku):
    """Two receipts fill the card, the third one empties it, and a return gives it back."""
    card = "c" + secrets.token_hex(4)
    goods = pb.ItemFilter(skus=[sku])
    stamps = pb.EarnStamps(card_id=card, stamps=1, spread=pb.POINTS_SPREAD_EACH_UNIT)
    earn = promises.rules(pb.Reward(earn_stamps=stamps, target=goods), pb.LANE_EARN)
    free = promises.percent_off(10_000, sku, stamp_price=pb.StampPrice(card_id=card, count=2))
    campaigns = await house.publish(earn, free)
    member = await house.register()
    cart = cart_of(line("1", sku, 1_000), member_id=member)
    for count in (1, 2):
        assert (await house.buy(cart)).evaluation.total_minor == 1_000
        assert await house.available(MEMBER, member, f"stamps.{card}") == count
    receipt = await house.buy(cart)
    assert receipt.evaluation.total_minor == 0
    assert await house.available(MEMBER, member, f"stamps.{card}") == 0
    await house.give_back(receipt, **{"1": 1_000})
    assert await house.available(MEMBER, member, f"stamps.{card}") == 2
    await house.end(*campaigns)
