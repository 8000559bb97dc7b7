"""What people did to campaigns and programs: each has its table, all of one form."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis import database, ids


@dataclass(frozen=True, slots=True)
class Change:
    """A row of such a table."""

    change_id: int
    action: str
    version: int
    actor_id: str
    comment: str
    change_time: datetime


class History:
    """The table `<noun>_changes`, whose rows belong to the identifiers with a prefix."""

    def __init__(self, noun: str, prefix: str) -> None:
        self._prefix = prefix
        self._insert = f"""
            INSERT INTO {noun}_changes
                ({noun}_id, action, version, actor_id, comment, change_time)
            VALUES ($1, $2, $3, $4, $5, $6)
            """  # noqa: S608  constants only
        self._select = f"""
            SELECT change_id, action, version, actor_id, comment, change_time
            FROM {noun}_changes
            WHERE {noun}_id = $1 AND ($2::BIGINT IS NULL OR change_id < $2)
            ORDER BY change_id DESC
            LIMIT $3
            """  # noqa: S608  constants only

    async def note(
        self,
        tx: database.Queryable,
        identifier: str,
        action: str,
        *,
        version: int,
        actor_id: str,
        comment: str,
        now: datetime,
    ) -> None:
        """Keep what was done, at the version that it was done to."""
        number = ids.parse(self._prefix, identifier)
        await tx.execute(self._insert, number, action, version, actor_id, comment, now)

    async def newest(
        self, db: database.Queryable, identifier: str, *, before: int | None, count_max: int
    ) -> list[Change]:
        """Return what was done, newest first; what follows a change when `before` is its id."""
        number = ids.parse(self._prefix, identifier)
        rows = await db.fetch(self._select, number, before, count_max)
        return [Change(**row) for row in rows]
