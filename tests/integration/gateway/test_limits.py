"""Rates: all calls together, each client, and the token endpoint."""

import asyncio

import grpc

from services.gateway.config import LimitSettings

ECHO = "/v1/probes:echo"


async def _refusals(gateway, refused, code, **options):
    """Call thirty times in gRPC; return the refusals with the code."""
    outcomes = await asyncio.gather(
        *(gateway.call("Echo", **options) for _ in range(30)), return_exceptions=True
    )
    return [each for each in outcomes if isinstance(each, refused) and each.code is code]


async def test_flood_is_cut_before_tokens_are_looked_at(start, refused):
    """Beyond the rate everybody gets RESOURCE_EXHAUSTED, and a hint when to come back."""
    gateway = await start(limits=LimitSettings(calls_per_second=3))
    answers = await asyncio.gather(*(gateway.send("POST", ECHO, json={}) for _ in range(30)))
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 401
    assert statuses.count(429) >= 6
    cut = next(answer for answer in answers if answer.status == 429)
    assert (cut.json["code"], cut.reason) == (8, "RATE_EXCEEDED")
    assert cut.detail("RetryInfo") == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retry_delay": "1s",
    }
    cut = await _refusals(gateway, refused, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert cut[0].info.reason == "RATE_EXCEEDED"
    assert cut[0].trailers["grpc-retry-pushback-ms"] == "1000"
    assert (await gateway.send("GET", "/healthz")).status == 200


async def test_one_client_cannot_use_up_the_others(start, issuer, refused):
    """Each client has a bucket of its own, known by its token and not by its address."""
    gateway = await start(limits=LimitSettings(client_calls_per_second=3))
    greedy = issuer.token(client_id="greedy", sub="greedy")
    modest = issuer.token(client_id="modest", sub="modest")
    answers = await asyncio.gather(
        *(gateway.send("POST", ECHO, token=greedy, json={}) for _ in range(30))
    )
    statuses = [answer.status for answer in answers]
    assert statuses.count(200) <= 20
    assert statuses.count(429) >= 6
    assert (await gateway.send("POST", ECHO, token=modest, json={})).status == 200
    another = issuer.token(client_id="greedy", sub="greedy")
    assert await _refusals(gateway, refused, grpc.StatusCode.RESOURCE_EXHAUSTED, token=another)


async def test_token_endpoint_has_a_limit_of_its_own(start, token):
    """Guessing secrets is slow, and does not slow the calls of others."""
    gateway = await start(limits=LimitSettings(address_token_requests_per_second=3))
    answers = await asyncio.gather(
        *(gateway.send("POST", "/oauth2/token", data={"a": "b"}) for _ in range(30))
    )
    statuses = [answer.status for answer in answers]
    assert 200 in statuses
    assert statuses.count(429) >= 6
    cut = next(answer for answer in answers if answer.status == 429)
    assert cut.json == {
        "error": "slow_down",
        "error_description": "Too many requests; wait before the next.",
    }
    assert cut.headers["content-type"] == "application/json"
    assert cut.headers["cache-control"] == "no-store"
    assert int(cut.headers["retry-after"]) >= 1
    assert (await gateway.send("POST", ECHO, token=token, json={})).status == 200
    assert (await gateway.send("GET", "/.well-known/jwks.json")).status == 200


async def test_calls_beyond_the_circuit_breaker_are_shed(start, backend, token):
    """When a service has more calls in flight than it may, the next are refused at once."""
    release = asyncio.Event()

    async def wait(request, context):
        await release.wait()
        return await backend.echo(request, context)

    backend.behaviour = wait
    gateway = await start(limits=LimitSettings(upstream_requests_max=2))
    calls = [
        asyncio.create_task(gateway.send("POST", "/v1/probes:once", token=token, json={}))
        for _ in range(8)
    ]
    done, _ = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    shed = done.pop().result()
    assert (shed.status, shed.reason) == (429, "OVERLOADED")
    release.set()
    assert 200 in [(await call).status for call in calls]
