"""What happened, for people: figures, campaigns, latencies, and one receipt told in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from tessera.promotions.v1 import checkout_pb2

from services.chassis import timestamps
from tools.demo import dataset
from tools.demo.baskets import Baskets
from tools.demo.households import Households
from tools.demo.plan import Plan
from tools.demo.program import Offer
from tools.demo.proof import Check, Value
from tools.demo.reading import Receipts
from tools.demo.session import Timings

_TOP_CAMPAIGNS = 15
_PERCENTILES = (50, 90, 99)

_WHY_NOT = {
    "CONDITION_NOT_MET": "its condition was not met",
    "NO_TARGET_ITEMS": "none of its goods were in the cart",
    "WRONG_STORE": "it is not for this store",
    "WRONG_CHANNEL": "it is not for this way of buying",
    "OUTSIDE_TIME": "it is not for this day or hour",
    "NOT_STARTED": "it had not begun",
    "EXPIRED": "it was over",
    "NOT_IN_AUDIENCE": "it is not for this shopper",
    "UNKNOWN_CODE": "nobody knows the code",
    "CODE_NOT_PRESENTED": "its code was not presented",
    "COUPON_NOT_HELD": "the shopper did not hold the coupon, or had used it",
    "USAGE_LIMIT_REACHED": "all its uses were gone",
    "MEMBER_LIMIT_REACHED": "the shopper had had it before",
    "BUDGET_EXHAUSTED": "its budget was gone",
    "LOST_BEST_OF": "a better offer took its place",
    "STOPPED_BY_PRIOR_RULE": "an offer before it lets nothing follow",
    "NOTHING_LEFT_TO_DISCOUNT": "the goods cost nothing any more",
    "NO_BENEFIT": "it would have given nothing",
    "MIN_PRICE_FLOOR": "the goods were at their lowest price",
    "DEPENDENCY_UNAVAILABLE": "it could not be checked at that moment",
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The replay in numbers: money in cents, points whole."""

    households: int
    shoppers: int
    receipts: int
    lines: int
    returns: int
    voided: int
    subtotal_minor: int
    discount_minor: int
    total_minor: int
    points_earned: int
    points_spent: int
    points_undone: int
    points_expired: int
    points_outstanding: int


def sum_up(plan: Plan, people: Households, receipts: Receipts, value: Value) -> Figures:
    """Return the figures of the replay."""
    recorded = receipts.receipts
    moved = dict(value.movements.group_by("reason").agg(pl.col("amount").sum()).rows())
    return Figures(
        households=people.members.height,
        shoppers=plan.sales["household_id"].n_unique(),
        receipts=recorded.height,
        lines=plan.lines.height,
        returns=receipts.returns.height,
        voided=recorded.filter(pl.col("state") == "VOIDED").height,
        subtotal_minor=int(recorded["subtotal"].sum()),
        discount_minor=int(recorded["discount"].sum()),
        total_minor=int(recorded["total"].sum()),
        points_earned=moved.get("EARN", 0),
        points_spent=-moved.get("REDEEM", 0),
        points_undone=moved.get("REVERSE", 0),
        points_expired=-moved.get("EXPIRE", 0),
        points_outstanding=sum(moved.values()),
    )


def show_figures(figures: Figures) -> RenderableType:
    """Return the figures as a table."""
    table = _table("The year in figures", "", "")
    share = figures.discount_minor * 100 / max(figures.subtotal_minor, 1)
    rows = (
        ("households registered", f"{figures.households:,}"),
        ("… of which shopped in this replay", f"{figures.shoppers:,}"),
        ("receipts", f"{figures.receipts:,}"),
        ("… voided, and with returns", f"{figures.voided:,}, {figures.returns:,}"),
        ("lines", f"{figures.lines:,}"),
        ("sold before discounts", money(figures.subtotal_minor)),
        ("discounts", f"{money(figures.discount_minor)} ({share:.1f} %)"),
        ("to pay", money(figures.total_minor)),
        ("points earned", f"{figures.points_earned:,}"),
        ("… paid with", f"{figures.points_spent:,}"),
        ("… undone by voids and returns", f"{figures.points_undone:+,}"),
        ("… expired", f"{figures.points_expired:,}"),
        ("… outstanding", f"{figures.points_outstanding:,}"),
    )
    for name, figure in rows:
        table.add_row(name, figure)
    return table


def show_campaigns(receipts: Receipts, offers: Sequence[Offer]) -> RenderableType:
    """Return the campaigns that gave most, discounts and points counted alike, a point a cent."""
    given = receipts.gives.group_by("campaign").agg(
        pl.col("discount").sum(), receipts=pl.col("basket_id").n_unique()
    )
    earned = receipts.earns.group_by("campaign").agg(
        pl.col("points").sum(), receipts=pl.col("basket_id").n_unique()
    )
    both = (
        pl.concat([given, earned], how="diagonal")
        .group_by("campaign")
        .agg(pl.col("discount", "points", "receipts").sum())
        .with_columns(worth=pl.col("discount") + pl.col("points"))
        .sort("worth", "campaign", descending=[True, False])
    )
    titles = {offer.key: offer.rules.title.en for offer in offers}
    table = _table("Campaigns that gave most", "campaign", "receipts", "discount", "points")
    for name, discount, points, count, _ in both.head(_TOP_CAMPAIGNS).rows():
        table.add_row(
            titles.get(name, name),
            f"{count:,}",
            money(discount) if discount else "",
            _points(points),
        )
    silent = len(offers) - both.height
    table.caption = f"{len(offers)} campaigns are live, {silent} of them gave nothing here"
    return table


