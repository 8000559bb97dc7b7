"""The best combination of any sets: units of any lots, not only of neighbours by price.

Units that cost the same and are good for the same groups and rewards are of one class, and do not
differ. A set is how many units of each class it has in each group; which sets are best together is
found by branch and bound, class after class, as long as the allowance of work lasts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from services.promotions.engine import sets
from services.promotions.engine.sets import SCALE, Draw, Plan, Table

SETS_MAX: Final = 250
WORK_MAX: Final = 2_000
Path: TypeAlias = list[tuple[int, int, Draw]]


class TooManyError(Exception):
    """There are more sets than the allowance is for."""


class _Set(NamedTuple):
    """A set that a campaign could make: (group, class, units), and units by class."""

    first: int
    place: int
    saving: int
    drawn: Draw
    units: tuple[tuple[int, int], ...]


class _Block(NamedTuple):
    """Where the sets begin that have no units of the classes before; the most of a unit since."""

    begin: int
    shares: Sequence[int]


@dataclass(slots=True)
class Packing:
    """One search for sets that save more than `best_value`.

    `complete` says that nothing better was left out; `path` holds what was found as (campaign,
    how often, units), None when nothing is better.
    """

    table: Table
    plans: Mapping[int, Plan]
    groups: Mapping[int, str]
    best_value: int
    path: Path | None = None
    complete: bool = False
    _classes: list[list[int]] = field(default_factory=list)
    _sets: list[_Set] = field(default_factory=list)
    _blocks: list[_Block] = field(default_factory=list)
    _chosen: list[_Set] = field(default_factory=list)
    _left: dict[int, int] = field(default_factory=dict)
    _work: int = 0

    def run(self) -> None:
        """Search; says nothing when there are too many sets to look at."""
        self._classes = _find_classes(self.table, list(self.plans.values()))
        counts = [sum([self.table.counts[lot] for lot in lots]) for lots in self._classes]
        try:
            self._sets = sorted(self._list_sets(counts))
            self._work = 0
            self._blocks = _find_blocks(self._sets, len(counts))
            self._left = {place: plan.rules.sets_max for place, plan in self.plans.items()}
            self._search(0, 0, counts, 0)
        except TooManyError:
            return
        self.complete = all(plan.rules.exact for plan in self.plans.values())

    def _list_sets(self, counts: Sequence[int]) -> Iterator[_Set]:
        """Return the sets of all campaigns; of those with the same units one that saves most."""
        # All are counted before the first is weighed: that costs most.
        possible = [(n, plan, list(self._draw(plan, counts))) for n, plan in self.plans.items()]
        for place, plan, some in possible:
            best: dict[tuple[tuple[int, int], ...], _Set] = {}
            for drawn in some:
                units: dict[int, int] = {}
                for _, number, count in drawn:
                    units[number] = units.get(number, 0) + count
                key = tuple(sorted(units.items()))
                saving = self._save(plan, drawn)
                if saving > 0 and (key not in best or saving > -best[key].saving):
                    # Negative, so that sorting puts first what saves most.
                    best[key] = _Set(key[0][0], place, -saving, drawn, key)
            yield from best.values()

    def _draw(self, plan: Plan, counts: Sequence[int]) -> Iterator[Draw]:
        of = {lot: number for number, lots in enumerate(self._classes) for lot in lots}
        rows = [list(dict.fromkeys([of[lot] for lot in row])) for row in plan.rows]
        rest = list(counts)

        def choose(group: int, at: int, wanted: int, drawn: Draw) -> Iterator[Draw]:
            if not wanted:
                if group + 1 == len(rows):
                    self._spend(WORK_MAX // SETS_MAX)
                    yield drawn
                else:
                    yield from choose(group + 1, 0, plan.rules.groups[group + 1].units, drawn)
                return
            self._spend(1)
            if at == len(rows[group]):
                return
            number = rows[group][at]
            for units in range(min(wanted, rest[number]), -1, -1):
                taken = (*drawn, (group, number, units)) if units else drawn
                rest[number] -= units
                yield from choose(group, at + 1, wanted - units, taken)
                rest[number] += units

        yield from choose(0, 0, plan.rules.groups[0].units, ())

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > WORK_MAX:
            raise TooManyError

    def _save(self, plan: Plan, drawn: Draw) -> int:
        shown = tuple((group, self._classes[number][0], units) for group, number, units in drawn)
        return sets.save(plan, self.table, shown)

    def _search(self, at: int, block: int, counts: list[int], value: int) -> None:
        """Try every set from this one on, beside those that were chosen."""
        if value > self.best_value:
            self.best_value, self.path = value, self._deal()
        for number in range(block, len(self._blocks)):
            begin, shares = self._blocks[number]
            bound = sum([n * share for n, share in zip(counts, shares)])
            if value + bound // SCALE <= self.best_value:
                return
            end = (
                self._blocks[number + 1].begin
                if number + 1 < len(self._blocks)
                else len(self._sets)
            )
            for place in range(max(begin, at), end):
                self._try(place, number, counts, value)

    def _try(self, at: int, block: int, counts: list[int], value: int) -> None:
        self._spend(1)
        one = self._sets[at]
        if not self._left[one.place] or any(counts[n] < units for n, units in one.units):
            return
        group = self.groups[one.place]
        if group and any(
            other.place != one.place and self.groups[other.place] == group for other in self._chosen
        ):
            return
        rest = list(counts)
        for n, units in one.units:
            rest[n] -= units
        self._left[one.place] -= 1
        self._chosen.append(one)
        self._search(at, block, rest, value - one.saving)
        self._chosen.pop()
        self._left[one.place] += 1

    def _deal(self) -> Path:
        """Return the chosen sets with units of lots instead of classes."""
        rest = list(self.table.counts)
        path: Path = []
        for one, equal in groupby(sorted(self._chosen, key=attrgetter("place", "units"))):
            for _ in equal:
                drawn: list[tuple[int, int, int]] = []
                for group, number, units_wanted in one.drawn:
                    wanted = units_wanted
                    for lot in self._classes[number]:
                        units = min(rest[lot], wanted)
                        if units:
                            rest[lot] -= units
                            wanted -= units
                            drawn.append((group, lot, units))
                path.append((one.place, 1, tuple(drawn)))
        return path


def _find_classes(table: Table, plans: Sequence[Plan]) -> list[list[int]]:
    """Return the lots whose units do not differ, the dearest classes first."""
    rows = [frozenset(row) for plan in plans for row in plan.rows]
    meant = [lots for plan in plans for lots in plan.meant if lots is not None]
    found: dict[tuple[int, int, tuple[bool, ...]], list[int]] = {}
    for lot, one in enumerate(table.lots):
        uses = tuple([lot in lots for lots in (*rows, *meant)])
        found.setdefault((-one.value, one.room, uses), []).append(lot)
    return [found[key] for key in sorted(found)]


def _find_blocks(possible: Sequence[_Set], classes: int) -> list[_Block]:
    """Return the blocks of sets by their first class, with bounds in parts of SCALE."""
    shares = [0] * classes
    blocks = []
    end = len(possible)
    for first, members in groupby(reversed(possible), key=attrgetter("first")):
        for one in members:
            end -= 1
            share = -(one.saving * SCALE // sum([units for _, units in one.units]))
            for number, _ in one.units:
                shares[number] = max(shares[number], share)
        assert possible[end].first == first
        blocks.append(_Block(end, list(shares)))
    return blocks[::-1]
