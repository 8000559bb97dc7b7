"""The keys that codes were drawn with: not the keys, but what tells one from another."""

from services.chassis import database

# Of two new keys at the same time one has to come again.
_INSERT = """
INSERT INTO code_keys (key_number, check_value)
SELECT COALESCE(max(key_number), 0) + 1, $1 FROM code_keys
ON CONFLICT DO NOTHING
"""
_SELECT = "SELECT key_number, check_value FROM code_keys"


class CodeKeys:
    """Numbers keys as they come."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def number(self, check_value: bytes) -> int:
        """Return the number of a key, which it gets when it is asked for first."""
        while (found := (await self.numbers()).get(check_value)) is None:
            await self._source.execute(_INSERT, check_value)
        return found

    async def numbers(self) -> dict[bytes, int]:
        """Return the numbers of all keys by their check values."""
        rows = await self._source.fetch(_SELECT)
        return {row["check_value"]: row["key_number"] for row in rows}
