"""Consumers of events: at least once, in order, and no poison holds up the rest for ever."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from google.protobuf import message
from prometheus_client import Counter
from redis import exceptions
from tessera.event.v1 import event_pb2

from services.chassis import deadlines, errors, hotstore, status, tasks, telemetry

Handler = Callable[[event_pb2.Event], Awaitable[None]]
Together = Callable[[Sequence[event_pb2.Event]], Awaitable[None]]
Fields = Mapping[bytes, bytes]

_BATCH = 100
_BLOCK_MS = 400
_HANDLER_S_MAX = 30.0
_RETRY_S_MIN = 0.1
_RETRY_S_MAX = 5.0
_FORGET_CONSUMER_MS = 3_600_000
_DEAD_LENGTH_MAX = 100_000

CONSUMED = Counter("tessera_events_consumed", "Events by their end", ["stream", "group", "outcome"])

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group could not handle; `event` is None when it cannot even be read."""

    letter_id: str
    event_id: str
    event: event_pb2.Event | None
    group: str
    error: str
    deliveries: int
    bury_time: datetime


class Consumer:
    """One member of a consumer group: handles its share of a stream, one event after the other.

    A handler that fails transiently (see errors.TRANSIENT) is tried again until it succeeds. One
    that fails otherwise gets `deliveries_max` tries, then the event becomes a dead letter. What a
    dead process left unfinished is taken over after `claim_idle_ms`. Handlers see repeats and must
    tell them apart by event_id; with several consumers in a group the order between them is open.
    `together` handles what arrived at once in one go; when it fails, each event goes its own way.
    """

    def __init__(
        self,
        store: hotstore.Hotstore,
        *,
        stream: str,
        group: str,
        handler: Handler,
        together: Together | None = None,
        deliveries_max: int = 5,
        claim_idle_ms: int = 30_000,
    ) -> None:
        self._client = store.client
        self._stream = stream
        self._group = group
        self._handler = handler
        self._together = together
        self._deliveries_max = deliveries_max
        self._claim_idle_ms = claim_idle_ms
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._held: list[bytes] = []

    async def run(self) -> None:
        """Consume until cancelled; outages of the store are waited out."""
        while True:
            try:
                await self._join()
                async with self._holding():
                    await self._consume()
            except hotstore.FAILURES as error:
                log.warning("consumer waits", stream=self._stream, error=str(error))
            except exceptions.ResponseError as error:
                if not str(error).startswith("NOGROUP"):  # the store was wiped: join again
                    raise
            await asyncio.sleep(_RETRY_S_MAX / 10)

    async def _join(self) -> None:
        try:
            await self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _consume(self) -> None:
        loop = asyncio.get_running_loop()
        claim_at = loop.time()
        while True:
            if loop.time() >= claim_at:
                await self._claim()
                await self._forget_consumers()
                claim_at = loop.time() + self._claim_idle_ms / 1000
            found: Any = await self._client.xreadgroup(
                self._group, self._name, {self._stream: ">"}, count=_BATCH, block=_BLOCK_MS
            )
            for _, entries in _pairs(found):
                await self._work_off([(entry_id, fields, 1) for entry_id, fields in entries])

    async def _claim(self) -> None:
        """Take over what others, or we ourselves in an earlier life, have left unfinished."""
        cursor: Any = b"0-0"
        while True:
            cursor, entries, *_ = await self._client.xautoclaim(
                self._stream, self._group, self._name, self._claim_idle_ms, cursor, count=_BATCH
            )
            await self._work_off(
                [(entry_id, data, await self._deliveries(entry_id)) for entry_id, data in entries]
            )
            if cursor == b"0-0":
                return

    async def _deliveries(self, entry_id: bytes) -> int:
        pending: Any = await self._client.xpending_range(
            self._stream, self._group, entry_id, entry_id, 1
        )
        return int(pending[0]["times_delivered"]) if pending else 1

    async def _work_off(self, entries: list[tuple[bytes, Fields, int]]) -> None:
        self._held = [entry_id for entry_id, _, _ in entries]
        if self._together is not None and await self._try_together(self._together, entries):
            await self._acknowledge(*self._held, outcome="handled")
            self._held = []
            return
        for entry_id, fields, deliveries in entries:
            await self._take(entry_id, fields, deliveries=deliveries)
            self._held.remove(entry_id)

    async def _try_together(
        self, together: Together, entries: Sequence[tuple[bytes, Fields, int]]
    ) -> bool:
        """Tell whether all entries were handled in one go; a special one among them prevents it."""
        if len(entries) < 2 or any(b"group" in fields or tries > 1 for _, fields, tries in entries):
            return False
        telemetry.begin("", "")
        try:
            events = [event_pb2.Event.FromString(fields[b"data"]) for _, fields, _ in entries]
            with deadlines.within(_HANDLER_S_MAX):
                async with asyncio.timeout(_HANDLER_S_MAX):
                    await together(events)
        except Exception as error:  # noqa: BLE001  each is handled for itself, and then it is told
            log.info("not together", stream=self._stream, group=self._group, error=repr(error))
            return False
        return True

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        """Show others that what we hold is in work: they would count our patience as deliveries."""
        keeping = asyncio.create_task(self._keep_held())
        try:
            yield
        finally:
            self._held = []
            await tasks.end(keeping)

    async def _keep_held(self) -> None:
        while True:
            await asyncio.sleep(self._claim_idle_ms / 3000)
            if self._held:
                with suppress(*hotstore.FAILURES):
                    await self._client.xclaim(
                        self._stream, self._group, self._name, 0, [*self._held], justid=True
                    )

    async def _forget_consumers(self) -> None:
        for known in await self._client.xinfo_consumers(self._stream, self._group):
            if known["pending"] == 0 and known["idle"] > _FORGET_CONSUMER_MS:
                await self._client.xgroup_delconsumer(self._stream, self._group, known["name"])

    async def _take(self, entry_id: bytes, fields: Fields, *, deliveries: int) -> None:
        if fields.get(b"group", self._group.encode()) != self._group.encode():
            await self._acknowledge(entry_id, outcome="skipped")  # replayed for another group
            return
        try:
            event = event_pb2.Event.FromString(fields[b"data"])
        except (KeyError, message.DecodeError) as error:
            await self._bury(entry_id, fields, repr(error), deliveries)
            return
        if deliveries > self._deliveries_max:  # it never came back from the handler
            await self._bury(entry_id, fields, "its consumers died of it", deliveries)
            return
        failure = await self._handle(event, deliveries)
        if failure is None:
            await self._acknowledge(entry_id, outcome="handled")
        else:
            await self._bury(entry_id, fields, repr(failure), self._deliveries_max)

    async def _handle(self, event: event_pb2.Event, deliveries: int) -> Exception | None:
        """Return None when the event is handled, or the failure of the last try."""
        delay_s = _RETRY_S_MIN
        while True:
            failure = await self._try(event)
            if failure is None:
                return None
            refusal = status.explain(failure)
            if refusal is None or refusal.category not in errors.TRANSIENT:
                if deliveries >= self._deliveries_max:
                    return failure
                deliveries += 1
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_S_MAX)

    async def _try(self, event: event_pb2.Event) -> Exception | None:
        telemetry.begin(event.trace_parent, event.event_id)
        try:
            with deadlines.within(_HANDLER_S_MAX):
                async with asyncio.timeout(_HANDLER_S_MAX):
                    await self._handler(event)
        except Exception as error:
            log.warning(
                "event not handled",
                stream=self._stream,
                group=self._group,
                event_id=event.event_id,
                exc_info=error,
            )
            return error
        return None

    async def _acknowledge(self, *entry_ids: bytes, outcome: str) -> None:
        await self._client.xack(self._stream, self._group, *entry_ids)
        CONSUMED.labels(self._stream, self._group, outcome).inc(len(entry_ids))

    async def _bury(self, entry_id: bytes, fields: Fields, error: str, deliveries: int) -> None:
        letter: Any = {**fields, b"group": self._group, b"error": error, b"deliveries": deliveries}
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.xadd(_dead(self._stream), letter, maxlen=_DEAD_LENGTH_MAX, approximate=True)
            pipeline.xack(self._stream, self._group, entry_id)
            await pipeline.execute()
        CONSUMED.labels(self._stream, self._group, "buried").inc()
        log.error("dead letter", stream=self._stream, group=self._group, error=error)


