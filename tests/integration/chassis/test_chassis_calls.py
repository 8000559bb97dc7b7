"""The way of a call, through a real server: what passes, what is refused and with which words."""

import asyncio

import grpc
import prometheus_client
import pytest
from google.rpc import error_details_pb2, status_pb2

from services.chassis import auth, deadlines, errors, methods, status, telemetry
from tests.integration.chassis.conftest import TIMEOUTS_ARE_ROUNDED_UP_S


class Teapot(errors.Refusal):
    """Cup {cup} wants coffee."""

    category = errors.Category.FAILED_PRECONDITION
    reason = "TEAPOT"
    domain = "test.tessera"


class Servicer:
    def __init__(self, contract):
        self._contract = contract
        self.seen = {}

    async def Echo(self, request, context):
        if request.text == "teapot":
            raise Teapot(cup=7)
        if request.text == "bug":
            raise KeyError("the secret recipe")
        if request.text == "abort":
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far")
        if request.text == "hang":
            await asyncio.Event().wait()
        caller = auth.current()
        self.seen = {
            "trace_parent": telemetry.trace_parent(),
            "request_id": telemetry.request_id(),
            "remaining": deadlines.remaining(),
        }
        return self._contract.Response(text=f"{caller.client_id}:{request.text}")

    async def Greet(self, request, context):
        if request.text == "hang":
            await asyncio.Event().wait()
        return self._contract.Response(text=auth.current().client_id)

    @methods.reads_late
    async def Report(self, request, context):
        return self._contract.Response(text=request().text)

    async def Count(self, request, context):
        for number in range(request.count):
            if request.text == str(number):
                raise Teapot(cup=number)
            yield self._contract.Response(number=number)

    async def Sum(self, requests, context):
        return self._contract.Response(number=sum([request.count async for request in requests]))

    async def Tally(self, requests, context):
        total = 0
        async for request in requests:
            if request.text == "teapot":
                raise Teapot(cup=total)
            if request.text == "hang":
                await asyncio.Event().wait()
            total += request.count
            yield self._contract.Response(number=total, text=auth.current().client_id)


@pytest.fixture
async def echo(contract, serve, connect):
    servicer = Servicer(contract)
    channel = await connect(await serve(servicer))
    call = contract.stub(channel, "Echo")
    call.servicer = servicer
    call.channel = channel
    return call


async def _refused(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value


async def test_answer_comes_from_the_servicer_with_its_caller(echo, contract, issuer):
    """The token's client is the caller."""
    answer = await echo(contract.Request(text="hi"), metadata=issuer.metadata())
    assert answer.text == "cli_test:hi"


async def test_refusal_arrives_with_reason_domain_and_fields(echo, contract, issuer):
    """Clients decide by the reason and show the message."""
    error = await _refused(echo(contract.Request(text="teapot"), metadata=issuer.metadata()))
    assert status.read(error) == status.Answer(
        errors.Category.FAILED_PRECONDITION,
        "Cup 7 wants coffee.",
        "TEAPOT",
        "test.tessera",
        {"cup": "7"},
    )


async def test_defect_is_internal_without_its_text(echo, contract, issuer):
    """What went wrong inside is for the log alone."""
    error = await _refused(echo(contract.Request(text="bug"), metadata=issuer.metadata()))
    answer = status.read(error)
    assert (answer.category, answer.reason) == (errors.Category.INTERNAL, "INTERNAL")
    assert "recipe" not in str(error)


async def test_abort_of_the_servicer_is_kept(echo, contract, issuer):
    """grpc's own way to refuse still works."""
    error = await _refused(echo(contract.Request(text="abort"), metadata=issuer.metadata()))
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "too far")


