"""What the replay comes to: by campaign, store, segment and day, and receipt by receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from services.promotions import engine
from services.promotions.engine import currencies
from tools.simulation.purchases import Source
from tools.simulation.replaying import DRAFT, LIVE, Plan, Replayed


@dataclass(frozen=True)
class Totals:
    """Frames in which every amount is in minor units and every difference is draft less live.

    `cost` is the discount plus what the points are worth. `prizes` are those that chances would
    win, one row for each side and prize: nobody draws them, so they are what is to be expected, and
    their points are in no cost.
    """

    currency_code: str
    sums: Mapping[str, int]
    campaigns: pl.DataFrame
    stores: pl.DataFrame
    segments: pl.DataFrame
    days: pl.DataFrame
    prizes: pl.DataFrame
    changed: pl.DataFrame
    is_settled: bool

    @property
    def decimals(self) -> int:
        """Return how many decimals people write of the amounts."""
        return currencies.decimals_of(self.currency_code)


def count(source: Source, replayed: Replayed, plan: Plan) -> Totals:
    """Return the sums of a replay."""
    receipts = _priced(source, replayed.receipts)
    changed = receipts.filter(_differs())
    return Totals(
        currency_code=source.currency_code,
        sums=_sums(receipts, changed),
        campaigns=_campaigns(source, replayed.gains, plan),
        stores=_grouped(receipts, "store_id"),
        segments=_grouped(
            receipts.explode("segment_ids").drop_nulls("segment_ids"), "segment_ids"
        ).rename({"segment_ids": "segment_id"}),
        days=_grouped(receipts.with_columns(day=pl.col("occurred_time").dt.date()), "day"),
        prizes=_prizes(replayed.gains, plan),
        changed=changed.drop("number", "segment_ids").sort("change_minor", descending=True),
        is_settled=replayed.is_settled,
    )


def _differs() -> pl.Expr:
    return (pl.col("live_discount_minor") != pl.col("draft_discount_minor")) | (
        pl.col("live_points") != pl.col("draft_points")
    )


def _priced(source: Source, receipts: pl.DataFrame) -> pl.DataFrame:
    """Return receipts with their names and with what each side costs."""
    terms = source.terms
    costs = [
        _cost(terms, f"{side}_discount_minor", f"{side}_points").alias(f"{side}_cost_minor")
        for side in (LIVE, DRAFT)
    ]
    return (
        source.heads.join(receipts, on="number")
        .with_columns(costs)
        .with_columns(change_minor=pl.col("draft_cost_minor") - pl.col("live_cost_minor"))
    )


def _cost(terms: engine.PointsTerms, discount: str, points: str) -> pl.Expr:
    return pl.col(discount) + pl.col(points) * terms.point_value_minor // terms.point_units


def _sums(receipts: pl.DataFrame, changed: pl.DataFrame) -> dict[str, int]:
    names = [
        "subtotal_minor",
        *(f"{side}_{what}" for side in (LIVE, DRAFT) for what in ("discount_minor", "points")),
        *(f"{side}_cost_minor" for side in (LIVE, DRAFT)),
    ]
    members = pl.col("member_id").filter(pl.col("member_id") != "").n_unique()
    return {
        "receipts": receipts.height,
        "members": int(receipts.select(members).item()),
        "changed_receipts": changed.height,
        "changed_members": int(changed.select(members).item()),
        "dearer_receipts": changed.filter(pl.col("change_minor") < 0).height,
        **{name: int(receipts[name].sum()) for name in names},
    }


def _grouped(receipts: pl.DataFrame, by: str) -> pl.DataFrame:
    return (
        receipts.group_by(by)
        .agg(
            receipts=pl.len(),
            changed_receipts=_differs().sum(),
            subtotal_minor=pl.col("subtotal_minor").sum(),
            live_cost_minor=pl.col("live_cost_minor").sum(),
            draft_cost_minor=pl.col("draft_cost_minor").sum(),
            change_minor=pl.col("change_minor").sum(),
        )
        .sort(by)
    )


def _campaigns(source: Source, gains: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Return what each campaign gave on either side; a fall is what another one took from it."""
    reach = gains.join(source.heads.select("number", "member_id"), on="number")
    sides = [_one_side(source.terms, reach, side) for side in (LIVE, DRAFT)]
    figures = [name for frame in sides for name in frame.columns if name != "campaign_id"]
    return (
        _titles([*plan.live, *plan.draft])
        .join(sides[0], on="campaign_id", how="left")
        .join(sides[1], on="campaign_id", how="left")
        .with_columns(pl.col(name).fill_null(0) for name in figures)
        .with_columns(change_minor=pl.col("draft_cost_minor") - pl.col("live_cost_minor"))
        .sort("change_minor", "campaign_id", descending=[True, False])
    )


def _one_side(terms: engine.PointsTerms, reach: pl.DataFrame, side: str) -> pl.DataFrame:
    member = pl.col("member_id")
    return (
        reach.filter(pl.col("side") == side)
        .group_by("campaign_id")
        .agg(
            pl.len().alias(f"{side}_receipts"),
            member.filter(member != "").n_unique().alias(f"{side}_members"),
            pl.col("discount_minor").sum().alias(f"{side}_discount_minor"),
            pl.col("points").sum().alias(f"{side}_points"),
            pl.col("chances").sum().alias(f"{side}_chances"),
        )
        .with_columns(
            _cost(terms, f"{side}_discount_minor", f"{side}_points").alias(f"{side}_cost_minor")
        )
    )


_PRIZES = {
    "side": pl.String,
    "campaign_id": pl.String,
    "prize": pl.String,
    "chances": pl.Int64,
    "prizes_max": pl.Int64,
    "prizes_expected": pl.Float64,
    "points_expected": pl.Float64,
}


def _prizes(gains: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Return how many of each prize all chances together would win, never more than there are."""
    counted = gains.group_by("side", "campaign_id").agg(pl.col("chances").sum())
    chances = {(side, name): number for side, name, number in counted.iter_rows()}
    rows = []
    for side in (LIVE, DRAFT):
        for one in plan.side(side):
            number = chances.get((side, one.campaign_id), 0)
            for prize in one.rules.instant_win.prizes if one.rules.instant_win else ():
                expected = min(number / prize.one_in, prize.count)
                rows.append(
                    {
                        "side": side,
                        "campaign_id": one.campaign_id,
                        "prize": prize.title.en,
                        "chances": number,
                        "prizes_max": prize.count,
                        "prizes_expected": expected,
                        "points_expected": expected * prize.points,
                    }
                )
    return pl.DataFrame(rows, schema=_PRIZES)


def _titles(campaigns: Sequence[engine.Campaign]) -> pl.DataFrame:
    titles = {one.campaign_id: one.rules.title.en for one in campaigns}
    return pl.DataFrame(
        {"campaign_id": list(titles), "title": list(titles.values())},
        schema={"campaign_id": pl.String, "title": pl.String},
    )
