"""Calls from one service to the next: deadlines shrink, tokens and traces travel along."""

import asyncio
import json

import grpc
import pytest
from aiohttp import web

from services.chassis import auth, clients, config, deadlines, errors, status, telemetry
from tests.integration.chassis.conftest import TIMEOUTS_ARE_ROUNDED_UP_S
from tools.stack import ports


class Last:
    """The service at the end: says how much time it was given."""

    def __init__(self, contract):
        self._contract = contract
        self.seen = []
        self.failures = 0

    async def Echo(self, request, context):
        self.seen.append(
            {
                "remaining": deadlines.remaining(),
                "trace_parent": telemetry.trace_parent(),
                "request_id": telemetry.request_id(),
            }
        )
        if self.failures:
            self.failures -= 1
            raise errors.Unavailable(dependency="test")
        if request.text == "hang":
            await asyncio.Event().wait()
        return self._contract.Response(text="end")

    async def Greet(self, request, context):
        return await self.Echo(request, context)

    async def Report(self, request, context):
        return self._contract.Response()

    async def Count(self, request, context):
        yield self._contract.Response(number=round((deadlines.remaining() or 0) * 1000))

    async def Sum(self, requests, context):
        self.seen.append(dict(context.invocation_metadata()))
        return self._contract.Response(number=sum([request.count async for request in requests]))

    async def Tally(self, requests, context):
        async for request in requests:
            left_ms = round((deadlines.remaining() or 0) * 1000)
            yield self._contract.Response(number=left_ms, text=request.text)


class Middle(Last):
    """A service that asks the next one."""

    def __init__(self, contract, following):
        super().__init__(contract)
        self._following = following

    async def Greet(self, request, context):
        self.seen.append({"remaining": deadlines.remaining()})
        return await self._following(request)


@pytest.fixture
async def chain(contract, serve, connect):
    """Three services in a row, and a channel to the first."""
    last = Last(contract)
    second = Middle(contract, contract.stub(await connect(await serve(last)), "Greet"))
    first = Middle(contract, contract.stub(await connect(await serve(second)), "Greet"))
    channel = await connect(await serve(first))
    call = contract.stub(channel, "Greet")
    call.services = (first, second, last)
    return call


async def test_every_hop_has_less_time_than_the_one_before(chain, contract, monkeypatch):
    """Each hop keeps back its margin, so the first can still answer when the last is late."""
    monkeypatch.setattr(deadlines, "HOP_MARGIN_S", 1)
    await chain(contract.Request(), timeout=9)
    times = [service.seen[-1]["remaining"] for service in chain.services]
    assert times[0] < 9 + TIMEOUTS_ARE_ROUNDED_UP_S
    assert times[1] < times[0] - 1 + TIMEOUTS_ARE_ROUNDED_UP_S
    assert times[2] < times[1] - 1 + TIMEOUTS_ARE_ROUNDED_UP_S
    assert times[2] > 3


async def test_hop_without_time_is_refused_and_the_caller_told(chain, contract):
    """The first hop has just enough, the second has not."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chain(contract.Request(), timeout=0.113)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert chain.services[2].seen == []


async def test_late_answer_of_a_peer_is_our_lateness(chain, contract):
    """DEADLINE_EXCEEDED stays what it is on its way up."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chain(contract.Request(text="hang"), timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_trace_and_request_id_reach_the_last_hop(chain, contract):
    """One trace holds the whole way."""
    parent = f"00-{'c' * 32}-{'d' * 16}-01"
    await chain(contract.Request(), metadata=(("traceparent", parent), ("x-request-id", "r-9")))
    assert chain.services[2].seen[-1]["trace_parent"] == parent
    assert chain.services[2].seen[-1]["request_id"] == "r-9"


