"""The whole stack as a list: which processes, in which order, with which settings."""

from dataclasses import dataclass
from typing import Any

import yaml

from tools.stack import external, gateway, ports, postgres, roles, valkey
from tools.stack.external import External
from tools.stack.layout import Layout
from tools.stack.program import Program
from tools.stack.state import State
from tools.stack.vault import Vault

_SERVERS = {"postgres": 55432, "valkey": 56379}


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A stack ready to start: servers first, then roles once their databases are prepared."""

    layout: Layout
    state: State
    vault: Vault
    database: postgres.Endpoint
    servers: list[Program]
    roles: list[Program]
    gateway: Program

    @property
    def programs(self) -> list[Program]:
        """Every process in the order of start."""
        return [*self.servers, *self.roles, self.gateway]


def default_ports(elsewhere: External) -> dict[str, int]:
    """Return the default of every port that this stack opens."""
    servers = {name: port for name, port in _SERVERS.items() if not getattr(elsewhere, name)}
    of_roles = {name: port for role in roles.ROLES for name, port in role.default_ports().items()}
    return servers | of_roles | gateway.PORTS


def compose(layout: Layout, elsewhere: External, chosen: dict[str, int]) -> Composition:
    """Prepare data folders, secrets and settings for the chosen ports; start nothing yet."""
    vault = Vault(layout.secrets)
    servers: list[Program] = []
    database = external.postgres_endpoint(elsewhere)
    if database is None:
        database = _postgres(servers, layout, vault, port=chosen["postgres"])
    if elsewhere.valkey:
        hotstore = {"url": elsewhere.valkey.url}
    else:
        hotstore = _valkey(servers, layout, vault, port=chosen["valkey"])
    _write_settings(layout, _settings(chosen, database, hotstore, vault))
    processes = [role.program(layout.settings) for role in roles.ROLES]
    edge = gateway.program(layout)
    programs = [*servers, *processes, edge]
    return Composition(
        layout=layout,
        state=State(ports=chosen, programs={one.name: one.priority for one in programs}),
        vault=vault,
        database=database,
        servers=servers,
        roles=processes,
        gateway=edge,
    )


def _postgres(
    servers: list[Program], layout: Layout, vault: Vault, *, port: int
) -> postgres.Endpoint:
    password = vault.read("postgres-administrator")
    servers.append(postgres.prepare(layout.postgres, port=port, password=password))
    return postgres.Endpoint(host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password)


def _valkey(servers: list[Program], layout: Layout, vault: Vault, *, port: int) -> dict[str, str]:
    servers.append(valkey.prepare(layout.valkey, port=port, password=vault.read("valkey")))
    return {"url": f"redis://{ports.HOST}:{port}/0", "password_file": str(vault.file("valkey"))}


def _settings(
    chosen: dict[str, int], database: postgres.Endpoint, hotstore: dict[str, str], vault: Vault
) -> dict[str, Any]:
    identity = f"http://{ports.HOST}:{chosen['identity_http']}"
    auth = {
        "jwks_url": f"{identity}/.well-known/jwks.json",
        "token_url": f"{identity}/oauth2/token",
    }
    sections: dict[str, Any] = {
        "shared": {"hotstore": hotstore, "auth": auth},
        "gateway": gateway.section(roles.ROLES, chosen),
    }
    return sections | {
        role.name: roles.section(role, chosen, database, vault) for role in roles.ROLES
    }


def _write_settings(layout: Layout, sections: dict[str, Any]) -> None:
    layout.settings.touch(mode=0o600)
    layout.settings.write_text(
        "# Written by the stack at every start.\n" + yaml.safe_dump(sections, sort_keys=False),
        encoding="utf-8",
    )
