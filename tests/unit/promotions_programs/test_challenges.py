"""Challenges: goals, streaks, and what returns do to them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions.engine import programs

D = date
UNITS = programs.Measure(programs.MeasureKind.UNITS)
REWARD = programs.Reward(points=100)
MONDAY = D(2026, 3, 2)


def weeks(*numbers, amount=1):
    """Return what was counted on the Mondays of these weeks."""
    return {MONDAY + timedelta(weeks=number): amount for number in numbers}


@pytest.mark.parametrize(
    ("fields", "tally", "today", "reach"),
    [
        ({"goal": 5}, {MONDAY: 4}, MONDAY, (4, 5, False)),
        ({"goal": 5}, {MONDAY: 4, D(2027, 1, 1): 1}, MONDAY, (5, 5, True)),
        ({"goal": 5, "first": MONDAY}, {D(2026, 3, 1): 4, MONDAY: 1}, MONDAY, (1, 5, False)),
        ({"goal": 1, "last": MONDAY}, {D(2026, 3, 3): 4}, MONDAY, (0, 1, False)),
        ({"goal": 1, "last": MONDAY}, {MONDAY: 4}, MONDAY, (4, 1, True)),
        ({"goal": 1, "weeks": 3}, weeks(0, 1), D(2026, 3, 9), (2, 3, False)),
        ({"goal": 1, "weeks": 3}, weeks(0, 1), D(2026, 3, 22), (2, 3, False)),
        ({"goal": 1, "weeks": 3}, weeks(0, 1), D(2026, 3, 23), (0, 3, False)),
        ({"goal": 1, "weeks": 3}, weeks(0, 1, 3), D(2026, 3, 23), (1, 3, False)),
        ({"goal": 1, "weeks": 3}, weeks(0, 1, 2), D(2027, 1, 1), (3, 3, True)),
        ({"goal": 2, "weeks": 2}, weeks(0, 1), D(2026, 3, 9), (0, 2, False)),
    ],
    ids=[
        "not there yet",
        "there",
        "what was bought before does not count",
        "nor what was bought after",
        "both days are in",
        "two weeks of three",
        "a run goes on through the next Sunday",
        "and is over after it",
        "a gap begins anew",
        "a reached goal stays",
        "weeks below the goal count nothing",
    ],
)
def test_how_far_purchases_lead(fields, tally, today, reach):
    rules = programs.ChallengeRules(UNITS, reward=REWARD, **fields)
    found = programs.find_reach(rules, tally, today=today)
    assert (found.amount, found.goal, found.reached) == reach


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"first": MONDAY, "last": D(2026, 3, 1)}, ["last_date"]),
        ({"first": MONDAY, "last": D(2026, 3, 10), "weeks": 4}, ["weeks"]),
        ({"first": MONDAY, "last": D(2026, 3, 10), "weeks": 2}, []),
        ({"weeks": 2}, []),
        ({"first": D(1999, 12, 31), "last": D(9999, 12, 31)}, ["first_date", "last_date"]),
        ({"last": D(2199, 12, 31)}, []),
    ],
)
def test_challenges_that_nobody_can_meet_are_named(fields, problems):
    rules = programs.ChallengeRules(UNITS, 1, REWARD, **fields)
    assert [one.field for one in programs.find_challenge_problems(rules)] == problems


tallies = st.dictionaries(
    st.integers(0, 60).map(lambda gap: MONDAY + timedelta(days=gap)), st.integers(1, 4), max_size=12
)


@given(tallies, st.integers(1, 5), st.integers(0, 4), st.integers(0, 60), st.integers(1, 3))
def test_one_more_purchase_never_takes_a_goal_away(tally, goal, length, gap, amount):
    """And one less never reaches it."""
    rules = programs.ChallengeRules(UNITS, goal, REWARD, weeks=length)
    day = MONDAY + timedelta(days=gap)
    more = {**tally, day: tally.get(day, 0) + amount}
    today = MONDAY + timedelta(days=61)
    less_reached = programs.find_reach(rules, tally, today=today).reached
    assert programs.find_reach(rules, more, today=today).reached >= less_reached