async def dead_letters(store: hotstore.Hotstore, stream: str, count: int = 100) -> list[DeadLetter]:
    """Return the oldest dead letters of a stream."""
    entries: Any = await store.client.xrange(_dead(stream), count=count)
    return [_letter(entry_id, fields) for entry_id, fields in entries]


async def replay(
    store: hotstore.Hotstore, stream: str, letter_id: str, event: event_pb2.Event | None = None
) -> bool:
    """Send a dead letter back to the group that buried it, mended if `event` is given.

    Returns False when there is no such letter.
    """
    entries: Any = await store.client.xrange(_dead(stream), letter_id, letter_id)
    for entry_id, fields in entries:
        data = fields.get(b"data", b"") if event is None else event.SerializeToString()
        again: Any = {b"id": fields.get(b"id", b""), b"data": data, b"group": fields[b"group"]}
        async with store.client.pipeline(transaction=True) as pipeline:
            pipeline.xadd(stream, again)
            pipeline.xdel(_dead(stream), entry_id)
            await pipeline.execute()
        return True
    return False


async def replay_all(store: hotstore.Hotstore, stream: str) -> int:
    """Send every dead letter of a stream back to its group; return how many there were."""
    count = 0
    entries: Any = await store.client.xrange(_dead(stream))
    for entry_id, _ in entries:
        count += await replay(store, stream, entry_id.decode())
    return count


def _dead(stream: str) -> str:
    return f"{stream}.dead"


def _pairs(found: Any) -> Any:
    """Return (stream, entries) pairs; the protocol versions differ in how they answer."""
    return found.items() if isinstance(found, Mapping) else found or ()


def _letter(entry_id: bytes, fields: Fields) -> DeadLetter:
    event: event_pb2.Event | None
    try:
        event = event_pb2.Event.FromString(fields[b"data"])
    except (KeyError, message.DecodeError):
        event = None
    milliseconds = int(entry_id.split(b"-")[0])
    return DeadLetter(
        letter_id=entry_id.decode(),
        event_id=fields.get(b"id", b"").decode(),
        event=event,
        group=fields[b"group"].decode(),
        error=fields[b"error"].decode(),
        deliveries=int(fields[b"deliveries"]),
        bury_time=datetime.fromtimestamp(milliseconds / 1000, tz=UTC),
    )
