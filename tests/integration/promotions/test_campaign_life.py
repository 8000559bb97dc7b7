"""Versions, reviews, pauses, schedules, history: who did what, and what carts see of it."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import campaign_service_pb2 as api
from tessera.promotions.v1 import (
    campaign_service_pb2_grpc,
    catalogue_pb2,
    catalogue_service_pb2,
    catalogue_service_pb2_grpc,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
)
from tessera.type.v1 import interval_pb2

from services.chassis import ids
from services.promotions import config
from tests.integration.promotions import promises
from tests.integration.promotions.houses import CURRENCY, STORE, cart_of, line, stamp

NOBODY = "cmp_" + "0" * 32
PROPAGATION_S_MAX = 2.0


def create(rules, **fields):
    return api.CreateCampaignRequest(request_id=secrets.token_hex(8), rules=rules, **fields)


def read_changes(answer):
    return [
        (pb.CampaignAction.Name(one.action).removeprefix("CAMPAIGN_ACTION_"), one.version)
        for one in answer.changes
    ]


@pytest.fixture(scope="module")
async def strict(run_promotions, promotions_settings, database):
    """A promotions process whose program wants two people for every campaign."""
    made = await database("promotions")
    settings = promotions_settings(made, campaigns=config.CampaignSettings(review_required=True))
    async with (
        run_promotions(settings) as role,
        grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}") as channel,
    ):
        yield campaign_service_pb2_grpc.CampaignServiceStub(channel)


async def test_a_live_campaign_changes_in_versions(house):
    """The next version is written beside the live one, which carts see until it is published."""
    (campaign_id,) = await house.publish(promises.percent_off(1000, "milk"))
    cart = cart_of(line("1", "milk", 1000))
    update = api.UpdateCampaignRequest(
        campaign_id=campaign_id, version=1, rules=promises.percent_off(2000, "milk")
    )
    changed = (await house.call(house.campaigns.UpdateCampaign, update)).campaign
    assert (changed.state, changed.version) == (pb.CAMPAIGN_STATE_DRAFT, 2)
    assert (changed.live_version, changed.author_id) == (1, "admin")
    assert (await house.evaluate(cart)).total_minor == 900
    publish = api.PublishCampaignsRequest(campaign_ids=[campaign_id], comment="summer")
    live = (await house.call(house.campaigns.PublishCampaigns, publish)).campaigns[0]
    assert (live.state, live.live_version) == (pb.CAMPAIGN_STATE_LIVE, 2)
    assert (await house.evaluate(cart)).total_minor == 800
    for version, basis_points in ((1, 1000), (2, 2000)):
        request = api.GetCampaignVersionRequest(campaign_id=campaign_id, version=version)
        kept = (await house.call(house.campaigns.GetCampaignVersion, request)).campaign_version
        assert kept.rules.rewards[0].percent_off.basis_points == basis_points
        assert (kept.version, kept.author_id) == (version, "admin")
    missing = api.GetCampaignVersionRequest(campaign_id=campaign_id, version=3)
    refusal = await house.refusal(house.campaigns.GetCampaignVersion, missing)
    assert refusal.reason == "CAMPAIGN_NOT_FOUND"
    history = await house.call(
        house.campaigns.ListCampaignChanges, api.ListCampaignChangesRequest(campaign_id=campaign_id)
    )
    assert read_changes(history) == [
        ("PUBLISHED", 2),
        ("UPDATED", 2),
        ("PUBLISHED", 1),
        ("CREATED", 1),
    ]
    assert (history.changes[0].actor_id, history.changes[0].comment) == ("admin", "summer")
    await house.end(campaign_id)


async def test_history_comes_in_pages(house):
    """A page token belongs to one campaign's history."""
    campaign_id = await house.draft(promises.percent_off(1000, "milk"))
    for version in (1, 2):
        update = api.UpdateCampaignRequest(
            campaign_id=campaign_id, version=version, rules=promises.percent_off(1100, "milk")
        )
        await house.call(house.campaigns.UpdateCampaign, update)
    request = api.ListCampaignChangesRequest(campaign_id=campaign_id, page_size=2)
    first = await house.call(house.campaigns.ListCampaignChanges, request)
    request.page_token = first.next_page_token
    second = await house.call(house.campaigns.ListCampaignChanges, request)
    assert read_changes(first) + read_changes(second) == [
        ("UPDATED", 3),
        ("UPDATED", 2),
        ("CREATED", 1),
    ]
    assert not second.next_page_token
    other = await house.draft(promises.percent_off(1000, "milk"))
    for wrong, reason in ((other, "PAGE_TOKEN_INVALID"), (NOBODY, "CAMPAIGN_NOT_FOUND")):
        token = request.page_token if wrong == other else ""
        asked = api.ListCampaignChangesRequest(campaign_id=wrong, page_token=token)
        refusal = await house.refusal(house.campaigns.ListCampaignChanges, asked)
        assert refusal.reason == reason


