"""Sets of units: how a campaign makes one, and what that saves, as far as choosing needs to know.

A table lists what units there are for several campaigns at once. Lots are units of one pile that
are alike. Values are in thousandths of a minor unit, and only for comparing: prices of sets are
counted exactly once the sets are chosen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts, filters, picks, rules, strata
from services.promotions.engine.baskets import Basket

_ENDLESS: Final = 1 << 62
SCALE: Final = 1_000
Draw: TypeAlias = tuple[tuple[int, int, int], ...]
Goods: TypeAlias = Sequence[int]


class Lot(NamedTuple):
    """Units of one stratum of a pile: what one costs, and how much of that may come off."""

    pile: int
    place: int
    value: int
    room: int


@dataclass(frozen=True, slots=True)
class Gift:
    """A reward of a campaign of sets, compiled; `groups` are bits.

    `cut` is None for what holds for each set, and not for each pile.
    """

    kind: rules.RewardKind
    cut: picks.Cut | None
    select: filters.Selector | None
    groups: int
    pick: rules.Pick
    amount_max: int


@dataclass(frozen=True, slots=True)
class Group:
    """A part of a set, compiled; `roles` is what its units may become."""

    select: filters.Selector
    units: int
    amount_min: int
    cheapest: bool
    roles: int
    weighed: bool


@dataclass(frozen=True, slots=True)
class SetRules:
    """What the sets of a campaign are made of, compiled; `allowed` is what others may do.

    `presents` and `outside` are rewards on other goods than those that make the sets; `bonus` is
    about what they are worth for each set, in thousandths of a minor unit. `exact` says that a set
    saves the same whatever other sets there are.
    """

    groups: tuple[Group, ...]
    gifts: tuple[Gift, ...]
    sets_max: int
    sharing_all: bool
    allowed: int
    basis: rules.Basis
    partial: bool = False
    presents: tuple[rules.GiftItems, ...] = ()
    outside: tuple[rules.Reward, ...] = ()
    bonus: int = 0
    keeps_rest: bool = False
    units_counted: bool = False
    exact: bool = True


class Table(NamedTuple):
    """All units that campaigns of sets could use; `counts` says how many of each lot."""

    lots: Sequence[Lot]
    counts: Sequence[int]
    strata: Sequence[strata.Stratum]


class Plan(NamedTuple):
    """A campaign's rules on a table: for each group its lots in their order.

    `narrow` holds, for groups whose goods overlap, the other sets of groups that compete for
    goods: (groups as bits, lots as a set). `meant` holds the lots of each reward, None for all.
    """

    rules: SetRules
    rows: tuple[tuple[int, ...], ...]
    narrow: tuple[tuple[int, frozenset[int]], ...]
    meant: tuple[frozenset[int] | None, ...]


_ALLOWED: Final = {
    rules.Reuse.NONE: 0,
    rules.Reuse.QUALIFIER: strata.QUALIFIER,
    rules.Reuse.TARGET: strata.TARGET,
    rules.Reuse.BOTH: strata.BOTH,
}
_EVERY_UNIT: Final = rules.Pick()


def compile_sets(given: rules.Rules, multi_buy: rules.MultiBuy) -> SetRules:
    """Return the sets of a campaign, ready to be made."""
    everything = (1 << len(multi_buy.groups)) - 1
    gifts = tuple(
        Gift(
            kind=reward.kind,
            cut=None
            if _is_by_set(reward.kind)
            else picks.compile_cut(reward.kind, given.combination.basis),
            select=None
            if reward.target == rules.EVERYTHING
            else filters.compile_filter(reward.target),
            groups=sum([1 << place for place in reward.groups]) or everything,
            pick=reward.pick or _EVERY_UNIT,
            amount_max=reward.amount_max,
        )
        for reward in given.rewards
        if not reward.beside_sets and not isinstance(reward.kind, rules.GiftItems)
    )
    outside = tuple(one for one in given.rewards if one.beside_sets)
    presents = tuple(one.kind for one in given.rewards if isinstance(one.kind, rules.GiftItems))
    return SetRules(
        groups=tuple(
            _compile_group(group, [one for one in gifts if one.groups >> place & 1])
            for place, group in enumerate(multi_buy.groups)
        ),
        gifts=gifts,
        sets_max=multi_buy.sets_max or _ENDLESS,
        sharing_all=multi_buy.sharing is rules.Sharing.ALL,
        allowed=_ALLOWED[given.combination.reuse],
        basis=given.combination.basis,
        partial=multi_buy.partial,
        presents=presents,
        outside=outside,
        bonus=SCALE
        * sum([_find_bonus(kind) for kind in (*presents, *[one.kind for one in outside])]),
        keeps_rest=given.limits.rest is rules.BudgetRest.KEEP,
        units_counted=given.limits.counts_units,
        exact=not multi_buy.partial
        and not outside
        and not any(one.times_max for one in presents)
        and not any(
            one.amount_max or one.pick.total_max or one.pick.scope is rules.PickScope.ALL_SETS
            for one in gifts
        ),
    )


def _is_by_set(kind: rules.RewardKind) -> bool:
    return isinstance(kind, rules.SetPrice) or (
        isinstance(kind, rules.AmountOff) and kind.spread is rules.AmountSpread.ACROSS
    )


def _find_bonus(kind: rules.RewardKind) -> int:
    """Return about what a reward outside of the sets is worth for a set, in minor units."""
    match kind:
        case rules.GiftItems():
            return sum([one.units * max(1, one.value_minor) for one in kind.items])
        case rules.AmountOff():
            return kind.amount_minor
    return 1


def _compile_group(group: rules.UnitGroup, gifts: Sequence[Gift]) -> Group:
    whole = [one for one in gifts if one.pick == _EVERY_UNIT and one.select is None]
    roles = strata.QUALIFIER
    if gifts:
        roles = strata.TARGET if whole else strata.BOTH
    return Group(
        select=filters.compile_filter(group.filter),
        units=group.units,
        amount_min=group.amount_min_minor * SCALE,
        cheapest=group.order is rules.PickOrder.CHEAPEST,
        roles=roles,
        weighed=len(whole) > 0
        and len(whole) == len(gifts)
        and all(isinstance(one.kind, rules.PercentOff | rules.AmountOff) for one in gifts),
    )


def find_goods(basket: Basket, given: SetRules) -> Goods:
    """Return for each group of a set which piles it may take units of."""
    return [
        group.select(basket) if group.weighed else group.select(basket) & ~basket.weighed
        for group in given.groups
    ]


def unite(goods: Goods) -> int:
    """Return the piles of all groups."""
    mask = 0
    for found in goods:
        mask |= found
    return mask


def is_possible(basket: Basket, given: SetRules, goods: Goods) -> bool:
    """Tell whether there are units enough for each group of a set, whoever has touched them."""
    for group, mask in zip(given.groups, goods):
        if group.units and not given.partial:
            missing = group.units
            for pile in basket.places(mask):
                missing -= basket.count_units(pile) or basket.weighed >> pile & 1
                if missing <= 0:
                    break
            else:
                return False
        elif not mask:
            return False
    return True


def lay_out(
    basket: Basket, left: list[int], ledger: strata.Ledger, wanted: Iterable[Goods]
) -> Table:
    """Return all units of the goods that any of the campaigns wants."""
    lots, counts, alike = [], [], []
    for pile in basket.places(unite([unite(goods) for goods in wanted])):
        for place, one in enumerate(strata.look(basket, left, ledger, pile)):
            units, amount, _, _ = one
            if units and amount:
                value = room = -(-amount * SCALE // units)
                if basket.floors[pile]:
                    room = max(0, value - strata.find_floor(basket, pile, 1) * SCALE)
                lots.append(Lot(pile, place, value, room))
                counts.append(units)
                alike.append(one)
    return Table(lots, counts, alike)


def read_plan(
    table: Table, basket: Basket, given: SetRules, goods: Goods, *, fresh: bool = False
) -> Plan:
    """Return a campaign's view of a table; `fresh` forgets what other campaigns did with units."""
    rows = []
    for group, found in zip(given.groups, find_rows(table, given, goods, fresh=fresh)):
        if len(found) > 1:
            sign = 1 if group.cheapest else -1
            found.sort(key=lambda lot: (sign * table.lots[lot].value, table.lots[lot]))
        rows.append(tuple(found))
    meant: list[frozenset[int] | None] = []
    for gift in given.gifts:
        if gift.select is None:
            meant.append(None)
        else:
            mask = gift.select(basket)
            meant.append(frozenset([n for n, at in enumerate(table.lots) if mask >> at.pile & 1]))
    return Plan(given, tuple(rows), _find_narrow(given, rows), tuple(meant))


