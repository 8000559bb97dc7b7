"""Rewards that give points, stamps, coupons for later and chances of winning, compiled.

Points are for money: goods earn by what is paid for them after discounts, without what points
pay. Goods for which no money is left to pay earn nothing, not even points by the piece, and a unit
that costs nothing counts as none.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts, filters, instant_wins, rules, scales
from services.promotions.engine.baskets import Basket, places
from services.promotions.engine.carts import PointsTerms
from services.promotions.engine.decisions import OutcomeReason
from services.promotions.engine.offers import Offer, Shares, merge, refuse
from services.promotions.engine.strata import Ledger


class Till(NamedTuple):
    """What goods cost when points are counted.

    By pile: `money` is what is paid for them, `items` what they cost after the lanes of articles
    and sets, `points` what campaigns before this one give. `strata` are units that differ.
    `hands_out` is False when nothing that comes with the answer can be handed out.
    """

    basket: Basket
    money: list[int]
    items: list[int]
    points: list[int]
    strata: Ledger
    terms: PointsTerms
    hands_out: bool = True


_Earn: TypeAlias = Callable[[Till, list[int]], list[int]]
Earner: TypeAlias = Callable[[Till], Offer]
_FACTOR_ONE: Final = 100


def compile_earnings(given: rules.Rules) -> Earner:
    """Return the function from what goods cost to the points, stamps and coupons for them."""
    if given.scale is None:
        return _compile_plain(given)
    return scales.compile_earnings(
        given.scale,
        [_compile_plain(one) for one in scales.split(given, given.scale)],
        lambda till: till.basket,
        lambda till: till.money,
        lambda till, basket: till._replace(basket=basket),
    )


class _Reward(NamedTuple):
    """A reward, ready to run; its points end `expire_days` later, 0 for never by themselves."""

    select: filters.Selector
    kind: rules.RewardKind
    earn: _Earn
    expire_days: int


def _compile_plain(given: rules.Rules) -> Earner:
    rewards = [
        _Reward(
            filters.compile_filter(reward.target),
            reward.kind,
            _compile_earn(reward),
            getattr(reward.kind, "expire_days", 0),
        )
        for reward in given.rewards
    ]

    def offer(till: Till) -> Offer:
        gains = _Gains()
        found = paid = 0
        is_mute = False
        for one in rewards:
            mask = one.select(till.basket) & till.basket.earning
            found |= mask
            piles = [pile for pile in till.basket.places(mask) if till.money[pile]]
            paid += len(piles)
            if till.hands_out or not _is_handed_out(one.kind):
                gains.take(one, till, piles)
            else:
                is_mute = True
        made = gains.offer()
        if made is not None:
            return made
        unanswered = OutcomeReason.DEPENDENCY_UNAVAILABLE
        return refuse(unanswered if is_mute and paid else _why_nothing(found, paid))

    return offer


class _Gains:
    """What the rewards of a campaign give, one after the other."""

    __slots__ = ("_chances", "_coupons", "_lots", "_shares", "_stamps")

    def __init__(self) -> None:
        self._shares: list[Shares] = []
        self._lots: dict[int, int] = {}
        self._stamps: list[tuple[str, int]] = []
        self._coupons: list[tuple[str, int, int, bool]] = []
        self._chances = 0

    def take(self, reward: _Reward, till: Till, piles: list[int]) -> None:
        """Add what a reward gives for goods."""
        match kind := reward.kind:
            case rules.IssueCoupon():
                if piles:
                    one = (kind.campaign_id, kind.uses or 1, kind.expire_days, kind.bearer)
                    self._coupons.append(one)
            case rules.InstantWin():
                self._chances = sum(reward.earn(till, piles))
            case rules.EarnStamps():
                if count := sum(reward.earn(till, piles)):
                    self._stamps.append((kind.card_id, count))
            case _:
                points, days = reward.earn(till, piles), reward.expire_days
                self._shares.append((piles, points))
                self._lots[days] = self._lots.get(days, 0) + sum(points)

    def offer(self) -> Offer | None:
        """Return all of it; None for nothing."""
        touched, points = merge(self._shares)
        total, chances = sum(points), self._chances
        if not (total or self._stamps or self._coupons or chances):
            return None
        return Offer(
            total,
            touched,
            points,
            total,
            lots=tuple((days, lot) for days, lot in sorted(self._lots.items()) if lot),
            stamps=tuple(self._stamps),
            coupons=tuple(self._coupons),
            chances=chances,
            details=(("chances", str(chances)),) if chances else (),
        )


def _why_nothing(found: int, paid: int) -> OutcomeReason:
    if not found:
        return OutcomeReason.NO_TARGET_ITEMS
    return OutcomeReason.NO_BENEFIT if paid else OutcomeReason.NOTHING_LEFT_TO_DISCOUNT


def _compile_earn(reward: rules.Reward) -> _Earn:
    earn = _compile_kind(reward.kind)
    points_max = reward.amount_max
    if not points_max:
        return earn

    def earn_capped(till: Till, piles: list[int]) -> list[int]:
        points = earn(till, piles)
        return points if sum(points) <= points_max else amounts.spread(points_max, points)

    return earn_capped


def _compile_kind(kind: rules.RewardKind) -> _Earn:
    match kind:
        case rules.EarnPercent():
            return _compile_percent(kind)
        case rules.EarnPoints():
            return _compile_pieces(kind.points, kind.spread, kind.step_minor, kind.basis)
        case rules.EarnStamps():
            paid = rules.EarnBasis.PAID
            return _compile_pieces(kind.stamps, kind.spread, kind.step_minor, paid)
        case rules.InstantWin():
            return _compile_chances(kind)
        case rules.MultiplyPoints():
            return _compile_multiplier(kind.factor_hundredths)
        case rules.IssueCoupon():
            return lambda _till, piles: [0] * len(piles)
    raise TypeError(f"{type(kind).__name__} gives no points")


def _find_source(till: Till, basis: rules.EarnBasis) -> list[int]:
    match basis:
        case rules.EarnBasis.ORIGINAL:
            return till.basket.amounts
        case rules.EarnBasis.ITEMS:
            return till.items
    return till.money


def _compile_percent(kind: rules.EarnPercent) -> _Earn:
    multipliers = tuple(
        (filters.compile_filter(one.filter), one.factor_hundredths) for one in kind.multipliers
    )

    def earn(till: Till, piles: list[int]) -> list[int]:
        source = _find_source(till, kind.basis)
        weights = [source[pile] for pile in piles]
        value = sum(weights) * kind.basis_points * till.terms.point_units
        return amounts.spread(
            value // (amounts.BASIS_POINTS * till.terms.point_value_minor), weights
        )

    def earn_multiplied(till: Till, piles: list[int]) -> list[int]:
        factors = dict.fromkeys(piles, _FACTOR_ONE)
        taken = 0
        for select, factor in multipliers:
            mask = select(till.basket) & ~taken
            taken |= mask
            for pile in places(mask):
                if pile in factors:
                    factors[pile] = factor
        source = _find_source(till, kind.basis)
        weights = [source[pile] * factors[pile] for pile in piles]
        value = sum(weights) * kind.basis_points * till.terms.point_units
        divisor = _FACTOR_ONE * amounts.BASIS_POINTS * till.terms.point_value_minor
        return amounts.spread(value // divisor, weights)

    return earn_multiplied if multipliers else earn


def _compile_pieces(
    count: int, spread: rules.PointsSpread, step_minor: int, basis: rules.EarnBasis
) -> _Earn:
    """Return points or stamps by the piece: a unit, a step of money, or the receipt."""

    def earn_each_unit(till: Till, piles: list[int]) -> list[int]:
        return [_count_paid(till, pile) * count for pile in piles]

    def earn_each_step(till: Till, piles: list[int]) -> list[int]:
        source = _find_source(till, basis)
        weights = [source[pile] for pile in piles]
        return amounts.spread(sum(weights) // step_minor * count, weights)

    def earn_once(till: Till, piles: list[int]) -> list[int]:
        return amounts.spread(count if piles else 0, [till.money[pile] for pile in piles])

    match spread:
        case rules.PointsSpread.EACH_UNIT:
            return earn_each_unit
        case rules.PointsSpread.EACH_STEP:
            return earn_each_step
    return earn_once


def _compile_chances(kind: rules.InstantWin) -> _Earn:
    earn = _compile_pieces(1, kind.spread, kind.step_minor, rules.EarnBasis.PAID)
    most = kind.chances_max or instant_wins.CHANCES_MAX
    return lambda till, piles: [min(sum(earn(till, piles)), most)]


def _is_handed_out(kind: rules.RewardKind) -> bool:
    """Tell whether the shopper gets it with the answer or not at all."""
    return isinstance(kind, rules.InstantWin) or (
        isinstance(kind, rules.IssueCoupon) and kind.bearer
    )


def _count_paid(till: Till, pile: int) -> int:
    """Return the whole units of a pile that cost something."""
    units = till.strata.get(pile)
    if units is None or till.basket.weighed >> pile & 1:
        return till.basket.quantities[pile] // amounts.THOUSANDTHS
    return sum([one.units for one in units if one.amount])


def _compile_multiplier(factor: int) -> _Earn:
    def earn(till: Till, piles: list[int]) -> list[int]:
        weights = [till.points[pile] for pile in piles]
        return amounts.spread(sum(weights) * (factor - _FACTOR_ONE) // _FACTOR_ONE, weights)

    return earn
