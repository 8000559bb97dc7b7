"""Where two messages differ."""

from typing import Any

import pytest
from google.protobuf import json_format
from tessera.promotions.v1 import checkout_service_pb2

from services.chassis import differences

BASE: dict[str, Any] = {
    "receipt_key": {"store_id": "s", "till_id": "1", "shift_id": "1", "receipt_number": "7"},
    "cart": {
        "store_id": "s",
        "lines": [{"line_id": "1", "sku": "a"}, {"line_id": "2", "sku": "b"}],
        "coupon_codes": ["ONE"],
    },
    "expected_total_minor": 5,
}


def commit(**changes):
    return json_format.ParseDict({**BASE, **changes}, checkout_service_pb2.CommitRequest())


def test_equal_messages_do_not_differ():
    """Whatever they hold."""
    assert not differences.find_difference(commit(), commit())


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"expected_total_minor": 6}, "expected_total_minor"),
        ({"cart": {**BASE["cart"], "coupon_codes": ["ONE", "TWO"]}}, "cart.coupon_codes[1]"),
        ({"cart": {**BASE["cart"], "coupon_codes": []}}, "cart.coupon_codes[0]"),
        (
            {"cart": {**BASE["cart"], "lines": [{"line_id": "1", "sku": "c"}]}},
            "cart.lines[0].sku",
        ),
        ({"cart": {**BASE["cart"], "lines": BASE["cart"]["lines"][:1]}}, "cart.lines[1]"),
        (
            {"cart": {**BASE["cart"], "member_key": {"card_number": "1234"}}},
            "cart.member_key",
        ),
        ({"occurred_time": "2026-01-01T00:00:00Z"}, "occurred_time"),
        ({"receipt_key": {}, "expected_total_minor": 9}, "receipt_key.store_id"),
    ],
)
def test_the_first_difference_is_named(changes, path):
    """In the contract's order, with the place in a list; absent and present differ."""
    assert differences.find_difference(commit(), commit(**changes)) == path


def test_the_kind_of_a_choice_differs():
    """The same text as a card and as a phone are two things."""
    one = commit(cart={"member_key": {"card_number": "12345"}})
    other = commit(cart={"member_key": {"phone": "12345"}})
    assert differences.find_difference(one, other) == "cart.member_key.card_number"
