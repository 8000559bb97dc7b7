"""Rewards of a case by their names."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from tools.conformance.promotions import bundles, discounts, points
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.words import Unsupported, Words

_MISSING = {
    "gift": "gifts",
    "replace_item": "another article at the price of the first",
    "issue_coupon": "coupons for later",
    "points_multiplier": "a campaign that multiplies other campaigns' points",
    "stamp_card": "stamps",
    "tiered_percent": "tiers",
}
_Reader: TypeAlias = Callable[[Words, Setting], Gift]


def read_gift(words: Words, setting: Setting) -> Gift:
    """Return what a campaign gives; raises Unsupported, and remembers what else is lacking."""
    name = words.text("type")
    if name in _MISSING:
        raise Unsupported(_MISSING[name])
    if name not in _READERS:
        raise Unsupported(f"unknown word: reward.type {name}")
    gift = _READERS[name](words, setting)
    words.close()
    return gift


def _read_multi(words: Words, setting: Setting) -> Gift:
    """Read several rewards of one campaign; each one is on what those before it have left."""
    gifts: list[Gift] = []
    for inner in words.open_all("rewards"):
        with words.gaps.collect():
            gifts.append(read_gift(inner, setting))
    if not all(gift.reduces and not gift.multi_buy for gift in gifts):
        raise Unsupported("rewards of different kinds in one campaign")
    orders = [gift.on_order for gift in gifts]
    return Gift(
        rewards=tuple(reward for gift in gifts for reward in gift.rewards),
        value=max((gift.value for gift in gifts), default=Decimal(0)),
        percent=all(gift.percent for gift in gifts),
        basis=words.text("basis"),
        on_order=all(orders),
        mixed=any(orders) and not all(orders),
    )


_READERS: Mapping[str, _Reader] = {
    "percent_off": discounts.read_percent,
    "amount_off": discounts.read_amount,
    "fixed_unit_price": discounts.read_fixed_price,
    "multi": _read_multi,
    "buy_x_get_y": bundles.read_buy_get,
    "cheapest_free": bundles.read_cheapest_free,
    "cheaper_of_n": bundles.read_cheaper_of_n,
    "percent_off_group": bundles.read_percent_off_group,
    "group_amount_off": bundles.read_amount_off_group,
    "group_price": bundles.read_group_price,
    "fixed_bundle_price": bundles.read_bundle_price,
    "set_discount": bundles.read_set_discount,
    "ab_group": bundles.read_pair,
    "points": points.read_points,
    "points_per_unit": points.read_points_per_unit,
    "redeem_points": points.read_redemption,
    "payment": points.read_tender,
}
