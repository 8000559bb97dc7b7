"""`python -m tools simulate`: what a draft would have cost."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services import roles
from services.chassis import config, errors
from services.promotions import engine
from services.promotions.config import Settings
from services.promotions.wire import rules
from tools.campaigns import sources
from tools.simulation import imported, journey, lines, replaying, report, stored, totals
from tools.simulation.purchases import Source
from tools.stack import layout

_console = Console(soft_wrap=True)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Sales:
    """Receipts, and the campaigns that they are decided by as things stand."""

    source: Source
    live: Sequence[engine.Campaign]


def simulate(
    drafts: Annotated[
        list[Path],
        typer.Argument(
            help="Files of campaigns to try, or folders of them; one that is live is replaced."
        ),
    ],
    *,
    live: Annotated[
        list[Path] | None,
        typer.Option(
            help="Files or folders of what is live, instead of the installation's campaigns."
        ),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A live campaign that ends when the draft begins.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Stored receipts from this day on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Stored receipts before this day (UTC).")
    ] = None,
    sales: Annotated[
        Path | None,
        typer.Option(
            help="Sales from a file instead: CSV, Parquet or NDJSON, a row for each line."
        ),
    ] = None,
    products: Annotated[
        Path | None, typer.Option(help="The articles of those sales, as a file of the same kinds.")
    ] = None,
    stores: Annotated[
        Path | None, typer.Option(help="The stores of those sales, as a file of the same kinds.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="The zone of stores in no file.")] = "UTC",
    currency: Annotated[str, typer.Option(help="The currency of those sales.")] = "USD",
    dataset: Annotated[
        bool, typer.Option("--dataset", help="The year of the Complete Journey data set instead.")
    ] = False,
    receipts: Annotated[
        int | None, typer.Option(min=1, help="Only so many receipts of the data set.")
    ] = None,
    keep_periods: Annotated[
        bool, typer.Option("--keep-periods", help="Let the campaigns' periods count.")
    ] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="All cores by default.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("simulation"),
    settings: Annotated[
        Path | None,
        typer.Option("--config", envvar="TESSERA_CONFIG", help="The installation's settings file."),
    ] = None,
) -> None:
    """Replay receipts by the live campaigns and again with a draft among them, and compare.

    Every campaign counts as live all the time, as a draft's period lies in the future; weekdays and
    hours count as they are. Budgets and limits are counted anew on both sides. Returns, payments
    with points and what shoppers would have done differently are not part of it.
    """
    _require_one_source(sales=sales, dataset=dataset, since=since, until=until)
    try:
        if dataset:
            sold = _Sales(lines.source(journey.read(count=receipts)), journey.live())
        elif sales:
            tables = imported.read(
                sales, products=products, stores=stores, time_zone=time_zone, currency_code=currency
            )
            sold = _Sales(lines.source(tables), ())
        else:
            sold = asyncio.run(_stored(_load(settings), since, until))
    except (imported.Unusable, errors.Refusal) as error:
        raise typer.BadParameter(str(error)) from None
    code = sold.source.currency_code
    plan = _plan(
        sold.live if live is None else _read(live, code), _read(drafts, code), without or ()
    )
    if not keep_periods:
        plan = replaying.Plan(replaying.timeless(plan.live), replaying.timeless(plan.draft))
    if sold.source.heads.is_empty():
        raise typer.BadParameter("There is no receipt to replay: choose another time or file.")
    _prepare(out)
    found = totals.count(sold.source, _replay(sold.source, plan, processes), plan)
    report.show(_console, found)
    for path in report.write(out, found):
        _console.print(f"[dim]{path}[/dim]")


def _require_one_source(
    *, sales: Path | None, dataset: bool, since: datetime | None, until: datetime | None
) -> None:
    """Refuse options that speak of receipts which are not those to be replayed."""
    if sales and dataset:
        raise typer.BadParameter("choose one of --sales and --dataset")
    if (sales or dataset) and (since or until):
        raise typer.BadParameter("--since and --until choose among stored receipts only")


def _prepare(out: Path) -> None:
    """Make the folder of the report, before minutes are spent on what goes into it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None


async def _stored(settings: Settings, since: datetime | None, until: datetime | None) -> _Sales:
    start = since.replace(tzinfo=UTC) if since else _EVER
    end = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
    source = await stored.read(settings, start=start, end=end)
    return _Sales(source, await stored.live(settings))


def _load(file: Path | None) -> Settings:
    path = file or layout.at(None).settings
    try:
        return config.load(Settings, "promotions", path, sections=roles.SECTIONS)
    except config.ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--config") from None


def _read(paths: Sequence[Path], currency_code: str) -> list[engine.Campaign]:
    """Return the campaigns of files and folders; every problem is printed with its place.

    Files in another currency than the receipts would be decided in minor units that mean nothing.
    """
    try:
        read = sources.read(paths)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error)) from None
    problems = list(sources.find_problems(read))
    for problem in problems:
        _console.print(problem, markup=False)
    if problems:
        raise typer.Exit(1)
    written_in = sources.currency_of(read)
    if read and written_in != currency_code:
        raise typer.BadParameter(
            f"{read[0].path} is in {written_in}, and the receipts are in {currency_code}"
        )
    return [rules.parse_campaign(key, 1, one) for key, one in sources.campaigns_of(read).items()]


def _plan(
    live: Sequence[engine.Campaign], drafts: Sequence[engine.Campaign], without: Sequence[str]
) -> replaying.Plan:
    known = {one.campaign_id for one in live}
    unknown = set(without) - known
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))} is not live; live are: {', '.join(sorted(known))}",
            param_hint="--without",
        )
    gone = {*without, *(one.campaign_id for one in drafts)}
    return replaying.Plan(live, [*(one for one in live if one.campaign_id not in gone), *drafts])


def _replay(source: Source, plan: replaying.Plan, processes: int | None) -> replaying.Replayed:
    columns = (
        TextColumn("receipts"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task("", total=source.heads.height)
        try:
            return replaying.replay(
                source, plan, progress=lambda done: bar.advance(task, done), processes=processes
            )
        except engine.RulesetInvalid as error:
            raise typer.BadParameter(str(error), param_hint="DRAFTS") from None
