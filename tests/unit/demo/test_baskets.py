"""Carts come to exactly what the data set says, in lines that a till could have sent."""

import duckdb
import polars as pl
import pytest

from tests.unit.demo.small_chain import CALENDAR
from tools.demo import baskets, dataset
from tools.demo.baskets import Baskets


@pytest.fixture(scope="module")
def bought() -> Baskets:
    return baskets.read(CALENDAR, count=3_000)


def test_receipts_come_to_the_shelf_amounts_of_the_data_set(bought: Baskets) -> None:
    """Every receipt's sum is the sum of its lines' shelf amounts, to the cent."""
    with duckdb.connect(":memory:") as database:
        database.register("chosen", bought.receipts.select("basket_id"))
        expected = database.execute(
            f"""
            SELECT basket_id,
                   CAST(round(100 * sum(sales_value + retail_disc + coupon_match_disc)) AS BIGINT)
            FROM '{dataset.folder()}/transactions.parquet' SEMI JOIN chosen USING (basket_id)
            GROUP BY basket_id
            """
        ).fetchall()
    sums = bought.lines.group_by("basket_id").agg(pl.col("amount_minor").sum())
    assert dict(sums.rows()) == dict(expected)


def test_a_line_is_quantity_times_price(bought: Baskets) -> None:
    """Rounded half up, above zero, inside of the contract's bounds."""
    product = pl.col("quantity_thousandths") * pl.col("unit_price_minor")
    assert bought.lines.filter((product + 500) // 1000 != pl.col("amount_minor")).is_empty()
    assert bought.lines.filter(pl.col("amount_minor") <= 0).is_empty()
    assert (bought.lines.group_by("basket_id").len()["len"] <= 1_000).all()


def test_an_article_stands_on_two_lines_only_a_cent_apart(bought: Baskets) -> None:
    """The second line of an article is named after the first and costs one cent more."""
    same = ["basket_id", "sku"]
    doubled = bought.lines.group_by(same).agg("line_id", "unit_price_minor")
    for line_ids, prices in (
        doubled.filter(pl.col("line_id").list.len() > 1)
        .select("line_id", "unit_price_minor")
        .rows()
    ):
        assert line_ids[1] == f"{line_ids[0]}b"
        assert prices == [prices[0], prices[0] + 1]


def test_a_larger_count_continues_a_smaller_one(bought: Baskets) -> None:
    """The first receipts of each household come first, whatever the size."""
    more = baskets.read(CALENDAR, count=3_500)
    assert set(bought.receipts["basket_id"]) < set(more.receipts["basket_id"])
    added = more.receipts.join(bought.receipts, on="basket_id", how="anti")
    latest = dict(
        bought.receipts.group_by("household_id").agg(pl.col("occurred_time").max()).rows()
    )
    for household, moment in added.select("household_id", "occurred_time").rows():
        assert household not in latest or moment > latest[household]


def test_what_is_left_out_is_counted(bought: Baskets) -> None:
    """Lines and receipts without any amount are told, not lost."""
    assert bought.lines_without_amount > 0
    assert bought.receipts.height + bought.receipts_without_lines == 3_000
