"""Rates between partners, and closed periods."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger import engine
from services.ledger.storage import reading

#: Follows the id of a partner where its debt is meant.
_OWING = "/owing"
_UNDOING = [engine.REVERSE, engine.OWE]
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_RATE_COLUMNS = """asset_code, issuer_id, acceptor_id, effective_time, value_minor, units,
    currency_code"""
_SET_RATE = f"""
INSERT INTO settlement_rates ({_RATE_COLUMNS}, operator_id, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (asset_code, issuer_id, acceptor_id, effective_time) DO NOTHING
"""  # noqa: S608  constants only
_RATE = f"""
SELECT {_RATE_COLUMNS}
FROM settlement_rates
WHERE asset_code = $1 AND issuer_id = $2 AND acceptor_id = $3 AND effective_time = $4
"""  # noqa: S608  constants only
_CURRENCY = "SELECT currency_code FROM settlement_rates WHERE asset_code = $1 LIMIT 1"
_RATES = f"""
SELECT {_RATE_COLUMNS}
FROM settlement_rates
WHERE asset_code = $1 AND (issuer_id, acceptor_id, effective_time) > ($2, $3, $4)
ORDER BY issuer_id, acceptor_id, effective_time
LIMIT $5
"""  # noqa: S608  constants only
_RATES_IN_FORCE = f"""
SELECT DISTINCT ON (issuer_id, acceptor_id) {_RATE_COLUMNS}
FROM settlement_rates
WHERE asset_code = $1 AND effective_time < $2
ORDER BY issuer_id, acceptor_id, effective_time DESC
"""  # noqa: S608  constants only

_PERIOD_COLUMNS = "asset_code, number, from_time, until_time, close_time, currency_code"
_LAST = f"""
SELECT {_PERIOD_COLUMNS}
FROM settlement_periods
WHERE asset_code = $1
ORDER BY number DESC
LIMIT 1
"""  # noqa: S608  constants only
_ENDED = f"""
SELECT {_PERIOD_COLUMNS}
FROM settlement_periods
WHERE asset_code = $1 AND until_time = $2
"""  # noqa: S608  constants only
_PERIOD = f"""
SELECT {_PERIOD_COLUMNS}
FROM settlement_periods
WHERE asset_code = $1 AND number = $2
"""  # noqa: S608  constants only
_PERIODS = f"""
SELECT {_PERIOD_COLUMNS}
FROM settlement_periods
WHERE asset_code = $1 AND number < $2
ORDER BY number DESC
LIMIT $3
"""  # noqa: S608  constants only
_INSERT_PERIOD = f"""
INSERT INTO settlement_periods ({_PERIOD_COLUMNS}, operator_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""  # noqa: S608  constants only

_PARTNERS = """
SELECT account_id, owner_id
FROM accounts
WHERE asset_code = $1 AND owner_type = 6
ORDER BY owner_id
"""
# Where each account stands, and where the last period has left it.
_SPANS = """
SELECT wanted.account_id, wanted.name,
    COALESCE((
        SELECT positions.until_version
        FROM settlement_positions AS positions
        WHERE positions.asset_code = $1 AND positions.partner_id = wanted.name
        ORDER BY positions.number DESC
        LIMIT 1
    ), 0) AS after_version,
    version_before(wanted.account_id, $2) AS until_version
FROM unnest($3::UUID[], $4::TEXT[]) WITH ORDINALITY AS wanted (account_id, name, place)
ORDER BY wanted.place
"""
_ISSUED = """
SELECT spans.account_id, COALESCE(-sum(entries.amount), 0)::BIGINT AS amount
FROM unnest($1::UUID[], $2::BIGINT[], $3::BIGINT[])
    AS spans (account_id, after_version, until_version)
JOIN entries ON entries.account_id = spans.account_id
    AND entries.version > spans.after_version
    AND entries.version <= spans.until_version
JOIN transfers ON transfers.batch_id = entries.batch_id
    AND transfers.operation_index = entries.operation_index
WHERE entries.amount < 0 AND transfers.reason <> ALL($4::SMALLINT[])
GROUP BY spans.account_id
"""
# What was taken from lots, by who issued them, less what came back: to the lots, or as lots of its
# own where their time was over. What one partner gave another is the giver's, until it is undone.
# What a partner could not give back came back as well: its debt gave it.
_ACCEPTED = """
WITH taken AS (
    SELECT entries.account_id, entries.amount AS moved, entries.batch_id,
        entries.operation_index, transfers.debit_account_id, transfers.credit_account_id,
        transfers.reason = ANY($4::SMALLINT[]) AS is_undoing, lot_takes.position,
        lot_takes.account_id AS lot_account_id, lot_takes.lot_id, lot_takes.amount
    FROM unnest($1::UUID[], $2::BIGINT[], $3::BIGINT[])
        AS spans (account_id, after_version, until_version)
    JOIN entries ON entries.account_id = spans.account_id
        AND entries.version > spans.after_version
        AND entries.version <= spans.until_version
    JOIN transfers ON transfers.batch_id = entries.batch_id
        AND transfers.operation_index = entries.operation_index
        AND transfers.reason <> $5
    LEFT JOIN lot_takes ON lot_takes.batch_id = entries.batch_id
        AND lot_takes.operation_index = entries.operation_index
)
SELECT taken.account_id, COALESCE(issuers.owner_id, '') AS issuer_id,
    sum(taken.amount)::BIGINT AS amount
FROM taken
JOIN lots ON lots.account_id = taken.lot_account_id AND lots.lot_id = taken.lot_id
LEFT JOIN accounts AS issuers ON issuers.account_id = lots.issuer_account_id
GROUP BY taken.account_id, issuers.owner_id
UNION ALL
SELECT taken.account_id, COALESCE(issuers.owner_id, ''), -sum(lots.amount)::BIGINT
FROM taken
JOIN lots ON lots.account_id = taken.credit_account_id AND lots.batch_id = taken.batch_id
    AND lots.operation_index = taken.operation_index
LEFT JOIN accounts AS issuers ON issuers.account_id = lots.issuer_account_id
WHERE taken.is_undoing AND taken.moved < 0 AND COALESCE(taken.position, 0) = 0
GROUP BY taken.account_id, issuers.owner_id
UNION ALL
SELECT taken.account_id, givers.owner_id, sum(taken.moved)::BIGINT
FROM taken
JOIN accounts AS givers ON givers.owner_type = 6 AND givers.account_id
    = CASE WHEN taken.is_undoing THEN taken.credit_account_id ELSE taken.debit_account_id END
WHERE taken.lot_id IS NULL AND (taken.moved < 0) = taken.is_undoing
GROUP BY taken.account_id, givers.owner_id
"""

_INSERT_POSITIONS = """
INSERT INTO settlement_positions (
    asset_code, number, partner_id, account_id, after_version, until_version, issued, accepted
)
SELECT $1::TEXT, $2::INTEGER, *
FROM unnest($3::TEXT[], $4::UUID[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BIGINT[])
"""
_INSERT_DEBTS = """
INSERT INTO settlement_debts (
    asset_code, number, issuer_id, acceptor_id, amount, value_minor, units, owed_minor
)
SELECT $1::TEXT, $2::INTEGER, *
FROM unnest($3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BIGINT[])
"""
_POSITIONS = """
SELECT partner_id, account_id, after_version, until_version, issued, accepted
FROM settlement_positions
WHERE asset_code = $1 AND number = $2
ORDER BY partner_id
"""
_DEBTS = """
SELECT issuer_id, acceptor_id, amount, value_minor, units, owed_minor
FROM settlement_debts
WHERE asset_code = $1 AND number = $2
ORDER BY issuer_id, acceptor_id
"""


class Period(NamedTuple):
    """A period; it is not closed while `closed_at` is None."""

    asset_code: str
    number: int
    from_time: datetime
    until_time: datetime
    closed_at: datetime | None
    currency_code: str


class Position(NamedTuple):
    """What a partner issued and took in between two versions of its account.

    One that `is_owing` is the span of the partner's debt; what it counts is in the partner's own.
    """

    partner_id: str
    account_id: UUID
    after_version: int
    until_version: int
    issued: int
    accepted: int

    @property
    def is_owing(self) -> bool:
        """True for the debt of a partner; no partner is called so."""
        return self.partner_id.endswith(_OWING)


class Settlements:
    """Reads movements of partners' accounts, and keeps rates and statements."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def set_rate(self, rate: engine.Rate, *, by: str, now: datetime) -> engine.Rate:
        """Keep a rate; returns the one of these parties and this time, which may be another."""
        await self._source.execute(
            _SET_RATE,
            rate.asset_code,
            rate.issuer_id,
            rate.acceptor_id,
            rate.effective_at,
            rate.value_minor,
            rate.units,
            rate.currency_code,
            by,
            now,
        )
        names = rate.asset_code, rate.issuer_id, rate.acceptor_id, rate.effective_at
        row = await self._source.fetchrow(_RATE, *names)
        assert row is not None
        return engine.Rate(*row)

    async def currency(self, asset_code: str) -> str | None:
        """Return the currency of an asset's rates, None when there are none."""
        code: str | None = await self._source.fetchval(_CURRENCY, asset_code)
        return code

    async def rates(
        self, asset_code: str, *, after: tuple[str, str, datetime] | None, limit: int
    ) -> list[engine.Rate]:
        """Return rates by parties and time."""
        start = after or ("", "", _BEGINNING.replace(year=1969))
        rows = await self._source.fetch(_RATES, asset_code, *start, limit)
        return [engine.Rate(*row) for row in rows]

    async def rates_in_force(
        self, tx: database.Queryable, asset_code: str, until_time: datetime
    ) -> list[engine.Rate]:
        """Return the rates that took effect last before an instant."""
        rows = await tx.fetch(_RATES_IN_FORCE, asset_code, until_time)
        return [engine.Rate(*row) for row in rows]

    def reading(self) -> AbstractAsyncContextManager[database.Queryable]:
        """Open a transaction for reads."""
        return reading.wide(self._source)

    def closing(self, asset_code: str) -> AbstractAsyncContextManager[database.Queryable]:
        """Open the transaction that closes a period; there is one at a time for each asset."""
        return reading.alone(self._source, f"settlement of {asset_code}")

    async def last(self, tx: database.Queryable, asset_code: str) -> Period | None:
        """Return the period that was closed last."""
        row = await tx.fetchrow(_LAST, asset_code)
        return None if row is None else Period(*row)

    async def ended(
        self, tx: database.Queryable, asset_code: str, until_time: datetime
    ) -> Period | None:
        """Return the period that ends at an instant."""
        row = await tx.fetchrow(_ENDED, asset_code, until_time)
        return None if row is None else Period(*row)

    async def period(self, tx: database.Queryable, asset_code: str, number: int) -> Period | None:
        """Return a closed period."""
        row = await tx.fetchrow(_PERIOD, asset_code, number)
        return None if row is None else Period(*row)

    async def periods(self, asset_code: str, *, below: int, limit: int) -> list[Period]:
        """Return closed periods, newest first."""
        rows = await self._source.fetch(_PERIODS, asset_code, below, limit)
        return [Period(*row) for row in rows]

    async def movements(
        self, tx: database.Queryable, asset_code: str, until_time: datetime
    ) -> tuple[list[Position], list[engine.Accepted]]:
        """Return what partners did since the last period and before an instant."""
        partners: dict[UUID, str] = {}
        names: dict[UUID, str] = {}
        for account_id, partner_id in await tx.fetch(_PARTNERS, asset_code):
            debt = engine.debt_key(engine.key(asset_code, engine.PARTNER, partner_id))
            partners |= {account_id: partner_id, debt.id: partner_id}
            names |= {account_id: partner_id, debt.id: f"{partner_id}{_OWING}"}
        spans = [
            Position(
                row["name"], row["account_id"], row["after_version"], row["until_version"], 0, 0
            )
            for row in await tx.fetch(
                _SPANS, asset_code, until_time, list(names), list(names.values())
            )
        ]
        columns = _columns([one[1:4] for one in spans], 3)
        issued = {
            row["account_id"]: row["amount"]
            for row in await tx.fetch(_ISSUED, *columns, [*_UNDOING, engine.PAY_OFF])
        }
        sums: dict[tuple[str, str], int] = {}
        for row in await tx.fetch(_ACCEPTED, *columns, _UNDOING, engine.PAY_OFF):
            parties = row["issuer_id"], partners[row["account_id"]]
            sums[parties] = sums.get(parties, 0) + row["amount"]
        accepted = [engine.Accepted(*parties, amount) for parties, amount in sums.items()]
        positions = [
            one._replace(
                issued=issued.get(one.account_id, 0),
                accepted=sum(
                    part.amount for part in accepted if part.acceptor_id == one.partner_id
                ),
            )
            for one in spans
            if one.until_version or not one.is_owing
        ]
        return positions, accepted

    async def insert(
        self,
        tx: database.Queryable,
        period: Period,
        positions: Sequence[Position],
        debts: Sequence[engine.Debt],
        *,
        by: str,
    ) -> None:
        """Keep a statement for ever."""
        await tx.execute(_INSERT_PERIOD, *period, by)
        names = period.asset_code, period.number
        await tx.execute(_INSERT_POSITIONS, *names, *_columns(positions, len(Position._fields)))
        await tx.execute(_INSERT_DEBTS, *names, *_columns(debts, len(engine.Debt._fields)))

    async def statement(
        self, tx: database.Queryable, period: Period
    ) -> tuple[list[Position], list[engine.Debt]]:
        """Return what a closed period says."""
        names = period.asset_code, period.number
        positions = [Position(*row) for row in await tx.fetch(_POSITIONS, *names)]
        return positions, [engine.Debt(*row) for row in await tx.fetch(_DEBTS, *names)]


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
