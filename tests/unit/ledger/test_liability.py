"""What is owed, against tables computed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import engine, errors

#: January of year 0 has number 0.
MAY = 4


def history(*rows):
    """Return a history from (cohort, credited, [(used, expired) by age])."""
    return engine.History(
        [(cohort, credited) for cohort, credited, _ in rows],
        [
            engine.Taken(cohort, age, used, expired)
            for cohort, _, exits in rows
            for age, (used, expired) in enumerate(exits)
        ],
    )


def test_the_share_that_expires_follows_from_use_and_expiry_at_each_age():
    """Three months of earning; points expire when they are two months old.

    age 0: 300 + 100 + 100 left, 150 + 40 + 10 used: 2/5 used
    age 1: 150 + 60 left (March's first month is its only one), 90 + 15 used: 1/2 used
    age 2: 60 left, 15 used, 45 expired: 1/4 used, 3/4 expired
    so b(2) = 3/4, b(1) = 1/2 * 3/4 = 3/8, b(0) = 3/5 * 3/8 = 9/40
    """
    seen = history(
        (0, 300, [(150, 0), (90, 0), (15, 45)]),
        (1, 100, [(40, 0), (15, 0)]),
        (2, 100, [(10, 0)]),
    )
    # April has not begun to be over: what was earned in it, and used in it, tells nothing yet.
    seen = engine.History([*seen.credited, (3, 999)], [*seen.taken, engine.Taken(3, 0, 500, 0)])
    rates = engine.breakage_rates(seen, month=3)
    assert rates == [225_000_000, 375_000_000, 750_000_000]


def test_returns_that_outweigh_use_make_no_share_negative():
    seen = history((0, 100, [(-5, 0), (10, 95)]))
    assert engine.breakage_rates(seen, month=2) == [904_761_904, 904_761_904]


def test_an_age_that_nobody_has_seen_breaks_nothing():
    assert engine.breakage_rates(history(), month=MAY) == []
    live = [engine.Outstanding(7, MAY + 5, 1000, 0, 0)]
    found = engine.liability(live, history((0, 100, [(0, 100)])), expired=3, month=1)
    assert (found.breakage, found.outstanding, found.expired) == (0, 1000, 3)


def test_what_is_owed_is_told_by_age_and_by_month_of_expiry():
    """What never expires is listed last and breaks nothing."""
    seen = history((0, 100, [(50, 0), (0, 50)]))  # b(0) = 1/2, b(1) = 1
    live = [
        engine.Outstanding(0, MAY + 1, 70, 30, 0),
        engine.Outstanding(0, None, 40, 0, 0),
        engine.Outstanding(1, MAY, 15, 0, 5),
        engine.Outstanding(1, MAY + 1, 1, 0, 0),
    ]
    found = engine.liability(live, seen, expired=0, month=MAY)
    assert (found.available, found.pending, found.held) == (126, 30, 5)
    assert [(line.age, line.outstanding, line.breakage) for line in found.by_age] == [
        (0, 140, 50),
        (1, 21, 21),
    ]
    assert found.breakage == 71
    assert [tuple(line) for line in found.by_expiry] == [
        (MAY, 15, 0, 5),
        (MAY + 1, 71, 30, 0),
        (None, 40, 0, 0),
    ]


def test_what_cannot_be_told_is_refused():
    """Points beyond 64 bits, and money."""
    line = engine.Outstanding(0, None, 10**18, 0, 0)
    nothing = engine.History((), ())
    assert engine.liability([line] * 9, nothing, expired=0, month=1).available == 9 * 10**18
    with pytest.raises(errors.AmountTooLarge):
        engine.liability([line] * 10, nothing, expired=0, month=1)
    with pytest.raises(errors.AmountTooLarge):
        engine.money(10**10, value_minor=10**9, units=1)


def test_money_is_rounded_half_up():
    assert engine.money(149, value_minor=1, units=100) == 1
    assert engine.money(150, value_minor=1, units=100) == 2
    assert engine.money(0, value_minor=1, units=100) == 0


cohorts = st.lists(
    st.tuples(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)))),
    max_size=8,
)


@given(cohorts)
def test_no_share_is_below_nothing_or_above_everything(rows):
    """Whatever the history; and an age's share is never below what has expired at it."""
    kept = []
    for cohort, (credited, exits) in enumerate(rows):
        left, possible = credited, []
        for wanted, lost in exits:
            used = min(wanted, left)
            expired = min(lost, left - used)
            left -= used + expired
            possible.append((used, expired))
        kept.append((cohort, credited, possible))
    rates = engine.breakage_rates(history(*kept), month=len(rows))
    assert all(0 <= rate <= engine.WHOLE for rate in rates)
