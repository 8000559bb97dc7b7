"""Levels of members: reached at the till, told to campaigns, lost with the goods."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from tessera.promotions.v1 import (
    campaign_pb2,
    checkout_pb2,
    checkout_service_pb2,
    program_pb2,
    program_service_pb2,
)

from services.chassis import auth
from services.promotions import main
from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import cart_of, commit_of, line, stamp

PURCHASE = program_pb2.TIER_CHANGE_CAUSE_PURCHASE
RETURN = program_pb2.TIER_CHANGE_CAUSE_RETURN
TIME = program_pb2.TIER_CHANGE_CAUSE_TIME
START = program_pb2.TIER_CHANGE_CAUSE_START
NOTHING = "prg_" + "0" * 32


@pytest.fixture
async def member(house):
    return await house.register()


@pytest.fixture
async def made(house):
    """Make programs that end with the test."""
    ids = []

    async def make(rules):
        ids.append(await programs.create(house, rules))
        return ids[-1]

    yield make
    for program_id in ids:
        await programs.end(house, program_id)


def bread(price, member, quantity=1000):
    return cart_of(line("1", "bread", price, quantity), member_id=member)


async def test_a_purchase_lifts_at_once_and_the_next_cart_knows(house, member, made):
    """The level is there when the receipt is, and a campaign may ask for it."""
    program_id = await made(programs.ladder("a", 0, 10_000))
    rules = promises.percent_off(1_000)
    rules.audience.tier_ids.append("a1")
    (campaign_id,) = await house.publish(rules)
    first = await house.evaluate(bread(9_000, member))
    assert first.discount_minor == 0
    assert [one.tier_id for one in first.tiers] == ["a0"]
    assert (first.tiers[0].amount, first.tiers[0].missing_amount) == (0, 10_000)
    assert "10.00 USD to “Level 1”" in [message.text.en for message in first.messages]
    receipt = await house.buy(bread(10_000, member))
    assert "You reach “Level 1”" in [one.text.en for one in receipt.evaluation.messages]
    second = await house.evaluate(bread(1_000, member))
    assert second.discount_minor == 100
    assert [one.tier_id for one in second.tiers] == ["a1"]
    assert second.tiers[0].privileges == ["priority_return"]
    assert (await programs.standings(house, member))[program_id].tier_id == "a1"
    assert await programs.steps(house, member) == [("a0", "a1", PURCHASE)]
    event = await house.event(lambda event: event.tier_changed.member_id == member)
    assert event.tier_changed.to_tier_id == "a1"
    assert event.tier_changed.receipt_id == receipt.receipt_id
    await house.end(campaign_id)


async def test_others_are_told_that_the_campaign_is_not_for_their_level(house, member, made):
    await made(programs.ladder("b", 0, 10_000))
    rules = promises.percent_off(1_000)
    rules.audience.tier_ids.append("b1")
    (campaign_id,) = await house.publish(rules)
    offer = await house.evaluate(bread(100, member))
    outcomes = {one.campaign_id: one.reason for one in offer.outcomes}
    assert outcomes.get(campaign_id) in {None, checkout_pb2.OUTCOME_REASON_NOT_IN_AUDIENCE}
    assert offer.discount_minor == 0
    await house.end(campaign_id)


async def test_a_return_takes_the_level_of_its_goods(house, member, made):
    """Part of it while enough stays, all of it at the end."""
    program_id = await made(programs.ladder("c", 0, 5_000, 10_000))
    receipt = await house.buy(bread(2_000, member, 5_000))
    assert (await programs.standings(house, member))[program_id].tier_id == "c2"
    await house.give_back(receipt, **{"1": 2_000})
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount, standing.missing_amount) == ("c1", 6_000, 4_000)
    await house.give_back(receipt, **{"1": 3_000})
    assert (await programs.standings(house, member))[program_id].tier_id == "c0"
    assert await programs.steps(house, member) == [
        ("c0", "c2", PURCHASE),
        ("c2", "c1", RETURN),
        ("c1", "c0", RETURN),
    ]


async def test_a_void_takes_the_level_too(house, member, made):
    program_id = await made(programs.ladder("d", 0, 5_000))
    receipt = await house.buy(bread(5_000, member))
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    )
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount) == ("d0", 0)


async def test_a_repeated_commit_counts_once(house, member, made):
    program_id = await made(programs.ladder("e", 0, 5_000))
    cart = bread(3_000, member)
    request = commit_of(cart, await house.evaluate(cart))
    for _ in range(3):
        await house.commit(request)
    assert (await programs.standings(house, member))[program_id].amount == 3_000


async def test_receipts_at_the_same_time_are_all_counted(house, member, made):
    """Sixteen tills, one member: the sum reaches the level, and one step is recorded."""
    program_id = await made(programs.ladder("f", 0, 16_000))
    await asyncio.gather(*(house.buy(bread(1_000, member)) for _ in range(16)))
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount) == ("f1", 16_000)
    assert await programs.steps(house, member) == [("f0", "f1", PURCHASE)]


async def test_a_new_program_counts_what_was_bought_before(house, member, made):
    """Less what came back of it, and nothing of what was undone."""
    kept = await house.buy(bread(2_000, member, 3_000))
    await house.give_back(kept, **{"1": 1_000})
    undone = await house.buy(bread(9_000, member))
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=undone.receipt_id)
    )
    program_id = await made(programs.ladder("g", 0, 4_000, 5_000))
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount) == ("g1", 4_000)
    assert await programs.steps(house, member) == [("g0", "g1", START)]


async def test_the_first_purchase_after_a_start_counts_with_those_before(house, member, made):
    """Nobody has looked at the member meanwhile."""
    await house.buy(bread(3_000, member))
    program_id = await made(programs.ladder("h", 0, 5_000))
    cart = bread(2_000, member)
    await house.commit(commit_of(cart, total=2_000))
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount) == ("h1", 5_000)


async def test_visits_points_and_units_of_some_goods(house, member, made):
    """Each measure counts what it says, of the goods that it names."""
    dairy = campaign_pb2.ItemFilter(category_ids=["dairy"])
    measures = {
        "i": program_pb2.Measure(kind=program_pb2.MEASURE_KIND_UNITS, filter=dairy),
        "j": program_pb2.Measure(kind=program_pb2.MEASURE_KIND_VISITS, receipt_min_minor=500),
        "k": program_pb2.Measure(kind=program_pb2.MEASURE_KIND_POINTS),
        "l": program_pb2.Measure(kind=program_pb2.MEASURE_KIND_SPEND, filter=dairy),
    }
    (earn,) = await house.publish(promises.earn(1_000))
    made_ids = {
        name: await made(programs.ladder(name, 0, 1_000, measure=measure))
        for name, measure in measures.items()
    }
    cart = cart_of(line("1", "milk", 100, 3_000), line("2", "bread", 1_000), member_id=member)
    await house.buy(cart)
    await house.buy(cart_of(line("1", "milk", 499), member_id=member))
    await house.buy(cart)
    standings = await programs.standings(house, member)
    amounts = {name: standings[program_id].amount for name, program_id in made_ids.items()}
    assert amounts == {"i": 7, "j": 1, "k": 130 + 49 + 130, "l": 300 + 499 + 300}
    await house.end(earn)


async def test_a_share_by_last_months_spend(house, member, made):
    """What a till of the past sends late counts in its own month."""
    window = program_pb2.CalendarWindow(unit=program_pb2.PERIOD_UNIT_MONTH, past_only=True)
    program_id = await made(programs.ladder("m", 0, 5_000, calendar=window))
    await house.buy(bread(6_000, member))
    assert (await programs.standings(house, member))[program_id].tier_id == "m0"
    last = datetime.now(UTC).replace(day=1) - timedelta(days=3)
    cart = bread(5_000, member)
    await house.commit(commit_of(cart, total=5_000, occurred=stamp(last)))
    standing = (await programs.standings(house, member))[program_id]
    assert (standing.tier_id, standing.amount) == ("m1", 6_000)
    shares = [promises.earn(100), promises.earn(700)]
    for place, share in enumerate(shares):
        share.audience.tier_ids.append(f"m{place}")
    campaign_ids = await house.publish(*shares)
    assert (await house.evaluate(bread(1_000, member))).points_earned == 70
    assert (await house.evaluate(bread(1_000, await house.register()))).points_earned == 10
    await house.end(*campaign_ids)


async def test_time_takes_levels_though_nobody_asks(house, member, made):
    """After a rolling window without purchases the sweep steps down and tells of it."""
    rolling = program_pb2.RollingWindow(days=30)
    program_id = await made(programs.ladder("n", 0, 5_000, rolling=rolling))
    await house.buy(bread(5_000, member))
    later = datetime.now(UTC) + timedelta(days=31)
    async with AsyncExitStack() as stack:
        role = await main.assemble(
            house.settings, stack, verifier=auth.Verifier(house.settings.auth), now=lambda: later
        )
        await role.news.begin()
        await role.reviews.sweep()
        await role.reviews.sweep()
    assert await programs.steps(house, member) == [("n0", "n1", PURCHASE), ("n1", "n0", TIME)]
    assert (await programs.standings(house, member))[program_id].tier_id == "n0"


async def test_an_ended_program_counts_and_tells_no_more(house, member):
    program_id = await programs.create(house, programs.ladder("o", 0, 5_000))
    await programs.end(house, program_id)
    await programs.end(house, program_id)
    await house.buy(bread(5_000, member))
    assert (await house.evaluate(bread(100, member))).tiers == []
    assert await programs.steps(house, member) == []
    answer = await house.call(
        programs.stub(house).GetProgram,
        program_service_pb2.GetProgramRequest(program_id=program_id),
    )
    assert answer.program.state == program_pb2.PROGRAM_STATE_ENDED
    assert answer.program.HasField("end_time")


async def test_programs_are_listed_newest_first_in_pages(house, made):
    ids = [await made(programs.ladder(prefix, 0)) for prefix in ("p", "q", "r")]
    found, token = [], ""
    while True:
        answer = await house.call(
            programs.stub(house).ListPrograms,
            program_service_pb2.ListProgramsRequest(
                state=program_pb2.PROGRAM_STATE_LIVE, page_size=2, page_token=token
            ),
        )
        found += [program.program_id for program in answer.programs]
        token = answer.next_page_token
        if not token:
            break
    assert found[:3] == ids[::-1]


async def test_a_repeated_request_makes_one_program(house):
    request = program_service_pb2.CreateProgramRequest(
        request_id=secrets.token_hex(8), rules=programs.ladder("s", 0)
    )
    first, again = [
        (await house.call(programs.stub(house).CreateProgram, request)).program for _ in range(2)
    ]
    assert first == again
    request.rules.tiers.tiers[0].title.en = "Other"
    said = await house.refusal(programs.stub(house).CreateProgram, request)
    assert (said.reason, said.metadata["field"]) == (
        "REQUEST_CONFLICT",
        "rules.tiers.tiers[0].title.en",
    )
    await programs.end(house, first.program_id)


async def test_refusals(house, made):
    """Each says what is wrong, and nothing was made."""
    stub = programs.stub(house)

    async def refused(rules):
        request = program_service_pb2.CreateProgramRequest(
            request_id=secrets.token_hex(8), rules=rules
        )
        return await house.refusal(stub.CreateProgram, request)

    said = await refused(programs.ladder("t", 5, 10))
    assert (said.reason, said.metadata["field"]) == (
        "PROGRAM_INVALID",
        "rules.tiers.tiers[0].from_amount",
    )
    program_id = await made(programs.ladder("u", 0, 10))
    said = await refused(programs.ladder("u", 0))
    assert (said.reason, said.metadata["tier_id"], said.metadata["program_id"]) == (
        "TIER_TAKEN",
        "u0",
        program_id,
    )
    for method, request in (
        (stub.GetProgram, program_service_pb2.GetProgramRequest(program_id=NOTHING)),
        (stub.EndProgram, program_service_pb2.EndProgramRequest(program_id=NOTHING)),
    ):
        assert (await house.refusal(method, request)).reason == "PROGRAM_NOT_FOUND"
    listing = program_service_pb2.ListProgramsRequest(page_token="x")
    assert (await house.refusal(stub.ListPrograms, listing)).reason == "PAGE_TOKEN_INVALID"
    changes = program_service_pb2.ListTierChangesRequest(
        member_id="mem_" + "0" * 32, page_token="x"
    )
    assert (await house.refusal(stub.ListTierChanges, changes)).reason == "PAGE_TOKEN_INVALID"
