"""Calendar periods: months, quarters, years, and the days on which they begin."""

import enum
from datetime import date, datetime, tzinfo

_MONTHS = 12


class PeriodUnit(enum.IntEnum):
    """The length of a calendar period; the value is the contract's number."""

    MONTH = 1
    QUARTER = 2
    YEAR = 3


_LENGTHS = {PeriodUnit.MONTH: 1, PeriodUnit.QUARTER: 3, PeriodUnit.YEAR: 12}


def day_of(moment: datetime, zone: tzinfo) -> date:
    """Return the day that a moment falls on in a zone."""
    return moment.astimezone(zone).date()


def period_of(day: date, unit: PeriodUnit, *, shift: int = 0) -> tuple[date, date]:
    """Return the first day of the period of a day, and of the one after it.

    `shift` moves by so many periods, back when negative.
    """
    length = _LENGTHS[unit]
    start = (day.year * _MONTHS + day.month - 1) // length * length + shift * length
    return _first(start), _first(start + length)


def _first(months: int) -> date:
    return date(months // _MONTHS, months % _MONTHS + 1, 1)
