"""Sets of a case: buy X get Y, n for m, bundles, meal deals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.promotions import engine
from services.promotions.engine import PickOrder
from tools.conformance.promotions import goods
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Unsupported, Words, read_whole

_HUNDRED = engine.PercentOff(10_000)
_EVERY_UNIT = engine.AmountSpread.EACH_UNIT
_ONCE_A_SET = engine.AmountSpread.ACROSS
_CHOICES = {
    "": PickOrder.DEAREST,
    "MOST_EXPENSIVE": PickOrder.DEAREST,
    "LEAST_EXPENSIVE": PickOrder.CHEAPEST,
}


@dataclass(frozen=True, slots=True)
class Made:
    """A reward on sets, and what the sets are made of."""

    reward: engine.Reward
    multi_buy: engine.MultiBuy
    reuse: engine.Reuse = engine.Reuse.NONE


def read_sets(
    words: Words, setting: Setting, reward: engine.Reward, *, by_group: bool
) -> Made | None:
    """Return the sets that a discount asks for besides its target, None without any."""
    if "qualifier" in words:
        return _read_qualifier(words, setting, reward)
    if "group_size" in words:
        units = words.whole("group_size") or 0
        group = engine.UnitGroup(reward.target, units)
        return Made(_on_groups(reward), _sets_of(words, setting, group))
    per_bundle = words.flag("per_bundle")
    if not by_group and not per_bundle:
        return None
    groups = _groups_of_bundle(setting)
    chosen = tuple(
        place for place, group in enumerate(groups) if _is_part(group.filter, reward.target)
    )
    if not chosen and reward.target.skus and not reward.target.skus & _skus_of(groups):
        return Made(replace(reward, outside_sets=True), _sets_of(words, setting, *groups))
    if not chosen or not reward.target.skus <= _skus_of(groups):
        raise Unsupported("a discount for each set on goods in it and outside of it")
    return Made(_on_groups(reward, *chosen), _sets_of(words, setting, *groups))


def _is_part(group: engine.ItemFilter, target: engine.ItemFilter) -> bool:
    return not target.skus or group.skus <= target.skus


def _skus_of(groups: tuple[engine.UnitGroup, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(group.filter.skus for group in groups))


def _groups_of_bundle(setting: Setting) -> tuple[engine.UnitGroup, ...]:
    """Return the groups of the set that the campaign's condition describes."""
    bundle = setting.terms.take_bundle()
    if not bundle:
        raise Unsupported("sets without a word of what is in them")
    return tuple(
        engine.UnitGroup(engine.ItemFilter(skus=frozenset({sku})), units) for sku, units in bundle
    )


def _on_groups(reward: engine.Reward, *places: int) -> engine.Reward:
    return replace(reward, target=engine.ItemFilter(), groups=places)


def _sets_of(words: Words, setting: Setting, *groups: engine.UnitGroup) -> engine.MultiBuy:
    """Return sets of these groups: as many as there are, unless the campaign says less."""
    bounds = [setting.sets_max] if setting.sets_max else []
    if not words.flag("repeat", default=True):
        bounds.append(1)
    return engine.MultiBuy(groups, min(bounds, default=0))


def _read_qualifier(words: Words, setting: Setting, reward: engine.Reward) -> Made:
    """Read "buy these, get so many of the target"."""
    qualifier = words.open("qualifier")
    bought = _read_group(qualifier, setting)
    qualifier.close()
    units = words.whole("get_qty") or 1
    rewarded_max = words.whole("max_reward_units")
    multi_buy = _sets_of(words, setting, bought, engine.UnitGroup(reward.target, units))
    if rewarded_max is not None:
        if rewarded_max % units and rewarded_max < units:
            raise Unsupported("a part of a set")
        sets_max = rewarded_max // units
        multi_buy = replace(multi_buy, sets_max=min(sets_max, multi_buy.sets_max or sets_max))
    consumes = words.flag("consumes_units", default=True)
    reuse = engine.Reuse.NONE if consumes else engine.Reuse.BOTH
    return Made(_on_groups(reward, 1), multi_buy, reuse)


