"""Coupons behind codes: issued by the thousand, claimed, burnt in a receipt's batch, revoked."""

import asyncio
import base64
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    coupon_service_pb2,
    coupon_service_pb2_grpc,
)

from services.chassis import ids, status, timestamps
from services.ledger.codes import Codes, Kind
from tests.integration.ledger.conftest import account, move, running, world

pb = coupon_service_pb2
ASSET = "coupon.summer"
KEY = bytes(range(32))
CARD = account_pb2.OWNER_TYPE_CARD


@pytest.fixture(scope="module")
async def ledger(ledger_database, valkey, tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "codes"
    path.write_text(base64.b64encode(KEY).decode())
    fields = {"code_key_file": path, "code_failures_burst": 3, "code_failure_interval_s": 60}
    async with running(ledger_database, valkey.url, **fields) as started:
        await started.asset(ASSET)
        await started.asset("coupon.small", ceiling=2)
        yield started


@pytest.fixture(scope="module")
async def coupons(ledger):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield coupon_service_pb2_grpc.CouponServiceStub(channel)


async def begin(coupons, **fields):
    request = {
        "series_id": ids.new("cps"),
        "campaign_id": "cmp_1",
        "asset_code": ASSET,
        "code_count": 1,
        "uses": 1,
        **fields,
    }
    return (await coupons.CreateCouponSeries(pb.CreateCouponSeriesRequest(**request))).series


async def issue(coupons, series):
    request = pb.IssueCouponsRequest(series_id=series.series_id)
    return [answer.series async for answer in coupons.IssueCoupons(request)]


async def codes(coupons, series, page_size=0):
    found, token = [], ""
    while True:
        request = pb.ListCouponCodesRequest(
            series_id=series.series_id, page_size=page_size, page_token=token
        )
        page = await coupons.ListCouponCodes(request)
        found += page.codes
        token = page.next_page_token
        if not token:
            return found


async def issued(coupons, **fields):
    series = await begin(coupons, **fields)
    await issue(coupons, series)
    return series, await codes(coupons, series)


def resolve(coupons, code, presenter="till"):
    return coupons.ResolveCoupon(pb.ResolveCouponRequest(code=code, presenter_id=presenter))


def claim(coupons, ledger, code, member, **fields):
    request = {
        "request_id": ids.new("req"),
        "occurred_time": timestamps.show(ledger.now()),
        "code": code,
        "member_id": member.owner.owner_id,
        **fields,
    }
    return coupons.ClaimCoupon(pb.ClaimCouponRequest(**request))


async def revoke_series(coupons, series):
    request = pb.RevokeCouponSeriesRequest(series_id=series.series_id)
    return [answer.series async for answer in coupons.RevokeCouponSeries(request)]


async def refused(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return status.read(caught.value)


async def test_codes_by_the_thousand_are_issued_with_progress_and_exported_in_pages(
    coupons, ledger
):
    """Every code is another one and has its uses."""
    series = await begin(coupons, code_count=2500, uses=3)
    progress = await issue(coupons, series)
    assert [one.issued_count for one in progress] == [1000, 2000, 2500, 2500]
    found = await codes(coupons, series, page_size=700)
    assert len({one.code for one in found}) == 2500
    coupon = (await resolve(coupons, found[1234].code.lower())).coupon
    assert (coupon.coupon_id, coupon.campaign_id, coupon.available) == (
        found[1234].coupon_id,
        "cmp_1",
        3,
    )
    assert await ledger.truth(account(found[2499].coupon_id, ASSET, CARD)) == 3


async def test_issuing_that_was_cut_goes_on_and_fills_no_code_twice(coupons, ledger):
    """Two at the same time, one of them cut: in the end each code has its uses once."""
    series = await begin(coupons, code_count=2000, uses=2)
    request = pb.IssueCouponsRequest(series_id=series.series_id)
    cut = coupons.IssueCoupons(request)
    await cut.read()
    cut.cancel()
    await asyncio.gather(*(issue(coupons, series) for _ in range(3)))
    assert (await issue(coupons, series))[-1].issued_count == 2000
    found = await codes(coupons, series)
    assert len(found) == 2000
    for one in (found[0], found[999], found[1000], found[1999]):
        assert await ledger.truth(account(one.coupon_id, ASSET, CARD)) == 2


async def test_code_that_another_series_has_is_skipped(coupons, ledger):
    """The count is kept, and so is the other's code."""
    other = await begin(coupons, code_count=1)
    series = await begin(coupons, code_count=3)
    made = Codes(KEY)
    code = made.draw(Kind.COUPON, ids.parse("cps", series.series_id).hex, 1)
    taken = made.identify(Kind.COUPON, code)
    await ledger.db.execute(
        "INSERT INTO coupons (coupon_id, series_id, number) VALUES ($1, $2, 7)",
        taken,
        ids.parse("cps", other.series_id),
    )
    assert (await issue(coupons, series))[-1].issued_count == 3
    found = await codes(coupons, series)
    assert len(found) == 3
    assert ids.show("cpn", taken) not in {one.coupon_id for one in found}


async def test_checkout_burns_a_use_in_its_own_batch(coupons, ledger):
    """What promotions needs: the owner behind a code, and a balance that runs out."""
    _, (made,) = await issued(coupons, uses=2)
    coupon = (await resolve(coupons, made.code)).coupon
    held = account(coupon.coupon_id, coupon.asset_code, CARD)
    for left in (1, 0):
        await ledger.post(move(held, world(ASSET, "redemption"), 1), receipt_id="r")
        assert (await resolve(coupons, made.code)).coupon.available == left
    result = await ledger.post(move(held, world(ASSET, "redemption"), 1))
    assert result.refusal.metadata == {"available": "0", "required": "1"}


async def test_shared_code_is_good_until_its_cap(coupons, ledger):
    """Ten members race for three uses of a code from a poster."""
    _, (made,) = await issued(coupons, shared_code="Welcome-10", uses=3)
    assert made.code == ""
    members = [ledger.member(ASSET) for _ in range(10)]
    answers = await asyncio.gather(
        *(claim(coupons, ledger, "WELCOME 10", one) for one in members), return_exceptions=True
    )
    assert sum(not isinstance(answer, Exception) for answer in answers) == 3
    assert (await resolve(coupons, "welcome10")).coupon.available == 0
    answer = await refused(claim(coupons, ledger, "welcome10", ledger.member(ASSET)))
    assert answer.reason == "INSUFFICIENT_FUNDS"


async def test_shared_code_belongs_to_one_series(coupons):
    """However it is spelled."""
    await begin(coupons, shared_code="ONLY-ONE")
    assert (await refused(begin(coupons, shared_code="onlyone"))).reason == "CODE_TAKEN"


async def test_claimed_use_is_the_members_and_comes_once(coupons, ledger):
    """The campaign finds it on the member's account at every checkout."""
    _, (made,) = await issued(coupons, uses=2)
    anna = ledger.member(ASSET)
    same = {"request_id": ids.new("req"), "occurred_time": timestamps.show(ledger.now())}
    first = await claim(coupons, ledger, made.code, anna, **same)
    assert (first.coupon.available, first.member_available) == (1, 1)
    assert await claim(coupons, ledger, made.code, anna, **same) == first
    assert await ledger.truth(anna) == 1
    answer = await refused(claim(coupons, ledger, made.code, ledger.member(ASSET), **same))
    assert answer.reason == "REQUEST_CONFLICT"


async def test_claim_from_the_future_is_refused(coupons, ledger):
    """An app whose clock is wrong hears so."""
    _, (made,) = await issued(coupons)
    occurred = timestamps.show(ledger.now())
    occurred.seconds += 3600
    answer = await refused(
        claim(coupons, ledger, made.code, ledger.member(ASSET), occurred_time=occurred)
    )
    assert answer.reason == "OCCURRED_IN_FUTURE"


async def test_revoked_code_is_not_found_and_its_uses_are_gone(coupons, ledger):
    """Claimed uses stay with their members."""
    _, made = await issued(coupons, code_count=2, uses=5)
    anna = ledger.member(ASSET)
    await claim(coupons, ledger, made[0].code, anna)
    request = pb.RevokeCouponRequest(coupon_id=made[0].coupon_id)
    assert (await coupons.RevokeCoupon(request)).revoked_uses == 4
    assert (await coupons.RevokeCoupon(request)).revoked_uses == 4
    assert (await refused(resolve(coupons, made[0].code))).reason == "COUPON_REVOKED"
    answer = await refused(claim(coupons, ledger, made[0].code, anna))
    assert answer.reason == "COUPON_REVOKED"
    assert (await resolve(coupons, made[1].code)).coupon.available == 5
    assert await ledger.truth(anna) == 1
    assert await ledger.truth(account(made[0].coupon_id, ASSET, CARD)) == 0


async def test_revoked_series_is_not_found_at_once_and_drained_in_pieces(coupons, ledger):
    """A leaked list is worth nothing from the first answer on."""
    series, made = await issued(coupons, code_count=1500)
    request = pb.RevokeCouponSeriesRequest(series_id=series.series_id)
    call = coupons.RevokeCouponSeries(request)
    await call.read()
    assert (await refused(resolve(coupons, made[1499].code))).reason == "COUPON_REVOKED"
    call.cancel()
    last = (await revoke_series(coupons, series))[-1]
    assert (last.state, last.revoked_count) == (pb.COUPON_SERIES_STATE_REVOKED, 1500)
    for one in (made[0], made[1499]):
        assert await ledger.truth(account(one.coupon_id, ASSET, CARD)) == 0


async def test_revoked_series_is_issued_no_further(coupons):
    """What was not printed yet never will be."""
    series = await begin(coupons, code_count=2)
    await revoke_series(coupons, series)
    assert (await refused(issue(coupons, series))).reason == "COUPON_REVOKED"


async def test_series_begun_again_answers_the_first_or_the_difference(coupons):
    """The id belongs to one series for ever."""
    series = await begin(coupons, code_count=2)
    assert await begin(coupons, series_id=series.series_id, code_count=2) == series
    answer = await refused(begin(coupons, series_id=series.series_id, code_count=3))
    assert (answer.reason, answer.metadata) == ("REQUEST_CONFLICT", {"field": "code_count"})
    answer = await refused(begin(coupons, series_id=series.series_id, asset_code="ghosts"))
    assert answer.reason == "ASSET_NOT_FOUND"
    answer = await refused(begin(coupons, shared_code="TWO", code_count=2))
    assert answer.reason == "INVALID_REQUEST"


async def test_uses_beyond_the_ceiling_are_refused(coupons):
    """The series says so instead of being half full."""
    series = await begin(coupons, asset_code="coupon.small", uses=3)
    assert (await refused(issue(coupons, series))).reason == "CEILING_EXCEEDED"


async def test_what_does_not_exist_is_not_found(coupons):
    """Series and coupons, whatever is asked."""
    ghost = pb.CouponSeries(series_id=ids.new("cps"))
    calls = (
        issue(coupons, ghost),
        codes(coupons, ghost),
        coupons.GetCouponSeries(pb.GetCouponSeriesRequest(series_id=ghost.series_id)),
        revoke_series(coupons, ghost),
    )
    for call in calls:
        assert (await refused(call)).reason == "SERIES_NOT_FOUND"
    request = pb.RevokeCouponRequest(coupon_id=ids.new("cpn"))
    assert (await refused(coupons.RevokeCoupon(request))).reason == "COUPON_NOT_FOUND"


async def test_guesses_soon_have_to_wait(coupons):
    """Who guesses waits; the neighbour does not."""
    _, (made,) = await issued(coupons)
    for number in range(3):
        answer = await refused(resolve(coupons, f"guess{number}", "guesser"))
        assert answer.reason == "CODE_NOT_FOUND"
    assert (await refused(resolve(coupons, made.code, "guesser"))).reason == "TOO_MANY_ATTEMPTS"
    assert (await resolve(coupons, made.code, "neighbour")).coupon.available == 1


async def test_page_token_of_another_series_is_refused(coupons):
    """Tokens are of use for their own list alone."""
    series = await begin(coupons)
    request = pb.ListCouponCodesRequest(series_id=series.series_id, page_token="AAAA")
    assert (await refused(coupons.ListCouponCodes(request))).reason == "PAGE_TOKEN_INVALID"


async def test_ledger_without_key_has_no_codes(ledger_database, valkey):
    """And says so."""
    async with (
        running(ledger_database, valkey.url) as keyless,
        grpc.aio.insecure_channel(f"127.0.0.1:{keyless.port}") as channel,
    ):
        stub = coupon_service_pb2_grpc.CouponServiceStub(channel)
        assert (await refused(begin(stub))).reason == "CODES_NOT_CONFIGURED"


def draw(coupons, series_id, **fields):
    request = {"series_id": series_id, "campaign_id": "cmp_1", "asset_code": ASSET, "uses": 2}
    return coupons.DrawCoupon(pb.DrawCouponRequest(**{**request, **fields}))


async def test_a_drawn_code_opens_what_a_batch_fills(coupons, ledger):
    """Nothing before; drawn again it is the same, also by several at once; it is listed."""
    series_id = ids.new("cps")
    first, *again = await asyncio.gather(*(draw(coupons, series_id) for _ in range(4)))
    assert all(one == first for one in again)
    assert (await resolve(coupons, first.code)).coupon.available == 0
    await ledger.earn(account(first.coupon_id, ASSET, CARD), 2)
    found = (await resolve(coupons, first.code.lower())).coupon
    assert (found.coupon_id, found.series_id, found.available) == (first.coupon_id, series_id, 2)
    series = (await coupons.GetCouponSeries(pb.GetCouponSeriesRequest(series_id=series_id))).series
    assert (series.code_count, series.issued_count, series.uses) == (1, 1, 2)
    (listed,) = await codes(coupons, series)
    assert (listed.coupon_id, listed.code) == (first.coupon_id, first.code)
    assert (await draw(coupons, ids.new("cps"))).code != first.code


async def test_a_drawn_code_is_revoked_like_any_other(coupons, ledger):
    """Its uses are taken back, and drawing it again brings none."""
    series_id = ids.new("cps")
    drawn = await draw(coupons, series_id)
    await ledger.earn(account(drawn.coupon_id, ASSET, CARD), 2)
    revoked = await coupons.RevokeCoupon(pb.RevokeCouponRequest(coupon_id=drawn.coupon_id))
    assert revoked.revoked_uses == 2
    assert (await draw(coupons, series_id)).code == drawn.code
    assert (await refused(resolve(coupons, drawn.code))).reason == "COUPON_REVOKED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"campaign_id": "cmp_2"}, "campaign_id"),
        ({"asset_code": "coupon.small"}, "asset_code"),
        ({"uses": 3}, "uses"),
    ],
)
async def test_a_name_of_another_draw_is_refused(coupons, fields, field):
    """The first one stands, with the field that differs."""
    series_id = ids.new("cps")
    drawn = await draw(coupons, series_id)
    said = await refused(draw(coupons, series_id, **fields))
    assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", field)
    assert await draw(coupons, series_id) == drawn


