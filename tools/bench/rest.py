"""When a stack has nothing left to do: events have left, the journal is chained, pages written."""

import asyncio
import time
from contextlib import suppress

import psutil

from tools.stack import lifecycle
from tools.stack.layout import Layout

_LOOK_S = 0.25
#: What a stack at rest uses of one core: it looks after itself, and no more.
_SHARE_MAX = 0.15
_PATIENCE_S = 30.0


async def reached(place: Layout) -> None:
    """Return when the processes of a stack have come to rest, or after half a minute."""
    processes = _processes(place)
    until = time.monotonic() + _PATIENCE_S
    used = _used_s(processes)
    while time.monotonic() < until:
        await asyncio.sleep(_LOOK_S)
        before, used = used, _used_s(processes)
        if used - before < _SHARE_MAX * _LOOK_S:
            return


def _processes(place: Layout) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for one in lifecycle.processes(place) or []:
        with suppress(psutil.Error):
            process = psutil.Process(one.pid)
            found += [process, *process.children(recursive=True)]
    return found


def _used_s(processes: list[psutil.Process]) -> float:
    """Return the processor time of those that still run, in seconds."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
