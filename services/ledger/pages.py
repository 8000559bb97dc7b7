"""Page tokens: where a list goes on, of use for that very list alone."""

import base64
import binascii
import hashlib

from services.ledger import errors

_MARK_SIZE = 8


def token(list_name: str, position: bytes) -> str:
    """Return the token of a position; `list_name` tells what is listed and how it is filtered."""
    return base64.urlsafe_b64encode(_mark(list_name, position) + position).rstrip(b"=").decode()


def position(list_name: str, token: str) -> bytes | None:
    """Return where a list goes on, None for its beginning.

    Raises PageTokenInvalid for a token of another list, a damaged one, or none of ours.
    """
    if not token:
        return None
    try:
        data = base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise errors.PageTokenInvalid from None
    mark, found = data[:_MARK_SIZE], data[_MARK_SIZE:]
    if mark != _mark(list_name, found):
        raise errors.PageTokenInvalid
    return found


def _mark(list_name: str, position: bytes) -> bytes:
    text = list_name.encode() + b"\0" + position
    return hashlib.blake2b(text, digest_size=_MARK_SIZE, person=b"page").digest()
