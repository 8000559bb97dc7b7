"""What a shopper is about to use is held for them, and for nobody else."""

import asyncio
import secrets

import grpc
import pytest
from google.protobuf import duration_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from services.chassis import ids, status
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line

Reserve = reservation_service_pb2.ReserveRequest
Response = reservation_service_pb2.ReserveResponse
Cancel = reservation_service_pb2.CancelReservationRequest


@pytest.fixture(scope="module", autouse=True)
async def earning(house):
    return await house.publish(promises.earn(500))


@pytest.fixture
def desk(house):
    return reservation_service_pb2_grpc.ReservationServiceStub(house.channel)


def ask(cart, seconds=60):
    return Reserve(
        request_id=secrets.token_hex(8),
        cart=cart,
        time_to_live=duration_pb2.Duration(seconds=seconds),
    )


def purchase(cart, reserved, **about):
    request = commit_of(cart, reserved.evaluation, **about)
    request.reservation_id = reserved.reservation_id
    return request


@pytest.fixture
async def rich(house):
    """A member with 500 points."""
    member = await house.register()
    await house.buy(cart_of(line("1", "bread", 10_000), member_id=member))
    return member


async def test_held_points_are_nobody_elses(house, desk, rich):
    """Another till sees what is left; the purchase takes what was held, once."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    reserved = await house.call(desk.Reserve, ask(cart))
    assert reserved.evaluation.points_spent == 400
    assert await house.points(rich) == 100
    assert (await house.evaluate(cart)).points_payment_max_minor == 100
    refusal = await house.refusal(house.checkout.Commit, commit_of(cart, reserved.evaluation))
    assert (refusal.reason, refusal.metadata["max_minor"]) == ("POINTS_PAYMENT_TOO_HIGH", "100")
    request = purchase(cart, reserved)
    answers = await asyncio.gather(*(house.commit(request) for _ in range(5)))
    assert len({answer.receipt.receipt_id for answer in answers}) == 1
    earned = reserved.evaluation.points_earned
    assert await house.points(rich) == 100 + earned
    again = purchase(cart, reserved)
    sold_with = {"receipt_id": answers[0].receipt.receipt_id}
    cancel = Cancel(reservation_id=reserved.reservation_id)
    for method, refused in ((house.checkout.Commit, again), (desk.CancelReservation, cancel)):
        refusal = await house.refusal(method, refused)
        assert (refusal.reason, refusal.metadata) == ("RESERVATION_ENDED", sold_with)
        assert "was sold" in refusal.message
    assert (await house.commit(request)).replayed
    void = checkout_service_pb2.VoidRequest(receipt_id=answers[0].receipt.receipt_id)
    await house.call(house.checkout.Void, void)
    assert await house.points(rich) == 500


async def test_reserving_is_idempotent(house, desk, rich):
    """The same request holds once; another body is another request."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=300)
    request = ask(cart)
    first, *rest = await asyncio.gather(*(house.call(desk.Reserve, request) for _ in range(5)))
    assert all(other == first for other in rest)
    assert await house.points(rich) == 200
    request.cart.points_payment_minor = 200
    refusal = await house.refusal(desk.Reserve, request)
    assert (refusal.reason, refusal.metadata["field"]) == (
        "REQUEST_CONFLICT",
        "cart.points_payment_minor",
    )


