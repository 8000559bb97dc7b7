"""Carts whose amounts cannot be counted."""

import pytest

from services.promotions import engine


def _cart(*lines):
    return engine.Cart(
        "S1",
        engine.Channel.TILL,
        "EUR",
        tuple(engine.CartLine(str(place), "ale", *line) for place, line in enumerate(lines)),
    )


@pytest.mark.parametrize(
    ("lines", "line_id"),
    [
        ([(1_000, 100), (1, 100)], "1"),
        ([(100_000_000, 1_000_000_000)], ""),
        ([(1_000_000, 999_999_999), (1_000, 999_999)] * 2, ""),
    ],
)
def test_what_cannot_be_counted_is_named(lines, line_id):
    """A line that has a price and comes to nothing, or a sum above the contract's bounds."""
    problem = engine.find_amount_problem(_cart(*lines))
    assert problem is not None
    assert problem.line_id == line_id


def test_goods_given_away_are_no_problem():
    """A price of 0 is a gift, not a mistake."""
    assert engine.find_amount_problem(_cart((1_000, 0), (5, 100))) is None
