"""Keyed hashes of several texts at once."""

import hmac


def mac(key: bytes, *parts: str) -> bytes:
    """Return HMAC-SHA-256 over the parts, each with its length, so that none runs into the next."""
    encoded = [part.encode() for part in parts]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
    return hmac.digest(key, message, "sha256")
