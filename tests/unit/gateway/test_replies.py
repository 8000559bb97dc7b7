"""Envoy's own replies: worded by the refusals of the platform, the same in every protocol."""

import base64
import json

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from services.chassis import errors, status
from services.gateway import replies
from services.gateway.errors import RateExceeded


@pytest.fixture
def source(draft):
    """One method behind one scope."""
    draft.method("Read", scope="goods.read")
    return draft.read()


@pytest.fixture
def mappers(source, make_settings):
    """Give what the renderer makes of every refusal."""
    return replies.mapping(source, make_settings())["mappers"]


def _condition(mapper):
    return mapper["filter"]["extension_filter"]["typed_config"]["expression"]


def _headers(mapper):
    added = mapper.get("headers_to_add", ())
    return {each["header"]["key"]: each["header"]["value"] for each in added}


def _is_grpc(mapper):
    return "grpc-status" in _headers(mapper)


def _details(mapper):
    encoded = _headers(mapper)[status.METADATA_KEY]
    return status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))


def test_each_refusal_in_grpc_is_complete(mappers):
    """Status, message and details agree, as clients of google.rpc.Status demand."""
    in_grpc = [mapper for mapper in mappers if _is_grpc(mapper)]
    assert in_grpc
    for mapper in in_grpc:
        details = _details(mapper)
        text = mapper["body_format_override"]["text_format_source"]["inline_string"]
        assert details.message == text
        assert _headers(mapper)["grpc-status"] == str(details.code)
        info = error_details_pb2.ErrorInfo()
        assert details.details[0].Unpack(info)
        assert info.reason
        assert info.domain


def test_json_says_what_grpc_says(mappers):
    """Each refusal in gRPC is followed by the same in JSON, with one HTTP status."""
    for index, mapper in enumerate(mappers):
        if _is_grpc(mapper):
            follower = mappers[index + 1]
            body = json.dumps(follower["body_format_override"]["json_format"])
            assert json_format.Parse(body, status_pb2.Status()) == _details(mapper)
            assert follower["status_code"] == mapper["status_code"]
            assert f"({_condition(follower)})" in _condition(mapper)


def test_nothing_but_failures_is_worded(mappers):
    """The last conditions look at the status: a reply of 200, such as health, stays as it is."""
    assert _condition(mappers[-1]) == "response.code >= 500"
    assert not [mapper for mapper in mappers if _condition(mapper) == "true"]


def test_texts_hold_no_accidental_commands(mappers):
    """A percent sign would be a command to Envoy: only our own placeholders have one."""
    for mapper in mappers:
        for value in mapper["body_format_override"].values():
            text = json.dumps(value)
            for command in ("%DYNAMIC_METADATA(", "%LOCAL_REPLY_BODY%", ")%"):
                text = text.replace(command, "")
            assert "%" not in text


def test_denial_names_the_scope(mappers):
    """For each scope there is the refusal that the service itself would give."""
    expected = status.encode(errors.PermissionDenied(scope="goods.read"))
    assert expected in [_details(mapper) for mapper in mappers if _is_grpc(mapper)]


def test_limits_say_when_to_come_back(mappers):
    """A client in gRPC is pushed back; the details say the same."""
    (mapper,) = [
        each
        for each in mappers
        if _is_grpc(each) and _details(each) == status.encode(RateExceeded())
    ]
    assert _headers(mapper)["grpc-retry-pushback-ms"] == str(RateExceeded.retry_delay_ms)


def test_token_endpoint_speaks_its_own_language(mappers):
    """Whatever status comes first, the clients of RFC 6749 find an error code they can read."""
    own = [mapper for mapper in mappers if "/oauth2/token" in _condition(mapper)]
    assert own == mappers[: len(own)]
    for mapper in own:
        body = mapper["body_format_override"]["json_format"]
        assert body.keys() == {"error", "error_description"}
        assert _headers(mapper) == {"Cache-Control": "no-store"}
    assert "response.code < 500" in _condition(own[-2])
    assert "response.code >= 500" in _condition(own[-1])
