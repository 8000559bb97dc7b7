"""Subscriptions: what is paid for is given, through trial, grace and cancellation."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions.engine import programs
from services.promotions.engine.programs import SubscriptionState as State

PLAN = programs.PlanRules("plus", 299, period_months=1, trial_days=14, grace_days=3)
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def day(number):
    return START + timedelta(days=number)


def run(*moves, with_trial=True, plan=PLAN):
    """Return the state after each move: a day, and what happens on it."""
    one = programs.subscribe(plan, with_trial=with_trial, now=START)
    states = []
    for number, what in moves:
        now = day(number)
        if what == "pay":
            one = programs.pay(plan, one, zone=UTC, now=now)
        elif what:
            one = programs.cancel(one, at_once=what == "stop", now=now)
        states.append(programs.state_at(plan, one, now).name)
    return states


@pytest.mark.parametrize(
    ("moves", "states"),
    [
        ([(0, ""), (13, ""), (14, ""), (16, ""), (17, "")], "TRIAL TRIAL GRACE GRACE ENDED"),
        ([(5, "pay"), (14, ""), (41, ""), (42, "")], "ACTIVE ACTIVE ACTIVE GRACE"),
        ([(15, "pay"), (41, ""), (42, "")], "ACTIVE ACTIVE GRACE"),
        ([(5, "cancel"), (13, ""), (14, "")], "TRIAL TRIAL ENDED"),
        ([(5, "cancel"), (6, "pay"), (42, "")], "TRIAL ACTIVE GRACE"),
        ([(5, "stop"), (6, "")], "ENDED ENDED"),
        ([(5, "pay"), (6, "pay"), (42, ""), (73, "")], "ACTIVE ACTIVE ACTIVE GRACE"),
    ],
    ids=[
        "a trial that is not paid for ends after grace",
        "a payment in the trial begins when the trial ends",
        "a payment in grace counts from where cover ended",
        "cancelled in the trial, it ends with it",
        "a payment takes a cancellation back",
        "at once is at once",
        "periods paid ahead stand in a line",
    ],
)
def test_states_follow_from_what_happened_and_the_time(moves, states):
    assert run(*moves) == states.split()


def test_without_a_trial_the_first_payment_begins_it():
    assert run((0, ""), (100, ""), (100, "pay"), (127, ""), with_trial=False) == [
        "AWAITING",
        "AWAITING",
        "ACTIVE",
        "ACTIVE",
    ]


def test_an_unpaid_subscription_is_cancelled_at_once():
    assert run((1, "cancel"), with_trial=False) == ["ENDED"]


def test_periods_end_on_the_day_that_they_began_on():
    """January 31 leads to February 28 and back to March 31, not to March 28."""
    plan = programs.PlanRules("plus", 299, period_months=1)
    one = programs.subscribe(plan, with_trial=False, now=START)
    ends = []
    for _ in range(3):
        one = programs.pay(plan, one, zone=UTC, now=START)
        assert one.covered_until is not None
        ends.append(one.covered_until.date().isoformat())
    assert ends == ["2026-02-28", "2026-03-31", "2026-04-30"]


plans = st.builds(
    programs.PlanRules,
    st.just("plus"),
    st.just(299),
    period_months=st.integers(1, 12),
    trial_days=st.integers(0, 40),
    grace_days=st.integers(0, 40),
)
stories = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from(["", "pay", "cancel", "stop"])), max_size=12
)


@given(plans, st.booleans(), stories)
def test_every_period_paid_for_is_given(plan, with_trial, story):
    """Cover never shrinks but by an end at once, and a payment is worth its months."""
    one = programs.subscribe(plan, with_trial=with_trial, now=START)
    now = START
    for gap, what in story:
        now += timedelta(days=gap)
        if programs.state_at(plan, one, now) is State.ENDED:
            assert not programs.covers(plan, one, now)
            break
        before = one
        if what == "pay":
            one = programs.pay(plan, one, zone=UTC, now=now)
            begin = one.anchor if before.period == 0 else before.covered_until
            assert begin is not None
            assert one.covered_until is not None
            assert one.covered_until - begin >= timedelta(days=27 * plan.period_months)
            # Who pays in grace pays for the days of it, too; after that something is left.
            assert programs.covers(plan, one, now)
        elif what:
            one = programs.cancel(one, at_once=what == "stop", now=now)
        if one.end_time is None and before.covered_until is not None:
            assert one.covered_until is not None
            assert one.covered_until >= before.covered_until


@given(plans, st.booleans(), stories, st.integers(0, 3_000))
def test_what_the_row_says_is_what_the_state_says(plan, with_trial, story, later):
    """Readers ask the stored end alone: it must agree with the state at any moment."""
    one = programs.subscribe(plan, with_trial=with_trial, now=START)
    now = START
    for gap, what in story:
        now += timedelta(days=gap)
        if programs.state_at(plan, one, now) is State.ENDED:
            break
        if what == "pay":
            one = programs.pay(plan, one, zone=UTC, now=now)
        elif what:
            one = programs.cancel(one, at_once=what == "stop", now=now)
    moment, end = now + timedelta(hours=later), programs.end_of(plan, one)
    gives = one.covered_until is not None and (end is None or end > moment)
    assert gives == programs.covers(plan, one, moment)
