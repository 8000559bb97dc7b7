"""Days between which programs may lie."""

from collections.abc import Mapping
from datetime import date

from services.promotions.engine.set_problems import Problem

_FIRST = date(2000, 1, 1)
_LAST = date(2199, 12, 31)


def find_day_problems(days: Mapping[str, date | None]) -> list[Problem]:
    """Return what is wrong with each named day on its own; None is a day that is not set."""
    return [
        Problem(name, "must lie between the years 2000 and 2199")
        for name, day in days.items()
        if day is not None and not _FIRST <= day <= _LAST
    ]
