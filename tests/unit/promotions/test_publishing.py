"""Publishing: what may go live, what may not, and why."""

import dataclasses
from datetime import UTC, datetime

import pytest

from services.promotions import engine
from tools.bench import promotions as bench

_NOW = datetime(2026, 3, 6, tzinfo=UTC)


def _rules(**changes):
    rules = engine.Rules(
        title=engine.Text("Test"),
        rewards=(engine.Reward(engine.PercentOff(1_000)),),
        combination=engine.Combination(engine.Lane.ITEM),
    )
    return dataclasses.replace(rules, **changes)


def _nested(levels):
    condition: engine.Condition = engine.BasketTotal(1)
    for _ in range(levels - 1):
        condition = engine.Not(condition)
    return condition


_EARN = engine.Combination(engine.Lane.EARN)
_PERCENT = (engine.Reward(engine.PercentOff(1_000)),)
_POINTS = (engine.Reward(engine.EarnPercent(500)),)
_FEW = frozenset({"a"})
_SETS = engine.Combination(engine.Lane.MULTI_BUY)
_REUSE = "combination.reuse"
_ALL_SETS = engine.PickScope.ALL_SETS
_EARNING = {"combination": _EARN}


def _pair(**changes):
    return engine.MultiBuy((engine.UnitGroup(units=2),), **changes)


_PAIR = _pair()
_IN_SETS = {"multi_buy": _PAIR, "combination": _SETS}


_ITEM = engine.Lane.ITEM
_PRICE = engine.ArticlePrice("a", 1)
_CUP = engine.GiftItem("cup", 1)
_EACH_UNIT = engine.AmountSpread.EACH_UNIT
_ONCE = engine.PointsSpread.ONCE
_AT_LEAST = engine.AttributeTest.AT_LEAST
_EVERY_LINE = "condition.every_line.amount_max_minor"


def _scale(*steps, **changes):
    made = tuple(engine.Step(begin, rewards) for begin, rewards in steps)
    return engine.Scale(engine.ScaleMeasure.AMOUNT, made, **changes)


