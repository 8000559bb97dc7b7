"""Discounts of a case: percentages, amounts and prices, on goods, on units of them, on sets."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from services.promotions import engine
from tools.conformance.promotions import bundles, conditions, goods, picks, scopes
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Unsupported, Words

_SPREADS = {
    "each_unit": engine.AmountSpread.EACH_UNIT,
    "each_line": engine.AmountSpread.EACH_LINE,
    "across": engine.AmountSpread.ACROSS,
    "across_by_quantity": engine.AmountSpread.ACROSS,
    "equal_split": engine.AmountSpread.ACROSS,
    "across_units": engine.AmountSpread.EACH_LINE,
    "once": engine.AmountSpread.EACH_UNIT,
    "each": engine.AmountSpread.EACH_UNIT,
    "across_by_amount": engine.AmountSpread.ACROSS,
    "proportional": engine.AmountSpread.ACROSS,
}
# What other words come to, by what is in them, the first that fits.
_SPREAD_SIGNS = {
    "equal_split": ("even", "equal"),
    "across_by_quantity": ("quantity", "qty", "units_weight"),
    "across": ("across", "rata", "proportion", "spread", "distribut", "weight", "share", "whole"),
    "each_line": ("line",),
    "each_unit": ("unit", "item", "each", "piece", "individual"),
}
_ALL_OF_SET = ("bundle", "qualifier", "all_units", "whole_set", "whole_group")
_SHARES = {
    "across_by_quantity": engine.ShareBy.QUANTITY,
    "equal_split": engine.ShareBy.LINE,
}


def read_percent(words: Words, setting: Setting) -> Gift:
    """Read percent off, the same for everybody or by how much is bought."""
    allocation = _read_allocation(words)
    if "tiers" in words:
        return _read_scale(words, setting, allocation, engine.PercentOff)
    basis_points = words.basis_points("value", "percent", "percent_off", "percentage")
    if basis_points is None:
        raise Unsupported("a percentage without its value")
    scope = scopes.peek(words)
    moves = allocation == "across" and scope in scopes.ORDER
    rounding = read_rounding(str(words.peek("rounding") or ""), whole=scope in scopes.ORDER)
    gift = _discount(words, setting, engine.PercentOff(basis_points, *rounding), allocation)
    if not moves or gift.multi_buy:
        return gift
    rewards = tuple(
        replace(one, floor_rest=one.floor_rest or engine.FloorRest.MOVE) for one in gift.rewards
    )
    return replace(gift, rewards=rewards)


def read_rounding(text: str, *, whole: bool) -> tuple[engine.Rounding, engine.RoundingUnit]:
    """Return how and of what a source rounds, in its own words; of the whole order at once."""
    folded = text.lower()
    rounding = engine.Rounding.HALF_UP
    if "even" in folded or "bank" in folded:
        rounding = engine.Rounding.HALF_EVEN
    elif any(sign in folded for sign in ("down", "floor", "trunc")):
        rounding = engine.Rounding.DOWN
    elif "ceil" in folded or ("up" in folded and "half" not in folded):
        rounding = engine.Rounding.UP
    unit = engine.RoundingUnit.TOTAL if whole else engine.RoundingUnit.LINE
    if "unit" in folded:
        unit = engine.RoundingUnit.EACH
    elif "line" in folded:
        unit = engine.RoundingUnit.LINE
    elif any(sign in folded for sign in ("total", "sum", "basket", "whole")):
        unit = engine.RoundingUnit.TOTAL
    return rounding, unit


def read_amount(words: Words, setting: Setting) -> Gift:
    """Read an amount off each unit, each line, or what is meant as a whole."""
    allocation = _read_allocation(words)
    spread = _choose_spread(scopes.peek(words), allocation)
    shared = _SHARES.get(allocation, engine.ShareBy.AMOUNT)
    if "tiers" in words:
        return _read_scale(
            words, setting, allocation, lambda amount: engine.AmountOff(amount, spread, shared)
        )
    if "value_first_unit" in words:
        return _read_by_unit(words, setting)
    if "per_units_of" in words:
        return _read_per_units(words, setting)
    amount = words.minor("value", "amount", "amount_off", "discount")
    if amount is None:
        raise Unsupported("an amount without its value")
    step = words.minor(*_EACH_FULL)
    gift = _discount(words, setting, engine.AmountOff(amount, spread, shared), allocation)
    return _for_each_full(gift, step, amount, setting) if step else gift


_EACH_FULL = ("per_each", "per_full", "for_each", "for_every", "per_every", "per_step", "per_spend")


def _for_each_full(gift: Gift, step: int, amount: int, setting: Setting) -> Gift:
    """Return an amount as one for each full step of money: a scale as long as the cart needs."""
    (reward,) = gift.rewards
    kind = reward.kind
    worth = sum(
        line.unit_price_minor * line.quantity_thousandths for line in setting.goods.counted_lines
    )
    count = worth // 1_000 // step
    if gift.multi_buy or gift.scale or not isinstance(kind, engine.AmountOff):
        raise Unsupported("an amount for each step of money, of sets or of lines")
    if count > _STEPS_MAX:
        raise Unsupported("so many steps of money")
    steps = tuple(
        engine.Step(step * at, (replace(reward, kind=replace(kind, amount_minor=amount * at)),))
        for at in range(1, max(1, count) + 1)
    )
    turn = engine.Basis.TURN  # of what those before it have left
    scale = engine.Scale(engine.ScaleMeasure.AMOUNT, steps, filter=reward.target, basis=turn)
    return replace(gift, scale=scale)


_STEPS_MAX = 20


def _read_per_units(words: Words, setting: Setting) -> Gift:
    """Read an amount for each unit of other goods: once for each set of one of those."""
    inner = words.open("per_units_of")
    group = conditions.read_group(inner, setting.goods)
    inner.close()
    setting.terms.bundle.append(group)
    words.put("per_bundle", value=True)
    words.put("allocation", "across")
    return read_amount(words, setting)


def _from_units_on(gift: Gift, units: int) -> Gift:
    """Return a discount as one of lines with so many units."""
    step = engine.Step(units, gift.rewards)
    target = gift.rewards[0].target
    scale = engine.Scale(engine.ScaleMeasure.UNITS, (step,), filter=target, each_line=True)
    return replace(gift, scale=scale)


def _read_scale(
    words: Words, setting: Setting, allocation: str, make: Callable[[int], engine.RewardKind]
) -> Gift:
    """Read what depends on the size of the basket or of a line."""
    words.drop("basis")
    progressive = words.flag("progressive")
    by_percent = isinstance(make(1), engine.PercentOff)
    steps, measures = [], set()
    least = _read_tier_value(words, by_percent=by_percent)
    target = words.peek("target")
    narrow = isinstance(target, Mapping) and "filter" in target
    for inner in words.open_all("tiers"):
        measure, begin = _read_begin(inner, of_goods=narrow)
        value = _read_tier_value(inner, by_percent=by_percent)
        if value is None:
            raise Unsupported("a tier without its value")
        inner.close()
        measures.add(measure)
        steps.append((begin, make(value)))
    if len(measures) != 1:
        raise Unsupported("tiers of several measures")
    (measure,) = measures
    if least:  # below the first tier
        steps.append((0, make(least)))
    gifts = []
    for _, kind in steps[:1]:
        gifts.append(_discount(words, setting, kind, allocation))
    gift = gifts[0]
    of_each = [
        (begin, tuple(replace(one, kind=kind) for one in gift.rewards)) for begin, kind in steps
    ]
    by_units = measure.endswith("units")
    return replace(
        gift,
        rewards=tuple(one for _, rewards in of_each for one in rewards),
        scale=engine.Scale(
            engine.ScaleMeasure.UNITS if by_units else engine.ScaleMeasure.AMOUNT,
            tuple(
                engine.Step(begin + (progressive and by_units), rewards)
                for begin, rewards in sorted(of_each, key=lambda step: step[0])
            ),
            filter=goods.everything(setting.goods)
            if measure.startswith("order")
            else gift.rewards[0].target,
            each_line=measure.startswith("line"),
            progressive=progressive,
        ),
    )


def _read_tier_value(words: Words, *, by_percent: bool) -> int | None:
    if by_percent:
        return words.basis_points("percent", "value", "base_percent", "base")
    return words.minor(
        "value", "amount", "amount_off", "price", "unit_price", "base_amount", "base"
    )


def _read_begin(words: Words, *, of_goods: bool) -> tuple[str, int]:
    """Return what a tier measures, and from where on it is reached.

    The word tells: `order_total_gte`, `line_qty_gte`, `item_qty_gte`, `from`. A quantity of nothing
    is that of the goods which the target names, else of each line.
    """
    name = next((one for one in words.left if one not in _TIER_VALUES), "")
    parts = set(name.split("_"))
    if name not in {"from", "min", "begin"} and not parts & {"gte", "min", "from", "at"}:
        raise Unsupported("a tier without its beginning")
    by_units = bool(parts & {"qty", "quantity", "units", "count"})
    goods_of = "order"
    named = parts & {"item", "items", "eligible", "target", "goods"}
    bare = by_units and not named and not parts & {"order", "cart", "total", "line"}
    if "line" in parts or (bare and not of_goods):
        goods_of = "line"
    elif named or bare:
        goods_of = "goods"
    found = words.whole(name) if by_units else words.minor(name)
    return f"{goods_of}_{'units' if by_units else 'amount'}", found or 0


_TIER_VALUES = frozenset({"percent", "value", "amount", "amount_off", "price", "unit_price"})


def read_fixed_price(words: Words, setting: Setting) -> Gift:
    """Read a price for each unit, one for all goods or one for each article of a set."""
    if "prices" in words:
        return bundles.read_prices(words, setting)
    allocation = _read_allocation(words)
    if "tiers" in words:
        return _read_scale(words, setting, allocation, engine.FixedPrice)
    price = words.minor("value", "price")
    if price is None:
        raise Unsupported("a fixed price without its value")
    return _discount(words, setting, engine.FixedPrice(price), allocation)


def read_price(words: Words, setting: Setting) -> Gift:
    """Read a price of whatever the target is: each unit, or an order or a set as a whole."""
    scope = scopes.peek(words)
    whole = scope in scopes.ORDER | scopes.SETS
    if any(name in words for name in ("n", "units")):
        return bundles.read_group_price(words, setting)
    if scope in {"", "item"}:  # a price of each unit is called so
        whole = bool(setting.terms.bundle or setting.terms.asked)
    return (read_total_price if whole else read_fixed_price)(words, setting)


def read_total_price(words: Words, setting: Setting) -> Gift:
    """Read a price for goods together: for each set where there are sets, else for all of them."""
    price = words.minor("value", "price", "total")
    if price is None:
        raise Unsupported("a fixed price without its value")
    return _discount(words, setting, engine.SetPrice(price), _read_allocation(words))


def read_to_percent(words: Words, setting: Setting) -> Gift:
    """Read a part of the price that is left to pay."""
    paid = words.basis_points("value", "percent", "percentage")
    if paid is None or not 0 <= paid <= _WHOLE:
        raise Unsupported("a part of the price without its value")
    return _discount(words, setting, engine.PercentOff(_WHOLE - paid), _read_allocation(words))


_WHOLE = 10_000


def read_free_delivery(words: Words, setting: Setting) -> Gift:
    """Read that bringing the goods costs nothing."""
    words.put("target", {"scope": "delivery"})
    return _discount(words, setting, _FREE, "")


def read_nth(words: Words, setting: Setting) -> Gift:
    """Read a discount on every n-th unit, counted from the dearest on unless the case says so."""
    number = words.whole("n", "nth", "every")
    percent, amount = words.basis_points("percent", "value"), words.minor("amount_off")
    if not number or number < 1:
        raise Unsupported("every n-th unit without its number")
    kind: engine.RewardKind = _FREE if percent is None else engine.PercentOff(percent)
    if amount is not None:
        kind = engine.AmountOff(amount, engine.AmountSpread.EACH_UNIT)
    meant: dict[str, object] = {"skip": number - 1, "every": number}
    if scopes.peek(words) in scopes.SETS:  # that one of each set
        meant = {"nth": number}
    words.put("pick", {**meant, **words.table("pick")})
    return _discount(words, setting, kind, "")


def read_more_than(words: Words, setting: Setting) -> Gift:
    """Read a discount on all units beyond a number of them."""
    words.put("after_units", words.take("qty", "quantity", "n", "more_than"))
    percent, amount = words.basis_points("percent", "value"), words.minor("amount_off")
    kind: engine.RewardKind = _FREE if percent is None else engine.PercentOff(percent)
    if amount is not None:
        kind = engine.AmountOff(amount, engine.AmountSpread.EACH_UNIT)
    return _discount(words, setting, kind, "")


_FREE = engine.PercentOff(10_000)


def _read_allocation(words: Words) -> str:
    allocation = words.text("allocation")
    if words.flag("apply_once_per_order", "once_per_order"):
        allocation = "once"
        words.put("max_units_total", words.peek("max_units_total") or 1)
    if any(sign in allocation for sign in _ALL_OF_SET):
        words.put("share_with", "all")
        return "across"
    if allocation and allocation not in _SPREADS:
        for name, signs in _SPREAD_SIGNS.items():
            if any(sign in allocation.lower() for sign in signs):
                return name
        raise Unsupported(f"unknown word: reward.allocation {allocation}")
    return allocation


def _choose_spread(scope: str, allocation: str) -> engine.AmountSpread:
    by_scope = "across" if scope in scopes.ORDER | scopes.SETS | scopes.FEES else "each_unit"
    spread = _SPREADS[allocation or by_scope]
    if scope == "line" and (not allocation or spread is engine.AmountSpread.ACROSS):
        return engine.AmountSpread.EACH_LINE
    return spread


def _read_by_unit(words: Words, setting: Setting) -> Gift:
    """Read an amount for the first unit of a line and another for each further one.

    The further units come first, by passing over one; the first is then the one left untouched.
    """
    first, further = words.minor("value_first_unit"), words.minor("value_additional_unit")
    bound = words.whole("max_units_per_line", "max_units")
    rest = engine.AmountOff(further or 1, engine.AmountSpread.EACH_UNIT)
    gift = _discount(words, setting, rest, "")
    (reward,) = gift.rewards
    lines = setting.goods.counted_lines
    parts = [reward.target] if len(lines) < 2 else [_only(reward.target, one.sku) for one in lines]
    one = engine.AmountOff(first or 1, engine.AmountSpread.EACH_UNIT)
    rewards = []
    for target in dict.fromkeys(parts):
        if further and (bound is None or bound > 1):
            further_units = engine.Pick(skip=1, count_max=bound - 1 if bound else 0)
            rewards.append(replace(reward, target=target, pick=further_units))
        if first:
            pick = engine.Pick(count_max=1)
            rewards.append(replace(reward, target=target, kind=one, pick=pick))
    if not rewards:
        raise Unsupported("an amount without its value")
    return replace(gift, rewards=tuple(rewards))


def _only(meant: engine.ItemFilter, sku: str) -> engine.ItemFilter:
    """Return the filter for one of its articles; nothing when that is none of them."""
    own = frozenset({sku})
    return replace(meant, skus=meant.skus & own or frozenset({"~none"}) if meant.skus else own)


def _discount(words: Words, setting: Setting, kind: engine.RewardKind, allocation: str) -> Gift:
    """Return a discount on its target; `remainder` is the program's to decide."""
    words.drop("remainder", "max_amount_allocation", "max_amount_spread")  # in proportion, always
    scope, meant = _read_target(words, setting)
    _ask_for_least(words, setting, meant)
    if words.peek("consumes_units") is True and "qualifier" not in words:
        words.drop("consumes_units")  # where units can be used up, they are
    if isinstance(words.peek("step"), int):  # so many at a time
        words.put("group_size", words.take("step"))
    in_line_order = "group_size" in words and "group_order" not in words
    rounding = words.text("rounding")
    reward = engine.Reward(
        kind,
        goods.discountable(meant, setting.goods),
        words.minor(*_find_most(words, of_lines=False)) or 0,
        picks.read_pick(words, allocation),
        floor_rest=_read_floor_rest(words),
    )
    made = bundles.read_sets(
        words,
        setting,
        reward,
        by_group=scope in scopes.SETS or _is_price_of_asked(kind, scope, setting),
        on_order=scope in scopes.ORDER,
    )
    if made:
        made = replace(made, reward=_fit_to_sets(made.reward, setting))
    line_max = words.minor(*_find_most(words, of_lines=True))
    if line_max and made:
        raise Unsupported("a bound for each line inside of sets")
    line_units = words.whole(*_LEAST_OF_LINE)
    if line_units and (made or line_max):
        raise Unsupported("a least number of units of a line, of sets or with a bound")
    rewards = (made.reward if made else replace(reward, pick=picks.without_sets(reward.pick)),)
    found = Gift(
        rewards=_bound_lines(rewards[0], line_max, setting) if line_max else rewards,
        multi_buy=made.multi_buy if made else None,
        reuse=made.reuse if made else engine.Reuse.NONE,
        value=_value_of(kind),
        percent=isinstance(kind, engine.PercentOff),
        basis=words.text("basis"),
        on_order=scope in scopes.ORDER,
        rounding=rounding,
        allocation=allocation,
        in_line_order=in_line_order,
    )
    return _from_units_on(found, line_units) if line_units else found


