"""Campaign rules arrive in the engine as they were written."""

import dataclasses
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from tessera.promotions.v1 import campaign_pb2

from services.chassis import errors
from services.promotions import engine
from services.promotions.wire import rules

FILTER = {
    "skus": ["a"],
    "category_ids": ["b"],
    "brands": ["c"],
    "tags": ["d"],
    "exclude_skus": ["e"],
    "exclude_category_ids": ["f"],
    "exclude_brands": ["g"],
    "exclude_tags": ["h"],
    "unit_price_min_minor": 1,
    "unit_price_max_minor": 2,
    "price_state": "PRICE_STATE_REDUCED",
    "kinds": ["LINE_KIND_FEE"],
}
PARSED_FILTER = engine.ItemFilter(
    skus=frozenset("a"),
    category_ids=frozenset("b"),
    brands=frozenset("c"),
    tags=frozenset("d"),
    exclude_skus=frozenset("e"),
    exclude_category_ids=frozenset("f"),
    exclude_brands=frozenset("g"),
    exclude_tags=frozenset("h"),
    unit_price_min_minor=1,
    unit_price_max_minor=2,
    price_state=engine.PriceState.REDUCED,
    kinds=frozenset({engine.LineKind.FEE}),
)


def parse(plain):
    return rules.parse_rules(json_format.ParseDict(plain, campaign_pb2.CampaignRules()))


def test_everything_that_surrounds_a_reward_survives():
    """Title, trigger, time, audience, combination and limits."""
    parsed = parse(
        {
            "title": {"en": "Spring", "ru": "Весна"},
            "trigger": {"coupon": {"codes": ["ONE", "two"], "personal": True}},
            "validity": {
                "period": {
                    "start_time": "2026-01-01T00:00:00Z",
                    "end_time": "2026-02-01T00:00:00Z",
                },
                "weekdays": ["MONDAY", "SUNDAY"],
                "hours": [{"start_minute": 60, "end_minute": 120}],
            },
            "audience": {
                "membership": "MEMBERSHIP_MEMBERS",
                "store_ids": ["s"],
                "exclude_store_ids": ["x"],
                "region_ids": ["r"],
                "format_ids": ["f"],
                "channels": ["CHANNEL_APP"],
                "segment_ids": ["g"],
                "exclude_segment_ids": ["h"],
            },
            "combination": {
                "lane": "LANE_COUPON",
                "exclusive_group": "best",
                "priority": -3,
                "basis": "BASIS_ORIGINAL",
                "stop": True,
                "reuse": "REUSE_QUALIFIER",
            },
            "limits": {"uses_max": 1, "uses_per_member_max": 2, "budget_minor": 3},
        }
    )
    assert parsed == engine.Rules(
        title=engine.Text("Spring", "Весна"),
        rewards=(),
        combination=engine.Combination(
            lane=engine.Lane.COUPON,
            exclusive_group="best",
            priority=-3,
            basis=engine.Basis.ORIGINAL,
            stop=True,
            reuse=engine.Reuse.QUALIFIER,
        ),
        trigger=engine.CouponTrigger(("ONE", "two"), personal=True),
        validity=engine.Validity(
            start_time=datetime(2026, 1, 1, tzinfo=UTC),
            end_time=datetime(2026, 2, 1, tzinfo=UTC),
            weekdays=frozenset({1, 7}),
            hours=(engine.HourWindow(60, 120),),
        ),
        audience=engine.Audience(
            membership=engine.Membership.MEMBERS,
            store_ids=frozenset("s"),
            exclude_store_ids=frozenset("x"),
            region_ids=frozenset("r"),
            format_ids=frozenset("f"),
            channels=frozenset({engine.Channel.APP}),
            segment_ids=frozenset("g"),
            exclude_segment_ids=frozenset("h"),
        ),
        limits=engine.Limits(uses_max=1, uses_per_member_max=2, budget_minor=3),
    )


