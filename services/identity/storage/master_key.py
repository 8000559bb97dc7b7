"""The proof that the master key is the one that this database was filled with."""

import hmac

from services.chassis import database

_INSERT = """
INSERT INTO master_key_checks (singleton, check_value)
VALUES (TRUE, $1)
ON CONFLICT (singleton) DO NOTHING
"""
_SELECT = "SELECT check_value FROM master_key_checks"


async def is_right(db: database.Database, check_value: bytes) -> bool:
    """Tell whether the key with this check value fits; the first key ever asked about does."""
    await db.execute(_INSERT, check_value)
    return hmac.compare_digest(await db.fetchval(_SELECT), check_value)
