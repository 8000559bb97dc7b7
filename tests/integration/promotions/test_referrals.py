"""Referrals: both sides are rewarded once, and nobody who should not be."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from tessera.promotions.v1 import (
    checkout_service_pb2,
    program_pb2,
    referral_service_pb2,
    referral_service_pb2_grpc,
)

from services.chassis import auth, ids, status
from services.promotions import main
from tests.integration.promotions import programs
from tests.integration.promotions.houses import House, cart_of, line

Request = referral_service_pb2


def stub(house: House) -> Any:
    return referral_service_pb2_grpc.ReferralServiceStub(house.channel)


def points(count):
    return program_pb2.ProgramReward(points=program_pb2.RewardPoints(points=count))


def bring(**fields):
    """Return a program: 200 points for the one, 100 for the other, for a purchase of 10.00."""
    rules = program_pb2.ReferralRules(
        measure=program_pb2.Measure(kind=program_pb2.MEASURE_KIND_SPEND, receipt_min_minor=1_000),
        referrer_reward=points(200),
        newcomer_reward=points(100),
        claim_days=30,
    )
    rules.MergeFrom(program_pb2.ReferralRules(**fields))
    return program_pb2.ProgramRules(title=programs.text("Bring a friend"), referral=rules)


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


async def code_of(house, member, program_id):
    request = Request.IssueReferralCodeRequest(member_id=member, program_id=program_id)
    return (await house.call(stub(house).IssueReferralCode, request)).code


def claim_of(newcomer, code):
    return Request.ClaimReferralRequest(newcomer_id=newcomer, code=code)


async def claim(house, newcomer, code):
    answer = await house.call(stub(house).ClaimReferral, claim_of(newcomer, code))
    return answer.referral


async def state(house, referrer):
    answer = await house.call(
        stub(house).ListReferrals, Request.ListReferralsRequest(member_id=referrer)
    )
    return [Request.ReferralState.Name(one.state) for one in answer.referrals]


def buy(house, member, price=1_000, quantity=1_000):
    return house.buy(cart_of(line("1", "bread", price, quantity), member_id=member))


async def until_points(house, **wanted):
    async with asyncio.timeout(10):
        for member, count in wanted.items():
            while await house.points(member) != count:
                await asyncio.sleep(0.02)


async def test_both_are_rewarded_once_after_the_first_purchase_that_counts(house, made):
    """A small purchase does not count, a second big one gives nothing more."""
    program_id = await made(bring())
    referrer, newcomer = await house.register(), await house.register()
    code = await code_of(house, referrer, program_id)
    assert await code_of(house, referrer, program_id) == code
    first = await claim(house, newcomer, code.lower())
    assert await claim(house, newcomer, code) == first
    await buy(house, newcomer, 999)
    assert await state(house, referrer) == ["REFERRAL_STATE_CLAIMED"]
    await asyncio.gather(*(buy(house, newcomer) for _ in range(6)))
    await until_points(house, **{referrer: 200, newcomer: 100})
    await buy(house, newcomer)
    assert await state(house, referrer) == ["REFERRAL_STATE_REWARDED"]
    assert (await house.points(referrer), await house.points(newcomer)) == (200, 100)
    event = await house.event(lambda event: event.referral_rewarded.newcomer_id == newcomer)
    assert event.referral_rewarded.referrer_id == referrer


async def test_nothing_is_paid_while_the_goods_may_come_back(house, made):
    """They come back: nothing. Others stay: both are to be paid when the days have passed."""
    program_id = await made(bring(hold_days=14))
    referrer, newcomer = await house.register(), await house.register()
    await claim(house, newcomer, await code_of(house, referrer, program_id))
    receipt = await buy(house, newcomer)
    assert await state(house, referrer) == ["REFERRAL_STATE_QUALIFIED"]
    await house.give_back(receipt, **{"1": 1_000})
    assert await state(house, referrer) == ["REFERRAL_STATE_CLAIMED"]
    undone = await buy(house, newcomer)
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=undone.receipt_id)
    )
    assert await state(house, referrer) == ["REFERRAL_STATE_CLAIMED"]
    await buy(house, newcomer)
    await sweep(house, days=13)
    assert await state(house, referrer) == ["REFERRAL_STATE_QUALIFIED"]
    assert await payouts(house, program_id) == 0
    await sweep(house, days=14)
    await sweep(house, days=14)
    assert await state(house, referrer) == ["REFERRAL_STATE_REWARDED"]
    assert await payouts(house, program_id) == 2


async def payouts(house, program_id):
    """Return how many payouts a program has written; the ledger takes none of the future."""
    count = "SELECT count(*) FROM payouts WHERE program_id = $1"
    return await house.db.fetchval(count, ids.parse("prg", program_id))


async def test_a_claim_without_a_purchase_lapses(house, made):
    program_id = await made(bring())
    referrer, newcomer = await house.register(), await house.register()
    await claim(house, newcomer, await code_of(house, referrer, program_id))
    await sweep(house, days=31)
    assert await state(house, referrer) == ["REFERRAL_STATE_LAPSED"]


async def sweep(house, *, days):
    """Let a process look at what is due so many days later."""
    later = datetime.now(UTC) + timedelta(days=days)
    async with AsyncExitStack() as stack:
        role = await main.assemble(
            house.settings, stack, verifier=auth.Verifier(house.settings.auth), now=lambda: later
        )
        await role.news.begin()
        await role.reviews.sweep()


async def test_a_newcomer_is_claimed_once_however_many_try(house, made):
    """Eight codes at the same moment: one has brought the newcomer."""
    program_id = await made(bring())
    referrers = [await house.register() for _ in range(8)]
    codes = [await code_of(house, referrer, program_id) for referrer in referrers]
    newcomer = await house.register()

    async def race(code):
        try:
            await claim(house, newcomer, code)
        except grpc.aio.AioRpcError as error:
            return status.read(error).reason
        return "claimed"

    outcomes = await asyncio.gather(*map(race, codes))
    assert sorted(outcomes) == ["REFERRAL_CLAIMED"] * 7 + ["claimed"]


async def test_the_bound_holds_however_many_claim(house, made):
    """Two are rewarded, six come too late."""
    program_id = await made(bring(referrals_max=2))
    referrer = await house.register()
    code = await code_of(house, referrer, program_id)
    newcomers = [await house.register() for _ in range(8)]

    async def race(newcomer):
        try:
            await claim(house, newcomer, code)
        except grpc.aio.AioRpcError as error:
            return status.read(error).reason
        return "claimed"

    outcomes = await asyncio.gather(*map(race, newcomers))
    assert sorted(outcomes) == ["REFERRAL_LIMIT"] * 6 + ["claimed"] * 2


async def test_refusals(house, made):
    """Nobody brings themselves, an old member, each other, or by a code that is none."""
    program_id = await made(bring())
    method = stub(house).ClaimReferral
    one, other, old = [await house.register() for _ in range(3)]
    code = await code_of(house, one, program_id)
    other_code = await code_of(house, other, program_id)
    await buy(house, old, 10)

    async def refused(newcomer, sent):
        return (await house.refusal(method, claim_of(newcomer, sent))).reason

    assert await refused(one, code) == "REFERRAL_SELF"
    assert await refused(old, code) == "REFERRAL_NOT_NEW"
    assert await refused(other, "22222222") == "REFERRAL_CODE_UNKNOWN"
    assert await refused("mem_" + "0" * 32, code) == "MEMBER_UNKNOWN"
    await claim(house, other, code)
    assert await refused(one, other_code) == "REFERRAL_SELF"
    third = await house.register()
    third_code = await code_of(house, third, program_id)
    assert await refused(other, third_code) == "REFERRAL_CLAIMED"

    issue = stub(house).IssueReferralCode
    nothing = Request.IssueReferralCodeRequest(member_id=one, program_id="prg_" + "0" * 32)
    assert (await house.refusal(issue, nothing)).reason == "PROGRAM_NOT_FOUND"
    nobody = Request.IssueReferralCodeRequest(member_id="mem_" + "0" * 32, program_id=program_id)
    assert (await house.refusal(issue, nobody)).reason == "MEMBER_UNKNOWN"
    ended = await programs.create(house, bring())
    late = await code_of(house, third, ended)
    await programs.end(house, ended)
    assert await refused(await house.register(), late) == "PROGRAM_ENDED"
    gone = Request.IssueReferralCodeRequest(member_id=one, program_id=ended)
    assert (await house.refusal(issue, gone)).reason == "PROGRAM_ENDED"
