"""The keys of codes: the newest issues, the older ones are recognised."""

from collections.abc import Sequence

from services.ledger import codes, errors
from services.ledger.storage import CodeKeys


class Keyring:
    """Finds the key of each code.

    Every key that codes were issued under must be there, else nothing is: a code of a missing key
    would be called unknown. All methods raise CodesNotConfigured.
    """

    def __init__(self, made: Sequence[codes.Codes], known: CodeKeys) -> None:
        self._made = {one.check_value: one for one in made}
        self._known = known
        self._by_number: dict[int, codes.Codes] = {}

    async def newest(self) -> tuple[int, codes.Codes]:
        """Return the key that issues, and its number."""
        await self.all()
        newest = next(iter(self._made.values()))
        for number, made in self._by_number.items():
            if made is newest:
                return number, made
        number = await self._known.number(newest.check_value)
        return number, await self.numbered(number)

    async def numbered(self, number: int) -> codes.Codes:
        """Return the key with a number, which may have come to the database a moment ago."""
        if number not in self._by_number:
            await self._read()
        made = self._by_number.get(number)
        if made is None:
            raise errors.CodesNotConfigured
        return made

    async def all(self) -> Sequence[codes.Codes]:
        """Return all keys, the newest first."""
        if not self._by_number:
            await self._read()
        return list(self._made.values())

    async def _read(self) -> None:
        numbers = await self._known.numbers()
        if not self._made or not numbers.keys() <= self._made.keys():
            raise errors.CodesNotConfigured
        self._by_number = {
            number: self._made[check_value] for check_value, number in numbers.items()
        }
