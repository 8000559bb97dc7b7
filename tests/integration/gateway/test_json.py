"""JSON in and out: translation, and the refusal of whatever the contract does not know."""

import asyncio
import json
import string
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis import errors, status

ECHO = "/v1/probes:echo"
FULL = {
    "text": 'a "quoted" \\ text, \u0430\u0431\u0432',
    "amount_minor": "5",
    "mode": "MODE_FAST",
    "part": {"name": "x", "innerPart": {"name": "y", "inner_part": {}}},
    "parts": [{"name": "p"}, {}],
    "namedParts": {'k"\u043a': {"name": "n"}},
    "anything": {"free": [1, {"deep": None}], "form": "yes"},
    "occurredTime": "2026-01-02T03:04:05Z",
    "wait": "3.5s",
    "updateMask": "text,parts",
    "wrapped": "7",
    "words": ["one", "two"],
    "counts": {"x": 1},
    "data": "AAEC",
    "loud": True,
    "left": "l",
    "ratio": 1.5e3,
}


async def test_every_kind_of_field_travels(gateway, backend, token, probe):
    """What protobuf's own JSON reader makes of a body, the service gets."""
    answer = await gateway.send("POST", ECHO, token=token, json=FULL)
    assert answer.status == 200
    expected = json_format.ParseDict(FULL, probe.kind("EchoRequest")())
    assert backend.calls[0].request == expected
    response = json_format.ParseDict(answer.json, probe.kind("EchoResponse")())
    assert response.request == expected


async def test_numbers_keep_their_digits(gateway, backend, token):
    """A number beyond 2⁵³ is not rounded on its way."""
    await gateway.send("POST", ECHO, token=token, data='{"amountMinor": 9007199254740993}')
    assert backend.calls[0].request.amount_minor == 9007199254740993


async def test_zeros_are_written(gateway, token):
    """A zero in the answer is an answer."""
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert answer.json["request"]["amount_minor"] == "0"


async def test_path_and_query_bind_fields(gateway, backend, token):
    """Fields come from the path and the query, as the binding says."""
    answer = await gateway.send("GET", "/v1/probes/abc?pageSize=3", token=token)
    assert answer.status == 200
    assert backend.calls[0].request.text == "abc"
    assert backend.calls[0].request.page_size == 3


async def test_second_binding_of_a_method_is_held_to_the_same_fields(gateway, backend, token):
    """Additional bindings are checked as the first is."""
    path = "/v1/probes/abc:echo"
    assert (await gateway.send("POST", path, token=token, json={"loud": True})).status == 200
    assert backend.calls[0].request.text == "abc"
    assert (await gateway.send("POST", path, token=token, json={"lout": True})).status == 400


async def test_body_of_one_field_is_held_to_that_field(gateway, backend, token):
    """A binding whose body is a field takes that field's members and no others."""
    path = "/v1/probes/abc/part"
    answer = await gateway.send("PUT", path, token=token, json={"name": "n", "amountMinor": "4"})
    assert answer.status == 200
    assert backend.calls[0].request.part.amount_minor == 4
    answer = await gateway.send("PUT", path, token=token, json={"name": "n", "text": "t"})
    assert answer.detail("BadRequest")["field_violations"][0]["field"] == "text"