async def test_peer_that_is_away_makes_us_unavailable(contract, serve, connect):
    """Our caller learns which of our dependencies is down, in a type it can act on."""
    gone = await serve(Last(contract))
    call = contract.stub(await connect(gone), "Greet")
    await gone.stop()
    front = contract.stub(await connect(await serve(Middle(contract, call))), "Greet")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await front(contract.Request())
    answer = status.read(caught.value)
    assert answer.reason == "UNAVAILABLE"
    assert answer.metadata == {"dependency": "chassis_test.v1.EchoService/Greet"}


async def test_stream_has_the_deadline_of_the_call_around_it(
    contract, serve, connect, issuer, monkeypatch
):
    """Streaming calls are capped like the others."""
    monkeypatch.setattr(deadlines, "HOP_MARGIN_S", 1)
    channel = await connect(await serve(Last(contract)))
    count = contract.stub(channel, "Count")
    with deadlines.within(6):
        answers = [a async for a in count(contract.Request(), metadata=issuer.metadata())]
    assert 2 < answers[0].number / 1000 < 5 + TIMEOUTS_ARE_ROUNDED_UP_S


async def test_streams_of_requests_go_out_with_deadline_and_trace(
    contract, serve, connect, issuer, monkeypatch
):
    """A channel of ours carries every kind of call."""
    monkeypatch.setattr(deadlines, "HOP_MARGIN_S", 1)
    last = Last(contract)
    channel = await connect(await serve(last))
    pieces = [contract.Request(text="a", count=2), contract.Request(text="b", count=3)]
    metadata = issuer.metadata()
    with deadlines.within(6):
        total = await contract.stub(channel, "Sum")(iter(pieces), metadata=metadata)
        tally = contract.stub(channel, "Tally")(iter(pieces), metadata=metadata)
        answers = [answer async for answer in tally]
    assert total.number == 5
    assert [answer.text for answer in answers] == ["a", "b"]
    assert all(2 < answer.number / 1000 < 5 + TIMEOUTS_ARE_ROUNDED_UP_S for answer in answers)


async def test_call_with_nothing_left_is_not_even_sent(contract, serve, connect):
    """A deadline that is over costs the peer nothing."""
    last = Last(contract)
    call = contract.stub(await connect(await serve(last)), "Greet")
    with deadlines.within(0.01), pytest.raises(errors.DeadlineTooShort):
        await call(contract.Request())
    assert last.seen == []