async def test_names_are_unique_until_a_campaign_ends(house):
    """A campaign is found by its name; the next one may have it afterwards."""
    rules = promises.percent_off(1000, "milk")
    first = (await house.call(house.campaigns.CreateCampaign, create(rules, key="milk"))).campaign
    assert first.key == "milk"
    refusal = await house.refusal(house.campaigns.CreateCampaign, create(rules, key="milk"))
    assert refusal.reason == "CAMPAIGN_KEY_TAKEN"
    assert refusal.metadata == {"key": "milk", "campaign_id": first.campaign_id}
    listed = await house.call(
        house.campaigns.ListCampaigns, api.ListCampaignsRequest(keys=["milk", "none"])
    )
    assert [one.campaign_id for one in listed.campaigns] == [first.campaign_id]
    publish = api.PublishCampaignsRequest(campaign_ids=[first.campaign_id])
    await house.call(house.campaigns.PublishCampaigns, publish)
    await house.end(first.campaign_id)
    again = (await house.call(house.campaigns.CreateCampaign, create(rules, key="milk"))).campaign
    assert again.campaign_id != first.campaign_id


async def test_amounts_in_another_currency_are_refused(house):
    """A file for another installation goes nowhere."""
    rules = promises.amount_off(100)
    request = create(rules, currency_code="RUB")
    refusal = await house.refusal(house.campaigns.CreateCampaign, request)
    assert refusal.reason == "CURRENCY_MISMATCH"
    assert refusal.metadata["expected_currency_code"] == "USD"
    campaign_id = await house.draft(rules)
    update = api.UpdateCampaignRequest(
        campaign_id=campaign_id, version=1, rules=rules, currency_code="RUB"
    )
    refusal = await house.refusal(house.campaigns.UpdateCampaign, update)
    assert refusal.reason == "CURRENCY_MISMATCH"


async def test_what_needs_a_second_person_goes_through_two_hands(house, strict):
    """Draft, review, rejection, another version, approval by somebody else, live."""
    made = (await house.call(strict.CreateCampaign, create(promises.amount_off(100)))).campaign
    ref = {"campaign_id": made.campaign_id, "version": 1}
    publish = api.PublishCampaignsRequest(campaign_ids=[made.campaign_id])
    refusal = await house.refusal(strict.PublishCampaigns, publish)
    assert (refusal.reason, refusal.metadata["state"]) == ("REVIEW_REQUIRED", "DRAFT")
    approve = api.ApproveCampaignRequest(**ref)
    refusal = await house.refusal(strict.ApproveCampaign, approve, client="reviewer")
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "DRAFT")
    submit = api.SubmitCampaignRequest(**ref, comment="please look")
    for _ in range(2):
        answer = await house.call(strict.SubmitCampaign, submit)
        assert answer.campaign.state == pb.CAMPAIGN_STATE_IN_REVIEW
    refusal = await house.refusal(strict.ApproveCampaign, approve)
    assert refusal.reason == "APPROVER_IS_AUTHOR"
    refusal = await house.refusal(strict.PublishCampaigns, publish)
    assert (refusal.reason, refusal.metadata["state"]) == ("REVIEW_REQUIRED", "IN_REVIEW")
    silent = api.RejectCampaignRequest(**ref)
    refusal = await house.refusal(strict.RejectCampaign, silent, client="reviewer")
    assert refusal.reason == "INVALID_REQUEST"
    reject = api.RejectCampaignRequest(**ref, comment="too dear")
    answer = await house.call(strict.RejectCampaign, reject, client="reviewer")
    assert answer.campaign.state == pb.CAMPAIGN_STATE_DRAFT
    refusal = await house.refusal(strict.RejectCampaign, reject, client="reviewer")
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "DRAFT")
    update = api.UpdateCampaignRequest(**ref, rules=promises.amount_off(50))
    await house.call(strict.UpdateCampaign, update)
    for method, request in ((strict.SubmitCampaign, submit), (strict.ApproveCampaign, approve)):
        refusal = await house.refusal(method, request)
        assert (refusal.reason, refusal.metadata["version"]) == ("VERSION_CONFLICT", "2")
    submit.version = approve.version = 2
    await house.call(strict.SubmitCampaign, submit)
    for _ in range(2):
        answer = await house.call(strict.ApproveCampaign, approve, client="reviewer")
        assert answer.campaign.state == pb.CAMPAIGN_STATE_APPROVED
    live = await house.call(strict.PublishCampaigns, publish)
    assert live.campaigns[0].state == pb.CAMPAIGN_STATE_LIVE
    history = await house.call(
        strict.ListCampaignChanges, api.ListCampaignChangesRequest(campaign_id=made.campaign_id)
    )
    assert [name for name, _ in read_changes(history)] == [
        "PUBLISHED", "APPROVED", "SUBMITTED", "UPDATED", "REJECTED", "SUBMITTED", "CREATED",
    ]  # fmt: skip
    assert [one.actor_id for one in history.changes if one.comment == "too dear"] == ["reviewer"]


