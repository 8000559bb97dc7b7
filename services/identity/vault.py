"""Secrecy: what is encrypted, hashed and signed, and with which of the keys behind one master key.

Every member has a data key of its own, kept wrapped; forgetting the wrapped key forgets the person,
in backups too. Equal phones and addresses are found through keyed hashes, which tell nothing to
somebody who has the database without the master key.
"""

import base64
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis import macs

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"\x01"  # the first byte of everything sealed: AES-256-GCM, nonce, ciphertext with tag


class VaultError(Exception):
    """What was sealed cannot be opened: it was changed, moved, or sealed with another key."""


class Box:
    """One AES-256-GCM key. A sealed text opens only with the label that it was sealed with."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, *, label: bytes) -> bytes:
        """Return the ciphertext under a fresh random nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, label)

    def open(self, sealed: bytes, *, label: bytes) -> bytes:
        """Return what was sealed. Raises VaultError."""
        if sealed[:1] != _FORMAT:
            raise VaultError("unknown format")
        start = len(_FORMAT) + _NONCE_BYTES
        try:
            return self._cipher.decrypt(sealed[len(_FORMAT) : start], sealed[start:], label)
        except (InvalidTag, ValueError):
            raise VaultError("not sealed with this key and label") from None


class PersonBox:
    """The data key of one member; labels bind each ciphertext to the member and the field."""

    def __init__(self, member_id: UUID, key: bytes) -> None:
        self.member_id = member_id
        self._member = member_id.bytes
        self._box = Box(key)

    def seal(self, field: str, text: str) -> bytes | None:
        """Return the ciphertext of a field; None for an empty one."""
        return self.seal_bytes(field, text.encode()) if text else None

    def open(self, field: str, sealed: bytes | None) -> str:
        """Return a field's text; empty for None. Raises VaultError."""
        return "" if sealed is None else self.open_bytes(field, sealed).decode()

    def seal_bytes(self, field: str, plain: bytes) -> bytes:
        """Return the ciphertext of bytes."""
        return self._box.seal(plain, label=self._member + field.encode())

    def open_bytes(self, field: str, sealed: bytes) -> bytes:
        """Return the bytes that were sealed. Raises VaultError."""
        return self._box.open(sealed, label=self._member + field.encode())


@dataclass(frozen=True, slots=True)
class NewPerson:
    """The box of a member about to be added, and its key as it is kept."""

    box: PersonBox
    wrapped_key: bytes


class Vault:
    """The keys derived from the master key (HKDF-SHA-256), each for one purpose."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != _KEY_BYTES:
            raise ValueError("the master key must be 32 bytes")
        self._wrapping = Box(_derive(master_key, "member keys"))
        self._signing = Box(_derive(master_key, "signing keys"))
        self._index = _derive(master_key, "blind index")
        self._fingerprint = _derive(master_key, "request fingerprints")
        self._secret = _derive(master_key, "client secrets")
        self.check_value = _derive(master_key, "check value")

    def create_person(self, member_id: UUID) -> NewPerson:
        """Return a box for a new member, under a fresh key."""
        key = AESGCM.generate_key(bit_length=8 * _KEY_BYTES)
        wrapped_key = self._wrapping.seal(key, label=member_id.bytes)
        return NewPerson(PersonBox(member_id, key), wrapped_key)

    def open_person(self, member_id: UUID, wrapped_key: bytes) -> PersonBox:
        """Return a member's box. Raises VaultError."""
        return PersonBox(member_id, self._wrapping.open(wrapped_key, label=member_id.bytes))

    def index(self, kind: str, lookup: str) -> bytes:
        """Return the blind index of a contact: 32 bytes, equal for equal contacts."""
        return macs.mac(self._index, kind, lookup)

    def fingerprint(self, field: str, text: str) -> str:
        """Return what tells one value of a request's field from another, as 32 hex digits."""
        return macs.mac(self._fingerprint, field, text).hex()[:32]

    def hash_secret(self, client_id: str, secret: str) -> bytes:
        """Return what is kept of a client's secret.

        Secrets are 256 random bits: nothing can be guessed, so a slow hash would protect nothing.
        """
        return macs.mac(self._secret, client_id, secret)

    def seal_signing_key(self, key_id: str, private_key: bytes) -> bytes:
        """Return the ciphertext of a private signing key."""
        return self._signing.seal(private_key, label=key_id.encode())

    def open_signing_key(self, key_id: str, sealed: bytes) -> bytes:
        """Return a private signing key. Raises VaultError."""
        return self._signing.open(sealed, label=key_id.encode())


def read_master_key(text: str) -> bytes:
    """Return the key written as 44 base64 characters. Raises ValueError for anything else."""
    key = base64.b64decode(text, validate=True)
    if len(key) != _KEY_BYTES:
        raise ValueError("not 32 bytes")
    return key


def _derive(master_key: bytes, purpose: str) -> bytes:
    info = f"tessera identity {purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(
        master_key
    )