def _rewarded(kind=_PERCENT[0].kind, **changes):
    return {"rewards": (engine.Reward(kind, **changes),)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": engine.Text("", "Только по-русски")}, "title.en"),
        ({"trigger": engine.CouponTrigger(())}, "trigger.coupon.codes"),
        ({"trigger": engine.CouponTrigger(("ONE", "two", "Two"))}, "trigger.coupon.codes[2]"),
        ({"combination": engine.Combination(engine.Lane.COUPON)}, "combination.lane"),
        (
            {"combination": engine.Combination(engine.Lane.ITEM, priority=1_001)},
            "combination.priority",
        ),
        ({"validity": engine.Validity(_NOW, _NOW)}, "validity.period"),
        ({"validity": engine.Validity(_NOW.replace(tzinfo=None))}, "validity.period.start_time"),
        ({"validity": engine.Validity(weekdays=frozenset({0}))}, "validity.weekdays"),
        ({"validity": engine.Validity(hours=(engine.HourWindow(5, 5),))}, "validity.hours[0]"),
        ({"validity": engine.Validity(hours=(engine.HourWindow(1_440, 5),))}, "validity.hours[0]"),
        (
            {"audience": engine.Audience(store_ids=_FEW, exclude_store_ids=_FEW)},
            "audience.exclude_store_ids",
        ),
        (
            {"audience": engine.Audience(segment_ids=_FEW, exclude_segment_ids=_FEW)},
            "audience.exclude_segment_ids",
        ),
        ({"condition": _nested(7)}, "condition"),
        ({"condition": engine.AllOf((engine.BasketTotal(1),) * 100)}, "condition"),
        ({"condition": engine.AllOf(())}, "condition.all.conditions"),
        ({"condition": engine.Not(engine.AnyOf(()))}, "condition.not.any.conditions"),
        (
            {"condition": engine.AllOf((engine.BasketTotal(5), engine.BasketTotal(0)))},
            "condition.all.conditions[1].basket_total.amount_min_minor",
        ),
        ({"condition": engine.ItemGroup()}, "condition.item_group"),
        ({"condition": engine.DistinctItems(0)}, "condition.distinct_items.count_min"),
        ({"condition": engine.PurchaseNumber()}, "condition.purchase_number"),
        ({"condition": engine.PurchaseNumber(1, 2)}, "condition.purchase_number"),
        (
            {"condition": engine.BasketTotal(1, engine.ItemFilter(skus=_FEW, exclude_skus=_FEW))},
            "condition.basket_total.filter.exclude_skus",
        ),
        ({"rewards": ()}, "rewards"),
        ({"rewards": _PERCENT * 11}, "rewards"),
        ({"rewards": _PERCENT + _POINTS}, "rewards[1].earn_percent"),
        ({"combination": _EARN}, "rewards[0].percent_off"),
        (
            {"rewards": (engine.Reward(engine.PercentOff(0)),)},
            "rewards[0].percent_off.basis_points",
        ),
        (
            {"rewards": (engine.Reward(engine.PercentOff(10_001)),)},
            "rewards[0].percent_off.basis_points",
        ),
        (
            {"rewards": (engine.Reward(engine.AmountOff(0, engine.AmountSpread.ACROSS)),)},
            "rewards[0].amount_off.amount_minor",
        ),
        (
            {"rewards": (engine.Reward(engine.FixedPrice(-1)),)},
            "rewards[0].fixed_price.unit_price_minor",
        ),
        ({"rewards": (dataclasses.replace(_PERCENT[0], amount_max=-1),)}, "rewards[0].amount_max"),
        (
            {
                "rewards": (
                    engine.Reward(
                        engine.PercentOff(1),
                        engine.ItemFilter(
                            frozenset(), unit_price_min_minor=2, unit_price_max_minor=1
                        ),
                    ),
                )
            },
            "rewards[0].target.unit_price_max_minor",
        ),
        (
            {"combination": _EARN, "rewards": (engine.Reward(engine.EarnPercent(0)),)},
            "rewards[0].earn_percent.basis_points",
        ),
        (
            {
                "combination": _EARN,
                "rewards": (
                    engine.Reward(
                        engine.EarnPercent(1, (engine.EarnMultiplier(engine.ItemFilter(), -1),))
                    ),
                ),
            },
            "rewards[0].earn_percent.multipliers[0].factor_hundredths",
        ),
        (
            {
                "combination": _EARN,
                "rewards": (engine.Reward(engine.EarnPoints(5, engine.PointsSpread.EACH_STEP)),),
            },
            "rewards[0].earn_points.step_minor",
        ),
        (
            {
                "combination": _EARN,
                "rewards": (engine.Reward(engine.EarnPoints(5, engine.PointsSpread.ONCE, 7)),),
            },
            "rewards[0].earn_points.step_minor",
        ),
        ({"limits": engine.Limits(uses_max=-1)}, "limits.uses_max"),
        (
            {"combination": _EARN, "rewards": _POINTS, "limits": engine.Limits(budget_minor=1)},
            "limits.budget_minor",
        ),
        ({"combination": engine.Combination(_SETS.lane, reuse=engine.Reuse.BOTH)}, _REUSE),
        ({"multi_buy": _PAIR}, "multi_buy"),
        ({"multi_buy": engine.MultiBuy(()), "combination": _SETS}, "multi_buy.groups"),
        ({"multi_buy": _pair(sets_max=1_001), "combination": _SETS}, "multi_buy.sets_max"),
        (
            {"multi_buy": engine.MultiBuy((engine.UnitGroup(),)), "combination": _SETS},
            "multi_buy.groups[0]",
        ),
        (
            {"multi_buy": engine.MultiBuy((engine.UnitGroup(units=10_001),)), "combination": _SETS},
            "multi_buy.groups[0].units",
        ),
        (_rewarded(groups=(0,)), "rewards[0].groups"),
        (_rewarded(pick=engine.Pick(scope=_ALL_SETS)), "rewards[0].pick.scope"),
        (_rewarded(pick=engine.Pick(skip=-1)), "rewards[0].pick.skip"),
        (
            _rewarded(pick=engine.Pick(by=engine.PickBy.LINE, units_per_line_max=1)),
            "rewards[0].pick.units_per_line_max",
        ),
        (
            {"rewards": (engine.Reward(_POINTS[0].kind, pick=engine.Pick()),), **_EARNING},
            "rewards[0].pick",
        ),
        ({**_rewarded(groups=(1,)), **_IN_SETS}, "rewards[0].groups"),
        ({**_rewarded(groups=(0, 0)), **_IN_SETS}, "rewards[0].groups"),
        ({**_rewarded(engine.SetPrice(-1)), **_IN_SETS}, "rewards[0].set_price.price_minor"),
        (
            {**_rewarded(engine.AmountOff(1, engine.AmountSpread.EACH_LINE)), **_IN_SETS},
            "rewards[0].amount_off.spread",
        ),
        (
            {**_rewarded(pick=engine.Pick(by=engine.PickBy.LINE)), **_IN_SETS},
            "rewards[0].pick.by",
        ),
        (
            {**_rewarded(pick=engine.Pick(units_per_line_max=1)), **_IN_SETS},
            "rewards[0].pick.units_per_line_max",
        ),
        (
            {**_rewarded(engine.SetPrice(1), pick=engine.Pick(scope=_ALL_SETS)), **_IN_SETS},
            "rewards[0].pick.scope",
        ),
        (_rewarded(engine.PriceList(())), "rewards[0].price_list.prices"),
        (_rewarded(engine.PriceList((_PRICE, _PRICE))), "rewards[0].price_list.prices"),
        (_rewarded(engine.Upgrade("a", "a")), "rewards[0].upgrade.to_sku"),
        (_rewarded(engine.GiftItems((_CUP, _CUP))), "rewards[0].gift_items.items"),
        (_rewarded(engine.GiftItems((_CUP,), choose=2)), "rewards[0].gift_items.choose"),
        (
            _rewarded(engine.GiftItems((_CUP,), spread=engine.GiftSpread.EACH_UNITS)),
            "rewards[0].gift_items.step_units",
        ),
        (
            _rewarded(engine.GiftItems((_CUP,), on_return=engine.GiftReturn.DEDUCT)),
            "rewards[0].gift_items.items",
        ),
        (_rewarded(engine.GiftItems((_CUP,)), pick=engine.Pick()), "rewards[0].pick"),
        *[
            (
                _rewarded(engine.GiftItems((_CUP,), add_missing=missing, basis_points=off)),
                "rewards[0].gift_items.basis_points",
            )
            for missing, off in ((True, -1), (True, 10_001), (False, 5_000))
        ],
        (
            _rewarded(engine.AmountOff(1, _EACH_UNIT, engine.ShareBy.QUANTITY)),
            "rewards[0].amount_off.share_by",
        ),
        (_rewarded(pick=engine.Pick(total_max=1)), "rewards[0].pick.total_max"),
        ({**_rewarded(pick=engine.Pick(total_max=-1)), **_IN_SETS}, "rewards[0].pick.total_max"),
        (_rewarded(all_goods=True), "rewards[0].all_goods"),
        ({**_rewarded(all_goods=True, groups=(0,)), **_IN_SETS}, "rewards[0].all_goods"),
        ({**_rewarded(all_goods=True, outside_sets=True), **_IN_SETS}, "rewards[0].all_goods"),
        (
            {**_rewarded(engine.GiftItems((_CUP,)), all_goods=True), **_IN_SETS},
            "rewards[0].all_goods",
        ),
        (_rewarded(outside_sets=True), "rewards[0].outside_sets"),
        ({**_rewarded(outside_sets=True, groups=(0,)), **_IN_SETS}, "rewards[0].outside_sets"),
        *[
            ({**_rewarded(outside_sets=True, pick=pick), **_IN_SETS}, "rewards[0].pick")
            for pick in (
                engine.Pick(skip=1),
                engine.Pick(every=2),
                engine.Pick(units_per_line_max=1),
                engine.Pick(by=engine.PickBy.LINE),
                engine.Pick(scope=engine.PickScope.ALL_SETS),
            )
        ],
        ({**_rewarded(engine.PriceList((_PRICE,))), **_IN_SETS}, "rewards[0]"),
        (
            {**_rewarded(engine.GiftItems((_CUP,), add_missing=True)), **_IN_SETS},
            "rewards[0].gift_items",
        ),
        ({"multi_buy": _pair(partial=True), "combination": _SETS}, "multi_buy.partial"),
        (
            {**_rewarded(engine.EarnStamps("", 1, _ONCE)), **_EARNING},
            "rewards[0].earn_stamps.stamps",
        ),
        (
            {**_rewarded(engine.MultiplyPoints(100)), **_EARNING},
            "rewards[0].multiply_points.factor_hundredths",
        ),
        ({**_rewarded(engine.IssueCoupon("")), **_EARNING}, "rewards[0].issue_coupon"),
        ({"scale": _scale((1, _PERCENT))}, "rewards"),
        ({"rewards": (), "scale": _scale()}, "scale.steps"),
        ({"rewards": (), "scale": _scale((5, _PERCENT), (5, _PERCENT))}, "scale.steps"),
        ({"rewards": (), "scale": _scale((1, ()))}, "scale.steps[0].rewards"),
        (
            {"rewards": (), "scale": _scale((1, _PERCENT), progressive=True, each_line=True)},
            "scale.progressive",
        ),
        (
            {"rewards": (), "scale": _scale((1, _PERCENT * 2), progressive=True)},
            "scale.steps[0].rewards",
        ),
        ({"stamp_price": engine.StampPrice("coffee", 0)}, "stamp_price"),
        ({"points_price": engine.PointsPrice(0)}, "points_price.points"),
        ({"points_price": engine.PointsPrice(1_000_000_001)}, "points_price.points"),
        (
            {"stamp_price": engine.StampPrice("tea", 1), "points_price": engine.PointsPrice(5)},
            "points_price",
        ),
        (
            {
                "rewards": (),
                "scale": _scale((1, _PERCENT)),
                "points_price": engine.PointsPrice(5),
            },
            "points_price",
        ),
        ({"combination": engine.Combination(_ITEM, contest="x")}, "combination.side"),
        (
            {"combination": engine.Combination(_ITEM, labels=_FEW, incompatible_labels=_FEW)},
            "combination.incompatible_labels",
        ),
        ({"limits": engine.Limits(uses_max=1, count_sets=True)}, "limits.count_sets"),
        ({"limits": engine.Limits(count_without_effect=True)}, "limits.count_without_effect"),
        ({"limits": engine.Limits(units_max=-1)}, "limits.units_max"),
        (
            {**_rewarded(engine.GiftItems((_CUP,))), "limits": engine.Limits(units_max=1)},
            "limits.units_max",
        ),
        (
            {**_IN_SETS, "limits": engine.Limits(units_per_article_max=1)},
            "limits.units_per_article_max",
        ),
        ({"condition": engine.EveryLine(amount_min_minor=2, amount_max_minor=1)}, _EVERY_LINE),
        ({"condition": engine.Attribute("a", _AT_LEAST, ("x",))}, "condition.attribute.values"),
        (
            {"condition": engine.Attribute("a", engine.AttributeTest.PRESENT, ("x",))},
            "condition.attribute.values",
        ),
        ({"condition": engine.MemberDate("birth", 1, 0)}, "condition.member_date.days_to"),
        ({"condition": engine.MemberDate("birth", 0, 9)}, "condition.member_date.yearly"),
        (
            {"condition": engine.MemberDate("birth", 0, 200, yearly=True)},
            "condition.member_date.days_to",
        ),
        ({"condition": engine.LastPurchase(5, 4)}, "condition.last_purchase.days_max"),
        ({"condition": engine.PaymentPlan()}, "condition.payment_plan"),
    ],
)
def test_what_cannot_work_is_named_by_its_field(changes, field):
    """A campaign with one fault has one problem, and its field is the contract's path."""
    assert [problem.field for problem in engine.find_problems(_rules(**changes))] == [field]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"condition": _nested(6)},
        {"condition": engine.AllOf((engine.BasketTotal(1),) * 99)},
        {"trigger": engine.CouponTrigger(("ONE",))},
        {"combination": _EARN, "rewards": _POINTS, "limits": engine.Limits(uses_max=1)},
    ],
)
def test_what_works_has_no_problems(changes):
    """Bounds themselves are allowed."""
    assert engine.find_problems(_rules(**changes)) == []


