"""Upkeep in the background: books what has expired, and folds the tallies of the world."""

from datetime import datetime
from uuid import UUID

from prometheus_client import Counter

from services.chassis import clock, database, tasks
from services.ledger.committer import Committer
from services.ledger.storage import Upkeep

SWEPT = Counter("ledger_accounts_swept", "Accounts whose due expiries were booked")

_ACCOUNTS_MAX = 200
_TALLIES_MIN = 1000
_NOBODY = UUID(int=0)


class Sweeper:
    """Does the upkeep of the database, of all processes one at a time."""

    def __init__(
        self,
        source: database.Database,
        upkeep: Upkeep,
        committer: Committer,
        *,
        interval_s: float,
        now: clock.Clock = clock.system,
    ) -> None:
        self._source = source
        self._upkeep = upkeep
        self._committer = committer
        self._interval_s = interval_s
        self._now = now

    async def run(self) -> None:
        """Sweep again and again until cancelled; outages are waited out."""
        await tasks.alone(self._source, "ledger upkeep", self._work, interval_s=self._interval_s)

    async def _work(self, session: database.Queryable) -> None:
        await self.sweep(session)
        await self._upkeep.fold_tallies(session, rows_min=_TALLIES_MIN)

    async def sweep(self, session: database.Queryable) -> int:
        """Book everything that has expired by now; return how many accounts had something."""
        until = self._now()
        since = await self._upkeep.swept_until(session)
        count = 0
        after: UUID | None = _NOBODY
        while after is not None:
            after, swept = await self._sweep_some(session, since, until, after)
            count += swept
        await self._upkeep.note_sweep(session, until)
        return count

    async def _sweep_some(
        self, session: database.Queryable, since: datetime | None, until: datetime, after: UUID
    ) -> tuple[UUID | None, int]:
        due = await self._upkeep.due(
            session, since=since, until=until, after=after, limit=_ACCOUNTS_MAX
        )
        if not due:
            return None, 0
        await self._committer.sweep(due)
        SWEPT.inc(len(due))
        return due[-1].id, len(due)
