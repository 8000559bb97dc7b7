"""Many tills at once: limits hold exactly, and a receipt is one receipt."""

import asyncio
import secrets

import grpc
import pytest
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import status
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line, return_of

pytestmark = pytest.mark.usefixtures("earning")


async def outcome(house, request):
    """Commit; return the receipt or what was refused."""
    try:
        return (await house.commit(request)).receipt
    except grpc.aio.AioRpcError as error:
        return status.read(error)


def receipts_in(outcomes):
    return [one for one in outcomes if isinstance(one, checkout_pb2.Receipt)]


@pytest.fixture(scope="module")
async def earning(house):
    (campaign_id,) = await house.publish(promises.earn(500))
    return campaign_id


async def test_one_use_goes_to_one_of_fifty(house):
    """Fifty tills were shown the same coupon with one use: one gets it, the others hear why not."""
    (campaign_id,) = await house.publish(
        promises.coupon("RACE", 100, limits=promises.limits(uses_max=1))
    )
    cart = cart_of(line("1", "milk", 1_000), codes=("RACE",))
    offer = await house.evaluate(cart)
    assert offer.total_minor == 900
    outcomes = await asyncio.gather(*(outcome(house, commit_of(cart, offer)) for _ in range(50)))
    assert len(receipts_in(outcomes)) == 1
    assert await house.uses(campaign_id) == 1
    refused = [one for one in outcomes if isinstance(one, status.Answer)]
    assert {one.reason for one in refused} <= {"BENEFIT_GONE", "TOTAL_CHANGED"}
    gone = [one for one in refused if one.reason == "BENEFIT_GONE"]
    assert gone
    assert {one.metadata["campaign_id"] for one in gone} == {campaign_id}
    assert {one.metadata["cause"] for one in gone} == {"USAGE_LIMIT_REACHED"}
    await house.end(campaign_id)


async def test_a_personal_coupon_is_burnt_once_by_its_only_holder(house):
    """The same shopper at ten tills at once has still one coupon."""
    (campaign_id,) = await house.publish(promises.coupon("MINE", 100, personal=True))
    member = await house.register()
    await house.grant(campaign_id, member)
    cart = cart_of(line("1", "milk", 1_000), member_id=member, codes=("MINE",))
    offer = await house.evaluate(cart)
    outcomes = await asyncio.gather(*(outcome(house, commit_of(cart, offer)) for _ in range(10)))
    assert len(receipts_in(outcomes)) == 1
    causes = {one.metadata.get("cause") for one in outcomes if isinstance(one, status.Answer)}
    assert causes <= {"COUPON_NOT_HELD", None}
    assert await house.available(2, member, f"coupon.{campaign_id}") == 0
    await house.end(campaign_id)


async def test_a_budget_is_never_overspent(house):
    """Forty receipts draw on a budget for seven and a half: the sum drawn is the budget at most."""
    (campaign_id,) = await house.publish(
        promises.amount_off(100, limits=promises.limits(budget_minor=750))
    )
    cart = cart_of(line("1", "milk", 1_000))

    async def insist():
        """Evaluate again as long as the benefit was gone, as a till does."""
        while True:
            done = await outcome(house, commit_of(cart, await house.evaluate(cart)))
            if isinstance(done, checkout_pb2.Receipt):
                return done
            assert done.reason in {"BENEFIT_GONE", "TOTAL_CHANGED"}, done

    receipts = await asyncio.gather(*(insist() for _ in range(40)))
    assert sum(receipt.evaluation.discount_minor for receipt in receipts) == 750
    assert await house.budget(campaign_id) == 0
    exhausted = await house.evaluate(cart)
    assert checkout_pb2.OUTCOME_REASON_BUDGET_EXHAUSTED in {
        one.reason for one in exhausted.outcomes
    }
    await house.end(campaign_id)


async def test_a_member_limit_holds_at_many_tills(house):
    """Two per member are two, however many tills are quick."""
    (campaign_id,) = await house.publish(
        promises.amount_off(100, limits=promises.limits(uses_per_member_max=2))
    )
    member = await house.register()
    cart = cart_of(line("1", "milk", 1_000), member_id=member)
    offer = await house.evaluate(cart)
    outcomes = await asyncio.gather(*(outcome(house, commit_of(cart, offer)) for _ in range(10)))
    assert len(receipts_in(outcomes)) == 2
    gone = {
        one.metadata["cause"] for one in outcomes if getattr(one, "reason", "") == "BENEFIT_GONE"
    }
    assert gone <= {"MEMBER_LIMIT_REACHED"}
    await house.end(campaign_id)


