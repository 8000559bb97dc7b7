"""The best combination: which campaigns make which sets of the goods that they compete for.

Campaigns that share no units do not compete; what one of them alone does is making sets in its
own order until no set saves anything. Several that compete are first served greedily in a few
orders; branch and bound then looks for something better among sets of goods that stand next to
each other in the order of price, as long as its allowance of work lasts. If that comes to its end,
packing looks whether any other sets save more. Work is sets that were tried, not time: the same
cart always gets the same. Better is what saves more, then what uses fewer units, then what serves
campaigns that stand earlier.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import amounts, packing, rules, sets
from services.promotions.engine.sets import SCALE, Draw, Plan, Table

WORK_MAX: Final = 600
LOTS_PER_WORK: Final = 32
DEPTH_MAX: Final = 60
STARTS_MAX: Final = 6
Move: TypeAlias = tuple[int, Draw]
Made: TypeAlias = list[tuple[int, Draw]]


class Entry(NamedTuple):
    """A campaign in the competition; of one `group` only one campaign may make sets."""

    plan: Plan
    group: str


class Combination(NamedTuple):
    """Sets by campaign as (how often, units), campaigns by their place among the entries.

    `searched` holds those that had competition: True when no other sets save more, as far as
    comparing sets goes.
    """

    made: Mapping[int, Made]
    searched: Mapping[int, bool]


def combine(table: Table, entries: Sequence[Entry]) -> Combination:
    """Return which sets to make; entries stand in the order of priority and id."""
    if len(entries) == 1:
        return Combination({0: make_alone(table, entries[0].plan, table.counts)}, {})
    made: dict[int, Made] = {}
    searched: dict[int, bool] = {}
    for members in _connect(entries):
        if len(members) == 1:
            made[members[0]] = make_alone(table, entries[members[0]].plan, table.counts)
            continue
        search = _Search(table, {place: entries[place] for place in members})
        search.run()
        made.update(search.best_made)
        searched.update(dict.fromkeys(members, not search.cut))
    return Combination(made, searched)


def make_alone(table: Table, plan: Plan, counts: Sequence[int]) -> Made:
    """Return the sets of a campaign that nobody competes with."""
    rest = list(counts)
    made: Made = []
    left = sets.count_possible(plan, rest)
    while left > 0:
        drawn = sets.draw(plan, table, rest, sets=left if plan.narrow else 1)
        if drawn is None or sets.save(plan, table, drawn) <= 0:
            break
        times = min(left, sets.count_repeats(plan, drawn, rest))
        _take(rest, drawn, times)
        left -= times
        made.append((times, drawn))
    if plan.rules.partial and sum([times for times, _ in made]) < plan.rules.sets_max:
        drawn = sets.draw_part(plan, rest)
        if drawn and sets.save(plan, table, drawn) > 0:
            made.append((1, drawn))
    return made


def _take(counts: list[int], drawn: Draw, times: int) -> None:
    for _, lot, units in drawn:
        counts[lot] -= units * times


def _connect(entries: Sequence[Entry]) -> list[list[int]]:
    """Return which campaigns compete, directly or through others, for units or for their group."""
    pools: list[tuple[set[object], list[int]]] = []
    for place, entry in enumerate(entries):
        pool: set[object] = {lot for row in entry.plan.rows for lot in row}
        if entry.group:
            pool.add(entry.group)
        members = [place]
        apart = []
        for other, others in pools:
            if pool & other:
                pool |= other
                members += others
            else:
                apart.append((other, others))
        pools = [*apart, (pool, sorted(members))]
    return sorted(members for _, members in pools)


@dataclass(slots=True)
class _Search:
    """One search over campaigns that compete."""

    table: Table
    entries: Mapping[int, Entry]
    best_value: int = 0
    best_key: tuple[int, tuple[int, ...]] = (0, ())
    best_made: dict[int, Made] = field(default_factory=dict)
    cut: bool = False
    work: int = 0
    savings: dict[tuple[int, Draw], int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    bounds: list[list[int]] = field(default_factory=list)
    path: list[tuple[int, int, Draw]] = field(default_factory=list)

    def run(self) -> None:
        """Find the best combination there is time for."""
        self.order = sorted(self.entries)
        self._serve_greedily(lambda saving, _: saving)
        self._serve_greedily(lambda saving, units: saving * SCALE // units)
        for first in self.order:
            if self.work < WORK_MAX // 2:
                self._serve([first, *[one for one in self.order if one != first]])
        self._bound()
        self._search(list(self.table.counts), 0, (0, 0), 0, 0)
        if not self.cut:
            self._pack()

    def _pack(self) -> None:
        """Look at all sets, and not only at those that stand together by price."""
        plans = {place: self.entries[place].plan for place in self.order}
        if not all(group.units for plan in plans.values() for group in plan.rules.groups):
            self.cut = True
            return
        groups = {place: self.entries[place].group for place in self.order}
        search = packing.Packing(self.table, plans, groups, self.best_value)
        search.run()
        self.cut = not search.complete
        if search.path is not None:
            self._offer(search.path)

    def _draw(
        self, place: int, counts: Sequence[int], start: tuple[int, int] = (0, 0)
    ) -> Draw | None:
        """Draw a set and count the work."""
        plan = self.entries[place].plan
        self.work += 1 + len(counts) * (1 + len(plan.narrow)) // LOTS_PER_WORK
        return sets.draw(plan, self.table, counts, start=start)

    def _save(self, place: int, drawn: Draw) -> int:
        """Return what a set saves; the same sets come again and again."""
        key = (place, drawn)
        if key not in self.savings:
            self.savings[key] = sets.save(self.entries[place].plan, self.table, drawn)
        return self.savings[key]

    def _serve(self, order: Iterable[int]) -> None:
        """Let campaigns make all their sets, one after the other."""
        counts = list(self.table.counts)
        moves: list[tuple[int, int, Draw]] = []
        taken: set[str] = set()
        for place in order:
            entry = self.entries[place]
            if entry.group in taken:
                continue
            found = make_alone(self.table, entry.plan, counts)
            self.work += (1 + len(found)) * (1 + len(counts) // LOTS_PER_WORK)
            for times, drawn in found:
                _take(counts, drawn, times)
                moves.append((place, times, drawn))
            if found and entry.group:
                taken.add(entry.group)
        self._offer(moves)

    def _serve_greedily(self, worth: Callable[[int, int], int]) -> None:
        """Make the set that is worth most, again and again."""
        counts = list(self.table.counts)
        moves: list[tuple[int, int, Draw]] = []
        offers: dict[int, Draw | None] = {}
        while True:
            best: tuple[int, int, Draw] | None = None
            for place in self.order:
                if self._count_left(place, moves) <= 0:
                    continue
                if not self._is_valid(place, offers, counts):
                    offers[place] = self._draw(place, counts)
                drawn = offers[place]
                if drawn is not None:
                    saving = self._save(place, drawn)
                    units = sum([units for _, _, units in drawn])
                    if saving > 0 and (best is None or worth(saving, units) > best[0]):
                        best = (worth(saving, units), place, drawn)
            if best is None:
                break
            _, place, drawn = best
            times = min(sets.find_repeats(drawn, counts), self._count_left(place, moves))
            _take(counts, drawn, times)
            moves.append((place, times, drawn))
        self._offer(moves)

    def _is_valid(
        self, place: int, offers: Mapping[int, Draw | None], counts: Sequence[int]
    ) -> bool:
        """Tell whether a set drawn before would be drawn again from what is left."""
        if place not in offers:
            return False
        drawn = offers[place]
        if drawn is None:
            return True
        return not self.entries[place].plan.narrow and sets.find_repeats(drawn, counts) > 0

    def _count_left(self, place: int, moves: Sequence[tuple[int, int, Draw]]) -> int:
        """Return how many sets a campaign may still make beside these."""
        entry = self.entries[place]
        made = 0
        for other, times, _ in moves:
            if other == place:
                made += times
            elif entry.group and self.entries[other].group == entry.group:
                return 0
        return entry.plan.rules.sets_max - made

    def _offer(self, moves: Sequence[tuple[int, int, Draw]]) -> None:
        """Keep a combination if it is better than the best one so far."""
        value = units = 0
        for place, times, drawn in moves:
            value += times * self._save(place, drawn)
            units += times * sum([count for _, _, count in drawn])
        key = (units, tuple(sorted(place for place, _, _ in moves)))
        if value > self.best_value or (value == self.best_value and value and key < self.best_key):
            self.best_value, self.best_key = value, key
            self.best_made = {}
            for place, times, drawn in moves:
                self.best_made.setdefault(place, []).append((times, drawn))

    def _bound(self) -> None:
        """Find out how much each unit can save at most in any campaign from a place on."""
        suffix = [0] * len(self.table.lots)
        self.bounds = [suffix]
        for place in reversed(self.order):
            shares = _find_shares(self.entries[place].plan, self.table)
            suffix = [max(one, other) for one, other in zip(suffix, shares)]
            self.bounds.append(suffix)
        self.bounds.reverse()

    def _search(
        self, counts: list[int], at: int, start: tuple[int, int], value: int, depth: int
    ) -> None:
        """Try every set of this campaign from this start on, then of those after it."""
        if self.work > WORK_MAX or depth > DEPTH_MAX:
            self.cut = True
            return
        if value >= self.best_value:
            self._offer(self.path)
        for place in range(at, len(self.order)):
            bound = sum([n * share for n, share in zip(counts, self.bounds[place])])
            if value + bound <= self.best_value:
                return
            number = self.order[place]
            if self._count_left(number, self.path) <= 0:
                continue
            for begin, drawn, saving in self._list_moves(number, counts):
                if place > at or begin >= start:
                    rest = list(counts)
                    _take(rest, drawn, 1)
                    self.path.append((number, 1, drawn))
                    self._search(rest, place, begin, value + saving, depth + 1)
                    self.path.pop()
            if self.work > WORK_MAX:
                self.cut = True
                return

    def _list_moves(
        self, number: int, counts: Sequence[int]
    ) -> Iterator[tuple[tuple[int, int], Draw, int]]:
        """Return the different sets that a campaign could make next: start, units, saving."""
        seen: set[Draw] = set()
        self.work += 1
        for begin in _list_starts(self.entries[number].plan):
            if self.work > WORK_MAX:
                return
            drawn = self._draw(number, counts, begin)
            if drawn is not None and drawn not in seen:
                seen.add(drawn)
                saving = self._save(number, drawn)
                if saving > 0:
                    yield begin, drawn, saving


def _list_starts(plan: Plan) -> list[tuple[int, int]]:
    """Return where sets may begin: at the front, or further on in one of the groups."""
    return [(0, 0)] + [
        (group, place)
        for group, row in enumerate(plan.rows)
        for place in range(1, min(len(row), STARTS_MAX))
    ]


def _find_shares(plan: Plan, table: Table) -> list[int]:
    """Return for each lot what a unit of it may add to the saving of a set, never too little."""
    shares = [0] * len(table.lots)
    groups = plan.rules.groups
    for place, row in enumerate(plan.rows):
        for lot in row:
            found = 0
            for gift, meant in zip(plan.rules.gifts, plan.meant):
                if gift.groups >> place & 1 and (meant is None or lot in meant):
                    chosen = [one for n, one in enumerate(groups) if gift.groups >> n & 1]
                    units = sum([one.units for one in chosen])
                    known = meant is None and all(one.units for one in chosen)
                    found += _find_share(gift, table.lots[lot], units if known else 0)
            found = min(found, table.lots[lot].room) + plan.rules.bonus
            shares[lot] = max(shares[lot], found)
    return shares


def _find_share(gift: sets.Gift, lot: sets.Lot, units: int) -> int:
    """Return a bound on what one of so many units of a set saves; 0 when nobody knows how many."""
    pick, kind = gift.pick, gift.kind
    chosen = min(pick.count_max or units, units)
    part, whole = 1, 1
    if units and pick.order is rules.PickOrder.CHEAPEST and not pick.skip and pick.every <= 1:
        part, whole = chosen, units
    match kind:
        case rules.PercentOff():
            return -(-lot.value * kind.basis_points * part // (amounts.BASIS_POINTS * whole))
        case rules.AmountOff(spread=rules.AmountSpread.EACH_UNIT):
            return -(-kind.amount_minor * SCALE * part // whole)
        case rules.FixedPrice():
            return -(-max(0, lot.value - kind.unit_price_minor * SCALE) * part // whole)
        case rules.SetPrice() if units and not pick.skip and pick.every <= 1:
            return max(0, lot.value - kind.price_minor * SCALE // chosen)
        case rules.AmountOff():
            amount = kind.amount_minor * SCALE
            return -(-amount // units) if units and chosen == units else amount
    return lot.value
