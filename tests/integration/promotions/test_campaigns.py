"""The life of a campaign: drafts, versions, rule sets, and what the ledger holds for it."""

import asyncio
import secrets

import pytest
from tessera.promotions.v1 import campaign_pb2, campaign_service_pb2
from tessera.type.v1 import text_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, line, until

Create = campaign_service_pb2.CreateCampaignRequest
Update = campaign_service_pb2.UpdateCampaignRequest
Publish = campaign_service_pb2.PublishCampaignsRequest
End = campaign_service_pb2.EndCampaignRequest
Get = campaign_service_pb2.GetCampaignRequest
List = campaign_service_pb2.ListCampaignsRequest
Grant = campaign_service_pb2.GrantCouponsRequest

NOBODY = "cmp_" + "0" * 32


async def test_a_draft_is_made_once(house):
    """The same request answers the same draft; another body under its id is refused by field."""
    request = Create(request_id=secrets.token_hex(8), rules=promises.percent_off(1000, "milk"))
    first = await house.call(house.campaigns.CreateCampaign, request)
    assert first.campaign.state == campaign_pb2.CAMPAIGN_STATE_DRAFT
    assert first.campaign.version == 1
    again = await house.call(house.campaigns.CreateCampaign, request)
    assert again == first
    request.rules.rewards[0].percent_off.basis_points = 2000
    refusal = await house.refusal(house.campaigns.CreateCampaign, request)
    assert refusal.reason == "REQUEST_CONFLICT"
    assert refusal.metadata["field"] == "rules.rewards[0].percent_off.basis_points"


async def test_rules_that_cannot_work_are_refused_by_field(house):
    """What the contract lets through and makes no sense is named."""
    bad = promises.earn(500)
    bad.combination.lane = campaign_pb2.LANE_ITEM
    request = Create(request_id=secrets.token_hex(8), rules=bad)
    refusal = await house.refusal(house.campaigns.CreateCampaign, request)
    assert refusal.reason == "CAMPAIGN_INVALID"
    assert refusal.metadata["field"]
    assert refusal.metadata["problem"]


async def test_impossible_times_are_refused(house):
    """A timestamp that no calendar has is the caller's mistake."""
    bad = promises.percent_off(1000, "milk")
    bad.validity.period.start_time.seconds = 10**14
    request = Create(request_id=secrets.token_hex(8), rules=bad)
    refusal = await house.refusal(house.campaigns.CreateCampaign, request)
    assert refusal.reason == "INVALID_REQUEST"


async def test_versions_keep_two_writers_apart(house):
    """Whoever read an older version must read again."""
    campaign_id = await house.draft(promises.percent_off(1000, "milk"))
    update = Update(campaign_id=campaign_id, version=1, rules=promises.percent_off(1500, "milk"))
    changed = await house.call(house.campaigns.UpdateCampaign, update)
    assert changed.campaign.version == 2
    refusal = await house.refusal(house.campaigns.UpdateCampaign, update)
    assert (refusal.reason, refusal.metadata["version"]) == ("VERSION_CONFLICT", "2")
    update.campaign_id = NOBODY
    refusal = await house.refusal(house.campaigns.UpdateCampaign, update)
    assert refusal.reason == "CAMPAIGN_NOT_FOUND"


async def test_a_campaign_goes_live_and_ends(house):
    """Each step makes a new rule set; a step done twice is done once."""
    campaign_id = await house.draft(promises.percent_off(1000, "milk"))
    cart = cart_of(line("1", "milk", 1000))
    assert (await house.evaluate(cart)).total_minor == 1000
    publish = Publish(campaign_ids=[campaign_id])
    live = await house.call(house.campaigns.PublishCampaigns, publish)
    assert live.campaigns[0].state == campaign_pb2.CAMPAIGN_STATE_LIVE
    assert live.campaigns[0].publish_ruleset_version == live.ruleset_version
    assert (await house.call(house.campaigns.PublishCampaigns, publish)) == live
    offer = await house.evaluate(cart)
    assert (offer.total_minor, offer.ruleset_version) == (900, live.ruleset_version)
    ended = await house.call(house.campaigns.EndCampaign, End(campaign_id=campaign_id))
    assert ended.campaign.state == campaign_pb2.CAMPAIGN_STATE_ENDED
    assert ended.ruleset_version == live.ruleset_version + 1
    assert (await house.call(house.campaigns.EndCampaign, End(campaign_id=campaign_id))) == ended
    assert (await house.evaluate(cart)).total_minor == 1000
    update = Update(campaign_id=campaign_id, version=1, rules=promises.percent_off(1500, "milk"))
    for method, request in (
        (house.campaigns.PublishCampaigns, publish),
        (house.campaigns.UpdateCampaign, update),
    ):
        refusal = await house.refusal(method, request)
        assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "ENDED")


