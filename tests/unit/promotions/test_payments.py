"""Paying with points: how much, and why not more."""

# ruff: noqa: RUF001 - half of the texts are Russian

import json
from datetime import UTC, datetime

import pytest

from services.promotions import engine

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOBODYS = engine.compile((), version=1)
ARTICLES = {
    "milk": engine.Article(category_ids=frozenset({"food", "dairy"}), brand="acme"),
    "gin": engine.Article(category_ids=frozenset({"spirits"})),
    "card": engine.Article(points_payment_excluded=True),
}
PERCENT = 100


def decide(*lines, asked=0, balance: int | None = 10_000, member=True, answered=True, **terms):
    cart = engine.Cart(
        "s1",
        engine.Channel.TILL,
        "RUB",
        tuple(
            engine.CartLine(str(place), sku, 1000, price)
            for place, (sku, price) in enumerate(lines)
        ),
        points_payment_minor=asked,
    )
    facts = engine.Facts(
        store=engine.Store(),
        articles=ARTICLES,
        member=engine.Member("mem_1", points_balance=balance) if member else None,
        terms=engine.PointsTerms(**{"payment_share_max_basis_points": 50 * PERCENT} | terms),
        identity_answered=answered,
    )
    stored = engine.load_facts(json.loads(json.dumps(engine.dump_facts(facts))))
    decision = engine.evaluate(NOBODYS, cart, facts, now=NOW)
    assert engine.evaluate(NOBODYS, cart, stored, now=NOW) == decision
    return decision


@pytest.mark.parametrize(
    ("lines", "options", "expected"),
    [
        ([("milk", 1_000)], {}, (1, 500, 1, "SHARE")),
        ([("milk", 1_000)], {"balance": 300}, (1, 300, 1, "BALANCE")),
        ([("milk", 1_000)], {"balance": 0}, (1, 0, 1, "BALANCE")),
        ([("milk", 1_000)], {"balance": -5}, (1, 0, 1, "BALANCE")),
        ([("milk", 1_000)], {"balance": None}, (1, 0, 1, "UNANSWERED")),
        ([("milk", 1_000)], {"member": False}, (1, 0, 1, "MEMBER_UNKNOWN")),
        ([("milk", 1_000)], {"member": False, "answered": False}, (1, 0, 1, "UNANSWERED")),
        ([("card", 1_000)], {}, (1, 0, 1, "NO_GOODS")),
        ([("card", 1_000), ("milk", 100)], {}, (1, 50, 1, "SHARE")),
        # A receipt minimum looks at all goods after discounts.
        (
            [("card", 900), ("milk", 100)],
            {"payment_receipt_min_minor": 1_000},
            (1, 50, 1, "SHARE"),
        ),
        ([("milk", 999)], {"payment_receipt_min_minor": 1_000}, (1, 0, 1, "RECEIPT_TOO_SMALL")),
        # Steps: 10 points are 2 minor units, and people pay in hundreds of points.
        (
            [("milk", 1_000)],
            {"point_units": 10, "point_value_minor": 2, "payment_step_units": 95},
            (20, 500, 20, "SHARE"),
        ),
        (
            [("milk", 1_019)],
            {"point_units": 10, "point_value_minor": 2, "payment_step_units": 100},
            (20, 500, 20, "SHARE"),
        ),
        # A minimum that is between two steps is the next step.
        (
            [("milk", 1_000)],
            {"payment_min_units": 250, "payment_step_units": 100},
            (300, 500, 100, "SHARE"),
        ),
        ([("milk", 400)], {"payment_min_units": 201}, (201, 0, 1, "BELOW_MINIMUM")),
        ([("milk", 400)], {"payment_min_units": 200}, (200, 200, 1, "SHARE")),
        # Goods by name.
        (
            [("milk", 1_000), ("gin", 5_000)],
            {"payment_goods": engine.ItemFilter(exclude_category_ids=frozenset({"spirits"}))},
            (1, 500, 1, "SHARE"),
        ),
        (
            [("milk", 1_000), ("gin", 5_000)],
            {"payment_goods": engine.ItemFilter(brands=frozenset({"other"}))},
            (1, 0, 1, "NO_GOODS"),
        ),
    ],
)
def test_how_much_points_may_pay(lines, options, expected):
    """The least, the most, the step, and what keeps it from being more."""
    offer = decide(*lines, **options).payment
    assert (offer.min_minor, offer.max_minor, offer.step_minor, offer.bound.name) == expected


@pytest.mark.parametrize(
    ("asked", "paid"),
    [(0, 0), (299, 0), (300, 300), (399, 300), (400, 400), (10_000, 500)],
)
def test_the_shopper_chooses_how_much(asked, paid):
    """Any number of steps from the minimum on; between two steps the lower one, below none."""
    decision = decide(("milk", 1_000), asked=asked, payment_min_units=300, payment_step_units=100)
    assert (decision.points_payment_minor, decision.points_spent) == (paid, paid)


def test_points_lie_on_the_goods_that_they_may_pay_for():
    """No line of other goods takes a part, so returning it gives no points back."""
    goods = engine.ItemFilter(exclude_category_ids=frozenset({"spirits"}))
    decision = decide(("milk", 1_000), ("gin", 5_000), asked=500, payment_goods=goods)
    assert [line.points_payment_minor for line in decision.lines] == [500, 0]


@pytest.mark.parametrize(
    ("options", "en", "ru"),
    [
        (
            {},
            "Points may pay up to 50 % of what they are for",
            "Баллами можно оплатить до 50 % подходящих товаров",
        ),
        (
            {"payment_share_max_basis_points": 3_350},
            "Points may pay up to 33.5 % of what they are for",
            "Баллами можно оплатить до 33,5 % подходящих товаров",
        ),
        (
            {"payment_receipt_min_minor": 150_000},
            "Points may pay for purchases of 1500.00 RUB and more",
            "Баллами можно платить за покупки от 1500,00 RUB",
        ),
        (
            {"payment_min_units": 60_000},
            "Points may pay 600.00 RUB at the least",
            "Баллами можно оплатить не меньше 600,00 RUB",
        ),
        ({"balance": 1}, "The shopper has no more points", "У покупателя больше нет баллов"),
        (
            {"member": False},
            "Only a member can pay with points",
            "Платить баллами может только участник программы",
        ),
    ],
)
def test_the_cashier_reads_why_not_more(options, en, ru):
    """In the words of both languages, when the shopper wanted more than is possible."""
    decision = decide(("milk", 100_000), asked=90_000, **{"balance": 10**9} | options)
    (message,) = [one for one in decision.messages if one.text.en == en]
    assert (message.text.ru, message.audience) == (ru, engine.MessageAudience.CASHIER)
    satisfied = decide(("milk", 100_000), asked=0, **{"balance": 10**9} | options)
    assert not satisfied.messages
