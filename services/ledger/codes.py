"""Secret codes: drawn from one key, kept as keyed hashes.

A code follows from the key, what it is issued with and its number, so the same request shows the
same codes again although nobody stored them; without the key they are random. What is stored is the
id: a hash of the code under another key, of no use to somebody who has the database alone.
"""

import base64
import binascii
import hmac
from enum import Enum
from pathlib import Path
from uuid import UUID

from services.chassis import config, macs
from services.ledger.engine import codes

_KEY_BYTES = 32
_VARIANT = 0b10 << 62


class Kind(Enum):
    """What a code opens, and how long it is: one of 2^74 gift cards and 2^54 coupons."""

    GIFT_CARD = "gift card", 16
    COUPON = "coupon", 12

    @property
    def length(self) -> int:
        """How many characters a code has, the check included."""
        return self.value[1]


class Codes:
    """Draws and recognises codes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError("the code key must be 32 bytes")
        self._drawing = _derive(key, "drawing")
        self._identity = _derive(key, "identity")
        self.check_value = _derive(key, "check value")

    def draw(self, kind: Kind, issue: str, number: int) -> str:
        """Return the code with a number of an issue, normalised."""
        digest = macs.mac(self._drawing, kind.name, issue, str(number))
        return codes.written(int.from_bytes(digest, "big"), length=kind.length)

    def identify(self, kind: Kind, code: str) -> UUID:
        """Return the id behind a normalised code, a UUIDv8, whether or not it was ever issued."""
        bits = int.from_bytes(macs.mac(self._identity, kind.name, code)[:16], "big")
        bits &= ~(0xF << 76 | 0b11 << 62)
        return UUID(int=bits | 8 << 76 | _VARIANT)


def load(path: Path) -> list[Codes]:
    """Return the codes behind a key file, one key a line, the newest first. Raises ConfigError."""
    lines = config.secret(path).split()
    try:
        keys = [Codes(base64.b64decode(line, validate=True)) for line in lines]
    except (binascii.Error, ValueError):
        keys = []
    if not keys or len(set(lines)) < len(lines):
        raise config.ConfigError(
            f"ledger.code_key_file {path} must hold 32 bytes as 44 base64 characters in each line, "
            "and none twice."
        )
    return keys


def _derive(key: bytes, purpose: str) -> bytes:
    """Return the key of one purpose (HMAC-SHA-256 as the expansion of RFC 5869)."""
    return hmac.digest(key, f"tessera ledger codes {purpose}\x01".encode(), "sha256")
