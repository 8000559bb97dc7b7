"""Databases and their two roles on a PostgreSQL server: one that owns, one that runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tools.stack.postgres import Endpoint

_ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)"
_DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A PostgreSQL role and its password."""

    name: str
    password: str


async def ensure_login(server: Endpoint, login: Login) -> None:
    """Create the role, or give the existing one this password."""
    async with _connected(server) as connection:
        verb = "ALTER" if await connection.fetchval(_ROLE_EXISTS, login.name) else "CREATE"
        await _run(connection, f"{verb} ROLE %I LOGIN PASSWORD %L", login.name, login.password)


async def ensure_database(
    server: Endpoint, database: str, *, owner: str, runtime: str, template: str = "template1"
) -> None:
    """Create the database for its owner unless it exists; only the two roles may connect to it."""
    async with _connected(server) as connection:
        if not await connection.fetchval(_DATABASE_EXISTS, database):
            await _run(
                connection, "CREATE DATABASE %I OWNER %I TEMPLATE %I", database, owner, template
            )
        await _run(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
        await _run(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, runtime)


@asynccontextmanager
async def _connected(server: Endpoint) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def _run(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, *arguments: str
) -> None:
    """Run a statement of data definition, which takes no parameters: the server quotes them."""
    placeholders = ", ".join(f"${number}::text" for number in range(2, len(arguments) + 2))
    quoted = await connection.fetchval(f"SELECT format($1, {placeholders})", statement, *arguments)
    await connection.execute(quoted)
