"""A coupon for whoever bears it, from one receipt to the next, through the gateway."""

import uuid

import pytest
from tessera.promotions.v1 import campaign_pb2, campaign_service_pb2
from tessera.type.v1 import text_pb2

from tests.acceptance import chain

pytestmark = pytest.mark.usefixtures("shop")


async def _publish(admin, name, **fields):
    rules = campaign_pb2.CampaignRules(
        title=text_pb2.LocalizedText(en=name, ru="Купон на чеке"),
        audience=campaign_pb2.Audience(store_ids=[chain.STORE]),
        **fields,
    )
    made = await admin.call(
        admin.campaigns.CreateCampaign,
        campaign_service_pb2.CreateCampaignRequest(request_id=uuid.uuid4().hex, rules=rules),
    )
    campaign_id = made.campaign.campaign_id
    await admin.call(
        admin.campaigns.PublishCampaigns,
        campaign_service_pb2.PublishCampaignsRequest(campaign_ids=[campaign_id]),
    )
    return campaign_id


@pytest.fixture
async def campaigns(admin):
    """2.00 off for a coupon, and a postcard that brings one; both end after the test."""
    off = campaign_pb2.AmountOff(amount_minor=200, spread=campaign_pb2.AMOUNT_SPREAD_ACROSS)
    code = f"ACC-{uuid.uuid4().hex[:8]}"
    coupon = await _publish(
        admin,
        "Two off",
        trigger=campaign_pb2.Trigger(
            coupon=campaign_pb2.CouponTrigger(codes=[code], personal=True)
        ),
        rewards=[campaign_pb2.Reward(amount_off=off)],
        combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_COUPON),
    )
    issue = campaign_pb2.IssueCoupon(campaign_id=coupon, expire_days=30, bearer=True)
    source = await _publish(
        admin,
        "Print one",
        trigger=campaign_pb2.Trigger(automatic=campaign_pb2.AutomaticTrigger()),
        rewards=[
            campaign_pb2.Reward(
                issue_coupon=issue, target=campaign_pb2.ItemFilter(skus=["acc-postcard"])
            )
        ],
        combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_EARN),
    )
    yield source, coupon
    for campaign_id in (source, coupon):
        end = campaign_service_pb2.EndCampaignRequest(campaign_id=campaign_id)
        await admin.call(admin.campaigns.EndCampaign, end)


async def _sell(pos, sku, price, *codes):
    """Evaluate and commit in JSON, as a till's script does; return the body and the answer."""
    cart = {
        "store_id": chain.STORE,
        "channel": "CHANNEL_TILL",
        "currency_code": chain.CURRENCY,
        "coupon_codes": codes,
        "lines": [
            {
                "line_id": "1",
                "sku": sku,
                "quantity_thousandths": "1000",
                "unit_price_minor": str(price),
            }
        ],
    }
    status, offer, _ = await pos.json("POST", "/v1/checkout:evaluate", {"cart": cart})
    assert status == 200, offer
    key = {"till_id": "1", "shift_id": "1", "receipt_number": uuid.uuid4().hex}
    body = {
        "receipt_key": {"store_id": chain.STORE, **key},
        "cart": cart,
        "occurred_time": chain.moment().ToJsonString(),
        "expected_total_minor": offer["evaluation"]["total_minor"],
    }
    status, answer, _ = await pos.json("POST", "/v1/checkout:commit", body)
    assert status == 200, answer
    return body, answer


async def test_a_shopper_without_a_card_uses_the_code_of_the_receipt(pos, campaigns):
    """Printed once, told again to the same call, good for one purchase, gone with its own."""
    source, _ = campaigns
    body, sold = await _sell(pos, "acc-postcard", 500)
    (printed,) = sold["printed_coupons"]
    assert printed["campaign_id"] == source
    assert printed["code"] in printed["text"]["ru"]
    _, again, _ = await pos.json("POST", "/v1/checkout:commit", body)
    assert again["replayed"] is True
    assert again["printed_coupons"] == sold["printed_coupons"]
    path = f"/v1/receipts/{sold['receipt']['receipt_id']}"
    _, read, _ = await pos.json("GET", path)
    assert printed["code"] not in str(read)
    _, used = await _sell(pos, "acc-bread", 1_000, printed["code"].lower())
    assert used["receipt"]["evaluation"]["discount_minor"] == "200"
    _, spent = await _sell(pos, "acc-bread", 1_000, printed["code"])
    assert spent["receipt"]["evaluation"]["discount_minor"] == "0"

    _, other = await _sell(pos, "acc-postcard", 500)
    receipt_id, code = other["receipt"]["receipt_id"], other["printed_coupons"][0]["code"]
    status, _, _ = await pos.json("POST", f"/v1/receipts/{receipt_id}:void", {})
    assert status == 200
    _, nothing = await _sell(pos, "acc-bread", 1_000, code)
    assert nothing["receipt"]["evaluation"]["discount_minor"] == "0"
