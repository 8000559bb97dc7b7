"""What others want to know: balances, movements, lots, answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import records

_ANSWER = "SELECT answer FROM batches WHERE batch_id = $1"

_ACCOUNTS = f"""
SELECT {records.ACCOUNT_COLUMNS}
FROM accounts
WHERE account_id = ANY($1::UUID[])
"""  # noqa: S608  constants only
_LOTS_OF = f"""
SELECT {records.LOT_COLUMNS}
FROM accounts
JOIN lots ON lots.account_id = accounts.account_id AND lots.remaining > 0
    AND lots.expire_time >= COALESCE(accounts.lots_from_time, 'infinity')
WHERE accounts.account_id = ANY($1::UUID[])
"""  # noqa: S608  constants only
_RESERVES_OF = f"""
SELECT {records.RESERVE_COLUMNS}
FROM reserves
WHERE reserves.account_id = ANY($1::UUID[]) AND reserves.state = 1
"""  # noqa: S608  constants only
_TALLIES = """
SELECT account_id, sum(amount)::TEXT AS amount
FROM tallies
WHERE account_id = ANY($1::UUID[])
GROUP BY account_id
"""

_EVER_FROM = datetime(1970, 1, 1, tzinfo=UTC)


def entry_lines(*, page: str, order: str) -> str:
    """Return the statement of the EntryLines behind a page of entries, which is chosen first.

    Told to join before it cuts, PostgreSQL reads an account's whole history for one page. Bounds of
    the version on both sides make it walk the index in the page's order.
    """
    return f"""
SELECT entries.batch_id, entries.operation_index, entries.amount, entries.balance_before,
    entries.balance_after, entries.version, transfers.reason,
    COALESCE(batches.receipt_id, '') AS receipt_id, transfers.campaign_id,
    others.owner_type, others.owner_id, transfers.occurred_time, entries.record_time
FROM (SELECT * FROM entries WHERE account_id = $1 AND {page}) AS entries
JOIN transfers ON transfers.batch_id = entries.batch_id
    AND transfers.operation_index = entries.operation_index
JOIN accounts AS others ON others.account_id = CASE
    WHEN transfers.debit_account_id = entries.account_id THEN transfers.credit_account_id
    ELSE transfers.debit_account_id
END
LEFT JOIN batches ON batches.batch_id = entries.batch_id
ORDER BY {order}
"""  # noqa: S608  constants only


_ENTRIES = entry_lines(
    page="""version < $2 AND version > $3 AND record_time >= $4 AND record_time < $5
        ORDER BY version DESC LIMIT $6""",
    order="entries.version DESC",
)
# Versions grow with time, give or take the minute by which clocks may differ.
_VERSION_BEFORE = "SELECT version_before($1, $2::TIMESTAMPTZ - INTERVAL '1 minute')"

# In spending order: accounts that slide keep lots alive that follow the asset's policy. What holds
# reserve outlives its expiry, and is free again when their time is over, booked or not.
_LOTS = f"""
SELECT {records.LOT_COLUMNS}, spent.last_time, kept.amount
FROM accounts
JOIN lots ON lots.account_id = accounts.account_id
    AND lots.expire_time >= COALESCE(accounts.lots_from_time, 'infinity')
    AND lots.remaining > 0
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN lots.expiry_given OR accounts.slide_time IS NULL THEN lots.expire_time
        ELSE greatest(lots.expire_time, accounts.slide_time)
    END AS last_time
) AS spent
CROSS JOIN LATERAL (
    SELECT CASE WHEN lots.held = 0 THEN 0 ELSE (
        SELECT COALESCE(sum(part.amount), 0)::BIGINT
        FROM reserves
        CROSS JOIN LATERAL unnest(reserves.lot_ids, reserves.lot_amounts) AS part (lot_id, amount)
        WHERE reserves.account_id = lots.account_id
            AND reserves.state = 1
            AND reserves.expire_time > $2
            AND part.lot_id = lots.lot_id
    ) END AS amount
) AS kept
WHERE accounts.account_id = $1
    AND (spent.last_time > $2 OR kept.amount > 0)
    AND (spent.last_time, lots.lot_id) > ($3, $4)
