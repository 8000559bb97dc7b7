"""Offers: what a purchase may rest on without asking again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tessera.promotions.v1 import checkout_pb2

from services.promotions import engine
from services.promotions.checkout import offers
from services.promotions.checkout.facts import Gathered
from services.promotions.wire import evaluations

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CART = checkout_pb2.Cart(store_id="s1", lines=[checkout_pb2.CartLine(line_id="1", sku="milk")])
AGE_S = 15.0


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def campaign(**validity):
    return engine.Campaign(
        campaign_id="cmp_1",
        version=1,
        rules=engine.Rules(
            title=engine.Text("ten", "десять"),
            trigger=engine.AutomaticTrigger(),
            validity=engine.Validity(**validity),
            rewards=(engine.Reward(kind=engine.PercentOff(1000)),),
            combination=engine.Combination(lane=engine.Lane.ITEM),
        ),
    )


def decide(*campaigns, now=NOON, version=3):
    ruleset = engine.compile(campaigns, version=version)
    cart = engine.Cart("s1", engine.Channel.TILL, "USD", (engine.CartLine("1", "milk", 1000, 100),))
    facts = engine.Facts(store=engine.Store(), articles={})
    decision = engine.evaluate(ruleset, cart, facts, now=now)
    shown = evaluations.show_decision(decision)
    return offers.Decided(ruleset, decision, Gathered(facts=facts, now=now), shown)


def take(kept, *, cart=CART, version=3, at=NOON):
    return kept.take(cart, ruleset_version=version, occurred_time=at)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(clock):
    return offers.Offers(age_s_max=AGE_S, clock_s=clock)


def test_an_offer_serves_one_purchase(kept):
    """The same cart bought again is another purchase: it is decided by its own facts."""
    decided = decide(campaign())
    kept.keep(CART, decided)
    assert take(kept, at=NOON + timedelta(minutes=2)) is decided
    assert take(kept) is None


def test_another_cart_finds_no_offer(kept):
    """However little it differs."""
    kept.keep(CART, decide(campaign()))
    other = checkout_pb2.Cart()
    other.CopyFrom(CART)
    other.points_payment_minor = 1
    assert take(kept, cart=other) is None


def test_an_offer_ages(kept, clock):
    """It is good up to its age and not a moment longer."""
    for seconds, is_good in ((AGE_S - 0.1, True), (AGE_S, False)):
        clock.seconds = 0
        kept.keep(CART, decide(campaign()))
        clock.seconds = seconds
        assert (take(kept) is not None) is is_good


def test_an_offer_is_of_one_rule_set(kept):
    """Another version of the rules decides again."""
    kept.keep(CART, decide(campaign()))
    assert take(kept, version=4) is None


@pytest.mark.parametrize(
    ("validity", "later"),
    [
        ({"end_time": NOON + timedelta(minutes=1)}, timedelta(minutes=1)),
        ({"start_time": NOON + timedelta(seconds=5)}, timedelta(seconds=5)),
        ({"hours": (engine.HourWindow(12 * 60, 12 * 60 + 3),)}, timedelta(minutes=3)),
        ({}, timedelta(hours=12)),
    ],
    ids=["ended", "started", "hour over", "another day"],
)
def test_an_offer_is_of_one_moment(kept, validity, later):
    """When a campaign begins or ends in between, or the day does, the cart is decided again."""
    decided = decide(campaign(**validity))
    kept.keep(CART, decided)
    assert take(kept, at=NOON + later) is None
    kept.keep(CART, decided)
    assert take(kept, at=NOON + later - timedelta(microseconds=1)) is decided


def test_what_was_left_out_is_asked_for_again(kept):
    """A degraded answer is no offer, and it ends the one before it."""
    decided = decide(campaign())
    away = replace(
        decided,
        gathered=replace(decided.gathered, degradations=(checkout_pb2.DEGRADATION_LEDGER,)),
    )
    kept.keep(CART, decided)
    kept.keep(CART, away)
    assert take(kept) is None


def test_offers_can_be_switched_off(clock):
    """With an age of nothing everybody is asked again."""
    kept = offers.Offers(age_s_max=0, clock_s=clock)
    kept.keep(CART, decide(campaign()))
    assert take(kept) is None


def test_offers_are_bounded(kept):
    """The oldest make room."""
    decided = decide(campaign())
    carts = [checkout_pb2.Cart(store_id=str(number)) for number in range(1_001)]
    for cart in carts:
        kept.keep(cart, decided)
    assert take(kept, cart=carts[0]) is None
    assert take(kept, cart=carts[1]) is decided


def test_an_expression_that_reads_the_clock_is_decided_again_each_minute(kept):
    """CEL may ask for the minute of the day."""
    rules = campaign().rules
    cel = engine.Expression("minute_of_day >= 725")
    decided = decide(engine.Campaign("cmp_1", 1, replace(rules, condition=cel)))
    kept.keep(CART, decided)
    assert take(kept, at=NOON + timedelta(minutes=1)) is None
    kept.keep(CART, decided)
    assert take(kept, at=NOON + timedelta(seconds=59)) is decided
