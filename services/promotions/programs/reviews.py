"""Levels that time takes away, though nobody asks for them."""

import asyncio

import structlog

from services.chassis import database
from services.chassis import errors as chassis_errors
from services.promotions.programs.counting import Counting

_ROWS_MAX = 100
_RETRY_S = 1.0

log = structlog.get_logger()


class Reviews:
    """Reviews members on the day on which their level may change; of all processes one does."""

    def __init__(self, db: database.Database, counting: Counting, *, interval_s: float) -> None:
        self._db = db
        self._counting = counting
        self._interval_s = interval_s

    async def run(self) -> None:
        """Review until cancelled."""
        while True:
            try:
                async with self._db.sole("promotions.reviews") as session:
                    while True:
                        await session.fetchval("SELECT 1")  # still the only one?
                        await self.sweep()
                        await asyncio.sleep(self._interval_s)
            except chassis_errors.Refusal as error:
                log.warning("reviews wait", error=str(error))
            await asyncio.sleep(_RETRY_S)

    async def sweep(self) -> None:
        """Review everybody who is due, and move referrals on."""
        for work in (self._counting.review_due, self._counting.follow_due):
            while await work(count_max=_ROWS_MAX) == _ROWS_MAX:
                pass
