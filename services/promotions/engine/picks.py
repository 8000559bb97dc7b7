"""Picks: which of the goods a reward is for, and what a reward takes off a part of a pile."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts, rules, strata
from services.promotions.engine.baskets import Basket
from services.promotions.engine.offers import Turn

Cut: TypeAlias = Callable[["Parts"], list[int]]
_SCALE: Final = 1_000_000
_ENDLESS: Final = 1 << 62


class Choice(NamedTuple):
    """Some units of one stratum of a pile, and what they cost."""

    pile: int
    place: int
    units: int
    worth: int


class Parts(NamedTuple):
    """Parts of piles: what they cost, whole units, quantities, and the room above floors."""

    basket: Basket
    begun: list[int]
    piles: list[int]
    worths: list[int]
    units: list[int]
    thousandths: list[int]
    rooms: list[int]


def count_before(position: int, *, skip: int, every: int) -> int:
    """Return how many of the first `position` in a row a pick chooses when nothing bounds it."""
    return 0 if position <= skip else (position - skip - 1) // max(every, 1) + 1


def choose_lines(basket: Basket, left: list[int], piles: list[int], pick: rules.Pick) -> list[int]:
    """Return the piles that a pick by lines chooses, ascending."""
    sign = 1 if pick.order is rules.PickOrder.CHEAPEST else -1
    row = sorted(
        [pile for pile in piles if left[pile]],
        key=lambda pile: (sign * (left[pile] * _SCALE // basket.quantities[pile]), pile),
    )
    chosen = row[pick.skip :: max(pick.every, 1)]
    return sorted(chosen[: pick.count_max] if pick.count_max else chosen)


def choose_units(turn: Turn, piles: list[int], pick: rules.Pick) -> list[Choice]:
    """Return the units that a pick chooses, by pile and stratum.

    A pile stands where its dearest unit stands; its units that were touched come last. What the
    turn has left of units bounds the choice as well.
    """
    cheapest = pick.order is rules.PickOrder.CHEAPEST
    rows = line_up(turn.basket, turn.left, turn.strata, piles, cheapest=cheapest)
    chosen = []
    position = before = 0
    rest = pick.count_max or _ENDLESS
    if turn.units is not None:
        rest = min(rest, turn.units)
    rest_by_pile: dict[int, int] = {}
    rest_by_sku = None if turn.article_units is None else dict(turn.article_units)
    for pile, place, one in rows:
        if not rest:
            break
        position += one.units
        upto = count_before(position, skip=pick.skip, every=pick.every)
        count = min(upto - before, rest)
        before = upto
        if pick.units_per_line_max:
            count = min(count, rest_by_pile.setdefault(pile, pick.units_per_line_max))
            rest_by_pile[pile] -= count
        if rest_by_sku is not None:
            sku = turn.basket.skus[pile]
            count = min(count, rest_by_sku.get(sku, 0))
            rest_by_sku[sku] = rest_by_sku.get(sku, 0) - count
        if count:
            rest -= count
            worth = (2 * one.amount * count + one.units) // (2 * one.units)
            chosen.append(Choice(pile, place, count, worth))
    return sorted(chosen)


def line_up(
    basket: Basket,
    left: list[int],
    ledger: strata.Ledger,
    piles: list[int],
    *,
    cheapest: bool,
) -> list[tuple[int, int, strata.Stratum]]:
    """Return (pile, its stratum's place, stratum) in the order in which units are chosen."""
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
                keyed += [(dearest, pile, -value, place, one) for value, place, one in found]
    return [(pile, place, one) for _, pile, _, place, one in sorted(keyed)]


def compile_cut(
    kind: rules.RewardKind,
    basis: rules.Basis,
    floor_rest: rules.FloorRest = rules.FloorRest.AS_KIND,
) -> Cut:
    """Return the function from parts of piles to what comes off each, never more than its room."""
    match kind:
        case rules.PercentOff():
            return _compile_percent(kind, basis, move=floor_rest is rules.FloorRest.MOVE)
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            amount = kind.amount_minor
            return lambda parts: [
                min(room, units * amount) for room, units in zip(parts.rooms, parts.units)
            ]
        case rules.AmountOff(spread=rules.AmountSpread.EACH_LINE):
            amount = kind.amount_minor
            return lambda parts: [min(room, amount) for room in parts.rooms]
        case rules.AmountOff():
            return _compile_across(kind, drop=floor_rest is rules.FloorRest.DROP)
    return _compile_price(kind)


def _compile_price(kind: rules.RewardKind) -> Cut:
    match kind:
        case rules.FixedPrice():
            price = kind.unit_price_minor
            return lambda parts: _down_to(parts, [price] * len(parts.piles))
        case rules.SetPrice():
            return _compile_total(kind)
        case rules.PriceList():
            prices = {one.sku: one.unit_price_minor for one in kind.prices}
            return lambda parts: _down_to(
                parts, [prices.get(parts.basket.skus[pile]) for pile in parts.piles]
            )
    raise TypeError(f"{type(kind).__name__} takes no money off goods")


def _compile_across(kind: rules.AmountOff, *, drop: bool) -> Cut:
    amount, share_by = kind.amount_minor, kind.share_by

    def cut(parts: Parts) -> list[int]:
        rooms = parts.rooms
        match share_by:
            case rules.ShareBy.QUANTITY:
                weights = [q if room else 0 for q, room in zip(parts.thousandths, rooms)]
            case rules.ShareBy.LINE:
                weights = [1 if room else 0 for room in rooms]
            case _:
                weights = list(parts.worths)
        if not drop:
            return amounts.spread_within(amount, weights, rooms)
        if not any(weights):
            return [0] * len(weights)
        shares = amounts.spread(amount, weights)
        return [min(room, share) for room, share in zip(rooms, shares)]

    return cut


def _compile_total(kind: rules.SetPrice) -> Cut:
    """Bring all goods together down to one price, each by its part of what they cost."""

    def cut(parts: Parts) -> list[int]:
        off = max(0, sum(parts.worths) - kind.price_minor)
        return amounts.spread_within(off, parts.worths, parts.rooms)

    return cut


def _compile_percent(kind: rules.PercentOff, basis: rules.Basis, *, move: bool) -> Cut:
    share = amounts.compile_percent(kind.basis_points, kind.rounding)
    by_unit = kind.rounding_unit is rules.RoundingUnit.EACH
    in_total = kind.rounding_unit is rules.RoundingUnit.TOTAL

    def cut(parts: Parts) -> list[int]:
        sources = _find_sources(parts, basis)
        if in_total:
            wanted = amounts.spread(share(sum(sources)), sources)
        elif by_unit:
            wanted = [
                _share_by_unit(share, amount, units) for amount, units in zip(sources, parts.units)
            ]
        else:
            wanted = [share(amount) for amount in sources]
        given = [min(room, amount) for room, amount in zip(parts.rooms, wanted)]
        if move and (rest := sum(wanted) - sum(given)):
            rooms = [room - amount for room, amount in zip(parts.rooms, given)]
            more = amounts.spread_within(rest, parts.worths, rooms)
            given = [amount + extra for amount, extra in zip(given, more)]
        return given

    return cut


def _share_by_unit(share: Callable[[int], int], amount: int, units: int) -> int:
    """Return the percentage of units that cost the same but for the cents that they share."""
    if units < 1:
        return share(amount)
    each, dearer = divmod(amount, units)
    return (units - dearer) * share(each) + dearer * share(each + 1)


def _find_sources(parts: Parts, basis: rules.Basis) -> list[int]:
    """Return what percentages are of."""
    if basis is rules.Basis.ORIGINAL:
        wholes = parts.basket.amounts
    elif basis is rules.Basis.LANE:
        wholes = parts.begun
    else:
        return parts.worths
    quantities = parts.basket.quantities
    return [
        (2 * wholes[pile] * quantity + quantities[pile]) // (2 * quantities[pile])
        for pile, quantity in zip(parts.piles, parts.thousandths)
    ]


def _down_to(parts: Parts, prices: Sequence[int | None]) -> list[int]:
    """Return what comes off to reach these prices of a unit or kilogram."""
    return [
        0
        if unit_price is None
        else max(
            0,
            min(
                room,
                worth - amounts.price(quantity_thousandths=quantity, unit_price_minor=unit_price),
            ),
        )
        for room, worth, quantity, unit_price in zip(
            parts.rooms, parts.worths, parts.thousandths, prices
        )
    ]


def take_whole(turn: Turn, piles: list[int]) -> Parts:
    """Return whole piles as parts; of goods sold by weight full kilograms count as units."""
    basket, left = turn.basket, turn.left
    quantities = [basket.quantities[pile] for pile in piles]
    return Parts(
        basket,
        turn.begun,
        piles,
        [left[pile] for pile in piles],
        [quantity // amounts.THOUSANDTHS for quantity in quantities],
        quantities,
        [left[pile] - basket.floors[pile] for pile in piles],
    )


def measure(
    basket: Basket,
    left: list[int],
    begun: list[int],
    shares: Sequence[tuple[int, int, int]],
) -> Parts:
    """Return the parts of piles that (pile, units, worth) name, one for each pile."""
    worths, units, thousandths, rooms = [], [], [], []
    for pile, count, worth in shares:
        floor = strata.find_floor(basket, pile, count)
        whole = basket.weighed >> pile & 1
        worths.append(worth)
        units.append(count)
        thousandths.append(basket.quantities[pile] if whole else count * amounts.THOUSANDTHS)
        rooms.append(max(0, min(worth - floor, left[pile] - basket.floors[pile])))
    piles = [pile for pile, _, _ in shares]
    return Parts(basket, begun, piles, worths, units, thousandths, rooms)
