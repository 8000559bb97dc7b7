"""What Envoy says when it refuses by itself: the same words as the services, in each protocol.

Every refusal becomes two mappers. A caller in gRPC or gRPC-Web gets the status with its details in
`grpc-status-details-bin`; a caller in JSON gets what the transcoder makes of a service's refusal.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import json_format

from services.chassis import errors, status
from services.gateway import access, clusters, config, contracts, routes, typed
from services.gateway.errors import MethodUnknown, RateExceeded, RequestTooLarge
from services.gateway.typed import Node

Category = errors.Category

_HTTP = {
    Category.INVALID_ARGUMENT: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION_DENIED: 403,
    Category.UNIMPLEMENTED: 404,
    Category.RESOURCE_EXHAUSTED: 429,
    Category.INTERNAL: 500,
    Category.UNAVAILABLE: 503,
    Category.DEADLINE_EXCEEDED: 504,
}
_GRPC = "request.headers['content-type'].startsWith('application/grpc')"
#: Set by the transcoder; a client's own header of this name is removed on arrival.
_TRANSCODED = "'x-envoy-original-path' in request.headers"
_DETAILS = "response.code_details"
_IDENTITY = {clusters.TOKENS: "identity"}
#: What the token endpoint says: `slow_down` and `temporarily_unavailable` as identity does.
_TOKEN_REPLIES = (
    ("response.code == 429", 429, "slow_down", "Too many requests; wait before the next."),
    ("response.code == 413", 413, "invalid_request", "The body is too large."),
    ("response.code < 500", 400, "invalid_request", "The request is malformed."),
    ("response.code >= 500", 503, "temporarily_unavailable", "Try again later."),
)
_DENIED = f"{_DETAILS}.startsWith('rbac_access_denied')"


@dataclass(frozen=True, slots=True)
class Reply:
    """A refusal, and the condition in CEL under which Envoy's own reply means it."""

    condition: str
    refusal: errors.Refusal
    http_status: int = 0


def mapping(source: contracts.Contracts, settings: config.Settings) -> Node:
    """Return how Envoy's own replies are worded; the first condition that holds decides."""
    mappers = [*_token_endpoint(), *_strictness(), *_malformed()]
    for reply in _replies(source, settings):
        mappers.extend((_in_grpc(reply), _in_json(reply)))
    return {"mappers": mappers}


def _replies(source: contracts.Contracts, settings: config.Settings) -> Iterator[Reply]:
    yield from _verification()
    yield Reply(f"{_DENIED} && (xds.route_name == '{routes.UNKNOWN}' || !{_GRPC})", MethodUnknown())
    for scope in access.paths_by_scope(source):
        needed = f"xds.route_metadata.filter_metadata['{routes.NAMESPACE}']['scope'] == '{scope}'"
        yield Reply(f"{_DENIED} && {needed}", errors.PermissionDenied(scope=scope))
    yield Reply("response.code == 403 || response.code == 404", MethodUnknown())
    yield Reply(
        "response.code == 413", RequestTooLarge(bytes_max=settings.limits.request_bytes_max), 413
    )
    yield Reply("response.code == 429", RateExceeded())
    yield Reply(f"{_DETAILS}.contains('overflow')", errors.Overloaded())
    yield Reply("response.code == 408 || response.code == 504", errors.DeadlineExceeded())
    for cluster, role in {**{role: role for role in settings.upstreams}, **_IDENTITY}.items():
        yield Reply(
            f"(response.code == 502 || response.code == 503) && xds.cluster_name == '{cluster}'",
            errors.Unavailable(dependency=role),
        )
    yield Reply(
        "response.code == 502 || response.code == 503", errors.Unavailable(dependency="gateway")
    )
    yield Reply(
        "response.code >= 400 && response.code < 500", _invalid("it is not well-formed HTTP")
    )
    yield Reply("response.code >= 500", errors.Internal())


