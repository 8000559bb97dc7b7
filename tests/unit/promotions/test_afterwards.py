"""Points for purchases that were sold without knowing the shopper."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

MOMENTS = st.datetimes(datetime(2026, 3, 5), datetime(2026, 3, 17))  # noqa: DTZ001


@settings(max_examples=80, deadline=None)
@given(samples.rulebooks(), samples.carts(), samples.facts(), MOMENTS)
def test_prices_stay_and_points_come(campaigns, cart, facts, moment):
    """What was paid was paid; the limits of discounts are drawn as they were sold."""
    now = moment.replace(tzinfo=UTC)
    cart = replace(cart, points_payment_minor=0)
    ruleset = engine.compile(campaigns, version=1)
    unknown = replace(facts, member=None, identity_answered=False)
    sold = engine.evaluate(ruleset, cart, unknown, now=now)
    earned = engine.earn_later(ruleset, cart, facts, sold, now=now)
    assert earned.total_minor == sold.total_minor
    assert earned.discount_minor == sold.discount_minor
    for before, after in zip(sold.lines, earned.lines, strict=True):
        assert (before.total_minor, before.discount_minor) == (
            after.total_minor,
            after.discount_minor,
        )
        assert after.points_earned == sum(part.points for part in after.parts)
    assert earned.points_spent == 0
    assert earned.points_earned == sum(one.points for one in earned.earnings)
    assert set(sold.charges) <= set(earned.charges)
    if facts.member is None:
        assert earned.points_earned == 0


@settings(max_examples=40, deadline=None)
@given(samples.rulebooks(), samples.carts(), samples.facts(), MOMENTS)
def test_without_discounts_for_members_nothing_is_lost(campaigns, cart, facts, moment):
    """Where all discounts are everybody's, the points are those that the till would have shown."""
    now = moment.replace(tzinfo=UTC)
    cart = replace(cart, points_payment_minor=0)
    campaigns = [one for one in campaigns if one.rules.combination.lane is engine.Lane.EARN]
    ruleset = engine.compile(campaigns, version=1)
    unknown = replace(facts, member=None, identity_answered=False)
    sold = engine.evaluate(ruleset, cart, unknown, now=now)
    known = engine.evaluate(ruleset, cart, facts, now=now)
    earned = engine.earn_later(ruleset, cart, facts, sold, now=now)
    assert earned.earnings == known.earnings
    assert earned.lines == known.lines
    assert earned.charges == known.charges
