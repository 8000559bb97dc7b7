"""What a group of batches reads and writes: few statements, however many batches there are.

Reads take no locks. Instead the one statement that writes checks that every account still has the
version that was decided on, and writes nothing otherwise; `Stale` then asks for another round, with
the accounts locked first. Every change of an account or of its lots raises its version.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from services.chassis import database, errors
from services.ledger import engine
from services.ledger.storage import records

_KNOWN = "SELECT batch_id, request, answer FROM batches WHERE batch_id = ANY($1::UUID[])"

_ACCOUNTS = f"""
SELECT {records.ACCOUNT_COLUMNS}
FROM accounts
WHERE account_id = ANY($1::UUID[])
"""  # noqa: S608  constants only
_ACCOUNTS_LOCKED = f"{_ACCOUNTS} ORDER BY account_id FOR UPDATE"

_LOTS = f"""
SELECT {records.LOT_COLUMNS}
FROM unnest($1::UUID[], $2::TIMESTAMPTZ[]) AS wanted (account_id, from_time)
JOIN lots ON lots.account_id = wanted.account_id AND lots.expire_time >= wanted.from_time
WHERE lots.remaining > 0
"""  # noqa: S608  constants only

_NAMED_LOTS = f"""
SELECT {records.LOT_COLUMNS}
FROM unnest($1::UUID[], $2::UUID[]) AS wanted (account_id, lot_id)
JOIN lots ON lots.account_id = wanted.account_id AND lots.lot_id = wanted.lot_id
"""  # noqa: S608  constants only

# An operation of a posted batch that moved nothing has no transfer: a release.
_TARGETS = """
SELECT batches.batch_id, wanted.operation_index, transfers.amount, transfers.reason,
    transfers.campaign_id, transfers.occurred_time, debits.asset_code,
    debits.owner_type AS debit_type, debits.owner_id AS debit_id,
    credits.owner_type AS credit_type, credits.owner_id AS credit_id,
    undone.number, undone.reversed_amount
