"""Who may call what: token verification and one policy for each scope."""

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter

from services.gateway import config, contracts, typed
from services.gateway.typed import Node

#: Where the verified claims are for the filters that follow, and for the access log.
METADATA = "envoy.filters.http.jwt_authn"
CLAIMS = "claims"

_PROVIDER = "identity"
_SKEW_S = 5
_FETCH_S_MAX = 2
_REFETCH_S = 2
_TOKEN_BYTES_MAX = 4096


def verification(
    source: contracts.Contracts,
    settings: config.Settings,
    *,
    cluster: str,
    open_paths: Mapping[str, str],
) -> Node:
    """Return the filter that verifies tokens; public methods and `open_paths` need none.

    `open_paths` maps a path to its verb. The token goes on to the service, which verifies it again.
    """
    provider = {
        "issuer": settings.auth.issuer,
        "audiences": [settings.auth.audience],
        "forward": True,
        "require_expiration": True,
        "clock_skew_seconds": _SKEW_S,
        "payload_in_metadata": CLAIMS,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
        "jwt_cache_config": {"jwt_cache_size": 1000, "jwt_max_token_size": _TOKEN_BYTES_MAX},
        "remote_jwks": {
            "http_uri": {
                "uri": settings.auth.jwks_url,
                "cluster": cluster,
                "timeout": typed.seconds(_FETCH_S_MAX),
            },
            "cache_duration": typed.seconds(settings.auth.jwks_cache_s),
            # Fetched before the first call needs it; the listener does not wait for identity.
            "async_fetch": {
                "fast_listener": True,
                "failed_refetch_duration": typed.seconds(_REFETCH_S),
            },
            "retry_policy": {
                "num_retries": 2,
                "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"},
            },
        },
    }
    public = [method.path for method in source.methods if method.public]
    rules: list[Node] = [{"match": {"path": path}} for path in [*open_paths, *public]]
    rules.append({"match": {"prefix": "/"}, "requires": {"provider_name": _PROVIDER}})
    return typed.http_filter(
        "jwt_authn",
        "jwt_authn.v3.JwtAuthentication",
        {"providers": {_PROVIDER: provider}, "rules": rules},
    )


def policies(source: contracts.Contracts, *, open_paths: Mapping[str, str]) -> Node:
    """Return the filter that lets a scope call its methods, and everything else fail."""
    opened = [_request(path, verb) for path, verb in open_paths.items()]
    rules: Node = {"open": _policy(opened, {"any": True})}
    public = [method.path for method in source.methods if method.public]
    if public:
        rules["public"] = _policy([_call(public)], {"any": True})
    for scope, paths in paths_by_scope(source).items():
        rules[f"scope:{scope}"] = _policy([_call(paths)], _holder(scope))
    return typed.http_filter(
        "rbac", "rbac.v3.RBAC", {"rules": {"action": "ALLOW", "policies": rules}}
    )


def paths_by_scope(source: contracts.Contracts) -> dict[str, list[str]]:
    """Return the paths of the methods that each scope opens, sorted."""
    scoped = sorted(
        (method for method in source.methods if method.scope and not method.public),
        key=attrgetter("scope", "path"),
    )
    return {
        scope: [method.path for method in methods]
        for scope, methods in groupby(scoped, attrgetter("scope"))
    }


def _policy(permissions: list[Node], principal: Node) -> Node:
    return {"permissions": permissions, "principals": [principal]}


def _path(path: str) -> Node:
    return {"url_path": {"path": {"exact": path}}}


def _request(path: str, verb: str) -> Node:
    header = {"name": ":method", "string_match": {"exact": verb}}
    return {"and_rules": {"rules": [_path(path), {"header": header}]}}


def _call(paths: list[str]) -> Node:
    """Permit calls in gRPC, which JSON calls have become by now, and nothing else on the paths."""
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    return {
        "and_rules": {
            "rules": [{"header": grpc}, {"or_rules": {"rules": [_path(path) for path in paths]}}]
        }
    }


def _holder(scope: str) -> Node:
    claim = {
        "filter": METADATA,
        "path": [{"key": CLAIMS}, {"key": "scope"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": scope}}}},
    }
    return {"sourced_metadata": {"metadata_matcher": claim}}
