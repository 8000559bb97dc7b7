"""The edge: headers, paths, sizes, CORS, health, metrics, and what Envoy shows of itself."""

import asyncio
import json
from typing import Any

import grpc
import pytest

ECHO = "/v1/probes:echo"
SHOP = "https://shop.example"


async def test_private_headers_of_a_client_are_removed(gateway, backend, token):
    """What services and Envoy believe, no client can say."""
    spoofed = {
        "x-tessera-client-id": "root",
        "X-Tessera-Anything": "1",
        "x-envoy-original-path": "/v1/admin",
        "x-envoy-upstream-rq-timeout-ms": "60000",
        "x-envoy-max-retries": "9",
        "x-envoy-retry-on": "5xx",
    }
    await gateway.send("POST", ECHO, token=token, json={}, headers=spoofed)
    await gateway.call(
        "Echo",
        token=token,
        metadata=tuple((name.lower(), value) for name, value in spoofed.items()),
    )
    for call in backend.calls:
        assert not [name for name in call.metadata if name.startswith("x-tessera-")]
        assert "x-envoy-max-retries" not in call.metadata
        assert "x-envoy-retry-on" not in call.metadata
    assert backend.calls[0].metadata["x-envoy-original-path"] == ECHO
    assert "x-envoy-original-path" not in backend.calls[1].metadata


async def test_client_cannot_pass_for_a_json_caller(gateway, refused):
    """A spoofed header does not change the form of a refusal in gRPC."""
    with pytest.raises(refused) as caught:
        await gateway.call("Echo", metadata=(("x-envoy-original-path", "/v1/x"),))
    assert caught.value.info.reason == "UNAUTHENTICATED"


@pytest.mark.parametrize("path", ["/v1/probes/a%2fb", "/v1/probes/a%5cb", "/v1%2F..%2Fprobes/a"])
async def test_escaped_slash_is_refused(gateway, backend, token, path):
    """A path that could be read in two ways is not read at all."""
    answer = await gateway.send("GET", path, token=token)
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert backend.calls == []


async def test_path_is_normalised_before_anything_looks_at_it(gateway, backend, token):
    """Dots and doubled slashes lead to where they lead, with that path's rights."""
    assert (await gateway.send("GET", "/v1/public/../probes/a")).status == 401
    answer = await gateway.send("GET", "//v1///public/../probes/./a", token=token)
    assert answer.status == 200
    assert backend.calls[0].path.endswith("/GetProbe")


async def test_header_with_an_underscore_is_refused(gateway, backend, token):
    """Some servers read an underscore as a dash: such a header could pass for another."""
    answer = await gateway.send("POST", ECHO, token=token, json={}, headers={"x_tessera_id": "1"})
    assert (answer.status, answer.reason) == (400, "INVALID_REQUEST")
    assert backend.calls == []


async def test_huge_headers_are_refused(gateway, token):
    """Headers have a bound, and the refusal has our form."""
    answer = await gateway.send("POST", ECHO, token=token, json={}, headers={"x-a": "a" * 40_000})
    assert answer.status in {400, 431}
    assert answer.reason == "INVALID_REQUEST"


async def test_body_of_ten_megabytes_is_refused(gateway, backend, token, refused):
    """A body beyond the limit is refused with its own reason, announced or streamed."""
    answer = await gateway.send("POST", ECHO, token=token, data='{"text":"' + "x" * 10**7 + '"}')
    assert (answer.status, answer.reason) == (413, "REQUEST_TOO_LARGE")
    assert answer.detail("ErrorInfo")["metadata"] == {"bytes_max": "4194304"}
    with pytest.raises(refused) as caught:
        await gateway.call("Echo", token=token, text="x" * 10**7)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.info.reason == "REQUEST_TOO_LARGE"
    assert backend.calls == []


async def test_streamed_body_beyond_the_limit_is_refused(gateway, backend, token):
    """A body that does not say its length is cut where the limit is."""

    async def pieces() -> Any:
        yield b'{"words":["x"'
        for _ in range(100):
            yield b',"' + b"x" * 100_000 + b'"'
        yield b"]}"

    answer = await gateway.send(
        "POST", ECHO, token=token, data=pieces(), headers={"content-type": "application/json"}
    )
    assert (answer.status, answer.reason) == (413, "REQUEST_TOO_LARGE")
    assert backend.calls == []


async def test_body_of_some_megabytes_passes(gateway, backend, token):
    """A bulk request below the limit passes whole, past the small buffers of connections."""
    words = ["x" * 1000] * 3000
    answer = await gateway.send("POST", ECHO, token=token, json={"words": words})
    assert answer.status == 200
    assert list(backend.calls[0].request.words) == words
    await gateway.call("Echo", token=token, words=words)
    assert list(backend.calls[1].request.words) == words