def test_what_is_not_said_is_the_default():
    """An automatic campaign for everybody, at any time, without end, with running amounts."""
    parsed = parse({"trigger": {"automatic": {}}, "combination": {"lane": "LANE_ITEM"}})
    assert parsed == engine.Rules(
        title=engine.Text("", ""), rewards=(), combination=engine.Combination(engine.Lane.ITEM)
    )


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ({"percent_off": {"basis_points": 5}}, engine.PercentOff(5)),
        (
            {"amount_off": {"amount_minor": 5, "spread": "AMOUNT_SPREAD_EACH_LINE"}},
            engine.AmountOff(5, engine.AmountSpread.EACH_LINE),
        ),
        ({"fixed_price": {"unit_price_minor": 5}}, engine.FixedPrice(5)),
        ({"set_price": {"price_minor": 5}}, engine.SetPrice(5)),
        (
            {
                "earn_percent": {
                    "basis_points": 5,
                    "multipliers": [{"filter": FILTER, "factor_hundredths": 200}],
                }
            },
            engine.EarnPercent(5, (engine.EarnMultiplier(PARSED_FILTER, 200),)),
        ),
        (
            {
                "earn_points": {
                    "points": 5,
                    "spread": "POINTS_SPREAD_EACH_STEP",
                    "step_minor": 6,
                    "expire_days": 7,
                }
            },
            engine.EarnPoints(5, engine.PointsSpread.EACH_STEP, step_minor=6, expire_days=7),
        ),
    ],
)
def test_every_reward_survives(plain, kind):
    """Kind, target and bound."""
    parsed = parse({"rewards": [{**plain, "target": FILTER, "amount_max": 9}], **_LANE})
    assert parsed.rewards == (engine.Reward(kind, PARSED_FILTER, 9),)


def test_sets_and_picks_survive():
    """Groups, bounds, sharing, reuse, and which units a reward is for."""
    parsed = parse(
        {
            "multi_buy": {
                "groups": [
                    {"filter": FILTER, "units": 2, "order": "PICK_ORDER_CHEAPEST"},
                    {"amount_min_minor": 7},
                ],
                "sets_max": 3,
                "sharing": "SHARING_ALL",
            },
            "combination": {"lane": "LANE_MULTI_BUY", "reuse": "REUSE_TARGET"},
            "rewards": [
                {
                    "percent_off": {"basis_points": 5},
                    "groups": [1],
                    "pick": {
                        "order": "PICK_ORDER_CHEAPEST",
                        "count_max": 1,
                        "units_per_line_max": 2,
                        "skip": 3,
                        "every": 4,
                        "by": "PICK_BY_LINE",
                        "scope": "PICK_SCOPE_ALL_SETS",
                        "total_max": 5,
                    },
                },
                {"percent_off": {"basis_points": 5}, "pick": {}},
            ],
        }
    )
    cheapest = engine.PickOrder.CHEAPEST
    assert parsed.multi_buy == engine.MultiBuy(
        (
            engine.UnitGroup(PARSED_FILTER, units=2, order=cheapest),
            engine.UnitGroup(amount_min_minor=7),
        ),
        sets_max=3,
        sharing=engine.Sharing.ALL,
    )
    assert parsed.combination.reuse is engine.Reuse.TARGET
    pick = engine.Pick(cheapest, 1, 2, 3, 4, engine.PickBy.LINE, engine.PickScope.ALL_SETS, 5)
    assert (parsed.rewards[0].pick, parsed.rewards[0].groups) == (pick, (1,))
    assert parsed.rewards[1].pick == engine.Pick()


_LANE = {"combination": {"lane": "LANE_ITEM"}}
_TOTAL = {"basket_total": {"filter": FILTER, "amount_min_minor": 5, "basis": "BASIS_ORIGINAL"}}
_PARSED_TOTAL = engine.BasketTotal(5, PARSED_FILTER, engine.Basis.ORIGINAL)


