"""How much goes through: rates per process, client and address, sizes, connections, memory."""

from services.gateway import access, config, typed
from services.gateway.typed import Node

#: The names of the two filters: they are of one kind, and a route's settings find theirs by name.
FLOOD = "flood"
CLIENTS = "clients"

#: The name of the filter that bounds the size of a request.
SIZE = "envoy.filters.http.body_size_limit"

_CLIENT = "client"
_ADDRESS = "remote_address"


def flood(settings: config.Settings) -> Node:
    """Return the filter that bounds all calls together, tokens or not."""
    return _filter(FLOOD, _bucket(settings.limits.calls_per_second))


def clients(settings: config.Settings) -> Node:
    """Return the filter that bounds each client, known by its verified token."""
    action = {
        "metadata": {
            "descriptor_key": _CLIENT,
            "metadata_key": {
                "key": access.METADATA,
                "path": [{"key": access.CLAIMS}, {"key": "client_id"}],
            },
            "source": "DYNAMIC",
            "skip_if_absent": True,
        }
    }
    return _filter(
        CLIENTS,
        _bucket(settings.limits.calls_per_second),
        _each(_CLIENT, action, settings.limits.client_calls_per_second, settings),
    )


def token_requests(settings: config.Settings) -> Node:
    """Return the limits of the token endpoint, for its route: each address, and all together."""
    limits = settings.limits
    return typed.extension(
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        _limit(
            "token_requests",
            _bucket(limits.token_requests_per_second),
            _each(
                _ADDRESS, {"remote_address": {}}, limits.address_token_requests_per_second, settings
            ),
        ),
    )


def request_size(settings: config.Settings) -> Node:
    """Return the filter that cuts requests that grow too large, JSON and gRPC alike."""
    return typed.http_filter(
        "body_size_limit",
        "body_size_limit.v3.BodySizeLimit",
        {"max_request_bytes": settings.limits.request_bytes_max},
    )


def overload(settings: config.Settings) -> Node:
    """Return what the whole process does when connections or memory run out."""
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": typed.extension(
                    "resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    {"max_heap_size_bytes": settings.limits.heap_bytes_max},
                ),
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": typed.extension(
                    "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    {"max_active_downstream_connections": settings.limits.connections_max},
                ),
            },
        ],
        "actions": [
            _action("shrink_heap", 0.92),
            _action("stop_accepting_requests", 0.95),
            _action("stop_accepting_connections", 0.98),
        ],
    }


def _action(name: str, threshold: float) -> Node:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}


def _filter(name: str, bucket: Node, further: Node | None = None) -> Node:
    made = typed.http_filter(
        "local_ratelimit", "local_ratelimit.v3.LocalRateLimit", _limit(name, bucket, further)
    )
    return {**made, "name": name}


def _limit(name: str, bucket: Node, further: Node | None = None) -> Node:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "stat_prefix": name,
        "token_bucket": bucket,
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limited_as_resource_exhausted": True,
        "enable_retry_after_header": True,
        **(further or {}),
    }


def _each(key: str, action: Node, per_second: int, settings: config.Settings) -> Node:
    """Give each value of a key a bucket of its own; those longest unused are forgotten."""
    return {
        "rate_limits": [{"actions": [action]}],
        "descriptors": [{"entries": [{"key": key}], "token_bucket": _bucket(per_second)}],
        "max_dynamic_descriptors": settings.limits.remembered_clients_max,
    }


def _bucket(per_second: int) -> Node:
    return {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}
