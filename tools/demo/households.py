"""Who shops: households as members with a card, and the segments that the chain put them into."""

from dataclasses import dataclass

import polars as pl

from tools.demo import dataset

# Cards of retailers begin with 9 in ISO/IEC 7812, so none can be taken for a bank's.
_ISSUER = "940017"
_HOUSEHOLD_DIGITS = 9


@dataclass(frozen=True)
class Households:
    """One row for each household, and one for each household of each segment."""

    members: pl.DataFrame
    segments: pl.DataFrame


def read() -> Households:
    """Return the households of the data set with their home store, card and segments."""
    transactions = dataset.scan("transactions").select("household_id", "store_id", "basket_id")
    members = (
        transactions.unique()
        .group_by("household_id", "store_id")
        .len("visits")
        .sort("household_id", "visits", "store_id", descending=[False, True, False])
        .group_by("household_id", maintain_order=True)
        .first()
        .select("household_id", home_store_id=pl.col("store_id").cast(pl.String))
        .collect()
    )
    numbers = [card_number(household) for household in members["household_id"]]
    return Households(
        members=members.with_columns(card_number=pl.Series(numbers)), segments=_segments()
    )


def card_number(household_id: int) -> str:
    """Return the 16 digits of a household's card, the last of them the check digit."""
    payload = f"{_ISSUER}{household_id:0{_HOUSEHOLD_DIGITS}d}"
    return f"{payload}{check_digit(payload)}"


def check_digit(payload: str) -> int:
    """Return the digit that completes a number by the Luhn formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, character in enumerate(reversed(payload)):
        doubled = int(character) * (2 if position % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def campaign_segment(campaign_id: int) -> str:
    """Return the segment of the households that one of the chain's campaigns was sent to."""
    return f"mailing-{campaign_id:02d}"


FAMILIES = "families"
SENIORS = "seniors"


def _segments() -> pl.DataFrame:
    mailings = dataset.scan("campaigns").select(
        segment_id=pl.format("mailing-{}", pl.col("campaign_id").cast(pl.String).str.zfill(2)),
        household_id="household_id",
    )
    known = dataset.scan("demographics")
    families = known.filter(pl.col("kids_count") != "0").select(
        segment_id=pl.lit(FAMILIES), household_id="household_id"
    )
    seniors = known.filter(pl.col("age") == "65+").select(
        segment_id=pl.lit(SENIORS), household_id="household_id"
    )
    return (
        pl.concat([mailings, families, seniors])
        .unique()
        .sort("segment_id", "household_id")
        .collect()
    )
