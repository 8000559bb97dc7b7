"""Page tokens: where a list goes on, and which list it is."""

import base64
import binascii

from services.promotions import errors

_PAGE_SIZE = 100


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
