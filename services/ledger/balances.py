"""Reading balances: from Valkey as long as it has them and is there, else from PostgreSQL.

The reads in flight share one command to Valkey; what it does not have is read from PostgreSQL in
one go, by readers who say so beforehand.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.chassis import clock, hotstore
from services.ledger import engine, errors
from services.ledger.pace import Pace
from services.ledger.storage import Assets, Copies, Statements, copies

READS = Counter("ledger_balance_reads", "Balances read, by where they came from", ["source"])
_FROM_COPY, _FROM_TRUTH = READS.labels("valkey"), READS.labels("postgresql")
LOST = Counter(
    "ledger_balance_copies_lost", "Uses of Valkey that failed, by what they were", ["use"]
)

#: After a failure Valkey is left alone for this long, in seconds.
_PAUSE_S = 1.0
#: An answer to a posting does not wait longer for its balances to be shown, in seconds.
_PUBLISH_S_MAX = 0.05
#: How many accounts one command reads.
_KEYS_MAX = 1000
#: Readers in flight wait this long for each other, in seconds: a command costs as much as ten
#: balances more in it.
_GATHER_S_MAX = 0.003
_QUIET_S = 0.001

log = structlog.get_logger()


#: Reads what one caller asks for: accounts, and the version that is the least.
Read = Callable[[], tuple[Sequence[engine.Key], int]]


@dataclass(eq=False, slots=True)
class _Reader:
    """One caller who waits for the balances of some accounts."""

    #: What still has to be called for the question.
    read: Read | None
    done: "asyncio.Future[Mapping[UUID, engine.Balance]]"
    keys: Sequence[engine.Key] = ()
    version_min: int = 0
    found: dict[UUID, engine.Balance] = field(default_factory=dict)

    def is_good(self) -> bool:
        """Tell whether there is something to answer; a caller whose question is wrong hears so."""
        if self.done.done():
            return False
        if self.read is not None:
            try:
                (self.keys, self.version_min), self.read = self.read(), None
            except Exception as error:  # noqa: BLE001  it is the caller's, whatever it is
                self.done.set_exception(error)
                return False
        return True


class Balances:
    """Answers what accounts hold right now. `run` must be running."""

    def __init__(
        self,
        statements: Statements,
        assets: Assets,
        held: Copies,
        *,
        now: clock.Clock = clock.system,
    ) -> None:
        self._statements = statements
        self._assets = assets
        self._copies = held
        self._now = now
        self._waiting: list[_Reader] = []
        self._arrived = asyncio.Event()
        self._pace = Pace(longest_s=_GATHER_S_MAX, quiet_s=_QUIET_S)
        self._paused_until = 0.0
        self._owed: dict[UUID, engine.Balance] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(
        self, keys: Sequence[engine.Key], *, version_min: int = 0
    ) -> Mapping[UUID, engine.Balance]:
        """Return the balances of accounts by account id.

        Copies of versions below `version_min` are passed over. Without Valkey, or while it fails,
        everything comes from PostgreSQL. Raises AssetNotFound.
        """
        return await self.read_unread(lambda: (keys, version_min))

    async def read_unread(self, read: Read) -> Mapping[UUID, engine.Balance]:
        """Do as `read` with a question that is read together with those of others.

        What `read` raises is raised here.
        """
        done: asyncio.Future[Mapping[UUID, engine.Balance]]
        done = asyncio.get_running_loop().create_future()
        self._enter(_Reader(read, done))
        return await done

    async def publish(self, balances: Sequence[engine.Balance]) -> None:
        """Show new balances; what Valkey could not be told now it is told as soon as it answers.

        Until then readers here pass over older copies; elsewhere nobody is shown those for more
        than a minute.
        """
        if self._is_paused():
            LOST.labels("publish").inc()
            self._owe(balances)
            return
        publishing = self._start(self._publish(balances))
        await asyncio.wait([publishing], timeout=_PUBLISH_S_MAX)

    async def run(self) -> None:
        """Serve readers until cancelled."""
        while True:
            await self._arrived.wait()
            await self._pace.gather(self._waiting)
            self._arrived.clear()
            waiting, self._waiting = self._waiting, []
            readers = [reader for reader in waiting if reader.is_good()]
            try:
                missing = await self._serve(await self._with_known_assets(readers))
            except Exception as error:  # nobody may wait for ever, whatever it was
                _fail(readers, error)
                raise
            if missing:
                self._start(self._fetch(missing))

    def _enter(self, *readers: _Reader) -> None:
        self._waiting += readers
        self._arrived.set()

    async def _with_known_assets(self, readers: Sequence[_Reader]) -> Sequence[_Reader]:
        """Return the readers that need not wait for assets to be looked up."""
        known = await self._assets.get(())
        strangers = [reader for reader in readers if _unknown(reader, known)]
        if not strangers:
            return readers
        self._start(self._look_up_assets(strangers))
        return [reader for reader in readers if reader not in strangers]

    async def _look_up_assets(self, readers: Sequence[_Reader]) -> None:
        """Let readers enter again when their assets exist, and refuse them otherwise."""
        try:
            known = await self._assets.get(
                {key.asset_code for reader in readers for key in reader.keys}
            )
        except Exception as error:  # noqa: BLE001  those who wait decide what to make of it
            _fail(readers, error)
            return
        for reader in readers:
            if unknown := _unknown(reader, known):
                _fail([reader], errors.AssetNotFound(asset_code=min(unknown)))
            else:
                self._enter(reader)

    async def _serve(self, readers: Sequence[_Reader]) -> dict[_Reader, list[bytes | None]]:
        """Answer what the copies can answer; return the others, with the useless copies seen."""
        keys = [key for reader in readers for key in reader.keys]
        held = await self._held(keys)
        now = self._now()
        missing: dict[_Reader, list[bytes | None]] = {}
        position = 0
        for reader in readers:
            seen = held[position : position + len(reader.keys)]
            position += len(reader.keys)
            for key, copy in zip(reader.keys, seen, strict=True):
                owed = self._owed.get(key.id)
                version_min = max(reader.version_min, owed.version) if owed else reader.version_min
                balance = copies.decode(key, copy, now=now, version_min=version_min)
                if balance is not None:
                    reader.found[key.id] = balance
            if all(key.id in reader.found for key in reader.keys):
                _FROM_COPY.inc(len(reader.keys))
                _finish(reader)
            else:
                missing[reader] = seen
        return missing

    async def _held(self, keys: Sequence[engine.Key]) -> list[bytes | None]:
        held: list[bytes | None] = []
        if not self._is_paused():
            try:
                for start in range(0, len(keys), _KEYS_MAX):
                    held += await self._copies.get(keys[start : start + _KEYS_MAX])
            except hotstore.FAILURES as error:
                self._pause("read", error)
                held = []
        return held or [None] * len(keys)

    async def _fetch(self, missing: Mapping[_Reader, Sequence[bytes | None]]) -> None:
        """Read from PostgreSQL what copies could not answer, and make copies of it."""
        wanted: dict[UUID, tuple[engine.Key, bytes | None]] = {}
        for reader, seen in missing.items():
            for key, copy in zip(reader.keys, seen, strict=True):
                if key.id not in reader.found:
                    wanted[key.id] = key, copy
        worlds = [key for key, _ in wanted.values() if key.is_world]
        kept = {account_id: one for account_id, one in wanted.items() if not one[0].is_world}
        try:
            lease, leased = await self._lease(kept.values())
            balances = await self._read({account_id: key for account_id, (key, _) in kept.items()})
            balances |= await self._read_worlds(worlds)
        except Exception as error:  # noqa: BLE001  those who wait decide what to make of it
            _fail(missing, error)
            return
        for reader in missing:
            for key in reader.keys:
                if key.id not in reader.found:
                    reader.found[key.id] = balances[key.id]
            _finish(reader)
        _FROM_TRUTH.inc(len(balances))
        await self._fill(lease, [balances[account_id] for account_id in leased])

    async def _read(self, keys: Mapping[UUID, engine.Key]) -> dict[UUID, engine.Balance]:
        if not keys:
            return {}
        now = self._now()
        accounts = await self._statements.accounts(keys, now=now)
        missing = [key for account_id, key in keys.items() if account_id not in accounts]
        if missing:
            assets = await self._assets.get({key.asset_code for key in missing})
            accounts.update({key.id: engine.opened(key, assets[key.asset_code]) for key in missing})
        return {
            account_id: engine.balance_at(account, now) for account_id, account in accounts.items()
        }

    async def _read_worlds(self, worlds: Sequence[engine.Key]) -> dict[UUID, engine.Balance]:
        if not worlds:
            return {}
        now = self._now()
        tallies = await self._statements.tallies([key.id for key in worlds])
        return {
            key.id: engine.Balance(key, tallies.get(key.id, 0), 0, 0, 0, 0, 0, None, 0, now, None)
            for key in worlds
        }

    async def _lease(
        self, wanted: Collection[tuple[engine.Key, bytes | None]]
    ) -> tuple[bytes, frozenset[UUID]]:
        if wanted and not self._is_paused():
            keys, seen = zip(*wanted, strict=True)
            try:
                return await self._copies.lease(keys, seen=seen)
            except hotstore.FAILURES as error:
                self._pause("lease", error)
        return b"", frozenset()

    async def _fill(self, lease: bytes, balances: Sequence[engine.Balance]) -> None:
        if balances:
            try:
                await self._copies.fill(lease, balances)
            except hotstore.FAILURES as error:
                self._pause("fill", error)

    async def _publish(self, balances: Sequence[engine.Balance]) -> None:
        try:
            await self._copies.publish(balances)
        except hotstore.FAILURES as error:
            self._pause("publish", error)
            self._owe(balances)

    def _owe(self, balances: Iterable[engine.Balance]) -> None:
        """Note what Valkey was not told; the first to do so sees to it that it will be."""
        was_clear = not self._owed
        for balance in balances:
            known = self._owed.get(balance.key.id)
            if known is None or known.version < balance.version:
                self._owed[balance.key.id] = balance
        if was_clear and self._owed:
            self._start(self._settle())

    async def _settle(self) -> None:
        """Tell Valkey what it was not told. After a minute no copy is left to be wrong."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + copies.LIFE_S
        while self._owed and loop.time() < give_up_at:
            await asyncio.sleep(max(self._paused_until - loop.time(), 0))
            told = list(self._owed.values())[:_KEYS_MAX]
            try:
                await self._copies.publish(told)
            except hotstore.FAILURES as error:
                self._pause("publish", error)
                continue
            for balance in told:
                if self._owed[balance.key.id].version == balance.version:
                    del self._owed[balance.key.id]
        self._owed.clear()

    def _is_paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._paused_until

    def _pause(self, use: str, error: Exception) -> None:
        if not self._is_paused():
            log.warning("valkey is left alone for a moment", use=use, error=str(error))
        LOST.labels(use).inc()
        self._paused_until = asyncio.get_running_loop().time() + _PAUSE_S

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _unknown(reader: _Reader, known: Mapping[str, engine.Asset]) -> list[str]:
    """Return the assets that a reader names and that are not known."""
    return [key.asset_code for key in reader.keys if key.asset_code not in known]


def _finish(reader: _Reader) -> None:
    if not reader.done.done():
        reader.done.set_result(reader.found)


def _fail(readers: Iterable[_Reader], error: Exception) -> None:
    for reader in readers:
        if not reader.done.done():
            reader.done.set_exception(error)
