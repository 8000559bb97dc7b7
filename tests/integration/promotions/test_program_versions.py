"""Programs change in versions: from a day to come, and never what somebody has begun."""

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import grpc
import pytest
from google.type import date_pb2
from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import (
    program_pb2,
    program_service_pb2,
    program_service_pb2_grpc,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
    referral_service_pb2,
    referral_service_pb2_grpc,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)

from services.chassis import auth, clock, ids, status
from services.promotions import main
from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import CURRENCY, House, cart_of, line

PURCHASE = program_pb2.TIER_CHANGE_CAUSE_PURCHASE
TIME = program_pb2.TIER_CHANGE_CAUSE_TIME
TERMS = program_pb2.TIER_CHANGE_CAUSE_TERMS


def today():
    return datetime.now(UTC).date()


def new_year():
    return date(today().year + 1, 1, 1)


@pytest.fixture
async def member(house):
    return await house.register()


@pytest.fixture
async def made(house):
    """Make programs that end with the test."""
    program_ids = []

    async def make(rules):
        program_ids.append(await programs.create(house, rules))
        return program_ids[-1]

    yield make
    for program_id in program_ids:
        await programs.end(house, program_id)


def update_of(program_id, rules, *, version=1, start=None, comment=""):
    request = program_service_pb2.UpdateProgramRequest(
        program_id=program_id, version=version, rules=rules, comment=comment
    )
    if start is not None:
        request.start_date.CopyFrom(day_of(start))
    return request


def day_of(day):
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def read_day(day):
    return date(day.year, day.month, day.day)


async def update(house, program_id, rules, **fields):
    request = update_of(program_id, rules, **fields)
    return (await house.call(programs.stub(house).UpdateProgram, request)).program


def at(house: House, day: date):
    """Serve the same chain on another day; give the channel to it."""
    moment = datetime.combine(day, time(12), UTC)
    return beside(house.settings, now=lambda: moment)


@asynccontextmanager
async def beside(settings, now=clock.system):
    """Serve the same chain once more; give the channel to it."""
    async with AsyncExitStack() as stack:
        role = await main.assemble(settings, stack, verifier=auth.Verifier(settings.auth), now=now)
        await role.news.begin()
        await role.server.start()
        stack.push_async_callback(role.server.stop)
        yield await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}")
        )


async def standing(house, channel, member, program_id):
    stub: Any = program_service_pb2_grpc.ProgramServiceStub(channel)
    request = program_service_pb2.GetMemberProgramsRequest(member_id=member)
    answer = await house.call(stub.GetMemberPrograms, request)
    return {one.program_id: one for one in answer.tiers}[program_id]


def friends():
    visits = program_pb2.Measure(kind=program_pb2.MEASURE_KIND_VISITS)
    point = program_pb2.ProgramReward(points=program_pb2.RewardPoints(points=1))
    return program_pb2.ProgramRules(
        title=programs.text("Friends"),
        referral=program_pb2.ReferralRules(
            measure=visits, referrer_reward=point, newcomer_reward=point, claim_days=1
        ),
    )


def bread(price, member):
    return cart_of(line("1", "bread", price), member_id=member)


async def test_higher_thresholds_hold_from_the_next_period_and_take_nothing(house, made):
    """Reached this year, gold lasts through the next one; then it takes what is asked for now."""
    program_id = await made(programs.ladder("a", 0, 5_000))
    old, new = await house.register(), await house.register()
    await house.buy(bread(5_000, old))
    program = await update(house, program_id, programs.ladder("a", 0, 9_000, 20_000))
    assert (program.version, program.live_version) == (2, 1)
    assert read_day(program.start_date) == new_year()
    await house.buy(bread(5_000, new))
    for member in (old, new):
        here = (await programs.standings(house, member))[program_id]
        assert (here.tier_id, here.version) == ("a1", 1)
    async with at(house, new_year()) as channel:
        there = await standing(house, channel, old, program_id)
        assert (there.tier_id, there.kept, there.version) == ("a1", True, 2)
        assert (there.next_tier_id, there.missing_amount) == ("a2", 20_000)
    async with at(house, date(new_year().year + 1, 1, 1)) as channel:
        assert (await standing(house, channel, old, program_id)).tier_id == "a0"
        # Nobody has looked at this one since: the terms are taken up one after the other.
        assert (await standing(house, channel, new, program_id)).tier_id == "a0"
    for member in (old, new):
        assert await programs.steps(house, member) == [("a0", "a1", PURCHASE), ("a1", "a0", TIME)]


