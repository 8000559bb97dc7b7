"""Coupons for whoever bears them need a code, and so somebody who draws it."""

from dataclasses import replace

import pytest

from services.promotions import engine
from services.promotions.engine import OutcomeReason
from tests.unit.promotions import samples

NAME, LATER = "cmp_source", "cmp_later"
MEMBER = engine.Member("mem_1", points_balance=0)


def _campaign(*kinds, **target):
    rules = engine.Rules(
        title=engine.Text("Later"),
        trigger=engine.AutomaticTrigger(),
        rewards=tuple(engine.Reward(kind, engine.ItemFilter(**target)) for kind in kinds),
        combination=engine.Combination(engine.Lane.EARN),
    )
    return engine.compile([engine.Campaign(NAME, 1, rules)], version=1)


PRINTED = engine.IssueCoupon(LATER, uses=2, expire_days=14, bearer=True)
POINTS = engine.EarnPoints(5, engine.PointsSpread.ONCE)


def _sell(ruleset, *, price=100, member=None, hands_out=True):
    line = engine.CartLine("1", "cup", 1_000, price)
    cart = engine.Cart("s1", engine.Channel.TILL, "USD", (line,))
    facts = engine.Facts(engine.Store(), {}, member=member, hands_out=hands_out)
    return engine.evaluate(ruleset, cart, facts, now=samples.NOW)


@pytest.mark.parametrize("member", [None, MEMBER], ids=["nobody", "member"])
def test_a_coupon_is_printed_for_anybody(member):
    """The grant says so, and names no coupon before a code is drawn."""
    assert _sell(_campaign(PRINTED), member=member).coupon_grants == (
        engine.CouponGrant(NAME, LATER, 2, 14, bearer=True, coupon_id=""),
    )


@pytest.mark.parametrize(
    ("ruleset", "price", "reason"),
    [
        (_campaign(PRINTED), 100, OutcomeReason.DEPENDENCY_UNAVAILABLE),
        (_campaign(PRINTED), 0, OutcomeReason.NO_TARGET_ITEMS),
        (_campaign(PRINTED, exclude_skus=frozenset({"cup"})), 100, OutcomeReason.NO_TARGET_ITEMS),
    ],
    ids=["paid", "for nothing", "other goods"],
)
def test_without_codes_nothing_is_printed(ruleset, price, reason):
    """The trace blames who is away only for what would have been given."""
    sold = _sell(ruleset, price=price, hands_out=False)
    assert (sold.coupon_grants, sold.messages) == ((), ())
    assert [one.reason for one in sold.outcomes] == [reason]


def test_what_a_campaign_gives_beside_the_coupon_stays():
    """Points need no code."""
    sold = _sell(_campaign(PRINTED, POINTS), member=MEMBER, hands_out=False)
    assert (sold.coupon_grants, sold.points_earned) == ((), 5)


def test_whether_codes_were_there_is_kept_with_the_receipt():
    """A rerun decides the same again; receipts of before such coupons had them."""
    facts = engine.Facts(engine.Store(), {}, hands_out=False)
    plain = engine.dump_facts(facts)
    assert engine.load_facts(plain) == facts
    assert engine.load_facts({k: v for k, v in plain.items() if k != "hands_out"}) == replace(
        facts, hands_out=True
    )
