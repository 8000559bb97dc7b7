"""Amounts: divided without losing or making a cent."""

from hypothesis import given
from hypothesis import strategies as st

from services.promotions.engine import amounts

_weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=12)


def test_odd_cents_go_to_the_largest_remainder_then_the_larger_weight_then_the_first():
    """Three rules, in this order, place every cent in one way only."""
    assert amounts.spread(10, [1, 1, 1]) == [4, 3, 3]
    assert amounts.spread(10, [50, 25, 25]) == [5, 3, 2]
    assert amounts.spread(1, [1, 2, 2]) == [0, 1, 0]
    assert amounts.spread(0, [0, 0]) == [0, 0]


def test_what_a_full_place_cannot_take_moves_on():
    """Ceilings hold, and what they push out is divided again by weight."""
    assert amounts.spread_within(12, [10, 20, 50, 30], [10, 1, 0, 1]) == [10, 1, 0, 1]
    assert amounts.spread_within(12, [10, 20, 50, 30], [10, 1, 0, 4]) == [7, 1, 0, 4]
    assert amounts.spread_within(20, [10, 20, 50, 30], [10, 1, 0, 4]) == [10, 1, 0, 4]


def test_prices_round_half_up():
    """Half a cent is a cent."""
    assert amounts.price(quantity_thousandths=500, unit_price_minor=1) == 1
    assert amounts.price(quantity_thousandths=499, unit_price_minor=1) == 0
    assert amounts.price_up(quantity_thousandths=1, unit_price_minor=1) == 1
    assert amounts.price_up(quantity_thousandths=1_000, unit_price_minor=7) == 7


@given(st.integers(0, 10**12), _weights)
def test_spread_keeps_the_total_and_stays_within_one_of_the_exact_share(total, weights):
    """No place gets a whole cent more or less than its share."""
    whole = sum(weights)
    total = total if whole else 0
    shares = amounts.spread(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * whole - total * weight) < max(whole, 1)


@given(st.integers(0, 10**7), st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6))))
def test_spread_within_gives_all_that_fits(total, places):
    """Nothing above a ceiling, nothing kept back while a place has room."""
    ceilings = [ceiling for _, ceiling in places]
    shares = amounts.spread_within(total, [weight for weight, _ in places], ceilings)
    assert all(0 <= share <= most for share, most in zip(shares, ceilings, strict=True))
    assert sum(shares) == min(total, sum(ceilings))


@given(st.integers(0, 10**7), st.lists(st.integers(0, 10**6)))
def test_fill_serves_in_order(total, ceilings):
    """A place gets something only when all before it are full."""
    shares = amounts.fill(total, ceilings)
    assert sum(shares) == min(total, sum(ceilings))
    short = [share < most for share, most in zip(shares, ceilings, strict=True)]
    assert not any(shares[short.index(True) + 1 :]) if True in short else True
