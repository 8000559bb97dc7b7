"""Goods that came back, beside the purchase that they came from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.receipts import BATCH_PREFIX, MEMBER_PREFIX, Event

PENDING = "PENDING"
COMMITTED = "COMMITTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A return: its life and its documents; bytes are messages on the wire, see the schema."""

    return_id: str
    purchase_time: datetime
    receipt_id: str
    number: int
    occurred_time: datetime
    record_time: datetime
    state: str
    #: Empty for an unknown shopper.
    member_id: str
    request: bytes
    document: bytes
    empties: bool
    batch_id: str = ""
    batch: bytes = b""
    moved: tuple[int, ...] = ()

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        member_id, batch_id = row["member_id"], row["batch_id"]
        return cls(
            return_id=ids.show(keys.PREFIX, row["receipt_id"]),
            purchase_time=row["purchase_time"],
            receipt_id=ids.show(keys.PREFIX, row["purchase_id"]),
            number=row["return_number"],
            occurred_time=row["occurred_time"],
            record_time=row["record_time"],
            state=row["state"],
            member_id=ids.show(MEMBER_PREFIX, member_id) if member_id else "",
            request=row["request"],
            document=row["document"],
            empties=row["empties"],
            batch_id=ids.show(BATCH_PREFIX, batch_id) if batch_id else "",
            batch=row["batch"] or b"",
            moved=tuple(row["moved"] or ()),
        )


_ADD = """
WITH free AS (
    INSERT INTO receipts (
        receipt_id, kind, state, purchase_time, purchase_id, return_number, batch_id, update_time
    )
    VALUES ($1, 'RETURN', 'PENDING', $2, $3, $4, $5, $6)
    ON CONFLICT (receipt_id) DO NOTHING
    RETURNING receipt_id
)
INSERT INTO returns (
    receipt_id, purchase_time, occurred_time, record_time, member_id, request, document, empties,
    batch
)
SELECT receipt_id, $2, $7, $6, $8, $9, $10, $11, $12 FROM free
RETURNING receipt_id
"""


async def add(tx: database.Queryable, returned: Return) -> bool:
    """Write a pending return; False when its key is in use."""
    written = await tx.fetchval(
        _ADD,
        ids.parse(keys.PREFIX, returned.return_id),
        returned.purchase_time,
        ids.parse(keys.PREFIX, returned.receipt_id),
        returned.number,
        ids.parse(BATCH_PREFIX, returned.batch_id) if returned.batch_id else None,
        returned.record_time,
        returned.occurred_time,
        ids.parse(MEMBER_PREFIX, returned.member_id) if returned.member_id else None,
        returned.request,
        returned.document,
        returned.empties,
        returned.batch or None,
    )
    return written is not None


_FINISH = """
WITH finished AS (
    UPDATE receipts
    SET state = 'COMMITTED', moved = $2, update_time = $3
    WHERE receipt_id = $1 AND state = 'PENDING'
    RETURNING purchase_id
),
emptied AS (
    UPDATE receipts
    SET state = 'RETURNED', update_time = $3
    FROM finished
    WHERE receipts.receipt_id = finished.purchase_id AND $4
)
INSERT INTO outbox_events (event_id, payload) SELECT $5, $6 FROM finished
"""


async def finish(
    db: database.Queryable,
    returned: Return,
    *,
    moved: Sequence[int] | None,
    event: Event,
    now: datetime,
) -> bool:
    """Record a pending return as committed, with its event; False when somebody else just did."""
    return_id = ids.parse(keys.PREFIX, returned.return_id)
    done = await db.execute(_FINISH, return_id, moved, now, returned.empties, *event)
    return done == database.ONE_INSERTED


_DROP = """
WITH dropped AS (
    DELETE FROM receipts
    WHERE receipt_id = $1 AND batch_id = $2 AND state = 'PENDING'
    RETURNING receipt_id
)
DELETE FROM returns
WHERE receipt_id IN (SELECT receipt_id FROM dropped) AND purchase_time = $3
"""


async def drop(db: database.Queryable, returned: Return) -> None:
    """Forget a return whose batch was refused; its key is free again."""
    await db.execute(
        _DROP,
        ids.parse(keys.PREFIX, returned.return_id),
        ids.parse(BATCH_PREFIX, returned.batch_id),
        returned.purchase_time,
    )


_COLUMNS = """
    receipts.receipt_id, receipts.purchase_time, purchase_id, return_number, state, batch_id,
    moved, occurred_time, record_time, member_id, request, document, empties, batch
"""
_FIND = f"""
SELECT {_COLUMNS}
FROM receipts
JOIN returns ON returns.receipt_id = receipts.receipt_id
WHERE receipts.receipt_id = $1 AND returns.receipt_id = $1 AND returns.purchase_time = $2
"""  # noqa: S608  constants only


async def find(db: database.Queryable, key: keys.Key) -> Return | None:
    """Return a return, or None when it was dropped meanwhile."""
    row = await db.fetchrow(_FIND, key.receipt_id, key.purchase_time)
    return None if row is None else Return.of(row)


_OF_PURCHASE = f"""
SELECT {_COLUMNS}
FROM receipts
JOIN returns ON returns.receipt_id = receipts.receipt_id
WHERE receipts.purchase_id = $1 AND returns.purchase_time = $2
ORDER BY return_number
"""  # noqa: S608  constants only


async def of_purchase(db: database.Queryable, key: keys.Key) -> list[Return]:
    """Return the returns of a purchase, oldest first."""
    rows = await db.fetch(_OF_PURCHASE, key.receipt_id, key.purchase_time)
    return [Return.of(row) for row in rows]


_OF_PURCHASES = f"""
SELECT {_COLUMNS}
FROM receipts
JOIN returns
    ON returns.receipt_id = receipts.receipt_id AND returns.purchase_time = receipts.purchase_time
WHERE receipts.purchase_id = ANY($1::UUID[])
ORDER BY purchase_id, return_number
"""  # noqa: S608  constants only


async def of_purchases(
    db: database.Queryable, receipt_ids: Iterable[str]
) -> dict[str, list[Return]]:
    """Return the returns of purchases by the purchase's id, oldest first."""
    wanted = [ids.parse(keys.PREFIX, receipt_id) for receipt_id in receipt_ids]
    found: dict[str, list[Return]] = {}
    for row in await db.fetch(_OF_PURCHASES, wanted):
        returned = Return.of(row)
        found.setdefault(returned.receipt_id, []).append(returned)
    return found
