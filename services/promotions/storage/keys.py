"""Receipt keys: each stands for one purchase or one return, for ever and in every partition."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from tessera.promotions.v1 import checkout_pb2

from services.chassis import database, ids

PREFIX = "rcp"
PURCHASE = "PURCHASE"
RETURN = "RETURN"

#: Months with a partition of their own: so many back from the present one.
_MONTHS_BACK = 36
_MONTHS_AHEAD = 2


def derive(key: checkout_pb2.ReceiptKey) -> str:
    """Return the id that a receipt key leads to."""
    return ids.derive(PREFIX, key.store_id, key.till_id, key.shift_id, key.receipt_number)


@dataclass(frozen=True, slots=True)
class Key:
    """What a receipt key in use stands for, and where it lies."""

    receipt_id: UUID
    kind: str
    purchase_time: datetime


def locate(receipt_id: str, purchase_time: datetime) -> Key:
    """Return the key of a purchase that was read before."""
    return Key(ids.parse(PREFIX, receipt_id), PURCHASE, purchase_time)


_FIND = "SELECT receipt_id, kind, purchase_time FROM receipts WHERE receipt_id = $1"


async def find(db: database.Queryable, receipt_id: str) -> Key | None:
    """Return what an id stands for; None when its key is free."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, receipt_id))
    return None if row is None else Key(**dict(row))


_UNFINISHED = """
SELECT receipt_id, kind, purchase_time
FROM receipts
WHERE state IN ('PENDING', 'VOIDING') AND update_time < $1
ORDER BY update_time
LIMIT $2
"""


async def unfinished(db: database.Queryable, *, before: datetime, count_max: int) -> list[Key]:
    """Return what has waited for the ledger since before an instant, oldest first."""
    return [Key(**dict(row)) for row in await db.fetch(_UNFINISHED, before, count_max)]


_ENSURE = "SELECT ensure_month_partitions($1, $2)"


class Months:
    """Which months have their partition; a month gets it before its first receipt.

    Receipts older than three years share the default partition: tills may send them, and they
    must not be able to make tables without number.
    """

    def __init__(self, db: database.Database) -> None:
        self._db = db
        self._ready: set[tuple[int, int]] = set()

    async def prepare(self, now: datetime) -> None:
        """Make the partitions of this month, of the one before and of those that come next."""
        count = _MONTHS_AHEAD + 2
        first = _shift(now, -1)
        if not all(_month(_shift(now, step - 1)) in self._ready for step in range(count)):
            await self._db.execute(_ENSURE, first, count)
            self._ready.update(_month(_shift(now, step - 1)) for step in range(count))

    async def ensure(self, moment: datetime, *, now: datetime) -> None:
        """Make the partition for a purchase at `moment`, unless it is there or too long ago."""
        month = _month(moment.astimezone(UTC))
        if month in self._ready or not _is_recent(month, now):
            return
        await self._db.execute(_ENSURE, date(*month, 1), 1)
        self._ready.add(month)


def _is_recent(month: tuple[int, int], now: datetime) -> bool:
    return _month(_shift(now, -_MONTHS_BACK)) <= month <= _month(_shift(now, _MONTHS_AHEAD))


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month


def _shift(moment: datetime, months: int) -> date:
    """Return the first day of the month so many months later."""
    count = moment.year * 12 + moment.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)
