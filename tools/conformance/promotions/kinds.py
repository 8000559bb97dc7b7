"""Rewards whose names nobody has listed, known by the parts that the names are made of.

Every source has a name of its own for the same few rewards: `order_percentage_discount` and
`by_percent` are one. What a name leaves open is told by the words beside it.
"""

from collections.abc import Callable
from typing import TypeAlias

from tools.conformance.promotions import bundles, discounts, points, presents
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Words

Reader: TypeAlias = Callable[[Words, Setting], Gift]

_SETS = frozenset({"mix", "group", "set", "bundle", "package", "combo", "deal", "meal"})
_FEES = frozenset({"shipping", "delivery"})
_ORDERS = frozenset({"order", "cart", "total", "basket", "threshold", "receipt"})
_EACH = frozenset({"item", "unit", "each", "items", "units", "product", "piece"})
_PERCENT = frozenset({"percent", "percentage", "relative"})
_SIZES = ("n", "qty", "size", "group_size")
_AMOUNT = frozenset({"amount", "fixed", "absolute", "flat", "money", "discount", "off"})


def find(name: str) -> Reader | None:
    """Return who reads rewards of such a name, None when its parts tell nothing."""
    parts = frozenset(name.lower().split("_"))
    return next((read for wanted, read in _KINDS if all(parts & one for one in wanted)), None)


def _of(*parts: str) -> frozenset[str]:
    return frozenset(parts)


def _for_fees(read: Reader) -> Reader:
    def read_for_fees(words: Words, setting: Setting) -> Gift:
        words.put("target", {"scope": "delivery"})
        words.put("allocation", words.peek("allocation") or "each_line")
        return read(words, setting)

    return read_for_fees


def _by_words(words: Words, setting: Setting) -> Gift:
    """Read what is told only by its words: a percentage, a price, or else an amount."""
    if any(name in words for name in ("percent", "percentage", "percent_off")):
        return discounts.read_percent(words, setting)
    if "price" in words:
        return discounts.read_price(words, setting)
    return discounts.read_amount(words, setting)


def _aimed(scope: str, read: Reader, allocation: str = "") -> Reader:
    """Return the reader of what has a scope by its name, where no target says it."""

    def read_aimed(words: Words, setting: Setting) -> Gift:
        if "target" not in words:
            words.put("target", {"scope": scope})
        if allocation and "allocation" not in words:
            words.put("allocation", allocation)
        return read(words, setting)

    return read_aimed


def _read_set_off(words: Words, setting: Setting) -> Gift:
    """Read something off sets: of parts that are listed, or of so many units."""
    if any(name in words for name in ("groups", "items", "parts")):
        return bundles.read_set_discount(words, setting)
    if any(name in words for name in ("percent", "percentage")):
        return bundles.read_percent_off_group(words, setting)
    return bundles.read_amount_off_group(words, setting)


def _read_set_percent(words: Words, setting: Setting) -> Gift:
    """Read a percentage off sets, whose value may stand under that word alone."""
    if "value" in words:
        words.put("percent", words.take("value"))
    return _read_set_off(words, setting)


def _read_set(words: Words, setting: Setting) -> Gift:
    """Read sets whose name does not say what is given for them: a price, or something off."""
    priced = any(name in words for name in ("price", *bundles.PRICES_OF_SETS))
    return (bundles.read_bundle_price if priced else _read_set_off)(words, setting)


def _read_buy_get(words: Words, setting: Setting) -> Gift:
    """Read buy and get, the two of them in objects or in words beside each other."""
    if "buy" not in words:
        inner = words.table("filter") or bundles.take_target(words)
        shared = {"filter": inner} if inner else {}
        words.put("buy", {**shared, "qty": words.take("buy_qty", "buy_quantity", "x", "n") or 1})
        got = {**shared, "qty": words.take("get_qty", "get_quantity", "free_qty", "y", "m") or 1}
        if "percent" in words:
            got["percent"] = words.take("percent")
        words.put("get", got)
    return bundles.read_buy_get(words, setting)


def _read_cheapest(words: Words, setting: Setting) -> Gift:
    """Read "the cheapest of n", or what the conditions make sets of."""
    if words.peek("n") == 1:  # a set of one is none: so many are free
        words.put("count", words.take("n"))
    by_number = any(name in words for name in _SIZES)
    read = bundles.read_cheaper_of_n if by_number else bundles.read_cheapest_free
    return read(words, setting)


def _one_of(select: str) -> Reader:
    """Return the reader of something off one unit: the one of the whole receipt, or of each n."""

    def read_one(words: Words, setting: Setting) -> Gift:
        if any(name in words for name in _SIZES):
            return _read_cheapest(words, setting)
        words.put("select", select)
        words.put("max_units_total", words.take("count", "max_units_total") or 1)
        return _aimed("item", _by_words, "each_unit")(words, setting)

    return read_one


