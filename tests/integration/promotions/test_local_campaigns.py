"""Templates of the chain, and what stores make of them within bounds."""

import secrets
from datetime import UTC, datetime

import pytest
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import campaign_service_pb2 as api
from tessera.promotions.v1 import local_campaign_service_pb2 as local
from tessera.type.v1 import interval_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import OTHER_STORE, STORE, cart_of, line, stamp

NOBODY = "cmp_" + "0" * 32
PERCENT = "rewards[0].percent_off.basis_points"
MARCH = interval_pb2.Interval(
    start_time=stamp(datetime(2026, 3, 1, tzinfo=UTC)),
    end_time=stamp(datetime(2036, 4, 1, tzinfo=UTC)),
)


def template_rules(*, most=1500, **fields):
    """Between 5 % and `most` off goods of one of two articles."""
    rules = promises.percent_off(1000, "milk", **fields)
    rules.parameters.extend(
        [
            pb.Parameter(
                name="percent",
                field=PERCENT,
                number=pb.NumberBounds(min=500, max=most, step=50),
            ),
            pb.Parameter(
                name="goods",
                field="rewards[0].target.skus",
                choice=pb.ChoiceBounds(values=["milk", "bread", "tea"], count_max=2),
            ),
            pb.Parameter(
                name="dates",
                field="validity.period",
                period=pb.PeriodBounds(within=MARCH, days_max=3650),
            ),
        ]
    )
    return rules


def number(value, name="percent"):
    return pb.Argument(name=name, number=value)


def goods(*values):
    return pb.Argument(name="goods", choice=pb.Choice(values=values))


def start(template_id, *arguments, stores=(STORE,)):
    return local.StartLocalCampaignRequest(
        request_id=secrets.token_hex(8),
        template_id=template_id,
        store_ids=stores,
        arguments=arguments,
    )


@pytest.fixture
async def template(house):
    (template_id,) = await house.publish(template_rules())
    yield template_id
    await house.call(house.campaigns.EndCampaign, api.EndCampaignRequest(campaign_id=template_id))


async def begin(house, template_id, *arguments, client="manager-of-s1"):
    request = start(template_id, *arguments)
    answer = await house.call(house.local_campaigns.StartLocalCampaign, request, client=client)
    return answer.campaign


async def pays(house, sku="milk", store=STORE):
    return (await house.evaluate(cart_of(line("1", sku, 1000), store=store))).total_minor


async def test_a_store_sets_what_the_chain_leaves_open(house, template):
    """The template itself gives nothing; its local campaign gives in its store only."""
    assert await pays(house) == 1000
    request = start(template, number(650))
    answer = await house.call(
        house.local_campaigns.StartLocalCampaign, request, client="manager-of-s1"
    )
    made = answer.campaign
    assert (made.state, made.template_id) == (pb.CAMPAIGN_STATE_LIVE, template)
    assert (list(made.store_ids), made.author_id) == ([STORE], "manager-of-s1")
    assert made.arguments[0].number == 650
    assert await house.call(
        house.local_campaigns.StartLocalCampaign, request, client="manager-of-s1"
    ) == local.StartLocalCampaignResponse(campaign=made, ruleset_version=answer.ruleset_version)
    assert await pays(house) == 935
    assert await pays(house, store=OTHER_STORE) == 1000
    adapt = local.AdaptLocalCampaignRequest(
        campaign_id=made.campaign_id,
        version=1,
        store_ids=[STORE],
        arguments=[number(500), goods("bread")],
    )
    adapted = await house.call(
        house.local_campaigns.AdaptLocalCampaign, adapt, client="manager-of-s1"
    )
    assert (adapted.campaign.version, adapted.campaign.live_version) == (2, 2)
    assert [await pays(house), await pays(house, "bread")] == [1000, 950]
    listed = await house.call(
        house.campaigns.ListCampaigns, api.ListCampaignsRequest(template_id=template)
    )
    assert [one.campaign_id for one in listed.campaigns] == [made.campaign_id]
    end = local.EndLocalCampaignRequest(campaign_id=made.campaign_id, comment="enough")
    for _ in range(2):
        ended = await house.call(
            house.local_campaigns.EndLocalCampaign, end, client="manager-of-s1"
        )
        assert ended.campaign.state == pb.CAMPAIGN_STATE_ENDED
    assert await pays(house, "bread") == 1000
    adapt.version = 2
    refusal = await house.refusal(
        house.local_campaigns.AdaptLocalCampaign, adapt, client="manager-of-s1"
    )
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "ENDED")