async def test_lower_thresholds_lift_though_nobody_asks(house, made, member):
    """The sweep takes new terms up on their first day and tells why."""
    program_id = await made(programs.ladder("b", 0, 5_000))
    await house.buy(bread(3_000, member))
    await update(house, program_id, programs.ladder("b", 0, 3_000))
    moment = datetime.combine(new_year(), time(1), UTC)
    async with AsyncExitStack() as stack:
        role = await main.assemble(
            house.settings, stack, verifier=auth.Verifier(house.settings.auth), now=lambda: moment
        )
        await role.news.begin()
        await role.reviews.sweep()
        await role.reviews.sweep()
    assert await programs.steps(house, member) == [("b0", "b1", TERMS)]
    event = await house.event(lambda event: event.tier_changed.member_id == member)
    assert event.tier_changed.to_tier_id == "b1"


async def test_words_hold_at_once_in_every_process(house, made, member, launch_promotions):
    """A cart in another process says the new title within two seconds."""
    program_id = await made(programs.ladder("c", 0, 5_000))
    rules = programs.ladder("c", 0, 5_000)
    rules.tiers.tiers[1].title.en = "Chestnut"
    async with launch_promotions() as other:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{other.port}")
        async with channel:
            assert (await standing(house, channel, member, program_id)).version == 1
            program = await update(house, program_id, rules)
            assert (program.live_version, read_day(program.start_date)) == (2, today())
            async with asyncio.timeout(2):
                while (await standing(house, channel, member, program_id)).version != 2:
                    await asyncio.sleep(0.01)
    await house.buy(bread(5_000, member))
    assert (await programs.standings(house, member))[program_id].title.en == "Chestnut"
    version = "SELECT program_version FROM standings WHERE program_id = $1"
    assert await house.db.fetchval(version, ids.parse("prg", program_id)) == 1


async def test_a_change_to_come_is_replaced_and_taken_back(house, made):
    """A newer version that begins no later overtakes it; the same terms as today begin today."""
    first = programs.ladder("d", 0, 5_000)
    program_id = await made(first)
    await update(house, program_id, programs.ladder("d", 0, 7_000, 8_000))
    program = await update(house, program_id, first, version=2)
    assert (program.version, program.live_version) == (3, 3)
    async with at(house, new_year()) as channel:
        stub: Any = program_service_pb2_grpc.ProgramServiceStub(channel)
        request = program_service_pb2.GetProgramRequest(program_id=program_id)
        assert (await house.call(stub.GetProgram, request)).program.live_version == 3


async def test_who_is_late_is_told_and_writes_nothing(house, made):
    """Of eight who have read the same version one writes the next."""
    program_id = await made(programs.ladder("e", 0, 5_000))

    async def race(amount):
        try:
            await update(house, program_id, programs.ladder("e", 0, amount))
        except grpc.aio.AioRpcError as error:
            said = status.read(error)
            return said.reason, said.metadata["version"]
        return "written"

    outcomes = await asyncio.gather(*(race(6_000 + place) for place in range(8)))
    assert sorted(map(str, outcomes)) == ["('VERSION_CONFLICT', '2')"] * 7 + ["written"]