@pytest.mark.parametrize(
    ("plain", "condition"),
    [
        (_TOTAL, _PARSED_TOTAL),
        ({"all": {"conditions": [_TOTAL, _TOTAL]}}, engine.AllOf((_PARSED_TOTAL, _PARSED_TOTAL))),
        ({"any": {"conditions": [_TOTAL]}}, engine.AnyOf((_PARSED_TOTAL,))),
        ({"not": _TOTAL}, engine.Not(_PARSED_TOTAL)),
        (
            {"item_group": {"filter": FILTER, "quantity_min_thousandths": 5}},
            engine.ItemGroup(PARSED_FILTER, quantity_min_thousandths=5),
        ),
        (
            {"distinct_items": {"filter": FILTER, "count_min": 5}},
            engine.DistinctItems(5, PARSED_FILTER),
        ),
        ({"purchase_number": {"every": 5}}, engine.PurchaseNumber(every=5)),
        ({"expression": {"cel": "total_minor > 5"}}, engine.Expression("total_minor > 5")),
        (
            {
                "attribute": {
                    "name": "flag",
                    "source": "ATTRIBUTE_SOURCE_MEMBER",
                    "test": "ATTRIBUTE_TEST_NOT_IN",
                    "values": ["a", "b"],
                }
            },
            engine.Attribute(
                "flag", engine.AttributeTest.NOT_IN, ("a", "b"), engine.AttributeSource.MEMBER
            ),
        ),
        (
            {"every_line": {"filter": FILTER, "required": FILTER, "amount_max_minor": 5}},
            engine.EveryLine(PARSED_FILTER, PARSED_FILTER, amount_max_minor=5),
        ),
        (
            {"member_date": {"name": "birth", "days_from": -3, "days_to": 4, "yearly": True}},
            engine.MemberDate("birth", -3, 4, yearly=True),
        ),
        (
            {"last_purchase": {"days_min": 30, "days_max": 60, "or_never": True}},
            engine.LastPurchase(30, 60, or_never=True),
        ),
        (
            {
                "payment_plan": {
                    "types": ["PAYMENT_TYPE_CARD"],
                    "card_prefixes": ["2200"],
                    "every": True,
                }
            },
            engine.PaymentPlan(
                frozenset({engine.PaymentType.CARD}), frozenset({"2200"}), every=True
            ),
        ),
    ],
)
def test_every_condition_survives(plain, condition):
    """Alone and inside of others."""
    assert parse({"condition": plain, **_LANE}).condition == condition


_KINDS = {"Reward": rules.REWARDS, "Condition": rules.CONDITIONS, "Trigger": rules.TRIGGERS}
#: Messages that the engine holds in another shape; a test above shows that each survives.
_OTHERWISE = {"Campaign", "Condition", "ConditionList", "Trigger"}
#: Messages of the life of campaigns, which the engine does not know.
_AROUND = {
    "Argument",
    "CampaignChange",
    "CampaignVersion",
    "Choice",
    "ChoiceBounds",
    "NumberBounds",
    "Parameter",
    "PeriodBounds",
}
#: Fields that the engine holds under other names.
_RENAMED = {"Validity": {"period"}}
#: Fields of the life of campaigns, which the engine does not know.
_BESIDE = {"CampaignRules": {"parameters"}}
MIRRORED = sorted(set(campaign_pb2.DESCRIPTOR.message_types_by_name) - _OTHERWISE - _AROUND)


@pytest.mark.parametrize("name", MIRRORED)
def test_no_field_of_the_contract_is_forgotten(name):
    """What a marketer may write, the engine has a place for: nothing is dropped in silence."""
    mirror = engine.Rules if name == "CampaignRules" else getattr(engine, name)
    descriptor = campaign_pb2.DESCRIPTOR.message_types_by_name[name]
    kinds = _KINDS.get(name, {})
    elsewhere = _RENAMED.get(name, set()) | _BESIDE.get(name, set()) | set(kinds)
    written = {field.name for field in descriptor.fields} - elsewhere
    assert written <= {field.name for field in dataclasses.fields(mirror)}


