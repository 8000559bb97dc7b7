"""When lots become active and when they expire: calendar arithmetic in the asset's time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import engine
from services.ledger.engine import assets

MOSCOW = "Europe/Moscow"
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


def _policy(expiry, *, zone="UTC", pending_days=0):
    return engine.LotPolicy(pending_days, expiry, zone)


def _at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def _months(number, rounding=engine.Rounding.NONE):
    return engine.Rolling(number, 0, rounding)


def _days(number, rounding=engine.Rounding.NONE):
    return engine.Rolling(0, number, rounding)


@pytest.mark.parametrize(
    ("start", "rule", "zone", "end"),
    [
        # To the instant, where the month has the day.
        ("2026-01-15T10:30+00:00", _months(1), "UTC", "2026-02-15T10:30+00:00"),
        ("2026-01-15T10:30+00:00", _days(30), "UTC", "2026-02-14T10:30+00:00"),
        # 31 January plus one month: the last day of February, valid to its end.
        ("2026-01-31T10:30+00:00", _months(1), "UTC", "2026-03-01T00:00+00:00"),
        ("2028-01-31T10:30+00:00", _months(1), "UTC", "2028-03-01T00:00+00:00"),
        ("2026-01-31T23:30+03:00", _months(1), MOSCOW, "2026-03-01T00:00+03:00"),
        # 22:30 in London is already February in Moscow.
        ("2026-01-31T22:30+00:00", _months(1), MOSCOW, "2026-03-01T01:30+03:00"),
        ("2024-02-29T12:00+00:00", _months(12), "UTC", "2025-03-01T00:00+00:00"),
        ("2026-12-31T12:00+00:00", _months(2), "UTC", "2027-03-01T00:00+00:00"),
        # Rounded: the end belongs to the last day; the boundary is the midnight after it.
        (
            "2026-01-15T10:30+00:00",
            _days(30, engine.Rounding.END_OF_DAY),
            BERLIN,
            "2026-02-15T00:00+01:00",
        ),
        (
            "2026-01-15T10:30+00:00",
            _months(1, engine.Rounding.END_OF_MONTH),
            BERLIN,
            "2026-03-01T00:00+01:00",
        ),
        (
            "2026-01-15T10:30+00:00",
            _months(1, engine.Rounding.END_OF_QUARTER),
            BERLIN,
            "2026-04-01T00:00+02:00",
        ),
        (
            "2026-11-15T10:30+00:00",
            _months(1, engine.Rounding.END_OF_YEAR),
            BERLIN,
            "2027-01-01T00:00+01:00",
        ),
        # Across a change of the clocks the local time stays.
        ("2026-03-15T10:30+01:00", _days(30), BERLIN, "2026-04-14T10:30+02:00"),
        # 02:30 is left out on 29 March: as many minutes after the gap.
        ("2026-02-27T02:30+01:00", _days(30), BERLIN, "2026-03-29T03:30+02:00"),
        # 02:30 comes twice on 25 October: the first.
        ("2026-10-24T02:30+02:00", _days(1), BERLIN, "2026-10-25T02:30+02:00"),
        # A midnight that is left out is the moment of the jump.
        (
            "2018-10-03T12:00-03:00",
            _months(1, engine.Rounding.END_OF_DAY),
            "America/Sao_Paulo",
            "2018-11-04T01:00-02:00",
        ),
    ],
)
def test_a_rolling_expiry_ends_where_the_calendar_says(start, rule, zone, end):
    """The table is the specification."""
    assert assets.expiry(_policy(rule, zone=zone), activated_at=_at(start)) == _at(end)


@pytest.mark.parametrize(
    ("start", "days", "minimum", "end"),
    [
        ("2026-05-01T12:00+03:00", ((12, 31),), 0, "2027-01-01T00:00+03:00"),
        ("2026-12-31T12:00+03:00", ((12, 31),), 0, "2027-01-01T00:00+03:00"),
        ("2026-12-31T12:00+03:00", ((12, 31),), 1, "2028-01-01T00:00+03:00"),
        ("2026-05-01T12:00+03:00", ((6, 30), (12, 31)), 60, "2026-07-01T00:00+03:00"),
        ("2026-05-01T12:00+03:00", ((12, 31), (6, 30)), 61, "2027-01-01T00:00+03:00"),
        # 29 February is 28 February in years that have no other.
        ("2026-01-10T12:00+03:00", ((2, 29),), 0, "2026-03-01T00:00+03:00"),
        ("2028-01-10T12:00+03:00", ((2, 29),), 0, "2028-03-01T00:00+03:00"),
        # The day counts where the policy's zone is: 31 December 23:00 UTC is January in Moscow.
        ("2026-12-31T23:00+00:00", ((12, 31),), 0, "2028-01-01T00:00+03:00"),
    ],
)
def test_a_calendar_expiry_is_the_first_marked_day_that_is_late_enough(start, days, minimum, end):
    """Valid to the end of the day."""
    policy = _policy(engine.Calendar(days, minimum), zone=MOSCOW)
    assert assets.expiry(policy, activated_at=_at(start)) == _at(end)


def test_pending_days_keep_the_local_time_over_a_change_of_the_clocks():
    """Three days over the night of the change are 71 hours."""
    policy = _policy(None, zone=BERLIN, pending_days=3)
    credited = _at("2026-03-27T10:00+01:00")
    assert assets.activation(policy, credited_at=credited) == _at("2026-03-30T10:00+02:00")


def test_no_delay_is_the_very_instant_even_in_an_hour_that_comes_twice():
    """The second 02:30 of the night stays the second."""
    credited = _at("2026-10-25T02:30+01:00")
    assert assets.activation(_policy(None, zone=BERLIN), credited_at=credited) == credited


def test_waiting_for_a_release_has_no_activation():
    """Only the release knows."""
    assert (
        assets.activation(_policy(None, pending_days=None), credited_at=_at("2026-01-01")) is None
    )


def test_a_sliding_expiry_ends_with_the_last_day_without_a_credit():
    """30 days after the credit, at the local midnight."""
    policy = _policy(engine.Sliding(30), zone=NEW_YORK)
    credited = _at("2026-01-01T23:00-05:00")
    assert assets.slide(policy, credited_at=credited) == _at("2026-02-01T00:00-05:00")


def test_other_policies_do_not_slide():
    """Credits renew nothing there."""
    assert assets.slide(_policy(_days(3)), credited_at=_at("2026-01-01")) is None


zones = st.sampled_from(
    ["UTC", MOSCOW, BERLIN, NEW_YORK, "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"]
)
instants = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2090, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
rules = st.one_of(
    st.builds(engine.Rolling, st.integers(1, 120), st.just(0), st.sampled_from(engine.Rounding)),
    st.builds(engine.Rolling, st.just(0), st.integers(1, 3650), st.sampled_from(engine.Rounding)),
    st.builds(
        engine.Calendar,
        st.lists(st.tuples(st.integers(1, 12), st.integers(1, 31)), min_size=1, max_size=4).map(
            tuple
        ),
        st.integers(0, 366),
    ),
    st.builds(engine.Sliding, st.integers(1, 3650)),
)


@given(rules, zones, instants)
def test_a_lot_lives_for_a_while_under_every_policy(rule, zone, start):
    """An expiry is always after the activation."""
    ends = assets.expiry(_policy(rule, zone=zone), activated_at=start)
    assert ends is not None
    assert ends > start


@given(rules, zones, instants, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_later_start_never_ends_earlier(rule, zone, start, delay):
    """Policies keep the order of credits, but for the hours around a change of the clocks."""
    policy = _policy(rule, zone=zone)
    early = assets.expiry(policy, activated_at=start)
    late = assets.expiry(policy, activated_at=start + delay)
    assert early is not None
    assert late is not None
    assert late >= early - timedelta(days=1)


@given(st.integers(1, 24), zones, instants)
def test_end_of_month_is_a_local_midnight_on_the_first(months, zone, start):
    """Unless the zone leaves that midnight out."""
    policy = _policy(_months(months, engine.Rounding.END_OF_MONTH), zone=zone)
    ends = assets.expiry(policy, activated_at=start)
    assert ends is not None
    local = ends.astimezone(ZoneInfo(zone))
    assert local.day == 1
    assert local.hour <= 1 or zone == "Pacific/Apia"


def test_the_first_difference_of_two_assets_is_named_as_in_the_contract():
    """Creation time is no property."""
    start = _at("2026-01-01")
    one = engine.Asset("points", 0, 0, None, None, start)
    assert (
        engine.first_difference(one, engine.Asset("points", 0, 0, None, None, _at("2027-01-01")))
        is None
    )
    assert engine.first_difference(one, engine.Asset("points", 2, 0, None, None, start)) == "scale"
    other = engine.Asset("points", 0, 0, None, _policy(None), start)
    assert engine.first_difference(one, other) == "lot_policy"
