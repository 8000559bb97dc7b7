"""Which path leads where, for how long, and how often again."""

from services.chassis import contracts as chassis
from services.gateway import clusters, config, contracts, limits, typed
from services.gateway.typed import Node

#: The route of everything that no contract knows.
UNKNOWN = "unknown"
#: The metadata of a route under which `scope` names what its method asks for.
NAMESPACE = "tessera.gateway"

#: Identity's own HTTP endpoints, each with its verb: passed through as they are.
TOKEN_PATH = "/oauth2/token"  # noqa: S105  a path
PASSED_PATHS = {
    TOKEN_PATH: "POST",
    "/.well-known/jwks.json": "GET",
    "/.well-known/oauth-authorization-server": "GET",
}

_PASSED_TIMEOUT_S = 5.0
#: A service that is cut by its own deadline cannot say why; the gateway can.
_REFUSAL_LEAD_S = 0.1
#: What Envoy calls the status codes of gRPC that it can retry on.
_RETRIED = {
    "CANCELLED": "cancelled",
    "DEADLINE_EXCEEDED": "deadline-exceeded",
    "INTERNAL": "internal",
    "RESOURCE_EXHAUSTED": "resource-exhausted",
    "UNAVAILABLE": "unavailable",
}
#: The same failure as UNAVAILABLE, seen before the service could say so itself; a server that
#: stops ends what it had not begun as CANCELLED.
_UNREACHED = ("connect-failure", "refused-stream", "reset-before-request", "cancelled")


def table(source: contracts.Contracts, settings: config.Settings) -> Node:
    """Return the route table; a method whose role has no upstream has no route either."""
    calls = [_call(method) for method in source.methods if method.role in settings.upstreams]
    passed = [_pass(path, verb, settings) for path, verb in PASSED_PATHS.items()]
    # Not a direct response: CORS takes its policy only from routes that lead to a cluster, and this
    # is where a JSON call stands before it is translated.
    unknown = {
        "name": UNKNOWN,
        "match": {"prefix": "/"},
        "route": {"cluster": clusters.NOWHERE},
    }
    host: Node = {
        "name": "gateway",
        "domains": ["*"],
        "routes": [*calls, *passed, unknown],
        # A retry needs the whole request once more.
        "request_body_buffer_limit": settings.limits.request_bytes_max,
    }
    if settings.cors_origins:
        host["typed_per_filter_config"] = {"envoy.filters.http.cors": _cors(settings)}
    return {"name": "gateway", "virtual_hosts": [host]}


def _call(method: contracts.Method) -> Node:
    timeout_s = method.timeout_s or chassis.DEFAULT_TIMEOUT_S
    action: Node = {
        "cluster": method.role,
        # Both are needed: the first bounds calls without a deadline, the second those with one. The
        # second is also what the service hears, a little more, so that our refusal comes first.
        "max_stream_duration": {
            "max_stream_duration": typed.seconds(timeout_s),
            "grpc_timeout_header_max": typed.seconds(timeout_s + _REFUSAL_LEAD_S),
        },
    }
    if method.retry is not None:
        action["retry_policy"] = _retry(method.retry)
    route: Node = {
        "name": method.path.removeprefix("/"),
        "match": {"path": method.path},
        "metadata": {"filter_metadata": {NAMESPACE: {"scope": method.scope}}},
        "route": action,
    }
    if method.streams_requests:
        # A stream is as long as it likes: the service bounds each message, the windows of HTTP/2
        # bound what is under way.
        route["typed_per_filter_config"] = {limits.SIZE: typed.switched_off()}
    return route


def _retry(retry: contracts.Retry) -> Node:
    conditions = [_RETRIED[code] for code in retry.codes]
    if "UNAVAILABLE" in retry.codes:
        conditions.extend(_UNREACHED)
    return {
        "retry_on": ",".join(conditions),
        "num_retries": retry.attempts_max - 1,
        "retry_back_off": {
            "base_interval": typed.seconds(retry.initial_backoff_s),
            "max_interval": typed.seconds(retry.backoff_s_max),
        },
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed.extension(
                    "retry.host.previous_hosts.v3.PreviousHostsPredicate"
                ),
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _pass(path: str, verb: str, settings: config.Settings) -> Node:
    configuration = {
        "envoy.filters.http.grpc_json_transcoder": typed.extension(
            "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            # No services: the filter stands aside.
            {"proto_descriptor_bin": "", "services": []},
        ),
        "envoy.filters.http.lua": typed.extension(
            "filters.http.lua.v3.LuaPerRoute", {"disabled": True}
        ),
    }
    if path == TOKEN_PATH:
        configuration[limits.FLOOD] = limits.token_requests(settings)
    return {
        "name": path,
        "match": {
            "path": path,
            "headers": [{"name": ":method", "string_match": {"exact": verb}}],
        },
        "route": {"cluster": clusters.TOKENS, "timeout": typed.seconds(_PASSED_TIMEOUT_S)},
        "typed_per_filter_config": configuration,
    }


def _cors(settings: config.Settings) -> Node:
    return typed.extension(
        "filters.http.cors.v3.CorsPolicy",
        {
            "allow_origin_string_match": [{"exact": origin} for origin in settings.cors_origins],
            "allow_methods": "GET, POST, PUT, PATCH, DELETE",
            "allow_headers": (
                "authorization, content-type, grpc-timeout, traceparent, x-grpc-web, x-user-agent"
            ),
            "expose_headers": "grpc-message, grpc-status, grpc-status-details-bin, x-request-id",
            "max_age": "7200",
            "forward_not_matching_preflights": False,
        },
    )
