"""How campaigns keep apart, and which reason each of those that are not applied gives."""

from datetime import UTC, datetime

import pytest

from services.promotions import engine

Reason = engine.OutcomeReason
_LATEST = engine.GroupChoice.LATEST_CODE
_NOW = datetime(2026, 3, 6, 17, 30, tzinfo=UTC)


def _campaign(name, amount, *, lane=engine.Lane.ITEM, code="", limits=None, **ties):
    return engine.Campaign(
        name,
        1,
        engine.Rules(
            title=engine.Text(name),
            rewards=(engine.Reward(engine.AmountOff(amount, engine.AmountSpread.ACROSS)),),
            combination=engine.Combination(lane, **ties),
            trigger=engine.CouponTrigger((code,)) if code else engine.AutomaticTrigger(),
            limits=limits or engine.Limits(),
        ),
    )


def _evaluate(campaigns, *codes, inactive=(), cap=None, all_or_none=False, left=None):
    ruleset = engine.compile(campaigns, version=1, inactive=inactive)
    cart = engine.Cart(
        "S1",
        engine.Channel.TILL,
        "EUR",
        (engine.CartLine("1", "tea", 1_000, 1_000),),
        coupon_codes=codes,
        codes_all_or_none=all_or_none,
    )
    facts = engine.Facts(
        store=engine.Store(),
        articles={},
        remaining=left or {},
        cap=cap or engine.ReceiptCap(),
    )
    return engine.evaluate(ruleset, cart, facts, now=_NOW)


def _told(decision):
    reasons = {one.campaign_id: one.reason for one in decision.outcomes}
    return decision.total_minor, reasons


def _group(**more):
    return {"exclusive_group": "one", **more}


@pytest.mark.parametrize(
    ("campaigns", "codes", "total", "refused"),
    [
        pytest.param(
            [
                _campaign("a", 10, **_group(group_max=2)),
                _campaign("b", 20, **_group()),
                _campaign("c", 40, **_group()),
            ],
            (),
            940,
            {"a": Reason.CATEGORY_LIMIT},
            id="the best two of three",
        ),
        pytest.param(
            [
                _campaign("a", 10, **_group(group_choice=engine.GroupChoice.FIRST)),
                _campaign("b", 20, **_group()),
            ],
            (),
            990,
            {"b": Reason.CATEGORY_LIMIT},
            id="the first that gives anything",
        ),
        pytest.param(
            [
                _campaign("a", 20, **_group(group_choice=engine.GroupChoice.LEAST)),
                _campaign("b", 10, **_group()),
                _campaign("c", 40, **_group()),
            ],
            (),
            990,
            {"a": Reason.LOST_BEST_OF, "c": Reason.LOST_BEST_OF},
            id="the one that gives least",
        ),
        pytest.param(
            [
                _campaign(
                    "a", 40, code="AAA", **_group(group_choice=engine.GroupChoice.LATEST_CODE)
                ),
                _campaign("b", 20, code="BBB", **_group()),
            ],
            ("AAA", "BBB"),
            980,
            {"a": Reason.REPLACED_BY_LATER_CODE},
            id="the code that was presented last",
        ),
        pytest.param(
            [
                _campaign("a", 10, stop_lanes=frozenset({engine.Lane.RECEIPT})),
                _campaign("b", 20, lane=engine.Lane.RECEIPT),
                _campaign("c", 40, lane=engine.Lane.COUPON, code="CCC"),
            ],
            ("CCC",),
            950,
            {"b": Reason.EXCLUDED_BY_EXCLUSIVE},
            id="nothing but coupons after it",
        ),
        pytest.param(
            [
                _campaign("a", 10, labels=frozenset({"red"})),
                _campaign("b", 20, incompatible_labels=frozenset({"red"})),
                _campaign("c", 40, incompatible_labels=frozenset({"blue"})),
            ],
            (),
            950,
            {"b": Reason.INCOMPATIBLE},
            id="not with a label",
        ),
        pytest.param(
            [
                _campaign("a", 10, incompatible_labels=frozenset({"red"})),
                _campaign("b", 20, labels=frozenset({"red"})),
            ],
            (),
            990,
            {"b": Reason.INCOMPATIBLE},
            id="a label that one before it refuses",
        ),
        pytest.param(
            [
                _campaign("a", 30, contest="x", side="left"),
                _campaign("b", 20, lane=engine.Lane.RECEIPT, contest="x", side="right"),
                _campaign("c", 20, lane=engine.Lane.RECEIPT, contest="x", side="right"),
            ],
            (),
            960,
            {"a": Reason.LOST_BEST_OF},
            id="the better side, several together",
        ),
        pytest.param(
            [
                _campaign("a", 30, contest="x", side="left"),
                _campaign("b", 30, lane=engine.Lane.RECEIPT, contest="x", side="right"),
            ],
            (),
            970,
            {"b": Reason.LOST_BEST_OF},
            id="of equal sides the one that comes first",
        ),
    ],
)
def test_who_is_applied_and_why_the_others_are_not(campaigns, codes, total, refused):
    """The receipt and the reason of each campaign that is left out."""
    costs, reasons = _told(_evaluate(campaigns, *codes))
    assert costs == total
    assert {name: why for name, why in reasons.items() if why is not Reason.APPLIED} == refused


