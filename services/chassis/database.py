"""PostgreSQL: a pool that knows the call's deadline, and transactions without a commit button."""

import asyncio
import hashlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from services.chassis import config, deadlines, errors

Record = asyncpg.Record
#: PostgreSQL's word on a statement that has inserted one row.
ONE_INSERTED = "INSERT 0 1"
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

_CONNECT_S_MAX = 5.0
_RETRY_S = 1.0
_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,
)
_CONTENDED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,  # a migration has changed the table meanwhile
)
# PostgreSQL keeps every character but U+0000, which protobuf and JSON let through.
_UNSTORABLE = (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError)
_DRIVER = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

log = structlog.get_logger()

T = TypeVar("T")


class Queryable(Protocol):
    """What a transaction, a sole session and the database itself have in common."""

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Return all rows."""

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Return the first row, or None."""

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Return the first column of the first row, or None."""

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run a statement and return PostgreSQL's word on it, for example `UPDATE 3`."""


async def _driven(work: Awaitable[T]) -> T:
    """Await the driver, and turn what it says about the server into refusals."""
    try:
        return await work
    except _DRIVER as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(error: Exception) -> errors.Refusal | None:
    """Return what the caller should hear; None for broken constraints and defects of ours."""
    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
        return errors.DeadlineExceeded()
    if isinstance(error, _CONTENDED):
        return errors.Contention()
    if isinstance(error, _UNSTORABLE):
        problem = "texts must not contain the character U+0000"
        return errors.InvalidRequest([errors.FieldViolation("", problem, "text.storable")])
    # The driver reports a lost connection and our own misuse of it with the same class.
    lost = isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)
    if lost or isinstance(error, _AWAY):
        return errors.Unavailable(dependency="postgresql")
    return None


class Transaction:
    """Statements that take effect together, when the block that opened them ends well."""

    __slots__ = ("_connection", "_statement_s_max")

    def __init__(
        self, connection: "asyncpg.Connection | PoolConnectionProxy", *, statement_s_max: float
    ) -> None:
        self._connection = connection
        self._statement_s_max = statement_s_max

    def _timeout(self) -> float | None:
        return deadlines.cap(self._statement_s_max)

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Return all rows."""
        return await _driven(self._connection.fetch(sql, *arguments, timeout=self._timeout()))

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Return the first row, or None."""
        return await _driven(self._connection.fetchrow(sql, *arguments, timeout=self._timeout()))

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await _driven(self._connection.fetchval(sql, *arguments, timeout=self._timeout()))

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run a statement and return PostgreSQL's word on it, for example `UPDATE 3`."""
        return await _driven(self._connection.execute(sql, *arguments, timeout=self._timeout()))

    async def executemany(self, sql: str, arguments: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of arguments, in one round trip."""
        await _driven(self._connection.executemany(sql, arguments, timeout=self._timeout()))


class _Block:
    """The life of one pooled transaction; a class, because it stands on the path of every write."""

    __slots__ = ("_connection", "_options", "_pool", "_statement_s_max", "_transaction")

    def __init__(
        self, pool: asyncpg.Pool, *, statement_s_max: float, options: dict[str, Any]
    ) -> None:
        self._pool = pool
        self._statement_s_max = statement_s_max
        self._options = options

    async def __aenter__(self) -> Transaction:
        self._connection = await _acquire(self._pool)
        try:
            self._transaction = self._connection.transaction(**self._options)
            await _driven(self._transaction.start())
        except BaseException:
            await _release(self._pool, self._connection)
            raise
        return Transaction(self._connection, statement_s_max=self._statement_s_max)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await _driven(self._transaction.commit())
            else:
                with suppress(*_DRIVER):  # the body's own error is the news
                    await self._transaction.rollback()
        finally:
            await _release(self._pool, self._connection)


class _Session:
    """The loan of one pooled connection; a class for the same reason."""

    __slots__ = ("_connection", "_pool", "_statement_s_max")

    def __init__(self, pool: asyncpg.Pool, *, statement_s_max: float) -> None:
        self._pool = pool
        self._statement_s_max = statement_s_max

    async def __aenter__(self) -> Transaction:
        self._connection = await _acquire(self._pool)
        return Transaction(self._connection, statement_s_max=self._statement_s_max)

    async def __aexit__(self, *_: object) -> None:
        await _release(self._pool, self._connection)


class Database:
    """The role's own database."""

    def __init__(self, settings: config.DatabaseSettings, pool: asyncpg.Pool) -> None:
        self.settings = settings
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: config.DatabaseSettings, *, session: Mapping[str, str] | None = None
    ) -> AsyncIterator[Self]:
        """Open a pool for the runtime user; the server may be away, the first use connects.

        `session` adds PostgreSQL settings to every connection, such as `plan_cache_mode`.
        """
        pool = asyncpg.create_pool(
            **_arguments(settings, session or {}),
            min_size=0,
            max_size=settings.pool_size,
            max_queries=2**31,
            # Nothing here changes a session, so a connection needs no cleaning between users:
            # that saves a round trip on every call.
            reset=_keep,
        )
        async with pool:
            try:
                yield cls(settings, pool)
            finally:
                pool.terminate()

    def transaction(
        self, *, isolation: Isolation = "read_committed", readonly: bool = False
    ) -> _Block:
        """Open a transaction: `async with database.transaction() as tx`.

        It commits when the block ends and rolls back when the block raises. Raises Unavailable,
        DeadlineExceeded or Contention; broken constraints come as asyncpg's own errors.
        """
        return _Block(
            self._pool,
            statement_s_max=self.settings.statement_s_max,
            options={"isolation": isolation, "readonly": readonly},
        )

    def session(self) -> _Session:
        """Borrow a connection for statements that follow each other, each on its own.

        `async with database.session() as session` saves what lending it again would cost.
        """
        return _Session(self._pool, statement_s_max=self.settings.statement_s_max)

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Return all rows of one statement outside of any transaction."""
        async with self.session() as connection:
            return await connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Return the first row, or None."""
        async with self.session() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Return the first column of the first row, or None."""
        async with self.session() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run one statement on its own."""
        async with self.session() as connection:
            return await connection.execute(sql, *arguments)

    async def ping(self) -> None:
        """Make sure that the server answers; raise Unavailable or DeadlineExceeded."""
        await self.fetchval("SELECT 1")

    @asynccontextmanager
    async def sole(self, name: str) -> AsyncIterator[Transaction]:
        """Wait to be the only holder of `name` in this database, on a connection of its own.

        The lock lives as long as the connection: statements fail once it is lost.
        """
        async with AsyncExitStack() as stack:
            connection = await self._dedicated(stack)
            session = Transaction(connection, statement_s_max=self.settings.statement_s_max)
            # Asking again and again: a statement that waits would hold back vacuum.
            while not await session.fetchval(_TRY_LOCK, lock_key(name)):  # noqa: ASYNC110
                await asyncio.sleep(_RETRY_S)
            yield session

    async def listen(self, channel: str, callback: Callable[[str], Awaitable[None]]) -> None:
        """Pass every notification on a channel to `callback`, until cancelled.

        After each connect the callback gets an empty payload: what was said before was not heard.
        """
        while True:
            try:
                async with AsyncExitStack() as stack:
                    await self._listen_once(stack, channel, callback)
            except (errors.Refusal, *_AWAY) as error:
                log.warning("listener lost its connection", channel=channel, error=str(error))
            await asyncio.sleep(_RETRY_S)

    async def _listen_once(
        self, stack: AsyncExitStack, channel: str, callback: Callable[[str], Awaitable[None]]
    ) -> None:
        payloads: asyncio.Queue[str | None] = asyncio.Queue()
        connection = await self._dedicated(stack)
        connection.add_termination_listener(lambda _: payloads.put_nowait(None))
        heard = connection.add_listener(
            channel, lambda _connection, _pid, _channel, text: payloads.put_nowait(str(text))
        )
        await _driven(heard)
        await callback("")
        while (payload := await payloads.get()) is not None:
            await callback(payload)

    async def _dedicated(self, stack: AsyncExitStack) -> asyncpg.Connection:
        arguments = _arguments(self.settings, {})
        connection: asyncpg.Connection = await _driven(asyncpg.connect(**arguments))
        stack.callback(connection.terminate)
        return connection


