"""What was: balances and statements of the past, and where lots came from and went."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import reading, records
from services.ledger.storage.statements import EntryLine, entry_lines

_MICROSECOND = timedelta(microseconds=1)

_LAST_ENTRY = """
SELECT version, balance_after
FROM entries
WHERE account_id = $1 AND version = version_before($1, $2)
"""
_LATEST = "SELECT max(version) FROM entries WHERE account_id = $1"

# Everything recorded more than a minute before the instant happened before it.
_OCCURRED = """
WITH settled AS (
    SELECT version_before($1, $2::TIMESTAMPTZ - INTERVAL '1 minute') AS version
)
SELECT COALESCE((
    SELECT entries.balance_after
    FROM entries
    JOIN settled ON entries.version = settled.version
    WHERE entries.account_id = $1
), 0) + COALESCE((
    SELECT sum(entries.amount)
    FROM settled
    JOIN entries ON entries.account_id = $1 AND entries.version > settled.version
    JOIN transfers ON transfers.batch_id = entries.batch_id
        AND transfers.operation_index = entries.operation_index
    WHERE transfers.occurred_time < $2
), 0)::BIGINT
"""

# Lots as they were right before a moment, when the account's last version was $3. What was left of
# them follows from what was taken: until then, or since then, whichever is shorter. A lot that is
# as old as clocks may differ is told by the version that made it.
_PAST_LOTS = """
WITH taken AS (
    SELECT lot_takes.lot_id, sum(lot_takes.amount) AS amount
    FROM entries
    JOIN lot_takes ON lot_takes.batch_id = entries.batch_id
        AND lot_takes.operation_index = entries.operation_index
        AND lot_takes.account_id = $1
    WHERE entries.account_id = $1 AND {span}
    GROUP BY lot_takes.lot_id
), young AS (
    SELECT batch_id, operation_index
    FROM entries
    WHERE account_id = $1
        AND version > version_before($1, $2::TIMESTAMPTZ - INTERVAL '2 minutes')
        AND version <= $3
), terms AS (
    SELECT DISTINCT ON (lot_id) lot_id, activate_time, expire_time
    FROM lot_terms
    WHERE account_id = $1 AND until_time >= $2
    ORDER BY lot_id, until_time
)
SELECT lots.lot_id, lots.account_id, lots.batch_id, lots.operation_index, lots.amount,
    ({left})::BIGINT AS remaining, 0::BIGINT AS held,
    CASE WHEN terms.lot_id IS NULL THEN lots.activate_time ELSE terms.activate_time END,
    NULLIF(COALESCE(terms.expire_time, lots.expire_time), 'infinity'),
    lots.expiry_given, lots.create_time, lots.issuer_account_id, lots.bringer_account_id
FROM lots
LEFT JOIN taken ON taken.lot_id = lots.lot_id
LEFT JOIN terms ON terms.lot_id = lots.lot_id
WHERE lots.account_id = $1
    AND lots.create_time < $2::TIMESTAMPTZ + INTERVAL '1 minute'
    AND (
        lots.create_time < $2::TIMESTAMPTZ - INTERVAL '1 minute'
        OR (lots.batch_id, lots.operation_index) IN (SELECT batch_id, operation_index FROM young)
    )
    AND ($4 OR ({left}) > 0)
"""
_PAST_LOTS_FORWARD = _PAST_LOTS.format(
    span="entries.version <= $3", left="lots.amount - COALESCE(taken.amount, 0)"
)
_PAST_LOTS_BACKWARD = _PAST_LOTS.format(
    span="entries.version > $3", left="lots.remaining + COALESCE(taken.amount, 0)"
)

_SPAN = "SELECT version_before($1, $2), version_before($1, $3)"
_BALANCES = """
SELECT version, balance_after
FROM entries
WHERE account_id = $1 AND version = ANY($2::BIGINT[])
"""
_TOTALS = """
SELECT transfers.reason, count(*),
    COALESCE(sum(entries.amount) FILTER (WHERE entries.amount > 0), 0)::BIGINT,
    COALESCE(-sum(entries.amount) FILTER (WHERE entries.amount < 0), 0)::BIGINT
FROM entries
JOIN transfers ON transfers.batch_id = entries.batch_id
    AND transfers.operation_index = entries.operation_index
WHERE entries.account_id = $1 AND entries.version > $2 AND entries.version <= $3
GROUP BY transfers.reason
ORDER BY transfers.reason
"""
_PERIOD = entry_lines(
    page="version > $2 AND version <= $3 ORDER BY version LIMIT $4", order="entries.version"
)

_TRANSFER = """
SELECT transfers.batch_id, transfers.operation_index, transfers.reason, transfers.amount,
    debits.asset_code, debits.owner_type AS debit_type, debits.owner_id AS debit_id,
    credits.owner_type AS credit_type, credits.owner_id AS credit_id,
    COALESCE(batches.receipt_id, '') AS receipt_id, transfers.campaign_id,
    transfers.occurred_time, transfers.record_time
