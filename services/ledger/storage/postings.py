"""What a group of batches reads and writes: few statements, however many batches there are.

Reads take no locks. Instead the one statement that writes checks that every account still has the
version that was decided on, and writes nothing otherwise; `Stale` then asks for another round, with
the accounts locked first. Every change of an account or of its lots raises its version.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.chassis import database, errors
from services.ledger import engine
from services.ledger.storage import literals, records, writing
from services.ledger.storage.writing import StoredBatch

# Batches that have their answer, and accounts: what every group asks for, in one round trip.
_TABLES = f"""
SELECT {records.ACCOUNT_COLUMNS}, NULL::BYTEA AS request, NULL::BYTEA AS answer
FROM (SELECT * FROM accounts WHERE account_id = ANY($1::TEXT::UUID[])) AS found
UNION ALL
SELECT batch_id, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, NULL, 0, 0, NULL, 0, 0, request,
    answer
FROM batches
WHERE batch_id = ANY($2::TEXT::UUID[])
"""  # noqa: S608  constants only
_TABLES_LOCKED = _TABLES.replace(
    "ANY($1::TEXT::UUID[])", "ANY($1::TEXT::UUID[]) ORDER BY account_id FOR UPDATE"
)

_ACCOUNTS = f"SELECT {records.ACCOUNT_COLUMNS} FROM accounts WHERE account_id = ANY($1::UUID[])"  # noqa: S608  constants only

_LOTS = f"""
SELECT {records.LOT_COLUMNS}
FROM unnest($1::TEXT::UUID[], $2::TEXT::BIGINT[], $3::INTEGER[])
    AS wanted (account_id, lots_from, lots_max)
CROSS JOIN LATERAL (
    SELECT *
    FROM lots
    WHERE lots.account_id = wanted.account_id
        AND lots.expire_time >= COALESCE(instant(wanted.lots_from), 'infinity')
        AND lots.remaining > 0
    ORDER BY lots.expire_time, lots.lot_id
    LIMIT wanted.lots_max
) AS lots
"""  # noqa: S608  constants only

_NAMED_LOTS = f"""
SELECT {records.LOT_COLUMNS}
FROM unnest($1::UUID[], $2::UUID[]) AS wanted (account_id, lot_id)
JOIN lots ON lots.account_id = wanted.account_id AND lots.lot_id = wanted.lot_id
"""  # noqa: S608  constants only

# Expiries are found by their entries, which the ledger books itself: there are few.
_EXPIRED = """
SELECT lot_takes.lot_id, sum(lot_takes.amount)::BIGINT
FROM unnest($1::UUID[], $2::UUID[], $3::TIMESTAMPTZ[]) AS wanted (account_id, lot_id, create_time)
JOIN entries ON entries.account_id = wanted.account_id
    AND entries.version > version_before(
        wanted.account_id, wanted.create_time - INTERVAL '1 minute')
    AND entries.operation_index = $4
JOIN transfers ON transfers.batch_id = entries.batch_id
    AND transfers.operation_index = entries.operation_index
    AND transfers.reason = $5
JOIN lot_takes ON lot_takes.batch_id = entries.batch_id
    AND lot_takes.operation_index = entries.operation_index
    AND lot_takes.lot_id = wanted.lot_id
