"""Rewards that take money off or add goods for nothing, compiled.

No discount takes a pile below its floor, at any moment: the check of floors is part of every
amount, so that what one pile cannot take may still move to others.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts, filters, picks, rules, strata
from services.promotions.engine.baskets import Basket
from services.promotions.engine.decisions import OutcomeReason
from services.promotions.engine.offers import (
    Invitation,
    Offer,
    Present,
    Shares,
    Turn,
    count_units,
    merge,
    refuse,
)


class Given(NamedTuple):
    """What one reward gives; `touched` are piles whose units no longer cost the same."""

    piles: list[int]
    amounts: list[int]
    touched: strata.Ledger | None = None
    units: tuple[tuple[str, int], ...] = ()
    presents: tuple[Present, ...] = ()
    choices: tuple[Invitation, ...] = ()


Giver: TypeAlias = Callable[[Turn], Given]
Discounter: TypeAlias = Callable[[Turn], Offer]
_Cutter: TypeAlias = Callable[[Turn, list[int]], list[int]]
_HALF: Final = amounts.BASIS_POINTS // 2
_WHOLE: Final = amounts.BASIS_POINTS
_HALF_UNIT: Final = amounts.THOUSANDTHS // 2
_EVERY_UNIT: Final = rules.Pick()
#: All that a plain discount leaves out of an offer.
_NOTHING_ELSE: Final = Offer(0, [], [], 0)[4:]
#: Makes a named tuple as its own constructor does, in half the time, where one is made per offer.
_new_tuple: Final = tuple.__new__


def compile_discounts(given: rules.Rules) -> Discounter:
    """Return the function from a campaign's turn to its discounts."""
    counted = given.limits.counts_units
    basis = given.combination.basis
    keeps_rest = given.limits.rest is rules.BudgetRest.KEEP
    if len(given.rewards) == 1 and not counted and _is_for_piles(given.rewards[0]):
        return _compile_simple(given.rewards[0], basis, keeps_rest=keeps_rest)
    givers = [compile_reward(reward, basis, counted=counted) for reward in given.rewards]
    give = givers[0] if len(givers) == 1 else _compile_several(givers)

    def offer(turn: Turn) -> Offer:
        piles, given_amounts, touched, units, presents, choices = give(turn)
        desired = sum(given_amounts)
        if not desired and not presents and not choices:
            return refuse(why_nothing(piles, turn.basket, turn.left))
        found = Offer(
            desired,
            piles,
            given_amounts,
            desired,
            strata=touched,
            presents=presents,
            choices=choices,
            units=count_units(units) if counted else (),
        )
        return bound(found, turn.budget, keeps_rest=keeps_rest)

    return offer


def _is_for_piles(reward: rules.Reward) -> bool:
    """Tell whether a reward takes money off all that it is for: most do nothing else."""
    return reward.pick is None and not isinstance(reward.kind, rules.GiftItems | rules.Upgrade)


def _compile_simple(reward: rules.Reward, basis: rules.Basis, *, keeps_rest: bool) -> Discounter:
    """Return the function to the discount of one reward on whole piles, without any detour."""
    select = filters.compile_filter(reward.target)
    cut = _compile_cut(reward, basis)

    def offer(turn: Turn) -> Offer:
        basket = turn.basket
        piles = basket.places(select(basket))
        given = cut(turn, piles)
        total = sum(given)
        if not total:
            return refuse(why_nothing(piles, basket, turn.left))
        found = _new_tuple(Offer, (total, piles, given, total, *_NOTHING_ELSE))
        budget = turn.budget
        return found if budget is None else bound(found, budget, keeps_rest=keeps_rest)

    return offer


def bound(offer: Offer, budget: int | None, *, keeps_rest: bool) -> Offer:
    """Return the offer as far as a budget goes, or nothing where a part will not do."""
    if budget is None or budget >= offer.desired:
        return offer
    if keeps_rest or (not budget and not offer.presents):
        details = (("available_minor", str(budget)), ("desired_minor", str(offer.desired)))
        return refuse(OutcomeReason.BUDGET_EXHAUSTED, details)
    return offer._replace(total=budget, amounts=amounts.fill(budget, offer.amounts))