@pytest.mark.parametrize(
    ("argument", "reason", "metadata"),
    [
        (
            number(450),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "percent", "bound": "min", "limit": "500", "value": "450"},
        ),
        (
            number(1550),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "percent", "bound": "max", "limit": "1500", "value": "1550"},
        ),
        (
            number(510),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "percent", "bound": "step", "limit": "50", "value": "510"},
        ),
        (
            goods("milk", "ham"),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "goods", "bound": "values", "limit": "milk, bread, tea", "value": "ham"},
        ),
        (
            goods("milk", "bread", "tea"),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "goods", "bound": "count_max", "limit": "2", "value": "3"},
        ),
        (
            goods(),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "goods", "bound": "count_min", "limit": "1", "value": "0"},
        ),
        (
            number(1, "goods"),
            "PARAMETER_OUT_OF_BOUNDS",
            {"parameter": "goods", "bound": "kind", "limit": "choice", "value": "number"},
        ),
        (number(1, "price"), "PARAMETER_UNKNOWN", {"parameter": "price"}),
    ],
)
async def test_bounds_are_kept(house, template, argument, reason, metadata):
    """The refusal names the parameter, the bound and both values; nothing was made."""
    before = house.role.sets.current.version
    refusal = await house.refusal(
        house.local_campaigns.StartLocalCampaign, start(template, argument), client="manager-of-s1"
    )
    assert (refusal.reason, refusal.metadata) == (reason, metadata)
    assert house.role.sets.current.version == before


@pytest.mark.parametrize(
    ("begins", "ends", "bound"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC), "within"),
        (datetime(2026, 3, 2, tzinfo=UTC), None, "within"),
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2036, 3, 31, tzinfo=UTC), "days_max"),
        (datetime(2026, 3, 2, tzinfo=UTC), datetime(2036, 2, 20, tzinfo=UTC), ""),
    ],
)
async def test_a_period_lies_within_the_chains(house, template, begins, ends, bound):
    """An open side is outside of a closed one."""
    period = interval_pb2.Interval(
        start_time=stamp(begins), end_time=None if ends is None else stamp(ends)
    )
    request = start(template, pb.Argument(name="dates", period=period))
    call = house.local_campaigns.StartLocalCampaign
    if not bound:
        assert (await house.call(call, request)).campaign.rules.validity.period == period
        return
    refusal = await house.refusal(call, request, client="manager-of-s1")
    assert refusal.reason == "PARAMETER_OUT_OF_BOUNDS"
    assert (refusal.metadata["parameter"], refusal.metadata["bound"]) == ("dates", bound)


async def test_only_for_stores_that_the_token_is_for(house, template):
    """A manager neither starts nor changes nor ends what is somebody else's."""
    start_local = house.local_campaigns.StartLocalCampaign
    foreign = start(template, stores=(STORE, OTHER_STORE))
    refusal = await house.refusal(start_local, foreign, client="manager-of-s1")
    assert (refusal.reason, refusal.metadata) == ("STORE_NOT_ALLOWED", {"store_id": OTHER_STORE})
    both = (await house.call(start_local, foreign)).campaign.campaign_id
    adapt = local.AdaptLocalCampaignRequest(campaign_id=both, version=1, store_ids=[STORE])
    end = local.EndLocalCampaignRequest(campaign_id=both)
    for method, request in (
        (house.local_campaigns.AdaptLocalCampaign, adapt),
        (house.local_campaigns.EndLocalCampaign, end),
    ):
        refusal = await house.refusal(method, request, client="manager-of-s1")
        assert refusal.reason == "STORE_NOT_ALLOWED"
    refusal = await house.refusal(start_local, start(template), client="till-of-s1")
    assert refusal.reason == "PERMISSION_DENIED"


