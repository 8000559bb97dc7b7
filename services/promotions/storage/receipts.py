"""Purchases: decided, posted, recorded; voided or taken back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage import keys

MEMBER_PREFIX = "mem"
BATCH_PREFIX = "bat"

PENDING = "PENDING"
COMMITTED = "COMMITTED"
VOIDING = "VOIDING"
VOIDED = "VOIDED"
RETURNED = "RETURNED"

#: An event's id and payload, as the outbox has them.
Event = tuple[UUID, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A purchase: its life and its documents; bytes are messages on the wire, see the schema."""

    receipt_id: str
    occurred_time: datetime
    record_time: datetime
    state: str
    store_id: str
    #: Empty for an unknown shopper.
    member_id: str
    ruleset_version: int
    request: bytes
    facts: bytes
    evaluation: bytes
    #: Empty, like `batch`, when nothing of value moved.
    batch_id: str = ""
    batch: bytes = b""
    #: What each operation of the batch moved; empty until it is known.
    moved: tuple[int, ...] = ()
    undo_batch: bytes = b""
    #: True when the till was answered before the ledger: it stays, whatever the ledger says.
    promised: bool = False
    #: tessera.promotions.v1.Receipt with the conflicts alone; empty without any.
    conflicts: bytes = b""
    #: tessera.promotions.v1.RecordReceiptRequest with the lines alone, of a till that decided by
    #: itself; empty when they are those of the evaluation.
    given: bytes = b""
    #: By which the shopper is to be found as soon as identity answers; the request has no phone.
    awaited_phone: str = ""
    #: What receipts are found by besides; not read back.
    total_minor: int = 0
    campaign_ids: tuple[str, ...] = ()
    chance_campaign_ids: tuple[str, ...] = ()
    till_id: str = ""
    receipt_number: str = ""

    @property
    def awaits_member(self) -> bool:
        """Tell whether it was promised to a shopper whom nobody could identify yet."""
        return self.promised and self.state == PENDING and not self.batch_id

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        member_id, batch_id = row["member_id"], row["batch_id"]
        return cls(
            receipt_id=ids.show(keys.PREFIX, row["receipt_id"]),
            occurred_time=row["purchase_time"],
            record_time=row["record_time"],
            state=row["state"],
            store_id=row["store_id"],
            member_id=ids.show(MEMBER_PREFIX, member_id) if member_id else "",
            ruleset_version=row["ruleset_version"],
            request=row["request"],
            facts=row["facts"],
            evaluation=row["evaluation"],
            batch_id=ids.show(BATCH_PREFIX, batch_id) if batch_id else "",
            batch=row["batch"] or b"",
            moved=tuple(row["moved"] or ()),
            undo_batch=row["undo_batch"] or b"",
            promised=row["promised"],
            conflicts=row["conflicts"] or b"",
            given=row["given"] or b"",
            awaited_phone=row["awaited_phone"] or "",
        )


#: What `Receipt.of` takes of `receipts` and `purchases`.
COLUMNS = """
    receipts.receipt_id, receipts.purchase_time, receipts.state, receipts.batch_id, receipts.moved,
    receipts.undo_batch, receipts.promised, purchases.conflicts, record_time, store_id, member_id,
    ruleset_version, request, facts, evaluation, batch, given, awaited_phone
"""

