"""Chances of winning at once: what is sealed, and the receipts that took chances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage import keys, receipts
from services.promotions.storage.campaigns import PREFIX as CAMPAIGN_PREFIX
from services.promotions.storage.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row of `instant_wins`; see the schema."""

    campaign_id: str
    seed: bytes
    terms: str
    seal_time: datetime


_SEAL = """
INSERT INTO instant_wins (campaign_id, seed, terms, seal_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (campaign_id) DO NOTHING
"""


async def seal(tx: database.Queryable, sealed: Sealed) -> None:
    """Write what is sealed of a campaign, once."""
    campaign_id = ids.parse(CAMPAIGN_PREFIX, sealed.campaign_id)
    await tx.execute(_SEAL, campaign_id, sealed.seed, sealed.terms, sealed.seal_time)


_FIND = """
SELECT campaign_id, seed, terms, seal_time FROM instant_wins WHERE campaign_id = ANY($1::UUID[])
"""


async def find(db: database.Queryable, campaign_ids: Sequence[str]) -> dict[str, Sealed]:
    """Return what is sealed of campaigns, by their ids."""
    wanted = [ids.parse(CAMPAIGN_PREFIX, one) for one in campaign_ids]
    found = [
        Sealed(
            ids.show(CAMPAIGN_PREFIX, row["campaign_id"]),
            row["seed"],
            row["terms"],
            row["seal_time"],
        )
        for row in await db.fetch(_FIND, wanted)
    ]
    return {one.campaign_id: one for one in found}


# The campaign says which purchases, the period which months of them.
_DRAWN = f"""
SELECT {receipts.COLUMNS}
FROM purchases
JOIN receipts ON receipts.receipt_id = purchases.receipt_id
WHERE
    purchases.purchase_time >= $2 AND purchases.purchase_time < $3
    AND (purchases.purchase_time, purchases.receipt_id) > ($4, $5)
    AND purchases.chance_campaign_ids @> ARRAY[$1::UUID]
    AND receipts.state <> 'PENDING'
ORDER BY purchases.purchase_time, purchases.receipt_id
LIMIT $6
"""  # noqa: S608  constants only


async def drawn(
    db: database.Queryable,
    campaign_id: str,
    *,
    start: datetime,
    end: datetime,
    after: tuple[datetime, str] | None,
    count_max: int,
) -> list[Receipt]:
    """Return recorded purchases with chances of a campaign, oldest first, after a (time, id)."""
    time, last = after or (start, "")
    rows = await db.fetch(
        _DRAWN,
        ids.parse(CAMPAIGN_PREFIX, campaign_id),
        start,
        end,
        time,
        ids.parse(keys.PREFIX, last) if last else UUID(int=0),
        count_max,
    )
    return [Receipt.of(row) for row in rows]
