"""A look into the ledger's own tables, read only: what every account there is comes to.

The ledger's API tells of accounts that one can name. On a stack that others use as well, members
whom the demo does not know hold points, too.
"""

from collections.abc import Mapping

import asyncpg

# Accounts of the world have no running balance: what they received stands in tallies.
_SUMS = """
SELECT asset_code, sum(amount)::TEXT
FROM (
    SELECT asset_code, balance::NUMERIC AS amount FROM accounts
    UNION ALL
    SELECT accounts.asset_code, tallies.amount
    FROM tallies JOIN accounts ON accounts.account_id = tallies.account_id
) AS everything
GROUP BY asset_code
"""


async def sum_up(ledger_dsn: str) -> Mapping[str, int]:
    """Return the sum over all accounts by asset, from a database of the ledger."""
    settings = {"default_transaction_read_only": "on"}
    connection = await asyncpg.connect(ledger_dsn, timeout=10, server_settings=settings)
    try:
        return {code: int(total) for code, total in await connection.fetch(_SUMS)}
    finally:
        await connection.close()
