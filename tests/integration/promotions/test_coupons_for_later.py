"""Coupons for the next purchase: they come with the receipt and go with it."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from tessera.ledger.v1 import account_pb2, ledger_service_pb2
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import campaign_service_pb2, checkout_service_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, line

CODE = secrets.token_hex(4).upper()


@pytest.fixture(scope="module")
async def campaigns(house):
    """A personal coupon, and a campaign that brings one with every purchase of milk."""
    (coupon,) = await house.publish(promises.coupon(CODE, personal=True))
    reward = pb.Reward(
        issue_coupon=pb.IssueCoupon(campaign_id=coupon, expire_days=7),
        target=pb.ItemFilter(skus=["milk"]),
    )
    giving = promises.earn(100)
    giving.rewards[0].CopyFrom(reward)
    (source,) = await house.publish(giving)
    return source, coupon


async def test_a_coupon_that_nobody_takes_does_not_go_live(house):
    """Of no campaign, or of one without a personal coupon: shoppers would get nothing of worth."""
    (public,) = await house.publish(promises.coupon(f"P{CODE}"))
    for issued in (public, f"cmp_{secrets.token_hex(16)}"):
        giving = promises.earn(100)
        giving.rewards[0].CopyFrom(pb.Reward(issue_coupon=pb.IssueCoupon(campaign_id=issued)))
        create = campaign_service_pb2.CreateCampaignRequest(
            request_id=secrets.token_hex(16), rules=giving
        )
        made = (await house.call(house.campaigns.CreateCampaign, create)).campaign
        publish = campaign_service_pb2.PublishCampaignsRequest(campaign_ids=[made.campaign_id])
        refusal = await house.refusal(house.campaigns.PublishCampaigns, publish)
        assert (refusal.reason, refusal.metadata["campaign_id"], refusal.metadata["field"]) == (
            "CAMPAIGN_INVALID",
            made.campaign_id,
            "rewards[0].issue_coupon.campaign_id",
        )


async def held(house, member, coupon):
    return await house.available(2, member, f"coupon.{coupon}")


async def test_a_coupon_comes_with_the_receipt_and_is_used_with_the_next(house, campaigns):
    """The answer says what to print; the next purchase burns it, once."""
    source, coupon = campaigns
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000), member_id=member))
    (grant,) = receipt.evaluation.coupon_grants
    assert (grant.campaign_id, grant.coupon_campaign_id) == (source, coupon)
    assert (grant.uses, grant.expire_days) == (1, 7)
    assert await held(house, member, coupon) == 1
    key = account_pb2.AccountKey(
        owner=account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member),
        asset_code=f"coupon.{coupon}",
    )
    answer = await house.call(house.books.ListLots, ledger_service_pb2.ListLotsRequest(account=key))
    (lot,) = answer.lots
    left = lot.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=7) <= left <= timedelta(days=8)
    using = cart_of(line("1", "bread", 1_000), member_id=member, codes=(CODE,))
    assert (await house.buy(using)).evaluation.discount_minor == 100
    assert await held(house, member, coupon) == 0
    assert (await house.evaluate(using)).discount_minor == 0


async def test_a_return_takes_an_unused_coupon_back(house, campaigns):
    """When everything comes back; a part of it leaves the coupon, and a used one is gone."""
    _, coupon = campaigns
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 2_000), member_id=member))
    part = await house.give_back(receipt, **{"1": 1_000})
    assert not part.coupons_withdrawn
    assert await held(house, member, coupon) == 1
    rest = await house.give_back(receipt, **{"1": 1_000})
    assert [one.coupon_campaign_id for one in rest.coupons_withdrawn] == [coupon]
    assert await held(house, member, coupon) == 0
    used = await house.buy(cart_of(line("1", "milk", 1_000), member_id=member))
    await house.buy(cart_of(line("1", "bread", 1_000), member_id=member, codes=(CODE,)))
    back = await house.give_back(used, **{"1": 1_000})
    assert back.points_not_recovered == 0
    assert await held(house, member, coupon) == 0


async def test_a_void_takes_the_coupon_back(house, campaigns):
    """As it takes back everything else."""
    _, coupon = campaigns
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000), member_id=member))
    void = checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    await house.call(house.checkout.Void, void)
    assert await held(house, member, coupon) == 0
