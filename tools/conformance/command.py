"""`python -m tools conformance`: worked cases of other engines held against ours."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.conformance import report
from tools.conformance.promotions import cases, runner

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
_console = Console()
# The worst that a file holds decides; 2 is a file that cannot be read.
_EXITS = {runner.Verdict.FAILED: 1, runner.Verdict.UNSUPPORTED: 3}


@app.callback()
def conformance() -> None:
    """Hold worked cases against our engines."""


@app.command()
def promotions(
    file: Annotated[Path, typer.Argument(help="A file of cases.")],
    show: Annotated[str, typer.Option(help="Print this case whole.", metavar="ID")] = "",
    results: Annotated[Path | None, typer.Option("--json", help="Write the results here.")] = None,
) -> None:
    """Run a file of promotion cases through the engine and print what became of each.

    A case passes, differs by a decision of ours (listed with the reason), asks for something that
    we lack, or fails. The exit code is 1 when a case failed, 3 when none did but one is
    unsupported, 2 when the file is none of cases.
    """
    try:
        found = cases.read_file(file)
    except cases.FileUnreadable as problem:
        raise typer.BadParameter(str(problem), param_hint="FILE") from problem
    outcomes = runner.run_all(found)
    if show:
        _show(show, outcomes)
    else:
        report.show(_console, outcomes)
    if results:
        report.write(results, file, outcomes)
    verdicts = {one.verdict for one in outcomes}
    if code := next((code for verdict, code in _EXITS.items() if verdict in verdicts), 0):
        raise typer.Exit(code)


def _show(case_id: str, outcomes: list[runner.Outcome]) -> None:
    chosen = [one for one in outcomes if one.case.case_id == case_id]
    if not chosen:
        raise typer.BadParameter(f"there is no case {case_id}", param_hint="--show")
    for outcome in chosen:
        report.show_one(_console, outcome)
