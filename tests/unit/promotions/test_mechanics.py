"""The examples of the guide to mechanics: every campaign is valid and gives what the guide says."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import protovalidate
import pytest
import yaml
from google.protobuf import json_format
from tessera.promotions.v1 import campaign_pb2

from services.promotions import engine
from services.promotions.wire import rules

_GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "mechanics.md"
_FRIDAY = datetime(2026, 3, 6, 17, 30, tzinfo=UTC)
_SECTION = re.compile(r"^### (?P<title>.+)\n(?P<body>(?:(?!^##).*\n)*)", re.MULTILINE)
_EXAMPLE = re.compile(r"^- `(?P<cart>[^`]+)` (?P<gets>.+)$", re.MULTILINE)
_ARTICLES = {
    "milk": engine.Article(category_ids=frozenset({"dairy"})),
    "tea": engine.Article(
        category_ids=frozenset({"drinks"}), brand="Kolo", tags=frozenset({"own"})
    ),
    "bun": engine.Article(category_ids=frozenset({"bakery"})),
    "cheese": engine.Article(floor_price_minor=900),
    "grapes": engine.Article(weighed=True),
    "wine": engine.Article(earning_excluded=True),
}
_MEMBER = engine.Member(
    "mem_1",
    segment_ids=frozenset({"vip"}),
    tier_ids=frozenset({"gold"}),
    purchases_before=9,
    dates={"birth": date(1990, 3, 8)},
    last_purchase_time=datetime(2026, 1, 2, 12, tzinfo=UTC),
    stamps={"coffee": 9},
    points_balance=250,
)
_LEFT = engine.Remaining(
    uses=7,
    member_uses=1,
    budget_minor=40,
    coupons=1,
    units=3,
    article_units={"tea": 2},
    member_units=1,
)


def _load_sections():
    return [
        pytest.param(found["body"], id=found["title"])
        for found in _SECTION.finditer(_GUIDE.read_text(encoding="utf-8"))
    ]


def _read_campaigns(body):
    (text,) = re.findall(r"```yaml\n(.*?)```", body, re.DOTALL)
    plain = yaml.safe_load(text)
    several = plain if "combination" not in plain else {"example": plain}
    return {name: _read_rules(name, one) for name, one in several.items()}


def _read_rules(name, plain):
    plain = {"title": {"en": name}, "trigger": {"automatic": {}}, **plain}
    message = json_format.ParseDict(plain, campaign_pb2.CampaignRules())
    protovalidate.validate(message)
    return rules.parse_rules(message)


def _read_cart(text):
    lines, codes = [], []
    chosen: tuple[str, ...] = ()
    for place, part in enumerate(text.split(", ")):
        match part.split():
            case ["code", code]:
                codes.append(code)
            case ["chosen", sku]:
                chosen = (sku,)
            case [quantity, sku, "at", price, *more]:
                said = dict(zip(more[::2], more[1::2], strict=True))
                lines.append(
                    engine.CartLine(
                        str(place),
                        sku,
                        int(Decimal(quantity) * 1_000),
                        int(Decimal(price) * 100),
                        engine.LineKind[said.get("for", "goods").upper()],
                        int(Decimal(said.get("was", "0")) * 100),
                    )
                )
    return engine.Cart(
        store_id="S1",
        channel=engine.Channel.TILL,
        currency_code="EUR",
        lines=tuple(lines),
        coupon_codes=tuple(codes),
        attributes={"bag": "own"},
        planned_payments=(engine.PlannedPayment(engine.PaymentType.CARD, "220012"),),
        gift_choices={"example": chosen} if chosen else {},
    )


def _tell(decision):
    """Return what a decision gives in the words of the guide."""
    words = [f"costs {Decimal(decision.total_minor) / 100:.2f}"]
    words += [f"{one.units} {one.sku} for nothing" for one in decision.gifts]
    words += [
        f"{one.number} of {' or '.join(one.skus)}"
        + (f" at {one.basis_points / 100:g}% off" if one.basis_points < 10_000 else "")
        for one in decision.gift_offers
    ]
    words += [
        f"{one.uses} {'printed ' if one.bearer else ''}coupon for later"
        for one in decision.coupon_grants
    ]
    words += [f"{one.number} chances to win" for one in decision.instant_chances]
    words += [
        f"{one.spent} {one.card} stamps less" if one.card else f"{one.spent} points less"
        for one in decision.stamp_moves
        if one.spent
    ]
    if decision.points_earned:
        words.append(f"{decision.points_earned} points")
    return ", ".join(words)


@pytest.mark.parametrize("body", _load_sections())
def test_an_example_of_the_guide_gives_what_the_guide_says(body):
    """Its campaigns can go live together, and each of its carts gets what is written there."""
    campaigns = _read_campaigns(body)
    ruleset = engine.compile(
        [engine.Campaign(name, 1, given) for name, given in campaigns.items()], version=1
    )
    facts = engine.Facts(
        store=engine.Store("north", "hyper"),
        articles=_ARTICLES,
        member=_MEMBER,
        remaining=dict.fromkeys(campaigns, _LEFT),
    )
    examples = list(_EXAMPLE.finditer(body))
    assert examples, "a mechanic without an example"
    for example in examples:
        decision = engine.evaluate(ruleset, _read_cart(example["cart"]), facts, now=_FRIDAY)
        assert _tell(decision) == example["gets"]