UNKNOWN = {
    "at the top": ({"text": "a", "txt": "b"}, "txt"),
    "in a message": ({"part": {"name": "n", "nam": 1}}, "part.nam"),
    "in a list": ({"parts": [{}, {"innerPart": {"x": 1}}]}, "parts[1].innerPart.x"),
    "in a map": ({"namedParts": {"k": {"x": 1}}}, "namedParts.k.x"),
    "beside everything": ({**FULL, "zz": 0}, "zz"),
    "deep": ({"part": {"inner_part": {"innerPart": {"y": []}}}}, "part.inner_part.innerPart.y"),
    "an extension": ({"[tessera.x]": 1}, "[tessera.x]"),
    "a type name": ({"part": {"@type": "x"}}, "part.@type"),
    "in another case": ({"Text": "a"}, "Text"),
    "in a choice": ({"right": {"z": 1}}, "right.z"),
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_unknown_field_is_refused(gateway, backend, token, case):
    """A field that the contract does not know is refused by its path, wherever it is."""
    body, field = UNKNOWN[case]
    answer = await gateway.send("POST", ECHO, token=token, json=body)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.json["code"] == 3
    assert answer.detail("BadRequest")["field_violations"] == [
        {"field": field, "description": "unknown field"}
    ]
    assert answer.json["message"] == f"The request is not valid: {field}: unknown field."
    assert backend.calls == []


MALFORMED = [
    '{"text": "a", "text": "b"}',
    '{"amountMinor": 1, "amount_minor": 2}',
    '{text: "a"}',
    "{'text': 'a'}",
    '{"text": "a",}',
    '{"text": "a"} {}',
    '{"text": "a"}}',
    '{"text": "a" "loud": true}',
    '{"te\\u0078t": "a"}',
    '{"text": "a\x01b"}',
    '{"text"',
    '{"text": ',
    '{"text": "a',
    "{",
    "   ",
    "[]",
    '"text"',
    "null",
    '{"part": []}',
    '{"part": "x"}',
    '{"parts": {}}',
    '{"words": "a"}',
    '{"text": {}}',
    '{"text": []}',
    '{"text": 5}',
    '{"loud": "true"}',
    '{"loud": 1}',
    '{"amountMinor": "x"}',
    '{"amountMinor": 1.5}',
    '{"amountMinor": 99999999999999999999}',
    '{"amountMinor": -1e30}',
    '{"amountMinor": "9223372036854775808"}',
    '{"ratio": NaN}',
    '{"parts": [null]}',
    '{"words": [null]}',
    '{"counts": {"a": null}}',
    '{"namedParts": {"a": null}}',
    '{"mode": "MODE_OTHER"}',
    '{"data": "***"}',
    '{"occurredTime": "yesterday"}',
    '{"left": "a", "right": {}}',
    '{"namedParts": [1]}',
    '{"anything": ' + "[" * 100 + "]" * 100 + "}",
    "\ufeff{}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: body[:40].strip())
async def test_malformed_body_is_an_invalid_request(gateway, backend, token, body):
    """Wrong JSON and wrong types are the caller's fault, said as such, and reach nobody."""
    answer = await gateway.send("POST", ECHO, token=token, data=body)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.detail("BadRequest")["field_violations"][0]["description"]
    assert backend.calls == []


MISTYPED = {
    "amountMinor": ('{"amountMinor": "x"}', "a whole number is expected"),
    "amount_minor": ('{"amount_minor": 1.5}', "a whole number is expected"),
    "wrapped": ('{"wrapped": true}', "a whole number is expected"),
    "part.amountMinor": ('{"part": {"amountMinor": "12,5"}}', "a whole number is expected"),
    "counts.k": ('{"counts": {"k": "many"}}', "a whole number is expected"),
    "parts[1].name": ('{"parts": [{}, {"name": 5}]}', "a text in quotes is expected"),
    "words[0]": ('{"words": [7]}', "a text in quotes is expected"),
    "mode": ('{"mode": "MODE_SLOW"}', "it is none of the names of the contract"),
    "occurredTime": (
        '{"occurredTime": "yesterday"}',
        "a time like 2026-03-01T12:00:00Z is expected",
    ),
    "wait": ('{"wait": "5 minutes"}', "a duration in seconds like 900s is expected"),
    "loud": ('{"loud": "true"}', "true or false is expected"),
}


@pytest.mark.parametrize("field", MISTYPED)
async def test_a_value_of_another_type_is_refused_by_its_field(gateway, backend, token, field):
    """A form or a log can point at the place; nobody has to read it out of a sentence."""
    body, problem = MISTYPED[field]
    answer = await gateway.send("POST", ECHO, token=token, data=body)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.detail("BadRequest")["field_violations"] == [
        {"field": field, "description": problem}
    ]
    assert backend.calls == []


INT32 = "a whole number from -2147483648 to 2147483647 is expected"
INT64 = "a whole number from -9223372036854775808 to 9223372036854775807 is expected"
#: What tills' languages make of whole numbers when they print them as floating ones.
QUOTED = {
    '{"amountMinor": "1e3"}': ("amountMinor", "a whole number is expected"),
    '{"amountMinor": "1.5E+3"}': ("amountMinor", "a whole number is expected"),
    '{"part": {"amount_minor": "2000.0"}}': ("part.amount_minor", "a whole number is expected"),
    '{"counts": {"k": "1e0"}}': ("counts.k", "a whole number is expected"),
    '{"mode": "1e0"}': ("mode", "it is none of the names of the contract"),
}


@pytest.mark.parametrize("body", QUOTED)
async def test_a_number_in_quotes_is_digits(gateway, backend, token, body):
    """The transcoder takes an exponent without quotes alone, and would not say which field."""
    field, problem = QUOTED[body]
    answer = await gateway.send("POST", ECHO, token=token, data=body)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.detail("BadRequest")["field_violations"] == [
        {"field": field, "description": problem}
    ]
    assert backend.calls == []


OUT_OF_RANGE = {
    '{"amountMinor": 9223372036854775808}': ("amountMinor", INT64),
    '{"amountMinor": "-9223372036854775809"}': ("amountMinor", INT64),
    '{"part": {"amount_minor": 100000000000000000000}}': ("part.amount_minor", INT64),
    '{"amountMinor": 1e20}': ("amountMinor", INT64),
    '{"wrapped": 9223372036854775808.0}': ("wrapped", INT64),
    '{"counts": {"k": 2147483648}}': ("counts.k", INT32),
    '{"counts": {"k": "-2147483649"}}': ("counts.k", INT32),
}


@pytest.mark.parametrize("body", OUT_OF_RANGE)
async def test_a_number_out_of_range_is_refused_by_its_field(gateway, backend, token, body):
    """A unit that was mistaken for another makes numbers too large more often than words."""
    field, problem = OUT_OF_RANGE[body]
    answer = await gateway.send("POST", ECHO, token=token, data=body)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.detail("BadRequest")["field_violations"] == [
        {"field": field, "description": problem}
    ]
    assert backend.calls == []


TYPED = [
    '{"amountMinor": 9223372036854775807, "counts": {"k": 2147483647}}',
    '{"amountMinor": "-9223372036854775808", "counts": {"k": -2147483648, "l": -0}}',
    '{"amountMinor": 9e18, "counts": {"k": 2147483647.000}}',
    '{"amountMinor": "-12", "wrapped": 5, "counts": {"k": 1}}',
    '{"amountMinor": 12.0}',
    '{"amountMinor": 1e3}',
    '{"mode": "MODE_FAST", "occurredTime": "2026-03-01T12:00:00.123456Z"}',
    '{"mode": 1, "occurredTime": "2026-03-01T12:00:00+03:00"}',
    '{"wait": "1.5s", "updateMask": "part.name", "data": "AAEC", "ratio": 0.5}',
    '{"mode": null, "amountMinor": null, "occurredTime": null, "text": null, "wait": null}',
]


@pytest.mark.parametrize("body", TYPED)
async def test_every_way_to_write_a_value_is_taken(gateway, backend, token, body):
    """Strict is about mistakes: what JSON of Protobuf allows goes through, in parts as well."""
    answer = await gateway.send("POST", ECHO, token=token, data=body)
    assert answer.status == 200, answer.json
    assert len(backend.calls) == 1


async def test_bytes_that_are_no_text_are_an_invalid_request(gateway, backend, token):
    """Invalid UTF-8, in a value or in a name, breaks nothing but the request."""
    for body in (
        b'{"text": "\xff\xfe"}',
        b'{"\xff": 1}',
        b'{"namedParts": {"\xc3(": {"\x80": 1}}}',
    ):
        answer = await gateway.send(
            "POST", ECHO, token=token, data=body, headers={"content-type": "application/json"}
        )
        assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert backend.calls == []


async def test_unknown_query_parameter_is_refused(gateway, backend, token):
    """A query is held to the request's fields as a body is."""
    for path in ("/v1/probes/abc?page=3", "/v1/probes/abc?pageSize=x"):
        answer = await gateway.send("GET", path, token=token)
        assert (answer.status, answer.reason) == (400, "INVALID_REQUEST"), path
    answer = await gateway.send("POST", f"{ECHO}?loud=true&zz=1", token=token, json={})
    assert answer.status == 400
    assert backend.calls == []


async def test_field_bound_by_the_path_is_not_taken_from_the_body(gateway, backend, token):
    """A body cannot say otherwise than the path."""
    answer = await gateway.send("POST", "/v1/probes/abc:echo", token=token, json={"text": "other"})
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert backend.calls == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_body_in_pieces_is_checked_as_one(gateway, backend, token, probe, size):
    """Wherever the network cuts a body, the outcome is the same."""

    async def pieces(text: str) -> Any:
        data = text.encode()
        for start in range(0, len(data), size):
            yield data[start : start + size]
            await asyncio.sleep(0)

    headers = {"content-type": "application/json"}
    good, bad = json.dumps(FULL, ensure_ascii=False), json.dumps({**FULL, "zz": {"y": 1}})
    answer = await gateway.send("POST", ECHO, token=token, data=pieces(good), headers=headers)
    assert answer.status == 200
    assert backend.calls[0].request == json_format.ParseDict(FULL, probe.kind("EchoRequest")())
    answer = await gateway.send("POST", ECHO, token=token, data=pieces(bad), headers=headers)
    assert answer.detail("BadRequest")["field_violations"][0]["field"] == "zz"
    assert len(backend.calls) == 1


async def test_piece_with_an_unknown_field_cannot_be_mended_by_the_next(gateway, backend, token):
    """A cut inside a text, an unknown field, and a rest that would close what was broken."""

    async def pieces() -> Any:
        for piece in (b'{"text": "abc', b'", "zz": 1, "data": "', b'AAEC"}'):
            yield piece
            await asyncio.sleep(0.05)

    answer = await gateway.send(
        "POST", ECHO, token=token, data=pieces(), headers={"content-type": "application/json"}
    )
    assert answer.detail("BadRequest")["field_violations"][0]["field"] == "zz"
    assert backend.calls == []


async def test_empty_body_is_an_empty_request(gateway, backend, token):
    """Nothing at all is the empty message: the service decides what it lacks."""
    assert (await gateway.send("POST", ECHO, token=token)).status == 200
    assert backend.calls[0].request.ByteSize() == 0


async def test_refusal_of_a_service_keeps_its_details_in_json(gateway, backend, token):
    """ErrorInfo and BadRequest of a service arrive as JSON, typed."""
    violation = errors.FieldViolation(field="text", description="too short", rule="string.min_len")
    encoded = status.encode(errors.InvalidRequest([violation]))

    async def refuse(_: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            encoded.message,
            trailing_metadata=((status.METADATA_KEY, encoded.SerializeToString()),),
        )

    backend.behaviour = refuse
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert answer.json["message"] == encoded.message
    assert answer.detail("BadRequest")["field_violations"] == [
        {"field": "text", "description": "too short", "reason": "string.min_len"}
    ]


DETAILS = {
    "RetryInfo": error_details_pb2.RetryInfo(),
    "QuotaFailure": error_details_pb2.QuotaFailure(
        violations=[error_details_pb2.QuotaFailure.Violation(subject="s", description="d")]
    ),
    "PreconditionFailure": error_details_pb2.PreconditionFailure(
        violations=[error_details_pb2.PreconditionFailure.Violation(type="t", subject="s")]
    ),
    "LocalizedMessage": error_details_pb2.LocalizedMessage(locale="ru", message="нет"),
}


@pytest.mark.parametrize("name", DETAILS)
async def test_other_standard_details_arrive_as_json(gateway, backend, token, name):
    """Every standard detail of google.rpc can be read without its descriptor."""
    encoded = status.encode(errors.Contention())
    encoded.details.add().Pack(DETAILS[name])

    async def refuse(_: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.ABORTED,
            encoded.message,
            trailing_metadata=((status.METADATA_KEY, encoded.SerializeToString()),),
        )

    backend.behaviour = refuse
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert (answer.status, answer.reason) == (409, "CONTENTION")
    assert answer.detail(name)


_NAMES = [
    "amountMinor",
    "amount_minor",
    "anything",
    "counts",
    "innerPart",
    "loud",
    "name",
    "namedParts",
    "part",
    "parts",
    "text",
    "words",
    "zz",
]
_scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(string.printable, max_size=5)
_documents = st.dictionaries(
    st.sampled_from(_NAMES),
    st.recursive(
        _scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=_documents, indent=st.sampled_from([None, 1]))
async def test_gateway_never_accepts_what_strict_json_reading_refuses(
    gateway, issuer, probe, document, indent
):
    """Against protobuf's own strict reader: nothing dropped in silence, nothing misread."""
    answer = await gateway.send(
        "POST", ECHO, token=issuer.token(), data=json.dumps(document, indent=indent)
    )
    try:
        expected = json_format.ParseDict(document, probe.kind("EchoRequest")())
    except json_format.ParseError:
        assert answer.status == 400
        return
    if answer.status == 200:
        response = json_format.ParseDict(answer.json, probe.kind("EchoResponse")())
        assert response.request == expected
    else:
        assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
