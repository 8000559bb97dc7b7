"""What background work reads and writes."""

from datetime import datetime, timedelta
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import records

#: Expiries are looked for this far behind where the last sweep came to: accounts that were about to
#: be written then may show up later.
_OVERLAP = timedelta(minutes=10)

_SWEPT = "SELECT sweep_time FROM sweeps WHERE name = 'expiries'"
_SWEEP = """
INSERT INTO sweeps (name, sweep_time)
VALUES ('expiries', $1)
ON CONFLICT (name) DO UPDATE SET sweep_time = excluded.sweep_time
"""

# Lots that slide are found by their account.
_DUE = """
SELECT accounts.account_id, accounts.asset_code, accounts.owner_type, accounts.owner_id
FROM (
    SELECT lots.account_id
    FROM lots
    WHERE lots.expire_time > $1 AND lots.expire_time <= $2 AND lots.remaining > 0
    UNION
    SELECT accounts.account_id
    FROM accounts
    WHERE accounts.slide_time > $1 AND accounts.slide_time <= $2
    UNION
    SELECT reserves.account_id
    FROM reserves
    WHERE reserves.state = 1 AND reserves.expire_time > $1 AND reserves.expire_time <= $2
) AS due
JOIN accounts ON accounts.account_id = due.account_id
WHERE accounts.next_event_time <= $2 AND accounts.account_id > $3
ORDER BY accounts.account_id
LIMIT $4
"""

_FOLD = """
WITH folded AS (
    DELETE FROM tallies
    RETURNING account_id, amount
)
INSERT INTO tallies (account_id, amount)
SELECT account_id, sum(amount)
FROM folded
GROUP BY account_id
"""
_IS_WORTH_FOLDING = "SELECT count(*) > $1::BIGINT FROM (SELECT FROM tallies LIMIT $1 + 1) AS few"


class Upkeep:
    """Finds what is due; the accounts themselves are changed by postings alone.

    Everything runs in the session of the one process that does the upkeep.
    """

    async def swept_until(self, session: database.Queryable) -> datetime | None:
        """Return how far expiries are booked, None when none ever were."""
        swept: datetime | None = await session.fetchval(_SWEPT)
        return swept

    async def note_sweep(self, session: database.Queryable, until: datetime) -> None:
        """Remember how far expiries are booked."""
        await session.execute(_SWEEP, until)

    async def due(
        self,
        session: database.Queryable,
        *,
        since: datetime | None,
        until: datetime,
        after: UUID,
        limit: int,
    ) -> list[engine.Key]:
        """Return accounts with something that ended in between and is not booked, by id."""
        start = records.BEGINNING if since is None else since - _OVERLAP
        rows = await session.fetch(_DUE, start, until, after, limit)
        return [engine.key(row[1], row[2], row[3]) for row in rows]

    async def fold_tallies(self, session: database.Queryable, *, rows_min: int) -> None:
        """Fold the tallies of the world together when there are more rows than `rows_min`."""
        if await session.fetchval(_IS_WORTH_FOLDING, rows_min):
            await session.execute(_FOLD)
