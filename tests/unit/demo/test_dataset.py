"""The year moves by whole weeks and keeps its wall clock."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from tools.demo.dataset import LAST_DAY, Calendar


@pytest.mark.parametrize("today", [date(2026, 11, 22), date(2027, 1, 1), date(2028, 2, 29)])
def test_the_year_and_its_last_returns_are_over(today: date) -> None:
    """No receipt and no return lies in the future, and the year ended within the last ten days."""
    last = LAST_DAY + Calendar.ending_before(today).shift
    assert timedelta(days=3) <= today - last < timedelta(days=10)


def test_weekdays_and_hours_stay() -> None:
    """A Tuesday at five stays a Tuesday at five, on either side of a change of the clocks."""
    calendar = Calendar(weeks=463)
    instants = [datetime(2017, 3, 14, 21, 0, tzinfo=UTC), datetime(2017, 1, 17, 22, 0, tzinfo=UTC)]
    frame = pl.DataFrame({"at": [instant.replace(tzinfo=None) for instant in instants]})
    moved = frame.select(calendar.local(pl.col("at")))["at"].to_list()
    assert [(one.isoweekday(), one.hour) for one in moved] == [(2, 17), (2, 17)]


def test_an_hour_that_the_clocks_skip_is_the_hour_after_it() -> None:
    """Half past two on the night the clocks go forward becomes half past three."""
    frame = pl.DataFrame({"at": [datetime(2026, 3, 8, 2, 30)]})  # noqa: DTZ001  wall clock
    instant = frame.select(Calendar.instant(pl.col("at")))["at"][0]
    assert instant == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
