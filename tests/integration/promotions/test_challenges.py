"""Challenges: rewarded once through the ledger, taken back with the goods."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from google.type import date_pb2
from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import (
    checkout_service_pb2,
    program_pb2,
    program_service_pb2,
)

from services.chassis import ids
from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import cart_of, commit_of, line, stamp


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


def milk(member, units, price=100):
    return cart_of(line("1", "milk", price, units * 1_000), member_id=member)


async def until_points(house, member, points):
    """Wait until the ledger has what the program pays."""
    async with asyncio.timeout(10):
        while await house.points(member) != points:
            await asyncio.sleep(0.02)


async def quiet(house):
    """Wait until nothing is left to be paid."""
    async with asyncio.timeout(10):
        while await house.db.fetchval("SELECT count(*) FROM payouts WHERE state = 'PENDING'"):
            await asyncio.sleep(0.02)


async def test_a_goal_is_rewarded_once_and_told(house, member, made):
    """What is bought after it changes nothing."""
    program_id = await made(programs.challenge("Five of milk"))
    await house.buy(milk(member, 3))
    one = (await programs.challenges(house, member))[program_id]
    assert (one.amount, one.goal, one.reached, one.rewarded) == (3, 5, False, False)
    receipt = await house.buy(milk(member, 2))
    await until_points(house, member, 100)
    await house.buy(milk(member, 9))
    await quiet(house)
    assert await house.points(member) == 100
    one = (await programs.challenges(house, member))[program_id]
    assert (one.amount, one.reached, one.rewarded) == (14, True, True)
    assert one.reward.points.points == 100
    event = await house.event(lambda event: event.goal_changed.program_id == program_id)
    assert (event.goal_changed.reached, event.goal_changed.receipt_id) == (
        True,
        receipt.receipt_id,
    )


async def test_tills_at_the_same_time_reach_one_goal(house, member, made):
    program_id = await made(programs.challenge("Race"))
    await asyncio.gather(*(house.buy(milk(member, 1)) for _ in range(12)))
    await until_points(house, member, 100)
    await quiet(house)
    assert await house.points(member) == 100
    assert (await programs.challenges(house, member))[program_id].amount == 12


async def test_a_payout_that_was_posted_and_not_noted_is_paid_once(house, member, made):
    """As if the process had died between the ledger's answer and its own note of it."""
    program_id = await made(programs.challenge("Crash"))
    await house.buy(milk(member, 5))
    await until_points(house, member, 100)
    await quiet(house)
    forget = "UPDATE payouts SET state = 'PENDING' WHERE program_id = $1"
    await house.db.execute(forget, ids.parse("prg", program_id))
    await quiet(house)
    assert await house.points(member) == 100


async def test_a_return_takes_the_reward_and_a_new_purchase_earns_it_again(house, member, made):
    program_id = await made(programs.challenge("Back and forth"))
    receipt = await house.buy(milk(member, 5))
    await until_points(house, member, 100)
    await house.give_back(receipt, **{"1": 1_000})
    await until_points(house, member, 0)
    one = (await programs.challenges(house, member))[program_id]
    assert (one.amount, one.reached, one.rewarded) == (4, False, False)
    again = await house.buy(milk(member, 1))
    await until_points(house, member, 100)
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=again.receipt_id)
    )
    await until_points(house, member, 0)


async def test_a_reward_may_stay(house, member, made):
    await made(programs.challenge("Keep", keep_reward=True))
    receipt = await house.buy(milk(member, 5))
    await until_points(house, member, 100)
    await house.give_back(receipt, **{"1": 5_000})
    await house.buy(milk(member, 5))
    await quiet(house)
    assert await house.points(member) == 100


async def test_a_spent_reward_is_taken_as_far_as_it_is_there(house, member, made):
    """Points that paid for something else are gone."""
    await made(programs.challenge("Spent"))
    receipt = await house.buy(milk(member, 5))
    await until_points(house, member, 100)
    await house.buy(cart_of(line("1", "bread", 1_000), member_id=member, points=60))
    await house.give_back(receipt, **{"1": 5_000})
    await quiet(house)
    assert await house.points(member) == 0