def show_reasons(receipts: Receipts) -> RenderableType:
    """Return why campaigns were not applied, over all receipts."""
    reasons = (
        receipts.outcomes.filter(pl.col("reason") != "APPLIED")
        .group_by("reason")
        .len()
        .sort("len", descending=True)
    )
    table = _table("Why not? Every campaign that looked at a cart answered", "because", "times")
    for reason, count in reasons.rows():
        table.add_row(_WHY_NOT.get(reason, reason.lower()), f"{count:,}")
    return table


def show_latencies(timings: Iterable[Timings]) -> RenderableType:
    """Return the latencies of every kind of call, through the gateway and retries included."""
    table = _table(
        "Calls through the gateway, in milliseconds", "call", "calls", "p50", "p90", "p99"
    )
    for name, row in percentiles(timings).items():
        table.add_row(name, f"{row['calls']:,.0f}", *(f"{row[f'p{p}']:.1f}" for p in _PERCENTILES))
    return table


def percentiles(timings: Iterable[Timings]) -> dict[str, dict[str, float]]:
    """Return by call how many there were and the milliseconds that so many percent stay below."""
    result = {}
    for one in timings:
        for name, latencies in one.latencies_ms.items():
            ordered = sorted(latencies)
            places = {p: min(len(ordered) - 1, len(ordered) * p // 100) for p in _PERCENTILES}
            result[name] = {"calls": float(len(ordered))} | {
                f"p{p}": ordered[place] for p, place in places.items()
            }
    return result


def show_checks(checks: Iterable[Check]) -> RenderableType:
    """Return the proof, line by line."""
    table = _table("The proof", "", "checked", "figures")
    for check in checks:
        mark = "[green]✔[/green]" if check.passed else "[red]✘[/red]"
        table.add_row(mark, check.name, check.figures)
    return table


def show_left_out(bought: Baskets) -> str:
    """Return what of the data set no till would send."""
    return (
        f"Left out of the data set's lines: {bought.lines_without_amount:,} without an amount "
        f"({bought.receipts_without_lines:,} receipts had no other). Taken as one piece: "
        f"{bought.lines_without_quantity:,} that have an amount and no quantity."
    )


def tell_receipt(receipt: checkout_pb2.Receipt, title: str = "One receipt, explained") -> Panel:
    """Return one receipt, campaign by campaign, in words."""
    return Panel(Group(*_sentences(receipt)), title=title, title_align="left", box=box.ROUNDED)


def _sentences(receipt: checkout_pb2.Receipt) -> Iterator[Text]:
    evaluation, cart = receipt.evaluation, receipt.cart
    when = timestamps.read(receipt.occurred_time).astimezone(ZoneInfo(dataset.TIME_ZONE))
    yield Text(
        f"On {when:%A, %d %B} at {when:%H:%M} a member bought {len(cart.lines)} lines in store "
        f"{cart.store_id} for {money(evaluation.subtotal_minor)}."
    )
    for outcome in evaluation.outcomes:
        yield _sentence(outcome, evaluation)
    if evaluation.points_spent:
        yield Text(
            f"Points paid {money(evaluation.points_payment_minor)} of it "
            f"({evaluation.points_spent:,} points, of at most "
            f"{money(evaluation.points_payment_max_minor)})."
        )
    yield Text(
        f"To pay: {money(evaluation.total_minor - evaluation.points_payment_minor)} in money, "
        f"{money(evaluation.discount_minor)} saved, {evaluation.points_earned:,} points earned. "
        f"Rule set {evaluation.ruleset_version}, receipt {receipt.receipt_id}."
    )


def _sentence(outcome: checkout_pb2.CampaignOutcome, evaluation: checkout_pb2.Evaluation) -> Text:
    title = outcome.title.en or outcome.details.get("code", "")
    if outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED:
        lines = sum(
            part.campaign_id == outcome.campaign_id
            for line in evaluation.lines
            for part in line.parts
        )
        gift = (
            f"gave {_points(outcome.points)} points"
            if outcome.points
            else f"took {money(outcome.discount_minor)} off"
        )
        return Text.assemble(("✔ ", "green"), f"“{title}” {gift}, on {_count(lines, 'line')}.")
    reason = checkout_pb2.OutcomeReason.Name(outcome.reason).removeprefix("OUTCOME_REASON_")
    why = _WHY_NOT.get(reason, reason.lower())
    return Text.assemble(("✘ ", "yellow"), f"“{title}” gave nothing: {why}{_near(outcome)}.")


def _near(outcome: checkout_pb2.CampaignOutcome) -> str:
    if not outcome.HasField("near_miss"):
        return ""
    if outcome.near_miss.amount_minor:
        return f" — {money(outcome.near_miss.amount_minor)} more would have done"
    return f" — {outcome.near_miss.quantity_thousandths / 1000:g} more would have done"


def money(minor: int) -> str:
    """Return cents as dollars."""
    return f"${minor / 100:,.2f}"


def _points(points: int) -> str:
    return f"{points:,}" if points else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in {"checked", "figures"} else "right")
    table.show_header = bool(first or any(others))
    return table


def as_plain(
    figures: Figures, checks: Sequence[Check], timings: Iterable[Timings]
) -> dict[str, object]:
    """Return everything as values that JSON knows."""
    return {
        "figures": asdict(figures),
        "latencies_ms": percentiles(timings),
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
    }