async def test_what_was_done_is_kept_with_who_and_why(house, made):
    program_id = await made(programs.ladder("f", 0, 5_000))
    await update(house, program_id, programs.ladder("f", 0, 6_000), comment="inflation")
    await house.call(
        programs.stub(house).EndProgram,
        program_service_pb2.EndProgramRequest(program_id=program_id, comment="enough"),
    )
    await programs.end(house, program_id)
    found, token = [], ""
    while True:
        request = program_service_pb2.ListProgramChangesRequest(
            program_id=program_id, page_size=2, page_token=token
        )
        answer = await house.call(programs.stub(house).ListProgramChanges, request)
        found += [(one.action, one.version, one.actor_id, one.comment) for one in answer.changes]
        token = answer.next_page_token
        if not token:
            break
    assert found == [
        (program_pb2.PROGRAM_ACTION_ENDED, 2, "admin", "enough"),
        (program_pb2.PROGRAM_ACTION_UPDATED, 2, "admin", "inflation"),
        (program_pb2.PROGRAM_ACTION_CREATED, 1, "admin", ""),
    ]
    for version, amount in ((1, 5_000), (2, 6_000)):
        get = program_service_pb2.GetProgramVersionRequest(program_id=program_id, version=version)
        answer = await house.call(programs.stub(house).GetProgramVersion, get)
        assert answer.program_version.rules.tiers.tiers[1].from_amount == amount
        assert answer.program_version.HasField("start_date") == (version == 2)


