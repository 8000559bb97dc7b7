"""Check everything that needs no server: style, types, layers and contracts."""

import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools import contracts

_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `passed` is None when there was nothing to check."""

    passed: bool | None
    output: str


@dataclass(frozen=True)
class Step:
    """One named check."""

    name: str
    run: Callable[[], Outcome]


def check() -> None:
    """Check style, types, layers and contracts: every step runs, then a table says how it went."""
    console = Console(soft_wrap=True)
    table = Table("step", "result", "seconds", title="Checks")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tessera-check-") as directory:
        for step in _steps(Path(directory)):
            console.print(f"[bold]{step.name}[/bold]")
            start = time.monotonic()
            outcome = step.run()
            seconds = time.monotonic() - start
            failed += outcome.passed is False
            if outcome.output and outcome.passed is not True:
                console.print(escape(outcome.output))
            table.add_row(step.name, _verdict(outcome.passed), f"{seconds:.1f}")
    console.print(table)
    if failed:
        console.print(f"[red]{failed} failed[/red]")
        raise typer.Exit(1)


def _verdict(passed: bool | None) -> str:  # noqa: FBT001  three states of one fact
    if passed is None:
        return "[yellow]skipped[/yellow]"
    return "[green]ok[/green]" if passed else "[red]failed[/red]"


def _steps(directory: Path) -> Iterator[Step]:
    image = directory / "contracts.binpb"
    yield Step("ruff format", lambda: _execute("ruff", "format", "--check", "--diff", "--quiet"))
    yield Step("ruff check", lambda: _execute("ruff", "check", "--quiet"))
    yield Step("mypy", lambda: _execute("mypy"))
    yield Step("lint-imports", lambda: _execute("lint-imports", "--no-logo"))
    yield Step("compile contracts", lambda: _compile(image, contracts.PROTOS))
    yield Step("buf lint", lambda: _execute("buf", "lint", str(image)))
    yield Step("buf breaking", lambda: _compare_with_last_tag(image, directory))


def _execute(*command: str) -> Outcome:
    result = subprocess.run(
        [str(_BIN / command[0]), *command[1:]],
        cwd=contracts.ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Outcome(passed=result.returncode == 0, output=result.stdout.strip())


def _compile(image: Path, protos: Path) -> Outcome:
    try:
        contracts.compile_image(image, protos)
    except contracts.GenerationError as error:
        return Outcome(passed=False, output=str(error))
    return Outcome(passed=True, output="")


def _compare_with_last_tag(image: Path, directory: Path) -> Outcome:
    """Compare the contracts with those of the last tag: a released contract is never broken."""
    tag = _git("describe", "--tags", "--abbrev=0")
    if tag is None:
        return Outcome(passed=None, output="nothing is tagged yet, so nothing can be broken")
    released = directory / "released"
    archive = _git("archive", "--format=tar", tag.decode().strip(), "protos")
    if archive is None:
        return Outcome(passed=None, output=f"{tag.decode().strip()} holds no contracts")
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(released, filter="data")
    return compare(image, released / "protos", scratch=directory)


def compare(image: Path, released: Path, *, scratch: Path) -> Outcome:
    """Tell whether clients of the released contracts can still talk to those in the image."""
    released_image = scratch / "released.binpb"
    compiled = _compile(released_image, released)
    if not compiled.passed:
        return compiled
    return _execute("buf", "breaking", str(image), "--against", str(released_image))


def _git(*arguments: str) -> bytes | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=contracts.ROOT, check=False, capture_output=True
        )
    except FileNotFoundError:  # a source archive on a machine without git
        return None
    return result.stdout if result.returncode == 0 else None
