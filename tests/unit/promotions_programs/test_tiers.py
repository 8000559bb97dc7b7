"""Levels: reached at once, kept by policy, lost with the goods that had reached them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions import engine
from services.promotions.engine import programs

SPEND = programs.Measure(programs.MeasureKind.SPEND)
VISITS = programs.Measure(programs.MeasureKind.VISITS)
YEAR = programs.Calendar(programs.PeriodUnit.YEAR)
NAMES = ("base", "silver", "gold", "platinum")
D = date


def ladder(
    window, *, measure=SPEND, policy=programs.DowngradePolicy.TO_EARNED, grace_days=0, steps=100
):
    """Return levels at 0, 100, 200 and 300."""
    return programs.TierRules(
        measure=measure,
        window=window,
        tiers=tuple(
            programs.Tier(name, engine.Text(name), place * steps)
            for place, name in enumerate(NAMES)
        ),
        downgrade=programs.Downgrade(policy, grace_days),
    )


def play(rules, *moves):
    """Return the level after each move: a day, and what is counted on it; 0 lets time pass."""
    tally: dict[date, int] = {}
    standing, levels = programs.begin(rules, tally, moves[0][0]), []
    for day, amount in moves:
        after = {**tally, day: tally.get(day, 0) + amount} if amount else tally
        standing = programs.settle(rules, standing, before=tally, after=after, today=day)
        tally = after
        levels.append(NAMES[standing.level])
    return levels


@pytest.mark.parametrize(
    ("rules", "moves", "levels"),
    [
        pytest.param(
            ladder(YEAR),
            [(D(2025, 3, 1), 99), (D(2025, 3, 2), 1), (D(2025, 12, 31), 150)],
            ["base", "silver", "gold"],
            id="purchases lift at once",
        ),
        pytest.param(
            ladder(YEAR),
            [(D(2025, 6, 1), 250), (D(2026, 12, 31), 0), (D(2027, 1, 1), 0)],
            ["gold", "gold", "base"],
            id="a level holds to the end of the next period",
        ),
        pytest.param(
            ladder(YEAR, grace_days=31),
            [(D(2025, 6, 1), 250), (D(2027, 1, 31), 0), (D(2027, 2, 1), 0)],
            ["gold", "gold", "base"],
            id="grace counts from the end of the period",
        ),
        pytest.param(
            ladder(YEAR, grace_days=31),
            [(D(2025, 6, 1), 250), (D(2027, 5, 1), 0)],
            ["gold", "base"],
            id="grace that nobody looked at is over all the same",
        ),
        pytest.param(
            ladder(YEAR, policy=programs.DowngradePolicy.ONE_LEVEL),
            [(D(2025, 6, 1), 300), (D(2027, 1, 1), 0), (D(2028, 1, 1), 0), (D(2029, 1, 1), 0)],
            ["platinum", "gold", "silver", "base"],
            id="one level a period",
        ),
        pytest.param(
            ladder(YEAR, policy=programs.DowngradePolicy.ONE_LEVEL, grace_days=10),
            [
                (D(2025, 6, 1), 300),
                (D(2027, 1, 10), 0),
                (D(2027, 1, 11), 0),
                (D(2028, 1, 10), 0),
                (D(2028, 1, 11), 0),
            ],
            ["platinum", "platinum", "gold", "gold", "silver"],
            id="one level a period, each after its grace",
        ),
        pytest.param(
            ladder(YEAR, policy=programs.DowngradePolicy.NEVER),
            [(D(2025, 6, 1), 200), (D(2035, 1, 1), 0), (D(2035, 1, 2), 300), (D(2045, 1, 1), 0)],
            ["gold", "gold", "platinum", "platinum"],
            id="never down",
        ),
        pytest.param(
            ladder(YEAR, policy=programs.DowngradePolicy.NEVER),
            [(D(2025, 6, 1), 200), (D(2025, 6, 2), -150)],
            ["gold", "base"],
            id="goods that come back take their level with them whatever the policy says",
        ),
        pytest.param(
            ladder(YEAR, grace_days=60),
            [(D(2025, 6, 1), 250), (D(2027, 1, 5), 50), (D(2027, 1, 6), -50), (D(2027, 3, 2), 0)],
            ["gold", "gold", "gold", "base"],
            id="a return does not end what grace keeps",
        ),
        pytest.param(
            ladder(programs.Calendar(programs.PeriodUnit.MONTH, past_only=True)),
            [(D(2026, 1, 31), 250), (D(2026, 2, 1), 0), (D(2026, 2, 28), 100), (D(2026, 3, 1), 0)],
            ["base", "gold", "gold", "silver"],
            id="a share by last month's spend",
        ),
        pytest.param(
            ladder(programs.Calendar(programs.PeriodUnit.MONTH, past_only=True)),
            [(D(2026, 1, 31), 250), (D(2026, 2, 1), 0), (D(2026, 4, 1), 0)],
            ["base", "gold", "base"],
            id="a month without purchases is a month at the beginning",
        ),
        pytest.param(
            ladder(programs.Rolling(30)),
            [(D(2026, 1, 1), 100), (D(2026, 1, 15), 100), (D(2026, 1, 30), 0), (D(2026, 1, 31), 0)],
            ["silver", "gold", "gold", "silver"],
            id="a rolling window lets go of its oldest day",
        ),
        pytest.param(
            ladder(programs.Rolling(30), grace_days=7),
            [(D(2026, 1, 1), 200), (D(2026, 1, 31), 0), (D(2026, 2, 6), 0), (D(2026, 2, 7), 0)],
            ["gold", "gold", "gold", "base"],
            id="grace of a rolling window",
        ),
        pytest.param(
            ladder(YEAR, measure=VISITS, steps=2),
            [(D(2026, 1, 1), 1), (D(2026, 1, 1), 1), (D(2026, 1, 2), 1), (D(2026, 1, 3), 1)],
            ["base", "base", "silver", "silver"],
            id="two receipts of one day are one visit",
        ),
    ],
)
def test_levels_follow_purchases_returns_and_time(rules, moves, levels):
    assert play(rules, *moves) == levels


def test_progress_names_the_next_level_and_what_is_missing():
    rules = ladder(YEAR)
    tally = {D(2026, 2, 1): 140}
    standing = programs.begin(rules, tally, D(2026, 2, 2))
    progress = programs.find_progress(rules, standing, tally, D(2026, 2, 2))
    assert (progress.amount, progress.next_level, progress.missing) == (140, 2, 60)


def test_the_highest_level_has_no_next_one():
    rules = ladder(YEAR)
    tally = {D(2026, 2, 1): 1_000}
    standing = programs.begin(rules, tally, D(2026, 2, 2))
    assert programs.find_progress(rules, standing, tally, D(2026, 2, 2)).next_level is None


@pytest.mark.parametrize(
    ("amounts", "names", "fields"),
    [
        ((1, 2), ("a", "b"), ["tiers[0].from_amount"]),
        ((0, 5, 5), ("a", "b", "c"), ["tiers[2].from_amount"]),
        ((0, 5), ("a", "a"), ["tiers[1].tier_id"]),
        ((0, 5), ("a", "b"), []),
    ],
)
def test_levels_that_cannot_work_are_named(amounts, names, fields):
    rules = programs.TierRules(
        SPEND,
        YEAR,
        tuple(
            programs.Tier(name, engine.Text(name), amount)
            for name, amount in zip(names, amounts, strict=True)
        ),
    )
    assert [problem.field for problem in programs.find_tier_problems(rules)] == fields


windows = st.one_of(
    st.builds(programs.Calendar, st.sampled_from(programs.PeriodUnit), st.booleans()),
    st.builds(programs.Rolling, st.integers(1, 40)),
)
rulebooks = st.builds(
    ladder,
    windows,
    measure=st.sampled_from([SPEND, VISITS]),
    policy=st.sampled_from(programs.DowngradePolicy),
    grace_days=st.sampled_from([0, 0, 1, 20]),
    steps=st.sampled_from([2, 100]),
)
gaps = st.integers(0, 45)
stories = st.lists(st.tuples(gaps, st.integers(0, 250)), min_size=1, max_size=12)
START_DAY = D(2025, 11, 20)


@given(rulebooks, stories, st.integers(0, 400))
def test_nothing_changes_before_the_review_day(rules, story, later):
    """A reader may trust a stored level until the day that it names."""
    standing, tally, today = _live(rules, story)
    day = today + timedelta(days=later)
    passed = programs.advance(rules, standing, tally, day)
    if standing.review_day is None or day < standing.review_day:
        assert passed == standing
        assert standing.level == max(programs.begin(rules, tally, day).level, standing.kept)
    assert programs.advance(rules, passed, tally, day) == passed


@given(rulebooks, stories)
def test_everything_brought_back_leaves_only_what_is_kept(rules, story):
    """Goods that nobody has any more hold no level."""
    standing, tally, today = _live(rules, story)
    bare = programs.settle(rules, standing, before=tally, after={}, today=today)
    assert bare.level == bare.kept <= standing.level


@given(rulebooks, stories, st.integers(1, 300))
def test_a_purchase_never_lowers_a_level(rules, story, amount):
    standing, tally, today = _live(rules, story)
    more = {**tally, today: tally.get(today, 0) + amount}
    assert programs.settle(rules, standing, before=tally, after=more, today=today).level >= (
        standing.level
    )


@given(rulebooks, stories, stories)
def test_time_takes_one_level_at_most_when_the_policy_says_so(rules, story, rest):
    """And none at all when it says never."""
    standing, tally, today = _live(rules, story)
    for gap, _ in rest:
        today += timedelta(days=gap)
        passed = programs.advance(rules, standing, tally, today)
        if rules.downgrade.policy is programs.DowngradePolicy.NEVER:
            assert passed.level >= standing.level
        if rules.downgrade.policy is programs.DowngradePolicy.ONE_LEVEL:
            assert passed.level >= standing.level - 1
        standing = passed


def _live(rules, story):
    tally: dict[date, int] = {}
    today = START_DAY
    standing = programs.begin(rules, tally, today)
    for gap, amount in story:
        today += timedelta(days=gap)
        after = {**tally, today: tally.get(today, 0) + amount} if amount else tally
        standing = programs.settle(rules, standing, before=tally, after=after, today=today)
        tally = after
    return standing, tally, today
