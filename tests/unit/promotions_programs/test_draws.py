"""Draws: fair, repeatable, and checked by anybody."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions.engine import programs

SEED = bytes(range(32))


def entries_of(*tickets):
    return [programs.Entry(f"rcp_{place:04}", count) for place, count in enumerate(tickets)]


def published(true, **changed):
    """Return what is wrong with a draw as it is published, with what somebody has changed."""
    whole = {
        "seed": SEED.hex(),
        "sealed": programs.seal(SEED),
        "entries": true,
        "listed": programs.digest(true),
        "winners": programs.draw(SEED, true, count=2),
    }
    return programs.verify(**{**whole, **changed})


def test_the_arithmetic_is_the_published_one():
    """Worked out by hand once, with nothing but SHA-256: it must never change."""
    entries = entries_of(1, 2, 3)
    assert programs.digest(entries) == (
        "8ef130ee51395de46be2fe709feaed671eefdffef8febc1bda8265fc847cf23f"
    )
    assert programs.draw(SEED, entries, count=3) == ["rcp_0002", "rcp_0001", "rcp_0000"]


def test_a_draw_that_was_tampered_with_is_found_out():
    entries = entries_of(1, 5, 2, 9)
    assert published(entries) == []
    assert published(entries, seed="00" * 32) == ["the seed is not the one that was sealed"]
    more = entries_of(1, 5, 2, 10)
    assert published(entries, entries=more) == ["the list is not the one that was published"]
    assert published(entries, winners=["rcp_0000", "rcp_0000"]) == [
        "the winners do not follow from the seed and the list"
    ]
    backwards = entries[::-1]
    assert published(entries, entries=backwards, listed=programs.digest(backwards)) == [
        "the list is not in the order of receipts, each once"
    ]
    empty = [*entries, programs.Entry("rcp_0009", 0)]
    assert published(entries, entries=empty, listed=programs.digest(empty)) == [
        "a receipt on the list has no ticket"
    ]


@given(
    st.binary(min_size=32, max_size=32),
    st.lists(st.integers(1, 1_000), max_size=20),
    st.integers(0, 25),
)
def test_a_receipt_wins_once_and_every_prize_goes_out(seed, tickets, count):
    entries = entries_of(*tickets)
    winners = programs.draw(seed, entries, count=count)
    assert len(winners) == len(set(winners)) == min(count, len(entries))
    assert set(winners) <= {entry.receipt_id for entry in entries}
    assert programs.draw(seed, entries, count=count) == winners


def test_tickets_win_in_proportion():
    """Over two thousand seeds, three tickets of four win three times of four."""
    entries = entries_of(1, 3)
    wins = Counter(
        programs.draw(number.to_bytes(32, "big"), entries, count=1)[0] for number in range(2_000)
    )
    assert 1_440 < wins["rcp_0001"] < 1_560


def test_days_that_cannot_be_are_named():
    today = date(2026, 3, 2)

    def problems(first, last):
        rules = programs.DrawRules(
            programs.Measure(programs.MeasureKind.SPEND), 100, first, last, (programs.Prize(1),)
        )
        return [one.field for one in programs.find_draw_problems(rules, today=today)]

    assert problems(today, today) == []
    assert problems(date(2026, 3, 1), today) == ["first_date"]
    assert problems(date(2026, 3, 5), date(2026, 3, 4)) == ["last_date"]
    assert problems(today, date(2199, 12, 31)) == []
    assert problems(today, date(2200, 1, 1)) == ["last_date"]
    assert problems(date(9999, 12, 31), date(9999, 12, 31)) == ["first_date", "last_date"]


@pytest.mark.parametrize(
    ("last", "hold_days", "ready"),
    [
        (date(2026, 3, 2), 0, date(2026, 3, 3)),
        (date(2026, 2, 28), 14, date(2026, 3, 15)),
        (date(9999, 12, 31), 366, date(9999, 12, 31)),
        (date(9999, 12, 30), 0, date(9999, 12, 31)),
    ],
)
def test_a_draw_is_ready_after_the_days_of_returns(last, hold_days, ready):
    """Days at the end of the calendar are no exception."""
    rules = programs.DrawRules(
        programs.Measure(programs.MeasureKind.SPEND),
        100,
        date(2026, 1, 1),
        last,
        (programs.Prize(1),),
        hold_days,
    )
    assert rules.ready == ready
