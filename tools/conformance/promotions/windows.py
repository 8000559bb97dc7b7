"""Windows of time: days of the week and hours of the day, in the store's own time."""

import re
from dataclasses import dataclass

from services.promotions import engine
from tools.conformance.promotions.words import Unsupported, Words, read_names

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_ZONES = frozenset({"", "store", "local", "UTC"})
_DAY_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class Window:
    """Weekdays from 1 (Monday) on, and parts of the day; nothing means all."""

    weekdays: frozenset[int]
    hours: tuple[engine.HourWindow, ...]


def read(words: Words) -> Window:
    """Return a window; stores live in UTC here."""
    if words.text("tz", "zone") not in _ZONES:
        raise Unsupported("hours in another zone than the store's")
    days = read_names(words.take("days", "weekdays", "values", default=[]), f"{words.where}.days")
    start, end = (_read_minute(words, name) for name in ("from", "to"))
    hours: tuple[engine.HourWindow, ...] = ()
    if start is not None or end is not None:
        hours = (engine.HourWindow(start or 0, _DAY_MINUTES if end is None else end),)
    return Window(frozenset(_read_day(day) for day in days), hours)


def _read_day(day: str) -> int:
    short = day[:2].upper()
    if short not in _DAYS:
        raise Unsupported(f"a day like {day}")
    return _DAYS.index(short) + 1


def _read_minute(words: Words, name: str) -> int | None:
    text = words.text(name)
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::00)?", text)
    if found is None or int(found[1]) > 24 or int(found[2]) > 59:
        raise Unsupported(f"{words.where}.{name} that is no time of day")
    return int(found[1]) * 60 + int(found[2])
