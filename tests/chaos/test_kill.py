"""Processes are killed while tills sell: what was answered stays, and nothing happens twice."""

import asyncio
import os
import random
import time
import uuid
from typing import Any

import grpc
import pytest
from tessera.identity.v1 import member_service_pb2
from tessera.promotions.v1 import checkout_service_pb2

from tests.acceptance import chain

pytestmark = pytest.mark.usefixtures("shop")

LONG = os.environ.get("TESSERA_CHAOS") == "long"
KILLS = 12 if LONG else 2
TILLS = 6
PATIENCE_S = 90
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}


async def insist(program, method, request):
    """Repeat the same request until it is answered, as a till does."""
    until = time.monotonic() + PATIENCE_S
    pause = 0.05
    while True:
        try:
            return await program.call(method, request, timeout_s=5)
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRANSIENT or time.monotonic() > until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1)


async def register(pos):
    made = await insist(
        pos,
        pos.members.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=uuid.uuid4().hex, card_number=str(uuid.uuid4().int)[:16]
        ),
    )
    return made.member.member_id


async def sell(pos, member_id, stop, sold):
    """Sell bread to one member until told to stop; every answer is noted."""
    while not stop.is_set():
        basket = chain.cart(
            chain.line("1", "acc-bread", 1000, random.randrange(100, 5000)), member_id=member_id
        )
        request = checkout_service_pb2.CommitRequest(
            receipt_key=chain.receipt_key(),
            cart=basket,
            occurred_time=chain.moment(),
            expected_total_minor=basket.lines[0].unit_price_minor,
        )
        answer = await insist(pos, pos.checkout.Commit, request)
        sold.append((request, answer.receipt))


async def some_sales(sold):
    """Wait until every till has sold about twice more."""
    enough = len(sold) + 2 * TILLS
    until = time.monotonic() + PATIENCE_S
    while len(sold) < enough:
        assert time.monotonic() < until, "the tills do not sell"
        await asyncio.sleep(0.05)


async def settled(pos, request):
    """Return the receipt of a purchase when nothing about it is to come any more."""
    until = time.monotonic() + PATIENCE_S
    while True:
        again = await insist(pos, pos.checkout.Commit, request)
        assert again.replayed
        if not again.receipt.settled_later:
            return again.receipt
        assert time.monotonic() < until, "the points do not come"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("victim", ["ledger", "promotions", "identity", "valkey", "postgres"])
async def test_a_killed_process_loses_and_doubles_nothing(stack, pos, admin, victim):
    """Tills go on selling while the victim is killed again and again."""
    members = [await register(pos) for _ in range(TILLS)]
    stop = asyncio.Event()
    sold: list[Any] = []
    async with asyncio.TaskGroup() as group:
        for member_id in members:
            group.create_task(sell(pos, member_id, stop, sold))
        for _ in range(KILLS):
            await some_sales(sold)
            stack.kill(victim)
            await stack.recover()
        await some_sales(sold)
        stop.set()

    kept = [await settled(pos, request) for request, _ in sold]
    for (_, receipt), now in zip(sold, kept, strict=True):
        if receipt.settled_later:  # the price stood, and the points came when they could
            assert now.evaluation.total_minor == receipt.evaluation.total_minor
        else:
            assert now.evaluation == receipt.evaluation
    for member_id in members:
        earned = sum(
            receipt.evaluation.points_earned
            for receipt in kept
            if receipt.evaluation.member_id == member_id
        )
        assert earned > 0
        assert (await admin.points(member_id)).available == earned
