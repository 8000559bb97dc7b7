"""Codes that members give to others, and whom they have brought."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from services.chassis import database, ids
from services.promotions.storage.programs import PREFIX as PROGRAM_PREFIX
from services.promotions.storage.receipts import MEMBER_PREFIX

CLAIMED = "CLAIMED"


@dataclass(frozen=True, slots=True)
class Referral:
    """A row of `referrals`; see the schema."""

    newcomer_id: str
    program_id: str
    referrer_id: str
    state: str
    claim_day: date
    due_day: date | None
    create_time: datetime
    program_version: int

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        return cls(
            newcomer_id=ids.show(MEMBER_PREFIX, row["newcomer_id"]),
            program_id=ids.show(PROGRAM_PREFIX, row["program_id"]),
            referrer_id=ids.show(MEMBER_PREFIX, row["referrer_id"]),
            state=row["state"],
            claim_day=row["claim_day"],
            due_day=row["due_day"],
            create_time=row["create_time"],
            program_version=row["program_version"],
        )


_ADD_CODE = """
INSERT INTO referral_codes (program_id, member_id, code)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
"""
_CODE = "SELECT code FROM referral_codes WHERE program_id = $1 AND member_id = $2"


async def code_of(
    db: database.Queryable, program_id: str, member_id: str, *, fresh: str
) -> str | None:
    """Return a member's code, which is the fresh one unless there is one; None when it is taken."""
    place = ids.parse(PROGRAM_PREFIX, program_id), ids.parse(MEMBER_PREFIX, member_id)
    await db.execute(_ADD_CODE, *place, fresh)
    code: str | None = await db.fetchval(_CODE, *place)
    return code


_OWNER = "SELECT program_id, member_id FROM referral_codes WHERE code = $1"


async def owner_of(db: database.Queryable, code: str) -> tuple[str, str] | None:
    """Return the program of a code and the member who has it, or None."""
    row = await db.fetchrow(_OWNER, code)
    if row is None:
        return None
    return (
        ids.show(PROGRAM_PREFIX, row["program_id"]),
        ids.show(MEMBER_PREFIX, row["member_id"]),
    )


_ADD = """
INSERT INTO referrals (
    newcomer_id, program_id, referrer_id, state, claim_day, due_day, create_time, program_version
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def add(tx: database.Queryable, new: Referral) -> None:
    """Write a referral; both members are locked."""
    await tx.execute(
        _ADD,
        ids.parse(MEMBER_PREFIX, new.newcomer_id),
        ids.parse(PROGRAM_PREFIX, new.program_id),
        ids.parse(MEMBER_PREFIX, new.referrer_id),
        new.state,
        new.claim_day,
        new.due_day,
        new.create_time,
        new.program_version,
    )


_OF_NEWCOMERS = """
SELECT
    newcomer_id, program_id, referrer_id, state, claim_day, due_day, create_time, program_version
FROM referrals
WHERE newcomer_id = ANY($1::UUID[])
ORDER BY newcomer_id
"""


async def of_newcomers(db: database.Queryable, member_ids: Iterable[str]) -> list[Referral]:
    """Return how these members came, for those whom somebody brought."""
    wanted = [ids.parse(MEMBER_PREFIX, member_id) for member_id in member_ids]
    return [Referral.of(row) for row in await db.fetch(_OF_NEWCOMERS, wanted)]


_OF_REFERRER = """
SELECT
    newcomer_id, program_id, referrer_id, state, claim_day, due_day, create_time, program_version
FROM referrals
WHERE referrer_id = $1
ORDER BY create_time DESC, newcomer_id
LIMIT $2
"""


async def of_referrer(db: database.Queryable, member_id: str, *, count_max: int) -> list[Referral]:
    """Return whom a member has brought, newest first."""
    member = ids.parse(MEMBER_PREFIX, member_id)
    return [Referral.of(row) for row in await db.fetch(_OF_REFERRER, member, count_max)]


_COUNT = """
SELECT count(*)
FROM referrals
WHERE referrer_id = $1 AND program_id = $2 AND state <> 'LAPSED'
    AND (state <> 'CLAIMED' OR due_day > $3)
"""


async def count_open(
    tx: database.Queryable, member_id: str, program_id: str, *, today: date
) -> int:
    """Return for how many referrals a member was or may be rewarded."""
    found: int = await tx.fetchval(
        _COUNT, ids.parse(MEMBER_PREFIX, member_id), ids.parse(PROGRAM_PREFIX, program_id), today
    )
    return found


_SAVE = """
UPDATE referrals
SET state = sent.state, due_day = sent.due_day
FROM unnest($1::UUID[], $2::TEXT[], $3::DATE[]) AS sent (newcomer_id, state, due_day)
WHERE referrals.newcomer_id = sent.newcomer_id
"""


async def save(tx: database.Queryable, changed: Sequence[Referral]) -> None:
    """Write where referrals are; the newcomers are locked."""
    if changed:
        await tx.execute(
            _SAVE,
            [ids.parse(MEMBER_PREFIX, one.newcomer_id) for one in changed],
            [one.state for one in changed],
            [one.due_day for one in changed],
        )


_DUE = """
SELECT newcomer_id
FROM referrals JOIN programs USING (program_id)
WHERE due_day <= $1 AND programs.state = 'LIVE'
ORDER BY due_day
LIMIT $2
"""


async def due(db: database.Queryable, today: date, *, count_max: int) -> list[str]:
    """Return the newcomers whose referral time alone changes, longest due first."""
    rows = await db.fetch(_DUE, today, count_max)
    return [ids.show(MEMBER_PREFIX, row["newcomer_id"]) for row in rows]


_BOUGHT = """
SELECT EXISTS (
    SELECT 1
    FROM purchases JOIN receipts ON receipts.receipt_id = purchases.receipt_id
    WHERE member_id = $1 AND receipts.state <> 'VOIDED'
)
"""


async def has_bought(db: database.Queryable, member_id: str) -> bool:
    """Tell whether a member has a receipt, also one that is on its way or came back."""
    found: bool = await db.fetchval(_BOUGHT, ids.parse(MEMBER_PREFIX, member_id))
    return found
