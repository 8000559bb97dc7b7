"""What a simulation prints, and the files that it leaves: JSON, CSV and a page of plots."""

import json
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from tools.simulation.totals import Totals

_ROWS = 12
_LIVE, _DRAFT = "#8795a8", "#c8541f"


def show(console: Console, totals: Totals) -> None:
    """Print the sums, and the campaigns whose cost changes most."""
    sums, unit = totals.sums, totals.currency_code
    table = Table(title="The same receipts, decided twice")
    for column in ("", "live", "with the draft", "change"):
        table.add_column(column, justify="left" if not column else "right")
    goods = sums["subtotal_minor"]
    table.add_row("goods before discounts", *_pair(goods, goods, totals.decimals))
    for name, key in (("discounts", "discount_minor"), ("cost, points included", "cost_minor")):
        pair = _pair(sums[f"live_{key}"], sums[f"draft_{key}"], totals.decimals)
        table.add_row(f"{name}, {unit}", *pair)
    live, draft = sums["live_points"], sums["draft_points"]
    table.add_row("points earned", f"{live:,}", f"{draft:,}", f"{draft - live:+,}")
    console.print(table)
    console.print(
        f"{sums['receipts']:,} receipts of {sums['members']:,} members;"
        f" {sums['changed_receipts']:,} receipts of {sums['changed_members']:,} members change,"
        f" {sums['dearer_receipts']:,} of them against the shopper."
    )
    console.print(_campaign_table(totals))
    if totals.prizes.height:
        console.print(_prize_table(totals))
    if not totals.is_settled:
        console.print("[yellow]Shared limits still moved when the replay stopped: read the")
        console.print("[yellow]campaigns that have them as close to, and not exactly, these sums.")


def _campaign_table(totals: Totals) -> Table:
    table = Table(title=f"Campaigns whose cost changes most, {totals.currency_code}")
    for column in ("campaign", "live", "with the draft", "change", "receipts", "members"):
        table.add_column(column, justify="left" if column == "campaign" else "right")
    for row in _moved(totals).iter_rows(named=True):
        table.add_row(
            row["title"] or row["campaign_id"],
            *_pair(row["live_cost_minor"], row["draft_cost_minor"], totals.decimals),
            f"{row['live_receipts']:,} → {row['draft_receipts']:,}",
            f"{row['live_members']:,} → {row['draft_members']:,}",
        )
    return table


def _prize_table(totals: Totals) -> Table:
    table = Table(title="Prizes that chances would win, as is to be expected")
    for column in ("prize", "side", "chances", "there are", "won", "points"):
        table.add_column(column, justify="left" if column in {"prize", "side"} else "right")
    for row in totals.prizes.iter_rows(named=True):
        table.add_row(
            row["prize"],
            row["side"],
            f"{row['chances']:,}",
            f"{row['prizes_max']:,}",
            f"{row['prizes_expected']:,.1f}",
            f"{row['points_expected']:,.0f}",
        )
    return table


def _moved(totals: Totals) -> pl.DataFrame:
    moved = totals.campaigns.filter(pl.col("change_minor") != 0)
    return moved.sort(pl.col("change_minor").abs(), descending=True).head(_ROWS)


def _pair(live: int, draft: int, decimals: int) -> tuple[str, str, str]:
    whole = 10**decimals
    return (
        f"{live / whole:,.{decimals}f}",
        f"{draft / whole:,.{decimals}f}",
        f"{(draft - live) / whole:+,.{decimals}f}",
    )


def write(folder: Path, totals: Totals) -> list[Path]:
    """Write every table as CSV, everything but single receipts as JSON, and the plots as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "campaigns": totals.campaigns,
        "stores": totals.stores,
        "segments": totals.segments,
        "days": totals.days,
        "prizes": totals.prizes,
    }
    written = []
    for name, frame in {**tables, "receipts": totals.changed}.items():
        written.append(folder / f"{name}.csv")
        frame.write_csv(written[-1])
    document = {
        "currency_code": totals.currency_code,
        "limits_settled": totals.is_settled,
        "sums": dict(totals.sums),
        **{name: frame.to_dicts() for name, frame in tables.items()},
    }
    written.append(folder / "report.json")
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    written[-1].write_text(text + "\n", encoding="utf-8")
    written.append(folder / "report.png")
    _draw(totals).savefig(written[-1], dpi=110)
    return written


def _draw(totals: Totals) -> Figure:
    figure = Figure(figsize=(15, 10), layout="constrained")
    figure.suptitle("What the draft would have changed", fontsize=16)
    (left, right), (below, last) = figure.subplots(2, 2)
    _draw_campaigns(left, totals)
    _draw_weeks(right, totals)
    _draw_receipts(below, totals)
    _draw_groups(last, totals)
    return figure


def _draw_campaigns(axes: Axes, totals: Totals) -> None:
    moved = _moved(totals).reverse()
    names = [row["title"] or row["campaign_id"] for row in moved.iter_rows(named=True)]
    places = range(len(names))
    for key, colour, offset in (("live", _LIVE, 0.2), ("draft", _DRAFT, -0.2)):
        costs = (moved[f"{key}_cost_minor"] / 10**totals.decimals).to_list()
        axes.barh([place + offset for place in places], costs, 0.4, color=colour, label=key)
    # A dollar in a title is a dollar, and not the beginning of a formula.
    axes.set_yticks(list(places), [name[:48] for name in names], parse_math=False)
    axes.set_title(f"Cost by campaign, {totals.currency_code} (those that change most)")
    axes.legend()


def _draw_weeks(axes: Axes, totals: Totals) -> None:
    weeks = (
        totals.days.group_by(week=pl.col("day").dt.truncate("1w"))
        .agg(pl.col("live_cost_minor").sum(), pl.col("draft_cost_minor").sum())
        .sort("week")
    )
    for key, colour in (("live", _LIVE), ("draft", _DRAFT)):
        costs = (weeks[f"{key}_cost_minor"] / 10**totals.decimals).to_list()
        axes.plot(weeks["week"].to_list(), costs, color=colour, label=key)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=30)
    axes.set_title(f"Cost by week, {totals.currency_code}")
    axes.legend()


def _draw_receipts(axes: Axes, totals: Totals) -> None:
    changes = (totals.changed["change_minor"] / 10**totals.decimals).to_list()
    axes.hist(changes, bins=40, color=_DRAFT)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(f"Receipts that change, by how much, {totals.currency_code}")
    axes.set_ylabel("receipts")


def _draw_groups(axes: Axes, totals: Totals) -> None:
    """Draw segments, or stores where nobody has segments, by the share of goods that changes."""
    by, frame = "segment_id", totals.segments
    if frame.is_empty():
        by, frame = "store_id", totals.stores
    share = pl.col("change_minor") / pl.col("subtotal_minor").clip(lower_bound=1) * 100
    ranked = (
        frame.with_columns(share=share)
        .sort(pl.col("change_minor").abs(), descending=True)
        .head(_ROWS)
        .reverse()
    )
    axes.barh(ranked[by].to_list(), ranked["share"].to_list(), color=_DRAFT)
    axes.set_title(f"Change in % of goods sold, by {by.removesuffix('_id')}")
