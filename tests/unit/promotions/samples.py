"""Random campaigns, carts and facts over a small world, so that they meet often."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from services.promotions import engine

NOW = datetime(2026, 3, 6, 17, 30, tzinfo=UTC)
SKUS = ["ale", "bun", "cod", "dip"]
CATEGORIES = ["drinks", "food", "fish", "bakery"]
BRANDS = ["", "Kolo", "Sad"]
TAGS = ["own", "new"]
STORES = ["S1", "S2"]
SEGMENTS = ["vip", "staff"]
TIERS = ["base", "gold"]
PLANS = ["plus"]
PRICES = st.sampled_from([0, 1, 99, 250, 333, 700])
CODES = ["CODE-A", "code-b", "CODE-C", "CODE-D", "CODE-E"]
ODD_CODES = [*CODES, "code-a", "NONE"]


def some(names, *, at_most=2):
    return st.frozensets(st.sampled_from(names), max_size=at_most)


def rarely(strategy, default):
    """Return the default four times out of five, so that several campaigns meet in one cart."""
    return st.integers(0, 4).flatmap(lambda dice: strategy if dice == 0 else st.just(default))


filters = st.one_of(
    st.just(engine.ItemFilter()),
    st.just(engine.ItemFilter()),
    st.builds(engine.ItemFilter, skus=some(SKUS)),
    st.builds(engine.ItemFilter, category_ids=some(CATEGORIES)),
    st.builds(
        engine.ItemFilter,
        brands=some(BRANDS[1:], at_most=1),
        tags=some(TAGS, at_most=1),
        exclude_skus=some(SKUS, at_most=1),
        exclude_category_ids=some(CATEGORIES, at_most=1),
    ),
    st.builds(
        engine.ItemFilter,
        unit_price_min_minor=st.integers(0, 300),
        unit_price_max_minor=st.integers(300, 900),
    ),
    st.builds(
        engine.ItemFilter,
        price_state=st.sampled_from(engine.PriceState),
        kinds=some(list(engine.LineKind)),
    ),
)

goods_leaves = st.one_of(
    st.builds(engine.BasketTotal, st.integers(1, 3_000), filters, st.sampled_from(engine.Basis)),
    st.builds(engine.ItemGroup, filters, st.integers(1, 5_000), st.integers(0, 1_000)),
    st.builds(engine.DistinctItems, st.integers(1, 4), filters),
    st.builds(engine.PurchaseNumber, st.integers(1, 3)),
    st.builds(engine.PurchaseNumber, st.just(0), st.integers(1, 3)),
    st.builds(engine.EveryLine, filters, filters, st.integers(0, 300)),
    st.builds(
        engine.PaymentPlan,
        st.just(frozenset({engine.PaymentType.CARD})),
        some(["22", "4000"], at_most=1),
    ),
)
profile_leaves = st.one_of(
    st.builds(
        engine.Attribute,
        st.sampled_from(["flag", "level"]),
        st.just(engine.AttributeTest.IN),
        st.sampled_from([("a",), ("a", "7")]),
        st.sampled_from(engine.AttributeSource),
    ),
    st.builds(
        engine.MemberDate,
        name=st.just("birth"),
        days_from=st.integers(-9, 0),
        days_to=st.integers(0, 9),
        yearly=st.just(True),  # noqa: FBT003 - a strategy
    ),
    st.builds(engine.MemberDate, st.just("joined"), st.integers(-9, 0), st.integers(0, 9)),
    st.builds(engine.LastPurchase, st.integers(0, 40), st.sampled_from([0, 50]), st.booleans()),
)


def trees(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(engine.AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(engine.AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(engine.Not, inner),
        ),
        max_leaves=4,
    )


goods_conditions = trees(goods_leaves)
conditions = trees(st.one_of(goods_leaves, goods_leaves, profile_leaves))

percents = st.sampled_from([1, 333, 1_000, 2_550, 5_000, 9_999, 10_000])
discounts = st.one_of(
    st.builds(engine.PercentOff, percents),
    st.builds(
        engine.PercentOff,
        percents,
        st.sampled_from(engine.Rounding),
        st.sampled_from(engine.RoundingUnit),
    ),
    st.builds(engine.AmountOff, st.integers(1, 700), st.sampled_from(engine.AmountSpread)),
    st.builds(
        engine.AmountOff,
        st.integers(1, 700),
        st.just(engine.AmountSpread.ACROSS),
        st.sampled_from(engine.ShareBy),
    ),
    st.builds(engine.FixedPrice, st.integers(0, 500)),
)
gifts = st.one_of(
    st.builds(
        engine.GiftItems,
        st.just((engine.GiftItem("cup", 1, 150), engine.GiftItem("bun", 2, 99))),
        choose=st.sampled_from([0, 0, 1]),
        add_missing=st.booleans(),
        times_max=st.sampled_from([0, 2]),
        on_return=st.sampled_from(engine.GiftReturn),
    ),
    st.builds(
        engine.GiftItems,
        st.just((engine.GiftItem("cup", 1, 150), engine.GiftItem("bun", 2, 99))),
        choose=st.sampled_from([0, 0, 1]),
        add_missing=st.just(value=True),
        basis_points=st.integers(1, 10_000),
    ),
    st.builds(
        engine.GiftItems,
        st.just((engine.GiftItem("cup", 1, 150),)),
        spread=st.just(engine.GiftSpread.EACH_UNITS),
        step_units=st.integers(1, 2),
        on_return=st.sampled_from(engine.GiftReturn),
    ),
)
goods_rewards = st.one_of(
    discounts,
    discounts,
    discounts,
    st.builds(engine.SetPrice, st.integers(0, 1_500)),
    st.builds(
        engine.PriceList,
        st.just((engine.ArticlePrice("ale", 90), engine.ArticlePrice("cod", 300))),
    ),
    st.builds(engine.Upgrade, st.just("bun"), st.just("cod"), st.sampled_from([0, 120])),
    gifts,
)
earns = st.one_of(
    st.builds(
        engine.EarnPercent,
        st.integers(1, 20_000),
        st.lists(
            st.builds(engine.EarnMultiplier, filters, st.sampled_from([0, 50, 200, 300])),
            max_size=2,
        ).map(tuple),
    ),
    st.builds(
        engine.EarnPoints,
        st.integers(1, 50),
        st.sampled_from([engine.PointsSpread.ONCE, engine.PointsSpread.EACH_UNIT]),
        st.just(0),
        st.sampled_from([0, 14]),
    ),
    st.builds(
        engine.EarnPoints,
        st.integers(1, 50),
        st.just(engine.PointsSpread.EACH_STEP),
        st.integers(1, 900),
        st.just(0),
        st.sampled_from(engine.EarnBasis),
    ),
    st.builds(engine.MultiplyPoints, st.sampled_from([150, 200, 333])),
    st.builds(
        engine.EarnStamps,
        st.sampled_from(["coffee", "tea"]),
        st.integers(1, 3),
        st.sampled_from([engine.PointsSpread.ONCE, engine.PointsSpread.EACH_UNIT]),
    ),
    st.builds(engine.IssueCoupon, st.just("cmp_later"), bearer=st.booleans()),
)

orders = st.sampled_from(engine.PickOrder)
picks = st.builds(
    engine.Pick,
    order=orders,
    count_max=st.sampled_from([0, 1, 2, 3]),
    units_per_line_max=st.sampled_from([0, 0, 0, 1, 2]),
    skip=st.sampled_from([0, 0, 1]),
    every=st.sampled_from([0, 0, 2]),
    by=st.sampled_from([engine.PickBy.UNIT, engine.PickBy.UNIT, engine.PickBy.LINE]),
)
set_picks = st.builds(
    engine.Pick,
    order=orders,
    count_max=st.sampled_from([0, 1, 1, 2]),
    skip=st.sampled_from([0, 0, 1]),
    every=st.sampled_from([0, 0, 2]),
    scope=st.sampled_from(engine.PickScope),
    total_max=st.sampled_from([0, 0, 1, 3]),
)
beside_picks = st.builds(
    engine.Pick,
    order=orders,
    count_max=st.sampled_from([0, 1, 2]),
    total_max=st.sampled_from([0, 0, 1]),
)
groups = st.one_of(
    st.builds(engine.UnitGroup, filters, st.integers(1, 3), st.just(0), orders),
    st.builds(engine.UnitGroup, filters, st.integers(1, 2), st.just(0), orders),
    st.builds(engine.UnitGroup, filters, st.just(0), st.integers(1, 1_500), orders),
)
multi_buys = st.builds(
    engine.MultiBuy,
    st.lists(groups, min_size=1, max_size=3).map(tuple),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from(engine.Sharing),
)
set_discounts = st.one_of(discounts, st.builds(engine.SetPrice, st.integers(0, 1_500)))

windows = (
    st.tuples(st.integers(0, 1_439), st.integers(0, 1_440))
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: engine.HourWindow(*pair))
)
validities = st.one_of(
    st.builds(
        engine.Validity,
        start_time=st.sampled_from([None, NOW, NOW + timedelta(seconds=1)]),
        end_time=st.sampled_from([NOW + timedelta(days=1), NOW + timedelta(days=9)]),
    ),
    st.builds(
        engine.Validity,
        weekdays=st.frozensets(st.integers(1, 7)),
        hours=st.lists(windows, max_size=2).map(tuple),
    ),
)
audiences = st.one_of(
    st.builds(engine.Audience, membership=st.just(engine.Membership.MEMBERS)),
    st.builds(engine.Audience, store_ids=some(STORES), exclude_store_ids=some(STORES, at_most=1)),
    st.builds(engine.Audience, region_ids=some(["north"]), format_ids=some(["hyper", ""])),
    st.builds(engine.Audience, tier_ids=some(TIERS, at_most=1)),
    st.builds(engine.Audience, plan_ids=some(PLANS)),
    st.builds(engine.Audience, channels=st.frozensets(st.sampled_from(engine.Channel), max_size=3)),
    st.builds(
        engine.Audience,
        segment_ids=some(SEGMENTS, at_most=1),
        exclude_segment_ids=some(SEGMENTS, at_most=1),
    ),
)
limits = st.builds(
    engine.Limits,
    uses_max=st.sampled_from([0, 5]),
    uses_per_member_max=st.sampled_from([0, 2]),
    budget_minor=st.sampled_from([0, 900]),
    rest=st.sampled_from(engine.BudgetRest),
    units_max=st.sampled_from([0, 0, 4]),
    units_per_article_max=st.sampled_from([0, 0, 2]),
    units_per_member_max=st.sampled_from([0, 0, 0, 3]),
)


LANES = (
    engine.Lane.ITEM,
    engine.Lane.ITEM,
    engine.Lane.MULTI_BUY,
    engine.Lane.MULTI_BUY,
    engine.Lane.MULTI_BUY,
    engine.Lane.RECEIPT,
    engine.Lane.COUPON,
    engine.Lane.EARN,
    engine.Lane.EARN,
)


points_prices = st.builds(engine.PointsPrice, st.integers(1, 400))
stamp_prices = st.builds(engine.StampPrice, st.just("coffee"), st.integers(1, 3))
ties: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.builds(
        dict,
        contest=st.just("sides"),
        side=st.sampled_from(["left", "right"]),
    ),
    st.builds(dict, stop_lanes=some(list(engine.Lane))),
    st.builds(dict, labels=some(["red", "blue"], at_most=1)),
    st.builds(dict, incompatible_labels=some(["red", "blue"], at_most=1)),
)


def _scale_up(draw, rules):
    """Return rules that give their rewards in two steps, the second one twice as good."""
    measure = draw(st.sampled_from(engine.ScaleMeasure))
    step = 600 if measure is engine.ScaleMeasure.AMOUNT else 2
    more = tuple(dataclasses.replace(one, kind=engine.PercentOff(4_000)) for one in rules.rewards)
    scale = engine.Scale(
        measure,
        (engine.Step(1, rules.rewards), engine.Step(step, more)),
        draw(filters),
        draw(st.sampled_from(engine.Basis)),
        each_line=draw(st.booleans()),
    )
    return dataclasses.replace(rules, rewards=(), scale=scale)


@st.composite
def rulebooks(draw, lanes=LANES, *, groups=("best", "")):
    """Return up to six campaigns that may go live together."""
    campaigns = []
    for place in range(draw(st.integers(1, 6))):
        lane = draw(st.sampled_from(lanes))
        kinds = earns if lane is engine.Lane.EARN else goods_rewards
        pick = st.none() if lane is engine.Lane.EARN else rarely(picks, None)
        reward = st.builds(
            engine.Reward,
            kinds,
            filters,
            rarely(st.integers(1, 300), 0),
            pick,
            floor_rest=st.sampled_from(engine.FloorRest),
        )
        multi_buy = None
        if lane is engine.Lane.MULTI_BUY and draw(st.integers(0, 3)):
            multi_buy = draw(multi_buys)
            bound = rarely(st.integers(1, 300), 0)
            reward = st.one_of(
                st.builds(
                    engine.Reward,
                    set_discounts,
                    rarely(filters, engine.ItemFilter()),
                    bound,
                    st.one_of(st.none(), set_picks),
                    st.frozensets(st.integers(0, len(multi_buy.groups) - 1), max_size=2).map(
                        lambda places: tuple(sorted(places))
                    ),
                ),
                st.builds(
                    engine.Reward,
                    set_discounts,
                    filters,
                    bound,
                    st.one_of(st.none(), beside_picks),
                    outside_sets=st.booleans(),
                    all_goods=st.booleans(),
                ),
            )
        rules = engine.Rules(
            title=engine.Text(f"Campaign {place}", f"Акция {place}"),
            rewards=draw(rarely(st.tuples(reward, reward), None)) or (draw(reward),),
            combination=engine.Combination(
                lane=lane,
                exclusive_group=draw(st.sampled_from(groups)),
                priority=draw(st.integers(-1, 1)),
                basis=draw(st.sampled_from(engine.Basis)),
                stop=draw(st.integers(0, 9)) == 0,
                reuse=draw(rarely(st.sampled_from(engine.Reuse), engine.Reuse.NONE))
                if multi_buy
                else engine.Reuse.NONE,
                group_choice=draw(st.sampled_from(engine.GroupChoice)),
                group_max=draw(st.sampled_from([0, 0, 1, 2])),
                **draw(rarely(ties, {})),
            ),
            multi_buy=multi_buy,
            trigger=(
                engine.CouponTrigger((f"CODE-{'ABCDEF'[place]}",), draw(st.booleans()))
                if lane is engine.Lane.COUPON
                else engine.AutomaticTrigger()
            ),
            validity=draw(rarely(validities, engine.Validity())),
            audience=draw(rarely(audiences, engine.Audience())),
            condition=draw(st.one_of(st.none(), conditions)),
            limits=draw(rarely(limits, engine.Limits())),
            stamp_price=draw(rarely(stamp_prices, None)),
            points_price=draw(rarely(points_prices, None)),
        )
        if draw(st.integers(0, 4)) == 0 and lane is not engine.Lane.EARN:
            rules = _scale_up(draw, rules)
        if not engine.find_problems(rules):
            campaigns.append(engine.Campaign(f"cmp_{place}", place + 1, rules))
    return campaigns


@st.composite
def carts(draw, *, whole_units=False):
    quantities = st.integers(1, 4).map(lambda count: count * 1_000)
    if not whole_units:
        quantities = st.one_of(quantities, st.integers(1, 4_000))
    lines = draw(
        st.lists(
            st.tuples(
                st.sampled_from(SKUS),
                quantities,
                PRICES,
                rarely(st.sampled_from(engine.LineKind), engine.LineKind.GOODS),
                rarely(st.just(900), 0),
            ),
            min_size=1,
            max_size=7,
        )
    )
    return engine.Cart(
        store_id="S1",
        channel=draw(rarely(st.sampled_from(engine.Channel), engine.Channel.TILL)),
        currency_code="EUR",
        lines=tuple(engine.CartLine(f"L{place}", *values) for place, values in enumerate(lines)),
        coupon_codes=tuple(
            draw(rarely(st.lists(st.sampled_from([*CODES, "code-a", "NONE"])), CODES))
        ),
        points_payment_minor=draw(st.sampled_from([0, 100, 550, 5_000])),
        gift_choices=draw(rarely(st.just({"cmp_0": ("bun",), "cmp_1": ("cup", "bun")}), {})),
        codes_all_or_none=draw(rarely(st.just(value=True), default=False)),
        attributes=draw(st.sampled_from([{}, {"flag": "a"}, {"flag": "b", "level": "7"}])),
        planned_payments=draw(
            st.sampled_from([(), (engine.PlannedPayment(engine.PaymentType.CARD, "220012"),)])
        ),
    )


articles = st.builds(
    engine.Article,
    category_ids=some(CATEGORIES, at_most=3),
    brand=st.sampled_from(BRANDS),
    tags=some(TAGS),
    floor_price_minor=rarely(st.integers(1, 300), 0),
    weighed=rarely(st.booleans(), default=False),
    earning_excluded=rarely(st.booleans(), default=False),
    points_payment_excluded=rarely(st.booleans(), default=False),
)
members = st.builds(
    engine.Member,
    st.just("mem_1"),
    segment_ids=some(SEGMENTS),
    plan_ids=some(PLANS),
    tier_ids=some(TIERS, at_most=1),
    purchases_before=st.sampled_from([None, 0, 1, 2, 3]),
    points_balance=st.sampled_from([None, 0, 7, 500, 3_000, 90_000]),
    attributes=st.sampled_from([{}, {"flag": "a"}]),
    dates=st.sampled_from([{}, {"birth": date(4, 2, 29)}, {"joined": date(2026, 3, 4)}]),
    last_purchase_time=st.sampled_from([None, NOW - timedelta(days=45)]),
    stamps=st.sampled_from([None, {}, {"coffee": 1}, {"coffee": 7, "tea": 2}]),
)
lefts = st.builds(
    engine.Remaining,
    uses=rarely(st.sampled_from([None, 0]), 3),
    member_uses=rarely(st.sampled_from([None, 0]), 1),
    budget_minor=st.sampled_from([None, 0, 50, 120, 800]),
    coupons=rarely(st.sampled_from([None, 0]), 1),
    units=st.sampled_from([None, 0, 3]),
    article_units=st.sampled_from([None, {}, {"ale": 1, "bun": 2}]),
    member_units=st.sampled_from([None, 0, 2]),
)
caps = st.builds(
    engine.ReceiptCap, st.sampled_from([10_000, 10_000, 5_000, 3_333]), st.sampled_from([0, 0, 700])
)
terms = st.builds(
    engine.PointsTerms,
    point_value_minor=st.sampled_from([1, 1, 10, 100]),
    point_units=st.sampled_from([1, 10, 100]),
    points_scale=st.sampled_from([0, 2]),
    payment_share_max_basis_points=st.sampled_from([0, 3_000, 5_000, 9_900, 10_000]),
)


@st.composite
def facts(draw):
    member = draw(rarely(st.none(), ...))
    member = draw(members) if member is ... else None
    return engine.Facts(
        store=engine.Store(
            draw(st.sampled_from(["north", ""])), draw(st.sampled_from(["hyper", ""]))
        ),
        articles=draw(st.fixed_dictionaries(dict.fromkeys(SKUS[1:], articles))),
        member=member,
        remaining={f"cmp_{place}": draw(lefts) for place in range(6)},
        terms=draw(terms),
        cap=draw(rarely(caps, engine.ReceiptCap())),
        identity_answered=member is not None or draw(st.booleans()),
    )
