"""Reads the cases in `cases/*.yaml`: campaigns, carts and expectations in a marketer's words."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from services.promotions import engine

Plain = Mapping[str, Any]
_PER_AMOUNT = {
    "unit": engine.AmountSpread.EACH_UNIT,
    "line": engine.AmountSpread.EACH_LINE,
    "receipt": engine.AmountSpread.ACROSS,
}
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MEMBERS = {"members": engine.Membership.MEMBERS, "everybody": engine.Membership.EVERYBODY}


def money(value: object) -> int:
    """Return minor units: 1.50 is 150."""
    minor = Decimal(str(value)) * 100
    assert minor == int(minor), f"{value} is not an amount"
    return int(minor)


def show_money(minor: int) -> str:
    return f"{Decimal(minor) / 100:.2f}"


def read_moment(text: object) -> datetime:
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_words(plain: Plain, known: str) -> None:
    unknown = {str(word) for word in plain} - set(known.split())
    assert not unknown, f"{sorted(unknown)} in {dict(plain)}: no such words"


def read_campaign(plain: Plain) -> engine.Campaign:
    _check_words(
        plain,
        "id title title_ru version gives lane limits group priority percent_of stop coupon personal"
        " stamps"
        " from until days hours for when buy sets share others_may",
    )
    gifts = plain["gives"] if isinstance(plain["gives"], list) else [plain["gives"]]
    rewards = tuple(_read_reward(gift) for gift in gifts)
    lane = plain.get("lane") or _guess_lane(plain, rewards)
    limits = plain.get("limits", {})
    return engine.Campaign(
        campaign_id=plain["id"],
        version=plain.get("version", 1),
        rules=engine.Rules(
            title=engine.Text(plain.get("title", plain["id"]), plain.get("title_ru", "")),
            rewards=rewards,
            combination=engine.Combination(
                lane=engine.Lane[lane.upper()],
                exclusive_group=plain.get("group", ""),
                priority=plain.get("priority", 0),
                basis=engine.Basis[plain.get("percent_of", "running").upper()],
                stop=plain.get("stop", False),
                reuse=engine.Reuse[plain.get("others_may", "none").upper()],
            ),
            trigger=_read_trigger(plain),
            validity=_read_validity(plain),
            audience=_read_audience(plain.get("for", {})),
            condition=read_condition(plain["when"]) if "when" in plain else None,
            limits=engine.Limits(
                limits.get("uses", 0), limits.get("per_member", 0), money(limits.get("budget", 0))
            ),
            multi_buy=_read_sets(plain) if "buy" in plain else None,
        ),
    )


def _read_sets(plain: Plain) -> engine.MultiBuy:
    groups = plain["buy"] if isinstance(plain["buy"], list) else [plain["buy"]]
    for group in groups:
        _check_words(group, "units worth goods first")
    return engine.MultiBuy(
        groups=tuple(
            engine.UnitGroup(
                filter=read_filter(group.get("goods")),
                units=group.get("units", 0),
                amount_min_minor=money(group.get("worth", 0)),
                order=engine.PickOrder[group.get("first", "dearest").upper()],
            )
            for group in groups
        ),
        sets_max=plain.get("sets", 0),
        sharing=engine.Sharing[plain.get("share", "rewarded").upper()],
    )


def _guess_lane(plain: Plain, rewards: tuple[engine.Reward, ...]) -> str:
    if "buy" in plain:
        return "multi_buy"
    if isinstance(rewards[0].kind, engine.EarnPercent | engine.EarnPoints):
        return "earn"
    return "coupon" if "coupon" in plain else "item"


def _read_trigger(plain: Plain) -> engine.Trigger:
    if "coupon" not in plain:
        return engine.AutomaticTrigger()
    price = plain.get("stamps")
    return engine.CouponTrigger(
        _names_in_order(plain["coupon"]),
        plain.get("personal", False),
        engine.StampPrice(price["card"], price["count"]) if price else None,
    )


def _names_in_order(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _names(value: str | list[str]) -> frozenset[str]:
    return frozenset(_names_in_order(value))


def _read_validity(plain: Plain) -> engine.Validity:
    windows = plain.get("hours", [])
    return engine.Validity(
        start_time=read_moment(plain["from"]) if "from" in plain else None,
        end_time=read_moment(plain["until"]) if "until" in plain else None,
        weekdays=frozenset(_DAYS.index(day) + 1 for day in plain.get("days", [])),
        hours=tuple(_read_window(window) for window in windows),
    )


def _read_window(text: str) -> engine.HourWindow:
    start, end = (
        int(hour) * 60 + int(minute) for hour, minute in (t.split(":") for t in text.split("-"))
    )
    return engine.HourWindow(start, end)


def _read_audience(plain: Plain) -> engine.Audience:
    _check_words(
        plain,
        "who stores not_stores regions formats channels segments not_segments tiers not_tiers ids",
    )
    return engine.Audience(
        membership=_MEMBERS[plain.get("who", "everybody")],
        store_ids=_names(plain.get("stores", [])),
        exclude_store_ids=_names(plain.get("not_stores", [])),
        region_ids=_names(plain.get("regions", [])),
        format_ids=_names(plain.get("formats", [])),
        channels=frozenset(engine.Channel[name.upper()] for name in plain.get("channels", [])),
        segment_ids=_names(plain.get("segments", [])),
        exclude_segment_ids=_names(plain.get("not_segments", [])),
        tier_ids=_names(plain.get("tiers", [])),
        exclude_tier_ids=_names(plain.get("not_tiers", [])),
        member_ids=_names(plain.get("ids", [])),
    )


def read_filter(plain: Plain | None) -> engine.ItemFilter:
    plain = plain or {}
    _check_words(
        plain,
        "article category brand tag not_article not_category not_brand not_tag price_from price_to"
        " price_is kinds",
    )
    return engine.ItemFilter(
        skus=_names(plain.get("article", [])),
        category_ids=_names(plain.get("category", [])),
        brands=_names(plain.get("brand", [])),
        tags=_names(plain.get("tag", [])),
        exclude_skus=_names(plain.get("not_article", [])),
        exclude_category_ids=_names(plain.get("not_category", [])),
        exclude_brands=_names(plain.get("not_brand", [])),
        exclude_tags=_names(plain.get("not_tag", [])),
        unit_price_min_minor=money(plain.get("price_from", 0)),
        unit_price_max_minor=money(plain.get("price_to", 0)),
        price_state=engine.PriceState[plain.get("price_is", "any").upper()],
        kinds=frozenset(engine.LineKind[name.upper()] for name in plain.get("kinds", [])),
    )


def read_condition(plain: Plain) -> engine.Condition:
    _check_words(
        plain,
        "all any not goods spend measured purchase every_purchase articles units worth every_line"
        " date from to yearly days_since days_until or_never pays card every_payment till member"
        " is is_not at_least at_most cel",
    )
    for words, read in _CONDITIONS:
        if any(word in plain for word in words.split()):
            return read(plain)
    return _read_goods(plain, read_filter(plain.get("goods")))


def _read_spend(plain: Plain) -> engine.Condition:
    basis = engine.Basis[plain.get("measured", "running").upper()]
    return engine.BasketTotal(money(plain["spend"]), read_filter(plain.get("goods")), basis)


def _read_last_purchase(plain: Plain) -> engine.Condition:
    until, never = plain.get("days_until", 0), plain.get("or_never", False)
    return engine.LastPurchase(plain["days_since"], until, never)


def _read_payments(plain: Plain) -> engine.Condition:
    kinds = frozenset(engine.PaymentType[name.upper()] for name in _names(plain.get("pays", [])))
    return engine.PaymentPlan(
        kinds, _names(plain.get("card", [])), plain.get("every_payment", False)
    )


def _read_date(plain: Plain) -> engine.Condition:
    days = (plain.get("from", 0), plain.get("to", 0))
    return engine.MemberDate(plain["date"], *days, plain.get("yearly", True))


def _read_attribute(plain: Plain) -> engine.Attribute:
    source = engine.AttributeSource["CART" if "till" in plain else "MEMBER"]
    name = plain.get("till") or plain["member"]
    for word, test in (
        ("is", engine.AttributeTest.IN),
        ("is_not", engine.AttributeTest.NOT_IN),
        ("at_least", engine.AttributeTest.AT_LEAST),
        ("at_most", engine.AttributeTest.AT_MOST),
    ):
        if word in plain:
            values = plain[word] if isinstance(plain[word], list) else [plain[word]]
            return engine.Attribute(name, test, tuple(str(value) for value in values), source)
    return engine.Attribute(name, engine.AttributeTest.PRESENT, (), source)


def _read_goods(plain: Plain, goods: engine.ItemFilter) -> engine.Condition:
    if "articles" in plain:
        return engine.DistinctItems(plain["articles"], goods)
    units = int(Decimal(str(plain.get("units", 0))) * 1_000)
    if "every_line" in plain:
        required = read_filter(plain["every_line"])
        return engine.EveryLine(goods, required, money(plain.get("worth", 0)), 0, units)
    return engine.ItemGroup(goods, units, money(plain.get("worth", 0)))


_CONDITIONS: list[tuple[str, Callable[[Plain], engine.Condition]]] = [
    ("all", lambda plain: engine.AllOf(tuple(read_condition(one) for one in plain["all"]))),
    ("any", lambda plain: engine.AnyOf(tuple(read_condition(one) for one in plain["any"]))),
    ("not", lambda plain: engine.Not(read_condition(plain["not"]))),
    ("spend", _read_spend),
    (
        "purchase every_purchase",
        lambda plain: engine.PurchaseNumber(
            plain.get("purchase", 0), plain.get("every_purchase", 0)
        ),
    ),
    ("date", _read_date),
    ("cel", lambda plain: engine.Expression(plain["cel"])),
    ("days_since", _read_last_purchase),
    ("pays card", _read_payments),
    ("till member", _read_attribute),
]


def _read_reward(plain: Plain) -> engine.Reward:
    _check_words(
        plain,
        "percent_off amount_off price set_price earn_percent multiply points live_days per goods"
        " at_most pick groups",
    )
    kind = _read_kind(plain)
    points = isinstance(kind, engine.EarnPercent | engine.EarnPoints)
    at_most = plain.get("at_most", 0)
    return engine.Reward(
        kind,
        read_filter(plain.get("goods")),
        at_most if points else money(at_most),
        pick=_read_pick(plain["pick"]) if "pick" in plain else None,
        groups=tuple(place - 1 for place in plain.get("groups", [])),
    )


def _read_pick(plain: Plain) -> engine.Pick:
    _check_words(plain, "first count per_line skip every by over")
    return engine.Pick(
        order=engine.PickOrder[plain.get("first", "dearest").upper()],
        count_max=plain.get("count", 0),
        units_per_line_max=plain.get("per_line", 0),
        skip=plain.get("skip", 0),
        every=plain.get("every", 0),
        by=engine.PickBy[plain.get("by", "unit").upper()],
        scope=engine.PickScope[plain.get("over", "each_set").upper()],
    )


def _read_kind(plain: Plain) -> engine.RewardKind:
    per = plain.get("per", "receipt")
    if "percent_off" in plain:
        return engine.PercentOff(money(plain["percent_off"]))
    if "amount_off" in plain:
        return engine.AmountOff(money(plain["amount_off"]), _PER_AMOUNT[per])
    if "set_price" in plain:
        return engine.SetPrice(money(plain["set_price"]))
    if "price" in plain:
        return engine.FixedPrice(money(plain["price"]))
    if "earn_percent" in plain:
        multipliers = tuple(
            engine.EarnMultiplier(read_filter(one.get("goods")), money(one["times"]))
            for one in plain.get("multiply", [])
        )
        return engine.EarnPercent(money(plain["earn_percent"]), multipliers)
    return _read_points(plain, per)


def _read_points(plain: Plain, per: object) -> engine.EarnPoints:
    points, days = plain["points"], plain.get("live_days", 0)
    if per == "unit":
        return engine.EarnPoints(points, engine.PointsSpread.EACH_UNIT, 0, days)
    if per == "receipt":
        return engine.EarnPoints(points, engine.PointsSpread.ONCE, 0, days)
    return engine.EarnPoints(points, engine.PointsSpread.EACH_STEP, money(per), days)


def read_cart(plain: Plain) -> engine.Cart:
    """Read lines like `2 milk at 1.50`; they are named 1, 2, … in their order."""
    _check_words(
        plain,
        "case now explain_all campaigns cart articles store region format channel coupons member"
        " pay_with_points left terms identity_is_away expect returns till_says pays_with",
    )
    lines = []
    for place, text in enumerate(plain["cart"]):
        lines.append(_read_line(str(place + 1), text))
    return engine.Cart(
        store_id=plain.get("store", "S1"),
        channel=engine.Channel[plain.get("channel", "till").upper()],
        currency_code="RUB",
        lines=tuple(lines),
        coupon_codes=tuple(plain.get("coupons", [])),
        points_payment_minor=money(plain.get("pay_with_points", 0)),
        attributes=plain.get("till_says", {}),
        planned_payments=tuple(_read_payment(one) for one in plain.get("pays_with", [])),
    )


def _read_line(name: str, text: str) -> engine.CartLine:
    """Read `2 milk at 1.50`, and behind it `was 2.00` or `for delivery`."""
    quantity, sku, _, price, *more = text.split()
    said = dict(zip(more[::2], more[1::2], strict=True))
    return engine.CartLine(
        name,
        sku,
        int(Decimal(quantity) * 1_000),
        money(price),
        kind=engine.LineKind[said.get("for", "goods").upper()],
        regular_unit_price_minor=money(said.get("was", 0)),
    )


def _read_payment(text: str) -> engine.PlannedPayment:
    """Read `cash` or `card 220012`."""
    kind, _, prefix = text.partition(" ")
    return engine.PlannedPayment(engine.PaymentType[kind.upper()], prefix)


def read_facts(plain: Plain) -> engine.Facts:
    member = plain.get("member")
    return engine.Facts(
        store=engine.Store(plain.get("region", ""), plain.get("format", "")),
        articles={sku: _read_article(one) for sku, one in plain.get("articles", {}).items()},
        member=None if member is None else _read_member(member),
        remaining={name: _read_remaining(one) for name, one in plain.get("left", {}).items()},
        terms=_read_terms(plain.get("terms", {})),
        identity_answered=not plain.get("identity_is_away", False),
    )


def _read_article(plain: Plain) -> engine.Article:
    return engine.Article(
        category_ids=_names(plain.get("categories", [])),
        brand=plain.get("brand", ""),
        tags=_names(plain.get("tags", [])),
        floor_price_minor=money(plain.get("never_below", 0)),
        weighed=plain.get("by_weight", False),
        earning_excluded=plain.get("earns_nothing", False),
        points_payment_excluded=plain.get("not_for_points", False),
    )


def _read_member(plain: Plain) -> engine.Member:
    return engine.Member(
        member_id="mem_1",
        segment_ids=_names(plain.get("segments", [])),
        purchases_before=plain.get("purchases_before"),
        points_balance=plain.get("points"),
        tier_ids=_names(plain.get("tiers", [])),
        attributes=plain.get("says", {}),
        dates={name: date.fromisoformat(day) for name, day in plain.get("dates", {}).items()},
        last_purchase_time=read_moment(plain["bought"]) if "bought" in plain else None,
    )


def _read_remaining(plain: Plain) -> engine.Remaining:
    return engine.Remaining(
        uses=plain.get("uses"),
        member_uses=plain.get("per_member"),
        budget_minor=money(plain["budget"]) if "budget" in plain else None,
        coupons=plain.get("coupons"),
        stamps=plain.get("stamps"),
    )


def _read_terms(plain: Plain) -> engine.PointsTerms:
    return engine.PointsTerms(
        point_value_minor=money(plain.get("point_worth", "1.00")),
        point_units=10 ** plain.get("decimals", 0),
        points_scale=plain.get("decimals", 0),
        payment_share_max_basis_points=money(plain.get("share_max", 100)),
    )
