"""Signing keys: dates and public halves in the clear, private halves encrypted."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.chassis import database
from services.identity import vault
from services.identity.engine import keys

_LOCK = "SELECT pg_advisory_xact_lock($1)"
_LOCK_KEY = database.lock_key("identity signing keys")
_LIVE = """
SELECT key_id, public_jwk, private_key_ciphertext, publish_time, sign_time
FROM signing_keys
WHERE retire_time IS NULL
ORDER BY sign_time
"""
_INSERT = """
INSERT INTO signing_keys
    (key_id, algorithm, public_jwk, private_key_ciphertext, publish_time, sign_time)
VALUES ($1, 'ES256', $2, $3, $4, $5)
"""
_RETIRE = """
UPDATE signing_keys SET private_key_ciphertext = NULL, retire_time = $2
WHERE key_id = ANY($1) AND retire_time IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key with its dates and its public half as a JWK; `private_key` is the whole JWK as JSON."""

    dates: keys.Dates
    public_jwk: dict[str, Any]
    private_key: bytes


class SigningKeyTransaction:
    """Changes to the keys by one process at a time."""

    def __init__(self, tx: database.Transaction, box: vault.Vault) -> None:
        self._tx = tx
        self._vault = box

    async def load(self) -> list[SigningKey]:
        """Return the keys that are not retired, the first to sign first."""
        return await _load(self._tx, self._vault)

    async def insert(self, key: SigningKey) -> None:
        """Add a key."""
        await self._tx.execute(
            _INSERT,
            key.dates.key_id,
            json.dumps(key.public_jwk),
            self._vault.seal_signing_key(key.dates.key_id, key.private_key),
            key.dates.publish_time,
            key.dates.sign_time,
        )

    async def retire(self, key_ids: Sequence[str], *, now: datetime) -> None:
        """Erase the private halves of keys that nobody needs any more."""
        await self._tx.execute(_RETIRE, list(key_ids), now)


class SigningKeyStorage:
    """The keys that sign tokens."""

    def __init__(self, db: database.Database, box: vault.Vault) -> None:
        self._db = db
        self._vault = box

    async def load(self) -> list[SigningKey]:
        """Return the keys that are not retired, the first to sign first."""
        return await _load(self._db, self._vault)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[SigningKeyTransaction]:
        """Open a transaction that no other identity process is in at the same time."""
        async with self._db.transaction() as tx:
            await tx.execute(_LOCK, _LOCK_KEY)
            yield SigningKeyTransaction(tx, self._vault)


async def _load(source: database.Queryable, box: vault.Vault) -> list[SigningKey]:
    return [
        SigningKey(
            dates=keys.Dates(
                key_id=row["key_id"],
                publish_time=row["publish_time"],
                sign_time=row["sign_time"],
            ),
            public_jwk=json.loads(row["public_jwk"]),
            private_key=box.open_signing_key(row["key_id"], row["private_key_ciphertext"]),
        )
        for row in await source.fetch(_LIVE)
    ]
