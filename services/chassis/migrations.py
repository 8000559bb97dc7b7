"""Forward-only schema changes: numbered SQL files, each applied once, under one lock."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import asyncpg
import structlog

from services.chassis import config, database

Phase = Literal["pre", "post"]

_NAME = re.compile(r"(?P<version>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+\.sql")
_OUTSIDE = "-- migrate: no transaction"
_LOCK = "migrations"
_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_RETRY_S = 0.1
_LOCK_TRIES = 10
_LOCK_PAUSE_S = 1.0
_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    apply_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
)
"""
_GRANT = "GRANT SELECT ON schema_migrations TO PUBLIC"
_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_APPLIED = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
_RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)"

log = structlog.get_logger()


class MigrationError(Exception):
    """The migrations on disk and those in the database cannot be brought together."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, when it runs, and what it says."""

    version: int
    name: str
    phase: Phase
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text: an applied file never changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """False for the few statements that PostgreSQL refuses inside of transactions."""
        return not self.sql.startswith(_OUTSIDE)


def read(directory: Path) -> list[Migration]:
    """Return the migrations of a folder in their order.

    Numbers may be left out, for changes that are made at the same time take theirs beforehand and
    arrive in any order. Raises MigrationError when a name is wrong or a number is there twice.
    """
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not called like 0001_pre_accounts.sql")
        phase: Phase = "pre" if match["phase"] == "pre" else "post"
        text = path.read_text(encoding="utf-8")
        found.append(Migration(int(match["version"]), path.stem, phase, text))
    for before, migration in pairwise(found):
        if migration.version == before.version:
            raise MigrationError(f"{before.name} and {migration.name} have the same number")
    return found


async def apply(
    settings: config.DatabaseSettings, directory: Path, *, phase: Phase | None = None
) -> list[str]:
    """Bring the schema up to date as its owner; return the names of what was applied.

    Starts at the same time wait for each other; a schema at head is left alone. Phase `pre` leaves
    out the `post` migrations at the end, which wait until the new code runs everywhere. Raises
    MigrationError when an applied file has changed, asyncpg's errors when a statement fails (its
    file then has no effect).
    """
    wanted = read(directory)
    connection = await database.connect_owner(settings)
    try:
        await _wait_alone(connection)
        await connection.execute(_CREATE)
        await connection.execute(_GRANT)
        missing = _missing(wanted, await connection.fetch(_APPLIED))
        applied = []
        for migration in _due(missing, phase):
            await _apply_one(connection, migration)
            log.info("migration applied", database=settings.database, migration=migration.name)
            applied.append(migration.name)
        return applied
    finally:
        await connection.close()


async def pending(settings: config.DatabaseSettings, directory: Path) -> list[str]:
    """Return the names of the migrations that this code knows and the database lacks.

    Asks as the runtime user. A schema that is newer than the code is fine: changes are expanding.
    """
    async with database.Database.open(settings) as opened:
        applied = await opened.fetch(_APPLIED) if await opened.fetchval(_EXISTS) else []
        return [migration.name for migration in _missing(read(directory), applied)]


async def _wait_alone(connection: asyncpg.Connection) -> None:
    # Asking again and again: a statement that waits holds a snapshot, on which a concurrent index
    # build of the one at work would wait in turn.
    while not await connection.fetchval(_TRY_LOCK, database.lock_key(_LOCK)):  # noqa: ASYNC110
        await asyncio.sleep(_RETRY_S)


async def _apply_one(connection: asyncpg.Connection, migration: Migration) -> None:
    """Apply a migration; while it waits for a lock, everybody behind it waits, so it gives up soon.

    It tries again up to _LOCK_TRIES times. Raises LockNotAvailableError after the last.
    """
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            await _execute(connection, migration)
        except asyncpg.LockNotAvailableError:
            if not tries_left:
                raise
            log.warning("migration waits for a lock", migration=migration.name)
            await asyncio.sleep(_LOCK_PAUSE_S)
        else:
            return


async def _execute(connection: asyncpg.Connection, migration: Migration) -> None:
    record = (migration.version, migration.name, migration.checksum)
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(_RECORD, *record)
    else:
        await connection.execute(migration.sql)
        await connection.execute(_RECORD, *record)


def _due(missing: list[Migration], phase: Phase | None) -> list[Migration]:
    due = list(missing)
    while phase == "pre" and due and due[-1].phase == "post":
        due.pop()
    return due


def _missing(wanted: list[Migration], applied: list[database.Record]) -> list[Migration]:
    checksums = {row["version"]: row["checksum"] for row in applied}
    for migration in wanted:
        if checksums.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name} has changed since it was applied")
    return [migration for migration in wanted if migration.version not in checksums]
