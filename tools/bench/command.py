"""`python -m tools bench`: what the platform does in a second, beside a call that does nothing."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import grpc
import typer
import uvloop
from rich.console import Console

from services.chassis import clients, config
from tools.bench import checkout, ledger, load, noop, pgbench, report, rest
from tools.stack import layout, lifecycle
from tools.stack.layout import Layout
from tools.stack.state import State

_console = Console(soft_wrap=True)


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one measurement.")] = 2.0,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts that the ledger holds.")] = 100_000,
    transfers: Annotated[
        int,
        typer.Option(
            min=0, help="Measure postings, store so many transfers more, and measure them again."
        ),
    ] = 0,
    only: Annotated[str, typer.Option(help="Only subjects whose name contains this text.")] = "",
    results: Annotated[Path, typer.Option("--json", help="Where the figures go, too.")] = Path(
        "bench.json"
    ),
) -> None:
    """Measure ledger and checkout beside a no-op RPC on a stack of their own, and print ratios.

    Two noisy cores serve everything, the load included: quote the column of ratios, which are
    taken inside each round, and not the rates.
    """
    # Processes are started while channels are open; what gRPC would do about it is only noise.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    with _temporary() as place:
        measured = uvloop.run(_measure(place, rounds, seconds, accounts, transfers, only))
    report.show(_console, measured)
    report.write(results, measured)


@contextmanager
def _temporary() -> Iterator[Layout]:
    """Lay a stack out below a folder that PostgreSQL's account may enter when we are root."""
    directory = Path(tempfile.mkdtemp(prefix="tessera-bench-"))
    directory.chmod(0o711)
    place = layout.at(directory / "stack")
    try:
        asyncio.run(lifecycle.start(lifecycle.Options(layout=place, fixed_ports=False), _progress))
        yield place
    finally:
        lifecycle.stop(place)
        lifecycle.delete(place)
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(
    place: Layout, rounds: int, seconds: float, accounts: int, transfers: int, only: str
) -> list[load.Measurement]:
    state = State.load(place)
    assert state is not None
    async with AsyncExitStack() as stack:

        async def connect(target: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(grpc.aio.insecure_channel(target))

        quiet = await connect(await stack.enter_async_context(noop.running()))
        gateway = state.address("gateway")
        admin = checkout.Till(await connect(gateway), _tokens(place, gateway, "admin"))
        pos = checkout.Till(await connect(gateway), _tokens(place, gateway, "pos-demo"))
        direct = await connect(state.address("ledger"))
        work, of_ledger = await ledger.subjects(
            direct, admin.tokens, accounts=accounts, progress=_progress
        )
        measure = partial(
            load.compare,
            partial(noop.subject, quiet),
            rounds=rounds,
            seconds=seconds,
            progress=_progress,
            settle=partial(rest.reached, place),
        )
        if transfers:
            postings = [one for one in of_ledger if one.name.startswith("post, ")]
            before = load.named(await measure(postings), f"{2 * accounts:,} stored")
            await work.grow(transfers, _progress)
            after = await measure(postings)
            return before + load.named(after, f"{2 * accounts + transfers:,} stored")
        subjects: list[load.Subject | load.Steady | load.Peer] = [
            *of_ledger,
            await pgbench.peer(place, state, clients=64),
            *await checkout.subjects(admin, pos),
            # The last of a round: those after it would find everything cold.
            load.Peer("ready after kill -9", 1, work.recovery(partial(_kill, place, "ledger"))),
        ]
        return await measure(_choose(subjects, only))


def _choose(
    subjects: list[load.Subject | load.Steady | load.Peer], only: str
) -> list[load.Subject | load.Steady | load.Peer]:
    """Return the subjects with this in their names, or end the program and say what there is."""
    chosen = [subject for subject in subjects if only in subject.name]
    if not chosen:
        names = "; ".join(dict.fromkeys(subject.name for subject in subjects))
        typer.echo(f"Nothing has {only!r} in its name. There are: {names}.", err=True)
        raise typer.Exit(2)
    return chosen


def _kill(place: Layout, role: str) -> None:
    found = lifecycle.processes(place) or []
    next(one for one in found if one.name == role).kill()


def _tokens(place: Layout, gateway: str, client_id: str) -> clients.Tokens:
    settings = config.AuthSettings(
        token_url=f"http://{gateway}/oauth2/token",
        client_id=client_id,
        client_secret_file=place.secrets / f"client-{client_id}",
    )
    return clients.Tokens(settings)


def _progress(text: str) -> None:
    _console.print(f"[dim]{text}[/dim]")
