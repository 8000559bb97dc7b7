"""The roles that run: their ports, their settings, their databases."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.stack.layout import ROOT
from tools.stack.ports import HOST
from tools.stack.postgres import Endpoint
from tools.stack.program import Program
from tools.stack.vault import Vault


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role's default ports, and where it stands in the order of start.

    `others` are further ports by the suffix of their name.
    """

    name: str
    port: int
    metrics_port: int
    priority: int
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def migrations(self) -> Path:
        """The role's migrations; a role without any has no database."""
        return ROOT / "services" / self.name / "migrations"

    def ports(self) -> dict[str, int]:
        """Return every default port of the role by its name in the record."""
        return {
            self.name: self.port,
            f"{self.name}_metrics": self.metrics_port,
            **{f"{self.name}_{suffix}": port for suffix, port in self.others.items()},
        }

    def program(self, settings: Path) -> Program:
        """Return the process that runs the role."""
        return Program(
            name=self.name,
            command=(*python("services", self.name), "--config", str(settings)),
            directory=ROOT,
            priority=self.priority,
            environment=environment(),
            stop_wait_s=35,  # longer than a role may take to drain
        )


_KNOWN = (
    Role(name="identity", port=50051, metrics_port=9101, priority=20, others={"http": 50061}),
    Role(name="ledger", port=50052, metrics_port=9102, priority=30),
    Role(name="promotions", port=50053, metrics_port=9103, priority=40),
)


def installed() -> list[Role]:
    """Return the roles of this distribution that run as Python servers, in the order of start."""
    return [role for role in _KNOWN if (ROOT / "services" / role.name / "main.py").exists()]


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module with this very interpreter."""
    return (sys.executable, "-m", module, *arguments)


def environment() -> dict[str, str]:
    """Return the variables that make our packages importable, installed or not."""
    return {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}", "PYTHONUNBUFFERED": "1"}


def database_section(role: str, server: Endpoint, vault: Vault) -> dict[str, Any]:
    """Return the section `database` of a role."""
    return {
        "host": server.host,
        "port": server.port,
        "database": f"tessera_{role}",
        "user": role,
        "password_file": str(vault.file(f"postgres-{role}")),
        "owner": f"{role}_owner",
        "owner_password_file": str(vault.file(f"postgres-{role}_owner")),
    }


def server_section(role: Role, ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the section `server` of a role."""
    return {
        "host": HOST,
        "port": ports[role.name],
        "metrics_port": ports[f"{role.name}_metrics"],
    }