async def test_a_subscription_keeps_its_terms_to_the_end_of_cover(house, made, member):
    """The next period costs, and allows, what the plan's version of its first day says."""

    def plan(fee, *privileges):
        rules = program_pb2.PlanRules(
            plan_id="g", fee_minor=fee, period_months=1, privileges=privileges
        )
        return program_pb2.ProgramRules(title=programs.text("Plus"), plan=rules)

    program_id = await made(plan(299, "lounge"))
    stub: Any = subscription_service_pb2_grpc.SubscriptionServiceStub(house.channel)
    request = subscription_service_pb2.SubscribeRequest(
        request_id=secrets.token_hex(8), member_id=member, program_id=program_id
    )
    subscription_id = (await house.call(stub.Subscribe, request)).subscription.subscription_id

    async def pay(period, amount):
        request = subscription_service_pb2.ConfirmPaymentRequest(
            subscription_id=subscription_id,
            payment_id=secrets.token_hex(8),
            period=period,
            amount_minor=amount,
        )
        return (await house.call(stub.ConfirmPayment, request)).subscription

    await update(house, program_id, plan(399))
    # What was offered when the subscription was made is what its first period costs.
    paid = await pay(1, 299)
    assert (paid.fee_minor, paid.plan_version, paid.privileges) == (399, 1, ["lounge"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pay(2, 299)
    said = status.read(caught.value)
    assert (said.reason, said.metadata["fee_minor"]) == ("PAYMENT_AMOUNT", "399")
    offer = await house.evaluate(bread(100, member))
    assert offer.privileges == ["lounge"]
    renewed = await pay(2, 399)
    assert (renewed.paid_periods, renewed.plan_version, renewed.privileges) == (2, 2, [])


async def test_a_claim_pays_what_it_promised(house, made):
    """A referral that was claimed before the change is rewarded by what held then."""

    def bring(points, hold_days):
        return program_pb2.ProgramRules(
            title=programs.text("Friends"),
            referral=program_pb2.ReferralRules(
                measure=program_pb2.Measure(kind=program_pb2.MEASURE_KIND_SPEND),
                referrer_reward=program_pb2.ProgramReward(
                    points=program_pb2.RewardPoints(points=points)
                ),
                newcomer_reward=program_pb2.ProgramReward(
                    points=program_pb2.RewardPoints(points=points)
                ),
                claim_days=30,
                hold_days=hold_days,
            ),
        )

    program_id = await made(bring(70, 1))
    referrer, newcomer = await house.register(), await house.register()
    stub: Any = referral_service_pb2_grpc.ReferralServiceStub(house.channel)
    code = await house.call(
        stub.IssueReferralCode,
        referral_service_pb2.IssueReferralCodeRequest(program_id=program_id, member_id=referrer),
    )
    claim = referral_service_pb2.ClaimReferralRequest(newcomer_id=newcomer, code=code.code)
    await house.call(stub.ClaimReferral, claim)
    await house.buy(bread(100, newcomer))
    program = await update(house, program_id, bring(10, 7))
    assert read_day(program.start_date) == today() + timedelta(days=1)
    async with AsyncExitStack() as stack:
        moment = datetime.combine(today() + timedelta(days=1), time(12), UTC)
        role = await main.assemble(
            house.settings, stack, verifier=auth.Verifier(house.settings.auth), now=lambda: moment
        )
        await role.news.begin()
        await role.reviews.sweep()
    rows = await house.db.fetch(
        "SELECT batch FROM payouts WHERE program_id = $1", ids.parse("prg", program_id)
    )
    paid = [batch_pb2.Batch.FromString(row["batch"]).operations[0] for row in rows]
    assert [operation.transfer.amount for operation in paid] == [70, 70]


async def test_a_receipt_is_decided_again_by_the_levels_of_its_day(house, made, member):
    """Whatever the program says by then, the same shopper had the level that the receipt knew."""
    program_id = await made(programs.ladder("h", 0, 5_000))
    await house.buy(bread(5_000, member))
    rules = promises.percent_off(1_000)
    rules.audience.tier_ids.append("h1")
    (campaign_id,) = await house.publish(rules)
    receipt = await house.buy(bread(1_000, member))
    assert (receipt.evaluation.discount_minor, receipt.evaluation.tiers[0].version) == (100, 1)
    await update(house, program_id, programs.ladder("h", 0, 90_000))
    later = date(new_year().year + 1, 1, 1)
    async with at(house, later) as channel:
        assert (await standing(house, channel, member, program_id)).tier_id == "h0"
        desk: Any = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        request = receipt_service_pb2.RerunReceiptRequest(receipt_id=receipt.receipt_id)
        answer = await house.call(desk.RerunReceipt, request)
    assert (answer.rerun.discount_minor, list(answer.differences)) == (100, [])
    await house.end(campaign_id)


async def test_refusals_name_the_field(house, made):
    """And nothing is written."""
    levels = await made(programs.ladder("i", 0, 5_000))
    await made(programs.ladder("j", 0))
    running = await made(programs.challenge("Five"))
    method = programs.stub(house).UpdateProgram

    async def refused(program_id, rules, **fields):
        said = await house.refusal(method, update_of(program_id, rules, **fields))
        return said.reason, said.metadata.get("field", "")

    other = programs.ladder("i", 0, 5_000)
    other.tiers.tiers[1].tier_id = "other"
    taken = programs.ladder("i", 0, 5_000, 6_000)
    taken.tiers.tiers[2].tier_id = "j0"
    visits = program_pb2.Measure(kind=program_pb2.MEASURE_KIND_VISITS)
    higher = programs.ladder("i", 0, 6_000)
    for rules, field in (
        (other, "rules.tiers.tiers[1].tier_id"),
        (programs.ladder("i", 0), "rules.tiers.tiers"),
        (programs.ladder("i", 0, 5_000, measure=visits), "rules.tiers.measure"),
        (programs.ladder("i", 5, 10), "rules.tiers.tiers[0].from_amount"),
        (programs.challenge("Five"), "rules.challenge"),
    ):
        assert await refused(levels, rules) == ("PROGRAM_INVALID", field)
    days = (
        today(),
        new_year() - timedelta(days=1),
        new_year() + timedelta(days=1),
        date.min,
        date.max,
    )
    for start in days:
        assert await refused(levels, higher, start=start) == ("PROGRAM_INVALID", "start_date")
    invalid = update_of(levels, higher)
    invalid.start_date.CopyFrom(date_pb2.Date(year=2030, month=2, day=30))
    assert (await house.refusal(method, invalid)).metadata["field"] == "start_date"
    assert await refused(levels, taken) == ("TIER_TAKEN", "")
    assert await refused(levels, higher, version=2) == ("VERSION_CONFLICT", "")
    said = await refused(running, programs.challenge("Five", goal=6))
    assert said == ("PROGRAM_INVALID", "rules.challenge.goal")
    welcome = await made(coupon := friends())
    coupon.referral.newcomer_reward.coupon.campaign_id = "cmp_" + "0" * 32
    coupon.referral.newcomer_reward.coupon.uses = 1
    assert await refused(welcome, coupon) == ("CAMPAIGN_NOT_FOUND", "")
    ended = await programs.create(house, programs.ladder("k", 0))
    await programs.end(house, ended)
    assert await refused(ended, programs.ladder("k", 0)) == ("PROGRAM_ENDED", "")
    assert await refused("prg_" + "0" * 32, higher) == ("PROGRAM_NOT_FOUND", "")
    written = "SELECT count(*) FROM program_revisions WHERE program_id = ANY($1)"
    names = [ids.parse("prg", one) for one in (levels, running, welcome, ended)]
    assert await house.db.fetchval(written, names) == 0
    get = program_service_pb2.GetProgramVersionRequest(program_id=levels, version=2)
    said = await house.refusal(programs.stub(house).GetProgramVersion, get)
    assert said.reason == "PROGRAM_NOT_FOUND"


async def test_a_change_needs_one_connection_alone(house, made):
    """Or as many changes at once as there are connections would wait for one more, all of them."""
    coupon = promises.percent_off(1_000)
    coupon.trigger.coupon.codes.append("POOL")
    coupon.trigger.coupon.personal = True
    (campaign_id,) = await house.publish(coupon)
    program_id = await made(rules := friends())
    rules.referral.newcomer_reward.coupon.campaign_id = campaign_id
    rules.referral.newcomer_reward.coupon.uses = 1
    database = house.settings.database.model_copy(update={"pool_size": 1})
    settings = house.settings.model_copy(update={"database": database})
    async with beside(settings) as channel:
        method = program_service_pb2_grpc.ProgramServiceStub(channel).UpdateProgram
        answer = await house.call(method, update_of(program_id, rules))
    assert answer.program.version == 2
    await house.end(campaign_id)


async def test_versions_have_an_end(house, made):
    """The last one that there may be is written, and after it none."""
    rules = programs.ladder("v", 0, 5_000)
    program_id = await made(rules)
    await house.db.execute(
        """
        INSERT INTO program_revisions (program_id, version, rules, start_day, create_time)
        SELECT $1, n, $2, current_date + 1, now() FROM generate_series(2, 499) AS n
        """,
        ids.parse("prg", program_id),
        rules.SerializeToString(),
    )
    assert (await update(house, program_id, rules, version=499)).version == 500
    stub = program_service_pb2_grpc.ProgramServiceStub(house.channel)
    said = await house.refusal(stub.UpdateProgram, update_of(program_id, rules, version=500))
    assert (said.reason, said.metadata["versions_max"]) == ("PROGRAM_VERSIONS_FULL", "500")


async def test_a_name_belongs_to_one_live_program(house):
    """Whoever comes second is told who has it; when that has ended it is free again."""
    stub = programs.stub(house)

    def request(prefix):
        return program_service_pb2.CreateProgramRequest(
            request_id=secrets.token_hex(8), rules=programs.ladder(prefix, 0), key="the-club"
        )

    first = (await house.call(stub.CreateProgram, request("k"))).program
    assert first.key == "the-club"
    said = await house.refusal(stub.CreateProgram, request("l"))
    assert (said.reason, said.metadata) == (
        "PROGRAM_KEY_TAKEN",
        {"key": "the-club", "program_id": first.program_id},
    )
    await programs.end(house, first.program_id)
    again = (await house.call(stub.CreateProgram, request("l"))).program
    got = program_service_pb2.GetProgramRequest(program_id=again.program_id)
    assert (await house.call(stub.GetProgram, got)).program.key == "the-club"
    await programs.end(house, again.program_id)


async def test_programs_in_another_currency_are_refused(house, made):
    """A fee of 499 is not the same everywhere, so who says its currency is held to it."""
    stub, rules = programs.stub(house), programs.ladder("c", 0)
    create = program_service_pb2.CreateProgramRequest(
        request_id=secrets.token_hex(8), rules=rules, currency_code="JPY"
    )
    said = await house.refusal(stub.CreateProgram, create)
    assert (said.reason, said.metadata["currency_code"]) == ("CURRENCY_MISMATCH", "JPY")
    program_id = await made(rules)
    change = update_of(program_id, rules)
    change.currency_code = "JPY"
    said = await house.refusal(stub.UpdateProgram, change)
    assert said.reason == "CURRENCY_MISMATCH"
    change.currency_code = CURRENCY
    assert (await house.call(stub.UpdateProgram, change)).program.version == 2
