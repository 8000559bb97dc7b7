"""What programs have counted of members, and where members stand in them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage import keys
from services.promotions.storage.programs import PREFIX
from services.promotions.storage.receipts import MEMBER_PREFIX

PURCHASE = "PURCHASE"
RETURN = "RETURN"
TIME = "TIME"
START = "START"
TERMS = "TERMS"

# In the order of the keys, so that two who lock several members wait for each other in a line.
_LOCK_MEMBERS = """
SELECT count(pg_advisory_xact_lock(key))
FROM (
    SELECT DISTINCT hashtextextended('promotions.member', 0) # hashtextextended(name, 0) AS key
    FROM unnest($1::TEXT[]) AS names (name)
    ORDER BY key
) AS ordered
"""


async def lock_members(tx: database.Queryable, member_ids: Iterable[str]) -> None:
    """Wait until nobody else counts for these members, until the transaction ends.

    Whoever locks receipts, too, locks them before.
    """
    await tx.execute(_LOCK_MEMBERS, list(member_ids))


@dataclass(frozen=True, slots=True)
class Tally:
    """What a program counted of one purchase."""

    member_id: str
    program_id: str
    receipt_id: str
    day: date
    amount: int


_COUNT = """
WITH sent AS (
    SELECT *
    FROM unnest($1::UUID[], $2::UUID[], $3::UUID[], $4::DATE[], $5::BIGINT[])
        AS sent (member_id, program_id, receipt_id, day, amount)
),
emptied AS (
    DELETE FROM tallies USING sent
    WHERE (tallies.member_id, tallies.program_id, tallies.receipt_id)
        = (sent.member_id, sent.program_id, sent.receipt_id) AND sent.amount <= 0
)
INSERT INTO tallies (member_id, program_id, receipt_id, day, amount)
SELECT member_id, program_id, receipt_id, day, amount FROM sent WHERE amount > 0
ON CONFLICT (member_id, program_id, receipt_id) DO UPDATE SET amount = EXCLUDED.amount
"""


async def count(tx: database.Queryable, tallies: Sequence[Tally]) -> None:
    """Write what purchases count now, in place of what they counted before."""
    if tallies:
        await tx.execute(
            _COUNT,
            [ids.parse(MEMBER_PREFIX, tally.member_id) for tally in tallies],
            [ids.parse(PREFIX, tally.program_id) for tally in tallies],
            [ids.parse(keys.PREFIX, tally.receipt_id) for tally in tallies],
            [tally.day for tally in tallies],
            [tally.amount for tally in tallies],
        )


#: A member's place in a program.
Place = tuple[str, str]

_TALLIES = """
SELECT wanted.member_id, wanted.program_id, day, sum(amount)::BIGINT AS amount
FROM unnest($1::UUID[], $2::UUID[], $3::DATE[]) AS wanted (member_id, program_id, first)
JOIN tallies USING (member_id, program_id)
WHERE day >= first
GROUP BY wanted.member_id, wanted.program_id, day
"""


async def tallies(
    db: database.Queryable, wanted: Mapping[Place, date]
) -> dict[Place, dict[date, int]]:
    """Return what was counted by day, from a first day on for each member and program."""
    found: dict[Place, dict[date, int]] = {place: {} for place in wanted}
    if not found:
        return found
    rows = await db.fetch(_TALLIES, *_columns(wanted), list(wanted.values()))
    for row in rows:
        found[_place(row)][row["day"]] = row["amount"]
    return found


def _columns(places: Iterable[Place]) -> tuple[list[UUID], list[UUID]]:
    pairs = list(places)
    return (
        [ids.parse(MEMBER_PREFIX, member_id) for member_id, _ in pairs],
        [ids.parse(PREFIX, program_id) for _, program_id in pairs],
    )


def _place(row: database.Record) -> Place:
    return ids.show(MEMBER_PREFIX, row["member_id"]), ids.show(PREFIX, row["program_id"])


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands; see the schema."""

    level: int
    kept: int
    kept_until: date | None
    grace: bool
    review_day: date | None
    program_version: int


_STANDINGS = """
SELECT member_id, program_id, level, kept, kept_until, grace, review_day, program_version
FROM unnest($1::UUID[], $2::UUID[]) AS wanted (member_id, program_id)
JOIN standings USING (member_id, program_id)
"""


