"""Points of a case: what earns them, what they are worth, and what pays besides money."""

from fractions import Fraction

from services.promotions import engine
from tools.conformance.promotions import goods
from tools.conformance.promotions.gifts import Gift, Payment, Setting, Tender
from tools.conformance.promotions.words import Unsupported, Words, read_basis_points, read_number

_POINT_DECIMALS = 2


def read_points(words: Words, setting: Setting) -> Gift:
    """Read points for money: a rate, or a percentage of what points are worth."""
    basis = words.text("basis")
    earn_basis = _read_basis(words, basis)
    rounding = words.text("rounding")  # of points, which are whole or have two decimals
    if rounding and not any(sign in rounding for sign in ("down", "floor", "trunc")):
        words.gaps.add(f"unknown word: reward.rounding {rounding}")
    if any(name in words for name in _ONCE_WORDS) and not has_step(words):
        words.put("points", words.take(*_ONCE_WORDS))
        return read_fixed_points(words, setting)
    if has_step(words):
        return _read_steps(words, setting, earn_basis)
    if "per_currency" not in words and "percent_back" not in words:
        return read_fixed_points(words, setting)
    worth = _rate(words, "points_per_currency")
    target = _read_goods_of(words, setting)
    back = words.basis_points("percent_back")
    rate = _rate(words, "per_currency")
    if (back is None) == (rate is None):
        raise Unsupported("points that are not for money")
    if back is not None:
        rate = Fraction(back, 10_000) * (worth or 1)
    return Gift(
        target=target,
        earned_max=words.whole("max_points") or 0,
        rate=rate,
        fractional=back is not None,
        points_per_currency=worth,
        earn_basis=earn_basis,
    )


def _read_basis(words: Words, basis: str) -> engine.EarnBasis:
    earn_basis = engine.EarnBasis.PAID
    if basis in {"pre_discount", "goods_total", "original", "before_discounts"}:
        earn_basis = engine.EarnBasis.ORIGINAL
    elif basis not in {"", "paid_after_discounts", "post_discount", "paid_with_money", "paid"}:
        words.gaps.add(f"unknown word: reward.basis {basis}")
    if words.flag("ignore_order_discounts") and earn_basis is engine.EarnBasis.PAID:
        return engine.EarnBasis.ITEMS
    return earn_basis


_ONCE_WORDS = ("per_order", "per_purchase", "per_receipt", "per_visit", "once", "fixed", "flat")
_STEP_WORDS = (
    "step",
    "spend",
    "per_step",
    "per_full",
    "per_amount",
    "per_spend",
    "per_spent",
    "per_each",
    "for_each",
    "for_every",
    "every",
    "threshold_step",
    "spend_step",
    "spend_amount",
    "amount_step",
)


def has_step(words: Words) -> bool:
    """Tell whether points are for each full step of money."""
    return any(name in words for name in _STEP_WORDS)


def read_points_per_step(words: Words, setting: Setting) -> Gift:
    """Read points for each full step of money."""
    return _read_steps(words, setting, _read_basis(words, words.text("basis")))


def _read_steps(words: Words, setting: Setting, basis: engine.EarnBasis) -> Gift:
    if "step" in words and "per_step" in words:  # so many points per step of so much
        words.put("points", words.take("per_step"))
    points, step = words.whole("points", "value", "per_currency"), words.minor(*_STEP_WORDS)
    kind = engine.EarnPoints(
        points or 0, engine.PointsSpread.EACH_STEP, step_minor=step or 0, basis=basis
    )
    most = words.whole("max_points") or 0
    return Gift(rewards=(engine.Reward(kind, _read_goods_of(words, setting), most),))


def read_fixed_points(words: Words, setting: Setting) -> Gift:
    """Read points once for a purchase."""
    kind = engine.EarnPoints(words.whole("points", "value") or 0, engine.PointsSpread.ONCE)
    return Gift(rewards=(engine.Reward(kind, _read_goods_of(words, setting)),))


def read_points_per_unit(words: Words, setting: Setting) -> Gift:
    """Read points for each whole unit."""
    points = words.whole("points", "value") or 0
    target = _read_goods_of(words, setting)
    kind = engine.EarnPoints(points, engine.PointsSpread.EACH_UNIT)
    return Gift(rewards=(engine.Reward(kind, target),))


