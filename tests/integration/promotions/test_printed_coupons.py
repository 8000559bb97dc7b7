"""Coupons for whoever bears them: a code on the receipt, good once, gone with the receipt."""

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import duration_pb2
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from services.chassis import ids
from services.promotions.wire import sold
from tests.integration.promotions import promises
from tests.integration.promotions.houses import OTHER_STORE, cart_of, commit_of, line

PUBLIC = secrets.token_hex(4).upper()
pytestmark = pytest.mark.usefixtures("campaigns")
Void = checkout_service_pb2.VoidRequest


@pytest.fixture(scope="module")
async def campaigns(house):
    """1.00 off for a coupon, and a campaign that prints one with every purchase of milk."""
    (coupon,) = await house.publish(promises.coupon(PUBLIC, 100, personal=True))
    giving = promises.earn(100)
    giving.rewards[0].CopyFrom(
        pb.Reward(
            issue_coupon=pb.IssueCoupon(campaign_id=coupon, expire_days=7, bearer=True),
            target=pb.ItemFilter(skus=["milk"]),
        )
    )
    (source,) = await house.publish(giving)
    return source, coupon


async def sell(house, **fields):
    """Sell milk; return the request and the answer."""
    cart = cart_of(line("1", "milk", 1_000, 2_000), **fields)
    request = commit_of(cart, await house.evaluate(cart))
    return request, await house.commit(request)


def using(printed, *, store="s1"):
    return cart_of(line("1", "bread", 1_000), codes=(printed.code,), store=store)


async def is_good(house, printed):
    return (await house.evaluate(using(printed))).discount_minor == 100


async def test_a_code_is_printed_and_used_once_by_whoever_bears_it(house, campaigns):
    """In another store, by nobody in particular; the answer to Commit alone has the code."""
    source, coupon = campaigns
    _, answer = await sell(house)
    (printed,) = answer.printed_coupons
    assert (printed.campaign_id, printed.coupon_campaign_id) == (source, coupon)
    assert printed.uses == 1
    assert re.fullmatch("(-?[2-9A-Z]{4}){3}", printed.code)
    left = printed.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=7) <= left <= timedelta(days=8)
    assert printed.code in printed.text.en
    assert printed.code in printed.text.ru
    used = await house.buy(using(printed, store=OTHER_STORE))
    assert used.evaluation.discount_minor == 100
    assert not await is_good(house, printed)
    await house.give_back(used, **{"1": 1_000})
    assert await is_good(house, printed)


async def test_a_repeated_commit_has_the_same_code(house):
    """Also many at once; another receipt has another code."""
    request, answer = await sell(house)
    again = await asyncio.gather(*(house.commit(request) for _ in range(4)))
    assert all(one.replayed for one in again)
    assert {one.printed_coupons[0].code for one in again} == {answer.printed_coupons[0].code}
    _, other = await sell(house)
    assert other.printed_coupons[0].code != answer.printed_coupons[0].code


async def test_the_code_is_kept_nowhere(house):
    """Neither in the tables of promotions, nor on its stream, nor in the ledger's log."""
    _, answer = await sell(house)
    code = answer.printed_coupons[0].code
    await house.settled(answer.receipt.receipt_id)
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=answer.receipt.receipt_id)
    receipt = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert [one.bearer for one in receipt.evaluation.coupon_grants] == [True]
    row = await house.db.fetchrow(
        "SELECT * FROM receipts WHERE receipt_id = $1",
        ids.parse("rcp", answer.receipt.receipt_id),
    )
    events = [one.SerializeToString() for one in await house.events()]
    kept = [bytes(one) for one in row.values() if isinstance(one, bytes | memoryview)]
    for spelling in (code, code.replace("-", "")):
        assert not any(spelling.encode() in one for one in [*kept, *events])
        assert spelling not in house.ledger.log()


async def test_a_void_and_a_whole_return_make_it_void(house, campaigns):
    """A part that comes back leaves it; a repeated Commit prints nothing any more."""
    _, coupon = campaigns
    request, answer = await sell(house)
    part = await house.give_back(answer.receipt, **{"1": 1_000})
    assert not part.coupons_withdrawn
    assert await is_good(house, answer.printed_coupons[0])
    rest = await house.give_back(answer.receipt, **{"1": 1_000})
    assert [one.coupon_campaign_id for one in rest.coupons_withdrawn] == [coupon]
    assert not await is_good(house, answer.printed_coupons[0])
    assert not (await house.commit(request)).printed_coupons
    request, answer = await sell(house)
    await house.call(house.checkout.Void, Void(receipt_id=answer.receipt.receipt_id))
    assert not await is_good(house, answer.printed_coupons[0])
    assert not (await house.commit(request)).printed_coupons


