"""Outbox, relay and consumers against real servers: nothing lost, order kept, poison set aside."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from google.protobuf import timestamp_pb2
from tessera.event.v1 import event_pb2, identity_events_pb2

from services.chassis import (
    config,
    database,
    errors,
    hotstore,
    ids,
    migrations,
    outbox,
    streams,
    tasks,
    telemetry,
)


@pytest.fixture
async def db(empty_database, tmp_path):
    settings = empty_database.settings()
    (tmp_path / "0001_pre_outbox.sql").write_text(outbox.DDL.format(role="chassis"))
    await migrations.apply(settings, tmp_path)
    async with database.Database.open(settings) as opened:
        yield opened


@pytest.fixture
async def hot(valkey):
    settings = config.HotstoreSettings(url=valkey.url, timeout_ms=2000)
    async with hotstore.Hotstore.open(settings) as opened:
        await opened.client.flushall()
        yield opened


@asynccontextmanager
async def running(*works):
    started = [asyncio.create_task(work()) for work in works]
    try:
        yield
    finally:
        await tasks.end(*started)


def make_event(number):
    return event_pb2.Event(
        source="chassis",
        subject_id=str(number),
        occurred_time=timestamp_pb2.Timestamp(seconds=number),
        member_registered=identity_events_pb2.MemberRegistered(member_id=str(number)),
    )


async def append(db, *numbers):
    async with db.transaction() as tx:
        await outbox.append(tx, *map(make_event, numbers))


async def sent(hot):
    """Return the subjects in the stream, in their order, with each event's id."""
    entries = await hot.client.xrange("events.chassis")
    events = [event_pb2.Event.FromString(fields[b"data"]) for _, fields in entries]
    return [(event.event_id, int(event.subject_id)) for event in events]


async def is_empty(db):
    return await db.fetchval("SELECT count(*) FROM outbox_events") == 0


async def test_event_and_fact_commit_together(db, hot, eventually):
    """What was rolled back never leaves."""

    async def fail():
        async with db.transaction() as tx:
            await outbox.append(tx, make_event(1))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await append(db, 2)
    async with running(outbox.Relay(db, hot, role="chassis").run):
        await eventually(lambda: is_empty(db))
    assert [number for _, number in await sent(hot)] == [2]


async def test_append_fills_in_identity_and_trace(db):
    """The event belongs to the trace of the call that caused it."""
    parent = f"00-{'e' * 32}-{'f' * 16}-01"
    event = make_event(1)
    telemetry.begin(parent, "")
    async with db.transaction() as tx:
        await outbox.append(tx, event)
    telemetry.begin("", "")
    assert ids.parse("evt", event.event_id).version == 7
    assert event.trace_parent == parent


async def test_events_leave_in_the_order_of_their_transactions(db, hot, eventually):
    """A batch of the relay is smaller than what waits, and order holds across batches."""
    for start in range(0, 300, 10):
        await append(db, *range(start, start + 10))
    async with running(outbox.Relay(db, hot, role="chassis", batch=7).run):
        await eventually(lambda: is_empty(db))
    assert [number for _, number in await sent(hot)] == list(range(300))


async def test_only_one_of_many_relays_sends(db, hot, eventually):
    """Several processes of a role do not mix up the order."""
    relays = [outbox.Relay(db, hot, role="chassis", batch=5) for _ in range(3)]
    async with running(*(relay.run for relay in relays)):
        for number in range(100):
            await append(db, number)
        await eventually(lambda: is_empty(db))
    assert [number for _, number in await sent(hot)] == list(range(100))


async def test_relay_that_dies_repeats_but_never_reorders(db, hot, eventually, monkeypatch):
    """A crash between sending and deleting sends a batch again; order by first sight stays."""
    crashes = 0
    execute = database.Transaction.execute

    async def dying(self, sql, *arguments):
        nonlocal crashes
        if sql == outbox._DELETE and crashes < 3:
            crashes += 1
            raise errors.Unavailable(dependency="postgresql")
        return await execute(self, sql, *arguments)

    monkeypatch.setattr(database.Transaction, "execute", dying)
    monkeypatch.setattr(tasks, "_RETRY_S", 0.01)
    await append(db, *range(50))
    async with running(outbox.Relay(db, hot, role="chassis", batch=20).run):
        await eventually(lambda: is_empty(db))
    events = await sent(hot)
    assert len(events) == 50 + 3 * 20
    seen = list(dict.fromkeys(number for _, number in events))
    assert seen == list(range(50))
    assert set(Counter(event_id for event_id, _ in events).values()) == {1, 4}


async def test_number_that_becomes_visible_late_is_not_lost(db, hot, eventually):
    """A slow transaction holds a low number; later ones pass it, and it leaves when it commits."""
    async with running(outbox.Relay(db, hot, role="chassis").run), db.transaction() as slow:
        await outbox.append(slow, make_event(1))
        await append(db, 2)
        await eventually(lambda: hot.client.xlen("events.chassis"))
        assert [number for _, number in await sent(hot)] == [2]
    async with running(outbox.Relay(db, hot, role="chassis").run):
        await eventually(lambda: is_empty(db))
    # Ending the first relay may have repeated what it had just sent.
    assert list(dict.fromkeys(number for _, number in await sent(hot))) == [2, 1]