def compile_reward(reward: rules.Reward, basis: rules.Basis, *, counted: bool) -> Giver:
    """Return the function from a turn to what one reward gives.

    With `counted` units are chosen one by one, for they are limited.
    """
    pick, kind = reward.pick, reward.kind
    match kind:
        case rules.GiftItems():
            return _compile_gift(reward, kind)
        case rules.Upgrade():
            return _compile_upgrade(kind)
    if counted and pick is None:
        pick = _EVERY_UNIT
    if pick is not None and pick.by is rules.PickBy.UNIT:
        return _compile_picked(reward, pick, basis)
    select = filters.compile_filter(reward.target)
    cut = _compile_cut(reward, basis)

    def give(turn: Turn) -> Given:
        basket = turn.basket
        piles = basket.places(select(basket))
        return Given(piles, cut(turn, piles))

    def give_some_lines(turn: Turn) -> Given:
        assert pick is not None
        found = turn.basket.places(select(turn.basket))
        piles = picks.choose_lines(turn.basket, turn.left, found, pick)
        return Given(piles, cut(turn, piles))

    return give if pick is None else give_some_lines


def _compile_picked(reward: rules.Reward, pick: rules.Pick, basis: rules.Basis) -> Giver:
    """Give on some units of the piles; what is left of the others stays as it is."""
    select = filters.compile_filter(reward.target)
    cut = picks.compile_cut(reward.kind, basis, reward.floor_rest)
    amount_max = reward.amount_max

    def give(turn: Turn) -> Given:
        found = turn.basket.places(select(turn.basket))
        chosen = picks.choose_units(turn, found, pick)
        if not chosen:
            return Given(found, [0] * len(found))
        return cut_choices(turn, chosen, cut, amount_max)

    return give


def cut_choices(
    turn: Turn, chosen: Sequence[picks.Choice], cut: picks.Cut, amount_max: int
) -> Given:
    """Take off the chosen units what a cut says."""
    basket, left = turn.basket, turn.left
    by_pile: dict[int, list[picks.Choice]] = {}
    for choice in chosen:
        by_pile.setdefault(choice.pile, []).append(choice)
    piles = list(by_pile)
    shares = [
        (pile, sum([one.units for one in some]), sum([one.worth for one in some]))
        for pile, some in by_pile.items()
    ]
    given = cut(picks.measure(basket, left, turn.begun, shares))
    if amount_max and sum(given) > amount_max:
        given = amounts.spread(amount_max, given)
    touched = {
        pile: _split(strata.look(basket, left, turn.strata, pile), by_pile[pile], amount)
        for pile, amount in zip(piles, given)
    }
    units = tuple(
        (basket.skus[pile], count) for (pile, count, _), amount in zip(shares, given) if amount
    )
    return Given(piles, given, touched, units)


def _split(found: strata.Strata, chosen: Sequence[picks.Choice], amount: int) -> strata.Strata:
    """Take an amount off the chosen units of a pile, in proportion to what they cost."""
    units = list(found)
    shares = amounts.spread(amount, [choice.worth for choice in chosen])
    for choice, share in zip(chosen, shares):
        count, worth, roles, allowed = units[choice.place]
        rest = strata.Stratum(count - choice.units, worth - choice.worth, roles, allowed)
        units[choice.place] = rest
        units.append(strata.Stratum(choice.units, choice.worth - share, roles, allowed))
    return strata.merge(units)


