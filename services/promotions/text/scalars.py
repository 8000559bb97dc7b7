"""Single values: numbers with their units, times, and words."""

import difflib
import re
from collections.abc import Iterable

from google.protobuf import timestamp_pb2

from services.promotions.text.problems import Unreadable
from services.promotions.text.words import Unit

_DECIMALS = {Unit.MONEY: 2, Unit.PERCENT: 2, Unit.QUANTITY: 3, Unit.FACTOR: 2, Unit.COUNT: 0}
_NUMBER = r"(?P<sign>-?)(?P<whole>\d{1,18})(?:\.(?P<part>\d{1,3}))?"
_FORMS = {
    Unit.MONEY: re.compile(rf"{_NUMBER} (?P<currency>[A-Z]{{3}})"),
    Unit.PERCENT: re.compile(rf"{_NUMBER} ?%"),
}
_PLAIN = re.compile(_NUMBER)
_EXAMPLES = {
    Unit.MONEY: "an amount like 12.50 {currency}",
    Unit.PERCENT: "a percentage like 12.5%",
    Unit.QUANTITY: "a number with at most three decimals",
    Unit.FACTOR: "a number with at most two decimals",
    Unit.COUNT: "a whole number",
}
_WINDOW = re.compile(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})")


def read_number(text: str, unit: Unit, currency: str) -> int:
    """Return a number in the contract's unit; raises Unreadable."""
    found = _FORMS.get(unit, _PLAIN).fullmatch(text)
    decimals = _DECIMALS[unit]
    if found is None or len(found["part"] or "") > decimals:
        raise Unreadable(f"must be {_EXAMPLES[unit].format(currency=currency)}, not {text}")
    if unit is Unit.MONEY and found["currency"] != currency:
        raise Unreadable(f"must be in {currency}, the currency of the file")
    digits = found["whole"] + (found["part"] or "").ljust(decimals, "0")
    return int(found["sign"] + digits)


def write_number(value: int, unit: Unit, currency: str) -> str:
    """Return a number as people write it."""
    sign, decimals = "-" if value < 0 else "", _DECIMALS[unit]
    digits = str(abs(value)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    if unit is Unit.MONEY:
        return f"{sign}{whole}.{part} {currency}"
    part = part.rstrip("0")
    text = f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
    return f"{text}%" if unit is Unit.PERCENT else text


def read_word(text: str, known: Iterable[str]) -> str:
    """Return a word that is known; raises Unreadable with the nearest one."""
    words = list(known)
    if text in words:
        return text
    near = difflib.get_close_matches(text, words, n=1)
    hint = f"perhaps {near[0]}" if near else f"known are {', '.join(words)}"
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


def read_window(text: str) -> tuple[int, int]:
    """Return the minutes of a part of the day; raises Unreadable."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise Unreadable(f"must be a part of the day like 18:00-20:00, not {text}")
    hour, minute, end_hour, end_minute = map(int, found.groups())
    return hour * 60 + minute, end_hour * 60 + end_minute


def write_window(start_minute: int, end_minute: int) -> str:
    """Return a part of the day."""
    return "-".join(f"{m // 60:02}:{m % 60:02}" for m in (start_minute, end_minute))