async def test_a_change_after_the_approval_needs_another_one(house, strict):
    """What was approved is what goes live, and whoever wrote any part of it cannot approve it."""
    made = (await house.call(strict.CreateCampaign, create(promises.amount_off(100)))).campaign
    ref = {"campaign_id": made.campaign_id}
    await house.call(strict.SubmitCampaign, api.SubmitCampaignRequest(**ref, version=1))
    approve = api.ApproveCampaignRequest(**ref, version=1)
    await house.call(strict.ApproveCampaign, approve, client="reviewer")
    update = api.UpdateCampaignRequest(**ref, version=1, rules=promises.amount_off(500))
    await house.call(strict.UpdateCampaign, update, client="reviewer")
    publish = api.PublishCampaignsRequest(campaign_ids=[made.campaign_id])
    refusal = await house.refusal(strict.PublishCampaigns, publish)
    assert (refusal.reason, refusal.metadata["state"]) == ("REVIEW_REQUIRED", "DRAFT")
    await house.call(strict.SubmitCampaign, api.SubmitCampaignRequest(**ref, version=2))
    for client in ("admin", "reviewer"):
        approve = api.ApproveCampaignRequest(**ref, version=2)
        refusal = await house.refusal(strict.ApproveCampaign, approve, client=client)
        assert refusal.reason == "APPROVER_IS_AUTHOR"


async def test_steps_of_a_review_need_a_campaign(house):
    """What does not exist is not found, whatever is to be done with it."""
    for method, request in (
        (house.campaigns.SubmitCampaign, api.SubmitCampaignRequest(campaign_id=NOBODY, version=1)),
        (
            house.campaigns.ApproveCampaign,
            api.ApproveCampaignRequest(campaign_id=NOBODY, version=1),
        ),
        (
            house.campaigns.RejectCampaign,
            api.RejectCampaignRequest(campaign_id=NOBODY, version=1, comment="no"),
        ),
        (house.campaigns.PauseCampaign, api.PauseCampaignRequest(campaign_id=NOBODY)),
        (house.campaigns.ResumeCampaign, api.ResumeCampaignRequest(campaign_id=NOBODY)),
    ):
        assert (await house.refusal(method, request)).reason == "CAMPAIGN_NOT_FOUND"


