"""Points that make receipts good, and what has become of them in the ledger."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.receipts import MEMBER_PREFIX

#: As the ledger's contract calls what may still become something else.
PENDING = "PENDING"
APPROVED = "APPROVED"
POSTED = "POSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """A row of `compensations`; `state` is empty while the ledger was not asked."""

    request_id: str
    receipt_id: str
    member_id: str
    points: int
    cause: str
    client_id: str
    batch_id: str
    create_time: datetime
    state: str = ""
    refusal_reason: str = ""

    @property
    def adjustment_id(self) -> str:
        """The adjustment, whose batch has its id."""
        return ids.show("adj", ids.parse("bat", self.batch_id))

    @property
    def is_open(self) -> bool:
        """True while it may still become something else."""
        return self.state in {"", PENDING, APPROVED}


_NOTE = """
INSERT INTO compensations (
    request_id, receipt_id, member_id, points, cause, client_id, batch_id, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (request_id) DO NOTHING
"""
# Those that were posted before there were states have the time alone.
_SELECT = """
SELECT
    request_id, receipt_id, member_id, points, cause, client_id, batch_id, create_time,
    coalesce(state, CASE WHEN post_time IS NULL THEN '' ELSE 'POSTED' END) AS state,
    coalesce(refusal_reason, '') AS refusal_reason
FROM compensations
"""
_NOTED = f"{_SELECT} WHERE request_id = $1"


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


_SETTLE = """
UPDATE compensations
SET
    state = $2, refusal_reason = $3,
    post_time = CASE WHEN $2 = 'POSTED' THEN $4::TIMESTAMPTZ ELSE post_time END
WHERE request_id = $1 AND (state IS NULL OR state IN ('PENDING', 'APPROVED'))
"""


async def settle(
    db: database.Queryable, request_id: str, *, state: str, refusal_reason: str, now: datetime
) -> None:
    """Note what the ledger says; what has come to its end stays as it is."""
    await db.execute(_SETTLE, request_id, state, refusal_reason, now)


_OF_RECEIPT = f"{_SELECT} WHERE receipt_id = $1 ORDER BY create_time, request_id"


async def of_receipt(db: database.Queryable, receipt_id: str) -> list[Compensation]:
    """Return what was given or asked for, oldest first."""
    rows = await db.fetch(_OF_RECEIPT, ids.parse(keys.PREFIX, receipt_id))
    return [_compensation(row) for row in rows]


def _compensation(row: database.Record) -> Compensation:
    plain = dict(row)
    plain["receipt_id"] = ids.show(keys.PREFIX, row["receipt_id"])
    plain["member_id"] = ids.show(MEMBER_PREFIX, row["member_id"])
    plain["batch_id"] = ids.show("bat", row["batch_id"])
    return Compensation(**plain)
