"""Rewards of a case that are no discounts: articles for nothing, better articles, coupons."""

from services.promotions import engine
from tools.conformance.promotions import bundles, goods
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Unsupported, Words

LATER_CAMPAIGN = "cmp_later"


def read_gift_items(words: Words, setting: Setting) -> Gift:
    """Read articles for nothing, once or for so many units of the goods asked for."""
    items = []
    parts = [_read_off(words, None)]
    for inner in words.open_all("gifts"):
        units, value = inner.whole("qty"), inner.minor("value")
        parts.append(_read_off(inner, value))
        items.append(engine.GiftItem(inner.text("sku"), units or 1, value or 0))
        inner.close()
    if not items:
        raise Unsupported("a gift without its articles")
    (off, *more) = {part for part in parts if part is not None} or {0}
    if more:
        raise Unsupported("gifts at several parts of their prices")
    mode = (words.text("mode") or "always_add").lower()
    missing = "missing" in mode
    if not missing and "add" not in mode and "same" not in mode:
        words.gaps.add(f"unknown word: reward.mode {mode}")
    on_return = words.text("on_return") or "keep"
    if on_return not in {"keep", "deduct_value"}:
        words.gaps.add(f"unknown word: reward.on_return {on_return}")
    step = words.whole("per_qualifying_units") or 0
    sets = None
    if bundles.is_per_set(words):
        sets = bundles.read_own_sets(words, setting)
    if sets is not None and missing:
        step, sets, counted = _as_steps(sets)
    elif step:
        counted = _find_counted(setting)
    else:
        counted = _all(setting)
    deducts = on_return == "deduct_value"
    kind = engine.GiftItems(
        items=tuple(items),
        choose=words.whole("choose") or 0,
        spread=engine.GiftSpread.EACH_UNITS if step else engine.GiftSpread.ONCE,
        step_units=step,
        times_max=words.whole("per_order") or 0,
        add_missing=missing or 0 < off < _WHOLE,
        basis_points=off,
        on_return=engine.GiftReturn.DEDUCT if deducts else engine.GiftReturn.KEEP,
    )
    return Gift(
        rewards=(engine.Reward(kind, engine.ItemFilter() if sets else counted),), multi_buy=sets
    )


_WHOLE = 10_000
_PERCENTS = ("percent", "percent_off", "discount_percent", "discount_percentage")
_PRICES = ("price", "unit_price", "fixed_price", "at_price")


def _read_off(words: Words, value: int | None) -> int | None:
    """Return what comes off a gift's price, in hundredths of a percent; None where it is unsaid."""
    off = words.basis_points(*_PERCENTS)
    price, amount = words.minor(*_PRICES), words.minor("amount_off", "discount_amount")
    if price is not None or amount is not None:
        if not value:
            raise Unsupported("the price of a gift that is worth nobody knows what")
        taken = value - price if price is not None else amount or 0
        off, rest = divmod(max(0, taken) * _WHOLE, value)
        if rest:
            raise Unsupported("percentages finer than a hundredth")
    return off


def _as_steps(sets: engine.MultiBuy) -> tuple[int, None, engine.ItemFilter]:
    """Return sets of one kind of goods as so many units of them: some gifts are there already."""
    (group, *more) = sets.groups
    if more or not group.units:
        raise Unsupported("what is missing of gifts for each of several kinds of goods")
    return group.units, None, group.filter


def _all(setting: Setting) -> engine.ItemFilter:
    return goods.everything(setting.goods)


def _find_counted(setting: Setting) -> engine.ItemFilter:
    """Return the goods that the campaign asks for: a gift is for so many units of them."""
    asked = [one.filter for one in setting.terms.conditions if isinstance(one, engine.ItemGroup)]
    return asked[0] if len(asked) == 1 else _all(setting)


def read_upgrade(words: Words, setting: Setting) -> Gift:
    """Read a better article at the price of the first; the cart has the better one already."""
    words.drop("to_unit_price")
    if bundles.is_per_set(words):  # as many as there are better articles in the cart
        words.drop("max_units")
        meant = words.peek("from")
        terms = setting.terms
        terms.bundle = [one for one in terms.bundle if meant not in one.filter.skus]
    kind = engine.Upgrade(
        from_sku=words.text("from"),
        to_sku=words.text("to"),
        from_price_minor=words.minor("from_unit_price") or 0,
        to_units=words.whole("to_qty") or 1,
        replacements_max=words.whole("max_units") or 0,
    )
    return Gift(rewards=(engine.Reward(kind),))


def read_coupon(words: Words, setting: Setting) -> Gift:
    """Read a coupon for later; what it will give is for another day."""
    words.drop("coupon")
    kind = engine.IssueCoupon(LATER_CAMPAIGN, uses=words.whole("qty") or 1, bearer=True)
    return Gift(rewards=(engine.Reward(kind, _all(setting)),))