async def test_a_draft_cannot_end_and_the_unknown_is_not_found(house):
    """Steps that make no sense are refused and name the campaign."""
    campaign_id = await house.draft(promises.percent_off(1000, "milk"))
    refusal = await house.refusal(house.campaigns.EndCampaign, End(campaign_id=campaign_id))
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "DRAFT")
    for method, request in (
        (house.campaigns.EndCampaign, End(campaign_id=NOBODY)),
        (house.campaigns.GetCampaign, Get(campaign_id=NOBODY)),
        (house.campaigns.PublishCampaigns, Publish(campaign_ids=[campaign_id, NOBODY])),
    ):
        refusal = await house.refusal(method, request)
        assert (refusal.reason, refusal.metadata["campaign_id"]) == ("CAMPAIGN_NOT_FOUND", NOBODY)
    still = await house.call(house.campaigns.GetCampaign, Get(campaign_id=campaign_id))
    assert still.campaign.state == campaign_pb2.CAMPAIGN_STATE_DRAFT


async def test_two_live_campaigns_never_share_a_code(house):
    """Letter case does not matter; an ended campaign gives its codes back."""
    first = await house.draft(promises.coupon("Spring"))
    second = await house.draft(promises.coupon("SPRING"))
    refusal = await house.refusal(
        house.campaigns.PublishCampaigns, Publish(campaign_ids=[first, second])
    )
    assert refusal.reason == "CODE_TAKEN"
    await house.call(house.campaigns.PublishCampaigns, Publish(campaign_ids=[second]))
    refusal = await house.refusal(house.campaigns.PublishCampaigns, Publish(campaign_ids=[first]))
    assert refusal.reason == "CODE_TAKEN"
    assert refusal.metadata["campaign_id"] == second
    await house.end(second)
    await house.call(house.campaigns.PublishCampaigns, Publish(campaign_ids=[first]))
    await house.end(first)


async def test_campaigns_are_listed_newest_first(house):
    """Pages by state; a page token belongs to one list."""
    made = [await house.draft(promises.percent_off(100 + n, "milk")) for n in range(5)]
    seen, token = [], ""
    while True:
        request = List(state=campaign_pb2.CAMPAIGN_STATE_DRAFT, page_size=2, page_token=token)
        page = await house.call(house.campaigns.ListCampaigns, request)
        seen += [campaign.campaign_id for campaign in page.campaigns]
        token = page.next_page_token
        if not token:
            break
        last = token
    assert seen[:5] == made[::-1]
    refusal = await house.refusal(
        house.campaigns.ListCampaigns,
        List(state=campaign_pb2.CAMPAIGN_STATE_LIVE, page_token=last),
    )
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_budgets_and_bounds_stand_in_the_ledger_before_a_campaign_is_live(house):
    """A draft that changed its mind between two tries has the budget of the second."""
    rules = promises.amount_off(
        100, limits=promises.limits(budget_minor=5000, uses_max=7, uses_per_member_max=2)
    )
    campaign_id = await house.draft(rules)
    taken = await house.draft(promises.coupon("budgeted"))
    other = await house.draft(promises.coupon("budgeted"))
    await house.call(house.campaigns.PublishCampaigns, Publish(campaign_ids=[taken]))
    refused = Publish(campaign_ids=[campaign_id, other])
    await house.refusal(house.campaigns.PublishCampaigns, refused)
    rules.limits.budget_minor = 3000
    rules.limits.uses_per_member_max = 3
    update = Update(campaign_id=campaign_id, version=1, rules=rules)
    await house.call(house.campaigns.UpdateCampaign, update)
    await house.call(house.campaigns.PublishCampaigns, Publish(campaign_ids=[campaign_id]))
    assert await house.budget(campaign_id) == 3000
    await house.end(campaign_id, taken)


