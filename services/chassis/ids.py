"""Identifiers: UUIDs on the inside, a type prefix and 32 hexadecimal digits on the wire."""

import hashlib
import os
import re
import time
from uuid import UUID

from asyncpg.pgproto import pgproto

_DIGITS = re.compile(r"[0-9a-f]{32}")
_VARIANT = 0b10 << 62


def uuid7() -> UUID:
    """Return a fresh UUIDv7 whose order follows the time at which it was made.

    The 12 bits after the millisecond hold its fraction (RFC 9562, section 6.2, method 3); 62 bits
    are random.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return from_int(milliseconds << 80 | 7 << 76 | fraction << 64 | _VARIANT | random)


def from_int(bits: int) -> UUID:
    """Return the UUID of a number of 128 bits, as the database driver makes them.

    Those equal the standard library's and are ten times cheaper to make, to hash and to show.
    """
    return pgproto.UUID(bits.to_bytes(16, "big"))


def new(prefix: str) -> str:
    """Return a fresh identifier, for example `mem_0198…`."""
    return show(prefix, uuid7())


def show(prefix: str, value: UUID) -> str:
    """Return the wire form of an identifier."""
    return f"{prefix}_{value.hex}"


def parse(prefix: str, text: str) -> UUID:
    """Return the UUID inside a wire identifier.

    Raises ValueError when the prefix is another one or what follows is not 32 lower-case digits.
    """
    head, separator, digits = text.partition("_")
    if head != prefix or not separator or _DIGITS.fullmatch(digits) is None:
        raise ValueError(f"{text!r} is not an identifier of the form {prefix}_ and 32 hex digits")
    return pgproto.UUID(digits)


def derive(prefix: str, *parts: str) -> str:
    """Return the identifier that these parts always lead to (a UUIDv8 of their SHA-256).

    Every part is hashed with its length, so no two lists of parts run together.
    """
    digest = hashlib.sha256(prefix.encode())
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    bits = int.from_bytes(digest.digest()[:16], "big")
    bits &= ~(0xF << 76 | 0b11 << 62)
    return show(prefix, from_int(bits | 8 << 76 | _VARIANT))