async def test_call_without_token_is_unauthenticated(echo, contract):
    """No scope can be checked without a token."""
    answer = status.read(await _refused(echo(contract.Request())))
    assert (answer.category, answer.reason) == (errors.Category.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize("value", ["Basic abc", "Bearer", "Bearer ", "Bearer x.y.z", "x"])
async def test_wrong_kind_of_credentials_is_unauthenticated(echo, contract, value):
    """Only access tokens count."""
    error = await _refused(echo(contract.Request(), metadata=(("authorization", value),)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_alone_is_no_credentials(echo, contract, issuer):
    """Not even one that was accepted a moment ago."""
    token = issuer.token()
    assert (await echo(contract.Request(), metadata=(("authorization", f"Bearer {token}"),))).text
    error = await _refused(echo(contract.Request(), metadata=(("authorization", token),)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_scheme_is_read_without_regard_to_case(echo, contract, issuer):
    """HTTP says so."""
    header = (("authorization", f"bEaReR {issuer.token()}"),)
    assert (await echo(contract.Request(), metadata=header)).text


async def test_scope_is_asked_before_the_request_is_read(echo, contract, issuer):
    """Permission before existence: a caller without rights learns nothing about its request."""
    invalid = contract.Request(text="much too long for this")
    error = await _refused(echo(invalid, metadata=issuer.metadata(scope="other")))
    answer = status.read(error)
    assert (answer.reason, answer.metadata) == ("PERMISSION_DENIED", {"scope": "echo"})


async def test_public_method_needs_no_token(echo, contract):
    """The contract says who may call."""
    answer = await contract.stub(echo.channel, "Greet")(contract.Request())
    assert answer.text == auth.ANONYMOUS.client_id


async def test_every_broken_rule_is_listed(echo, contract, issuer):
    """One round is enough to mend a request."""
    request = contract.Request(text="x" * 11, count=101)
    request.parts.add(size=1)
    request.parts.add(size=0)
    error = await _refused(echo(request, metadata=issuer.metadata()))
    assert status.read(error).reason == "INVALID_REQUEST"
    encoded = dict(error.trailing_metadata())[status.METADATA_KEY]
    detail = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(encoded).details[1].Unpack(detail)
    assert {violation.field for violation in detail.field_violations} == {
        "text",
        "count",
        "parts[1].size",
    }


async def test_large_message_is_refused_by_the_contract(echo, contract, issuer):
    """What the gateway has not refused is not refused by its length, and not without a reason."""
    large = contract.Request(text="x" * 5 * 2**20)
    error = await _refused(echo(large, metadata=issuer.metadata()))
    assert status.read(error).reason == "INVALID_REQUEST"


async def test_a_method_may_read_its_request_late(echo, contract):
    """The rules are the same, and so are the words."""
    report = contract.stub(echo.channel, "Report")
    assert (await report(contract.Request(text="hi"))).text == "hi"
    answer = status.read(await _refused(report(contract.Request(text="x" * 11))))
    assert answer.reason == "INVALID_REQUEST"


async def test_request_with_a_thousand_mistakes_is_answered(echo, contract, issuer):
    """The list is cut so that the answer fits into the trailers that clients accept."""
    request = contract.Request()
    for _ in range(1000):
        request.parts.add(size=0)
    error = await _refused(echo(request, metadata=issuer.metadata()))
    answer = status.read(error)
    assert (answer.reason, answer.metadata["violation_count"]) == ("INVALID_REQUEST", "1000")


async def test_bytes_that_are_no_message_are_invalid(echo, issuer):
    """Garbage is never INTERNAL."""
    raw = echo.channel.unary_unary("/chassis_test.v1.EchoService/Echo")
    error = await _refused(raw(b"\xff\xff\xff", metadata=issuer.metadata()))
    assert status.read(error).reason == "INVALID_REQUEST"


async def test_unknown_method_is_unimplemented(echo):
    """Nothing outside of the contract is served."""
    error = await _refused(echo.channel.unary_unary("/chassis_test.v1.EchoService/Nothing")(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_trace_and_request_id_are_taken_over(echo, contract, issuer):
    """Logs, events and further calls carry them on."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    metadata = (*issuer.metadata(), ("traceparent", parent), ("x-request-id", "r-1"))
    await echo(contract.Request(), metadata=metadata)
    assert echo.servicer.seen["trace_parent"] == parent
    assert echo.servicer.seen["request_id"] == "r-1"


async def test_malformed_trace_is_dropped(echo, contract, issuer):
    """What a client writes there does not reach our logs."""
    metadata = (*issuer.metadata(), ("traceparent", "00-evil\x20stuff"))
    await echo(contract.Request(), metadata=metadata)
    assert echo.servicer.seen["trace_parent"] == ""


async def test_deadline_of_the_caller_is_known_inside(echo, contract, issuer):
    """What the call does can be bounded by it."""
    await echo(contract.Request(), timeout=7, metadata=issuer.metadata())
    assert 3 < echo.servicer.seen["remaining"] < 7 + TIMEOUTS_ARE_ROUNDED_UP_S


async def test_call_with_too_little_time_is_refused_at_once(contract, serve, connect, issuer):
    """Work that cannot be answered in time is not begun."""
    servicer = Servicer(contract)
    channel = await connect(await serve(servicer, deadline_floor_ms=9_000))
    echo = contract.stub(channel, "Echo")
    error = await _refused(echo(contract.Request(), timeout=7, metadata=issuer.metadata()))
    assert status.read(error).reason == "DEADLINE_TOO_SHORT"
    assert servicer.seen == {}


async def test_call_without_a_deadline_gets_one(contract, serve, issuer, monkeypatch):
    """A client that waits for ever does not hold us for ever."""
    monkeypatch.setattr("services.chassis.contracts.DEFAULT_TIMEOUT_S", 1)
    made = await serve(Servicer(contract))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        echo = contract.stub(channel, "Echo")
        await echo(contract.Request(), metadata=issuer.metadata())
        error = await _refused(echo(contract.Request(text="hang"), metadata=issuer.metadata()))
    assert status.read(error).reason == "DEADLINE_EXCEEDED"


async def test_stream_is_answered_piece_by_piece(echo, contract, issuer):
    """Server streaming goes the same way."""
    count = contract.stub(echo.channel, "Count")
    answers = count(contract.Request(count=3), metadata=issuer.metadata())
    assert [answer.number async for answer in answers] == [0, 1, 2]


async def test_stream_can_end_in_a_refusal(echo, contract, issuer):
    """What was sent before is kept, the end is typed."""
    count = contract.stub(echo.channel, "Count")
    answers = aiter(count(contract.Request(count=3, text="2"), metadata=issuer.metadata()))
    assert [(await anext(answers)).number, (await anext(answers)).number] == [0, 1]
    error = await _refused(anext(answers))
    assert status.read(error).reason == "TEAPOT"


async def test_stream_asks_for_the_scope_and_the_rules_too(echo, contract, issuer):
    """No way around the pipeline."""
    count = contract.stub(echo.channel, "Count")
    for request, metadata, code in (
        (contract.Request(), (), grpc.StatusCode.UNAUTHENTICATED),
        (contract.Request(count=101), issuer.metadata(), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [answer async for answer in count(request, metadata=metadata)]
        assert caught.value.code() is code


async def test_stream_of_requests_has_one_answer(echo, contract, issuer):
    """Client streaming goes the same way."""
    total = contract.stub(echo.channel, "Sum")
    pieces = (contract.Request(count=count) for count in (1, 2, 3))
    assert (await total(pieces, metadata=issuer.metadata())).number == 6


async def test_piece_that_breaks_a_rule_ends_the_stream_of_requests(echo, contract, issuer):
    """Every message of a stream is held against the contract, not only the first."""
    total = contract.stub(echo.channel, "Sum")
    pieces = (contract.Request(count=count) for count in (1, 101))
    error = await _refused(total(pieces, metadata=issuer.metadata()))
    answer = status.read(error)
    assert (answer.reason, answer.category) == ("INVALID_REQUEST", errors.Category.INVALID_ARGUMENT)


async def test_conversation_answers_piece_by_piece_and_ends_in_a_refusal(echo, contract, issuer):
    """What was answered before is kept; the end is typed."""
    tally = contract.stub(echo.channel, "Tally")
    pieces = [contract.Request(count=2), contract.Request(count=3), contract.Request(text="teapot")]
    answers = aiter(tally(iter(pieces), metadata=issuer.metadata()))
    first, second = await anext(answers), await anext(answers)
    assert (first.number, first.text, second.number) == (2, "cli_test", 5)
    error = await _refused(anext(answers))
    assert status.read(error).metadata == {"cup": "5"}


async def test_streams_of_requests_ask_for_the_scope(echo, contract):
    """No way around the pipeline.

    Nothing is written: gRPC calls a stream INTERNAL itself when the refusal overtakes a message.
    """
    for method in ("Sum", "Tally"):
        call = contract.stub(echo.channel._opened, method)()
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_conversation_without_deadline_ends_at_the_default(
    contract, serve, issuer, monkeypatch
):
    """A client that stays silent for ever does not hold us for ever."""
    monkeypatch.setattr("services.chassis.contracts.DEFAULT_TIMEOUT_S", 1)
    made = await serve(Servicer(contract))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        call = contract.stub(channel, "Tally")(metadata=issuer.metadata())
        await call.write(contract.Request(count=1))
        assert (await call.read()).number == 1
        error = await _refused(call.read())
    assert status.read(error).reason == "DEADLINE_EXCEEDED"


async def test_caller_that_hangs_up_leaves_its_place(echo, contract, issuer, eventually):
    """A cut stream is counted as cancelled, and what it held is given back."""
    before = _handled("Tally", "CANCELLED")
    call = echo.channel._opened.stream_stream(
        "/chassis_test.v1.EchoService/Tally",
        request_serializer=contract.Request.SerializeToString,
        response_deserializer=contract.Response.FromString,
    )(metadata=issuer.metadata())
    await call.write(contract.Request(count=1))
    await call.read()
    call.cancel()
    await eventually(lambda: _handled("Tally", "CANCELLED") == before + 1)


def _handled(method, code):
    return prometheus_client.REGISTRY.get_sample_value(
        "grpc_server_handled_total",
        {
            "grpc_service": "chassis_test.v1.EchoService",
            "grpc_method": method,
            "grpc_code": code,
        },
    )


async def test_every_outcome_is_counted(echo, contract, issuer, eventually):
    """Error rates come from these series; a call is counted once its answer is under way."""
    before = {code: _handled("Echo", code) for code in ("OK", "FAILED_PRECONDITION", "INTERNAL")}
    await echo(contract.Request(), metadata=issuer.metadata())
    await _refused(echo(contract.Request(text="teapot"), metadata=issuer.metadata()))
    await _refused(echo(contract.Request(text="bug"), metadata=issuer.metadata()))
    await eventually(lambda: all(_handled("Echo", code) > count for code, count in before.items()))
    assert {code: _handled("Echo", code) - count for code, count in before.items()} == {
        "OK": 1,
        "FAILED_PRECONDITION": 1,
        "INTERNAL": 1,
    }


@pytest.mark.usefixtures("echo")
async def test_outcomes_that_never_happened_are_exported_as_zero():
    """A rate over a missing series is no rate."""
    assert _handled("Echo", "DATA_LOSS") == 0
    assert _handled("Report", "UNAVAILABLE") == 0


async def test_call_that_outlives_its_caller_is_counted_as_late(echo, contract, issuer, eventually):
    """grpc cancels the work at the deadline, and the metric says why it ended."""
    before = _handled("Echo", "DEADLINE_EXCEEDED")
    error = await _refused(
        echo(contract.Request(text="hang"), timeout=0.2, metadata=issuer.metadata())
    )
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: _handled("Echo", "DEADLINE_EXCEEDED") == before + 1)