async def test_retry_policy_of_the_contract_is_in_force(contract, serve, connect, monkeypatch):
    """UNAVAILABLE is tried again by the channel itself, as the contract says."""
    policy = {
        "methodConfig": [
            {
                "name": [{}],
                "timeout": "5s",
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.05s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
    monkeypatch.setattr("services.chassis.contracts.service_config", lambda _: policy)
    last = Last(contract)
    call = contract.stub(await connect(await serve(last)), "Greet")
    last.failures = 2
    assert (await call(contract.Request())).text == "end"
    assert len(last.seen) == 3


async def test_a_timeout_of_one_second_in_the_contract_is_one_second(
    contract, serve, connect, monkeypatch
):
    """The contract's timeout reaches the service whole, however short it is."""
    policy = {"methodConfig": [{"name": [{}], "timeout": "1s"}]}
    monkeypatch.setattr("services.chassis.contracts.service_config", lambda _: policy)
    last = Last(contract)
    channel = await connect(await serve(last))
    await channel._opened.channel_ready()  # what connecting takes is no matter of the timeout
    await contract.stub(channel, "Greet")(contract.Request())
    assert 0.5 < last.seen[-1]["remaining"] < 1 + TIMEOUTS_ARE_ROUNDED_UP_S


async def test_client_finds_a_server_that_came_back(contract, serve, connect):
    """A restarted peer is used again within seconds."""
    first = await serve(Last(contract), port=ports.free())
    call = contract.stub(await connect(first), "Greet")
    await call(contract.Request())
    await first.stop()
    with pytest.raises(grpc.aio.AioRpcError):
        await call(contract.Request())
    await serve(Last(contract), port=first.port)
    async with asyncio.timeout(8):
        while True:
            try:
                assert (await call(contract.Request())).text == "end"
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)
            else:
                break


class TokenEndpoint:
    """identity's token endpoint, as far as a client sees it."""

    def __init__(self, issuer):
        self._issuer = issuer
        self.requests = []
        self.is_away = False
        self.life_s = 600
        self.settings = config.AuthSettings()

    async def answer(self, request):
        self.requests.append((dict(await request.post()), request.headers["Authorization"]))
        if self.is_away:
            return web.Response(status=503)
        body = {"access_token": self._issuer.token(), "expires_in": self.life_s}
        return web.json_response(body)


@pytest.fixture
async def endpoint(issuer, tmp_path):
    made = TokenEndpoint(issuer)
    app = web.Application()
    app.router.add_post("/token", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    made.settings = config.AuthSettings(
        token_url=f"http://127.0.0.1:{port}/token", client_id="cli_me", client_secret_file=secret
    )
    yield made
    await runner.cleanup()


async def test_token_is_fetched_once_and_sent_with_every_call(contract, serve, connect, endpoint):
    """Client credentials, with the secret from its file."""
    tokens = clients.Tokens(endpoint.settings)
    channel = await connect(await serve(Last(contract)), tokens)
    echo = contract.stub(channel, "Echo")
    answers = await asyncio.gather(*(echo(contract.Request()) for _ in range(10)))
    assert {answer.text for answer in answers} == {"end"}
    ((form, authorization),) = endpoint.requests
    assert form == {"grant_type": "client_credentials"}
    assert authorization == "Basic Y2xpX21lOmh1c2g="


async def test_token_that_was_withdrawn_is_replaced(contract, serve, connect, endpoint):
    """One UNAUTHENTICATED leads to a fresh token and a second try, unseen by the caller."""
    tokens = clients.Tokens(endpoint.settings)
    tokens._authorization, tokens._refresh_at, tokens._expire_at = "Bearer stale", 1e12, 1e12
    echo = contract.stub(await connect(await serve(Last(contract)), tokens), "Echo")
    assert (await echo(contract.Request())).text == "end"
    assert len(endpoint.requests) == 1


async def test_call_in_the_name_of_a_caller_carries_the_callers_token(
    contract, serve, connect, endpoint, issuer
):
    """The service sees who has asked us; a token of theirs that it refuses costs none of ours."""

    class Telling(Last):
        async def Echo(self, request, context):
            told = f"{auth.current().client_id} {auth.authorization()}"
            return contract.Response(text=told)

    tokens = clients.Tokens(endpoint.settings)
    echo = contract.stub(await connect(await serve(Telling(contract)), tokens), "Echo")
    ((_, named),) = issuer.metadata(sub="agent")
    for _ in range(2):  # of a token that was seen before, too
        answer = await echo(contract.Request(), metadata=iter([("authorization", named)]))
        assert answer.text == f"agent {named}"
    own = await tokens.authorization()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echo(contract.Request(), metadata=[("authorization", "Bearer stale")])
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await tokens.authorization() == own
    assert len(endpoint.requests) == 1


async def test_token_serves_until_its_end_while_identity_is_away(endpoint, eventually):
    """An outage of identity is not an outage of everything."""
    now = 0.0
    tokens = clients.Tokens(endpoint.settings, now=lambda: now)
    first = await tokens.authorization()
    endpoint.is_away = True
    now = 590.0
    assert await tokens.authorization() == first
    await eventually(lambda: len(endpoint.requests) == 2)
    now = 601.0
    with pytest.raises(errors.Unavailable):
        await tokens.authorization()
    endpoint.is_away = False
    assert await tokens.authorization()


async def test_token_is_renewed_before_its_end(endpoint, eventually):
    """The refresh happens beside the calls, which keep using the old token."""
    now = 0.0
    tokens = clients.Tokens(endpoint.settings, now=lambda: now)
    await tokens.authorization()
    now = 500.0
    await tokens.authorization()
    await eventually(lambda: len(endpoint.requests) == 2)
    assert json.dumps(endpoint.requests[0]) == json.dumps(endpoint.requests[1])
