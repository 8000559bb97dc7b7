"""Rewards that take money off, compiled.

No discount takes a pile below its floor, at any moment: the check of floors is part of every
amount, so that what one pile cannot take may still move to others.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from services.promotions.engine import amounts, filters, picks, rules, strata
from services.promotions.engine.baskets import Basket
from services.promotions.engine.decisions import OutcomeReason
from services.promotions.engine.offers import Offer, Shares, merge, refuse

_Cutter: TypeAlias = Callable[[Basket, Sequence[int], Sequence[int]], list[int]]
_Gift: TypeAlias = tuple[Sequence[int], list[int], strata.Ledger | None]
_Giver: TypeAlias = Callable[[Basket, Sequence[int], strata.Ledger], _Gift]
Discounter: TypeAlias = Callable[[Basket, Sequence[int], strata.Ledger, int | None], Offer]
_HALF = amounts.BASIS_POINTS // 2
_HALF_UNIT = amounts.THOUSANDTHS // 2


def compile_discounts(given: rules.Rules) -> Discounter:
    """Return the function from a basket, what is left of it and a budget to the discounts."""
    givers = [_compile_reward(reward, given.combination.basis) for reward in given.rewards]
    give = givers[0] if len(givers) == 1 else _compile_several(givers)

    def offer(
        basket: Basket, left: Sequence[int], ledger: strata.Ledger, budget: int | None
    ) -> Offer:
        piles, given_amounts, touched = give(basket, left, ledger)
        desired = sum(given_amounts)
        if not desired:
            return refuse(why_nothing(piles, basket, left))
        if budget is not None and budget < desired:
            given_amounts = amounts.fill(budget, given_amounts)
            return Offer(budget, piles, given_amounts, desired, strata=touched)
        return Offer(desired, piles, given_amounts, desired, strata=touched)

    return offer


def _compile_reward(reward: rules.Reward, basis: rules.Basis) -> _Giver:
    select = filters.compile_filter(reward.target)
    pick = reward.pick
    if pick is not None and pick.by is rules.PickBy.UNIT:
        return _compile_picked(reward, pick, basis)
    cut = _compile_cut(reward, basis)

    def give(basket: Basket, left: Sequence[int], _ledger: strata.Ledger) -> _Gift:
        piles = basket.places(select(basket))
        if pick is not None:
            piles = picks.choose_lines(basket, left, piles, pick)
        return piles, cut(basket, left, piles), None

    return give


def _compile_picked(reward: rules.Reward, pick: rules.Pick, basis: rules.Basis) -> _Giver:
    """Give on some units of the piles; what is left of the others stays as it is."""
    select = filters.compile_filter(reward.target)
    cut = picks.compile_cut(reward.kind, basis)
    amount_max = reward.amount_max

    def give(basket: Basket, left: Sequence[int], ledger: strata.Ledger) -> _Gift:
        found = basket.places(select(basket))
        by_pile: dict[int, list[picks.Choice]] = {}
        for choice in picks.choose_units(basket, left, ledger, found, pick):
            by_pile.setdefault(choice.pile, []).append(choice)
        if not by_pile:
            return found, [0] * len(found), None
        piles = list(by_pile)
        shares = [
            (pile, sum([one.units for one in chosen]), sum([one.worth for one in chosen]))
            for pile, chosen in by_pile.items()
        ]
        given = cut(picks.measure(basket, left, shares))
        if amount_max and sum(given) > amount_max:
            given = amounts.spread(amount_max, given)
        touched = {
            pile: _split(strata.look(basket, left, ledger, pile), by_pile[pile], amount)
            for pile, amount in zip(piles, given, strict=True)
        }
        return piles, given, touched

    return give


def _split(found: strata.Strata, chosen: Sequence[picks.Choice], amount: int) -> strata.Strata:
    """Take an amount off the chosen units of a pile, in proportion to what they cost."""
    units = list(found)
    shares = amounts.spread(amount, [choice.worth for choice in chosen])
    for choice, share in zip(chosen, shares, strict=True):
        one = units[choice.place]
        units[choice.place] = one._replace(
            units=one.units - choice.units, amount=one.amount - choice.worth
        )
        units.append(one._replace(units=choice.units, amount=choice.worth - share))
    return strata.merge(units)


def _compile_several(givers: Sequence[_Giver]) -> _Giver:
    """Let each reward give on what those before it have left."""

    def give(basket: Basket, left: Sequence[int], ledger: strata.Ledger) -> _Gift:
        shares: list[Shares] = []
        rest = list(left)
        now = dict(ledger)
        for one in givers:
            piles, given, touched = one(basket, rest, now)
            for pile, amount in zip(piles, given, strict=True):
                before = rest[pile]
                rest[pile] -= amount
                if touched is None and pile in now:
                    now[pile] = strata.settle(now[pile], before=before, after=rest[pile])
            if touched is not None:
                now.update(touched)
            shares.append((piles, given))
        return *merge(shares), now or None

    return give


def why_nothing(piles: Sequence[int], basket: Basket, left: Sequence[int]) -> OutcomeReason:
    """Return the reason for an offer of nothing on these piles."""
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
