"""Evidence as the integrity chain sees it, and the blocks of the chain.

The digest of a row is SHA-256 over the table's name, the number of the format and a zero byte, then
every column in the order given here: UUIDs as their 16 bytes, numbers as 8 bytes (two's complement,
big-endian), times as 8 bytes of microseconds since 2000-01-01 UTC, flags as one byte, texts (UTF-8)
and bytes behind their length in 4 bytes. What may be absent comes behind a byte 1, or is a single
byte 0. The database computes it, where the rows are.

A row says in which transaction it was written. Transactions end in another order than they began,
so a block ends before the oldest that was still running: what it covers never grows.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis import database
from services.ledger.engine import journal
from services.ledger.engine.journal import Block, Kind, Unit

_ENCODERS = {
    "uuid": "uuid_send({0})",
    "uuid or none": "COALESCE('\\x01'::BYTEA || uuid_send({0}), '\\x00'::BYTEA)",
    "number": "int8send({0}::BIGINT)",
    "time": "timestamptz_send({0})",
    "time or none": "COALESCE('\\x01'::BYTEA || timestamptz_send({0}), '\\x00'::BYTEA)",
    "flag": "CASE WHEN {0} THEN '\\x01'::BYTEA ELSE '\\x00'::BYTEA END",
    "text": "int4send(octet_length({0})) || convert_to({0}, 'UTF8')",
    "bytes": "int4send(octet_length({0})) || {0}",
}


@dataclass(frozen=True, slots=True)
class _Table:
    """How rows of a table are hashed; `unit` is the column of the batch, `key` names a row."""

    name: str
    columns: Mapping[str, str]
    unit: str
    key: str

    @property
    def digest(self) -> str:
        encoded = (_ENCODERS[kind].format(name) for name, kind in self.columns.items())
        return f"sha256('{self.name}.1'::BYTEA || '\\x00'::BYTEA || {' || '.join(encoded)})"


_PLACE = {"batch_id": "uuid", "operation_index": "number"}
_TABLES = {
    Kind.BATCHES: _Table(
        "batches",
        {
            "batch_id": "uuid",
            "request": "bytes",
            "answer": "bytes",
            "refused": "flag",
            "operation_count": "number",
            "receipt_id": "text",
            "operator_id": "text",
            "occurred_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "'the batch itself'",
    ),
    Kind.TRANSFERS: _Table(
        "transfers",
        {
            **_PLACE,
            "debit_account_id": "uuid",
            "credit_account_id": "uuid",
            "amount": "number",
            "reason": "number",
            "campaign_id": "text",
            "occurred_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "format('operation %s', operation_index)",
    ),
    Kind.ENTRIES: _Table(
        "entries",
        {
            "account_id": "uuid",
            "version": "number",
            **_PLACE,
            "amount": "number",
            "balance_before": "number",
            "balance_after": "number",
            "record_time": "time",
        },
        "batch_id",
        "format('account %s version %s', account_id, version)",
    ),
    # What is left of a lot and when it ends may change; where it came from may not.
    Kind.LOTS: _Table(
        "lots",
        {
            "account_id": "uuid",
            "lot_id": "uuid",
            **_PLACE,
            "amount": "number",
            "expiry_given": "flag",
            "create_time": "time",
            "issuer_account_id": "uuid or none",
            "bringer_account_id": "uuid or none",
        },
        "batch_id",
        "format('lot %s', lot_id)",
    ),
    Kind.LOT_TAKES: _Table(
        "lot_takes",
        {
            **_PLACE,
            "position": "number",
            "account_id": "uuid",
            "lot_id": "uuid",
            "amount": "number",
        },
        "batch_id",
        "format('operation %s position %s', operation_index, position)",
    ),
    Kind.REVERSALS: _Table(
        "reversals",
        {
            **_PLACE,
            "number": "number",
            "reversing_batch_id": "uuid",
            "reversing_operation_index": "number",
            "amount": "number",
            "reversed_amount": "number",
            "transfer_amount": "number",
        },
        "reversing_batch_id",
        "format('of batch %s operation %s number %s', batch_id, operation_index, number)",
    ),
    Kind.LOT_TERMS: _Table(
        "lot_terms",
        {
            "account_id": "uuid",
            "lot_id": "uuid",
            "until_time": "time",
            "activate_time": "time or none",
            "expire_time": "time",
        },
        "lot_id",
        "format('until %s', until_time)",
    ),
    Kind.HOLDS: _Table(
        "holds",
        {
            **_PLACE,
            "debit_account_id": "uuid",
            "credit_account_id": "uuid",
            "amount": "number",
            "reason": "number",
            "campaign_id": "text",
            "expire_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "format('operation %s', operation_index)",
    ),
}
_WITHIN = "transaction_id >= $1 AND transaction_id < $2"

_EVIDENCE = "\nUNION ALL ".join(
    f"SELECT {table.unit} AS unit_id, '\\x{kind:02x}'::BYTEA || {table.digest} AS mark"  # noqa: S608  constants only
    f" FROM {table.name} WHERE {_WITHIN}"
    for kind, table in _TABLES.items()
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
    for kind, table in _TABLES.items()
}

_BLOCK = "block_number, start_transaction, end_transaction, row_count, root, row_index"
_HEAD = f"SELECT {_BLOCK} FROM journal_blocks ORDER BY block_number DESC LIMIT 1"  # noqa: S608  constants only
_BLOCKS = f"""
SELECT {_BLOCK} FROM journal_blocks
WHERE block_number > $1 ORDER BY block_number LIMIT 100
"""  # noqa: S608  constants only
_APPEND = """
INSERT INTO journal_blocks
    (block_number, start_transaction, end_transaction, row_count, root, row_index)
VALUES ($1, $2, $3, $4, $5, $6)
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

    async def units(self, session: database.Queryable, *, start: int, end: int) -> list[Unit]:
        """Return the evidence of transactions from `start` until before `end`, by batch."""
        rows = await session.fetch(_UNITS, start, end)
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
        )

    async def waiting_s(self, session: database.Queryable, head: Block | None) -> float:
        """Return for how long the oldest batch waits for its block, in seconds; 0: none waits."""
        waiting: float | None = await session.fetchval(_OLDEST, head.end if head else 0)
        return max(waiting or 0.0, 0.0)

    async def names(
        self, session: database.Queryable, block: Block, difference: journal.Difference
    ) -> Sequence[str]:
        """Return the names of the rows that a block does not know."""
        rows = await session.fetch(
            _KEYS[difference.kind], block.start, block.end, difference.unit_id
        )
        length = len(difference.foreign[0]) if difference.foreign else 0
        return [row["key"] for row in rows if row["digest"][:length] in difference.foreign]


def name(kind: Kind) -> str:
    """Return the name of a table."""
    return _TABLES[kind].name


def key(kind: Kind, unit_id: UUID) -> str:
    """Return how findings name what a row belongs to."""
    return f"{'lot' if kind is Kind.LOT_TERMS else 'bat'}_{unit_id.hex}"
