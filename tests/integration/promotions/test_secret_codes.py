"""Secret codes at a till: whoever shows one has the coupon, and the receipt burns it."""

import asyncio
import secrets

import grpc
import pytest
from tessera.ledger.v1 import account_pb2, coupon_service_pb2, coupon_service_pb2_grpc
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from services.chassis import ids
from services.promotions.wire import sold
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line

PUBLIC = secrets.token_hex(4).upper()
CARD = account_pb2.OWNER_TYPE_CARD


@pytest.fixture(scope="module")
async def campaign(house):
    """1.00 off for whoever has a coupon."""
    (made,) = await house.publish(promises.coupon(PUBLIC, 100, personal=True))
    return made


@pytest.fixture(scope="module")
async def printer(house):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ledger.port}") as channel:
        yield coupon_service_pb2_grpc.CouponServiceStub(channel)


async def issue(house, printer, campaign, *, count=1, uses=1):
    """Print codes; return them with their coupons."""
    series = coupon_service_pb2.CreateCouponSeriesRequest(
        series_id=ids.new("cps"),
        campaign_id=campaign,
        asset_code=f"coupon.{campaign}",
        code_count=count,
        uses=uses,
    )
    await house.call(printer.CreateCouponSeries, series)
    metadata = [("authorization", f"Bearer {await house.token('admin')}")]
    request = coupon_service_pb2.IssueCouponsRequest(series_id=series.series_id)
    async for _ in printer.IssueCoupons(request, metadata=metadata):
        pass
    listed = coupon_service_pb2.ListCouponCodesRequest(series_id=series.series_id)
    return list((await house.call(printer.ListCouponCodes, listed)).codes)


async def left(house, campaign, made):
    return await house.available(CARD, made.coupon_id, f"coupon.{campaign}")


async def test_code_of_nobody_in_particular_is_used_once_and_comes_back(house, printer, campaign):
    """Without a member, however it is typed; a void and a whole return give the use back."""
    (made,) = await issue(house, printer, campaign)
    cart = cart_of(line("1", "bread", 1_500), line("2", "milk", 500), codes=(made.code.lower(),))
    receipt = await house.buy(cart)
    assert receipt.evaluation.discount_minor == 100
    assert [one.campaign_id for one in receipt.evaluation.outcomes] == [campaign]
    assert await left(house, campaign, made) == 0
    spent = await house.evaluate(cart)
    assert (spent.discount_minor, spent.outcomes[0].reason) == (
        0,
        checkout_pb2.OUTCOME_REASON_COUPON_NOT_HELD,
    )
    part = await house.give_back(receipt, **{"2": 1_000})
    assert part.remaining.discount_minor > 0
    assert await left(house, campaign, made) == 0
    await house.give_back(receipt, **{"1": 1_000})
    assert await left(house, campaign, made) == 1
    again = await house.buy(cart)
    assert again.evaluation.discount_minor == 100
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=again.receipt_id)
    )
    assert await left(house, campaign, made) == 1


async def test_member_with_a_code_keeps_the_coupons_on_the_account(house, printer, campaign):
    """The code that was shown pays, also for a member who holds none."""
    (made,) = await issue(house, printer, campaign, uses=2)
    member = await house.register()
    cart = cart_of(line("1", "bread", 1_500), member_id=member, codes=(made.code,))
    assert (await house.buy(cart)).evaluation.discount_minor == 100
    assert await left(house, campaign, made) == 1
    plain = cart_of(line("1", "bread", 1_500), member_id=member, codes=(PUBLIC,))
    assert (await house.evaluate(plain)).discount_minor == 0


async def test_tills_that_race_for_a_code_give_it_once(house, printer, campaign):
    """Whoever comes second is told that the benefit is gone."""
    (made,) = await issue(house, printer, campaign)
    cart = cart_of(line("1", "bread", 1_500), codes=(made.code,))
    offer = await house.evaluate(cart)
    answers = await asyncio.gather(
        *(house.commit(commit_of(cart, offer)) for _ in range(4)), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in answers) == 1
    assert await left(house, campaign, made) == 0


async def test_of_two_codes_the_one_with_a_use_left_is_burnt(house, printer, campaign):
    """A used one beside it does no harm."""
    first, second = await issue(house, printer, campaign, count=2)
    used = cart_of(line("1", "bread", 1_500), codes=(first.code,))
    await house.buy(used)
    both = cart_of(line("1", "bread", 1_500), codes=(first.code, second.code))
    assert (await house.buy(both)).evaluation.discount_minor == 100
    assert [await left(house, campaign, one) for one in (first, second)] == [0, 0]


async def test_reserved_code_is_gone_for_others(house, printer, campaign):
    """Until the reservation is given back."""
    (made,) = await issue(house, printer, campaign)
    cart = cart_of(line("1", "bread", 1_500), codes=(made.code,))
    shop = reservation_service_pb2_grpc.ReservationServiceStub(house.channel)
    request = reservation_service_pb2.ReserveRequest(request_id=ids.new("req"), cart=cart)
    request.time_to_live.seconds = 300
    reservation = await house.call(shop.Reserve, request)
    assert reservation.evaluation.discount_minor == 100
    # What others are shown is what is left; a cart that takes more is refused.
    assert (await house.evaluate(cart)).discount_minor == 0
    cancel = reservation_service_pb2.CancelReservationRequest(
        reservation_id=reservation.reservation_id
    )
    await house.call(shop.CancelReservation, cancel)
    assert (await house.evaluate(cart)).discount_minor == 100