def _read_group(words: Words, setting: Setting) -> engine.UnitGroup:
    """Read `filter` and `qty` or `amount`; `choose` says which units come first."""
    meant = goods.read_filter(words.open("filter"), setting.goods)
    choice = words.text("choose")
    if choice not in _CHOICES:
        words.gaps.add(f"unknown word: {words.where}.choose {choice}")
    amount = words.minor("amount_gte", "amount")
    units = words.whole("qty")
    return engine.UnitGroup(
        filter=meant,
        units=0 if amount else units or 1,
        amount_min_minor=amount or 0,
        order=_CHOICES.get(choice, PickOrder.DEAREST),
    )


def read_buy_get(words: Words, setting: Setting) -> Gift:
    """Read "buy X, get Y": X at its price, Y for a percentage, an amount or a price less."""
    buy, get = words.open("buy"), words.open("get")
    groups = (_read_group(buy, setting), _read_group(get, setting))
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
    return _gift(engine.Reward(kind, groups=(1,)), _sets_of(words, setting, *groups))


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
    reward = engine.Reward(engine.PercentOff(percent))
    return _gift(reward, _sets_of(words, setting, _read_units(words, setting)))


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


def _read_units(words: Words, setting: Setting) -> engine.UnitGroup:
    meant = goods.read_filter(words.open("filter"), setting.goods)
    units = words.whole("n", "qty")
    if not units:
        raise Unsupported("a group without its number of units")
    return engine.UnitGroup(meant, units)


def read_bundle_price(words: Words, setting: Setting) -> Gift:
    """Read "these articles together for a price"."""
    price = words.minor("value", "price")
    if price is None:
        raise Unsupported("a fixed price without its value")
    groups = []
    for item in words.open_all("items"):
        item.put("filter", {"sku_in": sorted(item.names("sku"))})
        groups.append(_read_group(item, setting))
        item.close()
    return _gift(engine.Reward(engine.SetPrice(price)), _sets_of(words, setting, *groups))


def read_set_discount(words: Words, setting: Setting) -> Gift:
    """Read "one of each of several groups": an amount off, on all of them or on one."""
    groups = []
    for inner in words.open_all("groups"):
        groups.append(_read_group(inner, setting))
        inner.close()
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


def _read_off(words: Words, default: engine.AmountOff) -> engine.RewardKind:
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
    raise Unsupported("an amount without its value")


def read_pair(words: Words, setting: Setting) -> Gift:
    """Read "with these, so much off each of those"; those may be sold by weight."""
    qualifier, discounted = words.open("qualifier"), words.open("discounted")
    counted = discounted.text("counted") or "per_line"
    if counted != "per_line":
        words.gaps.add(f"unknown word: reward.discounted.counted {counted}")
    groups = (_read_group(qualifier, setting), _read_group(discounted, setting))
    qualifier.close()
    discounted.close()
    kind = _read_off(words, engine.AmountOff(1, _EVERY_UNIT))
    return _gift(engine.Reward(kind, groups=(1,)), _sets_of(words, setting, *groups))


def read_prices(words: Words, setting: Setting) -> Gift:
    """Read a price for each article of a set."""
    prices = words.take("prices")
    bounds = words.take("max_units_per_bundle", default={})
    words.drop("target")
    if not isinstance(prices, Mapping) or not isinstance(bounds, Mapping):
        raise Unsupported("prices that are not by article")
    groups = _groups_of_bundle(setting)
    rewards = []
    for place, group in enumerate(groups):
        (sku,) = group.filter.skus
        bound = bounds.get(sku)
        if bound is not None and read_whole(bound, words.where) != group.units:
            raise Unsupported("a part of a set")
        if sku in prices:
            inner = Words(prices, f"{words.where}.prices", words.gaps)
            rewards.append(engine.Reward(engine.FixedPrice(inner.minor(sku) or 0), groups=(place,)))
    if len(rewards) < len(prices):
        raise Unsupported("a discount for each set on goods outside of it")
    return Gift(rewards=tuple(rewards), multi_buy=_sets_of(words, setting, *groups))
