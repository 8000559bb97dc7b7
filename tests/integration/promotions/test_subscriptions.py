"""Subscriptions: paid for elsewhere, given at the till."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from tessera.promotions.v1 import (
    program_pb2,
    program_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)

from services.chassis import status
from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import House, cart_of, line, stamp

Request = subscription_service_pb2
NOTHING = "sub_" + "0" * 32


def stub(house: House) -> Any:
    return subscription_service_pb2_grpc.SubscriptionServiceStub(house.channel)


def plan(plan_id, **fields):
    rules = program_pb2.PlanRules(plan_id=plan_id, fee_minor=299, period_months=1, **fields)
    return program_pb2.ProgramRules(title=programs.text(plan_id), plan=rules)


@pytest.fixture
async def member(house):
    return await house.register()


async def subscribe(house, member, program_id, request_id=""):
    request = Request.SubscribeRequest(
        request_id=request_id or secrets.token_hex(8), member_id=member, program_id=program_id
    )
    return (await house.call(stub(house).Subscribe, request)).subscription


def payment(subscription_id, period=1, *, amount=299, payment_id=""):
    return Request.ConfirmPaymentRequest(
        subscription_id=subscription_id,
        payment_id=payment_id or secrets.token_hex(8),
        period=period,
        amount_minor=amount,
    )


async def pay(house, subscription_id, period=1):
    request = payment(subscription_id, period)
    return (await house.call(stub(house).ConfirmPayment, request)).subscription


async def test_a_plan_gives_from_its_first_payment_to_its_cancellation(house, member):
    """Before and after it the campaign is not for the member."""
    program_id = await programs.create(house, plan("plus"))
    rules = promises.percent_off(500)
    rules.audience.plan_ids.append("plus")
    (campaign_id,) = await house.publish(rules)
    cart = cart_of(line("1", "bread", 1_000), member_id=member)
    made = await subscribe(house, member, program_id)
    assert made.state == subscription_pb2.SUBSCRIPTION_STATE_AWAITING
    assert (await house.evaluate(cart)).discount_minor == 0
    paid = await pay(house, made.subscription_id)
    assert (paid.state, paid.paid_periods) == (subscription_pb2.SUBSCRIPTION_STATE_ACTIVE, 1)
    receipt = await house.buy(cart)
    assert receipt.evaluation.discount_minor == 50
    ended = await house.call(
        stub(house).CancelSubscription,
        Request.CancelSubscriptionRequest(subscription_id=made.subscription_id, at_once=True),
    )
    assert ended.subscription.state == subscription_pb2.SUBSCRIPTION_STATE_ENDED
    assert (await house.evaluate(cart)).discount_minor == 0
    # What was bought with the plan is returned as it was bought.
    assert (await house.give_back(receipt, **{"1": 1_000})).refund_minor == 950
    event = await house.event(
        lambda event: (
            event.subscription_changed.subscription_id == made.subscription_id
            and event.subscription_changed.state == "ACTIVE"
        )
    )
    assert event.subscription_changed.plan_id == "plus"
    await house.end(campaign_id)
    await programs.end(house, program_id)


async def test_a_trial_gives_at_once_and_only_once(house, member):
    program_id = await programs.create(house, plan("try", trial_days=7))
    first = await subscribe(house, member, program_id)
    assert first.state == subscription_pb2.SUBSCRIPTION_STATE_TRIAL
    cancel = Request.CancelSubscriptionRequest(subscription_id=first.subscription_id, at_once=True)
    await house.call(stub(house).CancelSubscription, cancel)
    second = await subscribe(house, member, program_id)
    assert second.state == subscription_pb2.SUBSCRIPTION_STATE_AWAITING
    answer = await house.call(
        stub(house).ListSubscriptions, Request.ListSubscriptionsRequest(member_id=member)
    )
    assert [one.subscription_id for one in answer.subscriptions] == [
        second.subscription_id,
        first.subscription_id,
    ]
    await programs.end(house, program_id)


async def test_cancelled_at_the_end_it_gives_what_is_paid_for_and_is_not_due(house, member):
    """A live one is due before its cover ends, a cancelled one never."""
    program_id = await programs.create(house, plan("due", trial_days=5, grace_days=5))
    kept = await subscribe(house, member, program_id)
    other = await subscribe(house, await house.register(), program_id)
    cancel = Request.CancelSubscriptionRequest(subscription_id=other.subscription_id)
    left = (await house.call(stub(house).CancelSubscription, cancel)).subscription
    assert left.state == subscription_pb2.SUBSCRIPTION_STATE_TRIAL
    assert left.end_time == left.covered_until
    again = (await house.call(stub(house).CancelSubscription, cancel)).subscription
    assert again == left

    async def due(days):
        found, token = [], ""
        while True:
            request = Request.ListDueRenewalsRequest(
                before_time=stamp(datetime.now(UTC) + timedelta(days=days)),
                page_size=1,
                page_token=token,
            )
            answer = await house.call(stub(house).ListDueRenewals, request)
            found += [one.subscription_id for one in answer.subscriptions]
            token = answer.next_page_token
            if not token:
                return found

    assert kept.subscription_id not in await due(4)
    assert kept.subscription_id in await due(6)
    assert other.subscription_id not in await due(6)
    third = await subscribe(house, await house.register(), program_id)
    assert (await due(6))[-2:] == [kept.subscription_id, third.subscription_id]
    await programs.end(house, program_id)
    assert kept.subscription_id not in await due(6)


async def test_a_payment_counts_once_however_often_it_is_told(house, member):
    program_id = await programs.create(house, plan("once"))
    made = await subscribe(house, member, program_id)
    request = payment(made.subscription_id)
    answers = await asyncio.gather(
        *(house.call(stub(house).ConfirmPayment, request) for _ in range(5))
    )
    assert {one.subscription.paid_periods for one in answers} == {1}
    await programs.end(house, program_id)


async def test_two_payments_for_one_period_leave_one_and_a_refusal(house, member):
    """The caller whose payment is refused knows that the money goes back."""
    program_id = await programs.create(house, plan("race"))
    made = await subscribe(house, member, program_id)

    async def race():
        try:
            await house.call(stub(house).ConfirmPayment, payment(made.subscription_id))
        except grpc.aio.AioRpcError as error:
            answer = status.read(error)
            return answer.reason, answer.metadata["period"]
        return "paid"

    outcomes = await asyncio.gather(*(race() for _ in range(4)))
    assert outcomes.count("paid") == 1
    assert set(outcomes) == {"paid", ("PAYMENT_PERIOD", "2")}
    await programs.end(house, program_id)


async def test_a_member_subscribes_once_at_a_time(house, member):
    """However many ask at the same moment; a repeated request is answered."""
    program_id = await programs.create(house, plan("single"))
    made = await subscribe(house, member, program_id, request_id="single-request")
    assert await subscribe(house, member, program_id, request_id="single-request") == made
    other = Request.SubscribeRequest(
        request_id=secrets.token_hex(8), member_id=member, program_id=program_id
    )
    said = await house.refusal(stub(house).Subscribe, other)
    assert (said.reason, said.metadata["subscription_id"]) == (
        "SUBSCRIPTION_EXISTS",
        made.subscription_id,
    )
    other.request_id, other.member_id = "single-request", await house.register()
    said = await house.refusal(stub(house).Subscribe, other)
    assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", "member_id")
    await programs.end(house, program_id)


async def test_refusals(house, member):
    """Each says what is wrong, and nothing has changed."""
    program_id = await programs.create(house, plan("no"))
    made = await subscribe(house, member, program_id)
    confirm, cancel = stub(house).ConfirmPayment, stub(house).CancelSubscription

    said = await house.refusal(confirm, payment(made.subscription_id, amount=298))
    assert (said.reason, said.metadata["fee_minor"]) == ("PAYMENT_AMOUNT", "299")
    said = await house.refusal(confirm, payment(made.subscription_id, 2))
    assert (said.reason, said.metadata["period"]) == ("PAYMENT_PERIOD", "1")
    assert (await house.refusal(confirm, payment(NOTHING))).reason == "SUBSCRIPTION_NOT_FOUND"
    used = payment(made.subscription_id)
    await house.call(confirm, used)
    used.period = 2
    said = await house.refusal(confirm, used)
    assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", "period")

    at_once = Request.CancelSubscriptionRequest(subscription_id=made.subscription_id, at_once=True)
    await house.call(cancel, at_once)
    assert (await house.refusal(cancel, at_once)).reason == "SUBSCRIPTION_ENDED"
    said = await house.refusal(confirm, payment(made.subscription_id, 2))
    assert said.reason == "SUBSCRIPTION_ENDED"
    missing = Request.CancelSubscriptionRequest(subscription_id=NOTHING)
    assert (await house.refusal(cancel, missing)).reason == "SUBSCRIPTION_NOT_FOUND"
    get = Request.GetSubscriptionRequest(subscription_id=NOTHING)
    said = await house.refusal(stub(house).GetSubscription, get)
    assert said.reason == "SUBSCRIPTION_NOT_FOUND"
    listing = Request.ListDueRenewalsRequest(before_time=stamp(), page_token="x")
    said = await house.refusal(stub(house).ListDueRenewals, listing)
    assert said.reason == "PAGE_TOKEN_INVALID"

    async def refused(member_id, to):
        request = Request.SubscribeRequest(
            request_id=secrets.token_hex(8), member_id=member_id, program_id=to
        )
        return (await house.refusal(stub(house).Subscribe, request)).reason

    assert await refused(member, "prg_" + "0" * 32) == "PROGRAM_NOT_FOUND"
    assert await refused("mem_" + "0" * 32, program_id) == "MEMBER_UNKNOWN"
    levels = await programs.create(house, programs.ladder("v", 0))
    assert await refused(member, levels) == "PROGRAM_NOT_FOUND"
    again = program_service_pb2.CreateProgramRequest(
        request_id=secrets.token_hex(8), rules=plan("no")
    )
    said = await house.refusal(programs.stub(house).CreateProgram, again)
    assert (said.reason, said.metadata["program_id"]) == ("PLAN_TAKEN", program_id)
    await programs.end(house, program_id)
    await programs.end(house, levels)
    assert await refused(await house.register(), program_id) == "PROGRAM_ENDED"
