"""Rewards of a case: what a campaign gives, what points are worth, and what pays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from services.promotions import engine
from tools.conformance.promotions import goods
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import Unsupported, Words, read_number

_ORDER_SCOPES = frozenset({"order", "cart", "order_and_fees"})
_SCOPES = _ORDER_SCOPES | {"item", "line", "delivery", "shipping", "fees"}
_SPREADS = {
    "each_unit": engine.AmountSpread.EACH_UNIT,
    "each_line": engine.AmountSpread.EACH_LINE,
    "across": engine.AmountSpread.ACROSS,
    "equal_split": engine.AmountSpread.ACROSS,
    "across_units": engine.AmountSpread.EACH_LINE,
}
_UNITS = "a number of units, the cheapest or dearest first"
_BUY_GET = "buy X get Y"
_SETS = "sets: one of each of several articles or groups"
_GROUPS = "groups of n units at a better price"
_MISSING_TYPES = {
    "gift": "gifts",
    "buy_x_get_y": _BUY_GET,
    "cheapest_free": "the cheapest of a group free",
    "cheaper_of_n": _GROUPS,
    "percent_off_group": _GROUPS,
    "group_amount_off": _GROUPS,
    "group_price": _GROUPS,
    "fixed_bundle_price": _SETS,
    "set_discount": _SETS,
    "ab_group": _SETS,
    "replace_item": "another article at the price of the first",
    "issue_coupon": "coupons for later",
    "points_multiplier": "a campaign that multiplies other campaigns' points",
    "stamp_card": "stamps",
    "tiered_percent": "tiers",
}
_MISSING_WORDS = {
    "tiers": "tiers",
    "qualifier": _BUY_GET,
    "get_qty": _BUY_GET,
    "max_reward_units": _BUY_GET,
    "consumes_units": _BUY_GET,
    "repeat": _BUY_GET,
    "pick": "every n-th unit or line",
    "select": _UNITS,
    "group_size": "complete groups of units only",
    "value_first_unit": "another amount from the second unit on",
    "value_additional_unit": "another amount from the second unit on",
    "per_bundle": _SETS,
    "prices": _SETS,
    "max_units_per_bundle": _SETS,
}
_POINT_DECIMALS = 2
_EVERYTHING = engine.ItemFilter()


@dataclass(frozen=True, slots=True)
class Payment:
    """Points as payment: the most that may be paid with them, from which balance on."""

    share_basis_points: int = 10_000
    points_min: int = 0
    excluded: engine.ItemFilter | None = None


@dataclass(frozen=True, slots=True)
class Tender:
    """Money from elsewhere, such as a gift card."""

    amount_minor: int


@dataclass(frozen=True, slots=True)
class Gift:
    """What one campaign gives.

    `value` and `percent` are what orders "by value" compare. `on_order` says that the source gives
    it to the order and not to lines; `fractional` that points have decimals; `points_per_currency`
    what a currency unit is in points, where the campaign says it. An earning rate is points for a
    currency unit. `rounding` and `allocation` are the case's own words.
    """

    rewards: tuple[engine.Reward, ...] = ()
    value: Decimal = Decimal(0)
    percent: bool = False
    basis: str = ""
    on_order: bool = False
    mixed: bool = False
    fractional: bool = False
    rate: Fraction | None = None
    target: engine.ItemFilter = _EVERYTHING
    points_per_currency: Fraction | None = None
    payment: Payment | None = None
    tender: Tender | None = None
    order_discounts_ignored: bool = False
    rounding: str = ""
    allocation: str = ""

    @property
    def earns(self) -> bool:
        """Tell whether the campaign gives points."""
        return self.rate is not None or any(
            isinstance(reward.kind, engine.EarnPercent | engine.EarnPoints)
            for reward in self.rewards
        )

    @property
    def reduces(self) -> bool:
        """Tell whether the campaign takes money off."""
        return bool(self.rewards) and not self.earns


_Reader: TypeAlias = Callable[[Words, Goods], Gift]


def read_gift(words: Words, cart_goods: Goods) -> Gift:
    """Return what a campaign gives; raises Unsupported, and remembers what else is lacking."""
    name = words.text("type")
    if name in _MISSING_TYPES:
        raise Unsupported(_MISSING_TYPES[name])
    if name not in _READERS:
        raise Unsupported(f"unknown word: reward.type {name}")
    gift = _READERS[name](words, cart_goods)
    words.close()
    return gift


def _read_percent(words: Words, cart_goods: Goods) -> Gift:
    missing = _lack(words, cart_goods)
    allocation = words.text("allocation")
    basis_points = words.basis_points("value", "percent")
    if allocation and allocation not in _SPREADS:
        words.gaps.add(_missing_allocation(allocation))
    if basis_points is None:
        raise Unsupported(missing or "a percentage without its value")
    floors = any(article.floor_price_minor for article in cart_goods.articles.values())
    if floors and _peek_scope(words) in _ORDER_SCOPES:
        words.gaps.add("a percentage of the order that goes around floors")
    return _discount(
        words, cart_goods, engine.PercentOff(basis_points), percent=True, allocation=allocation
    )


def _read_amount(words: Words, cart_goods: Goods) -> Gift:
    missing = _lack(words, cart_goods)
    allocation = words.text("allocation")
    amount = words.minor("value", "amount")
    if amount is None:
        raise Unsupported(missing or "an amount without its value")
    if allocation and allocation not in _SPREADS:
        raise Unsupported(_missing_allocation(allocation))
    scope = _peek_scope(words)
    default = (
        "across" if scope in _ORDER_SCOPES else "each_line" if scope == "line" else "each_unit"
    )
    spread = _SPREADS[allocation or default]
    if scope == "line" and spread is engine.AmountSpread.ACROSS:
        spread = engine.AmountSpread.EACH_LINE
    return _discount(words, cart_goods, engine.AmountOff(amount, spread), allocation=allocation)


def _missing_allocation(allocation: str) -> str:
    known = {
        "once": _UNITS,
        "across_by_quantity": "an amount divided by quantity",
    }
    return known.get(allocation, f"unknown word: reward.allocation {allocation}")


def _peek_scope(words: Words) -> str:
    """Return the scope without reading it: it says what an amount is per, too."""
    target = words.peek("target")
    return str(target.get("scope", "")) if isinstance(target, Mapping) else ""


def _read_fixed_price(words: Words, cart_goods: Goods) -> Gift:
    missing = _lack(words, cart_goods)
    price = words.minor("value", "price")
    if price is None:
        raise Unsupported(missing or "a fixed price without its value")
    return _discount(words, cart_goods, engine.FixedPrice(price))


def _discount(
    words: Words,
    cart_goods: Goods,
    kind: engine.RewardKind,
    *,
    percent: bool = False,
    allocation: str = "",
) -> Gift:
    """Return a discount on its target; `rounding` and `remainder` are the program's to decide."""
    words.drop("remainder")
    scope, meant = _read_target(words, cart_goods)
    cap = words.minor("max_amount") or 0
    value = Decimal(0)
    match kind:
        case engine.PercentOff():
            value = Decimal(kind.basis_points) / 100
        case engine.AmountOff():
            value = Decimal(kind.amount_minor) / 100
    return Gift(
        rewards=(engine.Reward(kind, goods.discountable(meant, cart_goods), cap),),
        value=value,
        percent=percent,
        basis=words.text("basis"),
        on_order=scope in _ORDER_SCOPES,
        rounding=words.text("rounding"),
        allocation=allocation,
    )