ORDER BY spent.last_time, lots.lot_id
LIMIT $5
"""  # noqa: S608  constants only


class EntryLine(NamedTuple):
    """A line of an account's statement; `batch_id` is not a batch's for expiries."""

    batch_id: UUID
    operation_index: int
    amount: int
    balance_before: int
    balance_after: int
    version: int
    reason: int
    receipt_id: str
    campaign_id: str
    counterparty_type: int
    counterparty_id: str
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class LotCursor:
    """Where a page of lots ended: the expiry that counts (None: never) and the lot."""

    expires_at: datetime | None
    lot_id: UUID


class Statements:
    """Reads that take no part in postings."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def answer(self, batch_id: UUID) -> bytes | None:
        """Return the stored answer to a batch."""
        answer: bytes | None = await self._source.fetchval(_ANSWER, batch_id)
        return answer

    async def accounts(
        self, keys: Mapping[UUID, engine.Key], *, now: datetime
    ) -> dict[UUID, engine.Account]:
        """Return the accounts that exist, ready for `engine.balance_at(account, now)`."""
        rows = await self._source.fetch(_ACCOUNTS, list(keys))
        found = {row[0]: records.account(row, keys[row[0]]) for row in rows}
        due = [row[0] for row in rows if records.is_due(row, now)]
        if due:
            found.update(await self._due(due, keys))
        return found

    async def tallies(self, account_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return what accounts of the world hold."""
        rows = await self._source.fetch(_TALLIES, account_ids)
        return {row["account_id"]: int(row["amount"]) for row in rows}

    async def entries(
        self,
        account_id: UUID,
        *,
        below: int,
        from_time: datetime | None,
        until_time: datetime,
        limit: int,
    ) -> list[EntryLine]:
        """Return movements of versions below `below`, newest first."""
        above = 0
        if from_time is not None:
            above = await self._source.fetchval(_VERSION_BEFORE, account_id, from_time)
        start = from_time or _EVER_FROM
        rows = await self._source.fetch(
            _ENTRIES, account_id, below, above, start, until_time, limit
        )
        return [EntryLine(*row) for row in rows]

    async def lots(
        self, account_id: UUID, *, now: datetime, after: LotCursor | None, limit: int
    ) -> list[tuple[engine.Lot, datetime | None]]:
        """Return live lots in spending order, each with the expiry that counts."""
        expires_at, lot_id = records.BEGINNING, UUID(int=0)
        if after is not None:
            expires_at, lot_id = after.expires_at or records.INFINITY, after.lot_id
        rows = await self._source.fetch(_LOTS, account_id, now, expires_at, lot_id, limit)
        return [_lot_line(row, now) for row in rows]

    async def _due(
        self, account_ids: Sequence[UUID], keys: Mapping[UUID, engine.Key]
    ) -> dict[UUID, engine.Account]:
        """Return accounts with their lots and reserves, all of one instant."""
        async with self._source.transaction(isolation="repeatable_read", readonly=True) as tx:
            rows = await tx.fetch(_ACCOUNTS, account_ids)
            lots = records.grouped(await tx.fetch(_LOTS_OF, account_ids))
            holding = [row[0] for row in rows if row["next_hold_time"] is not None]
            reserves: Mapping[UUID, Sequence[engine.Reserve]] = {}
            if holding:
                reserves = records.reserved(await tx.fetch(_RESERVES_OF, holding))
        return {
            row[0]: records.account(
                row,
                keys[row[0]],
                tuple(lots.get(row[0], ())),
                tuple(reserves.get(row[0], ())),
            )
            for row in rows
        }


def _lot_line(row: database.Record, now: datetime) -> tuple[engine.Lot, datetime | None]:
    *columns, last, held = row
    lot = engine.Lot(*columns)
    if last.replace(tzinfo=None) == records.INFINITY:
        return lot.holding(lot.remaining, held), None
    return lot.holding(lot.remaining if last > now else held, held), last
