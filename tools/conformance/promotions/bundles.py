"""Sets of a case: buy X get Y, n for m, bundles, meal deals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.promotions import engine
from services.promotions.engine import PickOrder
from tools.conformance.promotions import conditions, goods, picks
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Unsupported, Words, read_whole

_HUNDRED = engine.PercentOff(10_000)
_EVERY_UNIT = engine.AmountSpread.EACH_UNIT
_ONCE_A_SET = engine.AmountSpread.ACROSS
_GROUP_WORDS = ("group", "set", "set_group", "package", "bundle")
_GROUPINGS = (*_GROUP_WORDS, "grouping", "group_by", "grouped_by", "per_group")
_GROUPS_WORDS = ("groups", "sets", "set_groups", "packages", "bundles")


@dataclass(frozen=True, slots=True)
class Made:
    """A reward on sets, and what the sets are made of."""

    reward: engine.Reward
    multi_buy: engine.MultiBuy
    reuse: engine.Reuse = engine.Reuse.NONE


def read_sets(
    words: Words, setting: Setting, reward: engine.Reward, *, by_group: bool, on_order: bool
) -> Made | None:
    """Return the sets that a discount asks for besides its target, None without any."""
    if "qualifier" in words:
        return _read_qualifier(words, setting, reward)
    groups = _read_groups(words, setting, reward)
    if groups:
        return _make(words, setting, reward, groups)
    per_bundle = is_per_set(words)
    if not by_group and not per_bundle:
        return None
    groups = _groups_of_bundle(setting)
    if on_order:
        return Made(replace(reward, all_goods=True), _sets_of(words, setting, *groups))
    return _make(words, setting, reward, groups)


def is_per_set(words: Words) -> bool:
    """Tell whether a reward is for each set: `per_bundle`, `bundle_scaling: multiply`."""
    found = False
    for name in words.left:
        parts = {*name.split("_")}
        said = words.peek(name)
        if parts & _SET_PARTS and parts & _TIMES_PARTS and isinstance(said, bool | str):
            words.drop(name)
            found = said is True or (isinstance(said, str) and any(one in said for one in _TIMES))
    return found


_SET_PARTS = frozenset({"bundle", "bundles", "set", "sets"})
_TIMES_PARTS = frozenset({"per", "each", "multiply", "multiplied", "scaling", "scale", "times"})
_TIMES = ("multipl", "each", "per_")
_SIZE_WORDS = ("size", "qty", "count", "n", "packager")
_LIFTED = (
    "pick",
    "nth",
    "order",
    "per_bundle",
    "qualifier",
    "select",
    "max_units_total",
    "max_units_per_line",
)
_NUMBERS = ("group_number", "on_group", "group_index", "index", *_GROUP_WORDS)
_LOOSE_SIZES = (
    *(f"{one}_{two}" for one in _GROUP_WORDS for two in ("size", "qty", "count")),
    *(f"{one}_of" for one in (*_GROUP_WORDS, *_GROUPS_WORDS)),
)
_LOOSE_ORDERS = tuple(f"{one}_{two}" for one in _GROUP_WORDS for two in ("order", "sort", "sorter"))
_EACH_TIME = tuple(f"max_units_per_{one}" for one in ("application", "repeat", *_GROUP_WORDS))
_PICKED = ("pick", "max_units", "max_units_total", "max_units_per_line", *_LOOSE_ORDERS)


def lift(target: Words, words: Words, *, by_group: bool) -> None:
    """Let what a target says of sets and picks count as said of the reward."""
    if by_group and any(name in target for name in _SIZE_WORDS):
        own = (*_SIZE_WORDS, "value", *conditions.ORDERS)
        words.put("group", {name: target.take(name) for name in own if name in target})
    for name in (*_LIFTED, *_GROUPS_WORDS, *_NUMBERS, *_LOOSE_SIZES, *_LOOSE_ORDERS):
        if name in target:
            words.put(name, target.take(name))
    for name in _EACH_TIME:
        bound = words.peek(name)
        if isinstance(bound, Mapping) and len({*bound.values()}) == 1 and "prices" not in words:
            bound = next(iter(bound.values()))  # the same for all articles
        if isinstance(bound, int):
            words.drop(name)
            words.put("pick", {**words.table("pick"), "count": bound})
            words.put("per_bundle", value=True)
    sized = any(name in words for name in _LOOSE_SIZES)
    if sized and "select" in words and not any(name in words for name in _PICKED):
        words.put(_LOOSE_ORDERS[0], words.take("select"))  # which units make a set


def _number_groups(words: Words) -> None:
    """Let a group that is meant by its name be meant by its number."""
    name = next((one for one in _GROUPS_WORDS if isinstance(words.peek(one), list)), "")
    listed = words.peek(name) if name else []
    named = [one for one in listed if isinstance(one, Mapping)]
    ids = [str(one.get("id") or one.get("name") or "") for one in named]
    if not any(ids):
        return
    words.put(name, [{key: one[key] for key in one if key not in _IDS} for one in named])
    meant = next((one for one in words.left if words.peek(one) in ids), "")
    if meant:
        words.put(_NUMBERS[0], ids.index(str(words.take(meant))) + 1)


_IDS = frozenset({"id", "name"})


def _read_groups(
    words: Words, setting: Setting, reward: engine.Reward
) -> tuple[engine.UnitGroup, ...]:
    """Return the groups that the reward itself describes; a group without goods has its target."""
    _lift_groups(words)
    order = conditions.read_order(words.text(*_LOOSE_ORDERS), words)
    size = words.whole(*_LOOSE_SIZES)
    if size is not None:
        return (engine.UnitGroup(reward.target, size, order=order or engine.PickOrder.DEAREST),)
    _number_groups(words)
    listed = next((one for one in _GROUPS_WORDS if isinstance(words.peek(one), list)), "")
    found = words.open_all(listed) if listed else []
    names = (*_GROUPINGS, *_GROUPS_WORDS)
    name = next((one for one in names if isinstance(words.peek(one), Mapping)), "")
    if name:
        found.append(words.open(name))
    groups = []
    for inner in found:
        group = conditions.read_group(inner, setting.goods)
        inner.close()
        narrow = group.filter == goods.everything(setting.goods) and len(found) == 1
        groups.append(replace(group, filter=reward.target) if narrow else group)
    return tuple(groups)


def _lift_groups(words: Words) -> None:
    """Let groups that stand in a set of their own count as said of the reward."""
    for name in _GROUPINGS:
        inner = words.peek(name)
        if isinstance(inner, Mapping) and len(inner) == 1 and {*inner} & {*_GROUPS_WORDS, "parts"}:
            words.drop(name)
            words.put(_GROUPS_WORDS[0], next(iter(inner.values())))


def _make(
    words: Words, setting: Setting, reward: engine.Reward, groups: tuple[engine.UnitGroup, ...]
) -> Made:
    """Return the sets with a reward on those of their groups that it means, or on other goods."""
    sets = _sets_of(words, setting, *groups)
    meant = next((one for one in _NUMBERS if words.peek(one) in setting.terms.bundle_names), "")
    if meant:
        words.put(_NUMBERS[0], setting.terms.bundle_names.index(words.take(meant)) + 1)
    number = words.whole(*_NUMBERS)
    if number is not None:
        if not 1 <= number <= len(groups):
            raise Unsupported(f"{words.where}.on_group that is no group")
        return Made(_on_groups(reward, number - 1), sets)
    chosen = tuple(
        place for place, group in enumerate(groups) if _is_part(group.filter, reward.target)
    )
    if len(groups) == 1 and reward.target == groups[0].filter:
        return Made(_on_groups(reward), sets)
    if not chosen and not reward.target.skus & _skus_of(groups):
        return Made(replace(reward, outside_sets=True), sets)
    if not chosen or not reward.target.skus <= _skus_of(groups):
        return Made(replace(reward, all_goods=True), sets)
    return Made(_on_groups(reward, *chosen), sets)


def _is_part(group: engine.ItemFilter, target: engine.ItemFilter) -> bool:
    """Tell whether all goods of a group are meant, as far as names tell."""
    named = [
        (group.skus, target.skus),
        (group.category_ids, target.category_ids),
        (group.brands, target.brands),
        (group.tags, target.tags),
    ]
    return all(not wanted or (own and own <= wanted) for own, wanted in named)


def _skus_of(groups: tuple[engine.UnitGroup, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(group.filter.skus for group in groups))


def _groups_of_bundle(setting: Setting) -> tuple[engine.UnitGroup, ...]:
    """Return the groups of the set that the campaign's conditions describe."""
    bundle = setting.terms.take_bundle()
    if bundle:
        return tuple(bundle)
    asked = setting.terms.take_asked()
    if asked is None:
        raise Unsupported("sets without a word of what is in them")
    units = asked.quantity_thousandths // 1_000
    return (engine.UnitGroup(asked.filter, units, asked.amount_minor),)


