"""How much of a cart points pay, and for which goods."""

from collections.abc import Sequence

from services.promotions.engine import amounts
from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Facts, PointsTerms


def find_max(basket: Basket, left: Sequence[int], facts: Facts) -> int:
    """Return the most that points may pay, in minor units: whole steps, share, balance."""
    member, terms = facts.member, facts.terms
    if member is None or not member.points_balance or member.points_balance < 0:
        return 0
    eligible = sum([left[pile] for pile in basket.places(basket.payable)])
    allowed = eligible * terms.payment_share_max_basis_points // amounts.BASIS_POINTS
    steps = min(allowed // terms.point_value_minor, member.points_balance // terms.point_units)
    return steps * terms.point_value_minor


def whole_steps(amount_minor: int, terms: PointsTerms) -> int:
    """Return the amount without the part that whole points cannot pay."""
    return amount_minor - amount_minor % terms.point_value_minor


def points_for(amount_minor: int, terms: PointsTerms) -> int:
    """Return the points, in the asset's smallest unit, that pay an amount of whole steps."""
    return amount_minor // terms.point_value_minor * terms.point_units


def pay(basket: Basket, left: Sequence[int], amount_minor: int) -> list[int]:
    """Return what points pay for each pile, in proportion to what is left of the eligible ones.

    An amount above what is left of them is cut to it.
    """
    weights = [0] * len(left)
    for pile in basket.places(basket.payable):
        weights[pile] = left[pile]
    return amounts.spread(min(amount_minor, sum(weights)), weights)
