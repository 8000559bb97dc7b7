"""Versions of programs: which one holds on a day, and what the next one may change."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions import engine
from services.promotions.engine import programs

TODAY = date(2026, 5, 20)
SPEND = programs.Measure(programs.MeasureKind.SPEND)
VISITS = programs.Measure(programs.MeasureKind.VISITS)
YEAR = programs.Calendar(programs.PeriodUnit.YEAR)
MONTH = programs.Calendar(programs.PeriodUnit.MONTH)


def ladder(*amounts, window=YEAR, policy=programs.DowngradePolicy.TO_EARNED, grace_days=0):
    tiers = tuple(
        programs.Tier(f"t{place}", engine.Text(f"T{place}"), amount)
        for place, amount in enumerate(amounts)
    )
    return programs.TierRules(SPEND, window, tiers, programs.Downgrade(policy, grace_days))


def renamed(rules, place, **fields):
    tiers = list(rules.tiers)
    tiers[place] = replace(tiers[place], **fields)
    return replace(rules, tiers=tuple(tiers))


LEVELS = ladder(0, 100, 200)
PLAN = programs.PlanRules("plus", 299, 1)
POINTS = programs.Reward(points=100)
RUNNING = programs.ChallengeRules(
    SPEND, 500, POINTS, first=date(2026, 5, 1), last=date(2026, 5, 31)
)
COMING = replace(RUNNING, first=date(2026, 6, 1), last=date(2026, 6, 30))
REFERRAL = programs.ReferralRules(SPEND, POINTS, POINTS, claim_days=30)
OFFERS = programs.OfferRules("week")
DRAWING = programs.DrawRules(
    SPEND, 100, date(2026, 5, 1), date(2026, 5, 31), (programs.Prize(1, title=engine.Text("Car")),)
)
DRAW = replace(DRAWING, first=date(2026, 6, 1), last=date(2026, 6, 30))


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        (LEVELS, LEVELS, []),
        (LEVELS, ladder(0, 150, 300), []),
        (LEVELS, ladder(0, 100, 200, 300), []),
        (LEVELS, ladder(0, 100, 200, policy=programs.DowngradePolicy.NEVER), []),
        (LEVELS, renamed(LEVELS, 1, privileges=("lounge",)), []),
        (LEVELS, renamed(LEVELS, 1, tier_id="other"), ["tiers[1].tier_id"]),
        (LEVELS, ladder(0, 100), ["tiers"]),
        (LEVELS, replace(LEVELS, measure=VISITS), ["measure"]),
        (LEVELS, ladder(0, 100, 200, window=MONTH), ["calendar"]),
        (LEVELS, ladder(0, 100, 200, window=programs.Rolling(30)), ["rolling"]),
        (PLAN, replace(PLAN, fee_minor=399, trial_days=7, grace_days=3), []),
        (PLAN, replace(PLAN, plan_id="other"), ["plan_id"]),
        (PLAN, replace(PLAN, period_months=3), ["period_months"]),
        (RUNNING, replace(RUNNING, goal=400), ["goal"]),
        (RUNNING, replace(RUNNING, reward=programs.Reward(points=200)), ["reward"]),
        (RUNNING, replace(RUNNING, weeks=2), ["weeks"]),
        (RUNNING, replace(RUNNING, take_back=False), ["keep_reward"]),
        (RUNNING, replace(RUNNING, first=date(2026, 6, 2)), ["first_date"]),
        (RUNNING, replace(RUNNING, last=date(2026, 6, 15)), []),
        (RUNNING, replace(RUNNING, last=None), []),
        (RUNNING, replace(RUNNING, last=date(2026, 5, 30)), ["last_date"]),
        (replace(RUNNING, last=None), RUNNING, ["last_date"]),
        (replace(RUNNING, last=TODAY), replace(RUNNING, last=date(2026, 6, 1)), []),
        (
            replace(RUNNING, last=TODAY - timedelta(days=1)),
            replace(RUNNING, last=date(2026, 6, 1)),
            ["last_date"],
        ),
        (COMING, replace(COMING, goal=1, weeks=2, reward=programs.Reward(points=5)), []),
        (COMING, replace(COMING, first=TODAY + timedelta(days=1)), []),
        (COMING, replace(COMING, first=TODAY), ["first_date"]),
        (COMING, replace(COMING, first=None), ["first_date"]),
        (COMING, replace(COMING, measure=VISITS), ["measure"]),
        (REFERRAL, replace(REFERRAL, referrer=programs.Reward(points=1), claim_days=7), []),
        (REFERRAL, replace(REFERRAL, measure=VISITS), ["measure"]),
        (OFFERS, replace(OFFERS, filter=engine.ItemFilter(brands=frozenset("b"))), []),
        (OFFERS, replace(OFFERS, offer_id="other"), ["offer_id"]),
        (DRAW, replace(DRAW, per_ticket=50, hold_days=3, last=date(2026, 7, 1)), []),
        (DRAW, replace(DRAW, first=TODAY), ["first_date"]),
        (DRAW, replace(DRAW, measure=VISITS), ["measure"]),
        (DRAWING, replace(DRAWING, per_ticket=50), ["per_ticket"]),
        (DRAWING, replace(DRAWING, last=date(2026, 6, 1)), ["last_date"]),
        (DRAWING, replace(DRAWING, hold_days=1), ["hold_days"]),
        (
            DRAWING,
            replace(DRAWING, prizes=(programs.Prize(1, title=engine.Text("Pencil")),)),
            ["prizes"],
        ),
    ],
)
def test_nothing_changes_what_somebody_has_begun(before, after, fields):
    """The refusal names the field; what has not begun may change."""
    start = TODAY + timedelta(days=1)
    problems = programs.find_succession_problems(before, after, start=start)
    assert [problem.field for problem in problems] == fields


@pytest.mark.parametrize(
    ("before", "after", "earliest"),
    [
        (LEVELS, renamed(LEVELS, 1, title=engine.Text("Silver")), TODAY),
        (LEVELS, ladder(0, 150, 300), date(2027, 1, 1)),
        (ladder(0, window=MONTH), ladder(0, 50, window=MONTH), date(2026, 6, 1)),
        (
            ladder(0, window=programs.Rolling(30)),
            ladder(0, 50, window=programs.Rolling(30)),
            date(2026, 5, 21),
        ),
        (PLAN, PLAN, TODAY),
        (PLAN, replace(PLAN, fee_minor=399), date(2026, 5, 21)),
    ],
)
def test_words_hold_at_once_and_terms_from_a_day_to_come(before, after, earliest):
    assert programs.earliest_start(before, after, today=TODAY) == earliest

    def problems(start):
        found = programs.find_start_problems(before, after, start=start, today=TODAY)
        return [problem.field for problem in found]

    assert problems(earliest) == []
    assert problems(earliest - timedelta(days=1)) == ["start_date"]
    assert problems(date(2200, 1, 1)) == ["start_date"]
    assert problems(date.max) == ["start_date"]


def test_levels_by_calendar_change_with_a_period():
    def problems(start):
        return programs.find_start_problems(LEVELS, ladder(0, 150, 300), start=start, today=TODAY)

    assert problems(date(2028, 1, 1)) == []
    (problem,) = problems(date(2028, 3, 1))
    assert problem.problem == "must begin a period, as 2028-01-01 and 2029-01-01 do"


DAYS = st.integers(0, 30).map(lambda days: TODAY + timedelta(days=days))


@given(later=st.lists(DAYS, max_size=6))
def test_of_versions_that_have_begun_the_newest_holds(later):
    """Day by day it is the same answer, and the days between never leave anything out."""
    starts = [date.min, *later]
    seen = set()
    for offset in range(-1, 32):
        day = TODAY + timedelta(days=offset)
        place = programs.holding(starts, day)
        assert starts[place] <= day
        assert all(start > day for start in starts[place + 1 :])
        seen.add(place)
        assert programs.ever_holding(starts, until=day) == sorted(seen)
    assert programs.ever_holding(starts) == sorted(seen)


def revise(before, after, tally, first, **standing):
    begun = replace(programs.begin(before, tally, first - timedelta(days=1)), **standing)
    return programs.revise(before, after, begun, tally, first)


def test_a_level_that_new_terms_no_longer_give_is_held_as_it_was_promised():
    """Reached in 2026 it holds through 2027, whatever it takes to reach it then."""
    after = ladder(0, 500, 1_000)
    tally = {date(2026, 3, 1): 250}
    standing = revise(LEVELS, after, tally, date(2027, 1, 1))
    assert (standing.level, standing.kept, standing.kept_until) == (2, 2, date(2028, 1, 1))
    assert programs.advance(after, standing, tally, date(2027, 12, 31)).level == 2
    assert programs.advance(after, standing, tally, date(2028, 1, 1)).level == 0


def test_a_rolling_level_is_held_for_the_length_of_the_window():
    window = programs.Rolling(30)
    tally = {date(2026, 5, 10): 100}
    standing = revise(
        ladder(0, 100, window=window), ladder(0, 200, window=window), tally, date(2026, 5, 21)
    )
    assert (standing.level, standing.kept_until) == (1, date(2026, 6, 20))


def test_a_level_that_new_terms_give_is_there_on_their_first_day():
    standing = revise(LEVELS, ladder(0, 10, 20, 30), {date(2026, 3, 1): 99}, date(2027, 1, 1))
    assert (standing.level, standing.kept) == (3, 0)


def test_what_was_kept_goes_on_as_it_was():
    """Days of grace that run are neither lengthened nor cut."""
    before = ladder(0, 100, 200, grace_days=31)
    tally = {date(2025, 3, 1): 200}
    begun = programs.begin(before, tally, date(2025, 6, 1))
    kept = programs.advance(before, begun, tally, date(2027, 1, 1))
    assert kept.kept_until == date(2027, 2, 1)
    assert programs.revise(
        before, ladder(0, 300, 400), kept, tally, date(2027, 1, 1)
    ).kept_until == (date(2027, 2, 1))


AMOUNTS = st.lists(st.integers(1, 500), min_size=2, max_size=2, unique=True).map(sorted)


@given(
    old=AMOUNTS,
    new=AMOUNTS,
    window=st.sampled_from([YEAR, MONTH, programs.Rolling(45)]),
    policy=st.sampled_from(programs.DowngradePolicy),
    grace_days=st.integers(0, 40),
    bought=st.dictionaries(
        st.integers(0, 400).map(lambda days: date(2026, 12, 31) - timedelta(days=days)),
        st.integers(1, 400),
        max_size=6,
    ),
)
def test_no_new_terms_take_a_level_on_their_first_day(old, new, window, policy, grace_days, bought):
    """Only the days that were promised before end as they would have ended."""
    first = date(2027, 1, 1)
    before = ladder(0, *old, window=window, policy=policy, grace_days=grace_days)
    after = ladder(0, *new, window=window, policy=policy, grace_days=grace_days)
    begun = programs.begin(before, bought, first - timedelta(days=1))
    undisturbed = programs.advance(before, begun, bought, first)
    standing = programs.revise(before, after, begun, bought, first)
    assert standing.level >= undisturbed.level
    assert standing.review_day is None or standing.review_day > first
    assert programs.revise(before, before, begun, bought, first).level == undisturbed.level