_LEAST_OF_LINE = ("min_units_per_line", "min_qty_per_line", "min_line_qty", "min_quantity_per_line")
_LEAST = tuple(
    f"{one}_{two}" for one in ("min", "minimum") for two in ("qty", "quantity", "units", "count")
)


def _ask_for_least(words: Words, setting: Setting, meant: engine.ItemFilter) -> None:
    """Let so many units of the rewarded goods, or so much spent, be a condition of the campaign."""
    least = words.thousandths(*_LEAST)
    if least:
        setting.terms.conditions.append(engine.ItemGroup(meant, least))
    spent = words.minor("threshold", "min_spend", "min_total", "min_subtotal")
    if spent:
        whole = goods.everything(setting.goods)
        setting.terms.conditions.append(engine.BasketTotal(spent, whole))


def _find_most(words: Words, *, of_lines: bool) -> list[str]:
    """Return the words for a bound on what comes off: `max_amount`, `max_discount_per_line`."""
    return [
        name
        for name in words.left
        for parts in [{*name.split("_")}]
        if parts & _MOST and parts & _MONEY and not parts & _UNIT
        if bool(parts & _LINE) is of_lines
    ]


_MOST = frozenset({"max", "maximum", "cap", "capped"})
_MONEY = frozenset({"amount", "discount", "value", "cap"})
_LINE = frozenset({"line", "lines", "item"})
_UNIT = frozenset({"unit", "units", "each", "piece"})  # a bound of each unit is none of the whole


