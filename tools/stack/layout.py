"""Where the stack keeps everything: one folder, deleted as a whole by `reset`."""

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEFAULT = ROOT / ".stack"

# The kernel limits the path of a socket to 108 bytes; the supervisor adds its process id to it.
_SOCKET_PATH_BYTES_MAX = 90


@dataclass(frozen=True)
class Layout:
    """The files below one data folder."""

    root: Path

    @property
    def state(self) -> Path:
        """The record of what was started and where."""
        return self.root / "stack.json"

    @property
    def settings(self) -> Path:
        """The settings file of every role."""
        return self.root / "tessera.yaml"

    @property
    def envoy(self) -> Path:
        """The gateway's rendered configuration."""
        return self.root / "envoy.yaml"

    @property
    def secrets(self) -> Path:
        """Passwords and client secrets, one file each, for the owner's eyes only."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's home."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's home."""
        return self.root / "valkey"

    @property
    def supervisor(self) -> Path:
        """The supervisor's configuration."""
        return self.root / "supervisor.conf"

    @property
    def lock(self) -> Path:
        """The lock that lets one command change the stack at a time."""
        return self.root / "lock"

    @property
    def socket(self) -> Path:
        """The supervisor's control socket: in the folder, or in a short path when that is long."""
        inside = self.root / "supervisor.sock"
        if len(os.fsencode(inside)) <= _SOCKET_PATH_BYTES_MAX:
            return inside
        name = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"tessera-{os.getuid()}-{name}" / "supervisor.sock"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders that must exist before anything starts."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent != self.root:
            self.socket.parent.mkdir(mode=0o700, exist_ok=True)


def at(data: Path | None) -> Layout:
    """Return the layout of a data folder; by default that of TESSERA_DATA, or the clone's own."""
    return Layout((data or Path(os.environ.get("TESSERA_DATA") or DEFAULT)).resolve())
