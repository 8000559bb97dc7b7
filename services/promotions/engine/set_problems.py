"""What is wrong with picks and sets before they go live, and with the goods that rules name."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from services.promotions.engine import rules

GROUPS_MAX: Final = 6
UNITS_MAX: Final = 10_000
SETS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in a sentence without its end; `field` is the contract's path."""

    field: str
    problem: str


def check_filter(item_filter: rules.ItemFilter, path: str) -> Iterator[Problem]:
    """Return what is wrong with a filter of goods."""
    lowest, highest = item_filter.unit_price_min_minor, item_filter.unit_price_max_minor
    if min(lowest, highest) < 0 or (highest and lowest > highest):
        yield Problem(f"{path}.unit_price_max_minor", "must not be below unit_price_min_minor")
    for name in [field.name for field in fields(item_filter) if f"exclude_{field.name}" in _NAMES]:
        wanted: frozenset[str] = getattr(item_filter, name)
        if wanted and wanted <= getattr(item_filter, f"exclude_{name}"):
            yield Problem(f"{path}.exclude_{name}", "leaves no goods: all included are excluded")


_NAMES: Final = frozenset(field.name for field in fields(rules.ItemFilter))


def find_problems(given: rules.Rules) -> Iterator[Problem]:
    """Return what is wrong with the sets of a campaign."""
    combination = given.combination
    multi_buy = given.multi_buy
    if multi_buy is None:
        if combination.reuse is not rules.Reuse.NONE:
            yield Problem("combination.reuse", "needs sets")
        return
    if combination.lane is not rules.Lane.MULTI_BUY:
        yield Problem("multi_buy", "belongs into LANE_MULTI_BUY")
    if not 1 <= len(multi_buy.groups) <= GROUPS_MAX:
        yield Problem("multi_buy.groups", f"must hold 1 to {GROUPS_MAX} groups")
    if not 0 <= multi_buy.sets_max <= SETS_MAX:
        yield Problem("multi_buy.sets_max", f"must be 0 to {SETS_MAX}")
    for place, group in enumerate(multi_buy.groups):
        path = f"multi_buy.groups[{place}]"
        if min(group.units, group.amount_min_minor) < 0 or (
            (group.units > 0) == (group.amount_min_minor > 0)
        ):
            yield Problem(path, "exactly one of units and amount_min_minor must be above 0")
        if group.units > UNITS_MAX:
            yield Problem(f"{path}.units", f"must be at most {UNITS_MAX}")
        yield from check_filter(group.filter, f"{path}.filter")
    if multi_buy.partial:
        yield from _check_partial(given, multi_buy)


def _check_partial(given: rules.Rules, multi_buy: rules.MultiBuy) -> Iterator[Problem]:
    if len(multi_buy.groups) != 1 or not multi_buy.groups[0].units:
        yield Problem("multi_buy.partial", "needs exactly one group, of units")
    if not all(isinstance(one.kind, rules.SetPrice) for one in given.all_rewards):
        yield Problem("multi_buy.partial", "is for set prices only")


def check_reward(given: rules.Rules, reward: rules.Reward, path: str) -> Iterator[Problem]:
    """Return what is wrong with what a reward says of sets and units."""
    pick, multi_buy = reward.pick, given.multi_buy
    if pick is not None:
        yield from _check_pick(pick, f"{path}.pick")
        if isinstance(reward.kind, (*rules.EARNS, rules.GiftItems, rules.Upgrade)):
            yield Problem(f"{path}.pick", "is for discounts on goods")
    if multi_buy is None:
        yield from _check_without_sets(reward, path)
        return
    for place in reward.groups:
        if not 0 <= place < len(multi_buy.groups):
            yield Problem(f"{path}.groups", f"there is no group {place}")
    if len(set(reward.groups)) < len(reward.groups):
        yield Problem(f"{path}.groups", "must not repeat a group")
    if reward.beside_sets:
        yield from _check_beside(reward, path)
    else:
        yield from _check_kind_of_sets(reward, path)
        yield from _check_set_reward(reward, path)


def _check_without_sets(reward: rules.Reward, path: str) -> Iterator[Problem]:
    if reward.groups:
        yield Problem(f"{path}.groups", "needs sets")
    for name in ("outside_sets", "all_goods"):
        if getattr(reward, name):
            yield Problem(f"{path}.{name}", "needs sets")
    if reward.pick is not None and reward.pick.scope is rules.PickScope.ALL_SETS:
        yield Problem(f"{path}.pick.scope", "needs sets")
    if reward.pick is not None and reward.pick.total_max:
        yield Problem(f"{path}.pick.total_max", "needs sets; without them count_max is the bound")


def _check_kind_of_sets(reward: rules.Reward, path: str) -> Iterator[Problem]:
    kind = reward.kind
    if isinstance(kind, rules.PriceList | rules.Upgrade):
        yield Problem(path, "a price list or an upgrade does not go together with sets")
    if isinstance(kind, rules.GiftItems) and (
        kind.spread is not rules.GiftSpread.ONCE or kind.add_missing or reward.groups
    ):
        yield Problem(f"{path}.gift_items", "is given for each set, without spread and groups")
    if reward.floor_rest is not rules.FloorRest.AS_KIND:
        yield Problem(f"{path}.floor_rest", "does not go together with sets")


def _check_beside(reward: rules.Reward, path: str) -> Iterator[Problem]:
    name = "outside_sets" if reward.outside_sets else "all_goods"
    if reward.outside_sets and reward.all_goods:
        yield Problem(f"{path}.all_goods", "does not go together with outside_sets")
    if reward.groups:
        yield Problem(f"{path}.{name}", "goes without groups")
    if reward.pick is not None and reward.pick != rules.Pick(
        reward.pick.order, reward.pick.count_max, total_max=reward.pick.total_max
    ):
        yield Problem(f"{path}.pick", "beside sets it has but order, count_max and total_max")
    if not isinstance(reward.kind, _BESIDE_SETS):
        yield Problem(f"{path}.{name}", "is for a percentage, an amount or a price")


_BESIDE_SETS: Final = (rules.PercentOff, rules.AmountOff, rules.FixedPrice, rules.SetPrice)


def _check_pick(pick: rules.Pick, path: str) -> Iterator[Problem]:
    for name in ("count_max", "units_per_line_max", "skip", "every", "total_max"):
        if getattr(pick, name) < 0:
            yield Problem(f"{path}.{name}", "must not be negative")
    if pick.by is rules.PickBy.LINE and pick.units_per_line_max:
        yield Problem(f"{path}.units_per_line_max", "counts units, and the pick is by lines")


def _check_set_reward(reward: rules.Reward, path: str) -> Iterator[Problem]:
    kind, pick = reward.kind, reward.pick
    if isinstance(kind, rules.AmountOff) and kind.spread is rules.AmountSpread.EACH_LINE:
        yield Problem(f"{path}.amount_off.spread", "EACH_LINE does not go together with sets")
    if pick is None:
        return
    if pick.by is rules.PickBy.LINE:
        yield Problem(f"{path}.pick.by", "PICK_BY_LINE does not go together with sets")
    if pick.units_per_line_max:
        yield Problem(f"{path}.pick.units_per_line_max", "does not go together with sets")
    by_set = isinstance(kind, rules.SetPrice) or (
        isinstance(kind, rules.AmountOff) and kind.spread is rules.AmountSpread.ACROSS
    )
    if by_set and pick.scope is rules.PickScope.ALL_SETS:
        yield Problem(f"{path}.pick.scope", "what is given for each set is picked in each set")