GROUP BY lot_takes.lot_id
"""

# All that accounts keep back now, and what was kept back by holds that have ended.
_RESERVES = f"""
SELECT {records.RESERVE_COLUMNS}
FROM reserves
WHERE reserves.account_id = ANY($1::UUID[]) AND reserves.state = 1
UNION ALL
SELECT {records.RESERVE_COLUMNS}
FROM unnest($2::UUID[], $3::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN reserves ON reserves.batch_id = wanted.batch_id
    AND reserves.operation_index = wanted.operation_index
WHERE reserves.state <> 1
"""  # noqa: S608  constants only

# An operation of a posted batch that moved nothing has no transfer: a release, a hold, a void.
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

_TARGET_HOLDS = """
SELECT holds.batch_id, holds.operation_index, holds.amount, holds.reason, holds.campaign_id,
    debits.asset_code, debits.owner_type AS debit_type, debits.owner_id AS debit_id,
    credits.owner_type AS credit_type, credits.owner_id AS credit_id
FROM unnest($1::UUID[], $2::SMALLINT[]) AS wanted (batch_id, operation_index)
JOIN holds ON holds.batch_id = wanted.batch_id
    AND holds.operation_index = wanted.operation_index
JOIN accounts AS debits ON debits.account_id = holds.debit_account_id
JOIN accounts AS credits ON credits.account_id = holds.credit_account_id
"""

_IS_KNOWN = "SELECT EXISTS (SELECT FROM batches WHERE batch_id = $1)"

_NAME_WORLD = """
INSERT INTO accounts
    (account_id, asset_code, owner_type, owner_id, balance, version, pending, next_expire_amount)
SELECT account_id, asset_code, owner_type, owner_id, 0, 0, 0, 0
FROM unnest($1::UUID[], $2::TEXT[], $3::SMALLINT[], $4::TEXT[])
    AS named (account_id, asset_code, owner_type, owner_id)
ORDER BY account_id
ON CONFLICT (account_id) DO NOTHING
"""

#: How many live lots are read of an account that is merely spent from.
LOTS_BRIEF = 8

#: The constraint that fails when an account has another version than the one decided on.
_VERSION_CURRENT = "accounts_version_current"


class Stale(Exception):  # noqa: N818  not a fault: decide again
    """Somebody else was faster: what was decided on no longer holds, and nothing was written."""


class Known(NamedTuple):
    """A batch that has its answer."""

    request: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Tables:
    """What one group reads about accounts and batches."""

    known: Mapping[UUID, Known]
    accounts: Mapping[UUID, engine.Account]
    lots: Mapping[UUID, engine.Lot]
    expired: Mapping[UUID, int]
    #: Of how many accounts more lots were read at once, because the first would be spent up.
    reread: int


class Postings:
    """Reads facts and writes decisions."""

    def __init__(self, source: database.Database) -> None:
        self._source = source
        self._worlds: set[UUID] = set()

    def round(self, *, with_locks: bool) -> AbstractAsyncContextManager[database.Queryable]:
        """Open what one round reads and writes with; with locks it is a transaction."""
        return self._source.transaction() if with_locks else self._source.session()

    async def targets(self, places: Sequence[engine.Place]) -> dict[engine.Place, engine.Target]:
        """Return the operations of posted batches that others refer back to."""
        if not places:
            return {}
        columns = list(zip(*set(places), strict=True))
        rows = await self._source.fetch(_TARGETS, *columns)
        taken: dict[engine.Place, list[engine.LotPart]] = {}
        for row in await self._source.fetch(_TARGET_TAKES, *columns):
            batch_id, operation_index, *part = row
            place = engine.Place(batch_id, operation_index)
            taken.setdefault(place, []).append(engine.LotPart(*part))
        found = {engine.Place(row["batch_id"], row["operation_index"]): row for row in rows}
        targets = {place: _target(row, taken.get(place, [])) for place, row in found.items()}
        still = [place for place, row in found.items() if row["amount"] is None]
        return {**targets, **await self._holds(still)}

    async def is_known(self, batch_id: UUID) -> bool:
        """Tell whether a batch has its answer."""
        return bool(await self._source.fetchval(_IS_KNOWN, batch_id))

    async def read(
        self,
        plan: engine.Plan,
        batch_ids: Sequence[UUID],
        *,
        now: datetime,
        source: database.Queryable,
        with_locks: bool,
    ) -> Tables:
        """Return what a plan asks for, with the accounts locked or not."""
        # Accounts before lots: lots that are newer than their account are noticed by its version.
        statement = _TABLES_LOCKED if with_locks else _TABLES
        wanted = literals.uuids(plan.keys), literals.uuids(batch_ids)
        known: dict[UUID, Known] = {}
        rows: list[database.Record] = []
        for row in await source.fetch(statement, *wanted):
            if row["answer"] is None:
                rows.append(row)
            else:
                known[row["account_id"]] = Known(row["request"], row["answer"])
        keys = dict(plan.keys)
        owing = [engine.debt_key(keys[row[0]]) for row in rows if row["debt"]]
        if missing := {key.id: key for key in owing if key.id not in keys}:
            # Debts change together with what their owners have, so locks and versions of those do.
            rows += await source.fetch(_ACCOUNTS, list(missing))
            keys.update(missing)
        due = {row[0]: row for row in rows if records.is_due(row, now)}
        ending = {one for one, row in due.items() if row["next_hold_time"] is not None}
        holding = plan.holding | ending
        whole = holding | due.keys()
        deep = {row[0]: row for row in rows if row[0] in plan.deep or row[0] in whole}
        brief = (deep.keys() & plan.brief.keys()) - whole
        lots = await self._lots(source, deep, brief)
        short = {one for one in brief if _is_short(lots.get(one, ()), plan.brief[one])}
        if short:
            lots = {**lots, **await self._lots(source, {one: deep[one] for one in short}, ())}
            brief -= short
        reserves = await self._reserves(source, holding, plan.holds)
        accounts = {
            row[0]: records.account(
                row,
                keys[row[0]],
                tuple(lots.get(row[0], ())) if row[0] in deep else None,
                tuple(reserves.get(row[0], ())) if row[0] in holding else None,
                has_more=row[0] in brief and len(lots.get(row[0], ())) == LOTS_BRIEF,
            )
            for row in rows
        }
        named = await self._named_lots(source, plan)
        claimed = [named[one] for one in plan.claimed if one in named]
        expired = await self._expired(source, claimed, now)
        return Tables(known, accounts, named, expired, len(short))

    async def write(
        self,
        changes: engine.Changes,
        batches: Sequence[StoredBatch],
        events: tuple[Sequence[UUID], Sequence[bytes]],
        *,
        now: datetime,
        source: database.Queryable,
        with_locks: bool,
    ) -> None:
        """Write everything or nothing; without locks it is durable on return.

        Raises Stale when accounts, ids or reversals were changed by somebody else meanwhile.
        """
        await self._name_worlds(_worlds(changes), source, remember=not with_locks)
        statement, arguments = writing.composed(changes, batches, events, now=now)
        try:
            await source.execute(statement, *arguments)
        except (asyncpg.UniqueViolationError, errors.Contention) as error:
            raise Stale from error
        except asyncpg.CheckViolationError as error:
            if error.constraint_name != _VERSION_CURRENT:
                raise
            raise Stale from error

    async def _lots(
        self,
        source: database.Queryable,
        deep: Mapping[UUID, database.Record],
        brief: Container[UUID],
    ) -> Mapping[UUID, list[engine.Lot]]:
        if not deep:
            return {}
        bounds = literals.instants(row["lots_from_time"] for row in deep.values())
        limits = [LOTS_BRIEF if account_id in brief else None for account_id in deep]
        return records.grouped(await source.fetch(_LOTS, literals.uuids(deep), bounds, limits))

    async def _reserves(
        self,
        source: database.Queryable,
        account_ids: Iterable[UUID],
        places: Iterable[engine.Place],
    ) -> Mapping[UUID, list[engine.Reserve]]:
        wanted = list(account_ids)
        if not wanted:
            return {}
        columns = list(zip(*places, strict=True)) or [(), ()]
        return records.reserved(await source.fetch(_RESERVES, wanted, *columns))

    async def _holds(self, places: Sequence[engine.Place]) -> dict[engine.Place, engine.Held]:
        """Return the holds among operations that moved nothing."""
        if not places:
            return {}
        rows = await self._source.fetch(_TARGET_HOLDS, *zip(*places, strict=True))
        return {engine.Place(row["batch_id"], row["operation_index"]): _held(row) for row in rows}

    async def _named_lots(
        self, source: database.Queryable, plan: engine.Plan
    ) -> Mapping[UUID, engine.Lot]:
        if not plan.lots:
            return {}
        rows = await source.fetch(_NAMED_LOTS, list(plan.lots.values()), list(plan.lots))
        return {row["lot_id"]: records.lot(row) for row in rows}

    async def _expired(
        self, source: database.Queryable, lots: Iterable[engine.Lot], now: datetime
    ) -> Mapping[UUID, int]:
        """Return how much of lots has expired, of those of which anything can have."""
        ended = [
            (lot.account_id, lot.id, lot.created_at)
            for lot in lots
            if lot.remaining < lot.amount and lot.expires_at is not None and lot.expires_at <= now
        ]
        if not ended:
            return {}
        columns = zip(*ended, strict=True)
        rows = await source.fetch(_EXPIRED, *columns, engine.BY_LEDGER, engine.EXPIRE)
        return {row[0]: row[1] for row in rows}

    async def _name_worlds(
        self, worlds: Iterable[engine.Key], source: database.Queryable, *, remember: bool
    ) -> None:
        """Give accounts of the world a row for their name; there are few, so once is enough.

        What a transaction wrote is not remembered, because it may yet be rolled back.
        """
        fresh = [key for key in worlds if key.id not in self._worlds]
        if not fresh:
            return
        rows = [(key.id, key.asset_code, key.owner_type, key.owner_id) for key in fresh]
        await source.execute(_NAME_WORLD, *zip(*rows, strict=True))
        if remember:
            if len(self._worlds) > _WORLDS_MAX:
                self._worlds.clear()
            self._worlds.update(key.id for key in fresh)


_WORLDS_MAX = 10_000


def _is_short(first: Sequence[engine.Lot], amount: int) -> bool:
    """Tell whether the first lots will be spent up, so that deciding will ask for more of them."""
    return len(first) == LOTS_BRIEF and sum(lot.free for lot in first) <= amount


def _worlds(changes: engine.Changes) -> Iterable[engine.Key]:
    """Return the accounts of the world that changes name."""
    if not changes.holds:
        return changes.tallies
    held = (key for row in changes.holds for key in (row.debit, row.credit) if key.is_world)
    return {*changes.tallies, *held}


def _held(row: database.Record) -> engine.Held:
    return engine.Held(
        engine.key(row["asset_code"], row["debit_type"], row["debit_id"]),
        engine.key(row["asset_code"], row["credit_type"], row["credit_id"]),
        row["amount"],
        row["reason"],
        row["campaign_id"],
    )


def _target(row: database.Record, taken: Sequence[engine.LotPart]) -> engine.Target:
    if row["amount"] is None or row["reason"] in engine.IRREVERSIBLE:
        return engine.Other()
    if not row["amount"]:
        return engine.Unmoved()
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