async def test_a_template_for_some_stores_is_for_no_others(house):
    """The chain's own audience bounds every local campaign."""
    audience = pb.Audience(store_ids=[OTHER_STORE])
    (template_id,) = await house.publish(template_rules(audience=audience))
    refusal = await house.refusal(
        house.local_campaigns.StartLocalCampaign, start(template_id), client="manager-of-s1"
    )
    assert (refusal.reason, refusal.metadata) == ("STORE_OUTSIDE_TEMPLATE", {"store_id": STORE})
    await house.end(template_id)


async def test_local_campaigns_follow_their_template(house):
    """Into the next version, out of it when they no longer fit, into a pause, and to the end."""
    (template_id,) = await house.publish(template_rules())
    low = await begin(house, template_id, number(500))
    high = await begin(house, template_id, number(1500), goods("bread"))
    assert [await pays(house), await pays(house, "bread")] == [950, 850]
    changed = template_rules(most=1000)
    changed.rewards[0].amount_max = 30
    update = api.UpdateCampaignRequest(campaign_id=template_id, version=1, rules=changed)
    await house.call(house.campaigns.UpdateCampaign, update)
    assert [await pays(house), await pays(house, "bread")] == [950, 850]
    publish = api.PublishCampaignsRequest(campaign_ids=[template_id])
    await house.call(house.campaigns.PublishCampaigns, publish)
    assert [await pays(house), await pays(house, "bread")] == [970, 1000]
    paused = await house.call(
        house.campaigns.GetCampaign, api.GetCampaignRequest(campaign_id=high.campaign_id)
    )
    assert paused.campaign.state == pb.CAMPAIGN_STATE_PAUSED
    history = await house.call(
        house.campaigns.ListCampaignChanges,
        api.ListCampaignChangesRequest(campaign_id=high.campaign_id),
    )
    assert "percent cannot be 1500: its max is 1000" in history.changes[0].comment
    resume = api.ResumeCampaignRequest(campaign_id=high.campaign_id)
    refusal = await house.refusal(house.campaigns.ResumeCampaign, resume)
    assert refusal.reason == "PARAMETER_OUT_OF_BOUNDS"
    adapt = local.AdaptLocalCampaignRequest(
        campaign_id=high.campaign_id,
        version=1,
        store_ids=[STORE],
        arguments=[number(1000), goods("bread")],
    )
    await house.call(house.local_campaigns.AdaptLocalCampaign, adapt, client="manager-of-s1")
    assert await pays(house, "bread") == 970
    refusal = await house.refusal(
        house.local_campaigns.AdaptLocalCampaign, adapt, client="manager-of-s1"
    )
    assert (refusal.reason, refusal.metadata["version"]) == ("VERSION_CONFLICT", "2")
    await house.call(
        house.campaigns.PauseCampaign, api.PauseCampaignRequest(campaign_id=template_id)
    )
    assert [await pays(house), await pays(house, "bread")] == [1000, 1000]
    refusal = await house.refusal(
        house.local_campaigns.StartLocalCampaign, start(template_id), client="manager-of-s1"
    )
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "PAUSED")
    await house.call(
        house.campaigns.ResumeCampaign, api.ResumeCampaignRequest(campaign_id=template_id)
    )
    assert [await pays(house), await pays(house, "bread")] == [970, 970]
    await house.end(template_id)
    assert [await pays(house), await pays(house, "bread")] == [1000, 1000]
    for one in (low, high):
        found = await house.call(
            house.campaigns.GetCampaign, api.GetCampaignRequest(campaign_id=one.campaign_id)
        )
        assert found.campaign.state == pb.CAMPAIGN_STATE_ENDED


