"""Single values: numbers with their units, times, and words."""

import difflib
import re
from collections.abc import Iterable
from datetime import date

from google.protobuf import timestamp_pb2
from google.type import date_pb2

from services.promotions.engine import currencies
from services.promotions.text.problems import Unreadable
from services.promotions.text.words import Unit

_DECIMALS = {Unit.PERCENT: 2, Unit.QUANTITY: 3, Unit.FACTOR: 2, Unit.COUNT: 0}
_NUMBER = r"(?P<sign>-?)(?P<whole>\d{1,18})(?:\.(?P<part>\d{1,3}))?"
_FORMS = {
    Unit.MONEY: re.compile(rf"{_NUMBER} (?P<currency>[A-Z]{{3}})"),
    Unit.PERCENT: re.compile(rf"{_NUMBER} ?%"),
}
_PLAIN = re.compile(_NUMBER)
_EXAMPLES = {
    Unit.PERCENT: "a percentage like 12.5%",
    Unit.QUANTITY: "a number with at most three decimals",
    Unit.FACTOR: "a number with at most two decimals",
    Unit.COUNT: "a whole number",
}
_HOUR = 60
_DAY = 24 * _HOUR
_WINDOW = re.compile(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})")


def read_number(text: str, unit: Unit, currency: str) -> int:
    """Return a number in the contract's unit; raises Unreadable."""
    found = _FORMS.get(unit, _PLAIN).fullmatch(text)
    if unit is Unit.MONEY and found is not None and found["currency"] != currency:
        raise Unreadable(f"must be in {currency}, the currency of the file")
    decimals = _decimals_of(unit, currency)
    if found is None or len(found["part"] or "") > decimals:
        raise Unreadable(f"must be {_example(unit, currency)}, not {text}")
    digits = found["whole"] + (found["part"] or "").ljust(decimals, "0")
    return int(found["sign"] + digits)


def write_number(value: int, unit: Unit, currency: str) -> str:
    """Return a number as people write it."""
    sign, decimals = "-" if value < 0 else "", _decimals_of(unit, currency)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    if unit is Unit.MONEY:
        return f"{sign}{whole}{part and '.'}{part} {currency}"
    part = part.rstrip("0")
    text = f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
    return f"{text}%" if unit is Unit.PERCENT else text


def _decimals_of(unit: Unit, currency: str) -> int:
    return currencies.decimals_of(currency) if unit is Unit.MONEY else _DECIMALS[unit]


def _example(unit: Unit, currency: str) -> str:
    if unit is Unit.MONEY:
        return f"an amount like {write_number(1_250, unit, currency)}"
    return _EXAMPLES[unit]


def read_word(text: str, known: Iterable[str]) -> str:
    """Return a word that is known; raises Unreadable with the nearest one."""
    words = list(known)
    if text in words:
        return text
    near = difflib.get_close_matches(text, words, n=1)
    shown = ", ".join(one for one in words if one != "unspecified")
    hint = f"perhaps {near[0]}" if near else f"known are {shown}"
    raise Unreadable(f"{text} is not known; {hint}")


def read_time(text: str) -> timestamp_pb2.Timestamp:
    """Return an instant; raises Unreadable."""
    stamp = timestamp_pb2.Timestamp()
    try:
        stamp.FromJsonString(text.replace(" ", "T"))
    except ValueError:
        raise Unreadable(
            f"must be a time with its zone like 2026-03-01T00:00:00+03:00, not {text}"
        ) from None
    return stamp


def read_date(text: str) -> date_pb2.Date:
    """Return a day; raises Unreadable."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"must be a day like 2026-03-01, not {text}") from None
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def write_date(day: date_pb2.Date) -> str | None:
    """Return a day, None for what is none."""
    try:
        return date(day.year, day.month, day.day).isoformat()
    except ValueError:
        return None


def read_window(text: str) -> tuple[int, int]:
    """Return the minutes of a part of the day; raises Unreadable."""
    found = _WINDOW.fullmatch(text)
    hour, minute, end_hour, end_minute = map(int, found.groups() if found else (24, 0, 0, 0))
    start, end = hour * _HOUR + minute, end_hour * _HOUR + end_minute
    if not is_window(start, end) or max(minute, end_minute) >= _HOUR:
        raise Unreadable(f"must be a part of the day like 18:00-20:00, not {text}")
    return start, end


def is_window(start_minute: int, end_minute: int) -> bool:
    """Tell whether minutes are a part of the day."""
    return 0 <= start_minute < _DAY and 0 <= end_minute <= _DAY and start_minute != end_minute


def write_window(start_minute: int, end_minute: int) -> str:
    """Return a part of the day."""
    return "-".join(f"{m // _HOUR:02}:{m % _HOUR:02}" for m in (start_minute, end_minute))
