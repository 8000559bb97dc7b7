"""The listeners: the edge with its chain of filters, and the metrics."""

import base64

from services.gateway import (
    access,
    clusters,
    config,
    contracts,
    fields,
    limits,
    replies,
    routes,
    typed,
)
from services.gateway.typed import Node

HEALTH_PATH = "/healthz"

_KIBIBYTE = 1024
_BUFFER_BYTES = 32 * _KIBIBYTE
#: Headers that only we may write: what the services and the replies believe.
_TRACER = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_PRIVATE_PREFIXES = ("x-envoy-", "x-tessera-")


def edge(source: contracts.Contracts, settings: config.Settings) -> Node:
    """Return the listener that everybody calls: gRPC, gRPC-Web and JSON on one port."""
    chain: Node = {"filters": [_connection_manager(source, settings)]}
    if settings.tls is not None:
        chain["transport_socket"] = _tls(settings.tls)
    return {
        "name": "edge",
        "address": typed.socket(settings.listener.host, settings.listener.port),
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [chain],
    }


def metrics(settings: config.Settings) -> Node:
    """Return the listener that shows `/stats/prometheus` of the admin port and nothing else."""
    route = {"match": {"path": "/stats/prometheus"}, "route": {"cluster": clusters.ADMIN}}
    manager = {
        "stat_prefix": "metrics",
        "route_config": {
            "virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [route]}]
        },
        "http_filters": [_router()],
    }
    return {
        "name": "metrics",
        "address": typed.socket(settings.metrics.host, settings.metrics.port),
        "filter_chains": [{"filters": [_network_filter(manager)]}],
    }


def _connection_manager(source: contracts.Contracts, settings: config.Settings) -> Node:
    manager = {
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        **_hardening(settings),
        "route_config": routes.table(source, settings),
        "http_filters": _filters(source, settings),
        "local_reply_config": replies.mapping(source, settings),
        "access_log": _access_log(settings),
    }
    if settings.telemetry.otlp_endpoint:
        manager["tracing"] = _tracing(settings)
    return _network_filter(manager)


def _filters(source: contracts.Contracts, settings: config.Settings) -> list[Node]:
    """Return the chain. Its order is the design.

    Health first, so that a draining gateway answers without a token. CORS before verification:
    a preflight has no token. JSON becomes gRPC before rights are looked at, so there is one set of
    paths; whatever would refuse on the body waits until the headers were let through.
    """
    open_paths = routes.PASSED_PATHS
    return [
        _health(),
        limits.flood(settings),
        typed.http_filter("cors", "cors.v3.Cors"),
        typed.http_filter("grpc_web", "grpc_web.v3.GrpcWeb"),
        limits.request_size(settings),
        _strictness(source),
        _transcoder(source, settings),
        typed.http_filter(
            "grpc_stats",
            "grpc_stats.v3.FilterConfig",
            {"stats_for_all_methods": True, "enable_upstream_stats": True},
        ),
        access.verification(source, settings, cluster=clusters.KEYS, open_paths=open_paths),
        access.policies(source, open_paths=open_paths),
        limits.clients(settings),
        _router(),
    ]


def _health() -> Node:
    path = {"name": ":path", "string_match": {"exact": HEALTH_PATH}}
    return typed.http_filter(
        "health_check",
        "health_check.v3.HealthCheck",
        {"pass_through_mode": False, "headers": [path]},
    )


def _strictness(source: contracts.Contracts) -> Node:
    script = {"default_source_code": {"inline_string": fields.script(source)}}
    return typed.http_filter("lua", "lua.v3.Lua", script)


def _transcoder(source: contracts.Contracts, settings: config.Settings) -> Node:
    descriptors = base64.b64encode(source.descriptors.SerializeToString(deterministic=True))
    services = {
        method.service
        for method in source.methods
        if method.bindings and method.role in settings.upstreams
    }
    return typed.http_filter(
        "grpc_json_transcoder",
        "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        {
            "proto_descriptor_bin": descriptors.decode(),
            "services": sorted(services),
            "convert_grpc_status": True,
            "max_request_body_size": settings.limits.request_bytes_max,
            "max_response_body_size": settings.limits.request_bytes_max,
            # Zeros and empty lists are written: a balance of 0 is an answer, not an absence.
            "print_options": {
                "always_print_primitive_fields": True,
                # One word, one place: JSON speaks with the names of the contract.
                "preserve_proto_field_names": True,
            },
            "request_validation_options": {
                "reject_unknown_query_parameters": True,
                "reject_binding_body_field_collisions": True,
            },
        },
    )


def _router() -> Node:
    return typed.http_filter("router", "router.v3.Router", {"suppress_envoy_headers": True})


def _hardening(settings: config.Settings) -> Node:
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_hops,
        # Nobody is "internal": a private address in front of us proves nothing.
        "internal_address_config": {},
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        "always_set_request_id_in_response": True,
        "stream_idle_timeout": "300s",
        "request_timeout": "60s",
        "request_headers_timeout": "10s",
        "max_request_headers_kb": 32,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_connection_duration": "900s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": settings.limits.streams_per_connection_max,
            "initial_stream_window_size": 64 * _KIBIBYTE,
            "initial_connection_window_size": 1024 * _KIBIBYTE,
        },
        "early_header_mutation_extensions": [_private_headers()],
    }


def _private_headers() -> Node:
    mutations = [
        {"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _PRIVATE_PREFIXES
    ]
    return {
        "name": "private_headers",
        "typed_config": typed.extension(
            "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            {"mutations": mutations},
        ),
    }


def _access_log(settings: config.Settings) -> list[Node]:
    if settings.access_log == "none":
        return []
    line = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "call": "%ROUTE_NAME%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "client_id": f"%DYNAMIC_METADATA({access.METADATA}:{access.CLAIMS}:client_id)%",
        "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_parent": "%REQ(TRACEPARENT)%",
    }
    log: Node = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": typed.extension(
            "access_loggers.stream.v3.StdoutAccessLog", {"log_format": {"json_format": line}}
        ),
    }
    if settings.access_log == "errors":
        failed = {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "-"}}}
        log["filter"] = {
            "or_filter": {
                "filters": [
                    {"status_code_filter": failed},
                    {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}},
                ]
            }
        }
    return [log]


def _tracing(settings: config.Settings) -> Node:
    return {
        "random_sampling": {"value": settings.telemetry.sampling_ratio * 100},
        "spawn_upstream_span": True,
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": _TRACER,
                "service_name": "gateway",
                "grpc_service": {
                    "envoy_grpc": {"cluster_name": clusters.TRACES},
                    "timeout": "1s",
                },
            },
        },
    }


def _tls(settings: config.TlsSettings) -> Node:
    certificate = {
        "certificate_chain": {"filename": str(settings.certificate_file)},
        "private_key": {"filename": str(settings.key_file)},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed.extension(
            "transport_sockets.tls.v3.DownstreamTlsContext",
            {
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [certificate],
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                }
            },
        ),
    }


def _network_filter(manager: Node) -> Node:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed.extension(
            "filters.network.http_connection_manager.v3.HttpConnectionManager", manager
        ),
    }