FROM unnest($1::UUID[], $2::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN transfers ON transfers.batch_id = wanted.batch_id
    AND transfers.operation_index = wanted.operation_index
JOIN accounts AS debits ON debits.account_id = transfers.debit_account_id
JOIN accounts AS credits ON credits.account_id = transfers.credit_account_id
LEFT JOIN batches ON batches.batch_id = transfers.batch_id
"""
_TAKES = """
SELECT account_id, lot_id, amount
FROM lot_takes
WHERE batch_id = $1 AND operation_index = $2
ORDER BY position
"""
_RESTORED = """
SELECT lot_takes.lot_id, -sum(lot_takes.amount)::BIGINT AS amount
FROM reversals
JOIN lot_takes ON lot_takes.batch_id = reversals.reversing_batch_id
    AND lot_takes.operation_index = reversals.reversing_operation_index
WHERE reversals.batch_id = $1 AND reversals.operation_index = $2 AND lot_takes.amount < 0
GROUP BY lot_takes.lot_id
"""
# Both are written by one transaction.
_UNDONE = """
SELECT reversals.batch_id, reversals.operation_index
FROM transfers
JOIN reversals ON reversals.transaction_id = transfers.transaction_id
    AND reversals.reversing_batch_id = transfers.batch_id
    AND reversals.reversing_operation_index = transfers.operation_index
WHERE transfers.batch_id = $1 AND transfers.operation_index = $2
"""
# What had expired and was granted some grace.
_RENEWED = f"""
SELECT {records.LOT_COLUMNS}
FROM unnest($2::UUID[], $3::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN reversals ON reversals.batch_id = wanted.batch_id
    AND reversals.operation_index = wanted.operation_index
JOIN lots ON lots.account_id = $1
    AND lots.batch_id = reversals.reversing_batch_id
    AND lots.operation_index = reversals.reversing_operation_index
"""  # noqa: S608  constants only
_LOT = f"""
SELECT {records.LOT_COLUMNS}
FROM lots
WHERE account_id = $1 AND lot_id = $2
"""  # noqa: S608  constants only
_MADE = f"""
SELECT {records.LOT_COLUMNS}
FROM lots
WHERE account_id = $1 AND batch_id = $2 AND operation_index = $3
ORDER BY lot_id
LIMIT $4
"""  # noqa: S608  constants only
_USES = """
SELECT lot_takes.lot_id, lot_takes.amount, lot_takes.batch_id, lot_takes.operation_index
FROM entries
JOIN lot_takes ON lot_takes.batch_id = entries.batch_id
    AND lot_takes.operation_index = entries.operation_index
WHERE entries.account_id = $1
    AND entries.version > version_before($1, $2::TIMESTAMPTZ - INTERVAL '1 minute')
    AND lot_takes.account_id = $1
    AND lot_takes.lot_id = ANY($3::UUID[])
ORDER BY entries.version, lot_takes.position
LIMIT $4
"""


class Span(NamedTuple):
    """A period of an account: the versions it lies between, and the balances at both ends."""

    after_version: int
    until_version: int
    opening: int
    closing: int


class Total(NamedTuple):
    """What moved for one reason."""

    reason: int
    entry_count: int
    credits: int
    debits: int


class Movement(NamedTuple):
    """A transfer with its two sides and what it belongs to."""

    place: engine.Place
    reason: int
    amount: int
    debit: engine.Key
    credit: engine.Key
    receipt_id: str
    campaign_id: str
    occurred_at: datetime
    recorded_at: datetime


class Use(NamedTuple):
    """What was taken from a lot, or given back when negative."""

    lot_id: UUID
    amount: int
    place: engine.Place


class Books:
    """Reads of what was; nothing here is written."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def past_total(self, account_id: UUID, at: datetime) -> tuple[int, int]:
        """Return the version and the booked balance as of an instant, itself included."""
        row = await self._source.fetchrow(_LAST_ENTRY, account_id, at + _MICROSECOND)
        return (0, 0) if row is None else (row["version"], row["balance_after"])

    async def occurred_total(self, account_id: UUID, at: datetime) -> int:
        """Return the sum of what is known to have happened until an instant, itself included."""
        total: int = await self._source.fetchval(_OCCURRED, account_id, at + _MICROSECOND)
        return total

    async def past_lots(
        self, account_id: UUID, at: datetime, *, version: int, spent_too: bool
    ) -> list[engine.Lot]:
        """Return the lots as of an instant whose version is `version`, their times included."""
        async with self._reading() as tx:
            latest = await tx.fetchval(_LATEST, account_id) or 0
            forward = version < latest / 2
            statement = _PAST_LOTS_FORWARD if forward else _PAST_LOTS_BACKWARD
            rows = await tx.fetch(statement, account_id, at + _MICROSECOND, version, spent_too)
        return [records.lot(row) for row in rows]

    async def span(self, account_id: UUID, *, from_time: datetime, until_time: datetime) -> Span:
        """Return what a period is: it holds what was recorded from one time to before another."""
        row = await self._source.fetchrow(_SPAN, account_id, from_time, until_time)
        assert row is not None
        return await self.between(account_id, after_version=row[0], until_version=row[1])

    async def between(self, account_id: UUID, *, after_version: int, until_version: int) -> Span:
        """Return the period between two versions."""
        rows = await self._source.fetch(_BALANCES, account_id, [after_version, until_version])
        balances = {row["version"]: row["balance_after"] for row in rows}
        return Span(
            after_version,
            until_version,
            balances.get(after_version, 0),
            balances.get(until_version, 0),
        )

    async def totals(self, account_id: UUID, span: Span) -> list[Total]:
        """Return the sums of a period by reason."""
        async with self._reading() as tx:
            rows = await tx.fetch(_TOTALS, account_id, span.after_version, span.until_version)
        return [Total(*row) for row in rows]

    async def entries(
        self, account_id: UUID, *, after_version: int, until_version: int, limit: int
    ) -> list[EntryLine]:
        """Return the movements between two versions, oldest first."""
        rows = await self._source.fetch(_PERIOD, account_id, after_version, until_version, limit)
        return [EntryLine(*row) for row in rows]

    async def movements(self, places: Iterable[engine.Place]) -> dict[engine.Place, Movement]:
        """Return transfers by their places."""
        columns = list(zip(*set(places), strict=True)) or [(), ()]
        rows = await self._source.fetch(_TRANSFER, *columns)
        found = map(_movement, rows)
        return {movement.place: movement for movement in found}

    async def takes(self, place: engine.Place) -> list[engine.LotPart]:
        """Return what an operation took from lots, in order; negative where it gave back."""
        rows = await self._source.fetch(_TAKES, *place)
        return [engine.LotPart(row["lot_id"], row["account_id"], row["amount"]) for row in rows]

    async def restored(self, place: engine.Place) -> Mapping[UUID, int]:
        """Return what reversals of an operation have given back, by lot."""
        rows = await self._source.fetch(_RESTORED, *place)
        return {row["lot_id"]: row["amount"] for row in rows}

    async def undone(self, place: engine.Place) -> engine.Place | None:
        """Return what a reversal undid, None for what is no reversal."""
        async with self._reading() as tx:
            row = await tx.fetchrow(_UNDONE, *place)
        return None if row is None else engine.Place(*row)

    async def renewed(self, account_id: UUID, places: Collection[engine.Place]) -> list[engine.Lot]:
        """Return the lots that reversals of operations made of what had expired."""
        if not places:
            return []
        async with self._reading() as tx:
            rows = await tx.fetch(_RENEWED, account_id, *zip(*places, strict=True))
        return [records.lot(row) for row in rows]

    async def lot(self, account_id: UUID, lot_id: UUID) -> engine.Lot:
        """Return a lot that exists."""
        row = await self._source.fetchrow(_LOT, account_id, lot_id)
        assert row is not None
        return records.lot(row)

    async def lots_made(
        self, account_id: UUID, place: engine.Place, *, limit: int
    ) -> list[engine.Lot]:
        """Return the lots that an operation made on an account."""
        rows = await self._source.fetch(_MADE, account_id, *place, limit)
        return [records.lot(row) for row in rows]

    async def uses(self, account_id: UUID, lots: Sequence[engine.Lot], *, limit: int) -> list[Use]:
        """Return what was taken from lots of an account, in the order of recording."""
        earliest = min(lot.created_at for lot in lots)
        ids = [lot.id for lot in lots]
        async with self._reading() as tx:
            rows = await tx.fetch(_USES, account_id, earliest, ids, limit)
        return [Use(row[0], row[1], engine.Place(row[2], row[3])) for row in rows]

    def _reading(self) -> AbstractAsyncContextManager[database.Queryable]:
        return reading.wide(self._source)


def _movement(row: database.Record) -> Movement:
    code = row["asset_code"]
    return Movement(
        engine.Place(row["batch_id"], row["operation_index"]),
        row["reason"],
        row["amount"],
        engine.key(code, row["debit_type"], row["debit_id"]),
        engine.key(code, row["credit_type"], row["credit_id"]),
        row["receipt_id"],
        row["campaign_id"],
        row["occurred_time"],
        row["record_time"],
    )
