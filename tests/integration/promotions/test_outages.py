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
    await house.settled(receipt.receipt_id)
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
    request = commit_of(cart, offer, total=8_000)
    refusal = await house.refusal(house.checkout.Commit, request)
    assert (refusal.reason, refusal.metadata["service"]) == ("DEPENDENCY_UNAVAILABLE", "identity")
    find = FindReceipt(receipt_key=request.receipt_key)
    assert (await house.refusal(house.checkout.FindReceipt, find)).reason == "RECEIPT_NOT_FOUND"


async def test_without_identity_the_points_come_later(house, campaigns, without_identity, recovery):
    """The purchase is recorded as it was shown; who the shopper is, and the points, follow once."""
    member, _ = without_identity
    _, _, limited = campaigns
    before, budget = await house.points(member), await house.budget(limited)
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    request = commit_of(cart, offer)
    answer = await house.commit(request)
    assert answer.receipt.settled_later
    assert answer.receipt.evaluation == offer
    assert (await house.commit(request)).replayed
    receipt_id = answer.receipt.receipt_id
    for method, refused in (
        (house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt_id)),
        (house.checkout.Return, return_of(answer.receipt, {"1": 1_000})),
    ):
        assert (await house.refusal(method, refused)).reason == "DEPENDENCY_UNAVAILABLE"
    assert await recovery.sweep() == 1
    assert await house.points(member) == before
    await house.bring_back(house.identity)
    await recovery.sweep()
    assert await house.points(member) == before + 445
    assert await house.budget(limited) == budget - 100
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=receipt_id)
    receipt = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert not receipt.settled_later
    assert not receipt.conflicts
    assert receipt.evaluation.member_id == member
    assert (receipt.evaluation.total_minor, receipt.evaluation.points_earned) == (8_900, 445)
    assert await recovery.sweep() == 0

    def is_of_it(event):
        return event.receipt_committed.receipt_id == receipt_id

    event = await house.event(is_of_it)
    assert event.receipt_committed.member_id == member
    assert sum(map(is_of_it, await house.events())) == 1
    assert (await house.give_back(receipt, **{"1": 1_000})).points_clawed_back == 445
    assert await house.points(member) == before


@pytest.mark.usefixtures("without_identity")
async def test_whoever_is_nobody_gets_nothing_later(house, recovery):
    """The purchase stays; that nobody gets points for it is a conflict for the chain to see."""
    cart = cart_of(line("1", "milk", 10_000), member_id="mem_" + "0" * 32)
    answer = await house.commit(commit_of(cart, await house.evaluate(cart)))
    assert answer.receipt.settled_later
    await house.bring_back(house.identity)
    await recovery.sweep()
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=answer.receipt.receipt_id)
    receipt = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert [one.kind for one in receipt.conflicts] == [checkout_pb2.CONFLICT_KIND_MEMBER_UNKNOWN]
    assert (receipt.evaluation.member_id, receipt.evaluation.points_earned) == ("", 0)
    assert (await house.give_back(receipt, **{"1": 1_000})).refund_minor == 8_900


async def test_a_promise_that_cannot_be_kept_in_part_is_kept_in_the_rest(
    house, campaigns, without_identity, recovery
):
    """A budget that is gone by then is a conflict, and the shopper's points come all the same."""
    member, _ = without_identity
    _, _, limited = campaigns
    before = await house.points(member)
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    answer = await house.commit(commit_of(cart, await house.evaluate(cart)))
    left = await house.budget(limited)
    await house.drain_budget(limited, left - 30)
    await house.bring_back(house.identity)
    await recovery.sweep()
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=answer.receipt.receipt_id)
    receipt = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert list(receipt.conflicts) == [
        checkout_pb2.ReceiptConflict(
            kind=checkout_pb2.CONFLICT_KIND_BUDGET_SHORT,
            campaign_id=limited,
            till_amount=100,
            centre_amount=30,
        )
    ]
    assert await house.points(member) == before + 445
    await house.drain_budget(limited, 30 - left)


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


async def test_without_the_ledger_the_points_come_later(house, without_ledger, recovery):
    """What nobody can refuse is recorded; the ledger gives when it is back, once."""
    member, _ = without_ledger
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    answer = await house.commit(commit_of(cart, await house.evaluate(cart)))
    assert answer.receipt.settled_later
    assert answer.receipt.evaluation.points_earned == 450
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=answer.receipt.receipt_id)
    shown = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert shown == answer.receipt
    await house.bring_back(house.ledger)
    before = await house.points(member)
    await recovery.sweep()
    assert await house.points(member) in {before + 450, before}
    assert await house.points(member) == 445 + 450
    receipt = (await house.call(house.checkout.GetReceipt, read)).receipt
    assert not receipt.settled_later
    assert await recovery.sweep() == 0


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
        commit = commit_of(cart, offer)
        answer = await house.call(house.checkout.Commit, commit, timeout_s=5)
        assert answer.receipt.settled_later
    finally:
        process.thaw()
        await house.bring_back(process)


async def test_a_ledger_that_hangs_is_told_in_time(house, bought):
    """The till hears who does not answer before it gives up, and that a posting may come yet."""
    member, _ = bought
    limited = promises.coupon(
        f"C{secrets.token_hex(4)}".upper(), limits=promises.limits(uses_max=9)
    )
    (campaign,) = await house.publish(limited)
    code = limited.trigger.coupon.codes[0]
    cart = cart_of(line("1", "milk", 10_000), member_id=member, codes=(code,))
    offer = await house.evaluate(cart)
    assert offer.total_minor == 8_800
    plain = cart_of(line("1", "milk", 10_000), member_id=member)
    house.ledger.freeze()
    try:
        posted = commit_of(cart, offer)
        refusal = await house.refusal(house.checkout.Commit, posted, timeout_s=5)
        assert refusal.reason == "DEPENDENCY_UNAVAILABLE"
        assert refusal.metadata == {"service": "ledger", "outcome": "unknown"}
        degraded = (
            await house.call(
                house.checkout.Evaluate,
                checkout_service_pb2.EvaluateRequest(cart=plain),
                timeout_s=2,
            )
        ).evaluation
        promised = (
            await house.call(house.checkout.Commit, commit_of(plain, degraded), timeout_s=5)
        ).receipt
        assert promised.settled_later
        void = checkout_service_pb2.VoidRequest(receipt_id=promised.receipt_id)
        for method, refused in (
            (house.checkout.Void, void),
            (house.checkout.Return, return_of(promised, {"1": 1_000})),
        ):
            refusal = await house.refusal(method, refused, timeout_s=5)
            assert (refusal.reason, refusal.metadata["service"]) == (
                "DEPENDENCY_UNAVAILABLE",
                "ledger",
            )
    finally:
        house.ledger.thaw()
        await house.bring_back(house.ledger)
    assert (await house.commit(posted)).receipt.evaluation == offer
    await house.call(house.checkout.Void, void)
    await house.end(campaign)
