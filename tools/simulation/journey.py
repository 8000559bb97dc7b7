"""The Complete Journey data set as receipts to replay: one year of a real grocery chain."""

import polars as pl

from services.promotions import engine
from services.promotions.wire import rules
from tools.demo import baskets, catalogue, coupons, dataset, households, plan, program
from tools.demo.dataset import Calendar
from tools.simulation.lines import LINES, PRODUCTS, RECEIPTS, STORES, Tables

_CALENDAR = Calendar(weeks=0)


def read(*, count: int | None = None) -> Tables:
    """Return the first `count` receipts of the demo's plan, or the whole year."""
    people = households.read()
    planned = plan.write(baskets.read(_CALENDAR, count=count), people, coupons.read(_CALENDAR))
    goods = catalogue.read()
    sales = planned.sales.sort("occurred_time", "basket_id").with_row_index("number")
    numbers = sales.select("basket_id", pl.col("number").cast(pl.Int64))
    return Tables(
        receipts=_receipts(sales, people),
        lines=planned.lines.drop("number")
        .join(numbers, on="basket_id", maintain_order="left")
        .select(*LINES),
        products=_products(goods.products),
        stores=_stores(goods.stores),
        currency_code=dataset.CURRENCY,
    )


def live() -> list[engine.Campaign]:
    """Return the campaigns of the demo's program; its file's names are their ids."""
    offers = program.write(dataset.FIRST_DAY, coupons.read(_CALENDAR).offers)
    return [rules.parse_campaign(offer.key, 1, offer.rules) for offer in offers]


def _receipts(sales: pl.DataFrame, people: households.Households) -> pl.DataFrame:
    segments = people.segments.group_by("household_id").agg(segment_ids=pl.col("segment_id").sort())
    member = pl.when("known").then(pl.format("household-{}", "household_id")).otherwise(pl.lit(""))
    return (
        sales.join(segments, on="household_id", how="left", maintain_order="left")
        .with_columns(
            number=pl.col("number").cast(pl.Int64),
            receipt_id=pl.col("basket_id").cast(pl.String),
            member_id=member,
            channel=pl.col("channel").str.strip_prefix("CHANNEL_"),
            coupon_codes="codes",
            segment_ids=pl.when("known").then(pl.col("segment_ids").fill_null([])).otherwise([]),
        )
        .select(*RECEIPTS)
    )


def _products(products: pl.DataFrame) -> pl.DataFrame:
    path = pl.concat_list("department_id", "category_path", "type_path")
    return products.with_columns(
        category_ids=path.list.drop_nulls(),
        brand=pl.col("brand").fill_null(""),
        floor_price_minor=pl.lit(0, pl.Int64),
    ).select(*PRODUCTS)


def _stores(stores: pl.DataFrame) -> pl.DataFrame:
    return stores.with_columns(region_id=pl.lit(""), time_zone=pl.lit(dataset.TIME_ZONE)).select(
        *STORES
    )
