"""Rewards that give points, compiled.

Points are for money: goods earn by what is paid for them after discounts, without what points
pay. Goods for which no money is left to pay earn nothing, not even points by the piece.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from services.promotions.engine import amounts, filters, rules
from services.promotions.engine.baskets import Basket, places
from services.promotions.engine.carts import PointsTerms
from services.promotions.engine.decisions import OutcomeReason
from services.promotions.engine.offers import Offer, Shares, merge, refuse

_Earn: TypeAlias = Callable[[Basket, Sequence[int], Sequence[int], PointsTerms], list[int]]
Earner: TypeAlias = Callable[[Basket, Sequence[int], PointsTerms], Offer]
_FACTOR_ONE = 100


def compile_earnings(given: rules.Rules) -> Earner:
    """Return the function from a basket, the money paid for it and the terms to the points."""
    rewards = tuple(
        (filters.compile_filter(reward.target), _compile_earn(reward), _expire_days(reward.kind))
        for reward in given.rewards
    )

    def offer(basket: Basket, money: Sequence[int], terms: PointsTerms) -> Offer:
        shares: list[Shares] = []
        lots: dict[int, int] = {}
        found = 0
        for select, earn, expire_days in rewards:
            mask = select(basket) & basket.earning
            found |= mask
            piles = [pile for pile in basket.places(mask) if money[pile]]
            points = earn(basket, money, piles, terms)
            shares.append((piles, points))
            lots[expire_days] = lots.get(expire_days, 0) + sum(points)
        touched, given_points = merge(shares)
        total = sum(given_points)
        if not total:
            return refuse(_why_nothing(found, touched))
        kept = tuple((days, lot) for days, lot in sorted(lots.items()) if lot)
        return Offer(total, touched, given_points, total, lots=kept)

    return offer


def _why_nothing(found: int, piles: Sequence[int]) -> OutcomeReason:
    if not found:
        return OutcomeReason.NO_TARGET_ITEMS
    return OutcomeReason.NO_BENEFIT if piles else OutcomeReason.NOTHING_LEFT_TO_DISCOUNT


def _expire_days(kind: rules.RewardKind) -> int:
    return kind.expire_days if isinstance(kind, rules.EarnPoints) else 0


def _compile_earn(reward: rules.Reward) -> _Earn:
    earn = _compile_kind(reward.kind)
    points_max = reward.amount_max
    if not points_max:
        return earn

    def earn_capped(
        basket: Basket, money: Sequence[int], piles: Sequence[int], terms: PointsTerms
    ) -> list[int]:
        points = earn(basket, money, piles, terms)
        return points if sum(points) <= points_max else amounts.spread(points_max, points)

    return earn_capped


def _compile_kind(kind: rules.RewardKind) -> _Earn:
    match kind:
        case rules.EarnPercent():
            return _compile_percent(kind)
        case rules.EarnPoints(spread=rules.PointsSpread.EACH_UNIT):
            return _compile_each_unit(kind.points)
        case rules.EarnPoints(spread=rules.PointsSpread.EACH_STEP):
            return _compile_each_step(kind.points, step_minor=kind.step_minor)
        case rules.EarnPoints():
            return _compile_once(kind.points)
    raise TypeError(f"{type(kind).__name__} gives no points")


def _compile_percent(kind: rules.EarnPercent) -> _Earn:
    multipliers = tuple(
        (filters.compile_filter(one.filter), one.factor_hundredths) for one in kind.multipliers
    )

    def earn(
        basket: Basket, money: Sequence[int], piles: Sequence[int], terms: PointsTerms
    ) -> list[int]:
        factors = dict.fromkeys(piles, _FACTOR_ONE)
        taken = 0
        for select, factor in multipliers:
            mask = select(basket) & ~taken
            taken |= mask
            for pile in places(mask):
                if pile in factors:
                    factors[pile] = factor
        weights = [money[pile] * factors[pile] for pile in piles]
        value = sum(weights) * kind.basis_points * terms.point_units
        divisor = _FACTOR_ONE * amounts.BASIS_POINTS * terms.point_value_minor
        return amounts.spread(value // divisor, weights)

    return earn


def _compile_each_unit(points: int) -> _Earn:
    def earn(
        basket: Basket, _money: Sequence[int], piles: Sequence[int], _terms: PointsTerms
    ) -> list[int]:
        return [basket.quantities[pile] // amounts.THOUSANDTHS * points for pile in piles]

    return earn


def _compile_each_step(points: int, *, step_minor: int) -> _Earn:
    def earn(
        _basket: Basket, money: Sequence[int], piles: Sequence[int], _terms: PointsTerms
    ) -> list[int]:
        weights = [money[pile] for pile in piles]
        return amounts.spread(sum(weights) // step_minor * points, weights)

    return earn


def _compile_once(points: int) -> _Earn:
    def earn(
        _basket: Basket, money: Sequence[int], piles: Sequence[int], _terms: PointsTerms
    ) -> list[int]:
        return amounts.spread(points if piles else 0, [money[pile] for pile in piles])

    return earn