@pytest.mark.parametrize("name", MIRRORED)
def test_every_field_changes_what_the_engine_gets(name):
    """A field with anything in it never parses to what it parses to without."""
    mirror = engine.Rules if name == "CampaignRules" else getattr(engine, name)
    descriptor = campaign_pb2.DESCRIPTOR.message_types_by_name[name]
    kinds = _KINDS.get(name, {})
    passed = {*kinds, *_BESIDE.get(name, set())}
    fields = [field for field in descriptor.fields if field.name not in passed]
    plain = rules._read(mirror, _fill(_new(name), ()))
    for field in fields:
        assert rules._read(mirror, _fill(_new(name), (field,))) != plain, field.name


def _new(name):
    return getattr(campaign_pb2, name)()


def _fill(message, chosen):
    """Return a message that is well formed and has something in the chosen fields."""
    if message.DESCRIPTOR.name == "Condition":
        message.purchase_number.number = 1
    if message.DESCRIPTOR.name == "CampaignRules":
        message.combination.lane = campaign_pb2.LANE_ITEM
    if message.DESCRIPTOR.name == "Reward":
        message.percent_off.basis_points = 1
    if message.DESCRIPTOR.name == "InstantWin":
        message.period.start_time.seconds = 1_600_000_000
        message.period.end_time.seconds = 1_700_000_000
    for field in message.DESCRIPTOR.fields:
        enumeration = field.enum_type and not field.is_repeated
        if field in chosen:
            _put(message, field)
        elif enumeration and field.enum_type.name not in _OPTIONAL:
            setattr(message, field.name, 1)
    return message


def _put(message, field):
    target = getattr(message, field.name)
    if field.message_type:
        one = target.add() if field.is_repeated else target
        one.SetInParent()
        if one.DESCRIPTOR.name == "Interval":
            one.end_time.seconds = 1_800_000_000
        elif one.DESCRIPTOR.name == "Trigger":
            one.coupon.codes.append("CODE")
        else:
            _fill(one, () if one.DESCRIPTOR.oneofs else one.DESCRIPTOR.fields[:1])
        return
    value = "a" if field.cpp_type == field.CPPTYPE_STRING else 3 if field.enum_type else 1
    if field.enum_type:
        default = rules._DEFAULTS.get(getattr(engine, field.enum_type.name, None), 0)
        value = max({*field.enum_type.values_by_number} - {0, default})
    if field.is_repeated:
        target.append(value)
    else:
        setattr(message, field.name, value)


_OPTIONAL = {one.__name__ for one in rules._DEFAULTS} | {"PriceState"}


def test_every_kind_of_reward_and_condition_is_known():
    """A new kind in the contract needs a way into the engine before anybody can send it."""
    for name, known in _KINDS.items():
        descriptor = campaign_pb2.DESCRIPTOR.message_types_by_name[name]
        (choice,) = descriptor.oneofs
        assert {field.name for field in choice.fields} == set(known)


def test_a_time_that_no_clock_shows_is_refused_with_its_field():
    """Timestamps reach further than calendars."""
    message = campaign_pb2.CampaignRules()
    message.combination.lane = campaign_pb2.LANE_ITEM
    message.validity.period.end_time.seconds = -(10**14)
    with pytest.raises(errors.InvalidRequest) as caught:
        rules.parse_rules(message)
    assert caught.value.violations[0].field == "rules.validity.period.end_time"
    message.validity.Clear()
    message.rewards.add().earn_points.spread = campaign_pb2.POINTS_SPREAD_ONCE
    message.rewards.add().instant_win.period.start_time.seconds = 10**14
    with pytest.raises(errors.InvalidRequest) as caught:
        rules.parse_rules(message)
    assert caught.value.violations[0].field == "rules.rewards[1].instant_win.period.start_time"
