"""Accounts as people open, limit, freeze and close them, one at a time and under a lock."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import records

_GET = f"SELECT {records.ACCOUNT_COLUMNS} FROM accounts WHERE account_id = $1"  # noqa: S608  constants only
_OPEN = """
INSERT INTO accounts (
    account_id, asset_code, owner_type, owner_id, floor, ceiling, balance, version, pending,
    next_expire_amount
)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0)
ON CONFLICT (account_id) DO NOTHING
"""
_LOCK = f"{_GET} FOR UPDATE"
_SAVE = """
UPDATE accounts
SET floor = $2, ceiling = $3, state = $4, version = $5
WHERE account_id = $1
"""
# An act carries the version that it made, so the newest has the highest number.
_ACT = """
INSERT INTO account_acts (account_id, number, action, operator_id, note, record_time)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_ACTS = """
SELECT number, action, operator_id, note, record_time
FROM account_acts
WHERE account_id = $1 AND number < $2
ORDER BY number DESC
LIMIT $3
"""


class Act(NamedTuple):
    """Something that a person did to an account; `number` is the version that it made."""

    number: int
    action: engine.Action
    operator_id: str
    note: str
    recorded_at: datetime


class Accounts:
    """Changes single accounts; their balances are changed by postings alone."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def get(self, key: engine.Key) -> engine.Account | None:
        """Return an account that was ever used or opened."""
        row = await self._source.fetchrow(_GET, key.id)
        return None if row is None or not row["version"] else records.account(row, key)

    def transaction(self) -> AbstractAsyncContextManager[database.Queryable]:
        """Open a transaction, to change an account in."""
        return self._source.transaction()

    async def lock(
        self, tx: database.Queryable, key: engine.Key, asset: engine.Asset
    ) -> engine.Account:
        """Return an account, with a row if need be, that nobody else can change until the end."""
        names = (key.id, key.asset_code, key.owner_type, key.owner_id)
        await tx.execute(_OPEN, *names, asset.floor, asset.ceiling)
        row = await tx.fetchrow(_LOCK, key.id)
        assert row is not None
        return records.account(row, key)

    async def save(
        self, tx: database.Queryable, account: engine.Account, act: Act | None = None
    ) -> None:
        """Write limits, state and version of a locked account, and who changed them why."""
        await tx.execute(
            _SAVE,
            account.key.id,
            account.floor,
            account.ceiling,
            int(account.state),
            account.version,
        )
        if act is not None:
            await tx.execute(
                _ACT,
                account.key.id,
                act.number,
                int(act.action),
                act.operator_id,
                act.note,
                act.recorded_at,
            )

    async def acts(self, account_id: UUID, *, below: int, limit: int) -> list[Act]:
        """Return what people did to an account, newest first, with numbers below `below`."""
        rows = await self._source.fetch(_ACTS, account_id, below, limit)
        return [Act(row[0], engine.Action(row[1]), *row[2:]) for row in rows]
