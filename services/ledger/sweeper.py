"""Upkeep in the background: books what has expired, and folds the tallies of the world."""

import asyncio
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.chassis import clock, database, errors
from services.ledger.committer import Committer
from services.ledger.storage import Upkeep

SWEPT = Counter("ledger_accounts_swept", "Accounts whose due expiries were booked")

_ACCOUNTS_MAX = 200
_TALLIES_MIN = 1000
_RETRY_S = 1.0
_NOBODY = UUID(int=0)

log = structlog.get_logger()


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
        while True:
            try:
                async with self._source.sole("ledger upkeep") as session:
                    while True:
                        await self.sweep(session)
                        await self._upkeep.fold_tallies(session, rows_min=_TALLIES_MIN)
                        await asyncio.sleep(self._interval_s)
            except errors.Refusal as refusal:
                log.warning("upkeep waits", error=refusal.message)
            await asyncio.sleep(_RETRY_S)

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