def _bound_lines(
    reward: engine.Reward, line_max: int, setting: Setting
) -> tuple[engine.Reward, ...]:
    """Return a reward for each article, each with the bound of a line."""
    skus = dict.fromkeys(line.sku for line in setting.goods.counted_lines)
    return tuple(
        replace(reward, target=_only(reward.target, sku), amount_max=line_max) for sku in skus
    )


def _is_price_of_asked(kind: engine.RewardKind, scope: str, setting: Setting) -> bool:
    """Tell whether a price together is for the very goods that the conditions ask for."""
    return (
        isinstance(kind, engine.SetPrice)
        and scope not in scopes.ORDER
        and bool(setting.terms.bundle or setting.terms.asked)
    )


def _fit_to_sets(reward: engine.Reward, setting: Setting) -> engine.Reward:
    """Return a reward as sets can have it: bounds count over all sets, lines are units."""
    pick, kind = reward.pick, reward.kind
    if reward.beside_sets:
        return _fit_beside_sets(reward, setting)
    if isinstance(kind, engine.AmountOff) and kind.spread is engine.AmountSpread.EACH_LINE:
        kind = replace(kind, spread=engine.AmountSpread.EACH_UNIT)
    if pick is None:
        return replace(reward, kind=kind, floor_rest=engine.FloorRest.AS_KIND)
    bound = pick.total_max
    if pick.units_per_line_max:
        if len(setting.goods.counted_lines) > 1:
            raise Unsupported("a bound for each line inside of sets")
        bound = min(filter(None, (bound, pick.units_per_line_max)))
    return replace(
        reward,
        kind=kind,
        floor_rest=engine.FloorRest.AS_KIND,
        pick=replace(pick, units_per_line_max=0, by=engine.PickBy.UNIT, total_max=bound),
    )


