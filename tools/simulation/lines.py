"""Purchases from tables of receipts and of their lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from services.promotions import engine
from tools.simulation.purchases import HEADS, Purchase, Schema, Source, whole

#: A receipt; `member_id` is empty for an unknown shopper.
RECEIPTS: Schema = {
    **HEADS,
    "channel": pl.String,
    "coupon_codes": pl.List(pl.String),
    "segment_ids": pl.List(pl.String),
}
#: A line of the receipt with that number, in the receipt's order.
LINES: Schema = {
    "number": pl.Int64,
    "line_id": pl.String,
    "sku": pl.String,
    "quantity_thousandths": pl.Int64,
    "unit_price_minor": pl.Int64,
}
#: An article; `category_ids` holds its own category and all above it.
PRODUCTS: Schema = {
    "sku": pl.String,
    "category_ids": pl.List(pl.String),
    "brand": pl.String,
    "tags": pl.List(pl.String),
    "floor_price_minor": pl.Int64,
    "weighed": pl.Boolean,
    "earning_excluded": pl.Boolean,
    "points_payment_excluded": pl.Boolean,
}
STORES: Schema = {
    "store_id": pl.String,
    "region_id": pl.String,
    "format_id": pl.String,
    "time_zone": pl.String,
}

_CHANNELS = {channel.name: channel for channel in engine.Channel}


@dataclass(frozen=True)
class Tables:
    """A chain's sales, as frames of the schemas above."""

    receipts: pl.DataFrame
    lines: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame
    currency_code: str


@dataclass(frozen=True)
class LineChunk:
    """The purchases of some members with everything that is known about them."""

    tables: Tables

    def histories(self) -> Iterator[Sequence[Purchase]]:
        """Yield members' purchases, each member's in the order of time; unknown shoppers' alone."""
        desk = _Desk(self.tables)
        rows = self.tables.receipts.sort("member_id", "number").iter_rows(named=True)
        for member_id, receipts in groupby(rows, key=lambda row: str(row["member_id"])):
            if member_id:
                yield list(desk.of_member(member_id, receipts))
            else:
                for row in receipts:
                    yield [desk.purchase(row, None)]


def source(tables: Tables) -> Source:
    """Return the sales as a source: chunks that keep every member whole."""
    return Source(
        heads=tables.receipts.select(*HEADS),
        chunks=[LineChunk(_part(tables, part)) for part in whole(tables.receipts)],
        currency_code=tables.currency_code,
        terms=engine.PointsTerms(),
    )


def _part(tables: Tables, receipts: pl.DataFrame) -> Tables:
    lines = tables.lines.join(receipts.select("number"), on="number", how="semi")
    return Tables(
        receipts=receipts,
        lines=lines,
        products=tables.products.join(lines.select("sku"), on="sku", how="semi"),
        stores=tables.stores,
        currency_code=tables.currency_code,
    )


class _Desk:
    """Makes carts and facts of the rows of one chunk."""

    def __init__(self, tables: Tables) -> None:
        self._articles = {
            row["sku"]: _article(row) for row in tables.products.iter_rows(named=True)
        }
        self._stores = {row["store_id"]: row for row in tables.stores.iter_rows(named=True)}
        self._zones = {name: ZoneInfo(name) for name in tables.stores["time_zone"].unique()}
        self._currency_code = tables.currency_code
        self._lines: dict[int, list[engine.CartLine]] = {}
        for number, *line in tables.lines.select(*LINES).iter_rows():
            self._lines.setdefault(number, []).append(engine.CartLine(*line))

    def of_member(self, member_id: str, rows: Iterator[dict[str, Any]]) -> Iterator[Purchase]:
        last: datetime | None = None
        for count, row in enumerate(rows):
            member = engine.Member(
                member_id=member_id,
                segment_ids=frozenset(row["segment_ids"]),
                purchases_before=count,
                points_balance=0,
                last_purchase_time=last,
            )
            last = row["occurred_time"]
            yield self.purchase(row, member)

    def purchase(self, row: Mapping[str, Any], member: engine.Member | None) -> Purchase:
        store = self._stores[row["store_id"]]
        cart = engine.Cart(
            store_id=row["store_id"],
            channel=_CHANNELS[row["channel"]],
            currency_code=self._currency_code,
            lines=tuple(self._lines[row["number"]]),
            coupon_codes=tuple(row["coupon_codes"]),
        )
        facts = engine.Facts(
            store=engine.Store(region_id=store["region_id"], format_id=store["format_id"]),
            articles=self._articles,
            member=member,
        )
        now = row["occurred_time"].astimezone(self._zones[store["time_zone"]])
        return Purchase(row["number"], cart, facts, now)


def _article(row: Mapping[str, Any]) -> engine.Article:
    return engine.Article(
        category_ids=frozenset(row["category_ids"]),
        brand=row["brand"],
        tags=frozenset(row["tags"]),
        floor_price_minor=row["floor_price_minor"],
        weighed=row["weighed"],
        earning_excluded=row["earning_excluded"],
        points_payment_excluded=row["points_payment_excluded"],
    )
