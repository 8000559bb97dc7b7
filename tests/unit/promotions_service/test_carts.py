"""Carts as they come over the wire."""

import pytest
from tessera.promotions.v1 import campaign_pb2, checkout_pb2

from services.promotions import errors
from services.promotions.wire import carts


@pytest.mark.parametrize(
    ("count", "quantity", "price", "line_id", "field", "problem"),
    [
        (1, 1, 1, "0", "lines[0]", "its amount rounds to nothing"),
        (1_000, 100_000_000, 1_000_000_000, "", "lines", "the sum is above"),
    ],
)
def test_amount_that_cannot_be_counted_says_why(count, quantity, price, line_id, field, problem):
    """A line is named in the metadata; the sum belongs to none."""
    lines = [
        checkout_pb2.CartLine(
            line_id=str(place), sku="x", quantity_thousandths=quantity, unit_price_minor=price
        )
        for place in range(count)
    ]
    with pytest.raises(errors.AmountOutOfRange) as caught:
        carts.parse_cart(checkout_pb2.Cart(channel=campaign_pb2.CHANNEL_TILL, lines=lines))
    assert caught.value.metadata["line_id"] == line_id
    assert caught.value.metadata["field"] == field
    assert problem in str(caught.value)
    assert "(line" not in str(caught.value)
