"""From spending back to earning and from earning to spending, through every hand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.ledger import engine, errors
from services.ledger.storage import books

#: How many hands a lot is followed through.
_HANDS_MAX = 100
#: How many uses, and how many lots, one answer has.
USES_MAX = 1000

_HANDOVERS = frozenset({engine.POOL, engine.SPLIT})
#: What makes lots of others: a handover, and a refund of what has expired.
_REMAKING = _HANDOVERS | {engine.REVERSE, engine.OWE}


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
    """A lot, whose it is, and the lot that it was made of (None: it was earned)."""

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
        taken = [part for part in await self._books.takes(place) if part.amount > 0]
        renewed = await self._renewed(place, taken)
        return [
            Part(
                part.amount,
                restored.get(part.lot_id, 0) + renewed.get(part.lot_id, 0),
                await self._origins(part),
            )
            for part in taken
        ]

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
            sources = [use.lot_id for use in found]
            made = await self._books.renewed(key.id, by_place)
            if renewed := _descents(key, made, sources):
                waiting.append((key, renewed))
        truncated = bool(waiting) or max(len(lots), len(uses)) > USES_MAX
        return Course(lots[:USES_MAX], uses[:USES_MAX], truncated)

    async def _handed(self, by: books.Movement, sources: Sequence[UUID]) -> list[Descent]:
        """Return the lots that a handover made of others."""
        made = await self._books.lots_made(by.credit.id, by.place, limit=10 * USES_MAX)
        return _descents(by.credit, made, sources)

    async def _renewed(
        self, place: engine.Place, taken: Sequence[engine.LotPart]
    ) -> Mapping[UUID, int]:
        """Return how much of lots came back after they had expired, as lots of their own."""
        amounts: Counter[UUID] = Counter()
        for account_id in {part.account_id for part in taken}:
            for lot in await self._books.renewed(account_id, [place]):
                for part in taken:
                    if _is_made_of(lot, part.lot_id):
                        amounts[part.lot_id] += lot.amount
        return amounts

    async def _origins(self, taken: engine.LotPart) -> list[Origin]:
        """Return the lot that something was taken from, and those that it was made of."""
        origins: list[Origin] = []
        account_id, lot_id = taken.account_id, taken.lot_id
        while len(origins) < _HANDS_MAX:
            lot = await self._books.lot(account_id, lot_id)
            movement = await self._movement(engine.Place(lot.batch_id, lot.operation_index))
            origins.append(Origin(lot, movement))
            if movement.reason not in _REMAKING:
                break
            account_id, lot_id = await self._source(lot, movement)
        return origins

    async def _source(self, lot: engine.Lot, by: books.Movement) -> tuple[UUID, UUID]:
        """Return the account and the lot that a lot was made of."""
        undone = await self._books.undone(by.place)
        for part in await self._books.takes(undone or by.place):
            if _is_made_of(lot, part.lot_id):
                return part.account_id, part.lot_id
        raise LookupError(f"lot {lot.id} was made of no lot")

    async def _movement(self, place: engine.Place) -> books.Movement:
        found = (await self._books.movements([place])).get(place)
        if found is None:
            raise errors.TransferNotFound
        return found


def _descents(
    key: engine.Key, made: Sequence[engine.Lot], sources: Iterable[UUID]
) -> list[Descent]:
    """Return those lots that were made of others, each with the one that it was made of."""
    known = list(dict.fromkeys(sources))
    made_of = {
        engine.handed_lot_id(source, **place._asdict()): source
        for place in {engine.Place(lot.batch_id, lot.operation_index) for lot in made}
        for source in known
    }
    return [Descent(lot, key, made_of[lot.id]) for lot in made if lot.id in made_of]


def _is_made_of(lot: engine.Lot, source: UUID) -> bool:
    return lot.id == engine.handed_lot_id(
        source, batch_id=lot.batch_id, operation_index=lot.operation_index
    )
