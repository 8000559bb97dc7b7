"""What shoppers are about to use: decided, and held for them in the ledger."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis import database, ids
from services.promotions.storage import keys

PREFIX = "rsv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A reservation; bytes are messages on the wire, see the schema."""

    reservation_id: str
    request_id: str
    store_id: str
    request: bytes
    ruleset_version: int
    facts: bytes
    evaluation: bytes
    #: Empty when there is nothing to hold.
    batch: bytes
    create_time: datetime
    expire_time: datetime
    #: The receipt that it is sold with, if that is recorded and not refused; empty before.
    receipt_id: str = ""


_ADD = """
INSERT INTO reservations (
    reservation_id, request_id, store_id, request, ruleset_version, facts, evaluation, batch,
    create_time, expire_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (request_id) DO NOTHING
"""
_COLUMNS = """
SELECT
    reservation_id, request_id, store_id, request, ruleset_version, facts, evaluation, batch,
    create_time, expire_time, receipt_id
FROM reservations
"""
_BY_REQUEST = _COLUMNS + "WHERE request_id = $1"


async def find_by_request(db: database.Queryable, request_id: str) -> Reservation | None:
    """Return the reservation that a request made, or None."""
    row = await db.fetchrow(_BY_REQUEST, request_id)
    return None if row is None else _of(row)


async def add(db: database.Queryable, one: Reservation) -> bool:
    """Write a reservation; False when its request has made one before."""
    done = await db.execute(
        _ADD,
        ids.parse(PREFIX, one.reservation_id),
        one.request_id,
        one.store_id,
        one.request,
        one.ruleset_version,
        one.facts,
        one.evaluation,
        one.batch or None,
        one.create_time,
        one.expire_time,
    )
    return done == database.ONE_INSERTED


_FIND = _COLUMNS + "WHERE reservation_id = $1"


async def find(db: database.Queryable, reservation_id: str) -> Reservation | None:
    """Return a reservation, or None when there is none or it ended long ago."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, reservation_id))
    return None if row is None else _of(row)


_CLAIM = """
UPDATE reservations SET receipt_id = $2
WHERE reservation_id = $1 AND (receipt_id IS NOT DISTINCT FROM $3 OR receipt_id = $2)
"""


async def claim(db: database.Queryable, one: Reservation, *, receipt_id: str) -> bool:
    """Note the receipt that a reservation is about to be sold with; False when another is."""
    done = await db.execute(
        _CLAIM,
        ids.parse(PREFIX, one.reservation_id),
        ids.parse(keys.PREFIX, receipt_id),
        ids.parse(keys.PREFIX, one.receipt_id) if one.receipt_id else None,
    )
    return done == "UPDATE 1"


_SELL = "UPDATE reservations SET receipt_id = $2 WHERE reservation_id = $1"


async def sell(db: database.Queryable, reservation_id: str, *, receipt_id: str) -> None:
    """Note the receipt that a reservation was sold with."""
    await db.execute(_SELL, ids.parse(PREFIX, reservation_id), ids.parse(keys.PREFIX, receipt_id))


_DROP = "DELETE FROM reservations WHERE reservation_id = $1"


async def drop(db: database.Queryable, reservation_id: str) -> None:
    """Forget a reservation that the ledger refused."""
    await db.execute(_DROP, ids.parse(PREFIX, reservation_id))


_FORGET = "DELETE FROM reservations WHERE expire_time < $1"


async def forget(db: database.Queryable, *, before: datetime) -> None:
    """Forget what ended before an instant."""
    await db.execute(_FORGET, before)


def _of(row: database.Record) -> Reservation:
    plain = dict(row)
    plain["reservation_id"] = ids.show(PREFIX, row["reservation_id"])
    plain["batch"] = row["batch"] or b""
    plain["receipt_id"] = ids.show(keys.PREFIX, row["receipt_id"]) if row["receipt_id"] else ""
    return Reservation(**plain)