def find_rows(table: Table, given: SetRules, goods: Goods, *, fresh: bool) -> list[list[int]]:
    """Return for each group its lots, in the order of the table."""
    taken = ~given.allowed
    piles = [at.pile for at in table.lots]
    return [
        [
            lot
            for lot, (pile, one) in enumerate(zip(piles, table.strata))
            if mask >> pile & 1 and (fresh or not (group.roles & ~one.allowed or one.roles & taken))
        ]
        for group, mask in zip(given.groups, goods)
    ]


def _find_narrow(
    given: SetRules, rows: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, frozenset[int]], ...]:
    """Return what sets of groups compete for, when some goods are in groups that differ.

    By Hall's theorem a set can be made as long as no choice of groups wants more units than there
    are for it.
    """
    pools = [frozenset(row) for row in rows]
    counted = [place for place, group in enumerate(given.groups) if group.units]
    if all(
        pools[a] == pools[b] or not pools[a] & pools[b] for a in counted for b in counted if a < b
    ):
        return ()
    found = []
    for bits in range(1, 1 << len(counted)):
        chosen = [place for n, place in enumerate(counted) if bits >> n & 1]
        union = frozenset().union(*[pools[place] for place in chosen])
        found.append((sum([1 << place for place in chosen]), union))
    return tuple(found)


