"""Returns that cannot be, and what a return carries on to the next."""

from datetime import UTC, datetime

import pytest

from services.promotions import engine

_NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)


@pytest.fixture
def sale():
    cart = engine.Cart(
        "S1",
        engine.Channel.TILL,
        "EUR",
        (engine.CartLine("1", "ale", 3_000, 250), engine.CartLine("2", "bun", 532, 999)),
    )
    facts = engine.Facts(engine.Store(), {})
    ruleset = engine.compile([], version=1)
    return ruleset, cart, facts, engine.evaluate(ruleset, cart, facts, now=_NOW)


def _return(sale, returned, before=None):
    before = before or engine.ReturnedSoFar()
    return engine.price_return(*sale, now=_NOW, returned=returned, before=before)


def test_a_line_that_was_not_bought_does_not_come_back(sale):
    """The refusal names the line."""
    with pytest.raises(engine.LineUnknown) as caught:
        _return(sale, {"9": 1_000})
    assert caught.value.line_id == "9"


def test_more_than_was_bought_does_not_come_back(sale):
    """What came back before counts, and the refusal says how much is left."""
    first = _return(sale, {"1": 2_000})
    with pytest.raises(engine.ReturnExceeds) as caught:
        _return(sale, {"1": 2_000}, first.so_far)
    assert (caught.value.line_id, caught.value.remaining_thousandths) == ("1", 1_000)


@pytest.mark.parametrize("quantity", [0, -1_000])
def test_nothing_or_less_does_not_come_back(sale, quantity):
    """A return has goods."""
    with pytest.raises(engine.ReturnExceeds):
        _return(sale, {"1": quantity})


def test_what_came_back_is_carried_on(sale):
    """Quantities add up over returns, in the order of the receipt's lines."""
    first = _return(sale, {"2": 32})
    second = _return(sale, {"1": 1_000, "2": 500}, first.so_far)
    assert second.so_far.quantities == (("1", 1_000), ("2", 532))
    assert second.remaining is not None
    assert [line.line_id for line in second.remaining.lines] == ["1"]
    assert second.so_far.refund_minor == first.refund_minor + second.refund_minor


def test_the_rest_makes_no_messages_and_takes_nothing(sale):
    """A return is a statement on the rest, not a new purchase."""
    answer = _return(sale, {"1": 1_000})
    assert answer.remaining is not None
    assert answer.remaining.messages == ()
    assert answer.remaining.charges == ()