FROM unnest($1::UUID[], $2::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN batches ON batches.batch_id = wanted.batch_id
    AND NOT batches.refused AND batches.operation_count > wanted.operation_index
LEFT JOIN transfers ON transfers.batch_id = wanted.batch_id
    AND transfers.operation_index = wanted.operation_index
LEFT JOIN accounts AS debits ON debits.account_id = transfers.debit_account_id
LEFT JOIN accounts AS credits ON credits.account_id = transfers.credit_account_id
LEFT JOIN LATERAL (
    SELECT reversals.number, reversals.reversed_amount
    FROM reversals
    WHERE reversals.batch_id = wanted.batch_id
        AND reversals.operation_index = wanted.operation_index
    ORDER BY reversals.number DESC
    LIMIT 1
) AS undone ON TRUE
"""
_TARGET_TAKES = """
SELECT lot_takes.batch_id, lot_takes.operation_index, lot_takes.lot_id, lot_takes.account_id,
    lot_takes.amount
FROM unnest($1::UUID[], $2::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN lot_takes ON lot_takes.batch_id = wanted.batch_id
    AND lot_takes.operation_index = wanted.operation_index
ORDER BY lot_takes.batch_id, lot_takes.operation_index, lot_takes.position
"""

_NAME_WORLD = """
INSERT INTO accounts
    (account_id, asset_code, owner_type, owner_id, balance, version, pending, next_expire_amount)
SELECT account_id, asset_code, owner_type, owner_id, 0, 0, 0, 0
FROM unnest($1::UUID[], $2::TEXT[], $3::SMALLINT[], $4::TEXT[])
    AS named (account_id, asset_code, owner_type, owner_id)
ORDER BY account_id
ON CONFLICT (account_id) DO NOTHING
"""

# Everything in one statement, and so in one round trip and one commit. PostgreSQL runs the parts
# from the last to the first: existing accounts come before everything else, in the order of their
# ids, and so two processes wait for each other in one direction.
_WRITE = """
WITH undone AS (
    INSERT INTO reversals (
        batch_id, operation_index, number, reversing_batch_id, reversing_operation_index, amount,
        reversed_amount, transfer_amount
    )
    SELECT batch_id, operation_index, number, reversing_batch_id, reversing_operation_index, amount,
        reversed_amount, transfer_amount
    FROM unnest(
        $2::UUID[], $3::SMALLINT[], $4::INTEGER[], $5::UUID[], $6::SMALLINT[], $7::BIGINT[],
        $8::BIGINT[], $9::BIGINT[]
    ) AS undone (
        batch_id, operation_index, number, reversing_batch_id, reversing_operation_index, amount,
        reversed_amount, transfer_amount
    )
),
taken AS (
    INSERT INTO lot_takes (batch_id, operation_index, position, account_id, lot_id, amount)
    SELECT batch_id, operation_index, position, account_id, lot_id, amount
    FROM unnest(
        $10::UUID[], $11::SMALLINT[], $12::SMALLINT[], $13::UUID[], $14::UUID[], $15::BIGINT[]
    ) AS taken (batch_id, operation_index, position, account_id, lot_id, amount)
),
changed AS (
    UPDATE lots
    SET remaining = changed.remaining,
        activate_time = changed.activate_time,
        expire_time = COALESCE(changed.expire_time, 'infinity')
    FROM unnest(
        $16::UUID[], $17::TIMESTAMPTZ[], $18::UUID[], $19::BIGINT[], $20::TIMESTAMPTZ[],
        $21::TIMESTAMPTZ[]
    ) AS changed (
        account_id, expire_time_before, lot_id, remaining, activate_time, expire_time
    )
    WHERE lots.account_id = changed.account_id
        AND lots.expire_time = COALESCE(changed.expire_time_before, 'infinity')
        AND lots.lot_id = changed.lot_id
),
made AS (
    INSERT INTO lots (
        lot_id, account_id, batch_id, operation_index, amount, remaining, activate_time,
        expire_time, expiry_given, create_time
    )
    SELECT lot_id, account_id, batch_id, operation_index, amount, remaining, activate_time,
        COALESCE(expire_time, 'infinity'), expiry_given, create_time
    FROM unnest(
        $22::UUID[], $23::UUID[], $24::UUID[], $25::SMALLINT[], $26::BIGINT[], $27::BIGINT[],
        $28::TIMESTAMPTZ[], $29::TIMESTAMPTZ[], $30::BOOLEAN[], $31::TIMESTAMPTZ[]
    ) AS made (
        lot_id, account_id, batch_id, operation_index, amount, remaining, activate_time,
        expire_time, expiry_given, create_time
    )
),
told AS (
    INSERT INTO outbox_events (event_id, payload)
    SELECT event_id, payload
    FROM unnest($32::UUID[], $33::BYTEA[]) AS told (event_id, payload)
),
tallied AS (
    INSERT INTO tallies (account_id, amount)
    SELECT account_id, amount
    FROM unnest($34::UUID[], $35::NUMERIC[]) AS tallied (account_id, amount)
),
entered AS (
    INSERT INTO entries (
        account_id, version, batch_id, operation_index, amount, balance_before, balance_after,
        record_time
    )
    SELECT account_id, version, batch_id, operation_index, amount, balance_before, balance_after,
        $1::TIMESTAMPTZ
    FROM unnest(
        $36::UUID[], $37::BIGINT[], $38::UUID[], $39::SMALLINT[], $40::BIGINT[], $41::BIGINT[],
        $42::BIGINT[]
    ) AS entered (
        account_id, version, batch_id, operation_index, amount, balance_before, balance_after
    )
),
transferred AS (
    INSERT INTO transfers (
        batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, occurred_time, record_time
    )
    SELECT batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, occurred_time, $1::TIMESTAMPTZ
    FROM unnest(
        $43::UUID[], $44::SMALLINT[], $45::UUID[], $46::UUID[], $47::BIGINT[], $48::SMALLINT[],
        $49::TEXT[], $50::TIMESTAMPTZ[]
    ) AS transferred (
        batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, occurred_time
    )
),
answered AS (
    INSERT INTO batches (
        batch_id, request, answer, refused, operation_count, receipt_id, operator_id,
        occurred_time, record_time
    )
    SELECT batch_id, request, answer, refused, operation_count, receipt_id, operator_id,
        occurred_time, $1::TIMESTAMPTZ
    FROM unnest(
        $51::UUID[], $52::BYTEA[], $53::BYTEA[], $54::BOOLEAN[], $55::SMALLINT[], $56::TEXT[],
        $57::TEXT[], $58::TIMESTAMPTZ[]
    ) AS answered (
        batch_id, request, answer, refused, operation_count, receipt_id, operator_id,
        occurred_time
    )
    ORDER BY batch_id
),
opened AS (
    INSERT INTO accounts (
        account_id, balance, version, pending, next_event_time,
        next_expire_time, next_expire_amount, slide_time, lots_from_time,
        asset_code, owner_type, owner_id, floor, ceiling
    )
    SELECT account_id, balance, version, pending, next_event_time,
        next_expire_time, next_expire_amount, slide_time, lots_from_time,
        asset_code, owner_type, owner_id, floor, ceiling
    FROM unnest(
        $59::UUID[], $60::BIGINT[], $61::BIGINT[], $62::BIGINT[], $63::TIMESTAMPTZ[],
        $64::TIMESTAMPTZ[], $65::BIGINT[], $66::TIMESTAMPTZ[], $67::TIMESTAMPTZ[],
        $68::TEXT[], $69::SMALLINT[], $70::TEXT[], $71::BIGINT[], $72::BIGINT[]
    ) AS fresh (
        account_id, balance, version, pending, next_event_time,
        next_expire_time, next_expire_amount, slide_time, lots_from_time,
        asset_code, owner_type, owner_id, floor, ceiling
    )
),
moved AS (
    UPDATE accounts
    SET balance = changed.balance,
        version = CASE
            WHEN accounts.version = changed.version_before THEN changed.version
            ELSE -1
        END,
        pending = changed.pending,
        next_event_time = changed.next_event_time,
        next_expire_time = changed.next_expire_time,
        next_expire_amount = changed.next_expire_amount,
        slide_time = changed.slide_time,
        lots_from_time = changed.lots_from_time
    FROM unnest(
        $73::UUID[], $74::BIGINT[], $75::BIGINT[], $76::BIGINT[], $77::BIGINT[], $78::TIMESTAMPTZ[],
        $79::TIMESTAMPTZ[], $80::BIGINT[], $81::TIMESTAMPTZ[], $82::TIMESTAMPTZ[]
    ) AS changed (
        account_id, version_before, balance, version, pending, next_event_time,
        next_expire_time, next_expire_amount, slide_time, lots_from_time
    )
    WHERE accounts.account_id = changed.account_id
)
SELECT $1::TIMESTAMPTZ
"""

#: The constraint that fails when an account has another version than the one decided on.
_VERSION_CURRENT = "accounts_version_current"


class Stale(Exception):  # noqa: N818  not a fault: decide again
    """Somebody else was faster: what was decided on no longer holds, and nothing was written."""


class Known(NamedTuple):
    """A batch that has its answer."""

    request: bytes
    answer: bytes


class StoredBatch(NamedTuple):
    """A batch with its answer, to be kept for ever."""

    batch_id: UUID
    request: bytes
    answer: bytes
    refused: bool
    operation_count: int
    receipt_id: str
    operator_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Tables:
    """What one group reads about accounts and batches."""

    known: Mapping[UUID, Known]
    accounts: Mapping[UUID, engine.Account]
    lots: Mapping[UUID, engine.Lot]


class Postings:
    """Reads facts and writes decisions."""

    def __init__(self, source: database.Database) -> None:
        self._source = source
        self._worlds: set[UUID] = set()

    def transaction(self) -> AbstractAsyncContextManager[database.Queryable]:
        """Open a transaction, for a round with locks."""
        return self._source.transaction()

    async def targets(self, places: Sequence[engine.Place]) -> dict[engine.Place, engine.Target]:
        """Return the operations of posted batches that others want to undo or release."""
        if not places:
            return {}
        columns = [place.batch_id for place in places], [one.operation_index for one in places]
        rows = await self._source.fetch(_TARGETS, *columns)
        taken: dict[engine.Place, list[engine.LotPart]] = {}
        for row in await self._source.fetch(_TARGET_TAKES, *columns):
            batch_id, operation_index, *part = row
            place = engine.Place(batch_id, operation_index)
            taken.setdefault(place, []).append(engine.LotPart(*part))
        found = ((engine.Place(row["batch_id"], row["operation_index"]), row) for row in rows)
        return {place: _target(row, taken.get(place, [])) for place, row in found}

    async def read(
        self,
        plan: engine.Plan,
        batch_ids: Sequence[UUID],
        *,
        now: datetime,
        tx: database.Queryable | None = None,
    ) -> Tables:
        """Return what a plan asks for; inside a transaction, the accounts are locked by it."""
        source = self._source if tx is None else tx
        found = await source.fetch(_KNOWN, batch_ids) if batch_ids else []
        known = {row["batch_id"]: Known(row["request"], row["answer"]) for row in found}
        statement = _ACCOUNTS if tx is None else _ACCOUNTS_LOCKED
        # Accounts before lots: lots that are newer than their account are noticed by its version.
        rows = await source.fetch(statement, list(plan.keys)) if plan.keys else []
        deep = {row[0]: row for row in rows if row[0] in plan.deep or records.is_due(row, now)}
        lots = await self._lots(source, deep)
        accounts = {
            row[0]: records.account(
                row, plan.keys[row[0]], tuple(lots.get(row[0], ())) if row[0] in deep else None
            )
            for row in rows
        }
        return Tables(known, accounts, await self._named_lots(source, plan))

    async def write(
        self,
        changes: engine.Changes,
        batches: Sequence[StoredBatch],
        events: tuple[Sequence[UUID], Sequence[bytes]],
        *,
        now: datetime,
        tx: database.Queryable | None = None,
    ) -> None:
        """Write everything or nothing; outside of a transaction it is durable on return.

        Raises Stale when accounts, ids or reversals were changed by somebody else meanwhile.
        """
        await self._name_worlds(changes.tallies)
        arguments = (
            now,
            *_columns(changes.reversals, 8),
            *_columns(changes.takes, 6),
            *_columns(map(_changed, changes.lots_changed), 6),
            *_columns(map(_made, changes.lots_made), 10),
            *events,
            *_columns([(key.id, amount) for key, amount in changes.tallies.items()], 2),
            *_columns(changes.entries, 7),
            *_columns(changes.transfers, 8),
            *_columns(batches, 8),
            *_columns(_opened(changes.accounts), 14),
            *_columns(_moved(changes.accounts), 10),
        )
        try:
            await (self._source if tx is None else tx).execute(_WRITE, *arguments)
        except (asyncpg.UniqueViolationError, errors.Contention) as error:
            raise Stale from error
        except asyncpg.CheckViolationError as error:
            if error.constraint_name != _VERSION_CURRENT:
                raise
            raise Stale from error

    async def _lots(
        self, source: database.Queryable, deep: Mapping[UUID, database.Record]
    ) -> Mapping[UUID, list[engine.Lot]]:
        # Without a bound there is no live lot that expires; those that never do are at infinity.
        bounds = [row["lots_from_time"] or records.INFINITY for row in deep.values()]
        return records.grouped(await source.fetch(_LOTS, list(deep), bounds) if deep else [])

    async def _named_lots(
        self, source: database.Queryable, plan: engine.Plan
    ) -> Mapping[UUID, engine.Lot]:
        if not plan.lots:
            return {}
        rows = await source.fetch(_NAMED_LOTS, list(plan.lots.values()), list(plan.lots))
        return {row["lot_id"]: records.lot(row) for row in rows}

    async def _name_worlds(self, tallies: Iterable[engine.Key]) -> None:
        """Give accounts of the world a row for their name; there are few, so once is enough."""
        fresh = [key for key in tallies if key.id not in self._worlds]
        if fresh:
            rows = [(key.id, key.asset_code, key.owner_type, key.owner_id) for key in fresh]
            await self._source.execute(_NAME_WORLD, *_columns(rows, 4))
            if len(self._worlds) > _WORLDS_MAX:
                self._worlds.clear()
            self._worlds.update(key.id for key in fresh)


_WORLDS_MAX = 10_000


def _columns(rows: Iterable[Sequence[Any]], count: int) -> list[Sequence[Any]]:
    """Turn rows into columns, as unnest takes them."""
    return list(zip(*rows, strict=True)) or [()] * count


def _moved(accounts: Iterable[engine.Written]) -> list[tuple[Any, ...]]:
    return [
        (after.key.id, before.version, after.balance, after.version, *_sums(after))
        for before, after in ((one.before, one.after) for one in accounts)
        if before.version
    ]


def _opened(accounts: Iterable[engine.Written]) -> list[tuple[Any, ...]]:
    return [
        (
            after.key.id,
            after.balance,
            after.version,
            *_sums(after),
            after.key.asset_code,
            after.key.owner_type,
            after.key.owner_id,
            after.floor,
            after.ceiling,
        )
        for after in (one.after for one in accounts if not one.before.version)
    ]


def _sums(account: engine.Account) -> tuple[Any, ...]:
    summary = account.summary
    return (
        summary.pending,
        summary.next_event_at,
        summary.next_expire_at,
        summary.next_expire_amount,
        account.slides_until,
        summary.lots_from,
    )


def _made(lot: engine.Lot) -> tuple[Any, ...]:
    return (
        lot.id,
        lot.account_id,
        lot.batch_id,
        lot.operation_index,
        lot.amount,
        lot.remaining,
        lot.activates_at,
        lot.expires_at,
        lot.expiry_given,
        lot.created_at,
    )


def _changed(pair: tuple[engine.Lot, engine.Lot]) -> tuple[Any, ...]:
    before, after = pair
    return (
        after.account_id,
        before.expires_at,
        after.id,
        after.remaining,
        after.activates_at,
        after.expires_at,
    )


def _target(row: database.Record, taken: Sequence[engine.LotPart]) -> engine.Target:
    if row["amount"] is None or row["reason"] == engine.REVERSE:
        return engine.Other()
    return engine.Moved(
        engine.key(row["asset_code"], row["debit_type"], row["debit_id"]),
        engine.key(row["asset_code"], row["credit_type"], row["credit_id"]),
        row["amount"],
        row["campaign_id"],
        row["occurred_time"],
        tuple(taken),
        row["reversed_amount"] or 0,
        row["number"] or 0,
    )
