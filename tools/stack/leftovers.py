"""Processes that a killed supervisor left behind, known by the folder they carry."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from tools.stack import postgres
from tools.stack.layout import Layout

MARKER = "TESSERA_STACK"
_GRACE_S = 15.0


def is_running(pid: int) -> bool:
    """Tell whether the process lives; one that ended and was not yet collected does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop(layout: Layout) -> list[str]:
    """Stop every process that belongs to the stack; return their names.

    Meant for a stack without a supervisor: nothing would start them again.
    """
    processes = dict(_find(layout))
    for process, name in processes.items():
        # For PostgreSQL the gentler signal would wait for clients that never leave.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(list(processes), timeout=_GRACE_S)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_GRACE_S)
    return sorted(set(processes.values()))


def _find(layout: Layout) -> Iterator[tuple[psutil.Process, str]]:
    """Yield the processes of the stack, and their names, that are not children of another one."""
    marked: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _belongs(process, layout):
                marked[process.pid] = process
    for process in marked.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.ppid() not in marked:
                yield process, process.name()


def _belongs(process: psutil.Process, layout: Layout) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    # These two write their titles over their environment, and work inside their data folders.
    if process.name() in {"postgres", "valkey-server"}:
        homes = (layout.postgres.resolve(), postgres.aside(layout.postgres), layout.valkey)
        return any(Path(process.cwd()).is_relative_to(home) for home in homes)
    return bool(process.environ().get(MARKER) == str(layout.root))
