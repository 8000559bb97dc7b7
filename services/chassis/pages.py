"""Page tokens: where a list goes on, of use for that very list alone.

A token is a mark over the list's name and the position, and the position in plain: it is no secret.
Nor is the mark, which finds mistakes; so what a position says is checked each time that it is read.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from services.chassis import errors, ids

#: What stands in a position: the columns by which a list is ordered.
Part = int | str | UUID | datetime
T = TypeVar("T")

#: No text that PostgreSQL keeps has it.
_SEPARATOR = "\0"
_MARK_SIZE = 8
_NUMBER_MAX = 2**63 - 1
_SMALL_NUMBER_MAX = 2**31 - 1
_DIGITS_MAX = len(str(_NUMBER_MAX))


class Pages:
    """The page tokens of a service; `invalid` is how it refuses those that are not its own."""

    def __init__(self, invalid: type[errors.Refusal]) -> None:
        self._invalid = invalid

    def token(self, list_name: str, *position: Part) -> str:
        """Return the token of a position in a list.

        `list_name` tells what is listed and how it is filtered.
        """
        written = _SEPARATOR.join(map(_write, position)).encode()
        return base64.urlsafe_b64encode(_mark(list_name, written) + written).rstrip(b"=").decode()

    def position(self, list_name: str, token: str, read: Callable[[Sequence[str]], T]) -> T | None:
        """Return where a list goes on, as `read` understands its parts; None for its beginning.

        Raises the service's refusal for a token of another list, a damaged one, one of no list, and
        one whose parts `read` meets with a ValueError.
        """
        if not token:
            return None
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            mark, written = data[:_MARK_SIZE], data[_MARK_SIZE:]
            if mark != _mark(list_name, written):
                raise self._invalid
            return read(written.decode().split(_SEPARATOR))
        except (binascii.Error, ValueError, OverflowError):
            raise self._invalid from None


def text(parts: Sequence[str]) -> str:
    """Read a position that is one text. Raises ValueError."""
    (found,) = parts
    return found


def number(parts: Sequence[str], *, maximum: int = _NUMBER_MAX) -> int:
    """Read a position that is one number from 0 to `maximum`. Raises ValueError."""
    (digits,) = parts
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise ValueError("not a number")
    found = int(digits)
    if found > maximum:
        raise ValueError("too high a number")
    return found


def small_number(parts: Sequence[str]) -> int:
    """Read a position that is one number of an INTEGER column. Raises ValueError."""
    return number(parts, maximum=_SMALL_NUMBER_MAX)


def moment(part: str) -> datetime:
    """Read a part that is a time with a zone. Raises ValueError and OverflowError."""
    found = datetime.fromisoformat(part)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found.astimezone(UTC)


def identifier(prefix: str) -> Callable[[Sequence[str]], str]:
    """Return how a position is read that is one identifier with this prefix."""

    def read(parts: Sequence[str]) -> str:
        (found,) = parts
        return ids.show(prefix, ids.parse(prefix, found))

    return read


def _write(part: Part) -> str:
    return part.isoformat() if isinstance(part, datetime) else str(part)


def _mark(list_name: str, written: bytes) -> bytes:
    message = list_name.encode() + b"\0" + written
    return hashlib.blake2b(message, digest_size=_MARK_SIZE, person=b"page").digest()
