"""Units of a pile that no longer cost the same, or are part of sets.

A pile is one stratum until a campaign touches some of its units and not others. Strata share out
to the minor unit what is left of the pile's whole units; a rest below a unit is in none of them.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts
from services.promotions.engine.baskets import Basket

QUALIFIER: Final = 1
TARGET: Final = 2
BOTH: Final = QUALIFIER | TARGET


class Stratum(NamedTuple):
    """Units that are alike: how many, what they cost together, and what sets made of them.

    `roles` are what campaigns of sets did with them, `allowed` what all of those let others do.
    """

    units: int
    amount: int
    roles: int = 0
    allowed: int = BOTH


Strata: TypeAlias = tuple[Stratum, ...]
Ledger: TypeAlias = Mapping[int, Strata]


def look(basket: Basket, left: list[int], ledger: Ledger, pile: int) -> Strata:
    """Return the strata of a pile; goods sold by weight are one unit."""
    if pile in ledger:
        return ledger[pile]
    if basket.weighed >> pile & 1:
        return (Stratum(1, left[pile]),)
    quantity = basket.quantities[pile]
    units = quantity // amounts.THOUSANDTHS
    if not units:
        return ()
    whole = units * amounts.THOUSANDTHS
    return (Stratum(units, left[pile] if whole == quantity else left[pile] * whole // quantity),)


def find_floor(basket: Basket, pile: int, units: int) -> int:
    """Return the least that so many units of a pile may cost, rounded up."""
    floor = basket.floors[pile]
    if not floor or basket.weighed >> pile & 1:
        return floor
    return -(-floor * units * amounts.THOUSANDTHS // basket.quantities[pile])


def total_with_rest(
    basket: Basket, left: list[int], ledger: Ledger, touched: Ledger, pile: int
) -> int:
    """Return what a pile costs when its units cost what `touched` says and its rest what it did."""
    before = sum([one.amount for one in look(basket, left, ledger, pile)])
    return left[pile] - before + sum([one.amount for one in touched[pile]])


def settle(strata: Strata, *, before: int, after: int) -> Strata:
    """Return the strata of a pile that cost `before` and now costs `after` as a whole.

    What came off, or was put back, lies on units and rest in proportion to what they cost.
    """
    if len(strata) == 1 and strata[0].amount == before:
        units, _, roles, allowed = strata[0]
        return (Stratum(units, after, roles, allowed),)
    weights = [one.amount for one in strata]
    rest = before - sum(weights)
    if before:
        shares = amounts.spread(after, [*weights, rest])
    else:
        shares = amounts.spread(after, [one.units for one in strata]) if strata else []
    return tuple(
        [
            Stratum(units, share, roles, allowed)
            for (units, _, roles, allowed), share in zip(strata, shares, strict=False)
        ]
    )


def merge(strata: Iterable[Stratum]) -> Strata:
    """Return strata in a fixed order, alike ones as one, without empty ones."""
    found: dict[tuple[int, int, int, int], Stratum] = {}
    for units, amount, roles, allowed in strata:
        if units:
            key = (roles, allowed, amount // units, amount % units == 0)
            same = found.get(key)
            more, worth = (0, 0) if same is None else same[:2]
            found[key] = Stratum(units + more, amount + worth, roles, allowed)
    return tuple([found[key] for key in sorted(found)])
