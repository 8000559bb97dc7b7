"""Goods chosen from what a member has bought and kept."""

from hypothesis import given
from hypothesis import strategies as st

from services.promotions import engine
from services.promotions.engine import programs


def bought(*lines):
    """Return a purchase of (article, units kept, paid)."""
    cart = engine.Cart(
        store_id="S1",
        channel=engine.Channel.TILL,
        currency_code="EUR",
        lines=tuple(
            engine.CartLine(str(place), sku, 1_000, 100) for place, (sku, _, _) in enumerate(lines)
        ),
    )
    facts = engine.Facts(
        store=engine.Store(), articles={"ale": engine.Article(category_ids=frozenset({"drinks"}))}
    )
    kept = {
        str(place): programs.Kept(units * 1_000, paid, 0)
        for place, (_, units, paid) in enumerate(lines)
    }
    return programs.Purchase(cart, facts, kept)


def choose(purchases, count, **fields):
    return programs.compile_choice(programs.OfferRules("mine", **fields))(purchases, count)


def test_what_is_on_more_receipts_comes_first_then_what_cost_more():
    """Two lines of one receipt are one receipt."""
    purchases = [
        bought(("bun", 1, 50), ("bun", 1, 50), ("ale", 1, 300)),
        bought(("cod", 1, 200), ("bun", 1, 50)),
        bought(("cod", 1, 200)),
    ]
    assert choose(purchases, 9) == ["cod", "bun", "ale"]
    assert choose(purchases, 1) == ["cod"]


def test_what_came_back_was_not_bought():
    assert choose([bought(("bun", 0, 0), ("ale", 1, 10))], 9) == ["ale"]


def test_the_program_says_what_may_be_chosen():
    only = engine.ItemFilter(category_ids=frozenset({"drinks"}))
    assert choose([bought(("bun", 1, 50), ("ale", 1, 10))], 9, filter=only) == ["ale"]


histories = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.integers(0, 90)), max_size=4
    ).map(lambda lines: bought(*lines)),
    max_size=5,
)


@given(histories, st.integers(0, 5))
def test_the_order_of_receipts_does_not_matter(history, count):
    assert choose(history, count) == choose(history[::-1], count)