async def test_a_local_campaign_is_changed_by_its_terms_only(house, template):
    """Its rules are the template's; a campaign is a template or not, once and for ever."""
    made = await begin(house, template, number(500))
    rules = promises.percent_off(9000, "milk")
    update = api.UpdateCampaignRequest(campaign_id=made.campaign_id, version=1, rules=rules)
    refusal = await house.refusal(house.campaigns.UpdateCampaign, update)
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "LOCAL")
    update = api.UpdateCampaignRequest(campaign_id=template, version=1, rules=rules)
    await house.call(house.campaigns.UpdateCampaign, update)
    refusal = await house.refusal(
        house.campaigns.PublishCampaigns, api.PublishCampaignsRequest(campaign_ids=[template])
    )
    assert (refusal.reason, refusal.metadata["field"]) == ("CAMPAIGN_INVALID", "parameters")


async def test_only_templates_are_made_use_of(house):
    """Other campaigns have no parameters, drafts are not live, and nothing comes of nothing."""
    call = house.local_campaigns.StartLocalCampaign
    (plain,) = await house.publish(promises.percent_off(1000, "tea"))
    draft = await house.draft(template_rules())
    for template_id, reason in (
        (plain, "CAMPAIGN_NOT_TEMPLATE"),
        (draft, "CAMPAIGN_STATE"),
        (NOBODY, "CAMPAIGN_NOT_FOUND"),
    ):
        assert (await house.refusal(call, start(template_id))).reason == reason
    for campaign_id, reason in ((plain, "CAMPAIGN_NOT_LOCAL"), (NOBODY, "CAMPAIGN_NOT_FOUND")):
        adapt = local.AdaptLocalCampaignRequest(
            campaign_id=campaign_id, version=1, store_ids=[STORE]
        )
        refusal = await house.refusal(house.local_campaigns.AdaptLocalCampaign, adapt)
        assert refusal.reason == reason
        end = local.EndLocalCampaignRequest(campaign_id=campaign_id)
        refusal = await house.refusal(house.local_campaigns.EndLocalCampaign, end)
        assert refusal.reason == reason
    await house.end(plain)


async def test_a_request_makes_one_local_campaign(house, template):
    """Another body under the same id is refused by field, another kind of campaign as well."""
    request = start(template, number(500))
    await house.call(house.local_campaigns.StartLocalCampaign, request)
    request.arguments[0].number = 550
    refusal = await house.refusal(house.local_campaigns.StartLocalCampaign, request)
    assert refusal.reason == "REQUEST_CONFLICT"
    assert refusal.metadata["field"] == "arguments[0].number"
    create = api.CreateCampaignRequest(
        request_id=request.request_id, rules=promises.percent_off(1000, "milk")
    )
    refusal = await house.refusal(house.campaigns.CreateCampaign, create)
    assert (refusal.reason, refusal.metadata["field"]) == ("REQUEST_CONFLICT", "template_id")


async def test_local_limits_are_their_own(house):
    """Each local campaign has the template's budget for itself."""
    rules = template_rules(limits=promises.limits(budget_minor=300))
    (template_id,) = await house.publish(rules)
    made = [await begin(house, template_id, client="admin") for _ in range(2)]
    assert [await house.budget(one.campaign_id) for one in made] == [300, 300]
    assert await house.budget(template_id) == 0
    await house.end(template_id)


async def test_bounds_must_make_sense(house):
    """A parameter sets a field that is there, of the right kind, and never where it works."""
    for change, field in (
        ({"field": "rewards[1].percent_off.basis_points"}, "parameters[0].field"),
        ({"field": "rewards[0].amount_off.amount_minor"}, "parameters[0].field"),
        ({"field": "rewards[0].target.skus"}, "parameters[0].field"),
        ({"field": "audience.store_ids"}, "parameters[0].field"),
        ({"field": "parameters[1].number.max"}, "parameters[0].field"),
        ({"name": "goods"}, "parameters[1].name"),
        ({"number": pb.NumberBounds(min=1, max=2**31)}, "parameters[0].number.max"),
    ):
        rules = template_rules()
        rules.parameters[0].MergeFrom(pb.Parameter(**change))
        request = api.CreateCampaignRequest(request_id=secrets.token_hex(8), rules=rules)
        refusal = await house.refusal(house.campaigns.CreateCampaign, request)
        assert (refusal.reason, refusal.metadata["field"]) == ("CAMPAIGN_INVALID", field), change
