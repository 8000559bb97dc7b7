"""Referrals: from a claim to a reward, and back when goods come back in time."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions.engine import programs
from services.promotions.engine.programs import ReferralState as State

DAY = date(2026, 3, 2)
RULES = programs.ReferralRules(
    programs.Measure(programs.MeasureKind.SPEND),
    programs.Reward(points=200),
    programs.Reward(points=100),
    claim_days=30,
    hold_days=14,
)


def after(days):
    return DAY + timedelta(days=days)


@pytest.mark.parametrize(
    ("before", "bought", "today", "state"),
    [
        (State.CLAIMED, [], 30, State.CLAIMED),
        (State.CLAIMED, [], 31, State.LAPSED),
        (State.CLAIMED, [30], 30, State.QUALIFIED),
        (State.CLAIMED, [31], 31, State.LAPSED),
        (State.CLAIMED, [-1], 1, State.CLAIMED),
        (State.QUALIFIED, [3, 9], 16, State.QUALIFIED),
        (State.QUALIFIED, [3, 9], 17, State.REWARDED),
        (State.QUALIFIED, [], 10, State.CLAIMED),
        (State.QUALIFIED, [], 40, State.LAPSED),
        (State.REWARDED, [], 40, State.REWARDED),
    ],
    ids=[
        "there is time",
        "too late",
        "on the last day",
        "a day too late",
        "bought before the claim",
        "the goods may still come back",
        "they have stayed",
        "they came back in time for another try",
        "they came back too late for it",
        "what was paid is paid",
    ],
)
def test_a_referral_follows_the_newcomers_purchases(before, bought, today, state):
    tally = {after(day): 1 for day in bought}
    found = programs.follow(RULES, before, claimed=DAY, tally=tally, today=after(today))
    assert found.state is state
    assert (found.due is not None) == (state is State.QUALIFIED)


@given(st.sets(st.integers(-5, 40)), st.integers(0, 60))
def test_nothing_is_rewarded_before_the_goods_have_stayed(bought, today):
    tally = {after(day): 1 for day in bought}
    found = programs.follow(RULES, State.CLAIMED, claimed=DAY, tally=tally, today=after(today))
    if found.state is State.REWARDED:
        assert any(0 <= day <= 30 and day + 14 <= today for day in bought)
