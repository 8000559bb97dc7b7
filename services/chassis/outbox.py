"""The outbox: a fact and its event commit together, and the event leaves afterwards.

Each role's schema holds the table of DDL. Events of one subject leave in the order in which they
happened, as long as writers lock the subject before they append. An event can leave twice, after a
crash between sending and deleting; consumers tell repeats apart by its id.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from prometheus_client import Counter, Gauge
from tessera.event.v1 import event_pb2

from services.chassis import database, hotstore, ids, tasks, telemetry

#: For the role's first migration; vacuum must not wait for a share of a table that stays empty.
DDL = """
CREATE TABLE outbox_events (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    payload BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT outbox_events_pkey PRIMARY KEY (sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
GRANT SELECT, INSERT, DELETE ON outbox_events TO {role};
"""
PREFIX = "evt"

_INSERT = """
INSERT INTO outbox_events (event_id, payload)
SELECT event_id, payload
FROM unnest($1::UUID[], $2::BYTEA[]) WITH ORDINALITY AS events (event_id, payload, place)
ORDER BY place
"""
_SELECT = """
SELECT sequence, event_id, payload,
    extract(EPOCH FROM clock_timestamp() - create_time)::FLOAT8 AS age_s
FROM outbox_events
ORDER BY sequence
LIMIT $1
"""
_DELETE = "DELETE FROM outbox_events WHERE sequence = ANY($1::BIGINT[])"
# What a crash brings back is sent again; that is cheaper than an fsync for every batch.
_LAZY = "SET synchronous_commit = off"

# One command for many events: the client would pack and answer each XADD on its own.
_SEND = """
for place = 2, #ARGV, 2 do
    redis.call(
        'XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'id', ARGV[place], 'data', ARGV[place + 1]
    )
end
"""

_IDLE_S = 0.1
#: How long events gather before they leave: one round for many costs what a round for one does.
_GATHER_S = 0.02

RELAYED = Counter("tessera_outbox_relayed", "Events sent from the outbox", ["role"])
AGE_SECONDS = Gauge("tessera_outbox_age_seconds", "Age of the oldest unsent event", ["role"])


async def append(tx: database.Queryable, *events: event_pb2.Event) -> None:
    """Add events to the transaction, in one round trip.

    An empty event_id or trace_parent is filled in; everything else is the caller's.
    """
    if events:
        await tx.execute(_INSERT, *rows(*events))


def rows(*events: event_pb2.Event) -> tuple[list[UUID], list[bytes]]:
    """Return event ids and payloads, for storages that insert them in a statement of their own."""
    trace_parent = telemetry.trace_parent()
    for event in events:
        event.event_id = event.event_id or ids.new(PREFIX)
        event.trace_parent = event.trace_parent or trace_parent
    identifiers = [ids.parse(PREFIX, event.event_id) for event in events]
    return identifiers, [event.SerializeToString() for event in events]


def stream(role: str) -> str:
    """Return the name of the stream that carries a role's events."""
    return f"events.{role}"


class Relay:
    """Moves events from the outbox to the role's stream; of all processes of a role one at a time.

    The stream keeps about `length_max` events; consumers that fall further behind lose some.
    """

    def __init__(
        self,
        source: database.Database,
        target: hotstore.Hotstore,
        *,
        role: str,
        batch: int = 500,
        length_max: int = 1_000_000,
    ) -> None:
        self._source = source
        self._script = target.script(_SEND)
        self._stream = stream(role)
        self._batch = batch
        self._length_max = length_max
        self._nudged = asyncio.Event()
        self._relayed = RELAYED.labels(role)
        self._age = AGE_SECONDS.labels(role)

    def nudge(self) -> None:
        """Say that something was appended and committed: it leaves at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Relay until cancelled; outages on either side are waited out."""
        await tasks.alone(self._source, "outbox", self._relay, outages=hotstore.FAILURES)

    async def _relay(self, session: database.Transaction) -> None:
        await session.execute(_LAZY)
        while True:
            self._nudged.clear()
            if await self._send(session) < self._batch:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), _IDLE_S)
                    await asyncio.sleep(_GATHER_S)

    async def _send(self, session: database.Transaction) -> int:
        found = await session.fetch(_SELECT, self._batch)
        self._age.set(found[0]["age_s"] if found else 0)
        if found:
            await self._add(found)
            # Exactly what was sent: a lower number may have become visible meanwhile.
            await session.execute(_DELETE, [row["sequence"] for row in found])
            self._relayed.inc(len(found))
        return len(found)

    async def _add(self, found: Sequence[database.Record]) -> None:
        words: list[str | bytes | int] = [self._length_max]
        for row in found:
            words += (ids.show(PREFIX, row["event_id"]), row["payload"])
        await self._script(keys=[self._stream], args=words)
