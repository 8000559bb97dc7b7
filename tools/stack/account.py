"""The system account a server runs as when the stack itself is started by root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.stack.errors import StackError

# PostgreSQL refuses to run as root. Both accounts exist without our help: the first wherever
# PostgreSQL was ever packaged, the second everywhere. No account is created on a machine.
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An unprivileged system account."""

    name: str
    uid: int
    gid: int

    def can_write(self, directory: Path) -> bool:
        """Tell whether the account can enter and write the directory, parents included."""
        return self._succeeds(["/bin/sh", "-c", 'cd -- "$0" && test -w .', str(directory)])

    def can_run(self, program: Path) -> bool:
        """Tell whether the account can execute the program: asks it for its version."""
        return self._succeeds([str(program), "--version"])

    def _succeeds(self, command: list[str]) -> bool:
        try:
            result = subprocess.run(
                command,
                **process_credentials(self),
                cwd="/",
                check=False,
                capture_output=True,
            )
        except PermissionError:
            return False
        return result.returncode == 0


def process_credentials(account: Account | None) -> dict[str, Any]:
    """Return the arguments that make `subprocess` run a process as the account, or as ourselves."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def unprivileged() -> Account | None:
    """Return the account for servers that refuse root, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError(
        f"PostgreSQL does not run as root and there is no account named {' or '.join(_CANDIDATES)}"
        " on this machine: run the stack as an ordinary user."
    )
