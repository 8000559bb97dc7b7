"""The whole stack as a list: which processes, in which order, with which settings."""

from dataclasses import dataclass
from typing import Any

import yaml

from tools.stack import external, ports, postgres, roles, valkey
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

    @property
    def programs(self) -> list[Program]:
        """Every process in the order of start."""
        return [*self.servers, *self.roles]


def default_ports(elsewhere: External) -> dict[str, int]:
    """Return the default of every port that this stack opens."""
    servers = {name: port for name, port in _SERVERS.items() if not getattr(elsewhere, name)}
    return servers | {
        name: port for role in roles.installed() for name, port in role.ports().items()
    }


def compose(layout: Layout, elsewhere: External, chosen: dict[str, int]) -> Composition:
    """Prepare data folders, secrets and settings for the chosen ports; start nothing yet."""
    vault = Vault(layout.secrets)
    servers: list[Program] = []
    database = external.postgres_endpoint(elsewhere)
    if database is None:
        database = _postgres(servers, layout, vault, port=chosen["postgres"])
    hotstore = external.valkey_endpoint(elsewhere)
    if hotstore is None:
        hotstore = _valkey(servers, layout, vault, port=chosen["valkey"])
    _write_settings(layout, _settings(chosen, database, hotstore, vault))
    processes = [role.program(layout.settings) for role in roles.installed()]
    return Composition(
        layout=layout,
        state=State(
            ports=chosen, programs={item.name: item.priority for item in (*servers, *processes)}
        ),
        vault=vault,
        database=database,
        servers=servers,
        roles=processes,
    )


def _postgres(
    servers: list[Program], layout: Layout, vault: Vault, *, port: int
) -> postgres.Endpoint:
    password = vault.read("postgres-administrator")
    servers.append(postgres.prepare(layout.postgres, port=port, password=password))
    return postgres.Endpoint(host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password)


def _valkey(servers: list[Program], layout: Layout, vault: Vault, *, port: int) -> valkey.Endpoint:
    password = vault.read("valkey")
    servers.append(valkey.prepare(layout.valkey, port=port, password=password))
    return valkey.endpoint(port=port, password=password)


def _settings(
    chosen: dict[str, int], database: postgres.Endpoint, hotstore: valkey.Endpoint, vault: Vault
) -> dict[str, Any]:
    sections: dict[str, Any] = {"shared": {"hotstore": {"url": hotstore.url}}}
    for role in roles.installed():
        sections[role.name] = {"server": roles.server_section(role, chosen)}
        if role.migrations.is_dir():
            sections[role.name]["database"] = roles.database_section(role.name, database, vault)
    return sections


def _write_settings(layout: Layout, sections: dict[str, Any]) -> None:
    layout.settings.touch(mode=0o600)
    layout.settings.write_text(
        "# Written by the stack at every start.\n" + yaml.safe_dump(sections, sort_keys=False),
        encoding="utf-8",
    )
