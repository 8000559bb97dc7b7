"""Scales, compiled: more for who buys more."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from services.promotions.engine import amounts, filters, picks, rules
from services.promotions.engine.baskets import Basket, places
from services.promotions.engine.decisions import NearMiss, OutcomeReason
from services.promotions.engine.discounts import Discounter, bound, why_nothing
from services.promotions.engine.offers import Offer, Turn, count_units, merge, refuse

_Turn = TypeVar("_Turn")


def split(given: rules.Rules, scale: rules.Scale) -> list[rules.Rules]:
    """Return the rules of each step alone."""
    return [replace(given, rewards=step.rewards, scale=None) for step in scale.steps]


def compile_discounts(
    given: rules.Rules, scale: rules.Scale, compile_one: Callable[[rules.Rules], Discounter]
) -> Discounter:
    """Return the function from a campaign's turn to what the step that it reaches gives."""
    if scale.progressive:
        return _compile_progressive(given, scale)
    offers = [compile_one(one) for one in split(given, scale)]

    def find_amounts(turn: Turn) -> list[int]:
        match scale.basis:
            case rules.Basis.ORIGINAL:
                return turn.basket.amounts
            case rules.Basis.TURN:
                return turn.left
        return turn.begun

    return _climb(scale, offers, lambda turn: turn.basket, find_amounts, _narrow)


def _narrow(turn: Turn, basket: Basket) -> Turn:
    return turn._replace(basket=basket)


def _climb(
    scale: rules.Scale,
    offers: Sequence[Callable[[_Turn], Offer]],
    find_basket: Callable[[_Turn], Basket],
    find_amounts: Callable[[_Turn], list[int]],
    narrow: Callable[[_Turn, Basket], _Turn],
) -> Callable[[_Turn], Offer]:
    """Return the function to what the highest step gives that a turn reaches."""
    select = filters.compile_filter(scale.filter)
    begins = [step.begin for step in scale.steps]
    measure = scale.measure

    def offer(turn: _Turn) -> Offer:
        basket = find_basket(turn)
        mask = select(basket)
        value = _measure(basket, basket.places(mask), measure, find_amounts(turn))
        reached = bisect_right(begins, value) if mask else 0
        if not reached:
            return _tell_missing(value, begins[0], measure) if mask else _NOTHING
        found = offers[reached - 1](turn)
        return found._replace(details=(*found.details, ("step", str(begins[reached - 1]))))

    def offer_by_line(turn: _Turn) -> Offer:
        basket = find_basket(turn)
        source = find_amounts(turn)
        by_step: dict[int, int] = {}
        best, mask = 0, select(basket)
        for pile in basket.places(mask):
            value = _measure(basket, [pile], measure, source)
            best = max(best, value)
            reached = bisect_right(begins, value)
            by_step[reached] = by_step.get(reached, 0) | 1 << pile
        by_step.pop(0, 0)
        if not by_step:
            return _tell_missing(best, begins[0], measure) if mask else _NOTHING
        return _join(
            [
                offers[reached - 1](narrow(turn, _keep(basket, piles)))
                for reached, piles in sorted(by_step.items())
            ]
        )

    return offer_by_line if scale.each_line else offer


_NOTHING: Final = refuse(OutcomeReason.NO_TARGET_ITEMS)


def compile_earnings(
    scale: rules.Scale,
    offers: Sequence[Callable[[_Turn], Offer]],
    find_basket: Callable[[_Turn], Basket],
    find_money: Callable[[_Turn], list[int]],
    narrow: Callable[[_Turn, Basket], _Turn],
) -> Callable[[_Turn], Offer]:
    """Return the function to the points of the step that is reached by what is paid."""
    return _climb(scale, offers, find_basket, find_money, narrow)


def _measure(
    basket: Basket, piles: list[int], measure: rules.ScaleMeasure, source: list[int]
) -> int:
    match measure:
        case rules.ScaleMeasure.AMOUNT:
            return sum([source[pile] for pile in piles])
        case rules.ScaleMeasure.UNITS:
            return sum([basket.count_units(pile) for pile in piles])
    return len({basket.skus[pile] for pile in piles})


