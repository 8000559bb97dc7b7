"""Where calls go: a gRPC cluster for each role, and identity's HTTP endpoints."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.gateway import config, typed
from services.gateway.typed import Node

ADMIN = "admin"
KEYS = "identity_keys"
NOWHERE = "nowhere"
TOKENS = "identity_tokens"
TRACES = "traces"

_KIBIBYTE = 1024
_BUFFER_BYTES = 32 * _KIBIBYTE
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, taken from a URL."""

    host: str
    port: int
    tls: bool


def endpoint(url: str, setting: str) -> Endpoint:
    """Return the server that a URL names; raises ConfigError, which names the setting."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise config.ConfigError(f"{setting} is {url!r}, but it must be an http or https URL.")
    return Endpoint(
        host=parts.hostname,
        port=parts.port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "https",
    )


def grpc(role: str, address: config.Address, settings: config.Settings) -> Node:
    """Return the cluster of a role: balanced by load, watched, and bounded."""
    return {
        **_cluster(role, address.host, address.port),
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": _http2(),
        "circuit_breakers": _breakers(settings),
        "health_checks": [_health_check(settings)],
        "outlier_detection": {
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            # A service may answer UNAVAILABLE or INTERNAL for what it depends on.
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "base_ejection_time": "5s",
            "max_ejection_percent": 50,
        },
    }


def http(name: str, target: Endpoint, settings: config.Settings) -> Node:
    """Return the cluster of an HTTP server."""
    made = {
        **_cluster(name, target.host, target.port),
        "circuit_breakers": {"thresholds": [{"max_requests": 128, "max_connections": 128}]},
    }
    if target.tls:
        made["transport_socket"] = _tls(target.host, settings.trusted_ca_file)
    return made


def admin(settings: config.Settings) -> Node:
    """Return the cluster that leads to our own admin port, for the metrics listener."""
    return _cluster(ADMIN, "127.0.0.1", settings.admin_port)


def nowhere() -> Node:
    """Return a cluster without servers: where calls end that no policy lets through."""
    return {"name": NOWHERE, "type": "STATIC"}


def traces(target: Endpoint, settings: config.Settings) -> Node:
    """Return the cluster of the trace collector, which speaks OTLP over gRPC."""
    made = {
        **_cluster(TRACES, target.host, target.port),
        "typed_extension_protocol_options": _http2(),
    }
    if target.tls:
        made["transport_socket"] = _tls(target.host, settings.trusted_ca_file)
    return made


def _cluster(name: str, host: str, port: int) -> Node:
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": typed.socket(host, port)}}]}],
        },
    }


def _http2() -> Node:
    options = {
        "initial_stream_window_size": 256 * _KIBIBYTE,
        "initial_connection_window_size": 1024 * _KIBIBYTE,
        "connection_keepalive": {"interval": "30s", "timeout": "5s"},
    }
    return {
        _HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": options},
        }
    }


def _breakers(settings: config.Settings) -> Node:
    requests = settings.limits.upstream_requests_max
    return {
        "thresholds": [
            {
                "max_connections": requests,
                "max_pending_requests": requests,
                "max_requests": requests,
                "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 5},
            }
        ]
    }


def _health_check(settings: config.Settings) -> Node:
    interval = typed.seconds(settings.health_interval_s)
    return {
        "grpc_health_check": {"service_name": "readiness"},
        "timeout": "1s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_interval": "1s",
        "unhealthy_edge_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
    }


def _tls(host: str, authorities: Path) -> Node:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed.extension(
            "transport_sockets.tls.v3.UpstreamTlsContext",
            {
                "sni": host,
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": {"filename": str(authorities)},
                        "match_typed_subject_alt_names": [
                            {"san_type": "DNS", "matcher": {"exact": host}}
                        ],
                    }
                },
            },
        ),
    }