def _compile_gift(reward: rules.Reward, kind: rules.GiftItems) -> Giver:
    """Add articles, as often as the target goods say; some may be in the cart already."""
    select = filters.compile_filter(reward.target)
    off = kind.off_basis_points
    cut = picks.compile_cut(rules.PercentOff(off), rules.Basis.RUNNING)

    def give(turn: Turn) -> Given:
        basket = turn.basket
        piles = basket.places(select(basket))
        times = _count_gifts(turn, piles, kind)
        if not times:
            return Given(piles, [0] * len(piles))
        items, choices = choose_gifts(kind, turn.chosen)
        made = Given([], [])
        if kind.add_missing:
            wanted = {one.sku: one.units * times for one in items}
            own = [pile for pile in basket.priced_places if basket.skus[pile] in wanted]
            found = picks.choose_units(
                turn._replace(units=None, article_units=wanted), own, _EVERY_UNIT
            )
            if found:
                made = cut_choices(turn, found, cut, 0)
        there = dict(count_units(made.units))
        presents = tuple(
            Present(one.sku, count, one.value_minor)
            for one in items
            if (count := one.units * times - there.get(one.sku, 0)) > 0
        )
        if kind.reduces:  # nobody sells what was not asked for
            choices += tuple(Invitation((one.sku,), one.units, off) for one in presents)
            presents = ()
        return made._replace(presents=presents, choices=choices)

    return give


def _count_gifts(turn: Turn, piles: list[int], kind: rules.GiftItems) -> int:
    match kind.spread:
        case rules.GiftSpread.EACH_UNITS:
            times = sum([turn.basket.count_units(pile) for pile in piles]) // kind.step_units
        case rules.GiftSpread.EACH_STEP:
            times = sum([turn.left[pile] for pile in piles]) // kind.step_minor
        case _:
            times = 1 if piles else 0
    return min(times, kind.times_max) if kind.times_max else times


def choose_gifts(
    kind: rules.GiftItems, chosen: Sequence[str]
) -> tuple[list[rules.GiftItem], tuple[Invitation, ...]]:
    """Return what is given, and what may still be chosen."""
    if not kind.choose:
        return list(kind.items), ()
    by_sku = {one.sku: one for one in kind.items}
    items = [by_sku[sku] for sku in chosen if sku in by_sku][: kind.choose]
    rest = min(kind.choose, len(by_sku)) - len(items)
    open_skus = tuple(sku for sku in by_sku if sku not in {one.sku for one in items})
    return items, (Invitation(open_skus, rest, kind.off_basis_points),) if rest else ()


def _compile_upgrade(kind: rules.Upgrade) -> Giver:
    """Let units of the better article cost what the first article costs."""
    to_units = kind.to_units or 1
    pick = rules.Pick(count_max=kind.replacements_max * to_units)

    def give(turn: Turn) -> Given:
        basket = turn.basket
        piles = [pile for pile in basket.priced_places if basket.skus[pile] == kind.to_sku]
        prices = [price for sku, price in zip(basket.skus, basket.prices) if sku == kind.from_sku]
        price = min(prices) if prices else kind.from_price_minor
        count = sum([one.units for one in picks.choose_units(turn, piles, pick)]) // to_units
        if not price or not count:
            return Given([], [])
        chosen = picks.choose_units(turn._replace(units=count * to_units), piles, pick)

        def cut(parts: picks.Parts) -> list[int]:
            off = max(0, sum(parts.worths) - count * price)
            return amounts.spread_within(off, parts.worths, parts.rooms)

        return cut_choices(turn, chosen, cut, 0)

    return give


def _compile_several(givers: Sequence[Giver]) -> Giver:
    """Let each reward give on what those before it have left."""

    def give(turn: Turn) -> Given:
        shares: list[Shares] = []
        rest = list(turn.left)
        now = dict(turn.strata)
        made = []
        for one in givers:
            found = one(turn._replace(left=rest, strata=now))
            made.append(found)
            for pile, amount in zip(found.piles, found.amounts):
                before = rest[pile]
                rest[pile] -= amount
                if found.touched is None and pile in now:
                    now[pile] = strata.settle(now[pile], before=before, after=rest[pile])
            if found.touched is not None:
                now.update(found.touched)
            shares.append((found.piles, found.amounts))
        return Given(
            *merge(shares),
            now or None,
            units=tuple(pair for found in made for pair in found.units),
            presents=tuple(one for found in made for one in found.presents),
            choices=tuple(one for found in made for one in found.choices),
        )

    return give


def why_nothing(piles: list[int], basket: Basket, left: list[int]) -> OutcomeReason:
    """Return the reason for an offer of nothing on these piles."""
    if not piles:
        return OutcomeReason.NO_TARGET_ITEMS
    if not any(left[pile] for pile in piles):
        return OutcomeReason.NOTHING_LEFT_TO_DISCOUNT
    if all(left[pile] <= basket.floors[pile] for pile in piles):
        return OutcomeReason.MIN_PRICE_FLOOR
    return OutcomeReason.NO_BENEFIT