async def test_a_reward_may_be_a_coupon(house, member, made):
    """The coupon is held by the member as if somebody had granted it."""
    code = "P" + secrets.token_hex(4)
    (campaign_id,) = await house.publish(promises.coupon(code, 50, personal=True))
    coupon = program_pb2.RewardCoupon(campaign_id=campaign_id, uses=2)
    rules = programs.challenge("Coupon")
    rules.challenge.reward.coupon.CopyFrom(coupon)
    await made(rules)
    await house.buy(milk(member, 5))
    async with asyncio.timeout(10):
        while not await house.available(
            account_pb2.OWNER_TYPE_MEMBER, member, f"coupon.{campaign_id}"
        ):
            await asyncio.sleep(0.02)
    cart = cart_of(line("1", "bread", 1_000), member_id=member, codes=(code,))
    assert (await house.evaluate(cart)).discount_minor == 50


async def test_a_streak_counts_weeks_in_a_row(house, member, made):
    """What was bought before the program was made fills no week, however late the till tells."""
    monday = datetime.now(UTC) - timedelta(days=datetime.now(UTC).weekday())
    program_id = await made(programs.challenge("Streak", goal=1, weeks=3))
    await house.buy(milk(member, 1))
    cart = milk(member, 1)
    await house.commit(commit_of(cart, total=100, occurred=stamp(monday - timedelta(weeks=1))))
    one = (await programs.challenges(house, member))[program_id]
    assert (one.amount, one.goal, one.reached) == (1, 3, False)


async def test_days_bound_a_challenge(house, member, made):
    """Tomorrow's challenge counts nothing today."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    day = date_pb2.Date(year=tomorrow.year, month=tomorrow.month, day=tomorrow.day)
    program_id = await made(programs.challenge("Tomorrow", first_date=day, last_date=day))
    await house.buy(milk(member, 5))
    one = (await programs.challenges(house, member))[program_id]
    assert (one.amount, one.reached, one.last_date) == (0, False, day)


async def test_refusals(house):
    """A challenge that cannot work, and a reward that nobody could give, are not made."""
    (shared,) = await house.publish(promises.coupon("SHARED" + secrets.token_hex(3), 50))
    draft = await house.draft(promises.coupon("DRAFT" + secrets.token_hex(3), 50, personal=True))

    async def refused(**fields):
        rules = programs.challenge("No")
        coupon = fields.pop("coupon", None)
        if coupon:
            rules.challenge.reward.coupon.CopyFrom(
                program_pb2.RewardCoupon(campaign_id=coupon, uses=1)
            )
        rules.challenge.MergeFrom(program_pb2.ChallengeRules(**fields))
        request = program_service_pb2.CreateProgramRequest(
            request_id=secrets.token_hex(8), rules=rules
        )
        said = await house.refusal(programs.stub(house).CreateProgram, request)
        return said.reason, said.metadata.get("field", "")

    early, late = date_pb2.Date(year=2030, month=1, day=1), date_pb2.Date(year=2030, month=2, day=1)
    assert await refused(first_date=late, last_date=early) == (
        "PROGRAM_INVALID",
        "rules.challenge.last_date",
    )
    assert await refused(last_date=date_pb2.Date(year=2030, month=2, day=30)) == (
        "PROGRAM_INVALID",
        "rules.challenge.last_date",
    )
    assert await refused(first_date=early, last_date=late, weeks=9) == (
        "PROGRAM_INVALID",
        "rules.challenge.weeks",
    )
    assert (await refused(coupon=shared))[0] == "COUPON_NOT_PERSONAL"
    assert (await refused(coupon=draft))[0] == "CAMPAIGN_STATE"
    assert (await refused(coupon="cmp_" + "0" * 32))[0] == "CAMPAIGN_NOT_FOUND"
    await house.end(shared)