def read_multiplier(words: Words, setting: Setting) -> Gift:
    """Read a campaign that multiplies the points of those before it."""
    factor = _rate(words, "factor")
    if factor is None or (factor * 100).denominator != 1:
        raise Unsupported("factors finer than a hundredth")
    kind = engine.MultiplyPoints(int(factor * 100))
    return Gift(rewards=(engine.Reward(kind, _read_goods_of(words, setting)),))


def _read_goods_of(words: Words, setting: Setting) -> engine.ItemFilter:
    inner = words.open("filter")
    if "exclude" in words:
        inner.put("exclude", words.take("exclude"))
    return goods.read_filter(inner, setting.goods)


def _rate(words: Words, name: str) -> Fraction | None:
    found = words.take(name)
    if found is None:
        return None
    rate = Fraction(read_number(found, f"{words.where}.{name}"))
    if rate <= 0:
        raise Unsupported(f"{words.where}.{name} that is not above 0")
    return rate


def read_redemption(words: Words, setting: Setting) -> Gift:
    """Read points as payment: the shopper pays as much with them as is allowed."""
    share = _read_share(words)
    base = words.text("share_base")
    if base not in {"", "eligible_goods_after_discounts", "order", "total", "after_discounts"}:
        words.gaps.add(f"unknown word: reward.share_base {base}")
    excluded = None
    if "exclude" in words:
        excluded = goods.read_excluded(words.open("exclude"), setting.goods)
    if "eligible" in words:
        excluded = _find_others(goods.read_filter(words.open("eligible"), setting.goods), setting)
    worth = _rate(words, "points_per_currency")
    value = _rate(words, "currency_per_point") or _rate(words, "point_value")
    if worth is None and value is not None:
        worth = 1 / value
    return Gift(
        points_per_currency=worth or Fraction(1),
        payment=Payment(
            share_basis_points=10_000 if share is None else share,
            points_min=words.whole("min_points") or 0,
            points_max=words.whole("max_points"),
            points_step=words.whole("step", "step_points", "multiple_of") or 0,
            amount_max=words.minor("max_amount", "max_value"),
            receipt_min_minor=words.minor("min_order", "min_total", "min_subtotal") or 0,
            excluded=excluded,
        ),
    )


def _find_others(eligible: engine.ItemFilter, setting: Setting) -> engine.ItemFilter:
    """Return the goods of the cart that are not meant, as what cannot be paid with points."""
    articles = setting.goods.articles
    return engine.ItemFilter(
        skus=frozenset(sku for sku, one in articles.items() if not goods.means(eligible, sku, one))
    )


def _read_share(words: Words) -> int | None:
    """Return the largest share of a receipt in basis points; a number up to 1 is a fraction."""
    found = words.take("max_share", "max_percent", "max_percentage", "max_share_percent")
    if isinstance(found, float | int) and not isinstance(found, bool) and 0 < found <= 1:
        found = found * 100
    return None if found is None else read_basis_points(found, f"{words.where}.max_share")


def read_tender(words: Words, _: Setting) -> Gift:
    """Read a gift card or the like."""
    words.drop("kind")
    return Gift(tender=Tender(words.minor("value") or 0))


def find_terms(gifts: list[Gift]) -> tuple[engine.PointsTerms, Fraction]:
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
        payment_min_units=payment.points_min * 10**scale,
        payment_step_units=payment.points_step * 10**scale,
        payment_receipt_min_minor=payment.receipt_min_minor,
    )
    return terms, worth


def make_earning(gift: Gift, worth: Fraction) -> engine.Reward:
    """Return the reward that gives points for money at the campaign's rate."""
    assert gift.rate is not None, "the campaign gives points for money"
    basis_points = gift.rate / worth * 10_000
    if gift.earned_max and gift.fractional:
        raise Unsupported("a bound on points with decimals")
    if basis_points.denominator != 1:
        raise Unsupported("percentages finer than a hundredth")
    kind = engine.EarnPercent(int(basis_points), basis=gift.earn_basis)
    return engine.Reward(kind, gift.target, gift.earned_max)