def _compile_cut(reward: rules.Reward, basis: rules.Basis) -> _Cutter:
    cut = None
    if reward.floor_rest is rules.FloorRest.AS_KIND:
        cut = _compile_straight(reward.kind, basis)
    if cut is None:
        cut_parts = picks.compile_cut(reward.kind, basis, reward.floor_rest)

        def cut(turn: Turn, piles: list[int]) -> list[int]:
            return cut_parts(picks.take_whole(turn, piles))

    amount_max = reward.amount_max
    if not amount_max:
        return cut

    def cut_capped(turn: Turn, piles: list[int]) -> list[int]:
        given = cut(turn, piles)
        return given if sum(given) <= amount_max else amounts.spread(amount_max, given)

    return cut_capped


def _compile_straight(kind: rules.RewardKind, basis: rules.Basis) -> _Cutter | None:
    """Return the commonest cuts without any detour, None for the others.

    They give what `picks.compile_cut` gives on whole piles, in a third of the time.
    """
    match kind:
        case rules.PercentOff(
            rounding=rules.Rounding.HALF_UP, rounding_unit=rules.RoundingUnit.LINE
        ):
            return _compile_percent(kind.basis_points, basis)
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            return _compile_each_unit(kind.amount_minor)
        case rules.AmountOff(spread=rules.AmountSpread.ACROSS, share_by=rules.ShareBy.AMOUNT):
            return _compile_across(kind.amount_minor)
        case rules.FixedPrice():
            return _compile_fixed_price(kind.unit_price_minor)
        case rules.PriceList():
            return _compile_price_list(kind)
    return None


def _compile_each_unit(amount_minor: int) -> _Cutter:
    def cut(turn: Turn, piles: list[int]) -> list[int]:
        left, quantities, floors = turn.left, turn.basket.quantities, turn.basket.floors
        return [
            min(quantities[pile] // amounts.THOUSANDTHS * amount_minor, left[pile] - floors[pile])
            for pile in piles
        ]

    return cut


def _compile_across(amount_minor: int) -> _Cutter:
    def cut(turn: Turn, piles: list[int]) -> list[int]:
        left, floors = turn.left, turn.basket.floors
        weights = [left[pile] for pile in piles]
        rooms = [left[pile] - floors[pile] for pile in piles]
        return amounts.spread_within(amount_minor, weights, rooms)

    return cut


def _compile_fixed_price(unit_price_minor: int) -> _Cutter:
    def cut(turn: Turn, piles: list[int]) -> list[int]:
        left, quantities, floors = turn.left, turn.basket.quantities, turn.basket.floors
        half, whole = _HALF_UNIT, amounts.THOUSANDTHS
        return [
            cost - least
            if (cost := left[pile])
            > (least := max((quantities[pile] * unit_price_minor + half) // whole, floors[pile]))
            else 0
            for pile in piles
        ]

    return cut


def _compile_price_list(kind: rules.PriceList) -> _Cutter:
    """Bring the listed articles among the piles down to their prices."""
    cuts = {one.sku: _compile_fixed_price(one.unit_price_minor) for one in kind.prices}

    def cut(turn: Turn, piles: list[int]) -> list[int]:
        skus = turn.basket.skus
        return [cuts[skus[pile]](turn, [pile])[0] if skus[pile] in cuts else 0 for pile in piles]

    return cut


def _compile_percent(basis_points: int, basis: rules.Basis) -> _Cutter:
    original, lane = basis is rules.Basis.ORIGINAL, basis is rules.Basis.LANE

    def cut(turn: Turn, piles: list[int]) -> list[int]:
        left, floors = turn.left, turn.basket.floors
        source = turn.basket.amounts if original else turn.begun if lane else left
        return [
            amount
            if (amount := (source[pile] * basis_points + _HALF) // _WHOLE)
            <= (room := left[pile] - floors[pile])
            else room
            for pile in piles
        ]

    return cut
