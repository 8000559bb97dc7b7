"""The roles that run: their ports, their settings, their databases."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.stack import clients, ports
from tools.stack.layout import ROOT
from tools.stack.postgres import Endpoint
from tools.stack.program import Program
from tools.stack.vault import Vault


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role's default ports, and where it stands in the order of start.

    `others` are further ports by the suffix of their name, `calls` the roles it is a client of.
    """

    name: str
    port: int
    metrics_port: int
    priority: int
    others: Mapping[str, int] = field(default_factory=dict)
    calls: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """The name of the role's database."""
        return f"tessera_{self.name}"

    @property
    def owner(self) -> str:
        """The PostgreSQL role that owns the database and migrates it; the role's own name runs."""
        return f"{self.name}_owner"

    def default_ports(self) -> dict[str, int]:
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


# Those of equal priority start together, and nobody before those it calls. A test compares the
# names with those of `services.roles`.
ROLES = (
    Role(name="identity", port=50051, metrics_port=9101, priority=20, others={"http": 50061}),
    Role(name="ledger", port=50052, metrics_port=9102, priority=20),
    Role(
        name="promotions", port=50053, metrics_port=9103, priority=30, calls=("identity", "ledger")
    ),
)


_TWO_YEARS_S = 2 * 366 * 86_400


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module with this very interpreter."""
    return (sys.executable, "-m", module, *arguments)


def environment() -> dict[str, str]:
    """Return the variables that make our packages importable, installed or not."""
    return {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}", "PYTHONUNBUFFERED": "1"}


def section(
    role: Role, chosen: Mapping[str, int], database: Endpoint, vault: Vault
) -> dict[str, Any]:
    """Return a role's section of the settings."""
    made: dict[str, Any] = {
        "server": {
            "host": ports.HOST,
            "port": chosen[role.name],
            "metrics_port": chosen[f"{role.name}_metrics"],
        },
        "database": _database(role, database, vault),
    }
    if role.calls:
        secret = clients.secret_file(role.name, vault)
        made["auth"] = {"client_id": role.name, "client_secret_file": str(secret)}
        made |= {f"{name}_address": f"{ports.HOST}:{chosen[name]}" for name in role.calls}
    if role.name == "identity":
        made |= _identity(chosen, vault)
    if role.name == "ledger":
        made["code_key_file"] = str(vault.key("ledger-code-key"))
    if role.name == "promotions":
        # Whoever replays a year that is over wants its campaigns to the end.
        made["campaigns"] = {"retire_after_s": _TWO_YEARS_S}
    return made


def _identity(chosen: Mapping[str, int], vault: Vault) -> dict[str, Any]:
    return {
        "master_key_file": str(vault.key("identity-master-key")),
        # Tokens are asked for through the gateway, which says who asked.
        "http": {"host": ports.HOST, "port": chosen["identity_http"], "forwarded_hops": 1},
        "tokens": {"public_url": f"http://{ports.HOST}:{chosen['gateway']}"},
        "clients": clients.settings(vault),
    }


def _database(role: Role, server: Endpoint, vault: Vault) -> dict[str, Any]:
    return {
        "host": server.host,
        "port": server.port,
        "database": role.database,
        "user": role.name,
        "password_file": str(vault.file(f"postgres-{role.name}")),
        "owner": role.owner,
        "owner_password_file": str(vault.file(f"postgres-{role.owner}")),
    }
