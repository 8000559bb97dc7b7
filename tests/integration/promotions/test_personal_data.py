"""Who a shopper is stays in identity: by what is kept here nobody can be called."""

import secrets

import pytest
from google.protobuf import duration_pb2
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line

Rerun = receipt_service_pb2.RerunReceiptRequest
YEAR = 1971


@pytest.fixture(scope="module", autouse=True)
async def earning(house):
    return await house.publish(promises.earn(500))


@pytest.fixture
async def shopper(house):
    """A member and a phone of theirs, in the eleven digits that people type."""
    phone = f"8916{secrets.randbelow(10**7):07}"
    answer = await house.call(
        house.members.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=secrets.token_hex(8),
            phone=phone,
            birth_date=member_pb2.BirthDate(year=YEAR, month=2, day=28),
        ),
    )
    return answer.member.member_id, phone


@pytest.fixture
def is_kept(house):
    """Return what finds the tables in which a text stands, in whatever column."""

    async def search(text):
        tables = await house.db.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace"
        )
        wanted = [f"%{text}%", f"%{text.encode().hex()}%"]  # bytes are written in hexadecimals
        return [
            name
            for (name,) in tables
            if await house.db.fetchval(
                f"SELECT EXISTS (SELECT FROM {name} AS t WHERE t::text LIKE ANY ($1))", wanted
            )
        ]

    return search


def cart_by(phone, price=10_000):
    cart = cart_of(line("1", "bread", price))
    cart.member_key.CopyFrom(member_pb2.MemberKey(phone=phone))
    return cart


def spelt(phone):
    """The same phone as somebody else writes it."""
    return f"+7 ({phone[1:4]}) {phone[4:7]}-{phone[7:9]}-{phone[9:]}"


async def test_a_purchase_by_phone_keeps_its_last_digits(house, shopper, is_kept):
    """The member is known by id; for whoever reads the receipt the phone is hidden."""
    member, phone = shopper
    cart = cart_by(phone)
    answer = await house.commit(commit_of(cart, await house.evaluate(cart)))
    assert answer.receipt.evaluation.member_id == member
    assert answer.receipt.cart.member_key.phone == "*" * 7 + phone[-4:]
    assert await is_kept(answer.receipt.receipt_key.receipt_number)
    assert not await is_kept(phone[1:])


async def test_a_repeated_call_is_known_without_the_phone(house, shopper):
    """Also when it is spelt in another way; with another phone it is another purchase."""
    _, phone = shopper
    cart = cart_by(phone)
    request = commit_of(cart, await house.evaluate(cart))
    first = await house.commit(request)
    for again in (phone, spelt(phone)):
        request.cart.member_key.phone = again
        answer = await house.commit(request)
        assert answer.replayed
        assert answer.receipt == first.receipt
    request.cart.member_key.phone = phone[:-1] + str((int(phone[-1]) + 1) % 10)
    refusal = await house.refusal(house.checkout.Commit, request)
    assert (refusal.reason, refusal.metadata["field"]) == (
        "RECEIPT_CONFLICT",
        "cart.member_key.phone",
    )


async def test_a_reservation_by_phone_is_sold_by_phone(house, shopper, is_kept):
    member, phone = shopper
    desk = reservation_service_pb2_grpc.ReservationServiceStub(house.channel)
    cart = cart_by(phone)
    request = reservation_service_pb2.ReserveRequest(
        request_id=secrets.token_hex(8), cart=cart, time_to_live=duration_pb2.Duration(seconds=60)
    )
    reserved = await house.call(desk.Reserve, request)
    again = await house.call(desk.Reserve, request)
    assert again.reservation_id == reserved.reservation_id
    assert await is_kept(request.request_id)
    assert not await is_kept(phone[1:])
    purchase = commit_of(cart, reserved.evaluation)
    purchase.reservation_id = reserved.reservation_id
    receipt = (await house.commit(purchase)).receipt
    assert receipt.evaluation.member_id == member
    assert not await is_kept(phone[1:])
    assert (await house.commit(purchase)).replayed


async def test_a_till_without_a_line_tells_the_phone_and_we_forget_it(house, shopper, is_kept):
    member, phone = shopper
    tills = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
    cart = cart_by(phone)
    request = offline_service_pb2.RecordReceiptRequest(
        purchase=commit_of(cart, await house.evaluate(cart)),
        lines=[offline_service_pb2.GivenLine(line_id="1")],
    )
    receipt = (await house.call(tills.RecordReceipt, request)).receipt
    assert receipt.evaluation.member_id == member
    assert not await is_kept(phone[1:])
    assert (await house.call(tills.RecordReceipt, request)).replayed


async def test_a_phone_waits_for_identity_and_no_longer(house, shopper, is_kept, recovery):
    """Without it the points could not come later."""
    member, phone = shopper
    await house.identity.kill()
    try:
        cart = cart_by(phone)
        request = commit_of(cart, await house.evaluate(cart))
        answer = await house.commit(request)
        assert answer.receipt.settled_later
        assert await is_kept(phone[1:])
        assert (await house.commit(request)).replayed
    finally:
        await house.bring_back(house.identity)
    await recovery.sweep()
    assert await house.points(member) == 500
    assert not await is_kept(phone[1:])
    assert (await house.commit(request)).replayed


async def test_a_receipt_by_phone_is_decided_again_by_what_is_kept(house, shopper):
    """With the cart as it is shown, as it was sent, and with the same shopper elsewhere."""
    member, phone = shopper
    receipt = await house.buy(cart_by(phone))
    desk = receipt_service_pb2_grpc.ReceiptServiceStub(house.channel)
    for cart in (None, receipt.cart, cart_by(phone)):
        request = Rerun(receipt_id=receipt.receipt_id, cart=cart)
        answer = await house.call(desk.RerunReceipt, request, client="admin")
        assert not answer.differences
        assert answer.rerun.member_id == member
    fuller = checkout_pb2.Cart()
    fuller.CopyFrom(receipt.cart)
    fuller.lines.append(line("2", "milk", 2_000))
    request = Rerun(receipt_id=receipt.receipt_id, cart=fuller)
    answer = await house.call(desk.RerunReceipt, request, client="admin")
    assert answer.rerun.points_earned == 600


async def test_nobodys_age_is_known_here(house, shopper, is_kept):
    """A birthday prices carts, the year of birth does not leave identity."""
    member, _ = shopper
    await house.buy(cart_of(line("1", "bread", 1_000), member_id=member))
    assert await is_kept('"birth":"0004-02-28"')
    assert not await is_kept(f'"birth":"{YEAR}')
