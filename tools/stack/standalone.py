"""Run one server of the stack by itself, without a supervisor: for tests and benches."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tools.stack.account import process_credentials
from tools.stack.errors import StackError
from tools.stack.program import Program

_POLL_S = 0.02
_ORPHANS_S_MAX = 10.0


class Standalone:
    """One process of a program, and its log file."""

    def __init__(
        self, program: Program, *, log: Path, is_ready: Callable[[], Awaitable[bool]]
    ) -> None:
        self.program = program
        self.log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; raises StackError when it was never started."""
        if self._process is None:
            raise StackError(f"{self.program.name} was not started.")
        return self._process.pid

    async def start(self, *, timeout_s: float = 120) -> None:
        """Start the process and wait until it answers."""
        process = self._process = self._spawn()
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await self._is_ready():
            if process.poll() is not None:
                raise StackError(f"{self.program.name} ended at its start.", log=self.log)
            if asyncio.get_running_loop().time() > deadline:
                self.kill()
                raise StackError(
                    f"{self.program.name} did not answer within {timeout_s:g} s.", log=self.log
                )
            await asyncio.sleep(_POLL_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.program.directory,
                env={**os.environ, **self.program.environment},
                start_new_session=True,
                **process_credentials(self.program.account),
            )

    def stop(self) -> None:
        """Ask the process to finish, wait, and kill it when it takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(getattr(signal, f"SIG{self.program.stop_signal}"))
        try:
            self._process.wait(self.program.stop_wait_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process at once, as `kill -9` does, and see its own ones off.

        PostgreSQL's sessions answer until they notice that they are orphans.
        """
        if self._process is not None and self._process.poll() is None:
            orphans = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            psutil.wait_procs(orphans, timeout=_ORPHANS_S_MAX)