def _fit_beside_sets(reward: engine.Reward, setting: Setting) -> engine.Reward:
    """Return a reward on goods beside sets: what is picked has but an order and bounds."""
    pick = reward.pick
    if pick is None or pick == engine.Pick(pick.order):
        return replace(reward, pick=None)
    if pick.units_per_line_max and not pick.count_max:
        meant = [
            one
            for one in setting.goods.counted_lines
            if goods.means(reward.target, one.sku, setting.goods.articles[one.sku])
        ]
        if len(meant) < 2:  # of one line it is a bound for each set
            pick = replace(pick, count_max=pick.units_per_line_max, units_per_line_max=0)
    plain = engine.Pick(pick.order, pick.count_max, total_max=pick.total_max)
    if pick != plain:
        raise Unsupported(
            "every n-th unit of goods beside sets, or a bound for each of their lines"
        )
    return replace(reward, pick=plain)


def _read_floor_rest(words: Words) -> engine.FloorRest:
    """Return what becomes of what goods at their lowest price cannot take."""
    name = words.text("floor_rest", "floor_policy", "on_floor", "rest").lower()
    if "drop" in name or "lose" in name or not words.flag("redistribute", default=True):
        return engine.FloorRest.DROP
    if name and "move" not in name and "redistribut" not in name:
        words.gaps.add(f"unknown word: reward.floor_rest {name}")
    return engine.FloorRest.MOVE if name else engine.FloorRest.AS_KIND


