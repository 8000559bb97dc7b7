"""Programs and the hashes of their secrets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from services.chassis import database
from services.identity.engine import clients
from services.identity.storage import audit

_CREDENTIAL = """
SELECT
    client_id, display_name, scopes, store_ids, state, create_time,
    ARRAY(
        SELECT secret_hash FROM client_secrets AS secret
        WHERE secret.client_id = clients.client_id
            AND (secret.expire_time IS NULL OR secret.expire_time > $2)
    ) AS secret_hashes
FROM clients
WHERE client_id = $1
"""
_LIST = """
SELECT client_id, display_name, scopes, store_ids, state, create_time
FROM clients
WHERE client_id > $1
ORDER BY client_id
LIMIT $2
"""


class ClientStorage:
    """What identity knows of programs."""

    def __init__(self, db: database.Database) -> None:
        self._db = db

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["ClientTransaction"]:
        """Open a transaction; it commits when the block ends and rolls back when it raises."""
        async with self._db.transaction() as tx:
            yield ClientTransaction(tx)

    async def find_credential(self, client_id: str, *, now: datetime) -> clients.Credential | None:
        """Return a client with the secrets that work at `now`."""
        row = await self._db.fetchrow(_CREDENTIAL, client_id, now)
        if row is None:
            return None
        return clients.Credential(client=_client(row), secret_hashes=tuple(row["secret_hashes"]))

    async def list_after(self, client_id: str, *, limit: int) -> list[clients.Client]:
        """Return clients by name, those after `client_id` alone."""
        return [_client(row) for row in await self._db.fetch(_LIST, client_id, limit)]


class ClientTransaction:
    """Changes to programs that take effect together with their audit entries."""

    def __init__(self, tx: database.Transaction) -> None:
        self._tx = tx

    _INSERT = """
    INSERT INTO clients (client_id, display_name, scopes, store_ids, state, create_time)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (client_id) DO NOTHING
    RETURNING TRUE
    """

    async def insert(self, client: clients.Client) -> bool:
        """Add a client; return False when its name is taken."""
        inserted: bool | None = await self._tx.fetchval(
            self._INSERT,
            client.client_id,
            client.display_name,
            client.scopes,
            client.store_ids,
            client.state,
            client.create_time,
        )
        return bool(inserted)

    _LOCK = """
    SELECT client_id, display_name, scopes, store_ids, state, create_time
    FROM clients
    WHERE client_id = $1
    FOR UPDATE
    """

    async def lock(self, client_id: str) -> clients.Client | None:
        """Return a client that nobody else changes until the transaction ends."""
        row = await self._tx.fetchrow(self._LOCK, client_id)
        return None if row is None else _client(row)

    _UPDATE = """
    UPDATE clients SET display_name = $2, scopes = $3, store_ids = $4 WHERE client_id = $1
    """

    async def update(self, client: clients.Client) -> None:
        """Change what a locked client is called and what it may do."""
        await self._tx.execute(
            self._UPDATE, client.client_id, client.display_name, client.scopes, client.store_ids
        )

    _REVOKE = """
    UPDATE clients SET state = 'revoked', revoke_time = $2 WHERE client_id = $1
    """

    async def revoke(self, client_id: str, *, now: datetime) -> None:
        """Give a locked client no token any more."""
        await self._tx.execute(self._REVOKE, client_id, now)

    _IS_CURRENT = """
    SELECT EXISTS (
        SELECT FROM client_secrets
        WHERE client_id = $1 AND secret_hash = $2 AND expire_time IS NULL
    )
    """

    async def has_secret(self, client_id: str, secret_hash: bytes) -> bool:
        """Tell whether a secret works and no end of it is set."""
        known: bool = await self._tx.fetchval(self._IS_CURRENT, client_id, secret_hash)
        return known

    _EXPIRE = """
    UPDATE client_secrets SET expire_time = $2
    WHERE client_id = $1 AND (expire_time IS NULL OR expire_time > $2)
    """
    _ADD = """
    INSERT INTO client_secrets (client_id, secret_hash, create_time)
    VALUES ($1, $2, $3)
    ON CONFLICT (client_id, secret_hash) DO UPDATE SET expire_time = NULL
    """

    async def replace_secret(
        self, client_id: str, secret_hash: bytes, *, old_expire_time: datetime, now: datetime
    ) -> None:
        """Add a secret to a locked client; its others work until `old_expire_time` at the most."""
        await self._tx.execute(self._EXPIRE, client_id, old_expire_time)
        await self._tx.execute(self._ADD, client_id, secret_hash, now)

    async def record(self, entry: audit.Entry) -> None:
        """Write an act into the audit log."""
        await audit.append(self._tx, entry)


def _client(row: database.Record) -> clients.Client:
    return clients.Client(
        client_id=row["client_id"],
        display_name=row["display_name"],
        scopes=tuple(row["scopes"]),
        store_ids=tuple(row["store_ids"]),
        state=clients.State(row["state"]),
        create_time=row["create_time"],
    )