async def test_a_used_code_stays_used_when_its_goods_come_back(house):
    """What the bearer has bought with it is the bearer's, and the return is not refused."""
    _, answer = await sell(house)
    assert (await house.buy(using(answer.printed_coupons[0]))).evaluation.discount_minor == 100
    back = await house.give_back(answer.receipt, **{"1": 2_000})
    assert (back.refund_minor, back.points_not_recovered) == (2_000, 0)


async def test_members_get_printed_ones_too(house, campaigns):
    """The account holds nothing: who has the paper has the coupon."""
    _, coupon = campaigns
    member = await house.register()
    _, answer = await sell(house, member_id=member)
    assert answer.printed_coupons[0].code
    assert await house.available(2, member, f"coupon.{coupon}") == 0


async def test_a_reserved_cart_prints_when_it_is_sold(house):
    """What is held holds no code."""
    reservations = reservation_service_pb2_grpc.ReservationServiceStub(house.channel)
    cart = cart_of(line("1", "milk", 1_000))
    request = reservation_service_pb2.ReserveRequest(
        request_id=secrets.token_hex(8),
        cart=cart,
        time_to_live=duration_pb2.Duration(seconds=60),
    )
    held = await house.call(reservations.Reserve, request)
    commit = commit_of(cart, held.evaluation)
    commit.reservation_id = held.reservation_id
    answer = await house.commit(commit)
    assert await is_good(house, answer.printed_coupons[0])


async def test_a_receipt_without_a_line_prints_nothing(house):
    """The shopper has left."""
    cart = cart_of(line("1", "milk", 1_000))
    offer = await house.evaluate(cart)
    offline = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
    request = offline_service_pb2.RecordReceiptRequest(
        purchase=commit_of(cart, offer), lines=sold.show_lines(offer)
    )
    receipt = (await house.call(offline.RecordReceipt, request)).receipt
    assert not receipt.evaluation.coupon_grants
    assert not (await house.commit(request.purchase)).printed_coupons


@pytest.fixture
async def without_ledger(house):
    """The ledger ends after a purchase that printed a code."""
    sale = await sell(house)
    await house.ledger.kill()
    yield sale
    await house.bring_back(house.ledger)


async def test_without_the_ledger_a_purchase_prints_nothing(house, without_ledger):
    """It is recorded, and its trace says why; a code of before is told again when it can be."""
    request, before = without_ledger
    cart = cart_of(line("1", "milk", 1_000))
    answer = await house.commit(commit_of(cart, await house.evaluate(cart)))
    assert not answer.printed_coupons
    assert [one.reason for one in answer.receipt.evaluation.outcomes] == [
        checkout_pb2.OUTCOME_REASON_DEPENDENCY_UNAVAILABLE
    ]
    (mute,) = (await house.commit(request)).printed_coupons
    assert (mute.code, mute.HasField("text"), mute.uses) == ("", False, 1)
    await house.bring_back(house.ledger)
    assert (await house.commit(request)).printed_coupons == before.printed_coupons


async def test_a_coupon_whose_campaign_has_ended_is_not_printed(house):
    """Nobody could use it."""
    (coupon,) = await house.publish(promises.coupon(secrets.token_hex(4), personal=True))
    giving = promises.earn(100)
    reward = pb.Reward(issue_coupon=pb.IssueCoupon(campaign_id=coupon, bearer=True))
    giving.rewards[0].CopyFrom(reward)
    source = await house.publish(giving)
    cart = cart_of(line("1", "bread", 1_000))
    request = commit_of(cart, await house.evaluate(cart))
    (printed,) = (await house.commit(request)).printed_coupons
    assert printed.code
    assert not printed.HasField("expire_time")
    await house.end(coupon)
    request = commit_of(cart, await house.evaluate(cart))
    assert not (await house.commit(request)).printed_coupons
    await house.end(*source)
