"""Arithmetic of amounts: whole numbers only, every remainder placed, nothing lost."""

from collections.abc import Callable
from typing import Final

from services.promotions.engine.rules import Rounding

AMOUNT_MAX_MINOR: Final = 1_000_000_000_000
BASIS_POINTS: Final = 10_000
THOUSANDTHS: Final = 1_000


def price(*, quantity_thousandths: int, unit_price_minor: int) -> int:
    """Return quantity times price, rounded half up."""
    return (quantity_thousandths * unit_price_minor + THOUSANDTHS // 2) // THOUSANDTHS


def price_up(*, quantity_thousandths: int, unit_price_minor: int) -> int:
    """Return quantity times price, rounded up: the least that keeps every unit at this price."""
    return -(-quantity_thousandths * unit_price_minor // THOUSANDTHS)


def compile_percent(basis_points: int, rounding: Rounding) -> Callable[[int], int]:
    """Return the function from an amount to a percentage of it."""
    whole, half = BASIS_POINTS, BASIS_POINTS // 2

    def half_even(amount: int) -> int:
        share, rest = divmod(amount * basis_points, whole)
        return share + (rest > half or (rest == half and share % 2 == 1))

    match rounding:
        case Rounding.HALF_EVEN:
            return half_even
        case Rounding.DOWN:
            return lambda amount: amount * basis_points // whole
        case Rounding.UP:
            return lambda amount: -(-amount * basis_points // whole)
    return lambda amount: (amount * basis_points + half) // whole


def spread(total: int, weights: list[int]) -> list[int]:
    """Return `total` divided in proportion to the weights by the largest remainder.

    Ties go to the larger weight, then to the earlier place. Zero weights get nothing; without any
    positive weight the total must be 0. Never more than `ceil(total * weight / sum)` at one place.
    """
    whole = sum(weights)
    if not total or not whole:
        assert not total, "an amount needs something to lie on"
        return [0] * len(weights)
    if len(weights) == 1:
        return [total]
    products = [total * weight for weight in weights]
    shares = [product // whole for product in products]
    rest = total - sum(shares)
    if rest:
        remainders = [product % whole for product in products]
        ranked = sorted(remainders, reverse=True)
        least = ranked[rest - 1]
        if least > ranked[rest]:  # no tie about the last place, and mostly there is none
            return [
                share + 1 if remainder >= least else share
                for share, remainder in zip(shares, remainders)
            ]
        backwards = range(0, -len(shares), -1)
        order = sorted(zip(remainders, weights, backwards), reverse=True)
        for _, _, place in order[:rest]:
            shares[-place] += 1
    return shares


def spread_within(total: int, weights: list[int], ceilings: list[int]) -> list[int]:
    """Return `total` divided like `spread`, but at no place above its ceiling.

    What a full place cannot take moves on to the others in proportion to their weights, again and
    again until it fits. A total above the sum of the ceilings is cut to it. Places with a ceiling
    must have a weight.
    """
    total = min(total, sum(ceilings))
    if weights == ceilings:
        return spread(total, weights)  # no share is above its own weight
    shares = [0] * len(weights)
    open_places = [place for place, ceiling in enumerate(ceilings) if ceiling > 0]
    while open_places:
        whole = sum(weights[place] for place in open_places)
        full = [p for p in open_places if total * weights[p] > ceilings[p] * whole]
        if not full:
            break
        for place in full:
            shares[place] = ceilings[place]
            total -= ceilings[place]
        open_places = [place for place in open_places if not shares[place]]
    for place, share in zip(open_places, spread(total, [weights[p] for p in open_places])):
        shares[place] = share
    return shares


def fill(total: int, ceilings: list[int]) -> list[int]:
    """Return `total` handed out in order, each place served fully before the next."""
    shares = []
    for ceiling in ceilings:
        share = min(ceiling, total)
        shares.append(share)
        total -= share
    return shares