def read_own_sets(words: Words, setting: Setting) -> engine.MultiBuy:
    """Return the sets that the campaign's conditions describe."""
    return _sets_of(words, setting, *_groups_of_bundle(setting))


def _on_groups(reward: engine.Reward, *places: int) -> engine.Reward:
    return replace(reward, target=engine.ItemFilter(), groups=places)


def _sets_of(words: Words, setting: Setting, *groups: engine.UnitGroup) -> engine.MultiBuy:
    """Return sets of these groups: as many as there are, unless the campaign says less."""
    most = words.whole(*conditions.MOST_SETS)
    bounds = [bound for bound in (setting.sets_max, setting.terms.sets_max, most) if bound]
    if not words.flag("repeat", "repeats", default=True):
        bounds.append(1)
    return engine.MultiBuy(groups, min(bounds, default=0), _read_sharing(words))


def _read_sharing(words: Words) -> engine.Sharing:
    """Return whether all units of a set carry its discount, for the sake of returns."""
    name = words.text(
        "share_with", "shared_by", "allocate_to", "allocation_to", "carried_by", "allocation"
    )
    whole = words.flag("share_with_qualifier", "allocation_to_qualifier", "share_discount", "split")
    whole = whole or any(sign in name for sign in ("all", "qualifier", "both", "set"))
    return engine.Sharing.ALL if whole else engine.Sharing.REWARDED