async def test_a_paused_campaign_keeps_its_code_and_comes_back(house):
    """Pausing twice pauses once; nobody takes the code meanwhile; a draft cannot pause."""
    campaign_id = await house.draft(promises.coupon("PAUSED-1"))
    pause = api.PauseCampaignRequest(campaign_id=campaign_id, comment="a mistake?")
    refusal = await house.refusal(house.campaigns.PauseCampaign, pause)
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "DRAFT")
    publish = api.PublishCampaignsRequest(campaign_ids=[campaign_id])
    await house.call(house.campaigns.PublishCampaigns, publish)
    cart = cart_of(line("1", "milk", 1000), codes=("PAUSED-1",))
    assert (await house.evaluate(cart)).total_minor == 900
    first = await house.call(house.campaigns.PauseCampaign, pause)
    assert first.campaign.state == pb.CAMPAIGN_STATE_PAUSED
    assert await house.call(house.campaigns.PauseCampaign, pause) == first
    assert (await house.evaluate(cart)).total_minor == 1000
    listed = await house.call(
        house.campaigns.ListCampaigns, api.ListCampaignsRequest(state=pb.CAMPAIGN_STATE_PAUSED)
    )
    assert [one.campaign_id for one in listed.campaigns] == [campaign_id]
    thief = await house.draft(promises.coupon("paused-1"))
    refusal = await house.refusal(
        house.campaigns.PublishCampaigns, api.PublishCampaignsRequest(campaign_ids=[thief])
    )
    assert refusal.reason == "CODE_TAKEN"
    resume = api.ResumeCampaignRequest(campaign_id=campaign_id)
    back = await house.call(house.campaigns.ResumeCampaign, resume)
    assert back.campaign.state == pb.CAMPAIGN_STATE_LIVE
    assert (await house.evaluate(cart)).total_minor == 900
    await house.end(campaign_id)
    refusal = await house.refusal(house.campaigns.PauseCampaign, pause)
    assert (refusal.reason, refusal.metadata["state"]) == ("CAMPAIGN_STATE", "ENDED")


async def test_a_new_version_of_a_paused_campaign_stays_paused_and_changes_its_code(house):
    """A pause is the operator's word, whatever marketers write meanwhile."""
    (campaign_id,) = await house.publish(promises.coupon("OLD-CODE"))
    await house.call(
        house.campaigns.PauseCampaign, api.PauseCampaignRequest(campaign_id=campaign_id)
    )
    update = api.UpdateCampaignRequest(
        campaign_id=campaign_id, version=1, rules=promises.coupon("NEW-CODE")
    )
    await house.call(house.campaigns.UpdateCampaign, update)
    publish = api.PublishCampaignsRequest(campaign_ids=[campaign_id])
    answer = await house.call(house.campaigns.PublishCampaigns, publish)
    assert answer.campaigns[0].state == pb.CAMPAIGN_STATE_PAUSED
    cart = cart_of(line("1", "milk", 1000), codes=("NEW-CODE",))
    assert (await house.evaluate(cart)).total_minor == 1000
    (other,) = await house.publish(promises.coupon("OLD-CODE"))
    resume = api.ResumeCampaignRequest(campaign_id=campaign_id)
    await house.call(house.campaigns.ResumeCampaign, resume)
    assert (await house.evaluate(cart)).total_minor == 900
    await house.end(campaign_id, other)


async def test_what_the_ledger_counts_cannot_change_under_it(house):
    """Bounds per member stay, budgets and uses only grow, and a raise adds what it says."""
    bounded = promises.limits(uses_max=5, uses_per_member_max=2, budget_minor=1000)
    (campaign_id,) = await house.publish(promises.amount_off(100, limits=bounded))
    await house.buy(cart_of(line("1", "milk", 1000), member_id=await house.register()))
    assert await house.budget(campaign_id) == 900
    publish = api.PublishCampaignsRequest(campaign_ids=[campaign_id])
    version = 1
    for change, field in (
        ({"uses_per_member_max": 3}, "limits.uses_per_member_max"),
        ({"budget_minor": 500}, "limits.budget_minor"),
        ({"uses_max": 4}, "limits.uses_max"),
    ):
        rules = promises.amount_off(100, limits=bounded)
        rules.limits.MergeFrom(promises.limits(**change))
        update = api.UpdateCampaignRequest(campaign_id=campaign_id, version=version, rules=rules)
        await house.call(house.campaigns.UpdateCampaign, update)
        version += 1
        refusal = await house.refusal(house.campaigns.PublishCampaigns, publish)
        assert (refusal.reason, refusal.metadata["field"]) == ("CAMPAIGN_INVALID", field)
    rules = promises.amount_off(100, limits=bounded)
    rules.limits.budget_minor = 1500
    update = api.UpdateCampaignRequest(campaign_id=campaign_id, version=version, rules=rules)
    await house.call(house.campaigns.UpdateCampaign, update)
    await house.call(house.campaigns.PublishCampaigns, publish)
    assert await house.budget(campaign_id) == 1400
    await house.end(campaign_id)


