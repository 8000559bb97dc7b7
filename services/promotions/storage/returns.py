"""Goods that came back, beside the purchase that they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.receipts import BATCH_PREFIX, Event

PENDING = "PENDING"
COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A row of `returns`; bytes are messages on the wire, see the schema."""

    return_id: str
    purchase_time: datetime
    receipt_id: str
    number: int
    occurred_time: datetime
    record_time: datetime
    state: str
    request: bytes
    document: bytes
    empties: bool
    batch_id: str = ""
    batch: bytes = b""
    moved: tuple[int, ...] = ()

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        batch_id = row["batch_id"]
        return cls(
            return_id=ids.show(keys.PREFIX, row["return_id"]),
            purchase_time=row["purchase_time"],
            receipt_id=ids.show(keys.PREFIX, row["receipt_id"]),
            number=row["number"],
            occurred_time=row["occurred_time"],
            record_time=row["record_time"],
            state=row["state"],
            request=row["request"],
            document=row["document"],
            empties=row["empties"],
            batch_id=ids.show(BATCH_PREFIX, batch_id) if batch_id else "",
            batch=row["batch"] or b"",
            moved=tuple(row["moved"] or ()),
        )


_ADD = """
WITH free AS (
    INSERT INTO receipt_keys (receipt_id, kind, purchase_time) VALUES ($1, 'RETURN', $2)
    ON CONFLICT (receipt_id) DO NOTHING
    RETURNING receipt_id
)
INSERT INTO returns (
    return_id, purchase_time, receipt_id, number, occurred_time, record_time, state, request,
    document, empties, batch_id, batch, update_time
)
SELECT $1, $2, $3, $4, $5, $6, 'PENDING', $7, $8, $9, $10, $11, $6 FROM free
RETURNING return_id
"""


async def add(tx: database.Queryable, returned: Return) -> bool:
    """Write a pending return; False when its key is in use."""
    written = await tx.fetchval(
        _ADD,
        ids.parse(keys.PREFIX, returned.return_id),
        returned.purchase_time,
        ids.parse(keys.PREFIX, returned.receipt_id),
        returned.number,
        returned.occurred_time,
        returned.record_time,
        returned.request,
        returned.document,
        returned.empties,
        ids.parse(BATCH_PREFIX, returned.batch_id) if returned.batch_id else None,
        returned.batch or None,
    )
    return written is not None


_FINISH = """
WITH finished AS (
    UPDATE returns
    SET state = 'COMPLETED', document = $3, moved = $4, update_time = $5
    WHERE return_id = $1 AND purchase_time = $2 AND state = 'PENDING'
    RETURNING receipt_id, empties
),
emptied AS (
    UPDATE receipts
    SET state = 'RETURNED', update_time = $5
    FROM finished
    WHERE receipts.receipt_id = finished.receipt_id AND receipts.occurred_time = $2
        AND finished.empties
)
INSERT INTO outbox_events (event_id, payload) SELECT $6, $7 FROM finished
"""


async def finish(
    db: database.Queryable,
    returned: Return,
    *,
    document: bytes,
    moved: Sequence[int] | None,
    event: Event,
    now: datetime,
) -> None:
    """Record a pending return as completed, with its event, unless somebody else just did."""
    return_id = ids.parse(keys.PREFIX, returned.return_id)
    await db.execute(_FINISH, return_id, returned.purchase_time, document, moved, now, *event)


_DROP = """
WITH dropped AS (
    DELETE FROM returns
    WHERE return_id = $1 AND purchase_time = $2 AND batch_id = $3 AND state = 'PENDING'
    RETURNING return_id
)
DELETE FROM receipt_keys WHERE receipt_id IN (SELECT return_id FROM dropped)
"""


async def drop(db: database.Queryable, returned: Return) -> None:
    """Forget a return whose batch was refused; its key is free again."""
    await db.execute(
        _DROP,
        ids.parse(keys.PREFIX, returned.return_id),
        returned.purchase_time,
        ids.parse(BATCH_PREFIX, returned.batch_id),
    )


_FIND = """
SELECT
    return_id, purchase_time, receipt_id, number, occurred_time, record_time, state, request,
    document, empties, batch_id, batch, moved
FROM returns
WHERE return_id = $1 AND purchase_time = $2
"""


async def find(db: database.Queryable, key: keys.Key) -> Return | None:
    """Return a return, or None when it was dropped meanwhile."""
    row = await db.fetchrow(_FIND, key.receipt_id, key.purchase_time)
    return None if row is None else Return.of(row)


_OF_RECEIPT = """
SELECT
    return_id, purchase_time, receipt_id, number, occurred_time, record_time, state, request,
    document, empties, batch_id, batch, moved
FROM returns
WHERE receipt_id = $1 AND purchase_time = $2
ORDER BY number
"""


async def of_receipt(db: database.Queryable, key: keys.Key) -> list[Return]:
    """Return the returns of a purchase, oldest first."""
    rows = await db.fetch(_OF_RECEIPT, key.receipt_id, key.purchase_time)
    return [Return.of(row) for row in rows]


_UNFINISHED = """
SELECT
    return_id, purchase_time, receipt_id, number, occurred_time, record_time, state, request,
    document, empties, batch_id, batch, moved
FROM returns
WHERE state = 'PENDING' AND update_time < $1
ORDER BY update_time
LIMIT $2
"""


async def unfinished(db: database.Queryable, *, before: datetime, count_max: int) -> list[Return]:
    """Return returns that have waited for the ledger since before an instant, oldest first."""
    return [Return.of(row) for row in await db.fetch(_UNFINISHED, before, count_max)]
