"""The chain's own coupons: what they were worth, whom they were for and when they were used.

A coupon of the data set is a list of articles inside one of the chain's campaigns. Its value is
written nowhere, but shows on the receipts of the days on which it was redeemed: most often the same
amount came off its articles. A coupon whose value cannot be told so is left out.

The chain's campaigns of type A sent every household sixteen coupons chosen for it; of each such
campaign the coupons used most often become personal ones. Those of types B and C sent the same few
coupons to all their households; each such campaign becomes one offer with all their codes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from tools.demo import dataset
from tools.demo.dataset import Calendar

PERSONAL_PER_CAMPAIGN = 4
_SKUS_MAX = 10_000
_PERSONAL_TYPE = "Type A"


@dataclass(frozen=True, kw_only=True)
class Coupon:
    """An amount off certain articles against one of several codes, for the households of a mailing.

    `start_time` and `end_time` are wall-clock times of the stores; the end is not inside.
    """

    campaign_id: int
    personal: bool
    codes: tuple[str, ...]
    skus: tuple[str, ...]
    amount_minor: int
    start_time: datetime
    end_time: datetime
    households: tuple[int, ...]


@dataclass(frozen=True)
class Coupons:
    """The coupons, and which of them were redeemed on which receipt (`basket_id`, `code`)."""

    offers: tuple[Coupon, ...]
    redemptions: pl.DataFrame


def read(calendar: Calendar) -> Coupons:
    """Return the coupons whose value the receipts of the data set tell."""
    uses = _uses(calendar)
    chosen = pl.concat([_personal(uses), _mailed(uses)])
    offers = tuple(_offer(row, calendar) for row in chosen.iter_rows(named=True))
    codes = {code for offer in offers for code in offer.codes}
    redemptions = uses.select("basket_id", "code").unique().filter(pl.col("code").is_in(codes))
    return Coupons(offers=offers, redemptions=redemptions.sort("basket_id", "code"))


def _code(upc: str = "coupon_upc") -> pl.Expr:
    """Return codes as printed: the coupon's number and its campaign's, as numbers come back."""
    return pl.format("{}-{}", upc, "campaign_id")


def _uses(calendar: Calendar) -> pl.DataFrame:
    """Return redemptions found again on receipts, with what came off the coupon's articles."""
    day = calendar.local(pl.col("transaction_timestamp")).dt.date() - calendar.shift
    bought = dataset.scan("transactions").select(
        "household_id", "product_id", "basket_id", "coupon_disc", day=day
    )
    return (
        dataset.scan("coupon_redemptions")
        .with_columns(day=pl.col("redemption_date").dt.date())
        .join(dataset.scan("coupons"), on=["coupon_upc", "campaign_id"])
        .join(bought, on=["household_id", "product_id", "day"])
        .group_by("household_id", "coupon_upc", "campaign_id", "day", "basket_id")
        .agg(amount_minor=(pl.col("coupon_disc").max() * 100).round().cast(pl.Int64))
        .join(dataset.scan("campaign_descriptions"), on="campaign_id")
        .filter(pl.col("day") >= pl.col("start_date").dt.date())
        .with_columns(code=_code())
        .sort("campaign_id", "coupon_upc", "basket_id")
        .collect()
    )


def _value() -> pl.Expr:
    """Return the amount seen most often; of equals the smallest."""
    return pl.col("amount_minor").filter(pl.col("amount_minor") > 0).mode().min()


def _personal(uses: pl.DataFrame) -> pl.DataFrame:
    sizes = dataset.scan("coupons").group_by("coupon_upc", "campaign_id").len("articles").collect()
    return (
        uses.filter(pl.col("campaign_type") == _PERSONAL_TYPE)
        .group_by("campaign_id", "coupon_upc")
        .agg(pl.len().alias("uses"), amount_minor=_value())
        .join(sizes, on=["coupon_upc", "campaign_id"])
        .filter(pl.col("amount_minor") > 0, pl.col("articles") <= _SKUS_MAX)
        .sort("campaign_id", "uses", "coupon_upc", descending=[False, True, False])
        .group_by("campaign_id", maintain_order=True)
        .head(PERSONAL_PER_CAMPAIGN)
        .select(
            "campaign_id",
            "amount_minor",
            upcs=pl.concat_list("coupon_upc"),
            personal=pl.lit(value=True),
        )
    )


def _mailed(uses: pl.DataFrame) -> pl.DataFrame:
    codes = (
        dataset.scan("coupons")
        .select("campaign_id", "coupon_upc")
        .unique()
        .sort("campaign_id", "coupon_upc")
        .group_by("campaign_id", maintain_order=True)
        .agg(upcs=pl.col("coupon_upc"))
        .collect()
    )
    return (
        uses.filter(pl.col("campaign_type") != _PERSONAL_TYPE)
        .group_by("campaign_id")
        .agg(amount_minor=_value())
        .filter(pl.col("amount_minor") > 0)
        .join(codes, on="campaign_id")
        .sort("campaign_id")
        .select("campaign_id", "amount_minor", "upcs", personal=pl.lit(value=False))
    )


def _offer(row: dict[str, Any], calendar: Calendar) -> Coupon:
    here = pl.col("campaign_id") == row["campaign_id"]
    described = dataset.scan("campaign_descriptions").filter(here).collect().row(0, named=True)
    skus = dataset.scan("coupons").filter(here, pl.col("coupon_upc").is_in(row["upcs"]))
    sent_to = dataset.scan("campaigns").filter(here).select("household_id").sort("household_id")
    return Coupon(
        campaign_id=described["campaign_id"],
        personal=row["personal"],
        codes=tuple(f"{upc}-{described['campaign_id']}" for upc in row["upcs"]),
        skus=tuple(
            skus.select(pl.col("product_id").cast(pl.String).unique().sort()).collect()[
                "product_id"
            ]
        ),
        amount_minor=row["amount_minor"],
        start_time=described["start_date"] + calendar.shift,
        end_time=described["end_date"] + timedelta(days=1) + calendar.shift,
        households=tuple(sent_to.collect()["household_id"]),
    )