_TOTAL = engine.BasketTotal
_MILK, _BREAD = (engine.ItemFilter(skus=frozenset({one})) for one in ("milk", "bread"))


@pytest.mark.parametrize(
    ("condition", "places"),
    [
        (engine.AllOf((_TOTAL(5), engine.Not(_TOTAL(5)))), ("[1].not", "[0]")),
        (engine.AllOf((engine.Not(_TOTAL(4)), _TOTAL(5))), ("[1]", "[0].not")),
        (
            engine.AllOf((_TOTAL(5), engine.Not(engine.AnyOf((_TOTAL(9), _TOTAL(2)))))),
            ("[1].not.any.conditions[1]", "[0]"),
        ),
        (
            engine.AllOf((_TOTAL(5), engine.AllOf((engine.Not(_TOTAL(5)),)))),
            ("[1].all.conditions[0].not", "[0]"),
        ),
        (
            engine.AllOf(
                (engine.ItemGroup(_MILK, 2_000), engine.Not(engine.ItemGroup(_MILK, 1_000)))
            ),
            ("[1].not", "[0]"),
        ),
        (
            engine.AllOf((engine.DistinctItems(3), engine.Not(engine.DistinctItems(2)))),
            ("[1].not", "[0]"),
        ),
        (engine.AllOf((engine.PurchaseNumber(1), engine.PurchaseNumber(2))), ("[1]", "[0]")),
        (engine.AllOf((engine.LastPurchase(31, 0), engine.LastPurchase(0, 30))), ("[1]", "[0]")),
    ],
)
def test_a_condition_that_no_cart_can_meet_is_told_with_both_places(condition, places):
    """Asking for a thing and for its opposite is a slip, at whatever depth."""
    (problem,) = engine.find_problems(_rules(condition=condition))
    field, other = (f"condition.all.conditions{place}" for place in places)
    assert (problem.field, problem.problem) == (field, f"cannot hold together with {other}")