async def test_of_two_bodies_at_once_one_is_another_request(house, desk, rich):
    """Whoever comes second is not answered with what the first one holds."""
    one = ask(cart_of(line("1", "bread", 2_000), member_id=rich, points=100))
    other = ask(cart_of(line("1", "bread", 2_000), member_id=rich, points=200))
    other.request_id = one.request_id
    answers = await asyncio.gather(
        *(house.call(desk.Reserve, request) for request in (one, other)), return_exceptions=True
    )
    (refusal,) = [status.read(one) for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    (reserved,) = [one for one in answers if isinstance(one, Response)]
    assert (refusal.reason, refusal.metadata["field"]) == (
        "REQUEST_CONFLICT",
        "cart.points_payment_minor",
    )
    assert await house.points(rich) == 500 - reserved.evaluation.points_spent


async def test_a_cancelled_reservation_gives_everything_back(house, desk, rich):
    """At once and once; the purchase has to be decided again then."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    reserved = await house.call(desk.Reserve, ask(cart))
    for _ in range(2):
        await house.call(desk.CancelReservation, Cancel(reservation_id=reserved.reservation_id))
    assert await house.points(rich) == 500
    refusal = await house.refusal(house.checkout.Commit, purchase(cart, reserved))
    assert refusal.reason == "RESERVATION_ENDED"
    await house.commit(commit_of(cart, await house.evaluate(cart)))


async def is_waiting(house):
    """Tell whether a statement waits for a lock."""
    return await house.db.fetchval(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    )


async def test_a_purchase_that_broke_off_before_its_note_has_taken_nothing(house, desk, rich):
    """The reservation names its receipt first: cancelled afterwards, it really is."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    reserved = await house.call(desk.Reserve, ask(cart))
    request = purchase(cart, reserved)
    async with house.db.transaction() as tx:
        await tx.fetchrow(
            "SELECT 1 FROM reservations WHERE reservation_id = $1 FOR UPDATE",
            ids.parse("rsv", reserved.reservation_id),
        )
        broken = asyncio.create_task(house.commit(request))
        async with asyncio.timeout(10):
            while not await is_waiting(house):
                await asyncio.sleep(0.05)
        broken.cancel()
        await asyncio.gather(broken, return_exceptions=True)
    await house.call(desk.CancelReservation, Cancel(reservation_id=reserved.reservation_id))
    assert await house.points(rich) == 500
    assert (await house.refusal(house.checkout.Commit, request)).reason == "RESERVATION_ENDED"


async def test_a_purchase_that_is_half_way_has_the_reservation(house, desk, rich):
    """Whoever would cancel it takes the purchase to its end and is told which it is."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    reserved = await house.call(desk.Reserve, ask(cart))
    receipt = (await house.commit(purchase(cart, reserved))).receipt
    await house.settled(receipt.receipt_id)
    await house.db.execute(
        "UPDATE receipts SET state = 'PENDING', moved = NULL WHERE receipt_id = $1",
        ids.parse("rcp", receipt.receipt_id),
    )
    cancel = Cancel(reservation_id=reserved.reservation_id)
    refusal = await house.refusal(desk.CancelReservation, cancel)
    assert (refusal.reason, refusal.metadata) == (
        "RESERVATION_ENDED",
        {"receipt_id": receipt.receipt_id},
    )
    state = "SELECT state FROM receipts WHERE receipt_id = $1"
    assert await house.db.fetchval(state, ids.parse("rcp", receipt.receipt_id)) == "COMMITTED"
    assert await house.points(rich) == 100 + receipt.evaluation.points_earned


async def test_a_key_that_is_in_use_takes_no_reservation(house, desk, rich):
    """The purchase is refused for its key; the reservation waits for another."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    plain = cart_of(line("1", "bread", 1_000))
    used = commit_of(plain, await house.evaluate(plain))
    await house.commit(used)
    reserved = await house.call(desk.Reserve, ask(cart))
    request = purchase(cart, reserved)
    free = checkout_service_pb2.CommitRequest()
    free.CopyFrom(request)
    request.receipt_key.CopyFrom(used.receipt_key)
    assert (await house.refusal(house.checkout.Commit, request)).reason == "RECEIPT_CONFLICT"
    assert (await house.commit(free)).receipt.evaluation.points_spent == 400
    assert await house.points(rich) == 100 + reserved.evaluation.points_earned


async def test_a_coupon_and_a_last_use_are_held(house, desk):
    """A personal coupon, a limit of one: whoever reserves first has them, the other is told."""
    code = secrets.token_hex(4)
    (campaign,) = await house.publish(
        promises.coupon(code, personal=True, limits=promises.limits(uses_max=1))
    )
    first, second = await house.register(), await house.register()
    await house.grant(campaign, first, second)
    carts = [
        cart_of(line("1", "bread", 2_000), member_id=member, codes=(code,))
        for member in (first, second)
    ]
    reserved = await house.call(desk.Reserve, ask(carts[0]))
    assert reserved.evaluation.discount_minor > 0
    assert await house.available(2, first, f"coupon.{campaign}") == 0
    other = await house.evaluate(carts[1])
    reasons = {one.campaign_id: one.reason for one in other.outcomes}
    assert reasons[campaign] == checkout_pb2.OUTCOME_REASON_USAGE_LIMIT_REACHED
    receipt = (await house.commit(purchase(carts[0], reserved))).receipt
    assert receipt.evaluation.discount_minor == reserved.evaluation.discount_minor
    assert await house.uses(campaign) == 1
    await house.end(campaign)


async def test_what_was_reserved_is_sold_as_it_was_shown(house, desk, rich):
    """Another campaign meanwhile changes nothing of it."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=100)
    reserved = await house.call(desk.Reserve, ask(cart))
    later = await house.publish(promises.percent_off(5000, "bread"))
    receipt = (await house.commit(purchase(cart, reserved))).receipt
    await house.end(*later)
    assert receipt.evaluation == reserved.evaluation


async def test_refusals(house, desk, rich):
    """Another cart, nobody's reservation, more than there is, another store's till."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=100)
    reserved = await house.call(desk.Reserve, ask(cart))
    other = cart_of(line("1", "bread", 3_000), member_id=rich, points=100)
    refusal = await house.refusal(house.checkout.Commit, purchase(other, reserved))
    assert (refusal.reason, refusal.metadata["field"]) == (
        "RESERVATION_MISMATCH",
        "cart.lines[0].unit_price_minor",
    )
    ruled = purchase(cart, reserved)
    ruled.ruleset_version += 1
    refusal = await house.refusal(house.checkout.Commit, ruled)
    assert (refusal.reason, refusal.metadata["field"]) == (
        "RESERVATION_MISMATCH",
        "ruleset_version",
    )
    nobodys = purchase(cart, reserved)
    nobodys.reservation_id = "rsv_" + "0" * 32
    assert (await house.refusal(house.checkout.Commit, nobodys)).reason == "RESERVATION_NOT_FOUND"
    cancel = Cancel(reservation_id=nobodys.reservation_id)
    assert (await house.refusal(desk.CancelReservation, cancel)).reason == "RESERVATION_NOT_FOUND"
    greedy = cart_of(line("1", "bread", 20_000), member_id=rich, points=5_000)
    refusal = await house.refusal(desk.Reserve, ask(greedy))
    assert (refusal.reason, refusal.metadata["max_minor"]) == ("POINTS_PAYMENT_TOO_HIGH", "400")
    cancel = Cancel(reservation_id=reserved.reservation_id)
    refusal = await house.refusal(desk.CancelReservation, cancel, client="till-of-s2")
    assert refusal.reason == "STORE_NOT_ALLOWED"
    refusal = await house.refusal(desk.Reserve, ask(cart), client="till-of-s2")
    assert refusal.reason == "STORE_NOT_ALLOWED"


async def test_time_gives_everything_back(house, desk, rich):
    """The ledger's own clock ends a hold; nobody has to do anything."""
    cart = cart_of(line("1", "bread", 2_000), member_id=rich, points=400)
    request = ask(cart, seconds=10)
    reserved = await house.call(desk.Reserve, request)
    assert await house.points(rich) == 100
    async with asyncio.timeout(30):
        while await house.points(rich) != 500:
            await asyncio.sleep(0.2)
    refusal = await house.refusal(house.checkout.Commit, purchase(cart, reserved))
    assert refusal.reason == "RESERVATION_ENDED"
