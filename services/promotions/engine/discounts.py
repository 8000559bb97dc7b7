"""Rewards that take money off, compiled.

No discount takes a pile below its floor, at any moment: the check of floors is part of every
amount, so that what one pile cannot take may still move to others.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from services.promotions.engine import amounts, filters, rules
from services.promotions.engine.baskets import Basket
from services.promotions.engine.decisions import OutcomeReason
from services.promotions.engine.offers import Offer, Shares, merge, refuse

_Cutter: TypeAlias = Callable[[Basket, Sequence[int], Sequence[int]], list[int]]
_Giver: TypeAlias = Callable[[Basket, Sequence[int]], Shares]
Discounter: TypeAlias = Callable[[Basket, Sequence[int], int | None], Offer]
_HALF = amounts.BASIS_POINTS // 2
_HALF_UNIT = amounts.THOUSANDTHS // 2


def compile_discounts(given: rules.Rules) -> Discounter:
    """Return the function from a basket, what is left of it and a budget to the discounts."""
    rewards = [
        (filters.compile_filter(reward.target), _compile_cut(reward, given.combination.basis))
        for reward in given.rewards
    ]
    give = _compile_one(*rewards[0]) if len(rewards) == 1 else _compile_several(rewards)

    def offer(basket: Basket, left: Sequence[int], budget: int | None) -> Offer:
        piles, given_amounts = give(basket, left)
        desired = sum(given_amounts)
        if not desired:
            return refuse(_why_nothing(piles, basket, left))
        if budget is not None and budget < desired:
            return Offer(budget, piles, amounts.fill(budget, given_amounts), desired)
        return Offer(desired, piles, given_amounts, desired)

    return offer


def _compile_one(select: filters.Selector, cut: _Cutter) -> _Giver:
    def give(basket: Basket, left: Sequence[int]) -> Shares:
        piles = basket.places(select(basket))
        return piles, cut(basket, left, piles)

    return give


def _compile_several(rewards: Sequence[tuple[filters.Selector, _Cutter]]) -> _Giver:
    """Let each reward give on what those before it have left."""

    def give(basket: Basket, left: Sequence[int]) -> Shares:
        shares: list[Shares] = []
        rest = list(left)
        for select, cut in rewards:
            piles = basket.places(select(basket))
            given = cut(basket, rest, piles)
            for pile, amount in zip(piles, given, strict=True):
                rest[pile] -= amount
            shares.append((piles, given))
        return merge(shares)

    return give


def _why_nothing(piles: Sequence[int], basket: Basket, left: Sequence[int]) -> OutcomeReason:
    if not piles:
        return OutcomeReason.NO_TARGET_ITEMS
    if not any(left[pile] for pile in piles):
        return OutcomeReason.NOTHING_LEFT_TO_DISCOUNT
    if all(left[pile] <= basket.floors[pile] for pile in piles):
        return OutcomeReason.MIN_PRICE_FLOOR
    return OutcomeReason.NO_BENEFIT


def _compile_cut(reward: rules.Reward, basis: rules.Basis) -> _Cutter:
    cut = _compile_kind(reward.kind, basis)
    amount_max = reward.amount_max
    if not amount_max:
        return cut

    def cut_capped(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        given = cut(basket, left, piles)
        return given if sum(given) <= amount_max else amounts.spread(amount_max, given)

    return cut_capped


def _compile_kind(kind: rules.RewardKind, basis: rules.Basis) -> _Cutter:
    match kind:
        case rules.PercentOff():
            return _compile_percent(kind.basis_points, basis)
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            return _compile_each_unit(kind.amount_minor)
        case rules.AmountOff(spread=rules.AmountSpread.EACH_LINE):
            return _compile_each_line(kind.amount_minor)
        case rules.AmountOff():
            return _compile_across(kind.amount_minor)
        case rules.FixedPrice():
            return _compile_fixed_price(kind.unit_price_minor)
    raise TypeError(f"{type(kind).__name__} takes no money off")


def _compile_percent(basis_points: int, basis: rules.Basis) -> _Cutter:
    original = basis is rules.Basis.ORIGINAL

    def cut(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        source = basket.amounts if original else left
        floors = basket.floors
        given = []
        for pile in piles:
            amount = (source[pile] * basis_points + _HALF) // amounts.BASIS_POINTS
            room = left[pile] - floors[pile]
            given.append(min(room, amount))
        return given

    return cut


def _compile_each_unit(amount_minor: int) -> _Cutter:
    def cut(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        return [
            min(
                basket.quantities[pile] // amounts.THOUSANDTHS * amount_minor,
                left[pile] - basket.floors[pile],
            )
            for pile in piles
        ]

    return cut


def _compile_each_line(amount_minor: int) -> _Cutter:
    def cut(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        return [min(amount_minor, left[pile] - basket.floors[pile]) for pile in piles]

    return cut


def _compile_across(amount_minor: int) -> _Cutter:
    def cut(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        return amounts.spread_within(
            amount_minor,
            [left[pile] for pile in piles],
            [left[pile] - basket.floors[pile] for pile in piles],
        )

    return cut


def _compile_fixed_price(unit_price_minor: int) -> _Cutter:
    def cut(basket: Basket, left: Sequence[int], piles: Sequence[int]) -> list[int]:
        quantities, floors = basket.quantities, basket.floors
        given = []
        for pile in piles:
            target = (quantities[pile] * unit_price_minor + _HALF_UNIT) // amounts.THOUSANDTHS
            room = left[pile] - (max(floors[pile], target))
            given.append(max(0, room))
        return given

    return cut