async def find(db: database.Queryable, wanted: Iterable[Place]) -> dict[Place, Standing]:
    """Return where members stand; nothing for those never looked at."""
    places = list(wanted)
    rows = await db.fetch(_STANDINGS, *_columns(places)) if places else []
    return {
        _place(row): Standing(
            row["level"],
            row["kept"],
            row["kept_until"],
            row["grace"],
            row["review_day"],
            row["program_version"],
        )
        for row in rows
    }


_SAVE = """
INSERT INTO standings (
    member_id, program_id, level, kept, kept_until, grace, review_day, program_version
)
SELECT *
FROM unnest(
    $1::UUID[], $2::UUID[], $3::SMALLINT[], $4::SMALLINT[], $5::DATE[], $6::BOOLEAN[], $7::DATE[],
    $8::BIGINT[]
)
ON CONFLICT (member_id, program_id) DO UPDATE SET
    level = EXCLUDED.level,
    kept = EXCLUDED.kept,
    kept_until = EXCLUDED.kept_until,
    grace = EXCLUDED.grace,
    review_day = EXCLUDED.review_day,
    program_version = EXCLUDED.program_version
"""


async def save(tx: database.Queryable, new: Mapping[Place, Standing]) -> None:
    """Write where members stand."""
    if new:
        rows = list(new.values())
        await tx.execute(
            _SAVE,
            *_columns(new),
            [row.level for row in rows],
            [row.kept for row in rows],
            [row.kept_until for row in rows],
            [row.grace for row in rows],
            [row.review_day for row in rows],
            [row.program_version for row in rows],
        )


_DUE = """
SELECT member_id, program_id
FROM standings JOIN programs USING (program_id)
WHERE review_day <= $1 AND state = 'LIVE'
ORDER BY review_day
LIMIT $2
"""


async def due(db: database.Queryable, today: date, *, count_max: int) -> list[Place]:
    """Return whose level time alone may have changed, longest due first."""
    return [_place(row) for row in await db.fetch(_DUE, today, count_max)]


_OUTDATED = """
SELECT member_id, program_id
FROM unnest($1::UUID[], $2::BIGINT[]) AS terms (program_id, version)
JOIN standings USING (program_id)
WHERE program_version < version
LIMIT $3
"""


async def outdated(
    db: database.Queryable, versions: Mapping[str, int], *, count_max: int
) -> list[Place]:
    """Return whose standing in a program is by older terms than those of a version."""
    numbers = [ids.parse(PREFIX, program_id) for program_id in versions]
    rows = await db.fetch(_OUTDATED, numbers, list(versions.values()), count_max)
    return [_place(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Change:
    """A step from one level to another; the receipt is empty when time was the cause."""

    member_id: str
    program_id: str
    from_level: int
    to_level: int
    cause: str
    receipt_id: str
    change_time: datetime
    sequence: int = 0


_ADD_CHANGES = """
INSERT INTO tier_changes (
    member_id, program_id, from_level, to_level, cause, receipt_id, change_time
)
SELECT *
FROM unnest(
    $1::UUID[], $2::UUID[], $3::SMALLINT[], $4::SMALLINT[], $5::TEXT[], $6::UUID[],
    $7::TIMESTAMPTZ[]
)
"""


async def add_changes(tx: database.Queryable, changes: Sequence[Change]) -> None:
    """Write steps from level to level, in their order."""
    if changes:
        await tx.execute(
            _ADD_CHANGES,
            *_columns((change.member_id, change.program_id) for change in changes),
            [change.from_level for change in changes],
            [change.to_level for change in changes],
            [change.cause for change in changes],
            [
                ids.parse(keys.PREFIX, change.receipt_id) if change.receipt_id else None
                for change in changes
            ],
            [change.change_time for change in changes],
        )


_CHANGES = """
SELECT sequence, member_id, program_id, from_level, to_level, cause, receipt_id, change_time
FROM tier_changes
WHERE member_id = $1 AND ($2::BIGINT IS NULL OR sequence < $2)
ORDER BY sequence DESC
LIMIT $3
"""


async def changes(
    db: database.Queryable, member_id: str, *, before: int | None, count_max: int
) -> list[Change]:
    """Return a member's steps, newest first."""
    rows = await db.fetch(_CHANGES, ids.parse(MEMBER_PREFIX, member_id), before, count_max)
    return [
        Change(
            *_place(row),
            row["from_level"],
            row["to_level"],
            row["cause"],
            ids.show(keys.PREFIX, row["receipt_id"]) if row["receipt_id"] else "",
            row["change_time"],
            row["sequence"],
        )
        for row in rows
    ]