# A purchase is written in one statement whatever its number: keys first, in the order of ids, and
# documents only for keys that were free. Callers send each id once.
_ADD = """
WITH sent AS (
    SELECT *
    FROM unnest(
        $1::UUID[], $2::TIMESTAMPTZ[], $3::TIMESTAMPTZ[], $4::TEXT[], $5::TEXT[], $6::UUID[],
        $7::BIGINT[], $8::BYTEA[], $9::BYTEA[], $10::BYTEA[], $11::UUID[], $12::BYTEA[],
        $13::BIGINT[], $14::TEXT[], $15::BOOLEAN[], $16::BYTEA[], $17::BYTEA[],
        $18::TEXT[], $19::TEXT[], $20::UUID[], $21::BYTEA[], $22::TEXT[], $23::TEXT[]
    ) AS sent (
        receipt_id, purchase_time, record_time, state, store_id, member_id, ruleset_version,
        request, facts, evaluation, batch_id, batch, total_minor, campaign_ids, promised, conflicts,
        given, till_id, receipt_number, event_id, event, chance_campaign_ids, awaited_phone
    )
),
free AS (
    INSERT INTO receipts (
        receipt_id, kind, state, purchase_time, batch_id, update_time, promised, in_conflict
    )
    SELECT
        receipt_id, 'PURCHASE', state, purchase_time, batch_id, record_time, promised,
        conflicts IS NOT NULL
    FROM sent
    ORDER BY receipt_id
    ON CONFLICT (receipt_id) DO NOTHING
    RETURNING receipt_id
),
written AS (
    INSERT INTO purchases (
        receipt_id, purchase_time, record_time, store_id, member_id, ruleset_version, request,
        facts, evaluation, batch, total_minor, campaign_ids, conflicts, given, till_id,
        receipt_number, chance_campaign_ids, awaited_phone
    )
    SELECT
        receipt_id, purchase_time, record_time, store_id, member_id, ruleset_version, request,
        facts, evaluation, batch, total_minor, campaign_ids::UUID[], conflicts, given, till_id,
        receipt_number, chance_campaign_ids::UUID[], awaited_phone
    FROM sent JOIN free USING (receipt_id)
),
told AS (
    INSERT INTO outbox_events (event_id, payload)
    SELECT event_id, event FROM sent JOIN free USING (receipt_id) WHERE event_id IS NOT NULL
)
SELECT receipt_id FROM free
"""


async def add(db: database.Queryable, news: Sequence[tuple[Receipt, Event | None]]) -> set[str]:
    """Write purchases whose keys are free, with their events; return the ids written."""
    columns = list(zip(*(_columns(receipt, event) for receipt, event in news), strict=True))
    rows = await db.fetch(_ADD, *columns)
    return {ids.show(keys.PREFIX, row["receipt_id"]) for row in rows}


def _columns(receipt: Receipt, event: Event | None) -> tuple[object, ...]:
    return (
        ids.parse(keys.PREFIX, receipt.receipt_id),
        receipt.occurred_time,
        receipt.record_time,
        receipt.state,
        receipt.store_id,
        ids.parse(MEMBER_PREFIX, receipt.member_id) if receipt.member_id else None,
        receipt.ruleset_version,
        receipt.request,
        receipt.facts,
        receipt.evaluation,
        ids.parse(BATCH_PREFIX, receipt.batch_id) if receipt.batch_id else None,
        receipt.batch or None,
        receipt.total_minor,
        _array(receipt.campaign_ids),
        receipt.promised,
        receipt.conflicts or None,
        receipt.given or None,
        receipt.till_id,
        receipt.receipt_number,
        *(event or (None, None)),
        _array(receipt.chance_campaign_ids) if receipt.chance_campaign_ids else None,
        receipt.awaited_phone or None,
    )


def _array(campaign_ids: Iterable[str]) -> str:
    return "{" + ",".join(one.split("_")[1] for one in campaign_ids) + "}"


@dataclass(frozen=True, slots=True)
class Posting:
    """A purchase whose batch was posted: what moved, and the event that tells of it."""

    receipt: Receipt
    moved: tuple[int, ...]
    event: Event
    #: True when less moved than was promised.
    is_short: bool = False


# The state is looked at once the rows are found by their keys. Found by their state, all that waits
# after an outage would be read for each group: statistics still say that nothing waits.
_FINISH = """
WITH sent AS (
    SELECT receipt_id, batch_id, moved::BIGINT[] AS moved, event_id, event, is_short
    FROM unnest($1::UUID[], $2::UUID[], $3::TEXT[], $4::UUID[], $5::BYTEA[], $7::BOOLEAN[])
        AS sent (receipt_id, batch_id, moved, event_id, event, is_short)
),
locked AS (
    SELECT receipts.receipt_id, receipts.batch_id, receipts.state
    FROM receipts JOIN sent USING (receipt_id)
    ORDER BY receipts.receipt_id
    FOR UPDATE OF receipts
),
finished AS (
    UPDATE receipts
    SET
        state = 'COMMITTED', moved = sent.moved, update_time = $6,
        in_conflict = receipts.in_conflict OR sent.is_short
    FROM sent JOIN locked USING (receipt_id, batch_id)
    WHERE receipts.receipt_id = locked.receipt_id AND locked.state = 'PENDING'
    RETURNING receipts.receipt_id
),
told AS (
    INSERT INTO outbox_events (event_id, payload)
    SELECT event_id, event FROM sent JOIN finished USING (receipt_id)
)
SELECT receipt_id FROM finished
"""


