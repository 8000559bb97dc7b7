"""Statements that come back empty as long as the ledger is right.

Each is about some accounts, or about the transactions between two; what it returns contradicts
itself: a kind, an account (or the batch, where no account is to blame) and a few words.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import records

#: What can be wrong. `entries`: an account's row and its entries. `transfers`: entries and
#: transfers. `lots`: an account's row and its lots. `takes`: lots and what was taken from them.
#: `holds`: what holds keep back, and the accounts and lots that it is kept back on. `debts`: what
#: an account's row says is owed, and the account of the debt. `summary`: the sums in an account's
#: row. `copy`: a copy in Valkey and the account. `copy_stale`: one that has outlived a copy's life.
#: `tallies`: what accounts of the world received. `sum`: all accounts of an asset together.
KINDS = (
    "entries",
    "transfers",
    "lots",
    "takes",
    "holds",
    "debts",
    "summary",
    "copy",
    "copy_stale",
    "tallies",
    "sum",
)


class Finding(NamedTuple):
    """Something that contradicts itself; `subject_id` is an account's id, or else a batch's."""

    kind: str
    subject_id: UUID | None
    detail: str


@dataclass(frozen=True, slots=True)
class Extract:
    """Accounts with what they have as one snapshot shows it, and what contradicts itself there."""

    accounts: Mapping[UUID, engine.Account]
    findings: Sequence[Finding]


# $1 are accounts, $2 how many of their last entries are looked at.
_RECENT = """
recent AS (
    SELECT entries.*,
        lag(entries.balance_after) OVER history AS balance_then,
        row_number() OVER history AS place,
        count(*) OVER (PARTITION BY entries.account_id) AS entry_count
    FROM unnest($1::UUID[]) AS chosen (account_id)
    CROSS JOIN LATERAL (
        SELECT * FROM entries
        WHERE entries.account_id = chosen.account_id
        ORDER BY entries.version DESC
        LIMIT $2
    ) AS entries
    WINDOW history AS (PARTITION BY entries.account_id ORDER BY entries.version)
)
"""
_ENTRIES = f"""
WITH {_RECENT}
SELECT 'entries', account_id, format('version %s starts from %s, not from %s', version,
    balance_before, COALESCE(balance_then, 0))
FROM recent
WHERE balance_before <> COALESCE(balance_then, 0) AND (place > 1 OR entry_count < $2)
UNION ALL
SELECT 'entries', accounts.account_id, format('holds %s at version %s, by its entries %s at %s',
    accounts.balance, accounts.version, COALESCE(recent.balance_after, 0),
    COALESCE(recent.version, 0))
FROM accounts
LEFT JOIN recent ON recent.account_id = accounts.account_id
    AND recent.place = recent.entry_count
WHERE accounts.account_id = ANY($1)
    AND (accounts.balance <> COALESCE(recent.balance_after, 0)
        OR accounts.version < COALESCE(recent.version, 0))
UNION ALL
SELECT 'transfers', recent.account_id, format('version %s is no side of its transfer', version)
FROM recent
LEFT JOIN transfers ON transfers.batch_id = recent.batch_id
    AND transfers.operation_index = recent.operation_index
WHERE recent.amount IS DISTINCT FROM CASE recent.account_id
    WHEN transfers.credit_account_id THEN transfers.amount
    WHEN transfers.debit_account_id THEN -transfers.amount
END
"""  # noqa: S608  constants only

_LOTS_SUM = """
SELECT 'lots', accounts.account_id, format('holds %s, %s of it held, its lots %s and %s',
    accounts.balance, accounts.held, COALESCE(kept.remaining, 0), COALESCE(kept.held, 0))
FROM accounts
JOIN assets ON assets.asset_code = accounts.asset_code AND assets.lot_policy IS NOT NULL
LEFT JOIN LATERAL (
    SELECT sum(lots.remaining) AS remaining, sum(lots.held) AS held
    FROM lots
    WHERE lots.account_id = accounts.account_id
) AS kept ON TRUE
WHERE accounts.account_id = ANY($1)
    -- A partner's account has no lots, whatever its asset, and neither has a debt.
    AND accounts.owner_type NOT IN (6, 9)
    AND (accounts.balance <> COALESCE(kept.remaining, 0)
        OR accounts.held <> COALESCE(kept.held, 0))
UNION ALL
SELECT 'lots', lots.account_id, format('lot %s ends before lots are looked for', lots.lot_id)
FROM lots
JOIN accounts ON accounts.account_id = lots.account_id
WHERE lots.account_id = ANY($1) AND lots.remaining > 0
    AND lots.expire_time < COALESCE(accounts.lots_from_time, 'infinity')
