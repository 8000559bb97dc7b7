"""Start, stop and delete a stack: each under one lock, each safe to repeat."""

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.stack import (
    composition,
    databases,
    external,
    leftovers,
    ports,
    postgres,
    roles,
)
from tools.stack.composition import Composition
from tools.stack.errors import StackError
from tools.stack.health import Health
from tools.stack.layout import ROOT, Layout
from tools.stack.program import Program
from tools.stack.state import State as Record
from tools.stack.supervision import Process, State, Supervisor, write_configuration

_POLL_S = 0.05
_SLOW_POLL_S = 0.5  # after the first second: a probe that fails is an error in somebody's log
_START_S_MAX = 90.0
# A process may fail at its first start (its port was taken a moment ago) and be well a second
# later; one that still fails after this long will not recover by itself.
_FAILING_S_MAX = 4.0

Report = Callable[[str], None]


class AlreadyRunningError(StackError):
    """The stack runs; the message says where it keeps its data."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to start: `fixed_ports` tries the default ports first."""

    layout: Layout
    external: Path | None = None
    fixed_ports: bool = True


async def start(options: Options, report: Report = lambda _: None) -> Composition:
    """Start everything in order and return when all of it is healthy.

    Raises AlreadyRunningError when it runs, and StackError when a process does not come up: then
    everything is stopped again.
    """
    layout = options.layout
    with _locked(layout, report):
        supervisor = Supervisor(layout)
        rows = supervisor.processes()
        if rows and all(row.pid for row in rows):
            raise AlreadyRunningError(
                f"The stack is already running, with its data in {layout.root}"
            )
        if rows is not None:
            report("the stack is up in part: stopping that before a new start")
            _stop_all(supervisor, layout, report)
        _stop_leftovers(layout, report)
        servers = external.load(options.external)
        chosen = ports.allocate(composition.default_ports(servers), fixed=options.fixed_ports)
        stack = composition.compose(layout, servers, chosen)
        stack.state.save(layout)
        write_configuration(layout, stack.programs)
        supervisor.start()
        try:
            await _start_in_order(supervisor, stack, report)
        except BaseException:
            _stop_all(supervisor, layout, report)
            raise
        return stack


async def _start_in_order(supervisor: Supervisor, stack: Composition, report: Report) -> None:
    await _start_all(supervisor, stack, stack.servers, report)
    await _prepare_databases(stack, report)
    await _start_all(supervisor, stack, [*stack.roles, stack.gateway], report)


async def _start_all(
    supervisor: Supervisor, stack: Composition, programs: Sequence[Program], report: Report
) -> None:
    for _, tier in itertools.groupby(programs, key=lambda program: program.priority):
        names = [program.name for program in tier]
        for name in names:
            supervisor.start_process(name)
        for name in names:
            await _wait(supervisor, stack, name)
            report(f"{name} answers on {stack.state.address(name)}")


async def _wait(supervisor: Supervisor, stack: Composition, name: str) -> None:
    health = Health(stack.state, stack.vault)
    log = stack.layout.log(name)
    start = time.monotonic()
    failing_since: float | None = None
    while not await health.of(name):
        now = time.monotonic()
        state = supervisor.process(name).state
        if state in {State.BACKOFF, State.FATAL, State.EXITED}:
            failing_since = failing_since or now
        if failing_since is not None and now - failing_since > _FAILING_S_MAX:
            raise StackError(f"{name} ends as soon as it is started.", log=log)
        if now - start > _START_S_MAX:
            raise StackError(f"{name} is not ready after {_START_S_MAX:g} s.", log=log)
        await asyncio.sleep(_POLL_S if now - start < 1 else _SLOW_POLL_S)


async def _prepare_databases(stack: Composition, report: Report) -> None:
    for role in roles.ROLES:
        for name in (role.name, role.owner):
            login = databases.Login(name=name, password=stack.vault.read(f"postgres-{name}"))
            await databases.ensure_login(stack.database, login)
        await databases.ensure_database(
            stack.database, role.database, owner=role.owner, runtime=role.name
        )
    await _migrate(stack.layout)
    report("every database is up to date")


async def _migrate(layout: Layout) -> None:
    log = layout.log("migrate")
    names = (role.name for role in roles.ROLES)
    command = roles.python("services", "migrate", *names, "--config", str(layout.settings))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, **roles.environment()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        if await process.wait() != 0:
            raise StackError("A migration failed.", log=log)


def stop(layout: Layout, report: Report = lambda _: None) -> bool:
    """Stop everything in the reverse order of start; return whether there was anything to stop."""
    if not layout.lock.exists():
        return _stop_leftovers(layout, report)
    with _locked(layout, report):
        supervisor = Supervisor(layout)
        if not supervisor.is_alive():
            return _stop_leftovers(layout, report)
        _stop_all(supervisor, layout, report)
        return True


def _stop_leftovers(layout: Layout, report: Report) -> bool:
    names = leftovers.stop(layout)
    for name in names:
        report(f"stopped {name}, left behind by a stack that was killed")
    return bool(names)


def _stop_all(supervisor: Supervisor, layout: Layout, report: Report) -> None:
    record = Record.load(layout)
    for name in supervisor.stop_processes((record.programs if record else {}).items()):
        report(f"{name} stopped")
    supervisor.shut_down()


def processes(layout: Layout) -> list[Process] | None:
    """Return what runs, in the order of start; None when the stack is down."""
    return Supervisor(layout).processes() if layout.state.exists() else None


def delete(layout: Layout, report: Report = lambda _: None) -> None:
    """Stop the stack and delete its folder with all data and secrets.

    Raises StackError for a folder that no stack was ever started in.
    """
    if not layout.lock.exists():
        raise StackError(f"{layout.root} is not the data folder of a stack: nothing was deleted.")
    stop(layout, report)
    with _locked(layout, report):
        postgres.remove(layout.postgres)
        if layout.socket.parent != layout.root:
            shutil.rmtree(layout.socket.parent, ignore_errors=True)
        shutil.rmtree(layout.root)


@contextlib.contextmanager
def _locked(layout: Layout, report: Report) -> Iterator[None]:
    layout.create()
    with layout.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another command is changing the stack: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