async def finish(db: database.Queryable, postings: Sequence[Posting], *, now: datetime) -> set[str]:
    """Record pending purchases as committed, each with its event; return the ids of those.

    Purchases that are finished already stay so.
    """
    rows = await db.fetch(
        _FINISH,
        [ids.parse(keys.PREFIX, posting.receipt.receipt_id) for posting in postings],
        [ids.parse(BATCH_PREFIX, posting.receipt.batch_id) for posting in postings],
        ["{" + ",".join(map(str, posting.moved)) + "}" for posting in postings],
        [posting.event[0] for posting in postings],
        [posting.event[1] for posting in postings],
        now,
        [posting.is_short for posting in postings],
    )
    return {ids.show(keys.PREFIX, row["receipt_id"]) for row in rows}


_DELIVER = """
WITH delivered AS (
    UPDATE purchases
    SET member_id = $3, facts = $4, evaluation = $5, batch = $6, conflicts = $7,
        campaign_ids = $8::UUID[], awaited_phone = NULL
    WHERE receipt_id = $1 AND purchase_time = $2
    RETURNING receipt_id
)
UPDATE receipts
SET batch_id = $9, update_time = $10, in_conflict = in_conflict OR $7::BYTEA IS NOT NULL
FROM delivered
WHERE receipts.receipt_id = delivered.receipt_id
"""


async def deliver(tx: database.Queryable, receipt: Receipt, *, now: datetime) -> None:
    """Write what a promised purchase gives; it is locked, pending, and without that."""
    await tx.execute(
        _DELIVER,
        ids.parse(keys.PREFIX, receipt.receipt_id),
        receipt.occurred_time,
        ids.parse(MEMBER_PREFIX, receipt.member_id) if receipt.member_id else None,
        receipt.facts,
        receipt.evaluation,
        receipt.batch or None,
        receipt.conflicts or None,
        list(map(_campaign_uuid, receipt.campaign_ids)),
        ids.parse(BATCH_PREFIX, receipt.batch_id) if receipt.batch_id else None,
        now,
    )


def _campaign_uuid(campaign_id: str) -> UUID:
    return ids.parse("cmp", campaign_id)


_REPLACE_BATCH = """
WITH replaced AS (
    UPDATE receipts
    SET batch_id = $4, update_time = $7, in_conflict = in_conflict OR $6::BYTEA IS NOT NULL
    WHERE receipt_id = $1 AND batch_id = $3 AND state = 'PENDING'
    RETURNING receipt_id
)
UPDATE purchases
SET batch = $5, conflicts = $6
FROM replaced
WHERE purchases.receipt_id = replaced.receipt_id AND purchases.purchase_time = $2
"""


async def replace_batch(
    db: database.Queryable, receipt: Receipt, changed: Receipt, *, now: datetime
) -> bool:
    """Give a pending purchase another batch; False when somebody else did."""
    done = await db.execute(
        _REPLACE_BATCH,
        ids.parse(keys.PREFIX, receipt.receipt_id),
        receipt.occurred_time,
        ids.parse(BATCH_PREFIX, receipt.batch_id),
        ids.parse(BATCH_PREFIX, changed.batch_id),
        changed.batch,
        changed.conflicts or None,
        now,
    )
    return done == "UPDATE 1"


_FINISH_PLAIN = """
WITH finished AS (
    UPDATE receipts
    SET state = 'COMMITTED', update_time = $2
    WHERE receipt_id = $1 AND state = 'PENDING' AND batch_id IS NULL
    RETURNING receipt_id
)
INSERT INTO outbox_events (event_id, payload) SELECT $3, $4 FROM finished
"""


async def finish_plain(
    tx: database.Queryable, receipt: Receipt, *, event: Event, now: datetime
) -> bool:
    """Record a promised purchase that moves nothing as committed; False when it was already."""
    receipt_id = ids.parse(keys.PREFIX, receipt.receipt_id)
    return await tx.execute(_FINISH_PLAIN, receipt_id, now, *event) == database.ONE_INSERTED