"""

# Takes are found by their movements, so all entries of the account must have been looked at.
_TAKES = f"""
WITH {_RECENT},
whole AS (
    SELECT DISTINCT account_id, batch_id, operation_index
    FROM recent
    WHERE entry_count < $2
),
taken AS (
    SELECT lot_takes.account_id, lot_takes.lot_id, sum(lot_takes.amount) AS amount
    FROM whole
    JOIN lot_takes ON lot_takes.batch_id = whole.batch_id
        AND lot_takes.operation_index = whole.operation_index
        AND lot_takes.account_id = whole.account_id
    GROUP BY lot_takes.account_id, lot_takes.lot_id
)
SELECT 'takes', COALESCE(lots.account_id, taken.account_id), format(
    'lot %s: %s of %s is left, %s was taken', COALESCE(lots.lot_id, taken.lot_id),
    lots.remaining, lots.amount, COALESCE(taken.amount, 0))
FROM (
    SELECT lots.account_id, lots.lot_id, lots.amount, lots.remaining
    FROM lots
    WHERE lots.account_id IN (SELECT account_id FROM whole)
) AS lots
FULL JOIN taken ON taken.account_id = lots.account_id AND taken.lot_id = lots.lot_id
WHERE lots.remaining IS DISTINCT FROM lots.amount - COALESCE(taken.amount, 0)
UNION ALL
-- A refund makes lots of what has expired, and gives the rest back to the lots that it came from.
SELECT 'takes', made.account_id, format('batch %s operation %s moves %s and makes lots of %s',
    made.batch_id, made.operation_index, transfers.amount, made.amount)
FROM (
    SELECT whole.account_id, whole.batch_id, whole.operation_index, sum(lots.amount) AS amount
    FROM whole
    JOIN lots ON lots.account_id = whole.account_id AND lots.batch_id = whole.batch_id
        AND lots.operation_index = whole.operation_index
    GROUP BY whole.account_id, whole.batch_id, whole.operation_index
) AS made
JOIN transfers ON transfers.batch_id = made.batch_id
    AND transfers.operation_index = made.operation_index
WHERE transfers.reason NOT IN (8, 10) AND transfers.amount <> made.amount
"""  # noqa: S608  constants only

_HOLDS = """
WITH kept AS (
    SELECT * FROM reserves WHERE account_id = ANY($1) AND state = 1
)
SELECT 'holds', accounts.account_id, format('%s is held and %s promised, by holds %s and %s',
    accounts.held, accounts.incoming, COALESCE(sums.held, 0), COALESCE(sums.incoming, 0))
FROM accounts
LEFT JOIN (
    SELECT account_id,
        sum(remaining) FILTER (WHERE NOT is_credit) AS held,
        sum(remaining) FILTER (WHERE is_credit) AS incoming
    FROM kept
    GROUP BY account_id
) AS sums ON sums.account_id = accounts.account_id
WHERE accounts.account_id = ANY($1)
    AND (accounts.held <> COALESCE(sums.held, 0)
        OR accounts.incoming <> COALESCE(sums.incoming, 0))
UNION ALL
SELECT 'holds', COALESCE(lots.account_id, parts.account_id), format(
    '%s of lot %s is held, by holds %s',
    lots.held, COALESCE(lots.lot_id, parts.lot_id), COALESCE(parts.amount, 0))
FROM (
    SELECT account_id, lot_id, held FROM lots WHERE account_id = ANY($1) AND held > 0
) AS lots
FULL JOIN (
    SELECT kept.account_id, part.lot_id, sum(part.amount) AS amount
    FROM kept
    CROSS JOIN LATERAL unnest(kept.lot_ids, kept.lot_amounts) AS part (lot_id, amount)
    GROUP BY kept.account_id, part.lot_id
    HAVING sum(part.amount) > 0
) AS parts ON parts.account_id = lots.account_id AND parts.lot_id = lots.lot_id
WHERE lots.held IS DISTINCT FROM parts.amount
UNION ALL
SELECT 'holds', kept.account_id, format('batch %s operation %s: %s is left of a hold of %s',
    kept.batch_id, kept.operation_index, kept.remaining, holds.amount)
FROM kept
LEFT JOIN holds ON holds.batch_id = kept.batch_id AND holds.operation_index = kept.operation_index
WHERE holds.amount IS NULL OR kept.remaining > holds.amount
    OR kept.expire_time <> holds.expire_time
