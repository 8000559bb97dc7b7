"""Render the whole configuration of Envoy: contracts and settings in, one document out."""

import os
from pathlib import Path

import yaml

from services.gateway import clusters, config, contracts, limits, listener, typed
from services.gateway.typed import Node


def render(source: contracts.Contracts, settings: config.Settings) -> Node:
    """Return Envoy's configuration, complete in itself: no other file is read but certificates.

    Raises ConfigError when the settings do not fit the contracts.
    """
    _check(source, settings)
    return {
        "node": {"id": "gateway", "cluster": "tessera"},
        "admin": {
            "address": typed.socket("127.0.0.1", settings.admin_port),
            "ignore_global_conn_limit": True,
        },
        "overload_manager": limits.overload(settings),
        "static_resources": {
            "listeners": [listener.edge(source, settings), listener.metrics(settings)],
            "clusters": _clusters(settings),
        },
    }


def unserved(source: contracts.Contracts, settings: config.Settings) -> list[str]:
    """Return the roles that have contracts but no upstream: their methods are not served."""
    return sorted({method.role for method in source.methods} - settings.upstreams.keys())


def write(configuration: Node, path: Path) -> None:
    """Write the configuration as YAML; whoever reads meanwhile sees the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text(configuration), encoding="utf-8")
    draft.replace(path)


def text(configuration: Node) -> str:
    """Return the configuration as YAML."""
    return yaml.dump(configuration, Dumper=_Dumper, sort_keys=False, width=1_000_000)


def _check(source: contracts.Contracts, settings: config.Settings) -> None:
    known = {method.role for method in source.methods}
    for role in settings.upstreams:
        if role not in known:
            raise config.ConfigError(f"gateway.upstreams.{role} names no role with contracts.")


def _clusters(settings: config.Settings) -> list[Node]:
    auth, telemetry = settings.auth, settings.telemetry
    keys = clusters.endpoint(auth.jwks_url, "gateway.auth.jwks_url")
    tokens = clusters.endpoint(auth.token_url, "gateway.auth.token_url")
    made = [clusters.grpc(role, address, settings) for role, address in settings.upstreams.items()]
    made += [
        clusters.http(clusters.KEYS, keys, settings),
        clusters.http(clusters.TOKENS, tokens, settings),
        clusters.admin(settings),
        clusters.nowhere(),
    ]
    if telemetry.otlp_endpoint:
        collector = clusters.endpoint(telemetry.otlp_endpoint, "gateway.telemetry.otlp_endpoint")
        made.append(clusters.traces(collector, settings))
    return made


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as the Lua program, as blocks, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent_text)
