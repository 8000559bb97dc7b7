"""`python -m tools stack up|down|status|reset`."""

import asyncio
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from tools import invocation
from tools.stack import display, layout, lifecycle
from tools.stack.composition import Composition
from tools.stack.errors import StackError
from tools.stack.health import Health
from tools.stack.layout import Layout
from tools.stack.state import State as Record
from tools.stack.vault import Vault

app = typer.Typer(help="Run the whole platform on this machine.", no_args_is_help=True)
_console = Console(soft_wrap=True)

_NOT_RUNNING = 3
_REFRESH_S = 0.5

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Folder of all data; .stack in the clone by default.", envvar="TESSERA_DATA"
    ),
]


@app.command()
def up(
    data: Data = None,
    external: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with postgres.url, valkey.url: servers to use instead of ours."
        ),
    ] = None,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything is healthy.")
    ] = False,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Take any free ports: for a second stack.")
    ] = False,
) -> None:
    """Start everything; in the foreground Ctrl-C stops it again."""
    place = layout.at(data)
    options = lifecycle.Options(layout=place, external=external, fixed_ports=not free_ports)
    with _interrupted_by_signals():
        try:
            stack = asyncio.run(lifecycle.start(options, _say))
        except lifecycle.AlreadyRunningError as error:
            _say(str(error))
            _print_status(place)
            return
        except StackError as error:
            _fail(error)
        except KeyboardInterrupt:
            _say("interrupted: everything is stopped again")
            raise typer.Exit(130) from None
        if detach:
            _print_status(place)
            _say(f"A small shop to call: {_typed('example', place)}")
            _say(f"Stop it with: {_typed('stack down', place)}")
            return
        _say(f"A small shop to call: {_typed('example', place)}")
        _watch(stack)


@app.command()
def down(data: Data = None) -> None:
    """Stop everything in the reverse order of start; the data stays."""
    try:
        stopped = lifecycle.stop(layout.at(data), _say)
    except StackError as error:
        _fail(error)
    _say("The stack is stopped." if stopped else "The stack is not running.")


@app.command()
def status(data: Data = None) -> None:
    """Show what runs and where; ends with 3 when the stack is down, 1 when a part of it is ill."""
    place = layout.at(data)
    healthy = _print_status(place)
    if healthy is None:
        _say(f"The stack is not running. Start it with: {_typed('stack up', place)}")
        raise typer.Exit(_NOT_RUNNING)
    raise typer.Exit(0 if healthy else 1)


@app.command()
def reset(
    data: Data = None, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Stop everything and delete all data and secrets of the stack."""
    place = layout.at(data)
    if not place.root.exists():
        _say(f"There is nothing to delete: {place.root} does not exist.")
        return
    if not yes:
        typer.confirm(f"Delete {place.root} with every database in it?", abort=True)
    try:
        lifecycle.delete(place, _say)
    except StackError as error:
        _fail(error)
    _say(f"{place.root} is deleted.")


def _watch(stack: Composition) -> None:
    """Show the table until a signal comes or the stack is stopped from elsewhere."""
    try:
        with Live(console=_console, auto_refresh=False) as live:
            while (rows := lifecycle.processes(stack.layout)) is not None:
                health = asyncio.run(Health(stack.state, stack.vault).of_all())
                live.update(display.table(stack.layout, stack.state, rows, health), refresh=True)
                time.sleep(_REFRESH_S)
        lifecycle.stop(stack.layout, _say)  # nothing, unless the supervisor was killed
        _say("The stack was stopped from elsewhere.")
    except KeyboardInterrupt:
        _say("stopping")
        lifecycle.stop(stack.layout, _say)


def _print_status(place: Layout) -> bool | None:
    """Print the table; return whether all is healthy, or None when the stack is down."""
    record, rows = Record.load(place), lifecycle.processes(place)
    if record is None or rows is None:
        return None
    health = asyncio.run(Health(record, Vault(place.secrets)).of_all())
    _console.print(display.table(place, record, rows, health))
    for row in rows:
        if not health.get(row.name):
            _say(f"{row.name} is not healthy; its log is {place.log(row.name)}")
    return all(health.get(row.name, False) for row in rows)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Treat a closed terminal and a polite kill as Ctrl-C; ignore both while we already stop."""

    def interrupt(*_: object) -> NoReturn:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    handlers = {
        one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)


def _typed(arguments: str, place: Layout) -> str:
    """Return a command about this very stack, as one types it."""
    line = invocation.command(arguments)
    return (
        line if place == layout.at(None) else f"TESSERA_DATA={shlex.quote(str(place.root))} {line}"
    )


def _say(message: str) -> None:
    _console.print(escape(message), highlight=False)


def _fail(error: StackError) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"[red]{escape(str(error))}[/red]", highlight=False)
    raise typer.Exit(1) from None