async def test_coupons_are_granted_once_for_each_request(house):
    """Repeating grants nothing more; another body, or a campaign without coupons, is refused."""
    campaign_id, shared = await house.publish(
        promises.coupon("PERSONAL", personal=True), promises.coupon("SHARED")
    )
    member_id = await house.register()
    request = Grant(
        request_id=secrets.token_hex(8), campaign_id=campaign_id, member_ids=[member_id], uses=2
    )
    for _ in range(2):
        answer = await house.call(house.campaigns.GrantCoupons, request)
        assert answer.granted_count == 1
    held = await house.available(2, member_id, f"coupon.{campaign_id}")
    assert held == 2
    request.uses = 3
    refusal = await house.refusal(house.campaigns.GrantCoupons, request)
    assert (refusal.reason, refusal.metadata["field"]) == ("REQUEST_CONFLICT", "uses")
    for wrong, reason in ((shared, "COUPON_NOT_PERSONAL"), (NOBODY, "CAMPAIGN_NOT_FOUND")):
        request = Grant(
            request_id=secrets.token_hex(8), campaign_id=wrong, member_ids=[member_id], uses=1
        )
        refusal = await house.refusal(house.campaigns.GrantCoupons, request)
        assert refusal.reason == reason
    await house.end(campaign_id, shared)
    request.campaign_id = campaign_id
    refusal = await house.refusal(house.campaigns.GrantCoupons, request)
    assert refusal.reason == "CAMPAIGN_STATE"


async def test_a_thousand_members_get_their_coupon_in_one_call(house):
    """More than one batch of the ledger holds is split, and comes once all the same."""
    (campaign_id,) = await house.publish(promises.coupon("CROWD", personal=True))
    members = [f"mem_{number:032x}" for number in range(1000)]
    await house.grant(campaign_id, *members)
    assert await house.available(2, members[0], f"coupon.{campaign_id}") == 1
    assert await house.available(2, members[999], f"coupon.{campaign_id}") == 1
    await house.end(campaign_id)


async def test_every_process_uses_a_new_rule_set_within_two_seconds(
    house, promotions_settings, promotions_database, run_promotions
):
    """The other process is told; one that starts later reads it."""
    async with run_promotions(promotions_settings(promotions_database)) as other:
        before = other.sets.current.version
        (campaign_id,) = await house.publish(promises.percent_off(1000, "milk"))
        await until(lambda: other.sets.current.version > before, 2)
        assert other.sets.current.find(campaign_id) is not None
        assert other.sets.current.version == house.role.sets.current.version
    await house.end(campaign_id)


async def test_publishing_side_by_side_loses_nobody(house):
    """Ten publishers at once make ten rule sets, and the last holds all campaigns."""
    drafts = [
        await house.draft(promises.percent_off(100, "bread", title=f"n{n}")) for n in range(10)
    ]
    answers = await asyncio.gather(
        *(
            house.call(house.campaigns.PublishCampaigns, Publish(campaign_ids=[draft]))
            for draft in drafts
        )
    )
    assert len({answer.ruleset_version for answer in answers}) == 10
    current = house.role.sets.current
    assert all(current.find(draft) is not None for draft in drafts)
    assert current.version == max(answer.ruleset_version for answer in answers)
    await house.end(*drafts)


async def test_a_new_rule_set_is_told_to_the_others(house):
    """The event lies in the outbox or has left it; its version is the rule set's."""
    (campaign_id,) = await house.publish(promises.percent_off(1000, "milk"))
    event = await house.event(lambda event: event.subject_id == campaign_id)
    assert event.ruleset_published.ruleset_version == house.role.sets.current.version
    assert event.ruleset_published.campaign_id == campaign_id
    await house.end(campaign_id)


@pytest.mark.parametrize("depth", [6, 30])
async def test_deep_conditions_are_refused_or_served(house, depth):
    """A tree within bounds works; a deeper one is refused with its field, never an accident."""
    condition = campaign_pb2.Condition()
    inner = condition
    for _ in range(depth - 1):
        inner = getattr(inner, "not")
    inner.basket_total.amount_min_minor = 1
    made = promises.percent_off(1000, "milk")
    made.condition.CopyFrom(condition)
    made.title.CopyFrom(text_pb2.LocalizedText(en="deep"))
    request = Create(request_id=secrets.token_hex(8), rules=made)
    if depth <= 6:
        await house.call(house.campaigns.CreateCampaign, request)
    else:
        refusal = await house.refusal(house.campaigns.CreateCampaign, request)
        assert refusal.reason == "CAMPAIGN_INVALID"
