"""Sets that were chosen, priced to the minor unit.

A campaign's sets are priced together: percentages round once for each pile, prices and amounts of
a set hold for each set exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from services.promotions.engine import amounts, combinations, filters, picks, rules, sets, strata
from services.promotions.engine.baskets import Basket
from services.promotions.engine.combinations import Made
from services.promotions.engine.decisions import NearMiss, OutcomeReason
from services.promotions.engine.discounts import (
    Discounter,
    Given,
    bound,
    choose_gifts,
    cut_choices,
    why_nothing,
)
from services.promotions.engine.offers import Invitation, Offer, Present, Turn, count_units, refuse

Rows: TypeAlias = Sequence[Sequence[int]]


@dataclass(slots=True)
class _Piece:
    """Units of one lot in equal sets: what they cost and cost at first, how many are rewarded."""

    row: int
    group: int
    lot: int
    pile: int
    units: int
    worth: int
    left: int
    rewarded: int = 0


@dataclass(slots=True)
class _Sale:
    """The sets of one campaign while they are priced.

    `rows` are (how many equal sets, pieces), `parts` how many units of how many each row has,
    `pieces` those of all rows.
    """

    basket: Basket
    given: sets.SetRules
    table: sets.Table
    plan: sets.Plan
    left: list[int]
    begun: list[int]
    rows: list[tuple[int, list[_Piece]]] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)


def compile_multi_buy(given: sets.SetRules) -> Discounter:
    """Return the function to what a campaign gives when it makes its sets alone."""

    def offer(turn: Turn) -> Offer:
        goods = sets.find_goods(turn.basket, given)
        table = sets.lay_out(turn.basket, turn.left, turn.strata, [goods])
        plan = sets.read_plan(table, turn.basket, bind(given, turn), goods)
        made = combinations.make_alone(table, plan, table.counts)
        return price(turn, table, plan, made)

    return offer


def bind(given: sets.SetRules, turn: Turn) -> sets.SetRules:
    """Return the rules of the sets with no more of them than the turn allows."""
    most = given.sets_max
    if turn.sets is not None:
        most = min(most, turn.sets)
    if turn.units is not None:
        most = min(most, turn.units // max(1, sum([group.units for group in given.groups])))
    return given if most == given.sets_max else replace(given, sets_max=most)


def price(turn: Turn, table: sets.Table, plan: sets.Plan, made: Made) -> Offer:
    """Return what these sets give, as far as the budget goes; nothing without any sets."""
    if not made:
        return refuse(OutcomeReason.GROUP_INCOMPLETE)
    basket, left, given_rules = turn.basket, turn.left, plan.rules
    sale = _Sale(basket, given_rules, table, plan, list(left), turn.begun)
    _cut_pieces(sale, made)
    for place in range(len(given_rules.gifts)):
        _give(sale, place)
    given: dict[int, int] = {}
    for piece in sale.pieces:
        given[piece.pile] = given.get(piece.pile, 0) + piece.worth - piece.left
    if given_rules.sharing_all:
        given = _share_out(sale, sum(given.values()), left)
    count = sum(times for times, _ in sale.rows)
    touched = _leave(sale, given)
    _cut_beside(sale, turn, given, touched, count)
    presents, choices = _hand_out(given_rules, turn, count)
    piles = sorted(given)
    shares = [given[pile] for pile in piles]
    total = sum(shares)
    if not total and not presents and not choices:
        return refuse(why_nothing(piles, basket, left))
    offer = Offer(
        total,
        piles,
        shares,
        total,
        strata=touched,
        details=(("sets", str(count)),),
        presents=presents,
        choices=choices,
        sets=count,
        units=_count_units(sale) if given_rules.units_counted else (),
    )
    return bound(offer, turn.budget, keeps_rest=given_rules.keeps_rest)


def _count_units(sale: _Sale) -> tuple[tuple[str, int], ...]:
    return count_units([(sale.basket.skus[one.pile], one.units) for one in sale.pieces])


def _hand_out(
    given: sets.SetRules, turn: Turn, count: int
) -> tuple[tuple[Present, ...], tuple[Invitation, ...]]:
    """Return the articles that are added for these sets."""
    presents: list[Present] = []
    choices: list[Invitation] = []
    for kind in given.presents:
        times = min(count, kind.times_max) if kind.times_max else count
        items, still_open = choose_gifts(kind, turn.chosen)
        presents += [Present(one.sku, one.units * times, one.value_minor) for one in items]
        choices += still_open
    return tuple(presents), tuple(choices)


def _cut_beside(
    sale: _Sale,
    turn: Turn,
    given: dict[int, int],
    touched: dict[int, strata.Strata],
    count: int,
) -> None:
    """Let rewards give on goods that are in none of the sets, or in them as well."""
    in_sets = frozenset(given)
    left = [amount - given.get(pile, 0) for pile, amount in enumerate(turn.left)]
    for reward in sale.given.outside:
        mask = filters.compile_filter(reward.target)(sale.basket)
        piles = [one for one in sale.basket.places(mask) if reward.all_goods or one not in in_sets]
        now = turn._replace(left=left, strata={**turn.strata, **touched}, units=None)
        found = _cut_often(now, piles, reward, sale.given.basis, count)
        for pile, amount in zip(found.piles, found.amounts):
            if pile in touched and found.touched is None:
                touched[pile] = strata.settle(
                    touched[pile], before=left[pile], after=left[pile] - amount
                )
            given[pile] = given.get(pile, 0) + amount
            left[pile] -= amount
        touched.update(found.touched or {})


def _cut_often(
    turn: Turn, piles: list[int], reward: rules.Reward, basis: rules.Basis, count: int
) -> Given:
    """Return what so many sets take off these piles, or off units of them."""
    cut = picks.compile_cut(_give_often(reward.kind, count), basis, reward.floor_rest)
    if reward.pick is not None:
        chosen = picks.choose_units(turn, piles, _pick_often(reward.pick, count))
        return cut_choices(turn, chosen, cut, reward.amount_max) if chosen else Given([], [])
    given = cut(picks.take_whole(turn, piles))
    if reward.amount_max and sum(given) > reward.amount_max:
        given = amounts.spread(reward.amount_max, given)
    return Given(piles, given)


def _give_often(kind: rules.RewardKind, count: int) -> rules.RewardKind:
    """Return what so many sets give: a percentage, and amounts but those of units, once for each.

    What is off each unit stays so: more sets may have more such units.
    """
    match kind:
        case rules.AmountOff(spread=rules.AmountSpread.ACROSS | rules.AmountSpread.EACH_LINE):
            return replace(kind, amount_minor=kind.amount_minor * count)
        case rules.PercentOff():
            return replace(kind, basis_points=min(amounts.BASIS_POINTS, kind.basis_points * count))
    return kind


def _pick_often(pick: rules.Pick, count: int) -> rules.Pick:
    """Return which units so many sets are for: `count_max` for each of them."""
    bounds = [most for most in (pick.count_max * count, pick.total_max) if most]
    return replace(pick, count_max=min(bounds, default=0), total_max=0)


def _cut_pieces(sale: _Sale, made: Made) -> None:
    """Share out what each lot costs over the sets that use it, so that nothing is lost."""
    used: dict[int, int] = {}
    for row, (times, drawn) in enumerate(made):
        pieces = []
        for group, lot, count in drawn:
            one, before = sale.table.strata[lot], used.get(lot, 0)
            after = used[lot] = before + count * times
            worth = one.amount * after // one.units - one.amount * before // one.units
            pile = sale.table.lots[lot].pile
            pieces.append(_Piece(row, group, lot, pile, count * times, worth, worth))
        sale.rows.append((times, pieces))
        sale.pieces += pieces
        sale.parts.append(sets.find_part(sale.given, drawn))


def _give(sale: _Sale, place: int) -> None:
    """Let one reward give on the units that it is for."""
    gift = sale.given.gifts[place]
    meant = sale.plan.meant[place]
    rows = [
        (
            times,
            [
                piece
                for piece in pieces
                if gift.groups >> piece.group & 1 and (meant is None or piece.lot in meant)
            ],
        )
        for times, pieces in sale.rows
    ]
    chosen = _choose(sale, gift, rows)
    cut = gift.cut
    cuts = _cut_by_set(sale, gift, chosen) if cut is None else _cut_by_pile(sale, cut, chosen)
    total = sum(cuts)
    if gift.amount_max and total > gift.amount_max:
        cuts = amounts.spread(gift.amount_max, cuts)
    for (piece, units, _), off in zip(chosen, cuts):
        piece.left -= off
        piece.rewarded = max(piece.rewarded, units)
        sale.left[piece.pile] -= off


def _choose(
    sale: _Sale, gift: sets.Gift, rows: Sequence[tuple[int, list[_Piece]]]
) -> list[tuple[_Piece, int, int]]:
    """Return (piece, units, what they cost now) of what the reward is for."""
    lots = sale.table.lots
    found: list[tuple[_Piece, int]] = []
    if gift.pick.scope is rules.PickScope.ALL_SETS:
        pieces = [piece for _, some in rows for piece in some]
        row = [(lots[one.lot].value, n, one.units) for n, one in enumerate(pieces)]
        count = sum(times for times, _ in rows)
        found = [(pieces[n], units) for n, units in sets.choose(gift.pick, row, sets=count)]
    else:
        for times, pieces in rows:
            row = [(lots[one.lot].value, n, one.units // times) for n, one in enumerate(pieces)]
            found += [(pieces[n], units * times) for n, units in sets.choose(gift.pick, row)]
    if gift.pick.total_max:
        found = _take_first(found, gift.pick.total_max)
    return [(piece, units, piece.left * units // piece.units) for piece, units in found]


def _take_first(found: Sequence[tuple[_Piece, int]], most: int) -> list[tuple[_Piece, int]]:
    """Return no more units than a reward has over all sets, those of the first sets first."""
    taken = []
    for piece, units in found:
        if most:
            taken.append((piece, min(units, most)))
            most -= taken[-1][1]
    return taken


def _cut_by_pile(
    sale: _Sale, cut: picks.Cut, chosen: Sequence[tuple[_Piece, int, int]]
) -> list[int]:
    """Count the discount pile by pile and lay it on the pieces by what they cost."""
    by_pile: dict[int, list[int]] = {}
    for n, (piece, _, _) in enumerate(chosen):
        by_pile.setdefault(piece.pile, []).append(n)
    piles = sorted(by_pile)
    shares = [
        (
            pile,
            sum([chosen[n][1] for n in by_pile[pile]]),
            sum([chosen[n][2] for n in by_pile[pile]]),
        )
        for pile in piles
    ]
    parts = picks.measure(sale.basket, sale.left, sale.begun, shares)
    cuts = [0] * len(chosen)
    for pile, amount in zip(piles, cut(parts)):
        places = by_pile[pile]
        dealt = amounts.spread(amount, [chosen[n][2] for n in places])
        for n, share in zip(places, dealt):
            cuts[n] = share
    return cuts


def _cut_by_set(
    sale: _Sale, gift: sets.Gift, chosen: Sequence[tuple[_Piece, int, int]]
) -> list[int]:
    """Count the discount row by row of equal sets."""
    by_row: dict[int, list[int]] = {}
    for n, (piece, _, _) in enumerate(chosen):
        by_row.setdefault(piece.row, []).append(n)
    cuts = [0] * len(chosen)
    rooms = dict(enumerate(sale.left))
    floors = sale.basket.floors
    for row, places in by_row.items():
        times = sale.rows[row][0]
        worths = [chosen[n][2] for n in places]
        ceilings = []
        for n in places:
            piece, units, worth = chosen[n]
            room = min(
                worth - strata.find_floor(sale.basket, piece.pile, units),
                rooms[piece.pile] - floors[piece.pile],
            )
            ceilings.append(max(0, room))
            rooms[piece.pile] -= ceilings[-1]
        for n, ceiling in zip(places, ceilings):
            rooms[chosen[n][0].pile] += ceiling
        if isinstance(gift.kind, rules.SetPrice):
            part, whole = sale.parts[row]
            set_price = (2 * gift.kind.price_minor * times * part + whole) // (2 * whole)
            off = max(0, sum(worths) - set_price)
        else:
            assert isinstance(gift.kind, rules.AmountOff)
            off = gift.kind.amount_minor * times
        for n, cut in zip(places, amounts.spread_within(off, worths, ceilings)):
            cuts[n] = cut
            rooms[chosen[n][0].pile] -= cut
    return cuts


def _share_out(sale: _Sale, total: int, left: list[int]) -> dict[int, int]:
    """Lay the discount on all units of the sets, in proportion to what they cost."""
    pieces = sale.pieces
    rooms = dict(enumerate(left))
    ceilings = []
    for piece in pieces:
        floor = strata.find_floor(sale.basket, piece.pile, piece.units)
        room = min(piece.worth - floor, rooms[piece.pile] - sale.basket.floors[piece.pile])
        ceilings.append(max(0, room))
        rooms[piece.pile] -= ceilings[-1]
    given: dict[int, int] = {}
    weights = [piece.worth for piece in pieces]
    for piece, share in zip(pieces, amounts.spread_within(total, weights, ceilings)):
        piece.left = piece.worth - share
        given[piece.pile] = given.get(piece.pile, 0) + share
    return given


def _leave(sale: _Sale, piles: Iterable[int]) -> dict[int, strata.Strata]:
    """Return the strata of the piles after the sets took their units."""
    wanted = {*piles, *[piece.pile for piece in sale.pieces]}
    found: dict[int, list[strata.Stratum]] = {pile: [] for pile in wanted}
    used: dict[int, tuple[int, int]] = {}
    for piece in sale.pieces:
        one = sale.table.strata[piece.lot]
        units, worth = used.get(piece.lot, (0, 0))
        used[piece.lot] = (units + piece.units, worth + piece.worth)
        found[piece.pile] += _part(piece, one, sale.given)
    for lot, (at, one) in enumerate(zip(sale.table.lots, sale.table.strata)):
        if at.pile in found:
            units, worth = used.get(lot, (0, 0))
            found[at.pile].append(one._replace(units=one.units - units, amount=one.amount - worth))
    return {pile: strata.merge(units) for pile, units in found.items()}


def _part(piece: _Piece, one: strata.Stratum, given: sets.SetRules) -> list[strata.Stratum]:
    """Return a piece's rewarded units and its others."""
    plain = piece.units - piece.rewarded
    cut = piece.worth - piece.left
    if given.sharing_all:
        rewarded = piece.left * piece.rewarded // piece.units
    else:
        rewarded = max(0, piece.worth * piece.rewarded // piece.units - cut)
    allowed = one.allowed & given.allowed
    return [
        strata.Stratum(piece.rewarded, rewarded, one.roles | strata.TARGET, allowed),
        strata.Stratum(plain, piece.left - rewarded, one.roles | strata.QUALIFIER, allowed),
    ]


def explain_refusal(basket: Basket, left: list[int], given: sets.SetRules, offer: Offer) -> Offer:
    """Return an offer of nothing with the reason why the campaign could not make its sets.

    `left` is what the piles cost before other campaigns of sets took units.
    """
    if offer.reason is not OutcomeReason.GROUP_INCOMPLETE or offer.near_miss is not None:
        return offer
    goods = sets.find_goods(basket, given)
    lack = find_lack(basket, left, given, goods)
    if lack is not None:
        return lack
    table = sets.lay_out(basket, left, {}, [goods])
    plan = sets.read_plan(table, basket, given, goods, fresh=True)
    drawn = sets.draw(plan, table, table.counts)
    if drawn is None:
        return _explain_amount(table, given, plan.rows, offer)
    if sets.save(plan, table, drawn) > 0:
        return offer._replace(reason=OutcomeReason.ITEMS_ALREADY_CONSUMED)
    return offer._replace(reason=why_nothing([t.pile for t in table.lots], basket, left))


def find_lack(
    basket: Basket, left: list[int], given: sets.SetRules, goods: sets.Goods
) -> Offer | None:
    """Return an offer of nothing that says what one set lacks, None when it lacks no units.

    Nobody has used any of the goods yet.
    """
    there, units = 0, {}
    for pile in basket.places(sets.unite(goods)):
        for one in strata.look(basket, left, {}, pile):
            if one.amount:
                there |= 1 << pile
                units[pile] = one.units
    rows, groups = [mask & there for mask in goods], given.groups
    if not there:
        return refuse(OutcomeReason.NO_TARGET_ITEMS)
    missing, required, bits = _find_missing(groups, rows, units)
    near = NearMiss(0, missing * amounts.THOUSANDTHS, missing * 2 <= required)
    if any(group.roles == strata.TARGET and not row for group, row in zip(groups, rows)):
        return refuse(OutcomeReason.NO_TARGET_ITEMS, near_miss=near if missing else None)
    if not missing:
        return None
    reason = OutcomeReason.GROUP_INCOMPLETE
    if all(group.roles == strata.TARGET for n, group in enumerate(groups) if bits >> n & 1):
        reason = OutcomeReason.INSUFFICIENT_TARGET_UNITS
    details = (("available", str(required - missing)), ("required", str(required)))
    return refuse(reason, details, near)


def _find_missing(
    groups: Sequence[sets.Group], rows: list[int], units: Mapping[int, int]
) -> tuple[int, int, int]:
    """Return how many units one set lacks, how many it needs, and which groups lack them."""
    required = sum([group.units for group in groups])
    worst, at = 0, 0
    counted = [n for n, group in enumerate(groups) if group.units]
    for choice in range(1, 1 << len(counted)):
        pool = lack = bits = 0
        for place, n in enumerate(counted):
            if choice >> place & 1:
                pool |= rows[n]
                lack += groups[n].units
                bits |= 1 << n
        lack -= sum([count for pile, count in units.items() if pool >> pile & 1])
        if lack > worst:
            worst, at = lack, bits
    return worst, required, at


def _explain_amount(table: sets.Table, given: sets.SetRules, rows: Rows, offer: Offer) -> Offer:
    taken = sum([group.units for group in given.groups])
    for group, row in zip(given.groups, rows):
        if group.amount_min:
            worth = sum([table.strata[lot].amount for lot in row])
            required = group.amount_min // sets.SCALE
            if worth < required or taken:
                lack = max(0, required - worth)
                near = NearMiss(lack, 0, 2 * worth >= required) if lack else None
                details = (("available_minor", str(worth)), ("required_minor", str(required)))
                return offer._replace(near_miss=near, details=details)
    return offer
