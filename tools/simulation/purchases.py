"""Purchases to replay, whatever they were read from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import polars as pl

from services.promotions import engine

#: Names of columns and their types.
Schema = dict[str, pl.DataType | type[pl.DataType]]

#: Columns of a source's heads: `number` counts purchases in the order of time, from 0.
HEADS: Schema = {
    "number": pl.Int64,
    "receipt_id": pl.String,
    "occurred_time": pl.Datetime("us", "UTC"),
    "store_id": pl.String,
    "member_id": pl.String,
}


class Purchase(NamedTuple):
    """A cart and what was known about it. `now` is in the zone of the store.

    What campaigns have left is not among the facts: a replay counts that itself.
    """

    number: int
    cart: engine.Cart
    facts: engine.Facts
    now: datetime


class Chunk(Protocol):
    """Purchases that one process replays in one go; cheap to send to it.

    All purchases of a member are in one chunk.
    """

    def histories(self) -> Iterator[Sequence[Purchase]]:
        """Yield members' purchases, each member's in the order of time; unknown shoppers' alone."""


@dataclass(frozen=True)
class Source:
    """What is replayed: `heads` has a row with the columns HEADS for each purchase of `chunks`."""

    heads: pl.DataFrame
    chunks: Sequence[Chunk]
    currency_code: str
    terms: engine.PointsTerms


def whole(receipts: pl.DataFrame, *, size: int = 2_000) -> list[pl.DataFrame]:
    """Return rows with `number` and `member_id` in parts that keep each member's together."""
    placed = receipts.sort("member_id", "number").with_row_index("place")
    alone = pl.when(pl.col("member_id") == "").then("number")
    # The first purchase of a member says which part all of them go to.
    first = pl.col("place").first().over(pl.col("member_id"), alone)
    parted = placed.with_columns(part=first // size).drop("place")
    return parted.partition_by("part", maintain_order=True, include_key=False)
