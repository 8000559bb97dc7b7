"""`python -m tools demo`: the main job on this machine, from nothing to the proof."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from tools import invocation
from tools.demo import job, story
from tools.demo.job import Gateway, Options, Outcome, Unsuitable
from tools.demo.session import Login, Refused
from tools.stack import clients, layout, lifecycle
from tools.stack.errors import StackError
from tools.stack.health import Health
from tools.stack.layout import Layout
from tools.stack.state import State
from tools.stack.vault import Vault

_console = Console(soft_wrap=True)
_ALL = "all"


def demo(
    receipts: Annotated[
        str, typer.Option(help="How many receipts, or `all` for the whole year (155,383).")
    ] = "4000",
    workers: Annotated[int, typer.Option(min=1, max=512, help="Tills that sell at a time.")] = 32,
    data: Annotated[
        Path | None,
        typer.Option(help="The stack's data folder; .stack by default.", envvar="TESSERA_DATA"),
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--json", help="Write figures, latencies and checks here, too.")
    ] = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack up; one that ran before always stays.")
    ] = False,
) -> None:
    """Replay a grocery chain's real year through the gateway and prove every total.

    The Complete Journey data set is a year of a real chain: 1.47 million receipt lines of 2,469
    households. The demo starts the stack when it is not running, loads products, stores,
    households with cards, segments and the chain's own coupons with an administrator's token, and
    puts more than fifty campaigns live. Tills then replay real receipts in the order of time with
    their own token: look up the card, evaluate, pay a part with points, commit; some receipts are
    voided, and of some goods come back.

    The year is moved by whole weeks so that it ends a few days ago: points age by the calendar.
    Receipts are whole years of households, so that a part of the year shows members coming back;
    more receipts continue fewer. Running the demo again finds the chain loaded and the receipts
    recorded, and adds what is missing.

    At the end it proves itself. DuckDB works out every discount on every line, every point and
    every refund again from the data set's files, with the program's numbers written a second time
    in SQL, and compares all of it with the receipts that were recorded; the ledger's statements
    and balances must agree with the receipts, every asset must sum up to zero, and the same
    receipts sent again must change nothing. Any difference ends the command with 1.
    """
    place = layout.at(data)
    asked = _count(receipts)
    begin = time.monotonic()
    try:
        with _running_stack(place, keep=keep):
            options = Options(receipts=_continue(place, asked), workers=workers)
            outcome = _perform(place, options)
    except (StackError, Unsuitable, Refused, TimeoutError, LookupError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]{escape(str(error))}[/red]")
        raise typer.Exit(1) from None
    total_s = time.monotonic() - begin
    _tell(outcome, total_s=total_s)
    if results is not None:
        results.write_text(json.dumps(_plain(outcome, total_s), indent=2) + "\n", encoding="utf-8")
    if not outcome.passed:
        raise typer.Exit(1)


def _count(receipts: str) -> int | None:
    if receipts == _ALL:
        return None
    if receipts.isdecimal() and int(receipts) > 0:
        return int(receipts)
    raise typer.BadParameter(f"--receipts is a number above 0 or `{_ALL}`, not {receipts}")


def _continue(place: Layout, asked: int | None) -> int | None:
    """Return how many receipts to replay: at least as many as any replay on this stack before.

    The ledger keeps the points of all of them, so all of them belong to the proof. What is begun
    now is noted, in case it is cut off.
    """
    note = place.root / "demo.json"
    try:
        before = json.loads(note.read_text(encoding="utf-8"))["receipts"]
    except FileNotFoundError:
        before = 0
    count = None if asked is None or before is None else max(asked, before)
    if count != asked:
        _say(f"{before or _ALL} receipts were replayed on this stack before: taking as many again")
    note.write_text(json.dumps({"receipts": count}) + "\n", encoding="utf-8")
    return count


@contextmanager
def _running_stack(place: Layout, *, keep: bool) -> Iterator[None]:
    """Start the stack unless it runs; stop what was started here."""
    try:
        asyncio.run(lifecycle.start(lifecycle.Options(layout=place), _say))
    except lifecycle.AlreadyRunningError as error:
        _say(str(error))
        yield
        return
    try:
        yield
    finally:
        if keep:
            _say(f"The stack stays up. Stop it with: {invocation.command('stack down')}")
        else:
            lifecycle.stop(place, _say)


def _perform(place: Layout, options: Options) -> Outcome:
    vault, record = Vault(place.secrets), State.load(place)
    assert record is not None
    gateway = Gateway(
        address=record.address("gateway"),
        admin=Login("admin", clients.secret_file("admin", vault)),
        till=Login("pos-demo", clients.secret_file("pos-demo", vault)),
        ledger_dsn=_ledger_dsn(record, vault),
    )
    with _Bars() as bars:
        return asyncio.run(job.perform(gateway, options, bars.advance))


def _ledger_dsn(record: State, vault: Vault) -> str | None:
    """Return how to read the ledger's database; None when PostgreSQL is not the stack's own."""
    if "postgres" not in record.programs:
        return None
    return Health(record, vault).postgres().dsn("tessera_ledger")


class _Bars:
    """Progress bars, one for each step, made when the step begins."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>20}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            console=_console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, name: str, done: int, total: int) -> None:
        """Show that so many parts of a step are done; a finished step begun again is a new bar."""
        if name not in self._tasks or done == 0:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


class _Rate(TextColumn):
    """Parts a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the rate of a step since it began."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="cyan")


def _tell(outcome: Outcome, *, total_s: float) -> None:
    chain, journal = outcome.chain, outcome.journal
    figures = story.sum_up(chain.plan, chain.people, outcome.receipts, outcome.value)
    if outcome.was_loaded:
        _say("The chain was loaded before.")
    _console.print(story.show_figures(figures), soft_wrap=False)
    _say(story.show_left_out(chain.bought))
    for part in (
        story.show_campaigns(outcome.receipts, chain.offers),
        story.show_reasons(outcome.receipts),
        story.show_latencies(outcome.timings),
        story.tell_receipt(outcome.receipts.example),
        story.show_checks(outcome.checks),
    ):
        _console.print(part, soft_wrap=False)
    sold = figures.receipts - journal.found
    retries = sum(one.retries for one in outcome.timings)
    _say(
        f"{sold:,} receipts in {outcome.replay_s:.1f} s are {sold / outcome.replay_s:,.0f} a second"
        f" ({journal.found:,} had been recorded before; {journal.evaluated_again:,} carts were"
        f" evaluated again, {retries:,} calls were repeated). All in all {total_s:.0f} s."
    )
    verdict = "[green]Everything agrees.[/green]" if outcome.passed else "[red]It differs.[/red]"
    _console.print(verdict)


def _plain(outcome: Outcome, total_s: float) -> dict[str, object]:
    chain, journal = outcome.chain, outcome.journal
    figures = story.sum_up(chain.plan, chain.people, outcome.receipts, outcome.value)
    sold = figures.receipts - journal.found
    extra: dict[str, object] = {
        "seconds": round(total_s, 1),
        "replay_seconds": round(outcome.replay_s, 1),
        "receipts_recorded": sold,
        "receipts_per_second": round(sold / outcome.replay_s, 1),
    }
    return extra | story.as_plain(figures, outcome.checks, outcome.timings)


def _say(message: str) -> None:
    _console.print(escape(message), highlight=False)
