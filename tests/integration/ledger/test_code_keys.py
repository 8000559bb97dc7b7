"""Keys of codes that are rotated: the newest issues, and nothing printed before is lost."""

import asyncio
import base64
from contextlib import asynccontextmanager

import grpc
import pytest
from tessera.ledger.v1 import (
    coupon_service_pb2,
    coupon_service_pb2_grpc,
    gift_card_service_pb2,
    gift_card_service_pb2_grpc,
)

from services.chassis import ids, status
from services.ledger.codes import Codes, Kind
from services.ledger.engine import codes as writing
from services.ledger.storage import CodeKeys
from tests.integration.ledger.conftest import running

OLD, NEW, OTHER = bytes(32), bytes(range(32)), bytes([7]) * 32
CARD, COUPON = "gift.XTS", "coupon.keys"


@pytest.fixture
async def with_keys(database, valkey, tmp_path):
    """Return `with_keys(*keys)`: a ledger whose key file has these, always on one database."""
    made = await database("ledger")

    @asynccontextmanager
    async def begin(*keys):
        path = tmp_path / "codes"
        path.write_text("".join(base64.b64encode(key).decode() + "\n" for key in keys))
        async with running(made, valkey.url, code_key_file=path) as ledger:
            await ledger.asset(CARD)
            await ledger.asset(COUPON)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
                yield Desk(ledger, channel)

    return begin


class Desk:
    """Somebody who issues and reads codes."""

    def __init__(self, ledger, channel):
        self.ledger = ledger
        self._cards = gift_card_service_pb2_grpc.GiftCardServiceStub(channel)
        self._coupons = coupon_service_pb2_grpc.CouponServiceStub(channel)

    async def card(self, request_id):
        request = gift_card_service_pb2.IssueGiftCardsRequest(
            request_id=request_id, asset_code=CARD, count=1
        )
        (card,) = (await self._cards.IssueGiftCards(request)).gift_cards
        return card

    async def find_card(self, code):
        request = gift_card_service_pb2.ResolveGiftCardRequest(code=code, presenter_id="till")
        return (await self._cards.ResolveGiftCard(request)).gift_card.card_id

    async def draw(self, series_id):
        request = coupon_service_pb2.DrawCouponRequest(
            series_id=series_id, campaign_id="cmp_1", asset_code=COUPON, uses=1
        )
        return await self._coupons.DrawCoupon(request)

    async def series(self, series_id, **fields):
        request = coupon_service_pb2.CreateCouponSeriesRequest(
            series_id=series_id, campaign_id="cmp_1", asset_code=COUPON, uses=1, **fields
        )
        await self._coupons.CreateCouponSeries(request)
        issue = coupon_service_pb2.IssueCouponsRequest(series_id=series_id)
        async for _ in self._coupons.IssueCoupons(issue):
            pass
        listing = coupon_service_pb2.ListCouponCodesRequest(series_id=series_id)
        return (await self._coupons.ListCouponCodes(listing)).codes

    async def find_coupon(self, code):
        request = coupon_service_pb2.ResolveCouponRequest(code=code, presenter_id="till")
        return (await self._coupons.ResolveCoupon(request)).coupon.coupon_id


async def reason(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.read(caught.value).reason


def is_drawn_with(key, code, issue):
    return writing.normalised(code) == Codes(key).draw(Kind.GIFT_CARD, issue, 0)


async def test_old_codes_are_found_and_new_ones_come_from_the_new_key(with_keys):
    """And a request that was answered before is answered with the same codes."""
    first, second, third = ids.new("req"), ids.new("req"), ids.new("req")
    async with with_keys(OLD) as desk:
        old = await desk.card(first)
    async with with_keys(OLD, NEW) as desk:  # everybody learns the key before anybody uses it
        assert is_drawn_with(OLD, (await desk.card(second)).code, second)
    async with with_keys(NEW, OLD) as desk:
        new = await desk.card(third)
        assert is_drawn_with(NEW, new.code, third)
        assert await desk.card(first) == old
        assert await desk.find_card(old.code) == old.card_id
        assert await desk.find_card(new.code) == new.card_id
    async with with_keys(OLD, NEW) as desk:  # whoever is late reads what the others have issued
        assert await desk.card(third) == new
        assert await desk.find_card(new.code) == new.card_id


async def test_series_keep_the_key_they_began_with(with_keys):
    """Listed, drawn and repeated after the rotation, their codes are the printed ones."""
    series, drawn = ids.new("cps"), ids.new("cps")
    async with with_keys(OLD) as desk:
        listed = await desk.series(series, code_count=3)
        printed = await desk.draw(drawn)
    async with with_keys(NEW, OLD) as desk:
        assert await desk.series(series, code_count=3) == listed
        assert await desk.draw(drawn) == printed
        assert await desk.draw(ids.new("cps")) != printed
        for one in listed:
            assert await desk.find_coupon(one.code) == one.coupon_id


async def test_shared_code_is_taken_under_every_key(with_keys):
    """The same word twice would open one series or the other by chance."""
    series = ids.new("cps")
    async with with_keys(OLD) as desk:
        (shared,) = await desk.series(series, code_count=1, shared_code="SUMMER")
    async with with_keys(NEW, OLD) as desk:
        again = desk.series(ids.new("cps"), code_count=1, shared_code="summer")
        assert await reason(again) == "CODE_TAKEN"
        assert await desk.series(series, code_count=1, shared_code="SUMMER") == [shared]
        assert await desk.find_coupon("SUMMER") == shared.coupon_id


@pytest.mark.parametrize("keys", [(NEW,), (NEW, OTHER), (OTHER, NEW)])
async def test_ledger_that_lost_a_key_issues_and_finds_nothing(with_keys, keys):
    """Codes of the lost key would be called unknown."""
    async with with_keys(OLD) as desk:
        card = await desk.card(ids.new("req"))
    async with with_keys(*keys) as desk:
        assert await reason(desk.card(ids.new("req"))) == "CODES_NOT_CONFIGURED"
        assert await reason(desk.find_card(card.code)) == "CODES_NOT_CONFIGURED"


async def test_keys_that_come_at_once_have_a_number_each(with_keys):
    """However many processes begin to use new ones in one instant."""
    async with with_keys(OLD) as desk:
        known = CodeKeys(desk.ledger.db)
        values = [bytes([one]) for one in range(8)] * 2
        numbers = await asyncio.gather(*map(known.number, values))
        assert dict(zip(values, numbers, strict=True)) == await known.numbers()
        assert sorted(set(numbers)) == list(range(1, 9))
