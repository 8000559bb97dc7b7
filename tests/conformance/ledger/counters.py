"""Scenarios of our own: gift cards and coupon codes, over their counter."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    asset_pb2,
    coupon_service_pb2,
    coupon_service_pb2_grpc,
    gift_card_service_pb2_grpc,
)

from services.chassis import ids, status, timestamps
from tests.conformance.ledger.register import Bank, available, case, reason, refusal
from tests.integration.ledger import test_coupons as coupons_desk
from tests.integration.ledger import test_gift_cards as cards_desk
from tests.integration.ledger.conftest import Ledger, account, move, running, world

BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}
COUPON = coupons_desk.ASSET
ISSUED, ACTIVE = cards_desk.ISSUED, cards_desk.ACTIVE


@asynccontextmanager
async def _with_codes(bank: Bank) -> AsyncIterator[Ledger]:
    """Run a ledger that has a key for codes."""
    path = bank.folder / "codes"
    path.write_text(base64.b64encode(bytes(range(32))).decode())
    async with running(bank.made, bank.valkey.url, code_key_file=path) as ledger:
        await ledger.asset(cards_desk.ASSET, scale=2)
        await ledger.asset(COUPON)
        yield ledger


@asynccontextmanager
async def _card(bank: Bank, amount: int = 0) -> AsyncIterator[cards_desk.Desk]:
    """Serve a card that is new, or that was sold with an amount."""
    async with _with_codes(bank) as ledger:
        cards = gift_card_service_pb2_grpc.GiftCardServiceStub(ledger.channel)
        (made,) = await cards_desk.issue(cards)
        desk = cards_desk.Desk(cards, ledger, made)
        if amount:
            await desk.activate(amount)
        yield desk


@asynccontextmanager
async def _code(bank: Bank, **fields: Any) -> AsyncIterator[tuple[Ledger, Any, Any]]:
    """Issue one code; yield the ledger, the stub and what was issued."""
    async with _with_codes(bank) as ledger:
        coupons = coupon_service_pb2_grpc.CouponServiceStub(ledger.channel)
        _, (issued,) = await coupons_desk.issued(coupons, **fields)
        yield ledger, coupons, issued


def _revoke(coupons: Any, issued: Any) -> Any:
    request = coupon_service_pb2.RevokeCouponRequest(coupon_id=issued.coupon_id)
    return coupons.RevokeCoupon(request)


@case("own-084")
async def a_card_gets_back_what_it_paid(bank: Bank) -> None:
    async with _card(bank, 1000) as desk:
        paid = (await desk.redeem(400)).batch_id
        assert (await refusal(desk.refund(paid, 500))).reason == "EXCEEDS_REVERSIBLE"
        found = [(await desk.refund(paid, amount)).gift_card.available for amount in (150, 250)]
        assert found == [750, 1000]
        assert (await refusal(desk.refund(paid, 1))).reason == "EXCEEDS_REVERSIBLE"


@case("own-085")
async def a_blocked_card_gets_nothing_back(bank: Bank) -> None:
    async with _card(bank, 1000) as desk:
        paid = (await desk.redeem(400)).batch_id
        await desk.block()
        request = {"request_id": ids.new("req"), "occurred_time": _now(desk)}
        assert (await refusal(desk.refund(paid, 100, **request))).reason == "GIFT_CARD_STATE"
        assert (await desk.unblock()).available == 600
        for _ in range(2):
            refund = await desk.refund(paid, 100, **request)
            assert refund.gift_card.available == 700


def _now(desk: cards_desk.Desk) -> Any:
    return timestamps.show(desk.ledger.now())


@case("own-086")
async def a_card_that_paid_has_paid(bank: Bank) -> None:
    async with _card(bank, 1000) as desk:
        request = {"request_id": ids.new("req"), "occurred_time": _now(desk)}
        first = (await desk.redeem(300, **request)).batch_id
        await desk.block()
        assert (await desk.redeem(300, **request)).batch_id == first
        conflict = await refusal(desk.redeem(301, **request))
        assert (conflict.reason, conflict.metadata["field"]) == ("REQUEST_CONFLICT", "amount")
        assert await desk.ledger.truth(desk.account) == 700


@case("own-087")
async def a_card_is_sold_once(bank: Bank) -> None:
    async with _card(bank, 1000) as desk:
        assert (await refusal(desk.activate(1000))).reason == "GIFT_CARD_STATE"
        assert (await desk.get()).available == 1000


@case("own-088")
async def a_card_is_blocked_before_it_is_sold(bank: Bank) -> None:
    async with _card(bank) as desk:
        await desk.block()
        assert (await refusal(desk.activate())).reason == "GIFT_CARD_STATE"
        assert (await desk.unblock()).state == ISSUED
        card = (await desk.activate()).gift_card
        assert (card.state, card.available) == (ACTIVE, 1000)


@case("own-112")
async def money_that_has_ended_is_not_there_again(bank: Bank) -> None:
    rolling = asset_pb2.RollingExpiry(days=5, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    policy = asset_pb2.LotPolicy(time_zone="UTC", rolling=rolling)
    async with _with_codes(bank) as ledger:
        await ledger.asset("gift.own112", scale=2, lot_policy=policy)
        cards = gift_card_service_pb2_grpc.GiftCardServiceStub(ledger.channel)
        (made,) = await cards_desk.issue(cards, asset_code="gift.own112")
        desk = cards_desk.Desk(cards, ledger, made)
        await desk.activate(1000)
        paid = (await desk.redeem(400)).batch_id
        ledger.now.ahead = timedelta(days=6)
        assert (await desk.refund(paid, 400)).gift_card.available == 0
        assert (await refusal(desk.refund(paid, 1))).reason == "EXCEEDS_REVERSIBLE"


@case("own-089")
async def a_shared_code_keeps_its_cap(bank: Bank) -> None:
    code = f"S{ids.new('x')[-20:]}"
    async with (
        _code(bank, uses=5, shared_code=code) as (ledger, coupons, _),
        running(bank.made, bank.valkey.url, code_key_file=bank.folder / "codes") as second,
    ):
        stubs = coupons, coupon_service_pb2_grpc.CouponServiceStub(second.channel)
        claims = [
            coupons_desk.claim(stubs[number % 2], ledger, code, ledger.member(COUPON))
            for number in range(20)
        ]
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        refused = [one for one in outcomes if isinstance(one, grpc.RpcError)]
        assert (len(outcomes), len(refused)) == (20, 15)
        reasons = {status.read(one).reason for one in refused}
        assert reasons == {"INSUFFICIENT_FUNDS"}


@case("own-090")
async def one_request_is_for_one_member(bank: Bank) -> None:
    async with _code(bank, uses=3) as (ledger, coupons, issued):
        anna, boris = ledger.member(COUPON), ledger.member(COUPON)
        request = {
            "request_id": ids.new("req"),
            "occurred_time": timestamps.show(ledger.now()),
        }
        await coupons_desk.claim(coupons, ledger, issued.code, anna, **request)
        conflict = await refusal(coupons_desk.claim(coupons, ledger, issued.code, boris, **request))
        assert (conflict.reason, conflict.metadata["field"]) == ("REQUEST_CONFLICT", "member_id")
        assert await available(ledger, anna, boris) == [1, 0]


@case("own-091")
async def what_was_claimed_outlives_its_code(bank: Bank) -> None:
    async with _code(bank, uses=3) as (ledger, coupons, issued):
        anna, boris = ledger.member(COUPON), ledger.member(COUPON)
        await coupons_desk.claim(coupons, ledger, issued.code, anna)
        assert (await _revoke(coupons, issued)).revoked_uses == 2
        claimed = await refusal(coupons_desk.claim(coupons, ledger, issued.code, boris))
        assert claimed.reason == "COUPON_REVOKED"
        burnt = move(anna, world(COUPON), 1, reason=account_pb2.TRANSFER_REASON_BURN)
        assert reason(await ledger.post(burnt)) == ""


@case("own-092")
async def a_frozen_code_is_revoked(bank: Bank) -> None:
    async with _code(bank, uses=3) as (ledger, coupons, issued):
        people = account_service_pb2_grpc.AccountServiceStub(ledger.channel)
        uses = account(issued.coupon_id, COUPON, account_pb2.OWNER_TYPE_CARD)
        await people.FreezeAccount(account_service_pb2.FreezeAccountRequest(account=uses, **BY))
        assert (await refusal(_revoke(coupons, issued))).reason == "ACCOUNT_FROZEN"
        await people.UnfreezeAccount(account_service_pb2.UnfreezeAccountRequest(account=uses, **BY))
        assert (await _revoke(coupons, issued)).revoked_uses == 3
        assert await available(ledger, uses) == [0]
