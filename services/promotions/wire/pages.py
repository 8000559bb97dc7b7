"""Page tokens: where a list goes on, and which list it is."""

import base64
import binascii
from datetime import UTC, datetime, timedelta

from services.chassis import ids
from services.promotions import errors

#: Before everything that a list may hold.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_PAGE_SIZE = 100
_MICROSECOND = timedelta(microseconds=1)
_DIGITS_MAX = 18


def count(page_size: int) -> int:
    """Return how many entries a page has; 0 leaves it to us."""
    return page_size or _PAGE_SIZE


def write(kind: str, last: str) -> str:
    """Return the token for what follows `last` in a list."""
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode()


def read(kind: str, token: str) -> str:
    """Return the entry after which a page starts, empty for the first page.

    Raises PageTokenInvalid for tokens of other lists.
    """
    if not token:
        return ""
    try:
        found, _, last = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (binascii.Error, ValueError):
        raise errors.PageTokenInvalid from None
    if found != kind or not last or write(kind, last) != token:
        raise errors.PageTokenInvalid
    return last


def place(moment: datetime, receipt_id: str) -> str:
    """Return where a receipt stands in a list by time, for a token."""
    return f"{(moment - BEGINNING) // _MICROSECOND}:{receipt_id}"


def parse_place(text: str) -> tuple[datetime, str] | None:
    """Return the moment and the receipt of a place, None for none; raises PageTokenInvalid."""
    if not text:
        return None
    microseconds, _, receipt_id = text.partition(":")
    try:
        ids.parse("rcp", receipt_id)
        return BEGINNING + int(microseconds) * _MICROSECOND, receipt_id
    except (ValueError, OverflowError):
        raise errors.PageTokenInvalid from None


def read_id(kind: str, prefix: str, token: str) -> str | None:
    """Return the id after which a page starts, None for the first page; raises PageTokenInvalid."""
    last = read(kind, token)
    try:
        return ids.show(prefix, ids.parse(prefix, last)) if last else None
    except ValueError:
        raise errors.PageTokenInvalid from None


def read_number(kind: str, token: str) -> int | None:
    """Return the number after which a page starts, None for the first page.

    Raises PageTokenInvalid for what is no number of ours.
    """
    last = read(kind, token)
    if not last:
        return None
    if not (last.isascii() and last.isdigit() and len(last) <= _DIGITS_MAX):
        raise errors.PageTokenInvalid
    return int(last)