async def test_points_are_spent_once(house):
    """Ten tills try to pay with the same points: one does."""
    member = await house.register()
    await house.buy(cart_of(line("1", "milk", 20_000), member_id=member))
    cart = cart_of(line("1", "milk", 2_000), member_id=member, points=1_000)
    offer = await house.evaluate(cart)
    assert offer.points_spent == 1_000
    outcomes = await asyncio.gather(*(outcome(house, commit_of(cart, offer)) for _ in range(10)))
    assert len(receipts_in(outcomes)) == 1
    reasons = {one.reason for one in outcomes if isinstance(one, status.Answer)}
    assert reasons == {"POINTS_PAYMENT_TOO_HIGH"}
    assert await house.points(member) == 50


async def test_one_receipt_sent_twenty_times_at_once_is_one_receipt(house):
    """Every call gets the same answer, and the points come once."""
    member = await house.register()
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    request = commit_of(cart, await house.evaluate(cart))
    answers = await asyncio.gather(*(house.commit(request) for _ in range(20)))
    assert len({answer.receipt.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await house.points(member) == 500

    def is_of_it(event):
        return event.receipt_committed.receipt_id == answers[0].receipt.receipt_id

    await house.event(is_of_it)
    assert sum(map(is_of_it, await house.events())) == 1


async def test_two_bodies_under_one_key_leave_one_receipt(house):
    """One wins, all others with another body hear of the conflict."""
    member = await house.register()
    number = secrets.token_hex(8)
    carts = [cart_of(line("1", "milk", 1_000 * n), member_id=member) for n in range(1, 6)]
    offers = [await house.evaluate(cart) for cart in carts]
    outcomes = await asyncio.gather(
        *(
            outcome(house, commit_of(cart, offer, number=number))
            for cart, offer in zip(carts, offers, strict=True)
        )
    )
    (winner,) = receipts_in(outcomes)
    assert await house.points(member) == winner.evaluation.points_earned
    reasons = {one.reason for one in outcomes if isinstance(one, status.Answer)}
    assert reasons == {"RECEIPT_CONFLICT"}


async def test_a_refused_purchase_leaves_its_key_free(house):
    """After BENEFIT_GONE the till evaluates again and records the same receipt number."""
    (campaign_id,) = await house.publish(
        promises.coupon("KEYFREE", 100, limits=promises.limits(uses_max=1))
    )
    cart = cart_of(line("1", "milk", 1_000), codes=("KEYFREE",))
    offer = await house.evaluate(cart)
    numbers = [secrets.token_hex(8) for _ in range(12)]
    outcomes = await asyncio.gather(
        *(outcome(house, commit_of(cart, offer, number=number)) for number in numbers)
    )
    plain = await house.evaluate(cart)
    assert plain.total_minor == 1_000
    for number, first in zip(numbers, outcomes, strict=True):
        if isinstance(first, status.Answer):
            request = commit_of(cart, plain, number=number)
            assert (await house.commit(request)).receipt.evaluation.total_minor == 1_000
    await house.end(campaign_id)


async def test_parallel_returns_never_give_back_more_than_was_bought(house):
    """Ten returns of one unit from a receipt of four: four pass, with the money of four."""
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 4_000), member_id=member))

    async def give_back():
        try:
            return await house.give_back(receipt, **{"1": 1_000})
        except grpc.aio.AioRpcError as error:
            return status.read(error)

    outcomes = await asyncio.gather(*(give_back() for _ in range(10)))
    done = [one for one in outcomes if isinstance(one, checkout_pb2.Return)]
    assert len(done) == 4
    assert sum(one.refund_minor for one in done) == 4_000
    assert sum(one.points_clawed_back for one in done) == 200
    assert await house.points(member) == 0
    reasons = {one.reason for one in outcomes if isinstance(one, status.Answer)}
    assert reasons <= {"RETURN_EXCEEDS_BOUGHT", "RECEIPT_STATE"}


@pytest.mark.parametrize("quantity", [1_000, 3_000, 4_000])
async def test_one_return_sent_many_times_at_once_is_one_return(house, quantity):
    """Equal answers, and the money once, also when it leaves too little for another one."""
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 4_000), member_id=member))
    request = return_of(receipt, {"1": quantity})
    answers = await asyncio.gather(*(house.call(house.checkout.Return, request) for _ in range(10)))
    assert len({one.returned.SerializeToString(deterministic=True) for one in answers}) == 1
    assert sum(not one.replayed for one in answers) == 1
    assert await house.points(member) == 200 - quantity // 20


async def test_void_and_return_at_once_leave_one_of_them(house):
    """Either the receipt is voided or goods came back, never both."""
    for _ in range(5):
        member = await house.register()
        receipt = await house.buy(cart_of(line("1", "milk", 1_000, 2_000), member_id=member))
        outcomes = await asyncio.gather(
            house.call(
                house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
            ),
            house.give_back(receipt, **{"1": 1_000}),
            return_exceptions=True,
        )
        failed = [one for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
        assert len(failed) == 1
        assert status.read(failed[0]).reason == "RECEIPT_STATE"
        assert await house.points(member) == (0 if failed[0] is outcomes[1] else 50)
