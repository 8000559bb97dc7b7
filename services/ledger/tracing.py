"""From spending back to earning and from earning to spending, through every hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.ledger import engine, errors
from services.ledger.storage import books

#: How many hands a lot is followed through.
_HANDS_MAX = 100
#: How many uses, and how many lots, one answer has.
USES_MAX = 1000

_HANDOVERS = frozenset({engine.POOL, engine.SPLIT})


@dataclass(frozen=True, slots=True)
class Origin:
    """A lot, whose it was, and the movement that made it."""

    lot: engine.Lot
    made_by: books.Movement


@dataclass(frozen=True, slots=True)
class Part:
    """What was taken from one lot, what was restored to it, and where it came from."""

    amount: int
    restored: int
    origins: Sequence[Origin]


@dataclass(frozen=True, slots=True)
class Descent:
    """A lot, whose it is, and the lot that it was handed over from (None: it was earned)."""

    lot: engine.Lot
    key: engine.Key
    source_id: UUID | None


@dataclass(frozen=True, slots=True)
class Course:
    """What became of an earning; `truncated` when there is more."""

    lots: Sequence[Descent]
    uses: Sequence[tuple[books.Use, books.Movement]]
    truncated: bool


class Tracing:
    """Follows lots."""

    def __init__(self, source: books.Books) -> None:
        self._books = source

    async def back(self, place: engine.Place) -> list[Part]:
        """Return what an operation consumed. Raises TransferNotFound."""
        await self._movement(place)
        restored = await self._books.restored(place)
        parts = []
        for taken in await self._books.takes(place):
            if taken.amount > 0:
                origins = await self._origins(taken)
                parts.append(Part(taken.amount, restored.get(taken.lot_id, 0), origins))
        return parts

    async def onward(self, place: engine.Place) -> Course:
        """Return where the lots went that an operation made. Raises TransferNotFound."""
        movement = await self._movement(place)
        key = movement.credit
        made = await self._books.lots_made(key.id, place, limit=USES_MAX + 1)
        waiting = [(key, [Descent(lot, key, None) for lot in made])] if made else []
        lots: list[Descent] = []
        uses: list[tuple[books.Use, books.Movement]] = []
        while waiting and max(len(lots), len(uses)) <= USES_MAX:
            key, descents = waiting.pop(0)
            lots += descents
            held = [descent.lot for descent in descents]
            found = await self._books.uses(key.id, held, limit=USES_MAX + 1 - len(uses))
            by_place = await self._books.movements(use.place for use in found)
            uses += [(use, by_place[use.place]) for use in found]
            for by in by_place.values():
                if by.reason in _HANDOVERS and by.debit.id == key.id:
                    sources = [use.lot_id for use in found if use.place == by.place]
                    handed = await self._handed(by, sources)
                    waiting.append((by.credit, handed))
        truncated = bool(waiting) or max(len(lots), len(uses)) > USES_MAX
        return Course(lots[:USES_MAX], uses[:USES_MAX], truncated)

    async def _handed(self, by: books.Movement, sources: Sequence[UUID]) -> list[Descent]:
        """Return the lots that a handover made of others."""
        made_of = {_handed_id(source, by.place): source for source in sources}
        made = await self._books.lots_made(by.credit.id, by.place, limit=10 * USES_MAX)
        return [Descent(lot, by.credit, made_of[lot.id]) for lot in made if lot.id in made_of]

    async def _origins(self, taken: engine.LotPart) -> list[Origin]:
        """Return the lot that something was taken from, and those that it was made of."""
        origins: list[Origin] = []
        account_id, lot_id = taken.account_id, taken.lot_id
        while len(origins) < _HANDS_MAX:
            lot = await self._books.lot(account_id, lot_id)
            movement = await self._movement(engine.Place(lot.batch_id, lot.operation_index))
            origins.append(Origin(lot, movement))
            if movement.reason not in _HANDOVERS:
                break
            account_id, lot_id = await self._source(lot, movement)
        return origins

    async def _source(self, lot: engine.Lot, by: books.Movement) -> tuple[UUID, UUID]:
        """Return the account and the lot that a lot was handed over from."""
        for part in await self._books.takes(by.place):
            if _handed_id(part.lot_id, by.place) == lot.id:
                return part.account_id, part.lot_id
        raise LookupError(f"lot {lot.id} was handed over from no lot")

    async def _movement(self, place: engine.Place) -> books.Movement:
        found = (await self._books.movements([place])).get(place)
        if found is None:
            raise errors.TransferNotFound
        return found


def _handed_id(source: UUID, place: engine.Place) -> UUID:
    return engine.handed_lot_id(source, **place._asdict())