async def test_a_series_of_many_is_no_single_draw(coupons):
    """Nor is an asset that does not exist."""
    series = await begin(coupons, code_count=2, uses=2)
    said = await refused(draw(coupons, series.series_id))
    assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", "code_count")
    said = await refused(draw(coupons, ids.new("cps"), asset_code="coupon.nowhere"))
    assert said.reason == "ASSET_NOT_FOUND"


async def test_a_frozen_code_stops_its_series_until_it_is_not(coupons, ledger):
    """What was taken meanwhile stays taken, and the series goes on where it stood."""
    series, made = await issued(coupons, code_count=3, uses=2)
    accounts = [account(one.coupon_id, ASSET, CARD) for one in made]
    people = account_service_pb2_grpc.AccountServiceStub(ledger.channel)
    by: dict[str, Any] = {"account": accounts[1], "operator_id": "op_1", "note": "a suspicion"}
    await people.FreezeAccount(account_service_pb2.FreezeAccountRequest(**by))
    for _ in range(2):
        assert (await refused(revoke_series(coupons, series))).reason == "ACCOUNT_FROZEN"
    assert [one.available for one in await ledger.balances(*accounts)] == [0, 2, 0]
    await people.UnfreezeAccount(account_service_pb2.UnfreezeAccountRequest(**by))
    *_, last = await revoke_series(coupons, series)
    assert last.revoked_count == 3
    assert [one.available for one in await ledger.balances(*accounts)] == [0, 0, 0]
