"""What time does to balances: activation, expiry, release, and the sweeper that comes late."""

from datetime import timedelta

import pytest
from tessera.event.v1 import event_pb2
from tessera.ledger.v1 import asset_pb2, ledger_service_pb2

from services.chassis import timestamps
from services.ledger import storage, sweeper
from services.ledger.committer import Committer
from tests.integration.ledger.conftest import move, release, world

pb = ledger_service_pb2


@pytest.fixture(scope="module", autouse=True)
async def _assets(ledger):
    days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    await ledger.asset("short", lot_policy=asset_pb2.LotPolicy(rolling=days, time_zone="UTC"))
    await ledger.asset(
        "late", lot_policy=asset_pb2.LotPolicy(pending_days=3, rolling=days, time_zone="UTC")
    )
    await ledger.asset(
        "held",
        lot_policy=asset_pb2.LotPolicy(pending_until_release=True, rolling=days, time_zone="UTC"),
    )
    sliding = asset_pb2.SlidingExpiry(days=10)
    await ledger.asset("lazy", lot_policy=asset_pb2.LotPolicy(sliding=sliding, time_zone="UTC"))


async def _expired(ledger):
    """Return the LotsExpired events that wait in the outbox or have left it.

    The outbox is read first: what leaves it meanwhile is in the stream already.
    """
    waiting = await ledger.db.fetch("SELECT payload FROM outbox_events")
    gone = await ledger.hot.client.xrange("events.ledger")
    found = [row["payload"] for row in waiting] + [fields[b"data"] for _, fields in gone]
    events = [event_pb2.Event.FromString(payload) for payload in found]
    each = {event.event_id: event for event in events if event.HasField("lots_expired")}
    return list(each.values())


async def test_a_balance_expires_at_the_instant_though_nothing_is_booked(ledger, turned):
    """Read from the copy, from PostgreSQL, and by a spending."""
    anna = ledger.member("short")
    await ledger.earn(anna, 40)
    first = (await ledger.balances(anna))[0]
    assert (first.available, first.next_expire_amount) == (40, 40)
    turned(days=9.99)
    assert await ledger.available(anna) == 40
    turned(days=10.01)
    assert await ledger.available(anna) == 0
    assert await ledger.available(anna, version_min=2) == 0
    assert (await ledger.spend(anna, 1)).refusal.metadata["available"] == "0"
    assert await ledger.truth(anna) == 40
    earned = await ledger.earn(anna, 5)
    assert earned.balances[0].version == 3
    assert await ledger.truth(anna) == 5


async def test_pending_points_become_active_by_themselves(ledger, turned):
    """Their copy in Valkey is good until that very moment."""
    anna = ledger.member("late")
    await ledger.earn(anna, 100)
    before = (await ledger.balances(anna))[0]
    assert (before.available, before.pending) == (0, 100)
    turned(days=3.01)
    after = (await ledger.balances(anna))[0]
    assert (after.available, after.pending, after.version) == (100, 0, before.version)
    turned(days=12.99)
    assert await ledger.available(anna) == 100
    turned(days=13.01)
    assert await ledger.available(anna) == 0


async def test_a_release_starts_the_clock(ledger, turned):
    """Active at the release, expired ten days after it."""
    anna = ledger.member("held")
    earned = await ledger.earn(anna, 100)
    turned(days=300)
    assert (await ledger.balances(anna))[0].pending == 100
    released = await ledger.post(release(earned))
    assert (released.balances[0].available, released.balances[0].version) == (100, 2)
    turned(days=309.99)
    assert await ledger.available(anna) == 100
    turned(days=310.01)
    assert await ledger.available(anna) == 0


async def test_a_sliding_balance_lives_from_credit_to_credit(ledger, turned):
    """And is spent as long as it lives."""
    anna = ledger.member("lazy")
    await ledger.earn(anna, 10)
    turned(days=9)
    await ledger.earn(anna, 10)
    turned(days=18)
    assert (await ledger.spend(anna, 15)).operations[0].amount == 15
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    assert [lot.remaining for lot in lots] == [5]
    turned(days=21)
    assert await ledger.available(anna) == 0
    assert not (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots


async def test_terms_given_by_the_caller_come_first(ledger, turned):
    """An activation and an expiry of the lot's own."""
    anna = ledger.member("short")
    now = ledger.now()
    await ledger.earn(
        anna,
        7,
        lot_activate_time=timestamps.show(now + timedelta(days=20)),
        lot_expire_time=timestamps.show(now + timedelta(days=40)),
    )
    turned(days=30)
    assert await ledger.available(anna) == 7
    turned(days=40.01)
    assert await ledger.available(anna) == 0


async def test_a_late_receipt_earns_from_its_own_day(ledger):
    """Nine of ten days are over when it arrives."""
    anna = ledger.member("short")
    occurred = timestamps.show(ledger.now() - timedelta(days=9))
    result = await ledger.post(move(world("short"), anna, 10), occurred_time=occurred)
    expires = timestamps.read(result.balances[0].next_expire_time)
    assert expires == timestamps.read(occurred) + timedelta(days=10)


async def test_the_sweeper_books_what_expired_and_tells(ledger, turned):
    """Every account once, lots and sliding balances alike; a second sweep finds nothing."""
    members = [ledger.member(code) for code in ("short", "lazy") for _ in range(5)]
    for member in members:
        await ledger.earn(member, 10)
    turned(days=50)
    told = len(await _expired(ledger))
    assert await _sweep(ledger) >= len(members)
    assert [await ledger.truth(member) for member in members] == [0] * len(members)
    entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=members[0]))).entries
    assert [(entry.amount, entry.operation_index, entry.batch_id == "") for entry in entries] == [
        (-10, -1, True),
        (10, 0, False),
    ]
    assert entries[0].counterparty.owner_id == "breakage"
    events = await _expired(ledger)
    assert len(events) >= told + len(members)
    owners = {event.lots_expired.owner for event in events}
    assert {f"member:{member.owner.owner_id}" for member in members} <= owners
    assert await _sweep(ledger) == 0
    turned(days=51)
    assert await _sweep(ledger) == 0


async def _sweep(ledger):
    """Sweep as the background does."""
    upkeep = storage.Upkeep()
    postings = storage.Postings(ledger.db)

    async def publish(balances):
        assert balances

    committer = Committer(postings, storage.Assets(ledger.db), publish=publish, now=ledger.now)
    one = sweeper.Sweeper(ledger.db, upkeep, committer, interval_s=1, now=ledger.now)
    import asyncio

    running = asyncio.create_task(committer.run())
    try:
        async with ledger.db.sole("test upkeep") as session:
            return await one.sweep(session)
    finally:
        running.cancel()