@pytest.mark.parametrize(
    "condition",
    [
        engine.AllOf((_TOTAL(5), engine.Not(_TOTAL(9)))),
        engine.AllOf((_TOTAL(5, _MILK), engine.Not(_TOTAL(5, _BREAD)))),
        engine.AllOf((engine.ItemGroup(_MILK, 2_000), engine.Not(engine.ItemGroup(_MILK, 0, 1)))),
        engine.AnyOf((_TOTAL(5), engine.Not(_TOTAL(5)))),
        engine.AllOf((engine.PurchaseNumber(2), engine.PurchaseNumber(every=2))),
        engine.AllOf((engine.LastPurchase(30, 0), engine.LastPurchase(0, 30))),
        engine.AllOf(
            (
                engine.LastPurchase(31, or_never=True),
                engine.LastPurchase(days_max=30, or_never=True),
            )
        ),
    ],
)
def test_windows_and_other_goods_are_no_contradiction(condition):
    """From 5 and below 9 is a window; alternatives and other goods say nothing of each other."""
    assert engine.find_problems(_rules(condition=condition)) == []


def test_a_coupon_for_later_must_be_one_that_somebody_takes():
    """Of a campaign that there is, with a personal coupon; steps of a scale count, too."""
    issue = (engine.Reward(engine.IssueCoupon("cmp_2")),)
    giving = engine.Campaign("cmp_1", 1, _rules(combination=_EARN, rewards=issue))
    steps = engine.Campaign(
        "cmp_3", 1, _rules(combination=_EARN, rewards=(), scale=_scale((1, issue)))
    )
    public, personal = (
        engine.Campaign("cmp_2", 1, _rules(trigger=engine.CouponTrigger(("A",), personal=one)))
        for one in (False, True)
    )
    for known in ([giving, steps], [giving, steps, public]):
        lost = engine.find_lost_coupons([giving, steps], known)
        assert [(one.campaign_id, one.problem.field) for one in lost] == [
            ("cmp_1", "rewards[0].issue_coupon.campaign_id"),
            ("cmp_3", "scale.steps[0].rewards[0].issue_coupon.campaign_id"),
        ]
    assert engine.find_lost_coupons([giving, steps], [giving, steps, personal]) == []


