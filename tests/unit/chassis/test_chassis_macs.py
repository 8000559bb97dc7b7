"""Keyed hashes: what was stored under them is found again by every later version."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import macs

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), b""),
        (("",), b"\0\0\0\0"),
        (("ab", "c"), b"\0\0\0\x02ab\0\0\0\x01c"),
        (("é",), b"\0\0\0\x02\xc3\xa9"),
    ],
)
def test_the_message_is_each_part_behind_its_length(parts, message):
    assert macs.mac(KEY, *parts) == hmac.new(KEY, message, hashlib.sha256).digest()


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_no_part_runs_into_the_next(one, other):
    """Texts that are the same only when written in a row are different."""
    assert (macs.mac(KEY, *one) == macs.mac(KEY, *other)) == (one == other)
