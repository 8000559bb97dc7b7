"""Levels that time takes away, though nobody asks for them."""

from services.chassis import database, tasks
from services.promotions.programs.counting import Counting

_ROWS_MAX = 100


class Reviews:
    """Reviews members on the day on which their level may change; of all processes one does."""

    def __init__(self, db: database.Database, counting: Counting, *, interval_s: float) -> None:
        self._db = db
        self._counting = counting
        self._interval_s = interval_s

    async def run(self) -> None:
        """Review until cancelled."""
        await tasks.alone(
            self._db, "promotions.reviews", lambda _: self.sweep(), interval_s=self._interval_s
        )

    async def sweep(self) -> None:
        """Review everybody who is due, and move referrals on."""
        for work in (self._counting.review_due, self._counting.follow_due):
            while await work(count_max=_ROWS_MAX) == _ROWS_MAX:
                pass
