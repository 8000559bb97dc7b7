"""The gateway's process: it renders Envoy's configuration from the settings, then becomes Envoy."""

from collections.abc import Iterable, Mapping
from typing import Any

from tools.stack.layout import ROOT, Layout
from tools.stack.ports import HOST
from tools.stack.program import Program
from tools.stack.roles import Role, environment, python

PORTS = {"gateway": 8080, "gateway_admin": 9901, "gateway_metrics": 9100}


def program(layout: Layout, *, priority: int = 40) -> Program:
    """Return the process, which starts last and stops first."""
    options = ("--config", str(layout.settings), "--output", str(layout.envoy))
    return Program(
        name="gateway",
        command=python("services.gateway", "run", *options),
        directory=ROOT,
        priority=priority,
        environment=environment(),
    )


def section(roles: Iterable[Role], ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the section `gateway` of the settings."""
    return {
        "listener": {"host": HOST, "port": ports["gateway"]},
        "admin_port": ports["gateway_admin"],
        "metrics": {"host": HOST, "port": ports["gateway_metrics"]},
        "upstreams": {role.name: {"host": HOST, "port": ports[role.name]} for role in roles},
    }