def _tell_missing(value: int, required: int, measure: rules.ScaleMeasure) -> Offer:
    """Say how far it is to the first step."""
    money = measure is rules.ScaleMeasure.AMOUNT
    name = "_minor" if money else ""
    lack = required - value
    units = 0 if money else lack * amounts.THOUSANDTHS
    near = NearMiss(lack if money else 0, units, 2 * value >= required)
    details = ((f"available{name}", str(value)), (f"required{name}", str(required)))
    return refuse(OutcomeReason.CONDITION_NOT_MET, details, near)


def _keep(basket: Basket, mask: int) -> Basket:
    """Return the basket with these goods alone."""
    return replace(
        basket,
        priced=mask,
        priced_places=places(mask),
        fees={},
        earning=basket.earning & mask,
    )


def _join(offers: Sequence[Offer]) -> Offer:
    """Return offers on different goods as one."""
    giving = [one for one in offers if one.gives]
    if not giving:
        return offers[0]
    piles, given = merge([(one.piles, one.amounts) for one in giving])
    lots: dict[int, int] = {}
    for one in giving:
        for days, lot in one.lots:
            lots[days] = lots.get(days, 0) + lot
    strata = {pile: units for one in giving for pile, units in (one.strata or {}).items()}
    return Offer(
        sum(given),
        piles,
        given,
        sum([one.desired for one in giving]),
        lots=tuple(sorted(lots.items())),
        strata=strata or None,
        presents=tuple(part for one in giving for part in one.presents),
        choices=tuple(part for one in giving for part in one.choices),
        stamps=tuple(part for one in giving for part in one.stamps),
        coupons=tuple(part for one in giving for part in one.coupons),
        units=count_units([pair for one in giving for pair in one.units]),
        sets=sum([one.sets for one in giving]),
    )


class _Slice(NamedTuple):
    """A slice of money or units, and what a percentage takes off an amount that lies on it.

    `end` is where the next one begins.
    """

    begin: int
    end: int
    share: Callable[[int], int]


def _compile_progressive(given: rules.Rules, scale: rules.Scale) -> Discounter:
    """Let each percentage lie on its own slice of money or units alone."""
    select = filters.compile_filter(scale.steps[0].rewards[0].target)
    slices = _cut_up(scale)
    first = scale.steps[0].begin
    discount = _discount_units if scale.measure is rules.ScaleMeasure.UNITS else _discount_money
    keeps_rest = given.limits.rest is rules.BudgetRest.KEEP

    def offer(turn: Turn) -> Offer:
        piles = turn.basket.places(select(turn.basket))
        value = _measure(turn.basket, piles, scale.measure, turn.left)
        if piles and value < first:
            return _tell_missing(value, first, scale.measure)
        cuts = discount(slices, turn, piles)
        if not sum(cuts):
            return refuse(why_nothing(piles, turn.basket, turn.left))
        found = Offer(sum(cuts), piles, cuts, sum(cuts))
        return bound(found, turn.budget, keeps_rest=keeps_rest)

    return offer


def _cut_up(scale: rules.Scale) -> list[_Slice]:
    begins = [step.begin for step in scale.steps]
    ends = [*begins[1:], 1 << 62]
    shares = [
        amounts.compile_percent(kind.basis_points, kind.rounding)
        for step in scale.steps
        if isinstance(kind := step.rewards[0].kind, rules.PercentOff)
    ]
    return [_Slice(*one) for one in zip(begins, ends, shares)]


def _discount_money(slices: Sequence[_Slice], turn: Turn, piles: list[int]) -> list[int]:
    """Return what comes off piles for the slices that their money fills together."""
    worths = [turn.left[pile] for pile in piles]
    rooms = [turn.left[pile] - turn.basket.floors[pile] for pile in piles]
    whole = sum(worths)
    off = sum([one.share(max(0, min(whole, one.end) - one.begin)) for one in slices])
    return amounts.spread_within(off, worths, rooms)


def _discount_units(slices: Sequence[_Slice], turn: Turn, piles: list[int]) -> list[int]:
    """Return what comes off piles when their units fill slices one by one, the dearest first."""
    off = dict.fromkeys(piles, 0)
    position = 0
    for pile, _, one in picks.line_up(turn.basket, turn.left, turn.strata, piles, cheapest=False):
        for begin, end, share in slices:
            units = min(position + one.units, end - 1) - max(position, begin - 1)
            if units > 0:
                off[pile] += share((2 * one.amount * units + one.units) // (2 * one.units))
        position += one.units
    return [min(turn.left[pile] - turn.basket.floors[pile], off[pile]) for pile in piles]
