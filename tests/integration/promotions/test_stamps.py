"""Cards of stamps: exchanged in the batch of the receipt, or not at all."""

import asyncio
import secrets

import grpc
import pytest
from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import campaign_pb2, checkout_pb2, checkout_service_pb2

from services.chassis import status
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line

MEMBER = account_pb2.OWNER_TYPE_MEMBER


@pytest.fixture
async def card(house):
    """A card of its own for each test: ten stamps are five off, by the code CUP and its name."""
    name = "c" + secrets.token_hex(4)
    trigger = campaign_pb2.Trigger(
        coupon=campaign_pb2.CouponTrigger(
            codes=[name], stamps=campaign_pb2.StampPrice(card_id=name, count=10)
        )
    )
    rules = promises.amount_off(500, lane=campaign_pb2.LANE_COUPON, trigger=trigger)
    (campaign_id,) = await house.publish(rules)
    yield name
    await house.end(campaign_id)


async def held(house, member, card):
    return await house.available(MEMBER, member, f"stamps.{card}")


async def test_a_full_card_is_exchanged_with_the_receipt(house, card):
    """And the next receipt lacks what this one took."""
    member = await house.register()
    await house.give_stamps(member, card, 12)
    cart = cart_of(line("1", "bread", 2_000), member_id=member, codes=(card,))
    receipt = await house.buy(cart)
    assert receipt.evaluation.total_minor == 1_500
    assert await held(house, member, card) == 2
    second = await house.evaluate(cart)
    (outcome,) = [one for one in second.outcomes if one.details.get("code") == card]
    assert outcome.reason == checkout_pb2.OUTCOME_REASON_STAMPS_MISSING
    assert (outcome.details["available"], outcome.details["required"]) == ("2", "10")


async def test_stamps_are_earned_by_goods_and_exchanged_when_the_card_is_full(house, card):
    """Twelve cups bring twelve stamps; ten of them pay, and a return takes back what it brought."""
    reward = campaign_pb2.Reward(
        earn_stamps=campaign_pb2.EarnStamps(
            card_id=card, stamps=1, spread=campaign_pb2.POINTS_SPREAD_EACH_UNIT
        ),
        target=campaign_pb2.ItemFilter(skus=["milk"]),
    )
    (earning,) = await house.publish(promises.rules(reward, campaign_pb2.LANE_EARN))
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 100, 12_000), member_id=member))
    assert await held(house, member, card) == 12
    cart = cart_of(line("1", "bread", 2_000), member_id=member, codes=(card,))
    assert (await house.buy(cart)).evaluation.total_minor == 1_500
    assert await held(house, member, card) == 2
    await house.give_back(receipt, **{"1": 1_000})
    assert await held(house, member, card) == 1
    await house.end(earning)


async def test_stamps_come_back_with_all_of_the_goods(house, card):
    """Not with a part of them, and with a void at once."""
    member = await house.register()
    await house.give_stamps(member, card, 20)
    cart = cart_of(line("1", "bread", 1_000, 2_000), member_id=member, codes=(card,))
    receipt = await house.buy(cart)
    await house.give_back(receipt, **{"1": 1_000})
    assert await held(house, member, card) == 10
    await house.give_back(receipt, **{"1": 1_000})
    assert await held(house, member, card) == 20
    undone = await house.buy(cart)
    assert await held(house, member, card) == 10
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=undone.receipt_id)
    )
    assert await held(house, member, card) == 20


async def test_one_card_is_exchanged_once_however_many_tills_try(house, card):
    """The others are told to evaluate again, and nothing of theirs happened."""
    member = await house.register()
    await house.give_stamps(member, card, 10)
    cart = cart_of(line("1", "bread", 2_000), member_id=member, codes=(card,))
    offer = await house.evaluate(cart)

    async def race():
        try:
            await house.commit(commit_of(cart, offer))
        except grpc.aio.AioRpcError as error:
            return status.read(error).reason
        return "done"

    outcomes = await asyncio.gather(*(race() for _ in range(8)))
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "BENEFIT_GONE", "TOTAL_CHANGED"}
    assert await held(house, member, card) == 0
