"""`up` in the foreground, and what happens when its processes are taken away."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil

from tools.stack import leftovers, lifecycle, ports
from tools.stack.layout import ROOT

_DEADLINE_S = 180


def rows_of(place):
    """Return the processes of a stack that is up."""
    rows = lifecycle.processes(place)
    assert rows is not None
    return rows


def wait_for(condition, message):
    """Poll a condition against a deadline."""
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def runs(place):
    """Tell whether every process of the stack has been started."""
    rows = lifecycle.processes(place)
    return rows is not None and all(row.pid for row in rows)


def test_interrupting_the_foreground_stops_everything_in_order(place):
    """Ctrl-C ends `up` with success once the last process is gone."""
    foreground = subprocess.Popen(
        [sys.executable, "-m", "tools", "stack", "up", "--free-ports", "--data", str(place.root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: runs(place), "the stack did not start")
        pids = [row.pid for row in rows_of(place)]
        foreground.send_signal(signal.SIGINT)
        output, _ = foreground.communicate(timeout=_DEADLINE_S)
    finally:
        foreground.kill()  # or the next test would meet what this one has started
    assert "stopped" in output
    assert lifecycle.processes(place) is None
    assert not any(leftovers.is_running(pid) for pid in pids)


def test_a_killed_supervisor_leaves_nothing_for_ever(command, place):
    """`down` finds the processes that nobody supervises any more, and stops them."""
    assert command("up", "--detach", "--free-ports").returncode == 0
    rows = rows_of(place)
    supervisor = psutil.Process(rows[0].pid).ppid()
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not leftovers.is_running(supervisor), "the supervisor survived")
    result = command("down")
    assert result.returncode == 0, result.stderr
    assert "left behind" in result.stdout
    assert not any(leftovers.is_running(row.pid) for row in rows)


def test_a_taken_default_port_moves_to_a_free_one():
    """The other names keep their defaults."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stranger:
        stranger.bind((ports.HOST, 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        quiet = ports.free()
        chosen = ports.allocate({"first": taken, "second": quiet})
    assert chosen["second"] == quiet
    assert chosen["first"] not in {taken, quiet}
    assert ports.is_free(chosen["first"])