_DROP = """
WITH dropped AS (
    DELETE FROM receipts
    WHERE receipt_id = $1 AND batch_id = $2 AND state = 'PENDING'
    RETURNING receipt_id
)
DELETE FROM purchases
WHERE receipt_id IN (SELECT receipt_id FROM dropped) AND purchase_time = $3
"""


async def drop(db: database.Queryable, receipt: Receipt) -> None:
    """Forget a purchase whose batch was refused; its key is free again."""
    await db.execute(
        _DROP,
        ids.parse(keys.PREFIX, receipt.receipt_id),
        ids.parse(BATCH_PREFIX, receipt.batch_id),
        receipt.occurred_time,
    )


_FIND = f"""
SELECT {COLUMNS}
FROM receipts
JOIN purchases ON purchases.receipt_id = receipts.receipt_id
WHERE receipts.receipt_id = $1 AND purchases.receipt_id = $1 AND purchases.purchase_time = $2
"""  # noqa: S608  constants only


async def find(db: database.Queryable, key: keys.Key) -> Receipt | None:
    """Return a purchase, or None when it was dropped meanwhile."""
    row = await db.fetchrow(_FIND, key.receipt_id, key.purchase_time)
    return None if row is None else Receipt.of(row)


_LOCK = _FIND + "FOR UPDATE OF receipts"


async def lock(tx: database.Queryable, key: keys.Key) -> Receipt | None:
    """Return a purchase and keep everybody else from changing it until the transaction ends."""
    row = await tx.fetchrow(_LOCK, key.receipt_id, key.purchase_time)
    return None if row is None else Receipt.of(row)


_BEGIN_VOID = """
UPDATE receipts SET state = 'VOIDING', undo_batch = $2, update_time = $3 WHERE receipt_id = $1
"""


async def begin_void(
    tx: database.Queryable, receipt: Receipt, *, undo_batch: bytes, now: datetime
) -> None:
    """Note how a purchase that is locked and committed is being undone."""
    await tx.execute(_BEGIN_VOID, ids.parse(keys.PREFIX, receipt.receipt_id), undo_batch, now)


_FINISH_VOID = """
WITH voided AS (
    UPDATE receipts
    SET state = 'VOIDED', undo_batch = $6, update_time = $3
    WHERE receipt_id = $1 AND state = $2
    RETURNING receipt_id
)
INSERT INTO outbox_events (event_id, payload) SELECT $4, $5 FROM voided
"""


async def finish_void(
    db: database.Queryable, receipt: Receipt, *, undone: bytes, event: Event, now: datetime
) -> bool:
    """Record a purchase as voided, with its event; False when somebody else just did."""
    receipt_id = ids.parse(keys.PREFIX, receipt.receipt_id)
    done = await db.execute(_FINISH_VOID, receipt_id, receipt.state, now, *event, undone or None)
    return done == database.ONE_INSERTED


_CANCEL_VOID = """
UPDATE receipts
SET state = 'COMMITTED', undo_batch = NULL, update_time = $3
WHERE receipt_id = $1 AND state = 'VOIDING' AND undo_batch = $2
"""


async def cancel_void(db: database.Queryable, receipt: Receipt, *, now: datetime) -> None:
    """Put a purchase back to committed, because its undoing was refused."""
    receipt_id = ids.parse(keys.PREFIX, receipt.receipt_id)
    await db.execute(_CANCEL_VOID, receipt_id, receipt.undo_batch, now)


_OF_MEMBER = f"""
SELECT {COLUMNS}
FROM purchases
JOIN receipts ON receipts.receipt_id = purchases.receipt_id
WHERE
    member_id = $1 AND purchases.purchase_time >= $2
    AND receipts.state IN ('COMMITTED', 'VOIDING')
ORDER BY purchases.purchase_time
"""  # noqa: S608  constants only


async def of_member(db: database.Queryable, member_id: str, *, since: datetime) -> list[Receipt]:
    """Return a member's purchases of which something stays, oldest first."""
    member = ids.parse(MEMBER_PREFIX, member_id)
    return [Receipt.of(row) for row in await db.fetch(_OF_MEMBER, member, since)]