def test_a_budget_that_keeps_its_rest_gives_all_or_nothing():
    """Its reason says how much there was and how much it would have taken."""
    limits = engine.Limits(budget_minor=900, rest=engine.BudgetRest.KEEP)
    campaigns = [_campaign("a", 50, limits=limits)]
    decision = _evaluate(campaigns, left={"a": engine.Remaining(budget_minor=30)})
    assert _told(decision) == (1_000, {"a": Reason.BUDGET_EXHAUSTED})
    details = dict(decision.outcomes[0].details)
    assert (details["available_minor"], details["desired_minor"]) == ("30", "50")
    decision = _evaluate(campaigns, left={"a": engine.Remaining(budget_minor=50)})
    assert decision.total_minor == 950


def test_a_code_of_a_campaign_that_is_not_live_says_so():
    """It is known, and nobody has to think that it was mistyped."""
    paused = _campaign("a", 10, code="AAA")
    decision = _evaluate([], "aaa", "bbb", inactive=[paused])
    assert [(one.campaign_id, one.reason) for one in decision.outcomes] == [
        ("a", Reason.INACTIVE),
        ("", Reason.UNKNOWN_CODE),
    ]
    assert "not valid now" in decision.messages[0].text.en


def test_all_codes_or_none():
    """One that cannot be used takes the others with it; without it all of them work."""
    campaigns = [_campaign("a", 10, code="AAA"), _campaign("b", 20, code="BBB")]
    assert _evaluate(campaigns, "AAA", "BBB", all_or_none=True).total_minor == 970
    assert _evaluate(campaigns, "AAA", "NONE").total_minor == 990
    total, reasons = _told(_evaluate(campaigns, "AAA", "NONE", all_or_none=True))
    assert total == 1_000
    assert reasons["a"] is Reason.SET_REFUSED


@pytest.mark.parametrize(
    ("cap", "total"),
    [
        (engine.ReceiptCap(share_basis_points=2_500), 750),
        (engine.ReceiptCap(amount_minor=120), 880),
        (engine.ReceiptCap(share_basis_points=1_000, amount_minor=120), 900),
    ],
)
def test_a_receipt_never_gets_more_than_its_cap(cap, total):
    """The last campaign gives what is left of it, those after it say why they give nothing."""
    campaigns = [_campaign(name, 200) for name in "abc"]
    decision = _evaluate(campaigns, cap=cap)
    assert decision.total_minor == total
    assert decision.outcomes[-1].reason is Reason.RECEIPT_CAP_REACHED


def test_a_code_may_count_as_used_although_it_gave_nothing():
    """Where the campaign says so, and then no limit is got around by useless tries."""
    limits = engine.Limits(uses_max=5, count_without_effect=True)
    free = _campaign("a", 1_000)
    coupon = _campaign("b", 10, lane=engine.Lane.COUPON, code="BBB", limits=limits)
    decision = _evaluate([free, coupon], "BBB", left={"b": engine.Remaining(uses=5)})
    assert [(one.campaign_id, one.uses, one.budget_minor) for one in decision.charges] == [
        ("b", 1, 0)
    ]


def test_limits_that_count_sets_bound_and_charge_sets():
    """Three sets are possible, two are left: two are made and counted."""
    rules = engine.Rules(
        title=engine.Text("Sets"),
        rewards=(engine.Reward(engine.PercentOff(10_000), groups=(1,)),),
        combination=engine.Combination(engine.Lane.MULTI_BUY),
        multi_buy=engine.MultiBuy((engine.UnitGroup(units=1), engine.UnitGroup(units=1))),
        limits=engine.Limits(uses_max=10, count_sets=True),
    )
    cart = engine.Cart("S1", engine.Channel.TILL, "EUR", (engine.CartLine("1", "tea", 6_000, 100),))
    facts = engine.Facts(engine.Store(), {}, remaining={"s": engine.Remaining(uses=2)})
    ruleset = engine.compile([engine.Campaign("s", 1, rules)], version=1)
    decision = engine.evaluate(ruleset, cart, facts, now=_NOW)
    assert (decision.total_minor, decision.charges[0].uses) == (400, 2)


@pytest.mark.parametrize(
    ("choice", "parts"),
    [
        (engine.GroupChoice.BEST_BY_LINE, {"tea": ("share", 100), "milk": ("each", 50)}),
        (engine.GroupChoice.LEAST_BY_LINE, {"tea": ("each", 50), "milk": ("share", 20)}),
    ],
)
def test_a_group_may_choose_line_by_line(choice, parts):
    """A fifth of 5.00 is more than 0.50 and a fifth of 1.00 is less; what gives nothing is none."""
    kinds: dict[str, engine.RewardKind] = {
        "each": engine.AmountOff(50, engine.AmountSpread.EACH_UNIT),
        "share": engine.PercentOff(2_000),
        "void": engine.FixedPrice(90_000),
    }
    campaigns = [
        engine.Campaign(
            name,
            1,
            engine.Rules(
                title=engine.Text(name),
                rewards=(engine.Reward(kind),),
                combination=engine.Combination(engine.Lane.ITEM, **_group(group_choice=choice)),
            ),
        )
        for name, kind in kinds.items()
    ]
    lines = (
        engine.CartLine("tea", "tea", 1_000, 500),
        engine.CartLine("milk", "milk", 1_000, 100),
    )
    decision = engine.evaluate(
        engine.compile(campaigns, version=1),
        engine.Cart("S1", engine.Channel.TILL, "EUR", lines),
        engine.Facts(store=engine.Store(), articles={}),
        now=_NOW,
    )
    given = {line.line_id: line.parts for line in decision.lines}
    assert given == {line: ((name, amount, 0),) for line, (name, amount) in parts.items()}
