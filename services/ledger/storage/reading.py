"""Transactions that go through much: they join as suits many rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis import database

# Sessions of the ledger look rows up by their keys, whatever the planner thinks of its tables.
_WIDE = """
SELECT set_config('enable_hashjoin', 'on', TRUE), set_config('enable_seqscan', 'on', TRUE),
    set_config('enable_mergejoin', 'on', TRUE), set_config('plan_cache_mode', 'auto', TRUE)
"""
_LOCK = "SELECT pg_advisory_xact_lock($1)"


@asynccontextmanager
async def wide(source: database.Database) -> AsyncIterator[database.Queryable]:
    """Open a transaction that sees one instant and in which every kind of plan is allowed."""
    async with source.transaction(isolation="repeatable_read", readonly=True) as tx:
        await tx.execute(_WIDE)
        yield tx


@asynccontextmanager
async def alone(source: database.Database, name: str) -> AsyncIterator[database.Queryable]:
    """Open a transaction like `wide` that may write, after all others of this name have ended."""
    async with source.transaction() as tx:
        await tx.execute(_LOCK, database.lock_key(name))
        await tx.execute(_WIDE)
        yield tx
