"""Prize draws: sealed seeds, tickets, winners."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.programs import PREFIX as PROGRAM_PREFIX
from services.promotions.storage.receipts import MEMBER_PREFIX


@dataclass(frozen=True, slots=True)
class Draw:
    """A row of `draws`; see the schema."""

    seed: bytes
    draw_time: datetime | None
    list_hash: str | None


_SEAL = "INSERT INTO draws (program_id, seed) VALUES ($1, $2)"


async def seal(tx: database.Queryable, program_id: str, seed: bytes) -> None:
    """Write the seed of a new draw."""
    await tx.execute(_SEAL, ids.parse(PROGRAM_PREFIX, program_id), seed)


_FIND = "SELECT seed, draw_time, list_hash FROM draws WHERE program_id = $1"
_LOCK = _FIND + " FOR UPDATE"


async def find(db: database.Queryable, program_id: str) -> Draw | None:
    """Return a draw, or None."""
    row = await db.fetchrow(_FIND, ids.parse(PROGRAM_PREFIX, program_id))
    return None if row is None else Draw(row["seed"], row["draw_time"], row["list_hash"])


async def lock(tx: database.Queryable, program_id: str) -> Draw | None:
    """Return a draw and keep everybody else from drawing it."""
    row = await tx.fetchrow(_LOCK, ids.parse(PROGRAM_PREFIX, program_id))
    return None if row is None else Draw(row["seed"], row["draw_time"], row["list_hash"])


@dataclass(frozen=True, slots=True)
class Entry:
    """A receipt's tickets, or before the draw what was counted of it; and the prize it won."""

    receipt_id: str
    member_id: str
    tickets: int
    place: int | None = None


_COUNTED = """
SELECT receipt_id, member_id, amount
FROM tallies
WHERE program_id = $1 AND day BETWEEN $2 AND $3
ORDER BY receipt_id
"""


async def counted(
    tx: database.Queryable, program_id: str, *, first: date, last: date
) -> list[Entry]:
    """Return what was counted of receipts between two days, in the order of ids."""
    rows = await tx.fetch(_COUNTED, ids.parse(PROGRAM_PREFIX, program_id), first, last)
    return [
        Entry(
            ids.show(keys.PREFIX, row["receipt_id"]),
            ids.show(MEMBER_PREFIX, row["member_id"]),
            row["amount"],
        )
        for row in rows
    ]


_ADD_ENTRIES = """
INSERT INTO draw_entries (program_id, receipt_id, member_id, tickets, place)
SELECT $1, receipt_id, member_id, tickets, place
FROM unnest($2::UUID[], $3::UUID[], $4::BIGINT[], $5::INTEGER[])
    AS sent (receipt_id, member_id, tickets, place)
"""
_CLOSE = "UPDATE draws SET draw_time = $2, list_hash = $3 WHERE program_id = $1"


async def close(
    tx: database.Queryable,
    program_id: str,
    entries: Sequence[Entry],
    *,
    list_hash: str,
    now: datetime,
) -> None:
    """Write what was drawn."""
    program = ids.parse(PROGRAM_PREFIX, program_id)
    await tx.execute(
        _ADD_ENTRIES,
        program,
        [ids.parse(keys.PREFIX, entry.receipt_id) for entry in entries],
        [ids.parse(MEMBER_PREFIX, entry.member_id) for entry in entries],
        [entry.tickets for entry in entries],
        [entry.place for entry in entries],
    )
    await tx.execute(_CLOSE, program, now, list_hash)


_ENTRIES = """
SELECT receipt_id, member_id, tickets, place
FROM draw_entries
WHERE program_id = $1 AND ($2::UUID IS NULL OR receipt_id > $2)
ORDER BY receipt_id
LIMIT $3
"""
_WINNERS = """
SELECT receipt_id, member_id, tickets, place
FROM draw_entries
WHERE program_id = $1 AND place IS NOT NULL
ORDER BY place
"""


async def entries(
    db: database.Queryable, program_id: str, *, after: str | None, count_max: int
) -> list[Entry]:
    """Return tickets in the order of receipts."""
    last = None if after is None else ids.parse(keys.PREFIX, after)
    program = ids.parse(PROGRAM_PREFIX, program_id)
    return [_entry(row) for row in await db.fetch(_ENTRIES, program, last, count_max)]


async def winners(db: database.Queryable, program_id: str) -> list[Entry]:
    """Return the winners, the first prize first."""
    return [_entry(row) for row in await db.fetch(_WINNERS, ids.parse(PROGRAM_PREFIX, program_id))]


def _entry(row: database.Record) -> Entry:
    return Entry(
        ids.show(keys.PREFIX, row["receipt_id"]),
        ids.show(MEMBER_PREFIX, row["member_id"]),
        row["tickets"],
        row["place"],
    )
