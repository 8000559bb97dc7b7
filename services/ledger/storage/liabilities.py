"""What is outstanding of an asset, and what became of what was credited."""

from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg

from services.chassis import database
from services.ledger import engine, errors
from services.ledger.storage import reading

#: Whose points are owed: members', households', and what is on cards.
_OWED = "accounts.asset_code = $1 AND accounts.owner_type IN (2, 3, 4)"


def _month(moment: str) -> str:
    """Return the SQL for the number of a month, in the time zone $2."""
    local = f"({moment}) AT TIME ZONE $2"
    return f"(extract(YEAR FROM {local}) * 12 + extract(MONTH FROM {local}) - 1)::INTEGER"


def _last(end: str) -> str:
    """Return the SQL for the last moment before an end: what ends with a month belongs to it."""
    return f"{end} - INTERVAL '1 microsecond'"


# What is held outlives its expiry until the hold ends.
_OUTSTANDING = f"""
SELECT {_month("$3::TIMESTAMPTZ")} - {_month("lot_time(live.lot_id)")} AS age,
    CASE
        WHEN live.ends < 'infinity' THEN {_month(_last("live.ends"))}
    END AS expiry_month,
    COALESCE(sum(live.free) FILTER (WHERE NOT live.is_pending), 0)::BIGINT AS available,
    COALESCE(sum(live.free) FILTER (WHERE live.is_pending), 0)::BIGINT AS pending,
    sum(live.held)::BIGINT AS held
FROM (
    SELECT lots.lot_id, lots.held, spent.ends,
        lots.activate_time IS NULL OR lots.activate_time > $3 AS is_pending,
        CASE WHEN spent.ends > $3 THEN lots.remaining - lots.held ELSE 0 END AS free
    FROM lots
    JOIN accounts ON accounts.account_id = lots.account_id
    CROSS JOIN LATERAL (
        SELECT greatest(
            lots.expire_time,
            CASE WHEN lots.expiry_given THEN NULL ELSE accounts.slide_time END
        ) AS ends
    ) AS spent
    WHERE {_OWED} AND lots.remaining > 0
) AS live
WHERE live.free > 0 OR live.held > 0
GROUP BY age, expiry_month
ORDER BY age, expiry_month
"""  # noqa: S608  constants only
_BOOKED = f"""
SELECT COALESCE(sum(accounts.balance), 0)::TEXT AS booked,
    COALESCE(sum(accounts.held), 0)::TEXT AS held
FROM accounts
WHERE {_OWED}
"""  # noqa: S608  constants only

# Handovers and refunds neither give out nor use up: the lot that they make is of the same month.
_CREDITED = f"""
SELECT cohort, sum(amount)::BIGINT
FROM (
    SELECT {_month("lot_time(lots.lot_id)")} AS cohort, lots.amount
    FROM lots
    JOIN accounts ON accounts.account_id = lots.account_id
    JOIN transfers ON transfers.batch_id = lots.batch_id
        AND transfers.operation_index = lots.operation_index
    WHERE {_OWED} AND transfers.reason <> ALL($3::SMALLINT[])
) AS made
WHERE cohort >= $4
GROUP BY cohort
ORDER BY cohort
"""  # noqa: S608  constants only
_TAKEN = f"""
SELECT cohort, greatest(month - cohort, 0) AS age,
    COALESCE(sum(amount) FILTER (WHERE reason <> $5), 0)::BIGINT AS used,
    COALESCE(sum(amount) FILTER (WHERE reason = $5), 0)::BIGINT AS expired
FROM (
    SELECT {_month("lot_time(lot_takes.lot_id)")} AS cohort,
        CASE
            WHEN transfers.reason = $5 THEN {_month(_last("transfers.occurred_time"))}
            ELSE {_month("transfers.occurred_time")}
        END AS month, transfers.reason, lot_takes.amount
    FROM lot_takes
    JOIN accounts ON accounts.account_id = lot_takes.account_id
    JOIN transfers ON transfers.batch_id = lot_takes.batch_id
        AND transfers.operation_index = lot_takes.operation_index
    WHERE {_OWED} AND transfers.reason <> ALL($3::SMALLINT[])
    UNION ALL
    -- What a refund renewed after its expiry was not used, as if it had come back to its lot.
    SELECT {_month("lot_time(lots.lot_id)")}, {_month("transfers.occurred_time")},
        transfers.reason, -lots.amount
    FROM lots
    JOIN accounts ON accounts.account_id = lots.account_id
    JOIN transfers ON transfers.batch_id = lots.batch_id
        AND transfers.operation_index = lots.operation_index
    WHERE {_OWED} AND transfers.reason = ANY($6::SMALLINT[])
) AS gone
WHERE cohort >= $4
GROUP BY cohort, age
"""  # noqa: S608  constants only

_HANDOVERS = [engine.POOL, engine.SPLIT]
_REFUNDS = [engine.REVERSE, engine.OWE]


class Liabilities:
    """Reads everything there is of an asset; for reports, not for tills."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def report(
        self, asset: engine.Asset, *, now: datetime, history_months: int
    ) -> engine.Liability:
        """Return what is owed at `now`; breakage is expected from so many months of earning.

        Raises AmountTooLarge.
        """
        try:
            return await self._report(asset, now=now, history_months=history_months)
        except asyncpg.NumericValueOutOfRangeError:
            raise errors.AmountTooLarge from None

    async def _report(
        self, asset: engine.Asset, *, now: datetime, history_months: int
    ) -> engine.Liability:
        zone = "UTC" if asset.lots is None else asset.lots.time_zone
        month = engine.month_of(now, ZoneInfo(zone))
        since = month - history_months
        async with reading.wide(self._source) as tx:
            row = await tx.fetchrow(_BOOKED, asset.code)
            assert row is not None
            booked, held = int(row["booked"]), int(row["held"])
            if asset.lots is None:
                live = [engine.Outstanding(0, None, booked - held, 0, held)] if booked else []
                return engine.liability(live, engine.History((), ()), expired=0, month=month)
            rows = await tx.fetch(_OUTSTANDING, asset.code, zone, now)
            outstanding = [engine.Outstanding(*row) for row in rows]
            names = asset.code, zone
            credited = await tx.fetch(_CREDITED, *names, [*_HANDOVERS, *_REFUNDS], since)
            taken = await tx.fetch(_TAKEN, *names, _HANDOVERS, since, engine.EXPIRE, _REFUNDS)
        history = engine.History(
            [(row[0], row[1]) for row in credited], [engine.Taken(*row) for row in taken]
        )
        expired = booked - sum(one.total for one in outstanding)
        return engine.liability(outstanding, history, expired=expired, month=month)
