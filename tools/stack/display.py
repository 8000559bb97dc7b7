"""The table of processes, for a terminal."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from tools.stack.layout import Layout
from tools.stack.ports import HOST
from tools.stack.state import State as Record
from tools.stack.supervision import Process, State

_COLOURS = {
    State.STARTING: "yellow",
    State.STOPPING: "yellow",
    State.BACKOFF: "red",
    State.EXITED: "red",
    State.FATAL: "red",
}


def table(
    layout: Layout, record: Record, processes: Iterable[Process], health: Mapping[str, bool]
) -> Table:
    """Return one row a process: its state, its ports, its age."""
    result = Table(
        title=f"Tessera on {HOST}, data in {layout.root}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in ("process", "state", "port", "other ports", "pid", "up"):
        justify: JustifyMethod = "right" if column in {"port", "pid", "up"} else "left"
        result.add_column(column, justify=justify, no_wrap=True)
    for process in sorted(processes, key=lambda one: record.programs.get(one.name, 0)):
        result.add_row(
            process.name,
            _state(process, is_healthy=health.get(process.name, False)),
            str(record.ports[process.name]),
            _others(record, process.name),
            str(process.pid or "-"),
            str(timedelta(seconds=process.uptime_s)),
        )
    return result


def _state(process: Process, *, is_healthy: bool) -> str:
    # The supervisor says for a second that a process starts, however soon it answers.
    if is_healthy and process.state in {State.STARTING, State.RUNNING}:
        return "[green]healthy[/green]"
    if process.state is State.RUNNING:
        return "[yellow]not ready[/yellow]"
    return f"[{_COLOURS.get(process.state, 'dim')}]{process.state.value}[/]"


def _others(record: Record, name: str) -> str:
    prefix = f"{name}_"
    return ", ".join(
        f"{other.removeprefix(prefix)} {port}"
        for other, port in record.ports.items()
        if other.startswith(prefix)
    )