async def test_nudge_sends_at_once(db, hot, eventually, monkeypatch):
    """Who has just committed need not wait for the next look."""
    monkeypatch.setattr(outbox, "_IDLE_S", 60)
    relay = outbox.Relay(db, hot, role="chassis")
    async with running(relay.run):
        for number in range(3):
            await append(db, number)
            relay.nudge()
            await eventually(lambda: is_empty(db))


class Recorder:
    """A handler that fails as told."""

    def __init__(self):
        self.handled = []
        self.attempts: Counter[int] = Counter()
        self.failures = {}

    async def __call__(self, event):
        number = int(event.subject_id)
        self.attempts[number] += 1
        failure = self.failures.get(number)
        if failure is not None:
            raise failure
        self.handled.append(number)


STREAM = "events.chassis"


async def publish(hot, *numbers):
    for number in numbers:
        event = make_event(number)
        event.event_id = ids.new("evt")
        fields = {"id": event.event_id, "data": event.SerializeToString()}
        await hot.client.xadd(STREAM, fields)


def consumer(hot, handler, group="readers", **options):
    return streams.Consumer(hot, stream=STREAM, group=group, handler=handler, **options)


async def pending(hot, group="readers"):
    return (await hot.client.xpending(STREAM, group))["pending"]


async def test_events_are_handled_in_order_and_acknowledged(hot, eventually):
    """A group that is new starts with the oldest event."""
    await publish(hot, 1, 2, 3)
    handler = Recorder()
    async with running(consumer(hot, handler).run):
        await eventually(lambda: handler.handled == [1, 2, 3])
        await publish(hot, 4)
        await eventually(lambda: handler.handled == [1, 2, 3, 4])

        async def is_done():
            return await pending(hot) == 0

        await eventually(is_done)


async def test_what_arrives_at_once_may_be_handled_together(hot, eventually):
    """One go for all of it; when that fails, each event goes its own way, in order."""
    handler, together = Recorder(), []

    async def handle_all(events):
        together.append([event.subject_id for event in events])
        if len(together) == 2:
            raise ValueError("not these")

    await publish(hot, 1, 2, 3)
    async with running(consumer(hot, handler, together=handle_all).run):
        await eventually(lambda: len(together) == 1)

        async def is_done():
            return await pending(hot) == 0

        await eventually(is_done)
    assert handler.handled == []
    await publish(hot, 4, 5)
    async with running(consumer(hot, handler, together=handle_all).run):
        await eventually(lambda: handler.handled == [4, 5])
        await eventually(is_done)


async def test_every_group_sees_every_event(hot, eventually):
    """Analytics and communications do not take from each other."""
    first, second = Recorder(), Recorder()
    works = (consumer(hot, first, "a").run, consumer(hot, second, "b").run)
    async with running(*works):
        await publish(hot, 1, 2)
        await eventually(lambda: first.handled == second.handled == [1, 2])


async def test_poison_becomes_a_dead_letter_and_the_rest_goes_on(hot, eventually):
    """An event that fails every time is set aside with its error."""
    handler = Recorder()
    handler.failures[2] = ValueError("cannot read that")
    await publish(hot, 1, 2, 3)
    async with running(consumer(hot, handler, deliveries_max=3).run):
        await eventually(lambda: handler.handled == [1, 3])

        async def is_done():
            return await pending(hot) == 0

        await eventually(is_done)
    (letter,) = await streams.dead_letters(hot, STREAM)
    assert handler.attempts[2] == 3
    assert letter.event is not None
    assert (letter.event.subject_id, letter.group, letter.deliveries) == ("2", "readers", 3)
    assert "cannot read that" in letter.error
    assert letter.event_id == letter.event.event_id


async def test_dead_letter_can_be_replayed_to_its_group_alone(hot, eventually):
    """After the mistake is mended, only the group that failed sees the event again."""
    failing, fine = Recorder(), Recorder()
    failing.failures[1] = ValueError("not yet")
    await publish(hot, 1)
    works = (
        consumer(hot, failing, "failing", deliveries_max=1).run,
        consumer(hot, fine, "fine").run,
    )
    async with running(*works):
        await eventually(lambda: hot.client.xlen(f"{STREAM}.dead"))
        failing.failures.clear()
        (letter,) = await streams.dead_letters(hot, STREAM)
        assert await streams.replay(hot, STREAM, letter.letter_id)
        await eventually(lambda: failing.handled == [1])
        await publish(hot, 2)
        await eventually(lambda: fine.handled == [1, 2])
    assert await streams.dead_letters(hot, STREAM) == []
    assert not await streams.replay(hot, STREAM, letter.letter_id)