def test_two_live_campaigns_do_not_share_a_code():
    """Letter case does not make codes different; a campaign may repeat its own."""
    one = engine.Campaign("cmp_1", 1, _rules(trigger=engine.CouponTrigger(("SAVE",))))
    two = engine.Campaign("cmp_2", 1, _rules(trigger=engine.CouponTrigger(("other", "save"))))
    assert engine.find_taken_codes([one, two]) == [engine.TakenCode("save", "cmp_1", "cmp_2")]
    with pytest.raises(engine.RulesetInvalid, match="save belongs to cmp_1") as caught:
        engine.compile([one, two], version=1)
    assert caught.value.problems[0][0] == "cmp_2"


def test_a_rule_set_refuses_what_has_problems():
    """Nothing goes live together with a campaign that cannot work."""
    good = engine.Campaign("cmp_1", 1, _rules())
    bad = engine.Campaign("cmp_2", 1, _rules(rewards=()))
    with pytest.raises(
        engine.RulesetInvalid, match="cmp_2: rewards must say what it gives, in 1 to 10 rewards"
    ):
        engine.compile([good, bad], version=1)
    with pytest.raises(engine.RulesetInvalid, match="campaign_id is there twice"):
        engine.compile([good, good], version=1)


def test_a_rule_set_knows_its_campaigns():
    """Campaigns stand in the order of evaluation and are found by their id."""
    late = engine.Campaign("cmp_1", 3, _rules(combination=engine.Combination(engine.Lane.RECEIPT)))
    early = engine.Campaign("cmp_2", 1, _rules())
    ruleset = engine.compile([late, early], version=9)
    assert ruleset.version == 9
    assert ruleset.campaigns == (early, late)
    assert ruleset.find("cmp_1") is late
    assert ruleset.find("cmp_3") is None


def test_an_empty_rule_set_prices_a_cart():
    """Before anything goes live, carts cost what their lines cost."""
    ruleset = engine.compile([], version=0)
    cart, facts = bench.make_cart(3)
    decision = engine.evaluate(ruleset, cart, facts, now=bench.NOW)
    assert decision.discount_minor == 0
    assert decision.ruleset_version == 0
