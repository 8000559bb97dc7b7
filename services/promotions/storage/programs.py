"""Programs, their versions and history."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from services.chassis import database, ids
from services.promotions.engine import programs
from services.promotions.storage.history import History

PREFIX = "prg"
#: What was done to programs, and by whom.
CHANGES = History("program", PREFIX)

LIVE = "LIVE"
ENDED = "ENDED"

CREATED = "CREATED"
UPDATED = "UPDATED"


@dataclass(frozen=True, slots=True)
class Version:
    """What a program promises from a day on; `rules` is a ProgramRules on the wire."""

    version: int
    rules: bytes
    start_day: date
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Program:
    """A row of `programs` with all its versions, oldest first; the first one holds from ever."""

    program_id: str
    state: str
    versions: tuple[Version, ...]
    create_time: datetime
    end_time: datetime | None
    key: str = ""

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        first = Version(1, row["rules"], date.min, row["create_time"])
        later = (row["versions"], row["later_rules"], row["start_days"], row["create_times"])
        return cls(
            program_id=ids.show(PREFIX, row["program_id"]),
            state=row["state"],
            versions=(first, *map(Version, *(column or () for column in later))),
            create_time=row["create_time"],
            end_time=row["end_time"],
            key=row["program_key"] or "",
        )

    @property
    def newest(self) -> Version:
        """The version that was written last."""
        return self.versions[-1]

    def at(self, day: date) -> Version:
        """Return the version that holds on a day."""
        return self.versions[programs.holding(self._starts, day)]

    def until(self, day: date) -> list[Version]:
        """Return the versions that have held up to a day, in the order of their days."""
        return [self.versions[place] for place in programs.ever_holding(self._starts, until=day)]

    def since(self, day: date) -> list[Version]:
        """Return the version that holds on a day, and those that will hold after it."""
        first = programs.holding(self._starts, day)
        return [
            self.versions[place] for place in programs.ever_holding(self._starts) if place >= first
        ]

    @property
    def _starts(self) -> list[date]:
        return [version.start_day for version in self.versions]


_LOCK = "SELECT pg_advisory_xact_lock(hashtext('promotions.programs'))"


async def lock_all(tx: database.Queryable) -> None:
    """Wait until nobody else changes programs, and keep it so until the transaction ends."""
    await tx.execute(_LOCK)


_HEAD = "SELECT coalesce(max(version), 0) FROM programs"


async def head(db: database.Queryable) -> int:
    """Return the version of the latest change; 0 before the first."""
    version: int = await db.fetchval(_HEAD)
    return version


# Versions after the first stand side by side in arrays: a program has few of them.
_SELECT = """
SELECT
    programs.program_id, state, programs.rules, programs.create_time, end_time, request,
    program_key,
    versions, later_rules, start_days, create_times
FROM programs
CROSS JOIN LATERAL (
    SELECT
        array_agg(version ORDER BY version) AS versions,
        array_agg(rules ORDER BY version) AS later_rules,
        array_agg(start_day ORDER BY version) AS start_days,
        array_agg(create_time ORDER BY version) AS create_times
    FROM program_revisions
    WHERE program_revisions.program_id = programs.program_id
) AS later
"""

_ADD = """
INSERT INTO programs
    (program_id, version, state, rules, create_time, request_id, request, program_key)
VALUES ($1, $2, 'LIVE', $3, $4, $5, $6, $7)
"""


async def add(
    tx: database.Queryable,
    program_id: str,
    *,
    version: int,
    rules: bytes,
    request_id: str,
    request: bytes,
    key: str,
    now: datetime,
) -> Program:
    """Write a live program; `version` is that of all programs."""
    number = ids.parse(PREFIX, program_id)
    await tx.execute(_ADD, number, version, rules, now, request_id, request, key or None)
    return Program(program_id, LIVE, (Version(1, rules, date.min, now),), now, None, key)


_ADD_VERSION = """
INSERT INTO program_revisions (program_id, version, rules, start_day, create_time)
VALUES ($1, $2, $3, $4, $5)
"""
_TOUCH = "UPDATE programs SET version = $2 WHERE program_id = $1"


async def add_version(
    tx: database.Queryable, program_id: str, new: Version, *, version: int
) -> None:
    """Write the next version of a program; `version` is that of all programs."""
    number = ids.parse(PREFIX, program_id)
    await tx.execute(_ADD_VERSION, number, new.version, new.rules, new.start_day, new.create_time)
    await tx.execute(_TOUCH, number, version)


_BY_REQUEST = f"{_SELECT} WHERE request_id = $1"


async def find_by_request(db: database.Queryable, request_id: str) -> tuple[Program, bytes] | None:
    """Return the program that a request made, and that request."""
    row = await db.fetchrow(_BY_REQUEST, request_id)
    return None if row is None else (Program.of(row), row["request"])


_END = """
UPDATE programs SET state = 'ENDED', version = $2, end_time = $3
WHERE program_id = $1 AND state = 'LIVE'
RETURNING program_id
"""


async def end(tx: database.Queryable, program_id: str, *, version: int, now: datetime) -> bool:
    """Take a program out for good; False for one that is not live and stays as it is."""
    ended = await tx.fetchval(_END, ids.parse(PREFIX, program_id), version, now)
    return ended is not None


_FIND = f"{_SELECT} WHERE programs.program_id = $1"


async def find(db: database.Queryable, program_id: str) -> Program | None:
    """Return a program, or None."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, program_id))
    return None if row is None else Program.of(row)


_LIVE = f"{_SELECT} WHERE state = 'LIVE' ORDER BY programs.program_id"


async def live(db: database.Queryable) -> list[Program]:
    """Return all live programs, oldest first."""
    return [Program.of(row) for row in await db.fetch(_LIVE)]


_EVERYTHING = f"{_SELECT} ORDER BY programs.program_id"


async def everything(db: database.Queryable) -> list[Program]:
    """Return all programs, oldest first: there are few of them."""
    return [Program.of(row) for row in await db.fetch(_EVERYTHING)]


_LIST = f"""
{_SELECT}
WHERE ($1::TEXT IS NULL OR state = $1) AND ($2::UUID IS NULL OR programs.program_id < $2)
ORDER BY programs.program_id DESC
LIMIT $3
"""


async def list_newest(
    db: database.Queryable, *, state: str | None, before: str | None, count_max: int
) -> list[Program]:
    """Return programs, newest first: their ids grow with time."""
    last = None if before is None else ids.parse(PREFIX, before)
    return [Program.of(row) for row in await db.fetch(_LIST, state, last, count_max)]