@pytest.mark.parametrize("path", [ECHO, "/tessera.probe.v1.ProbeService/Echo", "/v1/probes/a"])
async def test_preflight_needs_no_token(gateway, backend, path):
    """A browser may ask before it calls, for JSON and for gRPC-Web."""
    headers = {"origin": SHOP, "access-control-request-method": "POST"}
    answer = await gateway.send("OPTIONS", path, headers=headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert backend.calls == []


async def test_preflight_of_a_foreign_origin_gets_no_permission(gateway):
    """A page of another site learns nothing from the preflight."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = await gateway.send("OPTIONS", ECHO, headers=headers)
    assert "access-control-allow-origin" not in answer.headers


async def test_answers_and_refusals_carry_cors_headers(gateway, token):
    """A page can read the reason of a refusal, too."""
    for bearer in (token, None):
        answer = await gateway.send("POST", ECHO, token=bearer, json={}, headers={"origin": SHOP})
        assert answer.headers["access-control-allow-origin"] == SHOP
    foreign = await gateway.send(
        "POST", ECHO, token=token, json={}, headers={"origin": "https://e"}
    )
    assert "access-control-allow-origin" not in foreign.headers


async def test_health_needs_no_token_and_follows_the_drain(start):
    """Load balancers look here; a drain shows at once, while calls still go through."""
    gateway = await start()
    assert (await gateway.send("GET", "/healthz")).status == 200
    admin = f"http://127.0.0.1:{gateway.settings.admin_port}"
    assert (await gateway.send("POST", "/healthcheck/fail", base=admin)).status == 200
    assert (await gateway.send("GET", "/healthz")).status == 503
    assert (await gateway.send("GET", "/v1/public/a")).status == 200


async def test_metrics_listener_shows_metrics_and_nothing_else(gateway, token):
    """Prometheus reaches the statistics, and not the admin's other pages."""
    await gateway.call("Echo", token=token)
    base = f"http://127.0.0.1:{gateway.settings.metrics.port}"
    metrics = await gateway.send("GET", "/stats/prometheus", base=base)
    assert metrics.status == 200
    assert b"envoy_cluster_grpc" in metrics.body
    for path in ("/", "/config_dump", "/quitquitquit", "/stats"):
        assert (await gateway.send("GET", path, base=base)).status == 404


async def test_token_and_key_endpoints_pass_through(gateway, issuer):
    """Identity's OAuth endpoints are reached at the gateway, without a token, as they are."""
    issuer.forms.clear()
    form = {"grant_type": "client_credentials", "client_id": "pos-1", "client_secret": "s"}
    answer = await gateway.send("POST", "/oauth2/token", data=form)
    assert answer.json["token_type"] == "Bearer"
    assert issuer.forms == [form]
    keys = await gateway.send("GET", "/.well-known/jwks.json")
    assert keys.json["keys"][0]["kid"] == issuer.keys[0].kid
    assert (await gateway.send("GET", "/.well-known/oauth-authorization-server")).status == 200
    answer = await gateway.send("POST", ECHO, token=answer.json["access_token"], json={})
    assert answer.status == 200


async def test_streamed_answers_pass(gateway, token, probe):
    """A method that streams its answer does so through the gateway."""
    request, response = probe.types("/tessera.probe.v1.ProbeService/Watch")
    stub = gateway.channel.unary_stream(
        "/tessera.probe.v1.ProbeService/Watch",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    call = stub(request(text="a"), metadata=(("authorization", f"Bearer {token}"),), timeout=5)
    assert [each.request.text async for each in call] == ["a"] * 3


async def test_stream_of_requests_passes_whatever_it_adds_up_to(gateway, token, probe):
    """Each piece is answered as it comes, far beyond the size that one request may have."""
    path = "/tessera.probe.v1.ProbeService/Pour"
    request, response = probe.types(path)
    stub = gateway.channel.stream_stream(
        path,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    call = stub(metadata=(("authorization", f"Bearer {token}"),), timeout=30)
    for number in range(6):
        await call.write(request(words=["x" * 1000] * (3000 + number)))
        assert (await call.read()).request.text == str(3000 + number)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_stream_of_requests_asks_for_the_scope(gateway, probe):
    """A stream is let in by its head, like every call.

    Nothing is written: gRPC calls a stream INTERNAL itself when the refusal overtakes a message.
    """
    path = "/tessera.probe.v1.ProbeService/Pour"
    request, _ = probe.types(path)
    stub = gateway.channel.stream_stream(path, request_serializer=request.SerializeToString)
    assert await stub(timeout=5).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_access_log_names_call_and_client(gateway, token, eventually):
    """One line of JSON a call: which method, which client, which request."""
    answer = await gateway.send("POST", f"{ECHO}?loud=true", token=token, json={})
    found: list[dict[str, Any]] = []

    async def logged() -> bool:
        lines = (await asyncio.to_thread(gateway.process.log.read_text)).splitlines()
        found[:] = [json.loads(line) for line in lines if answer.headers["x-request-id"] in line]
        return bool(found)

    await eventually(logged)
    assert found[0]["call"] == "tessera.probe.v1.ProbeService/Echo"
    assert found[0]["client_id"] == "pos-1"
    assert found[0]["status"] == 200