"""

_ACCOUNTS = f"""
SELECT {records.ACCOUNT_COLUMNS}
FROM accounts WHERE account_id = ANY($1::UUID[])
"""  # noqa: S608  constants only
_LIVE_LOTS = f"""
SELECT {records.LOT_COLUMNS}
FROM lots WHERE lots.account_id = ANY($1::UUID[]) AND lots.remaining > 0
"""  # noqa: S608  constants only

_RESERVES = f"""
SELECT {records.RESERVE_COLUMNS}
FROM reserves WHERE reserves.account_id = ANY($1::UUID[]) AND reserves.state = 1
"""  # noqa: S608  constants only

_NAMES = "account_id, asset_code, owner_type, owner_id"
_PAGE = f"""
SELECT {_NAMES}
FROM accounts WHERE account_id > $1 AND owner_type <> 1
ORDER BY account_id
LIMIT $2
"""  # noqa: S608  constants only
_NAMED = f"SELECT {_NAMES} FROM accounts WHERE account_id = ANY($1::UUID[])"  # noqa: S608  constants only
# Where something has just happened, something may just have gone wrong.
_BUSY = f"""
SELECT {_NAMES}
FROM accounts
WHERE account_id IN (
    SELECT account_id FROM entries
    WHERE transaction_id >= pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT - 100
    LIMIT $1
)
"""  # noqa: S608  constants only
_COUNT = "SELECT count(*) FROM accounts WHERE owner_type <> 1"

# Everything that a movement writes, it writes in one transaction.
_EVIDENCE = """
WITH sides AS (
    SELECT transfers.batch_id, transfers.operation_index, accounts.account_id,
        CASE accounts.account_id
            WHEN transfers.credit_account_id THEN transfers.amount
            ELSE -transfers.amount
        END AS amount
    FROM transfers
    JOIN accounts
        ON accounts.account_id IN (transfers.debit_account_id, transfers.credit_account_id)
    WHERE transfers.transaction_id >= $1 AND transfers.transaction_id < $2
        AND accounts.owner_type <> 1 AND transfers.amount <> 0
),
entered AS (
    SELECT batch_id, operation_index, account_id, amount
    FROM entries
    WHERE transaction_id >= $1 AND transaction_id < $2
)
SELECT 'transfers', COALESCE(sides.account_id, entered.account_id), format(
    'batch %s operation %s moves %s, its entry says %s',
    COALESCE(sides.batch_id, entered.batch_id),
    COALESCE(sides.operation_index, entered.operation_index), sides.amount, entered.amount)
FROM sides
FULL JOIN entered ON entered.batch_id = sides.batch_id
    AND entered.operation_index = sides.operation_index
    AND entered.account_id = sides.account_id
WHERE sides.amount IS DISTINCT FROM entered.amount
UNION ALL
SELECT 'transfers', batches.batch_id, 'a refused batch has moved something'
FROM batches
JOIN transfers ON transfers.batch_id = batches.batch_id
WHERE batches.transaction_id >= $1 AND batches.transaction_id < $2 AND batches.refused
UNION ALL
SELECT 'transfers', reversals.batch_id, format('operation %s: reversals come to %s of %s',
    reversals.operation_index, reversals.reversed_amount, transfers.amount)
FROM reversals
JOIN transfers ON transfers.batch_id = reversals.batch_id
    AND transfers.operation_index = reversals.operation_index
WHERE reversals.transaction_id >= $1 AND reversals.transaction_id < $2
    AND (reversals.reversed_amount > transfers.amount
        OR reversals.transfer_amount <> transfers.amount
        OR reversals.reversed_amount <> (
            SELECT sum(earlier.amount)
            FROM reversals AS earlier
            WHERE earlier.batch_id = reversals.batch_id
                AND earlier.operation_index = reversals.operation_index
                AND earlier.number <= reversals.number
        ))
"""

_RECEIVED = """
    SELECT sides.account_id, sides.amount::NUMERIC AS amount
    FROM (
        SELECT credit_account_id AS account_id, amount FROM transfers
        WHERE transaction_id >= {start} AND transaction_id < {end}
        UNION ALL
        SELECT debit_account_id, -amount FROM transfers
        WHERE transaction_id >= {start} AND transaction_id < {end}
    ) AS sides
    JOIN accounts ON accounts.account_id = sides.account_id AND accounts.owner_type = 1
"""
_MARK = """
    COALESCE((SELECT end_transaction FROM audits WHERE audit_name = 'tallies' AND NOT $1), 0)
"""
_TALLIES = f"""
SELECT 'tallies', COALESCE(tallied.account_id, received.account_id), format(
    'holds %s, was given %s', COALESCE(tallied.amount, 0), COALESCE(received.amount, 0))
