"""Page tokens and times that callers send."""

from datetime import UTC, datetime

import pytest
from google.protobuf import timestamp_pb2

from services.chassis import errors as chassis_errors
from services.promotions import errors
from services.promotions.wire import pages, times

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("prefix", "read"), [("rcp", pages.receipt), ("sub", pages.subscription)])
def test_a_token_leads_back_to_a_place_in_time(prefix, read):
    """And to no other kind of entry."""
    place = NOON, f"{prefix}_{'0' * 32}"
    assert pages.position("list", pages.token("list", *place), read) == place
    for bad in ((NOON, "cmp_" + "0" * 32), (NOON, ""), ("noon", place[1]), (place[1],)):
        with pytest.raises(errors.PageTokenInvalid):
            pages.position("list", pages.token("list", *bad), read)


@pytest.mark.parametrize("seconds", [-(10**15), -1, 946684799, 7258118400, 10**15])
def test_times_outside_of_the_calendar_are_refused(seconds):
    """A till's clock shows a year of this century or the next."""
    with pytest.raises(chassis_errors.InvalidRequest):
        times.read(timestamp_pb2.Timestamp(seconds=seconds), field="occurred_time")