async def _acquire(pool: asyncpg.Pool) -> PoolConnectionProxy:
    try:
        return await pool.acquire(timeout=deadlines.cap(_CONNECT_S_MAX))
    except _DRIVER as error:
        log.warning("no connection to postgresql", error=repr(error))
        raise errors.Unavailable(dependency="postgresql") from error


async def _release(pool: asyncpg.Pool, connection: PoolConnectionProxy) -> None:
    with suppress(*_DRIVER):
        await pool.release(connection)


async def connect_owner(settings: config.DatabaseSettings) -> asyncpg.Connection:
    """Return a connection of the owner, who may change the schema; the caller closes it."""
    arguments = {
        **_arguments(settings, {"statement_timeout": "0"}),
        "command_timeout": None,
        "user": settings.owner,
        "password": _password(settings.owner_password_file),
    }
    connection: asyncpg.Connection = await _driven(asyncpg.connect(**arguments))
    return connection


def lock_key(name: str) -> int:
    """Return the 64-bit key under which PostgreSQL knows an advisory lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _arguments(settings: config.DatabaseSettings, session: Mapping[str, str]) -> dict[str, Any]:
    milliseconds = settings.statement_s_max * 1000
    return {
        "host": settings.host,
        "port": settings.port,
        "database": settings.database,
        "user": settings.user,
        "password": _password(settings.password_file),
        "timeout": _CONNECT_S_MAX,
        "command_timeout": settings.statement_s_max,
        "server_settings": {
            "application_name": f"tessera-{settings.user}",
            "timezone": "UTC",
            "jit": "off",
            # Backstops for statements whose process is gone; live calls end by their deadline.
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": str(2 * milliseconds),
            "lock_timeout": str(settings.lock_s_max * 1000),
            **session,
        },
    }


def _password(path: Path | None) -> Callable[[], str] | None:
    # Read at every connect: a rotated secret is picked up without a restart.
    return None if path is None else lambda: config.secret(path)


async def _keep(_connection: object) -> None:
    """Leave a returned connection as it is."""
