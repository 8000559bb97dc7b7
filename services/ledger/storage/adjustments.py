"""Corrections by hand, who did what about them, and who may do how much."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine

_COLUMNS = """adjustment_id, asset_code, account_id, amount, state, refusal, operator_id,
    propose_time, decide_time, expire_time"""
_INSERT = f"""
INSERT INTO adjustments (request, {_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""  # noqa: S608  constants only
_SELECT = f"SELECT request, {_COLUMNS} FROM adjustments WHERE adjustment_id = $1"  # noqa: S608  constants only
_SELECT_LOCKED = f"{_SELECT} FOR UPDATE"
_UPDATE = """
UPDATE adjustments
SET state = $2, refusal = $3, decide_time = $4
WHERE adjustment_id = $1
"""
_OPEN = f"""
SELECT {_COLUMNS}
FROM adjustments
WHERE state IN (1, 2) AND adjustment_id > $1
ORDER BY adjustment_id
LIMIT $2
"""  # noqa: S608  constants only
_LIST = f"""
SELECT request, {_COLUMNS}
FROM adjustments
WHERE (propose_time, adjustment_id) < ($1, $2)
    AND ($3::SMALLINT = 0 OR $3 = CASE
        WHEN state = 1 AND expire_time <= $4 THEN 6
        ELSE state
    END)
    {{filter}}
ORDER BY propose_time DESC, adjustment_id DESC
LIMIT $5
"""  # noqa: S608  constants only
_LIST_ALL = _LIST.format(filter="")
_LIST_OF = _LIST.format(filter="AND account_id = $6")
_ALONE = """
SELECT COALESCE(sum(abs(amount)), 0)::BIGINT
FROM adjustments
WHERE operator_id = $1 AND asset_code = $2 AND propose_time > $3
    AND state IN (2, 3) AND decide_time = propose_time
"""
# One proposal of an operator at a time: two may not use the same room. And one of an id.
_ALONE_LOCK = "SELECT pg_advisory_xact_lock($1)"

_ACT = """
INSERT INTO adjustment_acts
    (adjustment_id, number, action, operator_id, operator_name, note, record_time)
SELECT $1, COALESCE(max(number), 0) + 1, $2, $3, $4, $5, $6
FROM adjustment_acts
WHERE adjustment_id = $1
"""
_ACTS = """
SELECT action, operator_id, operator_name, note, record_time
FROM adjustment_acts
WHERE adjustment_id = $1
ORDER BY number
"""

_LIMIT = """
SELECT amount_max, day_amount_max
FROM adjustment_limits
WHERE asset_code = $1 AND operator_id = ANY(ARRAY['', $2])
ORDER BY operator_id DESC
LIMIT 1
"""
_LIMITS = """
SELECT operator_id, amount_max, day_amount_max
FROM adjustment_limits
WHERE asset_code = $1 AND operator_id > $2
ORDER BY operator_id
LIMIT $3
"""
_FIRST_LIMITS = _LIMITS.replace("operator_id > $2", "operator_id >= $2")
_SET_LIMIT = """
WITH noted AS (
    INSERT INTO adjustment_limit_acts
        (asset_code, operator_id, amount_max, day_amount_max, set_by, record_time)
    VALUES ($1, $2, $3, $4, $5, $6)
)
INSERT INTO adjustment_limits
    (asset_code, operator_id, amount_max, day_amount_max, set_by, update_time)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (asset_code, operator_id) DO UPDATE SET
    amount_max = excluded.amount_max,
    day_amount_max = excluded.day_amount_max,
    set_by = excluded.set_by,
    update_time = excluded.update_time
"""


class Act(NamedTuple):
    """Who did what about an adjustment."""

    action: int
    operator_id: str
    operator_name: str
    note: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """An adjustment and the bytes that asked for it."""

    request: bytes
    adjustment: engine.Adjustment


class Adjustments:
    """Reads and writes of adjustments; what is decided about them is the engine's business."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    def transaction(self) -> AbstractAsyncContextManager[database.Queryable]:
        """Open a transaction for one decision."""
        return self._source.transaction()

    async def enter(self, tx: database.Queryable, adjustment_id: UUID, operator_id: str) -> None:
        """Wait until no other proposal of this id or of the operator is being decided."""
        for name in (f"adjustment {adjustment_id}", f"adjustments of {operator_id}"):
            await tx.execute(_ALONE_LOCK, database.lock_key(name))

    async def get(self, adjustment_id: UUID) -> Kept | None:
        """Return an adjustment."""
        row = await self._source.fetchrow(_SELECT, adjustment_id)
        return None if row is None else _kept(row)

    async def lock(self, tx: database.Queryable, adjustment_id: UUID) -> Kept | None:
        """Return an adjustment that nobody else can change until the end."""
        row = await tx.fetchrow(_SELECT_LOCKED, adjustment_id)
        return None if row is None else _kept(row)

    async def insert(self, tx: database.Queryable, kept: Kept) -> None:
        """Keep a new adjustment."""
        one = kept.adjustment
        await tx.execute(
            _INSERT,
            kept.request,
            one.id,
            one.asset_code,
            one.account_id,
            one.amount,
            one.state,
            one.refusal,
            one.operator_id,
            one.proposed_at,
            one.decided_at,
            one.expires_at,
        )

    async def update(self, tx: database.Queryable, one: engine.Adjustment) -> None:
        """Write what became of a locked adjustment."""
        await tx.execute(_UPDATE, one.id, one.state, one.refusal, one.decided_at)

    async def open(self, *, after: UUID, limit: int) -> list[engine.Adjustment]:
        """Return adjustments that are not final, by id."""
        return [_adjustment(row) for row in await self._source.fetch(_OPEN, after, limit)]

    async def page(
        self,
        *,
        before: tuple[datetime, UUID],
        state: int,
        account_id: UUID | None,
        now: datetime,
        limit: int,
    ) -> list[Kept]:
        """Return adjustments, newest first; `state` 0 is any."""
        arguments = (*before, state, now, limit)
        if account_id is None:
            return [_kept(row) for row in await self._source.fetch(_LIST_ALL, *arguments)]
        return [_kept(row) for row in await self._source.fetch(_LIST_OF, *arguments, account_id)]

    async def alone(
        self, tx: database.Queryable, operator_id: str, asset_code: str, *, since: datetime
    ) -> int:
        """Return how much an operator has adjusted alone since an instant."""
        amount: int = await tx.fetchval(_ALONE, operator_id, asset_code, since)
        return amount

    async def act(self, tx: database.Queryable, adjustment_id: UUID, act: Act) -> None:
        """Note what somebody did."""
        await tx.execute(_ACT, adjustment_id, *act)

    async def acts(self, adjustment_id: UUID, tx: database.Queryable | None = None) -> list[Act]:
        """Return what was done about an adjustment, oldest first."""
        source = self._source if tx is None else tx
        return [Act(*row) for row in await source.fetch(_ACTS, adjustment_id)]

    async def limit(
        self, tx: database.Queryable, asset_code: str, operator_id: str
    ) -> engine.AdjustmentLimit:
        """Return an operator's own limit, or else everybody's, or else none."""
        row = await tx.fetchrow(_LIMIT, asset_code, operator_id)
        return engine.NO_LIMIT if row is None else engine.AdjustmentLimit(*row)

    async def limits(
        self, asset_code: str, *, after: str | None, limit: int
    ) -> list[tuple[str, engine.AdjustmentLimit]]:
        """Return limits by operator."""
        statement = _FIRST_LIMITS if after is None else _LIMITS
        rows = await self._source.fetch(statement, asset_code, after or "", limit)
        return [(row[0], engine.AdjustmentLimit(row[1], row[2])) for row in rows]

    async def set_limit(
        self,
        asset_code: str,
        operator_id: str,
        limit: engine.AdjustmentLimit,
        *,
        set_by: str,
        now: datetime,
    ) -> None:
        """Set a limit, and note who did."""
        amounts = limit.amount_max, limit.day_amount_max
        await self._source.execute(_SET_LIMIT, asset_code, operator_id, *amounts, set_by, now)


def _kept(row: database.Record) -> Kept:
    return Kept(row["request"], _adjustment(row))


def _adjustment(row: database.Record) -> engine.Adjustment:
    return engine.Adjustment(
        row["adjustment_id"],
        row["asset_code"],
        row["account_id"],
        row["amount"],
        engine.AdjustmentState(row["state"]),
        row["refusal"],
        row["operator_id"],
        row["propose_time"],
        row["decide_time"],
        row["expire_time"],
    )