async def test_dead_letter_can_be_mended_before_its_replay(hot, eventually):
    """An operator may correct the event itself."""
    handler = Recorder()
    handler.failures[1] = ValueError("wrong number")
    await publish(hot, 1)
    async with running(consumer(hot, handler, deliveries_max=1).run):
        await eventually(lambda: hot.client.xlen(f"{STREAM}.dead"))
        (letter,) = await streams.dead_letters(hot, STREAM)
        assert letter.event is not None
        letter.event.subject_id = "100"
        await streams.replay(hot, STREAM, letter.letter_id, letter.event)
        await eventually(lambda: handler.handled == [100])


async def test_all_dead_letters_can_be_replayed(hot, eventually):
    """After an outage of our own making, everything goes again in order."""
    handler = Recorder()
    for number in (1, 2, 3):
        handler.failures[number] = ValueError("down")
    await publish(hot, 1, 2, 3)
    async with running(consumer(hot, handler, deliveries_max=1).run):

        async def are_buried():
            return await hot.client.xlen(f"{STREAM}.dead") == 3

        await eventually(are_buried)
        handler.failures.clear()
        assert await streams.replay_all(hot, STREAM) == 3
        await eventually(lambda: handler.handled == [1, 2, 3])


async def test_garbage_in_the_stream_is_buried(hot, eventually):
    """What is not an event stops nobody."""
    await hot.client.xadd(STREAM, {"data": b"\xff\xff"})
    await hot.client.xadd(STREAM, {"other": b"x"})
    await publish(hot, 1)
    handler = Recorder()
    async with running(consumer(hot, handler).run):
        await eventually(lambda: handler.handled == [1])
    letters = await streams.dead_letters(hot, STREAM)
    assert [letter.event for letter in letters] == [None, None]


async def test_outage_of_a_dependency_is_waited_out(hot, eventually):
    """UNAVAILABLE is not the event's fault: it is tried until it passes, beyond deliveries_max."""
    handler = Recorder()
    handler.failures[1] = errors.Unavailable(dependency="ledger")
    await publish(hot, 1, 2)
    async with running(consumer(hot, handler, deliveries_max=2).run):
        await eventually(lambda: handler.attempts[1] >= 4)
        assert handler.handled == []
        handler.failures.clear()
        await eventually(lambda: handler.handled == [1, 2])
    assert await streams.dead_letters(hot, STREAM) == []


async def test_unfinished_events_of_a_dead_process_are_taken_over(hot, eventually):
    """What another consumer took and never acknowledged is handled after claim_idle_ms."""
    await publish(hot, 1, 2)
    await hot.client.xgroup_create(STREAM, "readers", id="0")
    await hot.client.xreadgroup("readers", "dead-process", {STREAM: ">"})
    handler = Recorder()
    async with running(consumer(hot, handler, claim_idle_ms=100).run):
        await eventually(lambda: handler.handled == [1, 2])


async def test_event_that_kills_its_consumers_is_buried(hot, eventually):
    """A process that dies in the handler cannot report it; the deliveries are counted for it."""
    await publish(hot, 1, 2)
    await hot.client.xgroup_create(STREAM, "readers", id="0")
    ((_, entries),) = streams._pairs(
        await hot.client.xreadgroup("readers", "dead-0", {STREAM: ">"}, count=1)
    )
    entry_id = entries[0][0]
    for number in range(1, 5):
        await hot.client.xclaim(STREAM, "readers", f"dead-{number}", 0, [entry_id])
    handler = Recorder()
    async with running(consumer(hot, handler, deliveries_max=5, claim_idle_ms=50).run):
        await eventually(lambda: handler.handled == [2])
        await eventually(lambda: hot.client.xlen(f"{STREAM}.dead"))
    assert handler.attempts[1] == 0


async def test_patience_is_not_counted_as_deliveries(hot, eventually):
    """Two consumers that wait out an outage do not bury the events that they hold."""
    handler = Recorder()
    for number in range(1, 6):
        handler.failures[number] = errors.Unavailable(dependency="ledger")
    await publish(hot, 1, 2, 3, 4, 5)
    members = [consumer(hot, handler, deliveries_max=2, claim_idle_ms=200) for _ in range(2)]
    members[1]._name += "-b"
    async with running(*(member.run for member in members)):
        await eventually(lambda: handler.attempts[1] >= 5)
        handler.failures.clear()
        await eventually(lambda: sorted(set(handler.handled)) == [1, 2, 3, 4, 5])
    assert await streams.dead_letters(hot, STREAM) == []


async def test_wiped_store_does_not_stop_the_consumer(hot, eventually):
    """The group is made anew and new events are handled."""
    handler = Recorder()
    async with running(consumer(hot, handler).run):
        await publish(hot, 1)
        await eventually(lambda: handler.handled == [1])
        await hot.client.flushall()
        await publish(hot, 2)
        await eventually(lambda: handler.handled == [1, 2])


async def test_handler_runs_in_the_trace_of_its_event(hot, eventually):
    """What an event causes is seen in the trace that caused the event."""
    seen = []

    async def handler(_event):
        seen.append(telemetry.trace_parent())

    event = make_event(1)
    event.trace_parent = f"00-{'a' * 32}-{'b' * 16}-00"
    await hot.client.xadd(STREAM, {"data": event.SerializeToString()})
    async with running(consumer(hot, handler).run):
        await eventually(lambda: seen == [event.trace_parent])