class Watch:
    """A clock that can be put forward."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


async def test_periods_begin_and_end_by_themselves(
    house, run_promotions, promotions_settings, database
):
    """A campaign waits for its period without a restart, and is taken out a day after it."""
    watch, settings = Watch(), promotions_settings(await database("promotions"))
    begin = datetime.now(UTC) + timedelta(hours=1)
    period = interval_pb2.Interval(
        start_time=stamp(begin), end_time=stamp(begin + timedelta(hours=1))
    )
    cart = cart_of(line("1", "milk", 1000))
    async with (
        run_promotions(settings, watch) as role,
        grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}") as channel,
    ):
        campaigns = campaign_service_pb2_grpc.CampaignServiceStub(channel)
        checkout = checkout_service_pb2_grpc.CheckoutServiceStub(channel)
        catalogue = catalogue_service_pb2_grpc.CatalogueServiceStub(channel)
        store = catalogue_pb2.Store(
            store_id=STORE, time_zone="Asia/Vladivostok", currency_code=CURRENCY
        )
        upsert = catalogue_service_pb2.UpsertStoresRequest(stores=[store])
        await house.call(catalogue.UpsertStores, upsert)
        rules = promises.percent_off(1000, "milk", validity=pb.Validity(period=period))
        made = (await house.call(campaigns.CreateCampaign, create(rules))).campaign
        publish = api.PublishCampaignsRequest(campaign_ids=[made.campaign_id])
        await house.call(campaigns.PublishCampaigns, publish)

        async def look():
            """Return the state, what a cart pays, and what lists say of the state."""
            get = api.GetCampaignRequest(campaign_id=made.campaign_id)
            found = (await house.call(campaigns.GetCampaign, get)).campaign
            listed = await house.call(
                campaigns.ListCampaigns, api.ListCampaignsRequest(state=found.state)
            )
            assert [one.campaign_id for one in listed.campaigns] == [made.campaign_id]
            ask = checkout_service_pb2.EvaluateRequest(cart=cart)
            offer = (await house.call(checkout.Evaluate, ask)).evaluation
            return found.state, offer.total_minor

        assert await look() == (pb.CAMPAIGN_STATE_SCHEDULED, 1000)
        watch.ahead = timedelta(minutes=61)
        assert await look() == (pb.CAMPAIGN_STATE_LIVE, 900)
        watch.ahead = timedelta(minutes=121)
        assert await look() == (pb.CAMPAIGN_STATE_ENDED, 1000)
        assert await role.publisher.retire() == []
        watch.ahead = timedelta(days=1, minutes=121)
        assert await role.publisher.retire() == [made.campaign_id]
        assert await role.publisher.retire() == []
        assert role.sets.current.find(made.campaign_id) is None
        history = await house.call(
            campaigns.ListCampaignChanges,
            api.ListCampaignChangesRequest(campaign_id=made.campaign_id),
        )
    last = history.changes[0]
    assert (last.actor_id, last.action) == ("promotions", pb.CAMPAIGN_ACTION_ENDED)


async def test_every_process_knows_within_two_seconds_and_mixes_no_versions(
    house, launch_promotions, record_property
):
    """Another process, asked all the time: each answer is of one version, new ones come soon."""
    low, high = promises.percent_off(1000, "milk"), promises.percent_off(1000, "bread")
    milk, bread = await house.publish(low, high)
    cart = cart_of(line("1", "milk", 1000), line("2", "bread", 1000))
    delays = []
    async with (
        launch_promotions() as other,
        grpc.aio.insecure_channel(f"127.0.0.1:{other.port}") as channel,
    ):
        stub = checkout_service_pb2_grpc.CheckoutServiceStub(channel)

        async def ask():
            request = checkout_service_pb2.EvaluateRequest(cart=cart)
            return (await house.call(stub.Evaluate, request)).evaluation

        async def follow(version):
            """Ask until the version is there; every answer is wholly of one rule set."""
            begin = time.monotonic()
            async with asyncio.timeout(10):
                while True:
                    offer = await ask()
                    assert offer.total_minor == totals[offer.ruleset_version]
                    if offer.ruleset_version == version:
                        return time.monotonic() - begin
                    await asyncio.sleep(0.005)

        totals = {(await ask()).ruleset_version: 1800}
        percent = 1000
        for _ in range(5):
            percent += 500
            for campaign_id, sku in ((milk, "milk"), (bread, "bread")):
                found = await house.call(
                    house.campaigns.GetCampaign, api.GetCampaignRequest(campaign_id=campaign_id)
                )
                update = api.UpdateCampaignRequest(
                    campaign_id=campaign_id,
                    version=found.campaign.version,
                    rules=promises.percent_off(percent, sku),
                )
                await house.call(house.campaigns.UpdateCampaign, update)
            version = max(totals) + 1
            totals[version] = 2000 - percent // 5
            publish = api.PublishCampaignsRequest(campaign_ids=[milk, bread])
            following = asyncio.create_task(follow(version))
            await house.call(house.campaigns.PublishCampaigns, publish)
            delays.append(await following)
        totals[version + 1] = totals[version] + percent // 10
        await house.call(house.campaigns.PauseCampaign, api.PauseCampaignRequest(campaign_id=milk))
        delays.append(await follow(version + 1))
        totals[version + 2] = totals[version]
        await house.call(
            house.campaigns.ResumeCampaign, api.ResumeCampaignRequest(campaign_id=milk)
        )
        delays.append(await follow(version + 2))
    record_property("propagation_ms", [round(delay * 1000) for delay in delays])
    assert max(delays) < PROPAGATION_S_MAX
    await house.end(milk, bread)


async def test_versions_have_an_end(house):
    """The last one that there may be is written, and after it none; the name can go on."""
    rules = promises.percent_off(1000, "milk")
    made = (await house.call(house.campaigns.CreateCampaign, create(rules))).campaign
    await house.db.execute(
        "UPDATE campaigns SET version = 999 WHERE campaign_id = $1",
        ids.parse("cmp", made.campaign_id),
    )
    update = api.UpdateCampaignRequest(campaign_id=made.campaign_id, version=999, rules=rules)
    assert (await house.call(house.campaigns.UpdateCampaign, update)).campaign.version == 1_000
    update.version = 1_000
    said = await house.refusal(house.campaigns.UpdateCampaign, update)
    assert (said.reason, said.metadata["versions_max"]) == ("CAMPAIGN_VERSIONS_FULL", "1000")


async def test_what_hardly_anybody_means_is_told_and_goes_live(house):
    """Goods for nothing without a bound: each step says it, and none refuses."""
    free = promises.percent_off(10_000, "never-sold")
    answer = await house.call(house.campaigns.CreateCampaign, create(free))
    campaign_id = answer.campaign.campaign_id
    (warning,) = answer.warnings
    assert (warning.campaign_id, warning.field) == (campaign_id, "rewards[0].percent_off")
    assert warning.problem.startswith("gives any amount of goods for nothing")
    publish = api.PublishCampaignsRequest(campaign_ids=[campaign_id])
    published = await house.call(house.campaigns.PublishCampaigns, publish)
    assert list(published.warnings) == [warning]
    bounded = promises.percent_off(10_000, "never-sold")
    bounded.rewards[0].amount_max = 100
    update = api.UpdateCampaignRequest(campaign_id=campaign_id, version=1, rules=bounded)
    assert not (await house.call(house.campaigns.UpdateCampaign, update)).warnings
    await house.end(campaign_id)


async def test_a_period_that_has_passed_is_told(house):
    """Purchases of then may still come from tills that were offline, so it is no refusal."""
    rules = promises.percent_off(1000, "milk")
    rules.validity.period.end_time.CopyFrom(stamp(datetime.now(UTC) - timedelta(seconds=1)))
    answer = await house.call(house.campaigns.CreateCampaign, create(rules))
    assert [one.field for one in answer.warnings] == ["validity.period.end_time"]
