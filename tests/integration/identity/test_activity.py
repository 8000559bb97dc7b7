"""What identity learns from the events of promotions."""

import asyncio
import itertools
import random
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis.asyncio
from tessera.event.v1 import event_pb2, promotions_events_pb2
from tessera.identity.v1 import member_pb2
from tessera.identity.v1 import member_service_pb2 as messages

from services.chassis import ids, timestamps
from services.identity import consumer, storage

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WAIT_S_MAX = 15


def committed(receipt_id: str, member_id: str, occurred: datetime) -> event_pb2.Event:
    return made(
        receipt_committed=promotions_events_pb2.ReceiptCommitted(
            receipt_id=receipt_id, member_id=member_id, occurred_time=timestamps.show(occurred)
        )
    )


def voided(receipt_id: str, member_id: str) -> event_pb2.Event:
    return made(
        receipt_voided=promotions_events_pb2.ReceiptVoided(
            receipt_id=receipt_id, member_id=member_id
        )
    )


def returned(receipt_id: str, member_id: str, *, emptied: bool) -> event_pb2.Event:
    return made(
        receipt_returned=promotions_events_pb2.ReceiptReturned(
            return_id=ids.new("rcp"),
            receipt_id=receipt_id,
            member_id=member_id,
            purchase_emptied=emptied,
        )
    )


def made(**payload: Any) -> event_pb2.Event:
    return event_pb2.Event(
        event_id=ids.new("evt"),
        source="promotions",
        occurred_time=timestamps.show(NOON),
        **payload,
    )


async def register(identity: Any) -> str:
    request = messages.RegisterMemberRequest(
        request_id=secrets.token_hex(8), card_number=secrets.token_hex(8)
    )
    response = await identity.call(identity.members.RegisterMember, request)
    member_id: str = response.member.member_id
    return member_id


async def activity_of(identity: Any, member_id: str) -> tuple[int, datetime | None]:
    request = messages.GetMemberContextRequest(key=member_pb2.MemberKey(member_id=member_id))
    context = (await identity.call(identity.members.GetMemberContext, request)).context
    last = context.last_purchase_time
    is_set = context.HasField("last_purchase_time")
    return context.purchase_count, timestamps.read(last) if is_set else None


@pytest.fixture(scope="module")
def handle(identity: Any) -> Any:
    return consumer.PurchaseHandler(storage.ActivityStorage(identity.db)).handle


async def test_purchases_arrive_through_the_stream(identity: Any) -> None:
    """What promotions publishes is soon in the member's context."""
    member_id = await register(identity)
    receipts = [ids.new("rcp") for _ in range(3)]
    events = [
        committed(receipt, member_id, NOON + timedelta(days=day))
        for day, receipt in enumerate(receipts)
    ]
    events += [voided(receipts[2], member_id), committed(ids.new("rcp"), "", NOON)]
    async with redis.asyncio.from_url(identity.settings.hotstore.url) as valkey:
        for event in events * 2:
            fields: Any = {"id": event.event_id, "data": event.SerializeToString()}
            await valkey.xadd(consumer.STREAM, fields)
    async with asyncio.timeout(WAIT_S_MAX):
        expected = (2, NOON + timedelta(days=1))
        while await activity_of(identity, member_id) != expected:
            await asyncio.sleep(0.05)


async def test_any_order_and_any_repeats_end_alike(identity: Any, handle: Any) -> None:
    """A void before its purchase, a purchase twice, a return in between: one result."""
    for order in itertools.permutations(range(4)):
        member_id = await register(identity)
        kept, undone = ids.new("rcp"), ids.new("rcp")
        events = [
            committed(kept, member_id, NOON),
            committed(undone, member_id, NOON + timedelta(days=1)),
            voided(undone, member_id),
            returned(kept, member_id, emptied=False),
        ]
        for place in (*order, *reversed(order)):
            await handle(events[place])
        assert await activity_of(identity, member_id) == (1, NOON)


async def test_purchase_counts_until_all_of_it_is_back(identity: Any, handle: Any) -> None:
    """A part that comes back leaves a purchase; the last part takes it away."""
    member_id, receipt = await register(identity), ids.new("rcp")
    await handle(committed(receipt, member_id, NOON))
    await handle(returned(receipt, member_id, emptied=False))
    assert await activity_of(identity, member_id) == (1, NOON)
    await handle(returned(receipt, member_id, emptied=True))
    assert await activity_of(identity, member_id) == (0, None)


async def test_late_receipt_does_not_move_the_last_purchase_back(
    identity: Any, handle: Any
) -> None:
    """Receipts from a store that was offline come late; the latest purchase stays the latest."""
    member_id = await register(identity)
    await handle(committed(ids.new("rcp"), member_id, NOON))
    await handle(committed(ids.new("rcp"), member_id, NOON - timedelta(days=3)))
    assert await activity_of(identity, member_id) == (2, NOON)


async def test_events_handled_at_once_add_up(identity: Any, handle: Any) -> None:
    """Several processes on one member: counts and times are those of what is left."""
    member_id = await register(identity)
    receipts = {ids.new("rcp"): NOON + timedelta(hours=hour) for hour in range(40)}
    undone = set(list(receipts)[20:])
    events = [committed(receipt, member_id, time) for receipt, time in receipts.items()]
    events += [voided(receipt, member_id) for receipt in undone]
    random.Random(7).shuffle(events)
    await asyncio.gather(*(handle(event) for event in events))
    left = [time for receipt, time in receipts.items() if receipt not in undone]
    assert await activity_of(identity, member_id) == (len(left), max(left))
