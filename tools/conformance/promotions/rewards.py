"""Rewards of a case by their names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from tools.conformance.promotions import bundles, discounts, goods, kinds, points, presents
from tools.conformance.promotions.gifts import Gift, Setting, StampCard
from tools.conformance.promotions.words import Unsupported, Words, read_number

_Reader: TypeAlias = Callable[[Words, Setting], Gift]


def read_gift(words: Words, setting: Setting) -> Gift:
    """Return what a campaign gives; raises Unsupported, and remembers what else is lacking."""
    _choose_currency(words)
    price = _read_price(words)
    if price:
        return replace(_read_bought(words, setting), points_price=price)
    name = words.text("type")
    read = _READERS.get(name) or kinds.find(name)
    if read is None:
        raise Unsupported(f"unknown word: reward.type {name}")
    gift = read(words, setting)
    words.close()
    return gift


def _choose_currency(words: Words) -> None:
    """Let an amount of the only currency that cases have stand instead of the one of all."""
    for name in words.left:
        if name.endswith(_BY_CURRENCY):
            amount = words.table(name).get(_CURRENCY)
            if amount is not None:
                words.put(name.removesuffix(_BY_CURRENCY), amount)


_BY_CURRENCY = "_by_currency"
_CURRENCY = "USD"


def _read_price(words: Words) -> Fraction:
    """Return what a reward costs in points: `points_cost`, `cost_points`, `required_points`."""
    found = next((name for name in words.left if _is_price(name)), "")
    if not found or isinstance(words.peek(found), Mapping | list):
        return Fraction(0)
    return Fraction(read_number(words.take(found), f"{words.where}.{found}"))


def _is_price(name: str) -> bool:
    parts = {*name.split("_")}
    return "points" in parts and bool(parts & {"cost", "costs", "price", "required"})


def _read_bought(words: Words, setting: Setting) -> Gift:
    """Read what points buy: a reward of its own, or what stands beside the price."""
    if "reward" not in words:
        return read_gift(words, setting)
    inner = words.open("reward")
    words.drop("type")
    words.close()
    return read_gift(inner, setting)


def _read_multi(words: Words, setting: Setting) -> Gift:
    """Read several rewards of one campaign; each one is on what those before it have left."""
    gifts: list[Gift] = []
    terms = setting.terms
    bundle, asked, left = list(terms.bundle), list(terms.asked), list(terms.conditions)
    for inner in words.open_all("rewards"):
        # Each reward may be for each of the same sets.
        terms.bundle, terms.asked, terms.conditions = list(bundle), list(asked), list(left)
        with words.gaps.collect():
            gifts.append(read_gift(inner, setting))
    sets = {gift.multi_buy for gift in gifts}
    if not all(gift.reduces for gift in gifts) or len(sets) > 1:
        raise Unsupported("rewards of different kinds in one campaign")
    orders = [gift.on_order for gift in gifts]
    return Gift(
        multi_buy=sets.pop() if sets else None,
        rewards=tuple(reward for gift in gifts for reward in gift.rewards),
        value=max((gift.value for gift in gifts), default=Decimal(0)),
        percent=all(gift.percent for gift in gifts),
        basis=words.text("basis"),
        on_order=all(orders),
        mixed=any(orders) and not all(orders),
    )


def _read_stamp_card(words: Words, setting: Setting) -> Gift:
    """Read a card whose stamps pay a reward; units of the rewarded goods bring the stamps."""
    words.drop("stamp_on_reward_unit")  # a unit that costs nothing brings none
    size = words.whole("size") or 0
    inner = words.open("reward")
    meant = goods.read_filter(
        Words(inner.peek("filter") or {}, "filter", words.gaps), setting.goods
    )
    gift = read_gift(inner, setting)
    return replace(gift, stamp_card=StampCard(size, meant))


def _read_bundle_price(words: Words, setting: Setting) -> Gift:
    """Read a price of a set, of articles of its own or of what the target says."""
    read = discounts.read_total_price if "target" in words else bundles.read_bundle_price
    return read(words, setting)


_TOTAL_PRICES = (
    "fixed_total",
    "fixed_total_price",
    "fixed_order_price",
    "fixed_cart_price",
    "fixed_set_price",
    "fixed_group_price",
    "set_price",
    "total_price",
)
_READERS: Mapping[str, _Reader] = {
    "percent_off": discounts.read_percent,
    "amount_off": discounts.read_amount,
    "fixed_unit_price": discounts.read_fixed_price,
    "unit_price": discounts.read_fixed_price,
    "new_price": discounts.read_price,
    "fixed_price": discounts.read_price,
    **dict.fromkeys(_TOTAL_PRICES, discounts.read_total_price),
    **dict.fromkeys(("free_delivery", "free_shipping"), discounts.read_free_delivery),
    **dict.fromkeys(("nth_unit", "nth_item", "every_nth_unit"), discounts.read_nth),
    "multi": _read_multi,
    "buy_x_get_y": bundles.read_buy_get,
    "cheapest_free": bundles.read_cheapest_free,
    "cheaper_of_n": bundles.read_cheaper_of_n,
    "percent_off_group": bundles.read_percent_off_group,
    "group_amount_off": bundles.read_amount_off_group,
    "group_price": bundles.read_group_price,
    "n_for_price": bundles.read_group_price,
    "n_for_m": bundles.read_n_for_m,
    **dict.fromkeys(("multi_buy", "multibuy"), bundles.read_multi_buy),
    "fixed_bundle_price": _read_bundle_price,
    "set_discount": bundles.read_set_discount,
    "ab_group": bundles.read_pair,
    "split_ab_group": bundles.read_split_pair,
    **dict.fromkeys(("more_than_qty", "above_qty"), discounts.read_more_than),
    "points": points.read_points,
    **dict.fromkeys(
        ("points_per_unit", "points_per_item", "points_per_piece"), points.read_points_per_unit
    ),
    **dict.fromkeys(("points_fixed", "fixed_points"), points.read_fixed_points),
    "points_per_order": points.read_fixed_points,
    "points_per_step": points.read_points_per_step,
    "points_multiplier": points.read_multiplier,
    "issue_coupon": presents.read_coupon,
    "gift": presents.read_gift_items,
    "replace_item": presents.read_upgrade,
    "stamp_card": _read_stamp_card,
    "tiered_percent": discounts.read_percent,
    "tiered_amount": discounts.read_amount,
    "tiered_price": discounts.read_fixed_price,
    "quantity_price": discounts.read_fixed_price,
    "redeem_points": points.read_redemption,
    "payment": points.read_tender,
}
