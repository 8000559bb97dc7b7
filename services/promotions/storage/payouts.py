"""Goals that members have reached, and what programs pay for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.programs import PREFIX as PROGRAM_PREFIX
from services.promotions.storage.receipts import BATCH_PREFIX, MEMBER_PREFIX
from services.promotions.storage.standings import Place

POSTED = "POSTED"
REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a member's reward for a goal is; see the schema."""

    member_id: str
    program_id: str
    attempt: int
    rewarded: bool
    receipt_id: str


_GOALS = """
SELECT member_id, program_id, attempt, rewarded, receipt_id
FROM unnest($1::UUID[], $2::UUID[]) AS wanted (member_id, program_id)
JOIN member_goals USING (member_id, program_id)
"""


async def goals(db: database.Queryable, places: Iterable[Place]) -> dict[Place, Goal]:
    """Return the goals that members have reached, by member and program."""
    wanted = list(places)
    rows = await db.fetch(
        _GOALS,
        [ids.parse(MEMBER_PREFIX, member_id) for member_id, _ in wanted],
        [ids.parse(PROGRAM_PREFIX, program_id) for _, program_id in wanted],
    )
    found = [
        Goal(
            ids.show(MEMBER_PREFIX, row["member_id"]),
            ids.show(PROGRAM_PREFIX, row["program_id"]),
            row["attempt"],
            row["rewarded"],
            ids.show(keys.PREFIX, row["receipt_id"]),
        )
        for row in rows
    ]
    return {(goal.member_id, goal.program_id): goal for goal in found}


_SAVE_GOALS = """
INSERT INTO member_goals (member_id, program_id, attempt, rewarded, receipt_id, change_time)
SELECT member_id, program_id, attempt, rewarded, receipt_id, $6
FROM unnest($1::UUID[], $2::UUID[], $3::INTEGER[], $4::BOOLEAN[], $5::UUID[])
    AS sent (member_id, program_id, attempt, rewarded, receipt_id)
ON CONFLICT (member_id, program_id) DO UPDATE SET
    attempt = EXCLUDED.attempt,
    rewarded = EXCLUDED.rewarded,
    receipt_id = EXCLUDED.receipt_id,
    change_time = EXCLUDED.change_time
"""


async def save_goals(tx: database.Queryable, changed: Sequence[Goal], *, now: datetime) -> None:
    """Write goals; their members are locked."""
    if changed:
        await tx.execute(
            _SAVE_GOALS,
            [ids.parse(MEMBER_PREFIX, goal.member_id) for goal in changed],
            [ids.parse(PROGRAM_PREFIX, goal.program_id) for goal in changed],
            [goal.attempt for goal in changed],
            [goal.rewarded for goal in changed],
            [ids.parse(keys.PREFIX, goal.receipt_id) for goal in changed],
            now,
        )


@dataclass(frozen=True, slots=True)
class Payout:
    """What a program pays: a Batch on the wire."""

    batch_id: str
    program_id: str
    batch: bytes


_ADD = """
INSERT INTO payouts (batch_id, program_id, state, batch, create_time)
SELECT batch_id, program_id, 'PENDING', batch, $4
FROM unnest($1::UUID[], $2::UUID[], $3::BYTEA[]) WITH ORDINALITY
    AS sent (batch_id, program_id, batch, place)
ORDER BY place
ON CONFLICT (batch_id) DO NOTHING
"""


async def add(tx: database.Queryable, new: Sequence[Payout], *, now: datetime) -> None:
    """Write what is to be paid, in order; what is written already stays as it is."""
    if new:
        await tx.execute(
            _ADD,
            [ids.parse(BATCH_PREFIX, payout.batch_id) for payout in new],
            [ids.parse(PROGRAM_PREFIX, payout.program_id) for payout in new],
            [payout.batch for payout in new],
            now,
        )


_PENDING = """
SELECT batch_id, program_id, batch FROM payouts WHERE state = 'PENDING' ORDER BY sequence LIMIT $1
"""


async def pending(db: database.Queryable, *, count_max: int) -> list[Payout]:
    """Return what waits to be posted, oldest first."""
    return [
        Payout(
            ids.show(BATCH_PREFIX, row["batch_id"]),
            ids.show(PROGRAM_PREFIX, row["program_id"]),
            row["batch"],
        )
        for row in await db.fetch(_PENDING, count_max)
    ]


_FINISH = "UPDATE payouts SET state = $2 WHERE batch_id = $1 AND state = 'PENDING'"


async def finish(db: database.Queryable, batch_id: str, *, state: str) -> None:
    """Note what the ledger said."""
    await db.execute(_FINISH, ids.parse(BATCH_PREFIX, batch_id), state)
