"""Goods that were chosen for members."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis import database, ids
from services.promotions.storage.programs import PREFIX as PROGRAM_PREFIX
from services.promotions.storage.receipts import MEMBER_PREFIX


@dataclass(frozen=True, slots=True)
class Offer:
    """Goods for a member, from a program, between two moments."""

    member_id: str
    program_id: str
    skus: tuple[str, ...]
    start_time: datetime
    end_time: datetime


_REPLACE = """
INSERT INTO member_offers (member_id, program_id, skus, start_time, end_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (member_id, program_id) DO UPDATE SET
    skus = EXCLUDED.skus, start_time = EXCLUDED.start_time, end_time = EXCLUDED.end_time
"""
_REMOVE = "DELETE FROM member_offers WHERE member_id = $1 AND program_id = $2"


async def assign(tx: database.Transaction, offers: Sequence[Offer]) -> None:
    """Write offers in place of what members had from the program; without goods, nothing is left.

    Each member is there once, in the order of ids.
    """
    rows = [
        (
            ids.parse(MEMBER_PREFIX, offer.member_id),
            ids.parse(PROGRAM_PREFIX, offer.program_id),
            list(offer.skus),
            offer.start_time,
            offer.end_time,
        )
        for offer in offers
    ]
    await tx.executemany(_REPLACE, [row for row in rows if row[2]])
    await tx.executemany(_REMOVE, [row[:2] for row in rows if not row[2]])


_LIVE = """
SELECT program_id, skus, start_time, end_time
FROM member_offers
WHERE member_id = $1 AND start_time <= $2 AND end_time > $2
ORDER BY program_id
"""


async def live(db: database.Queryable, member_id: str, *, now: datetime) -> list[Offer]:
    """Return what is offered to a member now."""
    rows = await db.fetch(_LIVE, ids.parse(MEMBER_PREFIX, member_id), now)
    return [
        Offer(
            member_id,
            ids.show(PROGRAM_PREFIX, row["program_id"]),
            tuple(row["skus"]),
            row["start_time"],
            row["end_time"],
        )
        for row in rows
    ]
