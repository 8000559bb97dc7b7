"""How much of a cart points pay, and for which goods."""

import functools

from services.promotions.engine import amounts, filters
from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Facts, PointsTerms
from services.promotions.engine.decisions import PaymentBound, PaymentOffer
from services.promotions.engine.rules import EVERYTHING, ItemFilter


def find_offer(basket: Basket, left: list[int], facts: Facts, *, held: int | None) -> PaymentOffer:
    """Return how much points may pay, and what keeps them from paying more.

    `held` is what the member still has, None when nobody knows.
    """
    terms = facts.terms
    step = _step_minor(terms)
    least = max(_money_of(_up(terms.payment_min_units, terms.point_units), terms), 1)
    least = _up(least, step)
    eligible = sum([left[pile] for pile in _payable(basket, terms)])
    bound = _find_obstacle(sum(left), eligible, facts)
    most = 0
    if bound is None:
        allowed = eligible * terms.payment_share_max_basis_points // amounts.BASIS_POINTS
        affordable = _money_of(max(held or 0, 0), terms)
        bound = PaymentBound.BALANCE if affordable < allowed else PaymentBound.SHARE
        most = min(allowed, affordable) // step * step
        if most < least:
            bound = bound if terms.payment_min_units == 0 else PaymentBound.BELOW_MINIMUM
            most = 0
    return PaymentOffer(
        min_minor=least,
        max_minor=most,
        step_minor=step,
        eligible_minor=eligible,
        bound=bound,
    )


def choose(offer: PaymentOffer, asked_minor: int) -> int:
    """Return what points pay of what the shopper asks for: whole steps, at least the minimum."""
    chosen = min(asked_minor, offer.max_minor) // offer.step_minor * offer.step_minor
    return chosen if chosen >= offer.min_minor else 0


def _find_obstacle(total: int, eligible: int, facts: Facts) -> PaymentBound | None:
    """Return why points cannot pay at all, if that does not depend on how many there are."""
    if facts.member is None:
        is_known = facts.identity_answered
        return PaymentBound.MEMBER_UNKNOWN if is_known else PaymentBound.UNANSWERED
    if facts.member.points_balance is None:
        return PaymentBound.UNANSWERED
    if total < facts.terms.payment_receipt_min_minor:
        return PaymentBound.RECEIPT_TOO_SMALL
    return None if eligible else PaymentBound.NO_GOODS


def _payable(basket: Basket, terms: PointsTerms) -> list[int]:
    mask = basket.payable
    if terms.payment_goods is not EVERYTHING:
        mask &= _selector(terms.payment_goods)(basket)
    return basket.places(mask)


@functools.lru_cache(maxsize=16)
def _selector(goods: ItemFilter) -> filters.Selector:
    return filters.compile_filter(goods)


def _step_minor(terms: PointsTerms) -> int:
    units = max(_up(terms.payment_step_units, terms.point_units), terms.point_units)
    return _money_of(units, terms)


def _money_of(units: int, terms: PointsTerms) -> int:
    return units // terms.point_units * terms.point_value_minor


def _up(amount: int, step: int) -> int:
    """Return the smallest multiple of the step that is not below the amount."""
    return -(-amount // step) * step


def whole_steps(amount_minor: int, terms: PointsTerms) -> int:
    """Return the amount without the part that whole points cannot pay."""
    return amount_minor - amount_minor % terms.point_value_minor


def points_for(amount_minor: int, terms: PointsTerms) -> int:
    """Return the points, in the asset's smallest unit, that pay an amount of whole steps."""
    return amount_minor // terms.point_value_minor * terms.point_units


def pay(basket: Basket, left: list[int], amount_minor: int, *, terms: PointsTerms) -> list[int]:
    """Return what points pay for each pile, in proportion to what is left of the eligible ones.

    An amount above what is left of them is cut to it.
    """
    weights = [0] * len(left)
    for pile in _payable(basket, terms):
        weights[pile] = left[pile]
    return amounts.spread(min(amount_minor, sum(weights)), weights)