def _value_of(kind: engine.RewardKind) -> Decimal:
    match kind:
        case engine.PercentOff():
            return Decimal(kind.basis_points) / 100
        case engine.AmountOff():
            return Decimal(kind.amount_minor) / 100
    return Decimal(0)


def _read_target(words: Words, setting: Setting) -> tuple[str, engine.ItemFilter]:
    """Return the scope and the filter of `target`, or of `filter` where there is no target."""
    target = words.open("target")
    said = target.text("scope") or "item"
    if order := scopes.find_order(said):  # a unit of a certain price is a scope for some
        words.put("select", order)
        words.put("max_units_total", words.peek("max_units_total") or 1)
    scope = scopes.name_of(said)
    bundles.lift(target, words, by_group=scope in scopes.SETS)
    if not scopes.is_known(scope):
        words.gaps.add(f"unknown word: target.scope {scope}")
    inner = target.open("filter") if "filter" in target else words.open("filter")
    for place in (inner, target):
        for name in filter(picks.is_of_picks, place.left):
            words.put(name, place.take(name))
    for place in (target, words):
        for name in ("exclude", *goods.AT_FULL_PRICE):
            if name in place:
                inner.put(name, place.take(name))
    meant = goods.read_filter(inner, setting.goods, fees=scope == "order_and_fees")
    if scope in scopes.FEES:
        meant = engine.ItemFilter(category_ids=goods.FEE_CATEGORIES)
    elif scope in scopes.SETS and setting.terms.bundle and meant == goods.everything(setting.goods):
        meant = engine.ItemFilter()
    target.close()
    return scope, meant