def count_possible(plan: Plan, counts: Sequence[int]) -> int:
    """Return a bound on how many sets the units allow; exact when no group asks for an amount."""
    best = plan.rules.sets_max
    wanted: dict[frozenset[int], int] = {}
    if plan.narrow:
        for bits, pool in plan.narrow:
            units = sum([g.units for n, g in enumerate(plan.rules.groups) if bits >> n & 1])
            best = min(best, sum([counts[lot] for lot in pool]) // units)
        return best
    for group, row in zip(plan.rules.groups, plan.rows):
        if group.units:
            pool = frozenset(row)
            wanted[pool] = wanted.get(pool, 0) + group.units
    for pool, units in wanted.items():
        best = min(best, sum([counts[lot] for lot in pool]) // units)
    return best


def draw(
    plan: Plan,
    table: Table,
    counts: Sequence[int],
    *,
    sets: int = 1,
    start: tuple[int, int] = (0, 0),
) -> Draw | None:
    """Return the units of one set as (group, lot, units), or None when none can be made.

    `sets` is how many must still be possible, this one included. `start` is (group, place): that
    group passes over the lots before the place.
    """
    rest = list(counts)
    pools = [sum([rest[lot] for lot in pool]) for _, pool in plan.narrow]
    demands = [group.units * sets for group in plan.rules.groups]
    drawn: list[tuple[int, int, int]] = []
    order = sorted(range(len(plan.rows)), key=lambda n: (plan.rules.groups[n].units == 0, n))
    for place in order:
        group = plan.rules.groups[place]
        row = plan.rows[place][start[1] :] if place == start[0] else plan.rows[place]
        wanted = group.units or group.amount_min
        for lot in row:
            if wanted <= 0:
                break
            units = rest[lot]
            if group.units:
                units = min(units, wanted)
                if plan.narrow and units:
                    units = min(units, _find_slack(plan, pools, demands, place, lot))
                wanted -= units
                demands[place] -= units
            else:
                units = min(units, -(-wanted // table.lots[lot].value))
                wanted -= units * table.lots[lot].value
            if units:
                rest[lot] -= units
                for n, (_, pool) in enumerate(plan.narrow):
                    pools[n] -= units if lot in pool else 0
                drawn.append((place, lot, units))
        if wanted > 0:
            return None
    return tuple(drawn)


def _find_slack(
    plan: Plan, pools: Sequence[int], demands: Sequence[int], place: int, lot: int
) -> int:
    """Return how many units of a lot one group may take without starving the others."""
    slack = pools[-1]
    for available, (bits, pool) in zip(pools, plan.narrow):
        if lot in pool and not bits >> place & 1:
            wanted = sum([units for n, units in enumerate(demands) if bits >> n & 1])
            slack = min(slack, available - wanted)
    return max(0, slack)


def count_repeats(plan: Plan, drawn: Draw, counts: Sequence[int]) -> int:
    """Return how many times the same set can be drawn before a lot of it runs short."""
    return 1 if plan.narrow else find_repeats(drawn, counts)


def find_repeats(drawn: Draw, counts: Sequence[int]) -> int:
    """Return how many times the counts hold what a set drew."""
    taken: dict[int, int] = {}
    for _, lot, units in drawn:
        taken[lot] = taken.get(lot, 0) + units
    return min([counts[lot] // units for lot, units in taken.items()])


def choose(
    pick: rules.Pick, row: Iterable[tuple[int, int, int]], *, sets: int = 1
) -> list[tuple[int, int]]:
    """Return (key, units) of what a pick chooses among (value, key, units)."""
    sign = 1 if pick.order is rules.PickOrder.CHEAPEST else -1
    rest = pick.count_max * sets or -1
    position, chosen = 0, []
    for _, key, units in sorted([(sign * value, key, units) for value, key, units in row]):
        count = picks.count_before(position + units, skip=pick.skip * sets, every=pick.every)
        count -= picks.count_before(position, skip=pick.skip * sets, every=pick.every)
        position += units
        if rest >= 0:
            count = min(count, rest)
            rest -= count
        if count:
            chosen.append((key, count))
    return chosen


def find_part(given: SetRules, drawn: Draw) -> tuple[int, int]:
    """Return how many units of how many a set has; all of them, unless it may have fewer."""
    if not given.partial:
        return 1, 1
    return sum([units for _, _, units in drawn]), given.groups[0].units


def draw_part(plan: Plan, counts: Sequence[int]) -> Draw:
    """Return what is left for a set that may have fewer units."""
    wanted = plan.rules.groups[0].units
    drawn = []
    for lot in plan.rows[0]:
        units = min(counts[lot], wanted)
        if units:
            drawn.append((0, lot, units))
            wanted -= units
    return tuple(drawn)


def save(plan: Plan, table: Table, drawn: Draw) -> int:
    """Return about what one set saves, in thousandths of a minor unit."""
    off: dict[int, int] = {}
    for gift, meant in zip(plan.rules.gifts, plan.meant):
        units: dict[int, int] = {}
        for group, lot, count in drawn:
            if gift.groups >> group & 1 and (meant is None or lot in meant):
                units[lot] = units.get(lot, 0) + count
        row = [(table.lots[lot].value, lot, count) for lot, count in units.items()]
        chosen = choose(gift.pick, row)
        _save_one(gift.kind, find_part(plan.rules, drawn), chosen, table, off)
    return sum(off.values()) + plan.rules.bonus


def _save_one(
    kind: rules.RewardKind,
    part: tuple[int, int],
    chosen: Sequence[tuple[int, int]],
    table: Table,
    off: dict[int, int],
) -> None:
    rooms = {lot: max(0, table.lots[lot].room * n - off.get(lot, 0)) for lot, n in chosen}
    worths = {lot: table.lots[lot].value * n - off.get(lot, 0) for lot, n in chosen}
    given: Mapping[int, int]
    match kind:
        case rules.PercentOff():
            given = {n: w * kind.basis_points // amounts.BASIS_POINTS for n, w in worths.items()}
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            given = {lot: kind.amount_minor * SCALE * n for lot, n in chosen}
        case rules.FixedPrice():
            given = {
                lot: max(0, worths[lot] - kind.unit_price_minor * SCALE * n) for lot, n in chosen
            }
        case rules.AmountOff():
            given = _spread(kind.amount_minor * SCALE, worths, rooms)
        case rules.SetPrice():
            price = kind.price_minor * SCALE * part[0] // part[1]
            given = _spread(max(0, sum(worths.values()) - price), worths, rooms)
        case _:
            given = {}
    for lot, amount in given.items():
        off[lot] = off.get(lot, 0) + min(amount, rooms[lot])


def _spread(total: int, worths: Mapping[int, int], rooms: Mapping[int, int]) -> dict[int, int]:
    lots = list(worths)
    shares = amounts.spread_within(
        total, [max(1, worths[lot]) for lot in lots], [rooms[lot] for lot in lots]
    )
    return dict(zip(lots, shares))
