"""The engine and the SQL know nothing of each other, and agree on every cent and every point."""

from collections.abc import Iterable

import polars as pl
import pytest

from tests.unit.demo.small_chain import START_TIME, Chain
from tools.demo import recomputation
from tools.demo.recomputation import Books, Chosen

LIMITED = ("frozen", "thanks")


@pytest.fixture(scope="module")
def books(small_chain: Chain) -> Books:
    payments = [
        (basket_id, decision.points_payment_minor)
        for basket_id, decision in small_chain.sales.items()
    ]
    drawn = [
        (basket_id, outcome.campaign_id, outcome.discount_minor)
        for basket_id, decision in small_chain.sales.items()
        for outcome in decision.outcomes
        if outcome.campaign_id in LIMITED and outcome.discount_minor
    ]
    chosen = Chosen(
        payments=_frame(payments, basket_id=pl.Int64, amount=pl.Int64),
        drawn=_frame(drawn, basket_id=pl.Int64, campaign=pl.String, amount=pl.Int64),
    )
    return recomputation.recompute(
        small_chain.plan, small_chain.coupons.offers, chosen, start_time=START_TIME
    )


def _frame(rows: Iterable[tuple[object, ...]], **schema: type[pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def test_every_discount_on_every_line_agrees(small_chain: Chain, books: Books) -> None:
    """Campaign by campaign and line by line, and the small plan has enough of them."""
    decided = set(small_chain.rows_of_gives())
    assert decided == set(books.gives.rows())
    assert len({campaign for _, _, campaign, _ in decided}) >= 8


def test_every_point_agrees(small_chain: Chain, books: Books) -> None:
    """Campaign by campaign and receipt by receipt."""
    assert set(small_chain.rows_of_earns()) == set(books.earns.rows())


def test_every_refund_agrees(small_chain: Chain, books: Books) -> None:
    """Money, points given back and points taken back, and what the rest is worth."""
    decided = {
        (
            basket_id,
            back.complete,
            back.refund_minor,
            back.points_restored,
            back.points_clawed_back,
            back.remaining.discount_minor if back.remaining else 0,
            back.remaining.points_earned if back.remaining else 0,
        )
        for basket_id, back in small_chain.returns.items()
    }
    assert len(decided) > 20
    assert decided == set(books.refunds.rows())


def test_subtotals_agree(small_chain: Chain, books: Books) -> None:
    """What every receipt came to before discounts."""
    decided = {
        (basket_id, decision.subtotal_minor, decision.discount_minor, decision.points_earned)
        for basket_id, decision in small_chain.sales.items()
    }
    columns = books.receipts.select("basket_id", "subtotal", "discount", "earned")
    assert decided == set(columns.rows())
