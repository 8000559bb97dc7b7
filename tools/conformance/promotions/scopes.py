"""What a reward of a case is for: goods, lines, sets, an order, what bringing it costs."""

from collections.abc import Mapping

from tools.conformance.promotions.words import Words

ORDER = frozenset({"order", "cart", "order_and_fees", "basket"})
FEES = frozenset({"delivery", "shipping", "fees", "fee"})
SETS = frozenset({"group", "set", "set_group", "setgroup", "bundle", "package"})
_KNOWN = ORDER | FEES | SETS | {"item", "line", "unit", "product"}
# What other words come to, by what is in them, the first that fits.
_SIGNS = {
    "order_and_fees": ("and_fee", "and_deliver", "and_ship"),
    "delivery": ("deliver", "ship", "fee"),
    "order": ("order", "cart", "basket", "receipt", "total", "whole"),
    "group": ("group", "set", "bundle", "package"),
    "item": (
        "item",
        "unit",
        "product",
        "article",
        "goods",
        "sku",
        "category",
        "specific",
        "selected",
        "cheapest",
        "dearest",
        "expensive",
    ),
    "line": ("line",),
}


def peek(words: Words) -> str:
    """Return the scope of a reward without reading it: it says what an amount is per, too."""
    target = words.peek("target")
    return name_of(str(target.get("scope") or "")) if isinstance(target, Mapping) else ""


def name_of(text: str) -> str:
    """Return the scope by its usual name; what no scope can be comes back as it is."""
    folded = text.lower()
    if folded in _KNOWN:
        return folded
    return next(
        (name for name, signs in _SIGNS.items() if any(sign in folded for sign in signs)), text
    )


def find_order(text: str) -> str:
    """Return which unit comes first where the scope is one of a certain price, else nothing."""
    return next((one for one in ("cheapest", "dearest", "most_expensive") if one in text), "")


def is_known(scope: str) -> bool:
    """Tell whether this is a scope at all."""
    return scope in _KNOWN
