"""What was bought: every basket of the year as a cart in whole cents, line by line.

The data set tells what the chain received for a line. Its shelf price is that plus the discounts
that the chain itself gave (`retail_disc`, `coupon_match_disc`). What a manufacturer's coupon took
off (`coupon_disc`) is in what the chain received already: with it left out, 99.5 % of the lines
with such a coupon show the price that others paid in the same store and week; added, none does.

A till multiplies a quantity by a price. Where the amount of a line is no multiple of its quantity,
the line becomes two whose prices differ by one cent and whose amounts add up to it.

Rules for what no till would send:
- a line of no amount (given away, or a quantity of zero) is left out;
- a line of quantity zero that has an amount is one unit;
- fuel is counted in thousandths of a gallon, except quantities up to 100, which are units;
- a basket without any line left is left out.
"""

from dataclasses import dataclass

import polars as pl

from tools.demo import dataset
from tools.demo.catalogue import FUEL_TYPE
from tools.demo.dataset import Calendar

_FUEL_UNITS_MAX = 100
_FACTOR = 2_654_435_761  # Knuth's multiplier: 2^32 divided by the golden ratio
_SPACE = 2**32


@dataclass(frozen=True)
class Baskets:
    """A part of the year: receipts in the order of time, their lines, and what was left out."""

    receipts: pl.DataFrame
    lines: pl.DataFrame
    lines_without_amount: int
    lines_without_quantity: int
    receipts_without_lines: int


def read(calendar: Calendar, *, count: int | None = None) -> Baskets:
    """Return `count` receipts, or all: whole years of households in a fixed shuffled order.

    While there are any, every other household is one that redeemed coupons, so that a small part
    of the year shows them, too. A larger count continues a smaller one.
    """
    chosen = _chosen(calendar, count)
    raw = _priced(chosen.lazy().select("basket_id")).collect()
    kept = raw.filter(pl.col("amount_minor") > 0)
    lines = _split(kept.lazy()).collect()
    receipts = chosen.join(lines.select("basket_id").unique(), on="basket_id", how="semi")
    return Baskets(
        receipts=receipts.sort("occurred_time", "basket_id"),
        lines=lines,
        lines_without_amount=raw.height - kept.height,
        lines_without_quantity=kept.filter(pl.col("quantity") == 0).height,
        receipts_without_lines=chosen.height - receipts.height,
    )


def spread(column: pl.Expr, *, salt: int = 0) -> pl.Expr:
    """Return numbers from 0 up to 2^32 that look random and never change; each salt gives others.

    Multiplication moves what low digits say into high ones, the exclusive or brings it back down.
    """
    mixed = (column.cast(pl.UInt64) % _SPACE + salt) * _FACTOR % _SPACE
    for _ in range(2):
        mixed = (mixed ^ mixed // 2**15) * _FACTOR % _SPACE
    return mixed ^ mixed // 2**16


def _chosen(calendar: Calendar, count: int | None) -> pl.DataFrame:
    """Return the receipts' heads, cut after `count` in the order of households, then of time."""
    local = calendar.local(pl.col("transaction_timestamp"))
    heads = (
        dataset.scan("transactions")
        .select("basket_id", "household_id", "store_id", local_time=local)
        .unique("basket_id")
        .with_columns(
            store_id=pl.col("store_id").cast(pl.String),
            occurred_time=calendar.instant(pl.col("local_time")),
        )
        .join(_places(), on="household_id")
        .sort("place", "occurred_time", "basket_id")
        .drop("place")
        .collect()
    )
    return heads if count is None else heads.head(count)


def _places() -> pl.LazyFrame:
    """Return each household's place in the shuffled order."""
    redeemers = dataset.scan("coupon_redemptions").select("household_id", redeems=True).unique()
    turn = spread(pl.col("household_id")).rank("ordinal").over("redeems")
    return (
        dataset.scan("transactions")
        .select("household_id")
        .unique()
        .sort("household_id")
        .join(redeemers, on="household_id", how="left", maintain_order="left")
        .with_columns(redeems=pl.col("redeems").fill_null(value=False))
        .with_columns(turn=turn)
        .sort("turn", "redeems")
        .select("household_id", place=pl.int_range(pl.len()))
    )


def _priced(baskets: pl.LazyFrame) -> pl.LazyFrame:
    """Return the lines of the baskets with their shelf amounts in cents."""
    fuel = dataset.scan("products").select(
        "product_id", is_fuel=(pl.col("product_type") == FUEL_TYPE).fill_null(value=False)
    )
    amount = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    return (
        dataset.scan("transactions")
        .join(baskets, on="basket_id", how="semi")
        .join(fuel, on="product_id", how="left")
        .select(
            "basket_id",
            "product_id",
            "quantity",
            amount_minor=(amount * 100).round().cast(pl.Int64),
            by_volume=pl.col("is_fuel").fill_null(value=False)
            & (pl.col("quantity") > _FUEL_UNITS_MAX),
        )
        .with_columns(units=pl.max_horizontal("quantity", 1))
        .sort("basket_id", "product_id")
        .with_columns(number=pl.int_range(1, pl.len() + 1).over("basket_id"))
    )


def _split(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Return cart lines: a cheaper part and, where a remainder is left, one a cent dearer."""
    amount = pl.col("amount_minor")
    thousandths = pl.when("by_volume").then(pl.col("units")).otherwise(pl.col("units") * 1000)
    parts = _divided(lines.with_columns(thousandths=thousandths))
    # Half a cent on both parts would round up twice: such a line is one piece.
    dearer_half = pl.col("dearer") * (pl.col("price") + 1) % 1000 == 500
    whole = pl.when(dearer_half)
    parts = parts.with_columns(
        thousandths=whole.then(1000).otherwise("thousandths"),
        price=whole.then(amount).otherwise("price"),
        dearer=whole.then(0).otherwise("dearer"),
    )
    first = _part(parts, pl.col("thousandths") - pl.col("dearer"), extra=0)
    second = _part(parts, pl.col("dearer"), extra=1)
    return (
        pl.concat([first, second])
        .filter((pl.col("quantity_thousandths") > 0) & (pl.col("amount_minor") > 0))
        .sort("basket_id", "number", "unit_price_minor")
    )


def _divided(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Return lines with the price rounded down and the quantity that costs one cent more."""
    total = pl.col("amount_minor") * 1000
    thousandths = pl.col("thousandths")
    return lines.with_columns(price=total // thousandths).with_columns(
        dearer=total - thousandths * pl.col("price")
    )


def _part(parts: pl.LazyFrame, thousandths: pl.Expr, *, extra: int) -> pl.LazyFrame:
    price = pl.col("price") + extra
    return parts.select(
        "basket_id",
        "number",
        line_id=pl.col("number").cast(pl.String) + ("b" if extra else ""),
        sku=pl.col("product_id").cast(pl.String),
        quantity_thousandths=thousandths,
        unit_price_minor=price,
        amount_minor=(thousandths * price + 500) // 1000,
    )
