"""Valkey or Redis: fast, and never the only copy. Every use names what it does without it."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import hiredis
import structlog
from redis import asyncio as redis
from redis import exceptions
from redis.asyncio import retry
from redis.backoff import NoBackoff

from services.chassis import config

#: What any use may raise when the store is away, too slow, loading, full or failing over.
FAILURES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
)

Script = Callable[..., Awaitable[Any]]

log = structlog.get_logger()


class Hotstore:
    """A client that sends every command once.

    The client library would send a script that timed out up to ten times more, and the answer to
    the last one would hide that the first had taken effect. Here a failure is raised at once.
    """

    def __init__(self, settings: config.HotstoreSettings) -> None:
        self._run_id: str | None = None
        password = settings.password_file
        self.client = redis.Redis.from_pool(
            redis.BlockingConnectionPool.from_url(
                settings.url,
                max_connections=settings.pool_size,
                timeout=settings.timeout_ms / 1000,
                socket_timeout=settings.timeout_ms / 1000,
                socket_connect_timeout=settings.timeout_ms / 1000,
                retry=retry.Retry(NoBackoff(), 0),
                redis_connect_func=self._greet,
                **({} if password is None else {"password": config.secret(password)}),
            )
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: config.HotstoreSettings) -> AsyncIterator[Self]:
        """Open a pool of connections; the store may be away, the first use connects."""
        opened = cls(settings)
        try:
            yield opened
        finally:
            await opened.client.aclose()

    @property
    def run_id(self) -> str | None:
        """The incarnation that serves commands; it changes before a new one serves its first.

        None before the first connect.
        """
        return self._run_id

    async def command(self, *words: str | bytes | int) -> Any:
        """Send one command on a connection of the pool; return the answer as it came.

        The client library takes more time for a command of a thousand words than the store does,
        so hot paths have theirs packed by its parser's other half.
        """
        pool: Any = self.client.connection_pool
        connection: Any = await pool.get_connection()
        try:
            packed = hiredis.pack_command(words)  # type: ignore[arg-type]  # any words, not pairs
            await connection.send_packed_command(packed, check_health=False)
            return await connection.read_response()
        finally:
            await pool.release(connection)

    def script(self, source: str) -> Script:
        """Return a Lua script as a function of `keys` and `args`; repeats must do no harm."""
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

        async def run(
            *, keys: Sequence[str | bytes] = (), args: Sequence[str | bytes | int] = ()
        ) -> Any:
            try:
                return await self.command("EVALSHA", digest, len(keys), *keys, *args)
            except exceptions.NoScriptError:
                return await self.command("EVAL", source, len(keys), *keys, *args)

        return run

    async def ping(self) -> None:
        """Make sure that the store answers; raises one of FAILURES."""
        await self.client.ping()

    async def _greet(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        run_id = _run_id(await connection.read_response())
        if run_id != self._run_id:
            log.info("hot store incarnation", run_id=run_id, previous=self._run_id)
            self._run_id = run_id


def _run_id(info: bytes | str) -> str:
    text = info.decode() if isinstance(info, bytes) else info
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value
    return ""
