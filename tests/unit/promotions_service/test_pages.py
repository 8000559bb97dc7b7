"""Page tokens and times that callers send."""

import pytest
from google.protobuf import timestamp_pb2

from services.chassis import errors as chassis_errors
from services.promotions import errors
from services.promotions.wire import pages, times


def test_a_token_leads_back_to_its_entry():
    """Whatever the entry is called."""
    for last in ("a", "ключ", "a:b", "x" * 64):
        assert pages.read("stores", pages.write("stores", last)) == last
    assert not pages.read("stores", "")


@pytest.mark.parametrize(
    "token", ["x", "%%%", "AAAA", pages.write("campaigns", "a"), pages.write("stores", ""), "é"]
)
def test_another_token_is_refused(token):
    """Made up, of another list, or of no entry."""
    with pytest.raises(errors.PageTokenInvalid):
        pages.read("stores", token)


def test_a_token_leads_back_to_its_id_or_number():
    program_id = "prg_" + "0" * 32
    token = pages.write("programs", program_id)
    assert pages.read_id("programs", "prg", token) == program_id
    assert pages.read_id("programs", "prg", "") is None
    assert pages.read_number("changes", pages.write("changes", "17")) == 17
    assert pages.read_number("changes", "") is None


@pytest.mark.parametrize("last", ["a", "-1", "²", "1" * 19, "cmp_" + "0" * 32, "prg_1"])
def test_a_token_with_another_kind_of_entry_is_refused(last):
    """Whoever makes up a token is told so, and nothing breaks."""
    token = pages.write("list", last)
    with pytest.raises(errors.PageTokenInvalid):
        pages.read_id("list", "prg", token)
    with pytest.raises(errors.PageTokenInvalid):
        pages.read_number("list", token)


@pytest.mark.parametrize("seconds", [-(10**15), -1, 946684799, 7258118400, 10**15])
def test_times_outside_of_the_calendar_are_refused(seconds):
    """A till's clock shows a year of this century or the next."""
    with pytest.raises(chassis_errors.InvalidRequest):
        times.read(timestamp_pb2.Timestamp(seconds=seconds), field="occurred_time")