def _read_target(words: Words, cart_goods: Goods) -> tuple[str, engine.ItemFilter]:
    """Return the scope and the filter of `target`, or of `filter` where there is no target."""
    target = words.open("target")
    scope = target.text("scope") or "item"
    if scope == "group":
        words.gaps.add(_SETS)
    elif scope not in _SCOPES:
        words.gaps.add(f"unknown word: target.scope {scope}")
    inner = target.open("filter") if "filter" in target else words.open("filter")
    for place in (target, words):
        if "exclude" in place:
            inner.put("exclude", place.take("exclude"))
    meant = goods.read_filter(inner, cart_goods, fees=scope == "order_and_fees")
    if scope in {"delivery", "shipping", "fees"}:
        meant = engine.ItemFilter(category_ids=goods.FEE_CATEGORIES)
    target.close()
    return scope, meant


def _lack(words: Words, cart_goods: Goods) -> str:
    """Remember mechanics that the engine lacks, and return one of them.

    A bound on units that does not bind is none.
    """
    missing = ""
    lines = cart_goods.counted_lines
    most = max((line.quantity_thousandths for line in lines), default=0)
    together = sum(line.quantity_thousandths for line in lines)
    for name, bought in (("max_units_per_line", most), ("max_units_total", together)):
        bound = words.thousandths(name)
        if bound is not None and bound < bought:
            missing = "at most n units"
            words.gaps.add(missing)
    return words.lack(_MISSING_WORDS) or missing


def _read_multi(words: Words, cart_goods: Goods) -> Gift:
    """Read several rewards of one campaign; each one is on what those before it have left."""
    gifts: list[Gift] = []
    for inner in words.open_all("rewards"):
        with words.gaps.collect():
            gifts.append(read_gift(inner, cart_goods))
    if not all(gift.reduces for gift in gifts):
        raise Unsupported("discounts and points in one campaign")
    orders = [gift.on_order for gift in gifts]
    return Gift(
        rewards=tuple(reward for gift in gifts for reward in gift.rewards),
        value=max((gift.value for gift in gifts), default=Decimal(0)),
        percent=all(gift.percent for gift in gifts),
        basis=words.text("basis"),
        on_order=all(orders),
        mixed=any(orders) and not all(orders),
    )


