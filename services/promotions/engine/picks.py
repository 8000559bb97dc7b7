"""Picks: which of the goods a reward is for, and what a reward takes off a part of a pile."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from services.promotions.engine import amounts, rules, strata
from services.promotions.engine.baskets import Basket

Cut: TypeAlias = Callable[["Parts"], list[int]]
_HALF = amounts.BASIS_POINTS // 2
_SCALE = 1_000_000


class Choice(NamedTuple):
    """Some units of one stratum of a pile, and what they cost."""

    pile: int
    place: int
    units: int
    worth: int


class Parts(NamedTuple):
    """Parts of piles: what they cost and cost at first, units, and the room above floors."""

    worths: Sequence[int]
    originals: Sequence[int]
    units: Sequence[int]
    rooms: Sequence[int]


def count_before(position: int, *, skip: int, every: int) -> int:
    """Return how many of the first `position` in a row a pick chooses when nothing bounds it."""
    return 0 if position <= skip else (position - skip - 1) // max(every, 1) + 1


def choose_lines(
    basket: Basket, left: Sequence[int], piles: Sequence[int], pick: rules.Pick
) -> list[int]:
    """Return the piles that a pick by lines chooses, ascending."""
    sign = 1 if pick.order is rules.PickOrder.CHEAPEST else -1
    row = sorted(
        [pile for pile in piles if left[pile]],
        key=lambda pile: (sign * (left[pile] * _SCALE // basket.quantities[pile]), pile),
    )
    chosen = row[pick.skip :: max(pick.every, 1)]
    return sorted(chosen[: pick.count_max] if pick.count_max else chosen)


def choose_units(
    basket: Basket,
    left: Sequence[int],
    ledger: strata.Ledger,
    piles: Sequence[int],
    pick: rules.Pick,
) -> list[Choice]:
    """Return the units that a pick chooses, by pile and stratum.

    A pile stands where its dearest unit stands; its units that were touched come last.
    """
    rows = _line_up(basket, left, ledger, piles, cheapest=pick.order is rules.PickOrder.CHEAPEST)
    chosen = []
    position, rest = 0, pick.count_max or -1
    rest_by_pile: dict[int, int] = {}
    for pile, place, one in rows:
        if not rest:
            break
        count = count_before(position + one.units, skip=pick.skip, every=pick.every)
        count -= count_before(position, skip=pick.skip, every=pick.every)
        position += one.units
        if rest > 0:
            count = min(count, rest)
        if pick.units_per_line_max:
            count = min(count, rest_by_pile.setdefault(pile, pick.units_per_line_max))
            rest_by_pile[pile] -= count
        if count:
            rest -= count if rest > 0 else 0
            worth = (2 * one.amount * count + one.units) // (2 * one.units)
            chosen.append(Choice(pile, place, count, worth))
    return sorted(chosen)


def _line_up(
    basket: Basket,
    left: Sequence[int],
    ledger: strata.Ledger,
    piles: Sequence[int],
    *,
    cheapest: bool,
) -> list[tuple[int, int, strata.Stratum]]:
    sign = 1 if cheapest else -1
    keyed = []
    for pile in piles:
        if basket.count_units(pile):
            found = [
                (one.amount * _SCALE // one.units, place, one)
                for place, one in enumerate(strata.look(basket, left, ledger, pile))
                if one.amount
            ]
            if found:
                dearest = sign * max(found)[0]
                keyed += [((dearest, pile, -value, p), (pile, p, one)) for value, p, one in found]
    return [row for _, row in sorted(keyed)]


def compile_cut(kind: rules.RewardKind, basis: rules.Basis) -> Cut:
    """Return the function from parts of piles to what comes off each, never more than its room."""
    match kind:
        case rules.PercentOff():
            return _compile_percent(kind.basis_points, original=basis is rules.Basis.ORIGINAL)
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            amount = kind.amount_minor
            return lambda parts: [
                min(room, units * amount)
                for room, units in zip(parts.rooms, parts.units, strict=True)
            ]
        case rules.AmountOff(spread=rules.AmountSpread.EACH_LINE):
            amount = kind.amount_minor
            return lambda parts: [min(room, amount) for room in parts.rooms]
        case rules.AmountOff():
            amount = kind.amount_minor
            return lambda parts: amounts.spread_within(amount, parts.worths, parts.rooms)
        case rules.FixedPrice():
            return _compile_price(kind.unit_price_minor)
    raise TypeError(f"{type(kind).__name__} takes no money off units")


def _compile_percent(basis_points: int, *, original: bool) -> Cut:
    def cut(parts: Parts) -> list[int]:
        source = parts.originals if original else parts.worths
        return [
            min(room, (worth * basis_points + _HALF) // amounts.BASIS_POINTS)
            for room, worth in zip(parts.rooms, source, strict=True)
        ]

    return cut


def _compile_price(unit_price_minor: int) -> Cut:
    def cut(parts: Parts) -> list[int]:
        return [
            max(0, min(room, worth - units * unit_price_minor))
            for room, worth, units in zip(parts.rooms, parts.worths, parts.units, strict=True)
        ]

    return cut


def measure(basket: Basket, left: Sequence[int], shares: Sequence[tuple[int, int, int]]) -> Parts:
    """Return the parts of piles that (pile, units, worth) name, one for each pile."""
    worths, originals, units, rooms = [], [], [], []
    for pile, count, worth in shares:
        floor = strata.find_floor(basket, pile, count)
        worths.append(worth)
        units.append(count)
        originals.append(_find_original(basket, pile, count))
        rooms.append(max(0, min(worth - floor, left[pile] - basket.floors[pile])))
    return Parts(worths, originals, units, rooms)


def _find_original(basket: Basket, pile: int, units: int) -> int:
    if basket.weighed >> pile & 1:
        return basket.amounts[pile]
    quantity = basket.quantities[pile]
    return (2 * basket.amounts[pile] * units * amounts.THOUSANDTHS + quantity) // (2 * quantity)
