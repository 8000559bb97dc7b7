"""Pages of lists: how long they are, and where they go on."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.chassis import ids
from services.chassis.pages import Pages, identifier, moment, number, text
from services.promotions import errors

__all__ = [
    "BEGINNING",
    "count",
    "identifier",
    "number",
    "position",
    "receipt",
    "subscription",
    "text",
    "token",
]

_LISTS = Pages(errors.PageTokenInvalid)
token = _LISTS.token
position = _LISTS.position

#: Before everything that a list may hold.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_PAGE_SIZE = 100


def count(page_size: int) -> int:
    """Return how many entries a page has; 0 leaves it to us."""
    return page_size or _PAGE_SIZE


def receipt(parts: Sequence[str]) -> tuple[datetime, str]:
    """Read where a receipt stands in a list by time. Raises ValueError."""
    return _timed("rcp", parts)


def subscription(parts: Sequence[str]) -> tuple[datetime, str]:
    """Read where a subscription stands in a list by time. Raises ValueError."""
    return _timed("sub", parts)


def _timed(prefix: str, parts: Sequence[str]) -> tuple[datetime, str]:
    time, name = parts
    return moment(time), ids.show(prefix, ids.parse(prefix, name))
