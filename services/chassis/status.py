"""Refusals on the wire: google.rpc.Status with ErrorInfo, and back."""

from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from services.chassis import errors, hotstore

#: The trailing metadata key under which gRPC carries a google.rpc.Status.
METADATA_KEY = "grpc-status-details-bin"

# Everything here travels in HTTP/2 trailers, and clients accept 8 KB of those.
_MESSAGE_MAX = 300
_DETAIL_MAX = 120
_VIOLATIONS_MAX = 10

_PEER_AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)
_CATEGORIES = {category.value: category for category in errors.Category}


@dataclass(frozen=True, slots=True)
class Answer:
    """What another service said when it refused; `reason` is empty when it gave no ErrorInfo."""

    category: errors.Category
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def encode(refusal: errors.Refusal) -> status_pb2.Status:
    """Return the refusal as a Status with ErrorInfo and, where they apply, further details."""
    metadata = {name: _cut(value, _DETAIL_MAX) for name, value in refusal.metadata.items()}
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason, domain=refusal.domain, metadata=metadata
    )
    status = status_pb2.Status(code=refusal.category.value, message=short(refusal.message))
    status.details.append(_pack(info))
    if isinstance(refusal, errors.InvalidRequest):
        status.details.append(_pack(_bad_request(refusal)))
    if refusal.retry_delay_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(refusal.retry_delay_ms)
        status.details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def short(message: str) -> str:
    """Return a message in the length that it may have on the wire."""
    return _cut(message, _MESSAGE_MAX)


def read(error: grpc.RpcError) -> Answer:
    """Return what a failed call's error says, whoever made it."""
    code = error.code() if isinstance(error, grpc.aio.AioRpcError | grpc.Call) else None
    if code is None:
        return Answer(errors.Category.UNKNOWN, str(error))
    assert isinstance(error, grpc.aio.AioRpcError | grpc.Call)
    category = _CATEGORIES.get(code.value[0], errors.Category.UNKNOWN)
    for key, value in error.trailing_metadata() or ():
        if key == METADATA_KEY and isinstance(value, bytes):
            return _answer(category, error.details() or "", value)
    return Answer(category, error.details() or "")


def missing_scope(answer: Answer) -> str:
    """Return the scope that whoever called lacks; empty when that is not what was said."""
    denied = errors.PermissionDenied
    if (answer.domain, answer.reason) == (denied.domain, denied.reason):
        return answer.metadata.get("scope", "")
    return ""


def explain(error: Exception) -> errors.Refusal | None:
    """Return the refusal that an error amounts to; None when it is a defect of ours."""
    if isinstance(error, errors.Refusal):
        return error
    if isinstance(error, TimeoutError):
        return errors.DeadlineExceeded()
    if isinstance(error, hotstore.FAILURES):
        return errors.Unavailable(dependency="hotstore")
    if isinstance(error, grpc.aio.AioRpcError):
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded()
        if error.code() in _PEER_AWAY:
            # Our clients note which method they called.
            notes = getattr(error, "__notes__", ["another service"])
            return errors.Unavailable(dependency=str(notes[-1]))
    return None


def _answer(category: errors.Category, text: str, data: bytes) -> Answer:
    try:
        status = status_pb2.Status.FromString(data)
    except message.DecodeError:
        return Answer(category, text)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return Answer(category, text, info.reason, info.domain, dict(info.metadata))
    return Answer(category, text)


def _bad_request(refusal: errors.InvalidRequest) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=_cut(violation.field, _DETAIL_MAX),
                description=_cut(violation.description, _DETAIL_MAX),
                reason=violation.rule,
            )
            for violation in refusal.violations[:_VIOLATIONS_MAX]
        ]
    )


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"


def _pack(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
