"""The blocks of the integrity chain, and the evidence that each covers.

A row says in which transaction it was written. Transactions end in another order than they began,
so a block ends before the oldest that was still running: what it covers never grows.
"""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from services.chassis import database
from services.ledger.engine import journal
from services.ledger.engine.journal import Block, Kind, Unit
from services.ledger.storage import evidence

_WITHIN = "transaction_id >= $1 AND transaction_id < $2"
_NEWER_WITHIN = "transaction_id >= $3 AND transaction_id < $2"

_EVIDENCE = "\nUNION ALL ".join(
    f"SELECT {table.unit} AS unit_id, '\\x{kind:02x}'::BYTEA || {table.digest} AS mark"  # noqa: S608  constants only
    f" FROM {table.name} WHERE {_NEWER_WITHIN if kind in journal.NEWER else _WITHIN}"
    for kind, table in evidence.TABLES.items()
)
_UNITS = f"""
SELECT unit_id, string_agg(mark, ''::BYTEA ORDER BY mark)
FROM ({_EVIDENCE}) AS evidence
GROUP BY unit_id
ORDER BY unit_id
"""  # noqa: S608  constants only
_KEYS = {
    kind: f"SELECT {table.key} AS key, {table.digest} AS digest FROM {table.name}"  # noqa: S608  constants only
    f" WHERE {_WITHIN} AND {table.unit} = $3"
    for kind, table in evidence.TABLES.items()
}

_BLOCK = "block_number, start_transaction, end_transaction, row_count, root, row_index, format"
_HEAD = f"SELECT {_BLOCK} FROM journal_blocks ORDER BY block_number DESC LIMIT 1"  # noqa: S608  constants only
_BLOCKS = f"""
SELECT {_BLOCK} FROM journal_blocks
WHERE block_number > $1 ORDER BY block_number LIMIT 100
"""  # noqa: S608  constants only
_APPEND = """
INSERT INTO journal_blocks
    (block_number, start_transaction, end_transaction, row_count, root, row_index, format)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT"
_HAS_MORE = f"""
SELECT count(*) > $3::BIGINT FROM (
    SELECT FROM batches WHERE {_WITHIN}
    UNION ALL SELECT FROM transfers WHERE {_WITHIN}
    LIMIT $3::BIGINT + 1
) AS few
"""  # noqa: S608  constants only
# Blocks are small parts of large tables, whatever a planner believes about new ones.
_SESSION = "SET enable_seqscan = off"
_OLDEST = """
SELECT extract(EPOCH FROM now() - min(record_time))::FLOAT8
FROM batches WHERE transaction_id >= $1
"""


class Journal:
    """The chain of one installation; every method works on the session that it is given."""

    async def prepare(self, session: database.Queryable) -> None:
        """Make a session ready for reading units."""
        await session.execute(_SESSION)

    async def horizon(self, session: database.Queryable) -> int:
        """Return the transaction before which nothing can come any more."""
        horizon: int = await session.fetchval(_HORIZON)
        return horizon

    async def head(self, session: database.Queryable) -> Block | None:
        """Return the last block."""
        row = await session.fetchrow(_HEAD)
        return None if row is None else Block(*row)

    async def blocks(
        self, session: database.Queryable, *, after: int, until: int
    ) -> AsyncIterator[Block]:
        """Yield blocks by number, those above `after` and up to `until`."""
        number = after
        while rows := await session.fetch(_BLOCKS, number):
            for row in rows:
                if row[0] > until:
                    return
                yield Block(*row)
            number = rows[-1][0]

    async def has_more(
        self, session: database.Queryable, *, start: int, end: int, rows: int
    ) -> bool:
        """Tell whether transactions wrote more batches and transfers than `rows`."""
        return bool(await session.fetchval(_HAS_MORE, start, end, rows))

    async def units(
        self, session: database.Queryable, *, start: int, end: int, newer_start: int | None = None
    ) -> list[Unit]:
        """Return the evidence of transactions from `start` until before `end`, by batch.

        That of the newer kinds begins at `newer_start`, where that is another one.
        """
        rows = await session.fetch(
            _UNITS, start, end, start if newer_start is None else newer_start
        )
        return [Unit(*row) for row in rows]

    async def append(self, session: database.Queryable, block: Block) -> None:
        """Keep a block; fails when there is one of this number."""
        await session.execute(
            _APPEND,
            block.number,
            block.start,
            block.end,
            block.count,
            block.root,
            block.index,
            block.format,
        )

    async def waiting_s(self, session: database.Queryable, head: Block | None) -> float:
        """Return for how long the oldest batch waits for its block, in seconds; 0: none waits."""
        waiting: float | None = await session.fetchval(_OLDEST, head.end if head else 0)
        return max(waiting or 0.0, 0.0)

    async def names(
        self,
        session: database.Queryable,
        difference: journal.Difference,
        *,
        start: int,
        end: int,
    ) -> Sequence[str]:
        """Return the names of the rows that a block of these transactions does not know."""
        rows = await session.fetch(_KEYS[difference.kind], start, end, difference.unit_id)
        length = len(difference.foreign[0]) if difference.foreign else 0
        return [row["key"] for row in rows if row["digest"][:length] in difference.foreign]

    async def owner(self, session: database.Queryable, kind: Kind, unit_id: UUID) -> str:
        """Return how findings name what a row belongs to: by its id, or the asset's code."""
        if evidence.is_of_asset(kind):
            code = await session.fetchval(evidence.ASSET_NAME, unit_id)
            if code is not None:
                return f"{evidence.owner(kind)} {code}"
        return f"{evidence.owner(kind)}_{unit_id.hex}"
