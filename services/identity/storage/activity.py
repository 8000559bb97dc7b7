"""How often and when members bought.

Each receipt has one row that remembers whether it counts. That makes every event safe to hear again
and in any order: a purchase counts once, and one that was undone first never counts.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database

_COUNT = """
WITH counted AS (
    INSERT INTO purchases (receipt_id, member_id, state, occur_time)
    SELECT receipt_id, member_id, 'counted', occur_time
    FROM unnest($1::UUID[], $2::UUID[], $3::TIMESTAMPTZ[])
        AS heard (receipt_id, member_id, occur_time)
    ORDER BY receipt_id
    ON CONFLICT (receipt_id) DO NOTHING
    RETURNING member_id, occur_time
)
INSERT INTO member_activity AS activity (member_id, purchase_count, last_purchase_time)
SELECT member_id, count(*), max(occur_time) FROM counted GROUP BY member_id ORDER BY member_id
ON CONFLICT (member_id) DO UPDATE SET
    purchase_count = activity.purchase_count + EXCLUDED.purchase_count,
    last_purchase_time = GREATEST(activity.last_purchase_time, EXCLUDED.last_purchase_time)
"""
_UNDO = """
INSERT INTO purchases (receipt_id, member_id, state, occur_time)
VALUES ($1, $2, 'undone', NULL)
ON CONFLICT (receipt_id) DO UPDATE SET state = 'undone' WHERE purchases.state = 'counted'
RETURNING occur_time IS NOT NULL
"""
_LOCK = "SELECT purchase_count FROM member_activity WHERE member_id = $1 FOR UPDATE"
# A statement of its own after the lock: it sees every purchase that was counted before.
_UNCOUNT = """
UPDATE member_activity SET
    purchase_count = purchase_count - 1,
    last_purchase_time = (
        SELECT max(occur_time) FROM purchases WHERE member_id = $1 AND state = 'counted'
    )
WHERE member_id = $1
"""


class Purchase(NamedTuple):
    """What was heard of a purchase."""

    receipt_id: UUID
    member_id: UUID
    occur_time: datetime


class ActivityStorage:
    """Purchases and their sums per member."""

    def __init__(self, db: database.Database) -> None:
        self._db = db

    async def count(self, purchases: Iterable[Purchase]) -> None:
        """Count purchases, each unless it was heard of before."""
        await self._db.execute(_COUNT, *zip(*purchases, strict=True))

    async def undo(self, *, receipt_id: UUID, member_id: UUID) -> None:
        """Count a purchase no more, now or whenever it is heard of."""
        async with self._db.transaction() as tx:
            if await tx.fetchval(_UNDO, receipt_id, member_id):
                await tx.fetchval(_LOCK, member_id)
                await tx.execute(_UNCOUNT, member_id)
