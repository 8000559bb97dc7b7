"""The supervisor: its configuration from our programs, and the commands it takes on its socket."""

import enum
import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Iterator
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from tools.stack import leftovers
from tools.stack.errors import StackError
from tools.stack.layout import Layout
from tools.stack.program import Program

_POLL_S = 0.05
_UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)
_START_S_MAX = 10.0
# A role that finds its database away ends and is started again, a second later each time.
_START_RETRIES = 100


class State(enum.Enum):
    """What the supervisor says of a process."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "restarting"
    STOPPING = "stopping"
    EXITED = "exited"
    FATAL = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process as the supervisor sees it now; `pid` is 0 when there is none."""

    name: str
    state: State
    pid: int
    uptime_s: int

    def kill(self) -> None:
        """Kill it as `kill -9` does.

        Raises StackError when it is down: to the system, 0 would be our own group.
        """
        if not self.pid:
            raise StackError(f"{self.name} is down already.")
        os.kill(self.pid, signal.SIGKILL)


def write_configuration(layout: Layout, programs: Iterable[Program]) -> None:
    """Write the supervisor's configuration; nothing starts by itself, the stack asks in order."""
    parser = RawConfigParser()
    parser["unix_http_server"] = {"file": _literal(layout.socket), "chmod": "0700"}
    parser["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": _literal(layout.log("supervisor")),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _literal(layout.root / "supervisor.pid"),
        "childlogdir": _literal(layout.logs),
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        parser[f"program:{program.name}"] = _section(layout, program)
    with layout.supervisor.open("w", encoding="utf-8") as file:
        parser.write(file)


def _section(layout: Layout, program: Program) -> dict[str, str]:
    variables = {**program.environment, leftovers.MARKER: str(layout.root)}
    return {
        "command": _literal(shlex.join(program.command)),
        "directory": _literal(program.directory),
        "environment": _literal(",".join(f"{key}={_quoted(variables[key])}" for key in variables)),
        "priority": str(program.priority),
        **({"user": program.account.name} if program.account else {}),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": str(_START_RETRIES),
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_wait_s),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _literal(layout.log(program.name)),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "2",
    }


def _literal(value: object) -> str:
    """Return a value as the supervisor reads it back unchanged: it expands percent signs."""
    text = str(value)
    if " ;" in text or " #" in text or "\n" in text:
        raise StackError(f"{text!r} cannot stand in the supervisor's configuration: move the data.")
    return text.replace("%", "%%")


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"'


class Supervisor:
    """The running supervisor of one stack, if there is one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def start(self) -> None:
        """Start the supervisor in a session of its own, so that it outlives this command."""
        self._layout.socket.unlink(missing_ok=True)
        log = self._layout.log("supervisor")
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", self._layout.supervisor],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._layout.root,
                env={**os.environ, leftovers.MARKER: str(self._layout.root)},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S_MAX
        while not self.is_alive():
            if process.poll() is not None:
                raise StackError("The supervisor ended at its start.", log=log)
            if time.monotonic() > deadline:
                process.kill()
                raise StackError("The supervisor does not answer.", log=log)
            time.sleep(_POLL_S)

    def is_alive(self) -> bool:
        """Tell whether a supervisor answers on the socket."""
        try:
            self._call("getPID")
        except _UNREACHABLE:
            return False
        return True

    def processes(self) -> list[Process] | None:
        """Return every process in the order of start, or None when nobody answers."""
        try:
            answers = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except _UNREACHABLE:
            return None
        return [_process(answer) for answer in answers]

    def process(self, name: str) -> Process:
        """Return one process."""
        return _process(cast("dict[str, Any]", self._call("getProcessInfo", name)))

    def start_process(self, name: str) -> None:
        """Ask for a process to be started; a process that runs already is left alone."""
        try:
            self._call("startProcess", name, False)  # noqa: FBT003  the protocol has no keywords
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                message = f"{name} could not be started: {fault.faultString}."
                raise StackError(message, log=self._layout.log(name)) from fault

    def stop_processes(self, programs: Iterable[tuple[str, int]]) -> Iterator[str]:
        """Stop the processes by falling priority, equal ones together; yield those that ran."""
        tiers: dict[int, list[str]] = {}
        for name, priority in programs:
            tiers.setdefault(priority, []).append(name)
        for _, names in sorted(tiers.items(), reverse=True):
            running = [name for name in names if self.process(name).pid]
            for name in names:  # also one that only waits to be started again
                self._stop(name)
            for name in running:
                while self.process(name).pid:
                    time.sleep(_POLL_S)
                yield name

    def shut_down(self) -> None:
        """End the supervisor, and with it whatever still runs; return when it is gone."""
        pid = cast("int", self._call("getPID"))
        self._call("shutdown")
        while leftovers.is_running(pid):
            time.sleep(_POLL_S)

    def _stop(self, name: str) -> None:
        try:
            self._call("stopProcess", name, False)  # noqa: FBT003  the protocol has no keywords
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise StackError(f"{name} could not be stopped: {fault.faultString}.") from fault

    def _call(self, method: str, *arguments: object) -> object:
        # A connection of its own for each call: one that failed cannot be used again.
        transport = SupervisorTransport(None, None, f"unix://{self._layout.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return cast("object", getattr(server.supervisor, method)(*arguments))


def _process(answer: dict[str, Any]) -> Process:
    pid = int(answer["pid"])
    return Process(
        name=answer["name"],
        state=State[answer["statename"]],
        pid=pid,
        uptime_s=max(0, int(answer["now"]) - int(answer["start"])) if pid else 0,
    )
