"""Identifiers: their form, their order, and that parts never run together."""

import re
import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import ids

UUIDS = st.integers(min_value=0, max_value=2**128 - 1).map(lambda value: UUID(int=value))


def test_fresh_identifiers_have_the_wire_form():
    """A prefix, an underscore, 32 lower-case hexadecimal digits."""
    assert re.fullmatch(r"mem_[0-9a-f]{32}", ids.new("mem"))


def test_uuid7_follows_the_rfc():
    """Version 7, variant 10, milliseconds in front."""
    before = time.time_ns() // 1_000_000
    value = ids.uuid7()
    after = time.time_ns() // 1_000_000
    assert value.version == 7
    assert value.variant == "specified in RFC 4122"
    assert before <= value.int >> 80 <= after


def test_later_identifiers_sort_later():
    """Rows made one after the other lie side by side in an index."""
    made = []
    for _ in range(20):
        made.append(ids.uuid7())
        tick = time.time_ns()
        while time.time_ns() < tick + 1_000:
            pass
    assert made == sorted(made)


@given(UUIDS)
def test_parse_undoes_show(value):
    """Nothing is lost on the wire."""
    assert ids.parse("rcp", ids.show("rcp", value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "mem", "mem_", "crd_" + "0" * 32, "mem_" + "0" * 31, "mem_" + "0" * 33, "mem_" + "A" * 32,
     "mem_" + "0" * 32 + "\n", "mem" + "0" * 33, "mem_-" + "0" * 31],
)  # fmt: skip
def test_parse_refuses_everything_else(text):
    """Other types, other lengths and other alphabets are not identifiers."""
    with pytest.raises(ValueError, match="identifier"):
        ids.parse("mem", text)


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_derived_identifiers_are_equal_only_for_equal_parts(left, right):
    """('ab', 'c') and ('a', 'bc') are different things."""
    same = ids.derive("rcp", *left) == ids.derive("rcp", *right)
    assert same == (left == right)


def test_derived_identifiers_never_change():
    """They are written into databases: a new formula would lose every old receipt."""
    assert ids.derive("rcp", "store-1", "till-2", "77") == ids.derive(
        "rcp", "store-1", "till-2", "77"
    )
    assert ids.derive("rcp", "a", "b") == "rcp_704ad2a131578cc8bfa6f66b30ba79c2"
    assert ids.parse("rcp", ids.derive("rcp", "a")).version == 8
