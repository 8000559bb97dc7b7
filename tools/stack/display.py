"""The table of processes, for a terminal."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from rich.console import JustifyMethod
from rich.table import Table

from tools.stack.layout import Layout
from tools.stack.state import State as Record
from tools.stack.supervision import Process, State

_COLOURS = {
    State.RUNNING: "green",
    State.STARTING: "yellow",
    State.STOPPING: "yellow",
    State.BACKOFF: "red",
    State.EXITED: "red",
    State.FATAL: "red",
}


def table(
    layout: Layout, record: Record, processes: Iterable[Process], health: Mapping[str, bool]
) -> Table:
    """Return one row a process: state, health, address, age; ports of a role beside its own."""
    result = Table(title=f"Tessera in {layout.root}", title_justify="left")
    for column in ("process", "state", "healthy", "address", "other ports", "pid", "up"):
        justify: JustifyMethod = "right" if column in {"pid", "up"} else "left"
        result.add_column(column, justify=justify, no_wrap=column != "other ports")
    for process in processes:
        healthy = health.get(process.name, False)
        # The supervisor says for a second that a process starts, however soon it answers.
        settled = healthy and process.state is State.STARTING
        state = State.RUNNING if settled else process.state
        colour = _COLOURS.get(state, "dim")
        result.add_row(
            process.name,
            f"[{colour}]{state.value}[/{colour}]",
            "[green]yes[/green]" if healthy else "[red]no[/red]",
            record.address(process.name),
            _others(record, process.name),
            str(process.pid or "-"),
            str(timedelta(seconds=process.uptime_s)),
        )
    return result


def _others(record: Record, name: str) -> str:
    prefix = f"{name}_"
    return ", ".join(
        f"{other.removeprefix(prefix)} {port}"
        for other, port in record.ports.items()
        if other.startswith(prefix)
    )