def _verification() -> Iterator[Reply]:
    problems = {
        "Jwt_is_missing": "there is none",
        "Jwt_is_expired": "it has expired",
        "Audiences_in_Jwt_are_not_allowed": "its claim aud is wrong",
        "Jwt_issuer_is_not_configured": "its claim iss is wrong",
        "Jwt_verification_fails": "its signature is wrong",
        "Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt": "its key is not known",
    }
    yield Reply(_token("Jwks_remote_fetch_is_failed"), errors.Unavailable(dependency="identity"))
    for detail, problem in problems.items():
        yield Reply(_token(detail), errors.Unauthenticated(problem=problem))
    yield Reply(_token(""), errors.Unauthenticated(problem="it is malformed"))


def _token(detail: str) -> str:
    return f"{_DETAILS}.startsWith({json.dumps('jwt_authn_access_denied{' + detail)})"


def _invalid(problem: str, field: str = "") -> errors.InvalidRequest:
    return errors.InvalidRequest([errors.FieldViolation(field=field, description=problem)])


def _token_endpoint() -> Iterator[Node]:
    """Word what is refused before identity sees it as identity would: in the form of RFC 6749."""
    yield from (
        {
            "filter": _filter(f"xds.route_name == '{routes.TOKEN_PATH}' && {condition}"),
            "status_code": http_status,
            "headers_to_add": [_header("Cache-Control", "no-store")],
            "body_format_override": {
                "json_format": {"error": error, "error_description": description}
            },
        }
        for condition, http_status, error, description in _TOKEN_REPLIES
    )


def _strictness() -> Iterator[Node]:
    """Word what strict.lua found: the transcoder's own complaint is about the broken body."""
    found = f"metadata.filter_metadata['{routes.NAMESPACE}']"
    field = f"%DYNAMIC_METADATA({routes.NAMESPACE}:field)%"
    problem = f"%DYNAMIC_METADATA({routes.NAMESPACE}:problem)%"
    yield _json_mapper(f"{found}['field'] != ''", 400, _invalid(problem, field))
    yield _json_mapper(f"{found}['field'] == ''", 400, _invalid(problem))


def _malformed() -> Iterator[Node]:
    """Word what the transcoder cannot read: its text says which part."""
    condition = f"{_DETAILS}.contains('grpc_json_transcod') && response.code == 400"
    yield _json_mapper(condition, 400, _invalid("%LOCAL_REPLY_BODY%"))


def _in_grpc(reply: Reply) -> Node:
    encoded = status.encode(reply.refusal)
    details = base64.b64encode(encoded.SerializeToString(deterministic=True)).decode().rstrip("=")
    headers = {"grpc-status": str(encoded.code), status.METADATA_KEY: details}
    if reply.refusal.retry_delay_ms is not None:
        headers["grpc-retry-pushback-ms"] = str(reply.refusal.retry_delay_ms)
    return {
        "filter": _filter(f"({reply.condition}) && {_GRPC} && !({_TRANSCODED})"),
        "status_code": _http_status(reply),
        "headers_to_add": [_header(name, value) for name, value in headers.items()],
        "body_format_override": {"text_format_source": {"inline_string": encoded.message}},
    }


def _in_json(reply: Reply) -> Node:
    return _json_mapper(reply.condition, _http_status(reply), reply.refusal)


def _json_mapper(condition: str, http_status: int, refusal: errors.Refusal) -> Node:
    encoded = status.encode(refusal)
    # As the transcoder prints: with the names of the contract, and in one order for ever.
    body = json_format.MessageToJson(encoded, preserving_proto_field_name=True, sort_keys=True)
    return {
        "filter": _filter(condition),
        "status_code": http_status,
        "body_format_override": {"json_format": json.loads(body)},
    }


def _http_status(reply: Reply) -> int:
    return reply.http_status or _HTTP[reply.refusal.category]


def _header(name: str, value: str) -> Node:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _filter(expression: str) -> Node:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": typed.extension(
                "access_loggers.filters.cel.v3.ExpressionFilter", {"expression": expression}
            ),
        }
    }
