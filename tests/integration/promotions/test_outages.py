"""Identity or the ledger is away: the till gets an answer, and nothing is half done."""

import secrets

import pytest
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    checkout_pb2,
    checkout_service_pb2,
)

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line, return_of

pytestmark = pytest.mark.usefixtures("campaigns")

FindReceipt = checkout_service_pb2.FindReceiptRequest
Publish = campaign_service_pb2.PublishCampaignsRequest


@pytest.fixture(scope="module")
async def campaigns(house):
    return await house.publish(
        promises.earn(500),
        promises.percent_off(1000, "milk"),
        promises.amount_off(100, limits=promises.limits(budget_minor=10_000)),
    )


@pytest.fixture
async def bought(house):
    """A member with a purchase, from before the outage."""
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    return member, receipt


@pytest.fixture
async def without_identity(house, bought):
    await house.identity.kill()
    yield bought
    await house.bring_back(house.identity)


@pytest.fixture
async def without_ledger(house, bought):
    await house.ledger.kill()
    yield bought
    await house.bring_back(house.ledger)


def reasons(offer, *campaign_ids):
    found = {one.campaign_id: one.reason for one in offer.outcomes}
    return [found.get(campaign_id) for campaign_id in campaign_ids]


async def test_without_identity_the_shopper_is_unknown(house, campaigns, without_identity):
    """Everybody's discount holds, the member's points wait, and the answer says so."""
    member, _ = without_identity
    earning, milk, limited = campaigns
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    assert list(offer.degradations) == [checkout_pb2.DEGRADATION_IDENTITY]
    assert offer.total_minor == 8_900
    assert offer.member_id == ""
    assert reasons(offer, earning, milk, limited) == [
        checkout_pb2.OUTCOME_REASON_DEPENDENCY_UNAVAILABLE,
        checkout_pb2.OUTCOME_REASON_APPLIED,
        checkout_pb2.OUTCOME_REASON_APPLIED,
    ]
    request = commit_of(cart, offer)
    refusal = await house.refusal(house.checkout.Commit, request)
    assert (refusal.reason, refusal.metadata["service"]) == ("DEPENDENCY_UNAVAILABLE", "identity")
    find = FindReceipt(receipt_key=request.receipt_key)
    assert (await house.refusal(house.checkout.FindReceipt, find)).reason == "RECEIPT_NOT_FOUND"


async def test_without_the_ledger_mass_promotions_hold(house, campaigns, without_ledger):
    """No points as payment and no limited campaigns; whoever is unknown buys as ever."""
    member, receipt = without_ledger
    _, milk, limited = campaigns
    cart = cart_of(line("1", "milk", 10_000), member_id=member, points=100)
    offer = await house.evaluate(cart)
    assert list(offer.degradations) == [checkout_pb2.DEGRADATION_LEDGER]
    assert (offer.total_minor, offer.points_payment_max_minor) == (9_000, 0)
    assert reasons(offer, milk, limited) == [
        checkout_pb2.OUTCOME_REASON_APPLIED,
        checkout_pb2.OUTCOME_REASON_DEPENDENCY_UNAVAILABLE,
    ]
    cart.points_payment_minor = 0
    request = commit_of(cart, offer)
    refusal = await house.refusal(house.checkout.Commit, request)
    assert (refusal.reason, refusal.metadata["service"]) == ("DEPENDENCY_UNAVAILABLE", "ledger")
    find = FindReceipt(receipt_key=request.receipt_key)
    assert (await house.refusal(house.checkout.FindReceipt, find)).reason == "RECEIPT_NOT_FOUND"
    void = checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    for method, refused in (
        (house.checkout.Void, void),
        (house.checkout.Return, return_of(receipt, {"1": 1_000})),
    ):
        refusal = await house.refusal(method, refused)
        assert refusal.reason == "DEPENDENCY_UNAVAILABLE"
        assert "outcome" not in refusal.metadata
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=receipt.receipt_id)
    assert (await house.call(house.checkout.GetReceipt, read)).receipt == receipt


@pytest.mark.usefixtures("without_ledger")
async def test_campaigns_with_limits_wait_for_the_ledger(house):
    """Publishing is refused whole, and works once the ledger is back."""
    campaign_id = await house.draft(
        promises.coupon(secrets.token_hex(4), personal=True, limits=promises.limits(uses_max=5))
    )
    publish = Publish(campaign_ids=[campaign_id])
    before = house.role.sets.current.version
    refusal = await house.refusal(house.campaigns.PublishCampaigns, publish)
    assert (refusal.reason, refusal.metadata["service"]) == ("DEPENDENCY_UNAVAILABLE", "ledger")
    get = campaign_service_pb2.GetCampaignRequest(campaign_id=campaign_id)
    draft = await house.call(house.campaigns.GetCampaign, get)
    assert draft.campaign.state == campaign_pb2.CAMPAIGN_STATE_DRAFT
    assert house.role.sets.current.version == before
    await house.bring_back(house.ledger)
    live = await house.call(house.campaigns.PublishCampaigns, publish)
    assert live.ruleset_version == before + 1
    member = await house.register()
    await house.ledger.kill()
    grant = campaign_service_pb2.GrantCouponsRequest(
        request_id=secrets.token_hex(8), campaign_id=campaign_id, member_ids=[member], uses=1
    )
    refusal = await house.refusal(house.campaigns.GrantCoupons, grant)
    assert refusal.reason == "DEPENDENCY_UNAVAILABLE"
    await house.bring_back(house.ledger)
    await house.call(house.campaigns.GrantCoupons, grant)
    assert await house.available(2, member, f"coupon.{campaign_id}") == 1
    await house.end(campaign_id)


async def test_everything_goes_on_when_they_are_back(house, bought):
    """The same till, the same channel: no restart is needed."""
    member, receipt = bought
    again = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    assert again.evaluation.points_earned == receipt.evaluation.points_earned
    assert not again.evaluation.degradations


@pytest.mark.parametrize("peer", ["identity", "ledger"])
async def test_a_peer_that_hangs_does_not_hold_up_the_till(house, bought, peer):
    """A process that is there and silent is left out in time for the till's own deadline."""
    member, _ = bought
    process = getattr(house, peer)
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    await house.evaluate(cart)
    process.freeze()
    try:
        request = checkout_service_pb2.EvaluateRequest(cart=cart)
        offer = (await house.call(house.checkout.Evaluate, request, timeout_s=2)).evaluation
        assert len(offer.degradations) == 1
        refusal = await house.refusal(house.checkout.Commit, commit_of(cart, offer))
        assert (refusal.reason, refusal.metadata["service"]) == ("DEPENDENCY_UNAVAILABLE", peer)
    finally:
        process.thaw()
        await house.bring_back(process)