def _read_qualifier(words: Words, setting: Setting, reward: engine.Reward) -> Made:
    """Read "buy these, get so many of the target"."""
    qualifier = words.open("qualifier")
    bought = conditions.read_group(qualifier, setting.goods)
    qualifier.close()
    units = words.whole("get_qty") or 1
    rewarded_max = words.whole("max_reward_units", "max_units_total")
    multi_buy = _sets_of(words, setting, bought, engine.UnitGroup(reward.target, units))
    if rewarded_max is not None:
        sets_max = -(-rewarded_max // units)
        multi_buy = replace(multi_buy, sets_max=min(sets_max, multi_buy.sets_max or sets_max))
        if rewarded_max % units:
            reward = replace(reward, pick=engine.Pick(total_max=rewarded_max))
    consumes = words.flag("consumes_units", default=True)
    reuse = engine.Reuse.NONE if consumes else engine.Reuse.BOTH
    return Made(_on_groups(reward, 1), multi_buy, reuse)


def read_buy_get(words: Words, setting: Setting) -> Gift:
    """Read "buy X, get Y": X at its price, Y for a percentage, an amount or a price less."""
    buy, get = words.open("buy"), words.open("get")
    groups = (conditions.read_group(buy, setting.goods), conditions.read_group(get, setting.goods))
    percent, amount, price = (
        get.basis_points("percent"),
        get.minor("amount_off"),
        get.minor("unit_price"),
    )
    kind: engine.RewardKind = _HUNDRED
    if percent is not None:
        kind = engine.PercentOff(percent)
    elif amount is not None:
        kind = engine.AmountOff(amount, _EVERY_UNIT)
    elif price is not None:
        kind = engine.FixedPrice(price)
    buy.close()
    get.close()
    sets = _sets_of(words, setting, *groups)
    reward = engine.Reward(kind, groups=(1,))
    free_max = words.whole("max_free_units", "max_reward_units", "max_units_total", "max_units")
    if free_max:
        sets_max = -(-free_max // groups[1].units)
        sets = replace(sets, sets_max=min(sets_max, sets.sets_max or sets_max))
        reward = replace(reward, pick=engine.Pick(total_max=free_max))
    return _gift(reward, sets)


def _gift(reward: engine.Reward, multi_buy: engine.MultiBuy) -> Gift:
    return Gift(
        rewards=(reward,),
        multi_buy=multi_buy,
        percent=isinstance(reward.kind, engine.PercentOff),
    )


def read_cheapest_free(words: Words, setting: Setting) -> Gift:
    """Read "the cheapest free": the condition of the campaign says what a set is.

    Where it asks for units, all but the free ones are the dearest there are. Where it asks for an
    amount, the dearest units come to it, and the cheapest of those are free.
    """
    count = words.whole("count") or 1
    meant = goods.read_filter(words.open("filter"), setting.goods)
    asked = setting.terms.take_asked()
    if asked is None:
        pick = engine.Pick(PickOrder.CHEAPEST, count_max=count)
        return Gift(rewards=(engine.Reward(_HUNDRED, meant, pick=pick),), percent=True)
    if asked.amount_minor:
        pick = engine.Pick(PickOrder.CHEAPEST, count_max=count)
        group = engine.UnitGroup(asked.filter, amount_min_minor=asked.amount_minor)
        reward = engine.Reward(_HUNDRED, meant, pick=pick)
        return _gift(reward, _sets_of(words, setting, group))
    units = asked.quantity_thousandths // 1_000
    free = engine.UnitGroup(meant, min(count, units), order=PickOrder.CHEAPEST)
    if units <= count:
        return _gift(engine.Reward(_HUNDRED), _sets_of(words, setting, free))
    paid = engine.UnitGroup(asked.filter, units - count)
    return _gift(engine.Reward(_HUNDRED, groups=(1,)), _sets_of(words, setting, paid, free))


def read_cheaper_of_n(words: Words, setting: Setting) -> Gift:
    """Read "of n units the cheaper one for less"."""
    percent = words.basis_points("percent", "value")
    kind = _HUNDRED if percent is None else engine.PercentOff(percent)
    reward = engine.Reward(kind, pick=engine.Pick(PickOrder.CHEAPEST, count_max=1))
    return _gift(reward, _sets_of(words, setting, _read_units(words, setting)))


def read_percent_off_group(words: Words, setting: Setting) -> Gift:
    """Read "n units together, each for a percentage less"."""
    percent = words.basis_points("percent", "value")
    if percent is None:
        raise Unsupported("a percentage without its value")
    group = _read_units(words, setting)
    reward = engine.Reward(engine.PercentOff(percent), pick=picks.read_pick(words, ""))
    return _gift(reward, _sets_of(words, setting, group))


def read_amount_off_group(words: Words, setting: Setting) -> Gift:
    """Read "n units together for an amount less"."""
    amount = words.minor("value", "amount_off")
    if amount is None:
        raise Unsupported("an amount without its value")
    reward = engine.Reward(engine.AmountOff(amount, _ONCE_A_SET))
    return _gift(reward, _sets_of(words, setting, _read_units(words, setting)))


def read_group_price(words: Words, setting: Setting) -> Gift:
    """Read "n units together for a price"."""
    partial = not words.flag("full_group_required", default=True)
    price = words.minor("price", "value")
    if price is None:
        raise Unsupported("a fixed price without its value")
    reward = engine.Reward(engine.SetPrice(price))
    sets = _sets_of(words, setting, _read_units(words, setting))
    return _gift(reward, replace(sets, partial=partial))


def read_multi_buy(words: Words, setting: Setting) -> Gift:
    """Read "of every n units so many for less": the cheapest of all unless it is said."""
    size = words.whole("trigger_qty", "trigger_quantity", "buy_qty", "n", "qty") or 0
    count = words.whole("discounted_qty", "discounted_quantity", "get_qty", "m") or 0
    order = conditions.read_order(
        words.text("select", "selection_mode", "selectionMode", "choose", "order"), words
    )
    if not 0 < count <= size:
        raise Unsupported("a set without its units")
    words.put("n", size)
    words.put("max_sets", words.take("max_occurrence", "max_occurrences", "max_sets"))
    kind = _read_off(words, engine.AmountOff(1, _EVERY_UNIT), _HUNDRED)
    over_all = engine.PickScope.ALL_SETS
    pick = engine.Pick(order or PickOrder.CHEAPEST, count_max=count, scope=over_all)
    sets = _sets_of(words, setting, _read_units(words, setting))
    return _gift(engine.Reward(kind, pick=pick), sets)


def read_n_for_m(words: Words, setting: Setting) -> Gift:
    """Read "n for the price of m": the cheapest of each n cost nothing."""
    paid = words.whole("m", "pay", "for") or 0
    group = _read_units(words, setting)
    if not 0 < paid < group.units:
        raise Unsupported("n for m where m is not less than n")
    pick = engine.Pick(PickOrder.CHEAPEST, count_max=group.units - paid)
    return _gift(engine.Reward(_HUNDRED, pick=pick), _sets_of(words, setting, group))


def take_target(words: Words) -> Mapping[str, Any]:
    """Return the goods of a target, for sets whose goods stand there and not beside them."""
    target = words.open("target")
    target.drop("scope")
    inner = target.table("filter")
    target.close()
    return inner


def _read_units(words: Words, setting: Setting) -> engine.UnitGroup:
    for name in _GROUPINGS:
        if isinstance(words.peek(name), Mapping):
            for one, said in words.table(name).items():
                words.put(_LOOSE_ORDERS[0] if one in conditions.ORDERS else one, said)
    if "filter" not in words and "target" in words:
        words.put("filter", take_target(words))
    meant = goods.read_filter(words.open("filter"), setting.goods)
    units = words.whole("n", "qty", "size", *_LOOSE_SIZES)
    order = conditions.read_order(words.text(*_LOOSE_ORDERS, "choose", "select", "order"), words)
    if not units:
        (group, *more) = _groups_of_bundle(setting)
        if more or not group.units:
            raise Unsupported("a group without its number of units")
        units, meant = group.units, group.filter
    return engine.UnitGroup(meant, units, order=order or PickOrder.DEAREST)


PRICES_OF_SETS = ("deal_price", "bundle_price", "set_price", "group_price", "total_price")


def read_bundle_price(words: Words, setting: Setting) -> Gift:
    """Read "these articles together for a price"."""
    price = words.minor("value", "price", *PRICES_OF_SETS)
    if price is None:
        raise Unsupported("a fixed price without its value")
    groups = _read_parts(words, setting)
    if not groups and any(name in words for name in ("qty", "n", "size", "group_size")):
        groups = (_read_units(words, setting),)
    groups = groups or _groups_of_bundle(setting)
    return _gift(engine.Reward(engine.SetPrice(price)), _sets_of(words, setting, *groups))


def _read_parts(words: Words, setting: Setting) -> tuple[engine.UnitGroup, ...]:
    groups = []
    for item in words.open_all("items", "groups", "parts"):
        groups.append(conditions.read_group(item, setting.goods))
        item.close()
    return tuple(groups)


def read_set_discount(words: Words, setting: Setting) -> Gift:
    """Read "one of each of several groups": an amount off, on all of them or on one."""
    groups = _read_parts(words, setting) or _groups_of_bundle(setting)
    words.drop("allocation", "split_between")  # all goods of a set share it unless one carries it
    carrier = words.text("on")
    places = tuple(
        place
        for place, group in enumerate(groups)
        if carrier and carrier in group.filter.category_ids | group.filter.skus
    )
    if carrier and not places:
        raise Unsupported("a discount for each set on goods outside of it")
    kind = _read_off(words, engine.AmountOff(1, _ONCE_A_SET))
    return _gift(engine.Reward(kind, groups=places), _sets_of(words, setting, *groups))


def _read_off(
    words: Words, default: engine.AmountOff, unsaid: engine.RewardKind | None = None
) -> engine.RewardKind:
    """Read what comes off: an amount, a percentage, or down to a price of all."""
    amount, percent, price = (
        words.minor("amount_off"),
        words.basis_points("percent"),
        words.minor("price"),
    )
    if amount is not None:
        return replace(default, amount_minor=amount)
    if percent is not None:
        return engine.PercentOff(percent)
    if price is not None:
        return engine.SetPrice(price)
    if unsaid is None:
        raise Unsupported("an amount without its value")
    return unsaid


def read_pair(words: Words, setting: Setting) -> Gift:
    """Read "with these, so much off each of those"; those may be sold by weight."""
    qualifier, discounted = words.open("qualifier"), words.open("discounted")
    counted = discounted.text("counted") or "per_line"
    if counted != "per_line":
        words.gaps.add(f"unknown word: reward.discounted.counted {counted}")
    groups = tuple(conditions.read_group(one, setting.goods) for one in (qualifier, discounted))
    qualifier.close()
    discounted.close()
    kind = _read_off(words, engine.AmountOff(1, _EVERY_UNIT))
    allocation = words.text("allocation", "split_between")
    if isinstance(words.peek("split"), str):
        allocation = words.text("split")
    if allocation:
        words.put("split", allocation not in {"discounted", "none", "target"})
    gift = _gift(engine.Reward(kind, groups=(1,)), _sets_of(words, setting, *groups))
    return replace(gift, allocation="equal_split") if "equal" in allocation else gift


def read_split_pair(words: Words, setting: Setting) -> Gift:
    """Read a pair whose goods carry the discount together."""
    words.put("split", value=True)
    return read_pair(words, setting)


def read_prices(words: Words, setting: Setting) -> Gift:
    """Read a price for each article of a set."""
    prices, bounds = words.table("prices"), words.table("max_units_per_bundle")
    words.drop("target")
    if not setting.terms.bundle:
        return _read_price_list(words, prices)
    groups = _groups_of_bundle(setting)
    rewards = []
    for sku in prices:
        inner = Words(prices, f"{words.where}.prices", words.gaps)
        kind = engine.FixedPrice(inner.minor(sku) or 0)
        place = next((n for n, one in enumerate(groups) if sku in one.filter.skus), None)
        if place is None:
            meant = engine.ItemFilter(skus=frozenset({sku}))
            rewards.append(engine.Reward(kind, meant, outside_sets=True))
            continue
        bound = bounds.get(sku)
        pick = engine.Pick(count_max=read_whole(bound, words.where)) if bound is not None else None
        rewards.append(engine.Reward(kind, groups=(place,), pick=pick))
    return Gift(rewards=tuple(rewards), multi_buy=_sets_of(words, setting, *groups))


def _read_price_list(words: Words, prices: Mapping[str, Any]) -> Gift:
    """Read a price for each of many articles, without sets."""
    inner = Words(prices, f"{words.where}.prices", words.gaps)
    listed = tuple(engine.ArticlePrice(sku, inner.minor(sku) or 0) for sku in sorted(prices))
    return Gift(rewards=(engine.Reward(engine.PriceList(listed)),))
