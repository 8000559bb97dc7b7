"""Who brought what to a household, and what became of it."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import reading

# What is past its expiry is used, booked or not; accounts that slide keep lots alive. What refunds
# renewed was brought before.
_SHARES = """
WITH given AS (
    SELECT lot_takes.lot_id, sum(lot_takes.amount) AS amount
    FROM entries
    JOIN transfers ON transfers.batch_id = entries.batch_id
        AND transfers.operation_index = entries.operation_index
        AND transfers.reason = $3
        AND transfers.debit_account_id = $1
    JOIN lot_takes ON lot_takes.batch_id = entries.batch_id
        AND lot_takes.operation_index = entries.operation_index
        AND lot_takes.account_id = $1
    WHERE entries.account_id = $1
    GROUP BY lot_takes.lot_id
)
SELECT bringers.owner_type, bringers.owner_id,
    COALESCE(sum(lots.amount) FILTER (WHERE makers.reason <> ALL($4::SMALLINT[])), 0)::BIGINT
        AS brought,
    COALESCE(sum(given.amount), 0)::BIGINT AS given_back,
    sum(CASE
        WHEN greatest(
            lots.expire_time,
            CASE WHEN lots.expiry_given THEN NULL ELSE accounts.slide_time END
        ) > $2 THEN lots.remaining
        ELSE lots.held
    END)::BIGINT AS remaining
FROM lots
JOIN accounts ON accounts.account_id = lots.account_id
JOIN transfers AS makers ON makers.batch_id = lots.batch_id
    AND makers.operation_index = lots.operation_index
LEFT JOIN given ON given.lot_id = lots.lot_id
LEFT JOIN accounts AS bringers ON bringers.account_id = lots.bringer_account_id
WHERE lots.account_id = $1
GROUP BY bringers.owner_type, bringers.owner_id
ORDER BY bringers.owner_type, bringers.owner_id
"""


class Share(NamedTuple):
    """What an owner brought, got back and still has; no owner is what nobody brought."""

    owner_type: int | None
    owner_id: str | None
    brought: int
    given_back: int
    left: int


class Households:
    """Reads of households' accounts."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def shares(self, account_id: UUID, *, now: datetime, split: int) -> list[Share]:
        """Return what everybody has in an account; `split` is the reason of giving back."""
        async with reading.wide(self._source) as tx:
            refunds = [engine.REVERSE, engine.OWE]
            rows = await tx.fetch(_SHARES, account_id, now, split, refunds)
        return [Share(*row) for row in rows]
