"""Receipts found again by what is remembered of them, and what was done to make them good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage import keys
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
    AND (receipts.state <> 'PENDING' OR receipts.promised)
ORDER BY found.purchase_time DESC, found.receipt_id DESC
LIMIT $10
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

_CONFLICTED = """
SELECT
    receipts.receipt_id, receipts.purchase_time, receipts.state, receipts.batch_id, receipts.moved,
    receipts.undo_batch, receipts.promised, purchases.conflicts, record_time, store_id, member_id,
    ruleset_version, request, facts, evaluation, batch, given
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
"""


async def conflicted(
    db: database.Queryable, *, after: tuple[datetime, str], store_id: str, count_max: int
) -> list[Receipt]:
    """Return purchases with conflicts after a (time, id), oldest first; no id is before all."""
    time, last = after
    receipt_id = ids.parse(keys.PREFIX, last) if last else UUID(int=0)
    rows = await db.fetch(_CONFLICTED, time, receipt_id, store_id or None, count_max)
    return [Receipt.of(row) for row in rows]


# Compensations ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """Points that made something good."""

    request_id: str
    receipt_id: str
    member_id: str
    points: int
    cause: str
    client_id: str
    batch_id: str
    create_time: datetime
    is_posted: bool = False


_NOTE = """
INSERT INTO compensations (
    request_id, receipt_id, member_id, points, cause, client_id, batch_id, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (request_id) DO NOTHING
"""
_NOTED = """
SELECT
    request_id, receipt_id, member_id, points, cause, client_id, batch_id, create_time,
    post_time IS NOT NULL AS is_posted
FROM compensations
WHERE request_id = $1
"""


async def note(db: database.Queryable, given: Compensation) -> Compensation:
    """Note what is about to be given; return it as it was noted first."""
    await db.execute(
        _NOTE,
        given.request_id,
        ids.parse(keys.PREFIX, given.receipt_id),
        ids.parse(MEMBER_PREFIX, given.member_id),
        given.points,
        given.cause,
        given.client_id,
        ids.parse("bat", given.batch_id),
        given.create_time,
    )
    row = await db.fetchrow(_NOTED, given.request_id)
    assert row is not None
    return _compensation(row)


_POSTED = "UPDATE compensations SET post_time = $2 WHERE request_id = $1 AND post_time IS NULL"


async def mark_posted(db: database.Queryable, request_id: str, *, now: datetime) -> None:
    """Note that the ledger has given it."""
    await db.execute(_POSTED, request_id, now)


_OF_RECEIPT = """
SELECT
    request_id, receipt_id, member_id, points, cause, client_id, batch_id, create_time,
    post_time IS NOT NULL AS is_posted
FROM compensations
WHERE receipt_id = $1 AND post_time IS NOT NULL
ORDER BY create_time
"""


async def of_receipt(db: database.Queryable, receipt_id: str) -> Sequence[Compensation]:
    """Return what was given for a receipt, oldest first."""
    rows = await db.fetch(_OF_RECEIPT, ids.parse(keys.PREFIX, receipt_id))
    return [_compensation(row) for row in rows]


def _compensation(row: database.Record) -> Compensation:
    plain = dict(row)
    plain["receipt_id"] = ids.show(keys.PREFIX, row["receipt_id"])
    plain["member_id"] = ids.show(MEMBER_PREFIX, row["member_id"])
    plain["batch_id"] = ids.show("bat", row["batch_id"])
    return Compensation(**plain)
