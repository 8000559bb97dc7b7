"""Holds as others want to see them."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine

# Both sides of a hold keep the same of it; the giving side also knows which lots it is made of.
_COLUMNS = """
SELECT holds.batch_id, holds.operation_index, debits.asset_code,
    debits.owner_type AS debit_type, debits.owner_id AS debit_id,
    credits.owner_type AS credit_type, credits.owner_id AS credit_id,
    holds.amount, COALESCE(givers.remaining, takers.remaining) AS remaining,
    COALESCE(givers.state, takers.state) AS state, holds.reason, holds.campaign_id,
    holds.expire_time, holds.record_time, COALESCE(givers.end_time, takers.end_time) AS end_time,
    COALESCE(givers.lot_ids, '{}') AS lot_ids, COALESCE(givers.lot_amounts, '{}') AS lot_amounts
"""
_SIDES = """
JOIN accounts AS debits ON debits.account_id = holds.debit_account_id
JOIN accounts AS credits ON credits.account_id = holds.credit_account_id
LEFT JOIN reserves AS givers ON givers.batch_id = holds.batch_id
    AND givers.operation_index = holds.operation_index
    AND givers.account_id = holds.debit_account_id
LEFT JOIN reserves AS takers ON takers.batch_id = holds.batch_id
    AND takers.operation_index = holds.operation_index
    AND takers.account_id = holds.credit_account_id
"""
_GET = f"""
{_COLUMNS}
FROM holds
{_SIDES}
WHERE holds.batch_id = $1 AND holds.operation_index = $2
"""
_LIST = f"""
{_COLUMNS}
FROM reserves
JOIN holds ON holds.batch_id = reserves.batch_id
    AND holds.operation_index = reserves.operation_index
{_SIDES}
WHERE reserves.account_id = $1
    AND reserves.state = 1
    AND reserves.expire_time > $2
    AND (reserves.expire_time, reserves.batch_id, reserves.operation_index) > ($3, $4, $5)
ORDER BY reserves.expire_time, reserves.batch_id, reserves.operation_index
LIMIT $6
"""


class HoldLine(NamedTuple):
    """A hold at an instant, whether or not it is booked that its time is over."""

    place: engine.Place
    debit: engine.Key
    credit: engine.Key
    amount: int
    captured: int
    state: engine.HoldState
    reason: int
    campaign_id: str
    lots: tuple[engine.LotPart, ...]
    expires_at: datetime
    recorded_at: datetime
    ended_at: datetime | None


class HoldCursor(NamedTuple):
    """Where a page of holds ended."""

    expires_at: datetime
    place: engine.Place


class Holds:
    """Reads holds."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def get(self, place: engine.Place, *, now: datetime) -> HoldLine | None:
        """Return a hold."""
        row = await self._source.fetchrow(_GET, *place)
        return None if row is None else _line(row, now)

    async def active(
        self, account_id: UUID, *, now: datetime, after: HoldCursor | None, limit: int
    ) -> list[HoldLine]:
        """Return the active holds of an account, by the time at which they time out."""
        start = after or HoldCursor(now, engine.Place(UUID(int=0), -1))
        rows = await self._source.fetch(
            _LIST, account_id, now, start.expires_at, *start.place, limit
        )
        return [_line(row, now) for row in rows]


def _line(row: database.Record, now: datetime) -> HoldLine:
    state, ended_at = engine.HoldState(row["state"]), row["end_time"]
    if state is engine.HoldState.ACTIVE and row["expire_time"] <= now:
        state, ended_at = engine.HoldState.EXPIRED, row["expire_time"]
    debit = engine.key(row["asset_code"], row["debit_type"], row["debit_id"])
    parts = zip(row["lot_ids"], row["lot_amounts"], strict=True)
    return HoldLine(
        engine.Place(row["batch_id"], row["operation_index"]),
        debit,
        engine.key(row["asset_code"], row["credit_type"], row["credit_id"]),
        row["amount"],
        row["amount"] - row["remaining"],
        state,
        row["reason"],
        row["campaign_id"],
        tuple(engine.LotPart(lot_id, debit.id, amount) for lot_id, amount in parts)
        if ended_at is None
        else (),
        row["expire_time"],
        row["record_time"],
        ended_at,
    )