async def test_till_without_a_line_burns_the_code_that_it_took(house, printer, campaign):
    """Once; the second receipt stays sold, and its conflict says that the coupon was gone."""
    (made,) = await issue(house, printer, campaign)
    cart = cart_of(line("1", "bread", 1_500), codes=(made.code,))
    offer = await house.evaluate(cart)
    tills = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
    receipts = []
    for _ in range(2):
        request = offline_service_pb2.RecordReceiptRequest(
            purchase=commit_of(cart, offer), lines=sold.show_lines(offer)
        )
        receipts.append((await house.call(tills.RecordReceipt, request)).receipt)
    assert [one.evaluation.discount_minor for one in receipts] == [100, 100]
    assert await left(house, campaign, made) == 0
    assert not receipts[0].conflicts
    kinds = {one.kind for one in receipts[1].conflicts}
    assert checkout_pb2.CONFLICT_KIND_COUPON_GONE in kinds


async def test_guessed_codes_are_unknown_and_soon_nobody_answers_the_guesser(
    house, printer, campaign
):
    """Another till of another client is served all the while."""
    (made,) = await issue(house, printer, campaign)
    for _ in range(12):
        cart = cart_of(line("1", "bread", 1_500), codes=(secrets.token_hex(8),))
        request = checkout_service_pb2.EvaluateRequest(cart=cart)
        answer = await house.call(house.checkout.Evaluate, request, client="till-of-s1")
        reasons = {one.reason for one in answer.evaluation.outcomes}
        assert checkout_pb2.OUTCOME_REASON_UNKNOWN_CODE in reasons
    honest = cart_of(line("1", "bread", 1_500), codes=(made.code,))
    request = checkout_service_pb2.EvaluateRequest(cart=honest)
    guesser = await house.call(house.checkout.Evaluate, request, client="till-of-s1")
    assert guesser.evaluation.discount_minor == 0
    assert (await house.evaluate(honest)).discount_minor == 100


async def test_code_without_a_ledger_is_not_promised(house, printer, campaign):
    """The price is told without it, and the answer says why."""
    (made,) = await issue(house, printer, campaign)
    cart = cart_of(line("1", "bread", 1_500), codes=(made.code,))
    await house.ledger.kill()
    try:
        offer = await house.evaluate(cart)
        assert list(offer.degradations) == [checkout_pb2.DEGRADATION_LEDGER]
        assert offer.discount_minor == 0
        (told,) = [one for one in offer.outcomes if one.details.get("code") == made.code]
        assert told.reason == checkout_pb2.OUTCOME_REASON_DEPENDENCY_UNAVAILABLE
        said = [one.text.en for one in offer.messages if made.code in one.text.en]
        assert said == [f"Coupon {made.code} cannot be used: it cannot be checked now"]
    finally:
        await house.bring_back(house.ledger)
    assert (await house.buy(cart)).evaluation.discount_minor == 100


async def _read_rows(house, table):
    rows = await house.db.fetch(f"SELECT * FROM {table}")
    values = [value for row in rows for value in row.values()]
    return [
        bytes(one) if isinstance(one, bytes | memoryview) else str(one).encode() for one in values
    ]


async def test_a_code_that_was_shown_can_not_be_read_from_the_database(house, printer, campaign):
    """Neither one with a use left nor an unknown one; what was sold stays what it was."""
    (made,) = await issue(house, printer, campaign, uses=2)
    typo = "TYPO" + secrets.token_hex(4).upper()
    cart = cart_of(line("1", "bread", 1_500), codes=(made.code, typo))
    request = commit_of(cart, await house.evaluate(cart))
    receipt = (await house.commit(request)).receipt
    assert (await house.commit(request)).replayed
    other = checkout_service_pb2.CommitRequest()
    other.CopyFrom(request)
    other.cart.coupon_codes[1] += "X"
    said = await house.refusal(house.checkout.Commit, other)
    assert (said.reason, said.metadata["field"]) == ("RECEIPT_CONFLICT", "cart.coupon_codes[1]")
    await house.settled(receipt.receipt_id)
    await _reserve_and_sell(house, cart)
    kept = [
        value for table in ("receipts", "reservations") for value in await _read_rows(house, table)
    ]
    for code in (made.code, made.code.replace("-", ""), typo):
        assert not any(code.encode() in value for value in kept)
    again = receipt_service_pb2.RerunReceiptRequest(receipt_id=receipt.receipt_id)
    desk = receipt_service_pb2_grpc.ReceiptServiceStub(house.channel)
    rerun = await house.call(desk.RerunReceipt, again)
    assert not rerun.differences
    assert rerun.rerun.discount_minor == 100
    await house.give_back(receipt, **{"1": 1_000})
    assert await left(house, campaign, made) == 1
    # What stands in the database buys nothing.
    shown = tuple(receipt.cart.coupon_codes)
    stolen = cart_of(line("1", "bread", 1_500), codes=shown)
    assert (await house.evaluate(stolen)).discount_minor == 0


async def _reserve_and_sell(house, cart):
    """Reserve a cart twice and sell it twice, which is once each."""
    shop = reservation_service_pb2_grpc.ReservationServiceStub(house.channel)
    request = reservation_service_pb2.ReserveRequest(request_id=ids.new("req"), cart=cart)
    request.time_to_live.seconds = 300
    held = await house.call(shop.Reserve, request)
    assert held.evaluation.discount_minor == 100
    assert (await house.call(shop.Reserve, request)).reservation_id == held.reservation_id
    sale = commit_of(cart, held.evaluation)
    sale.reservation_id = held.reservation_id
    assert (await house.commit(sale)).receipt.evaluation.discount_minor == 100
    assert (await house.commit(sale)).replayed
