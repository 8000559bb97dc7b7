"""The `@type` of Envoy's extensions, spelled once."""

from collections.abc import Mapping
from typing import Any

Node = dict[str, Any]

_TYPES = "type.googleapis.com/"
_EXTENSIONS = f"{_TYPES}envoy.extensions."


def extension(kind: str, fields: Mapping[str, Any] | None = None) -> Node:
    """Return an extension's typed configuration; `kind` is its name below `envoy.extensions`."""
    return {"@type": f"{_EXTENSIONS}{kind}", **(fields or {})}


def http_filter(name: str, kind: str, fields: Mapping[str, Any] | None = None) -> Node:
    """Return a filter of the HTTP chain; `name` is the last part of its well-known name."""
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": extension(f"filters.http.{kind}", fields),
    }


def switched_off() -> Node:
    """Return a route's word for a filter that it does without."""
    return {"@type": f"{_TYPES}envoy.config.route.v3.FilterConfig", "disabled": True}


def seconds(value: float) -> str:
    """Return a duration as protobuf's JSON writes it."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def socket(host: str, port: int) -> Node:
    """Return an address."""
    return {"socket_address": {"address": host, "port_value": port}}