def _nth(place: int) -> Reader:
    """Return the reader of every second unit, or third, as its name has it."""

    def read_place(words: Words, setting: Setting) -> Gift:
        if "n" not in words:
            words.put("n", place)
        return discounts.read_nth(words, setting)

    return read_place


def _read_gift(words: Words, setting: Setting) -> Gift:
    """Read articles for nothing; one alone may stand beside the name."""
    if "gifts" not in words:
        names = ("sku", "qty", "quantity", "units", "value")
        words.put("gifts", [{name: words.take(name) for name in names if name in words}])
    return presents.read_gift_items(words, setting)


def _read_free_units(words: Words, setting: Setting) -> Gift:
    """Read units for nothing: of those in the cart first, the missing ones are added."""
    words.put("mode", words.take("mode") or "add_missing")
    return _read_gift(words, setting)


def _read_points_for_each(words: Words, setting: Setting) -> Gift:
    """Read points for each step of money where there is one, else for each unit."""
    read = points.read_points_per_step if points.has_step(words) else points.read_points_per_unit
    return read(words, setting)


def _read_cashback(words: Words, setting: Setting) -> Gift:
    words.put("percent_back", words.take("percent", "value", "percent_back"))
    if "points_per_currency" not in words:
        words.put("points_per_currency", 1)
    return points.read_points(words, setting)


def _read_first_and_further(words: Words, setting: Setting) -> Gift:
    words.put("value_first_unit", words.take("first_unit", "first", "first_item", "value_first"))
    further = words.take("additional_unit", "additional", "additional_item", "further")
    words.put("value_additional_unit", further)
    return discounts.read_amount(words, setting)


# The first that fits: what is special comes first.
_KINDS: tuple[tuple[tuple[frozenset[str], ...], Reader], ...] = (
    ((_FEES, _of("free")), discounts.read_free_delivery),
    ((_FEES, _PERCENT), _for_fees(discounts.read_percent)),
    ((_FEES, _of("price")), _for_fees(discounts.read_fixed_price)),
    ((_FEES, _AMOUNT), _for_fees(discounts.read_amount)),
    ((_of("points"), _of("pay", "redeem", "burn", "redemption")), points.read_redemption),
    ((_of("points"), _of("multiplier", "multiply", "times", "factor")), points.read_multiplier),
    ((_of("points"), _PERCENT), _read_cashback),
    ((_of("points"), _of("spend", "step", "threshold")), points.read_points_per_step),
    ((_of("points"), _EACH), _read_points_for_each),
    ((_of("points"), _of("visit", "order", "purchase", "fixed")), points.read_fixed_points),
    ((_of("points", "earn"),), points.read_points),
    ((_of("cashback"),), _read_cashback),
    ((_of("nth"),), discounts.read_nth),
    ((_of("gift", "free"), _of("item", "items", "product", "line", "goods")), _read_gift),
    ((_of("free"), _of("units", "unit", "pieces")), _read_free_units),
    ((_of("to"), _PERCENT), discounts.read_to_percent),
    ((_of("upgrade", "replace"),), presents.read_upgrade),
    ((_of("issue", "give", "grant"), _of("coupon", "voucher")), presents.read_coupon),
    ((_of("bogo"),), _read_buy_get),
    ((_of("buy"), _of("get")), _read_buy_get),
    ((_of("second", "2nd"), _PERCENT | _EACH), _nth(2)),
    ((_of("third", "3rd"), _PERCENT | _EACH), _nth(3)),
    ((_of("dearest", "expensive"), _PERCENT | _AMOUNT), _one_of("most_expensive")),
    ((_of("cheapest", "cheaper", "least"), _PERCENT | _AMOUNT), _one_of("cheapest")),
    ((_of("cheapest", "cheaper", "least"),), _read_cheapest),
    ((_of("nth", "every"),), discounts.read_nth),
    ((_of("above", "more", "beyond"), _of("qty", "quantity", "units")), discounts.read_more_than),
    ((_SETS, _of("price")), bundles.read_bundle_price),
    ((_SETS, _PERCENT), _read_set_percent),
    ((_SETS, _AMOUNT), _read_set_off),
    ((_of("flexi"),), _read_first_and_further),
    ((_ORDERS, _PERCENT), _aimed("order", discounts.read_percent)),
    ((_ORDERS, _of("price")), _aimed("order", discounts.read_total_price)),
    ((_ORDERS, _AMOUNT), _aimed("order", discounts.read_amount)),
    ((_of("quantity", "simple"), _AMOUNT), _by_words),
    ((_PERCENT,), discounts.read_percent),
    ((_of("price"), _EACH), discounts.read_fixed_price),
    ((_of("price"),), discounts.read_price),
    ((_AMOUNT, _EACH), _aimed("item", discounts.read_amount, "each_unit")),
    ((_AMOUNT - _of("off", "discount"),), discounts.read_amount),
    ((_SETS,), _read_set),
)
