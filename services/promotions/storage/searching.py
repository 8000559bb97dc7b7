"""Receipts found again by what is remembered of them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage import keys, receipts
from services.promotions.storage.receipts import MEMBER_PREFIX, Receipt

_CAMPAIGN_PREFIX = "cmp"
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is remembered: everything that is given must hold; times are half-open.

    `before` is the (time, id) of the last receipt of the page before.
    """

    store_id: str = ""
    member_id: str = ""
    from_time: datetime
    until_time: datetime
    total_min_minor: int | None = None
    total_max_minor: int | None = None
    campaign_id: str = ""
    till_id: str = ""
    receipt_number: str = ""
    before: tuple[datetime, str] | None = None
    count_max: int


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt in a line; `request` and `evaluation` are messages on the wire."""

    receipt_id: str
    occurred_time: datetime
    record_time: datetime
    state: str
    member_id: str
    request: bytes
    evaluation: bytes


# One statement for each index: the narrowest of what is given leads.
_SEARCH = """
SELECT
    found.receipt_id, found.purchase_time, found.record_time, receipts.state, found.member_id,
    found.request, found.evaluation
FROM purchases AS found
JOIN receipts ON receipts.receipt_id = found.receipt_id
WHERE
    {led}
    AND found.purchase_time >= $2 AND found.purchase_time <= $4
    AND found.purchase_time < $3
    AND (found.purchase_time, found.receipt_id) < ($4, $5)
    AND ($6::TEXT IS NULL OR found.store_id = $6)
    AND ($7::BIGINT IS NULL OR found.total_minor >= $7)
    AND ($8::BIGINT IS NULL OR found.total_minor <= $8)
    AND ($9::UUID IS NULL OR $9 = ANY(found.campaign_ids))
    AND ($10::TEXT IS NULL OR found.till_id = $10)
    AND ($11::TEXT IS NULL OR found.receipt_number = $11)
    AND (receipts.state <> 'PENDING' OR receipts.promised)
ORDER BY found.purchase_time DESC, found.receipt_id DESC
LIMIT $12
"""
_BY_MEMBER = _SEARCH.format(led="found.member_id = $1::UUID")
_BY_STORE = _SEARCH.format(led="found.store_id = $1::TEXT")
_BY_TIME = _SEARCH.format(led="$1::TEXT IS NULL")


async def search(db: database.Queryable, wanted: Search) -> list[Found]:
    """Return receipts, newest first."""
    statement, lead = _lead(wanted)
    time, last = wanted.before or (wanted.until_time, "")
    rows = await db.fetch(
        statement,
        lead,
        wanted.from_time,
        wanted.until_time,
        time,
        ids.parse(keys.PREFIX, last) if last else _LAST,
        wanted.store_id or None,
        wanted.total_min_minor,
        wanted.total_max_minor,
        ids.parse(_CAMPAIGN_PREFIX, wanted.campaign_id) if wanted.campaign_id else None,
        wanted.till_id or None,
        wanted.receipt_number or None,
        wanted.count_max,
    )
    return [_found(row) for row in rows]


def _lead(wanted: Search) -> tuple[str, UUID | str | None]:
    if wanted.member_id:
        return _BY_MEMBER, ids.parse(MEMBER_PREFIX, wanted.member_id)
    if wanted.store_id:
        return _BY_STORE, wanted.store_id
    return _BY_TIME, None


def _found(row: database.Record) -> Found:
    member_id = row["member_id"]
    return Found(
        receipt_id=ids.show(keys.PREFIX, row["receipt_id"]),
        occurred_time=row["purchase_time"],
        record_time=row["record_time"],
        state=row["state"],
        member_id=ids.show(MEMBER_PREFIX, member_id) if member_id else "",
        request=row["request"],
        evaluation=row["evaluation"],
    )


# Conflicts --------------------------------------------------------------------------------------

_CONFLICTED = f"""
SELECT {receipts.COLUMNS}
FROM receipts
JOIN purchases
    ON purchases.receipt_id = receipts.receipt_id
    AND purchases.purchase_time = receipts.purchase_time
WHERE
    receipts.in_conflict
    AND (receipts.purchase_time, receipts.receipt_id) > ($1, $2)
    AND ($3::TEXT IS NULL OR store_id = $3)
ORDER BY receipts.purchase_time, receipts.receipt_id
LIMIT $4
"""  # noqa: S608  constants only


async def conflicted(
    db: database.Queryable, *, after: tuple[datetime, str], store_id: str, count_max: int
) -> list[Receipt]:
    """Return purchases with conflicts after a (time, id), oldest first; no id is before all."""
    time, last = after
    receipt_id = ids.parse(keys.PREFIX, last) if last else UUID(int=0)
    rows = await db.fetch(_CONFLICTED, time, receipt_id, store_id or None, count_max)
    return [Receipt.of(row) for row in rows]