def _read_points(words: Words, cart_goods: Goods) -> Gift:
    """Read points for money: a rate, or a percentage of what points are worth."""
    basis = words.text("basis")
    if basis in {"pre_discount", "goods_total", "original"}:
        words.gaps.add("points for amounts before discounts")
    elif basis not in {"", "paid_after_discounts", "post_discount", "paid_with_money"}:
        words.gaps.add(f"unknown word: reward.basis {basis}")
    ignored = words.flag("ignore_order_discounts")
    worth = _rate(words, "points_per_currency")
    target = _read_goods_of(words, cart_goods)
    back = words.basis_points("percent_back")
    rate = _rate(words, "per_currency")
    if (back is None) == (rate is None):
        raise Unsupported("points that are not for money")
    if back is not None:
        rate = Fraction(back, 10_000) * (worth or 1)
    return Gift(
        target=target,
        rate=rate,
        fractional=back is not None,
        points_per_currency=worth,
        order_discounts_ignored=ignored,
    )


def _read_points_per_unit(words: Words, cart_goods: Goods) -> Gift:
    points = words.whole("points") or 0
    target = _read_goods_of(words, cart_goods)
    kind = engine.EarnPoints(points, engine.PointsSpread.EACH_UNIT)
    return Gift(rewards=(engine.Reward(kind, target),))


def _read_goods_of(words: Words, cart_goods: Goods) -> engine.ItemFilter:
    inner = words.open("filter")
    if "exclude" in words:
        inner.put("exclude", words.take("exclude"))
    return goods.read_filter(inner, cart_goods)


def _rate(words: Words, name: str) -> Fraction | None:
    found = words.take(name)
    if found is None:
        return None
    rate = Fraction(read_number(found, f"{words.where}.{name}"))
    if rate <= 0:
        raise Unsupported(f"{words.where}.{name} that is not above 0")
    return rate


def _read_redemption(words: Words, cart_goods: Goods) -> Gift:
    """Read points as payment: the shopper pays as much with them as is allowed."""
    share = words.basis_points("max_share")
    base = words.text("share_base")
    if base not in {"", "eligible_goods_after_discounts"}:
        words.gaps.add(f"unknown word: reward.share_base {base}")
    excluded = None
    if "exclude" in words:
        excluded = goods.read_excluded(words.open("exclude"), cart_goods)
    return Gift(
        points_per_currency=_rate(words, "points_per_currency") or Fraction(1),
        payment=Payment(
            share_basis_points=10_000 if share is None else share,
            points_min=words.whole("min_points") or 0,
            excluded=excluded,
        ),
    )


def _read_tender(words: Words, _: Goods) -> Gift:
    words.drop("kind")
    return Gift(tender=Tender(words.minor("value") or 0))


_READERS: Mapping[str, _Reader] = {
    "percent_off": _read_percent,
    "amount_off": _read_amount,
    "fixed_unit_price": _read_fixed_price,
    "multi": _read_multi,
    "points": _read_points,
    "points_per_unit": _read_points_per_unit,
    "redeem_points": _read_redemption,
    "payment": _read_tender,
}


def points_terms(gifts: list[Gift]) -> tuple[engine.PointsTerms, Fraction]:
    """Return what points are worth in a case, and how many of them a currency unit is.

    Points have decimals when some campaign gives a percentage back. Where nobody pays with points
    their worth changes nothing, so it is what the first campaign gives for a currency unit.
    """
    scale = _POINT_DECIMALS if any(gift.fractional for gift in gifts) else 0
    worth = (
        [gift.points_per_currency for gift in gifts if gift.payment]
        + [gift.points_per_currency for gift in gifts if gift.points_per_currency]
        + [gift.rate for gift in gifts if gift.rate]
        + [Fraction(1)]
    )[0]
    assert worth is not None, "whoever pays says what points are worth"
    if any(gift.points_per_currency not in {None, worth} for gift in gifts):
        raise Unsupported("points of different worth")
    exact = worth * 10**scale / 100
    payment = next((gift.payment for gift in gifts if gift.payment), Payment())
    terms = engine.PointsTerms(
        point_value_minor=exact.denominator,
        point_units=exact.numerator,
        points_scale=scale,
        payment_share_max_basis_points=payment.share_basis_points,
    )
    return terms, worth


def earning(gift: Gift, worth: Fraction) -> engine.Reward:
    """Return the reward that gives points for money at the campaign's rate."""
    assert gift.rate is not None, "the campaign gives points for money"
    basis_points = gift.rate / worth * 10_000
    if basis_points.denominator != 1:
        raise Unsupported("percentages finer than a hundredth")
    return engine.Reward(engine.EarnPercent(int(basis_points)), gift.target)
