"""How processes learn of changes: told at once, and found by asking for the latest versions."""

from services.chassis import database

#: What every process of the role listens to; the payload is one of the words below.
CHANNEL = "promotions"
CATALOGUE = "catalogue"
RULESET = "ruleset"
PROGRAMS = "programs"

_ANNOUNCE = "SELECT pg_notify($1, $2)"


async def announce(tx: database.Queryable, what: str) -> None:
    """Tell every process what has changed, once the transaction commits."""
    await tx.execute(_ANNOUNCE, CHANNEL, what)


_HEADS = """
SELECT
    (SELECT version FROM catalogue_clock) AS catalogue_version,
    (SELECT coalesce(max(version), 0) FROM rulesets) AS ruleset_version
"""


async def heads(db: database.Queryable) -> tuple[int, int]:
    """Return the latest versions of the catalogue and of the rule set."""
    row = await db.fetchrow(_HEADS)
    assert row is not None
    return row["catalogue_version"], row["ruleset_version"]