FROM (SELECT account_id, sum(amount) AS amount FROM tallies GROUP BY account_id) AS tallied
FULL JOIN (
    SELECT account_id, sum(amount) AS amount
    FROM (
        SELECT account_id, amount FROM tally_audits WHERE NOT $1::BOOLEAN
        UNION ALL {_RECEIVED.format(start=_MARK, end=2**63 - 1)}
    ) AS parts
    GROUP BY account_id
) AS received ON received.account_id = tallied.account_id
WHERE COALESCE(tallied.amount, 0) <> COALESCE(received.amount, 0)
"""  # noqa: S608  constants only
_AUDITED = "SELECT end_transaction FROM audits WHERE audit_name = 'tallies'"
_NEXT_AUDIT = """
SELECT max(end_transaction)
FROM (
    SELECT end_transaction FROM journal_blocks
    WHERE end_transaction > $1
    ORDER BY block_number
    LIMIT $2
) AS next
"""
_AUDIT = f"""
INSERT INTO tally_audits (account_id, amount)
SELECT account_id, sum(amount) FROM ({_RECEIVED.format(start="$1", end="$2")}) AS received
GROUP BY account_id
ON CONFLICT (account_id) DO UPDATE SET amount = tally_audits.amount + excluded.amount
"""  # noqa: S608  constants only
_NOTE_AUDIT = """
INSERT INTO audits (audit_name, end_transaction)
VALUES ('tallies', $1)
ON CONFLICT (audit_name) DO UPDATE SET end_transaction = excluded.end_transaction
"""

_SUMS = """
SELECT 'sum', NULL::UUID, format('all accounts of %s together hold %s', accounts.asset_code,
    sum(held.amount))
FROM (
    SELECT account_id, balance::NUMERIC AS amount FROM accounts
    UNION ALL SELECT account_id, amount FROM tallies
) AS held
JOIN accounts ON accounts.account_id = held.account_id
GROUP BY accounts.asset_code
HAVING sum(held.amount) <> 0
"""


class Checks:
    """Looks for contradictions. What is compared with each other is read from one snapshot."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    def _snapshot(self) -> AbstractAsyncContextManager[database.Queryable]:
        return self._source.transaction(isolation="repeatable_read", readonly=True)

    async def count(self) -> int:
        """Return how many accounts there are, those of the world excepted."""
        count: int = await self._source.fetchval(_COUNT)
        return count

    async def page(self, *, after: UUID, limit: int) -> list[engine.Key]:
        """Return accounts by id, those of the world excepted."""
        return _keys(await self._source.fetch(_PAGE, after, limit))

    async def named(self, account_ids: Iterable[UUID]) -> list[engine.Key]:
        """Return the accounts with these ids."""
        return _keys(await self._source.fetch(_NAMED, list(account_ids)))

    async def busy(self, *, limit: int) -> list[engine.Key]:
        """Return accounts that were written in the last few transactions."""
        return _keys(await self._source.fetch(_BUSY, limit))

    async def extract(self, keys: Sequence[engine.Key], *, entries_max: int) -> Extract:
        """Look at accounts and their last entries, fewer than `entries_max` if it is to be all."""
        named = {key.id: key for key in keys}
        chosen = list(named)
        async with self._snapshot() as tx:
            rows = await tx.fetch(_ACCOUNTS, chosen)
            lots = records.grouped(await tx.fetch(_LIVE_LOTS, chosen))
            reserves = records.reserved(await tx.fetch(_RESERVES, chosen))
            findings = await tx.fetch(_ENTRIES, chosen, entries_max)
            findings += await tx.fetch(_LOTS_SUM, chosen)
            findings += await tx.fetch(_TAKES, chosen, entries_max)
            findings += await tx.fetch(_HOLDS, chosen)
        accounts = {
            row[0]: records.account(
                row,
                named[row[0]],
                tuple(lots.get(row[0], ())),
                tuple(reserves.get(row[0], ())),
            )
            for row in rows
        }
        return Extract(accounts, [Finding(*row) for row in findings])

    async def evidence(self, *, start: int, end: int) -> list[Finding]:
        """Hold against each other what transactions from `start` until before `end` wrote."""
        return [Finding(*row) for row in await self._source.fetch(_EVIDENCE, start, end)]

    async def audited(self) -> int:
        """Return the transaction before which the tallies are audited."""
        return await self._source.fetchval(_AUDITED) or 0

    async def next_audit(self, *, start: int, blocks: int) -> int | None:
        """Return where some blocks behind `start` end, None when there are none."""
        end: int | None = await self._source.fetchval(_NEXT_AUDIT, start, blocks)
        return end

    async def audit(self, *, start: int, end: int) -> None:
        """Add what accounts of the world received in transactions to what is audited."""
        async with self._source.transaction() as tx:
            await tx.execute(_AUDIT, start, end)
            await tx.execute(_NOTE_AUDIT, end)

    async def tallies(self, *, whole: bool) -> list[Finding]:
        """Hold the tallies against what transfers gave: since the last audit, or the whole time."""
        return [Finding(*row) for row in await self._source.fetch(_TALLIES, whole)]

    async def sums(self) -> list[Finding]:
        """Sum up all accounts of each asset."""
        return [Finding(*row) for row in await self._source.fetch(_SUMS)]


def _keys(rows: Iterable[database.Record]) -> list[engine.Key]:
    return [engine.key(row[1], row[2], row[3]) for row in rows]
