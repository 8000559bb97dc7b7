"""Who gets through: tokens, scopes and the default deny, in all three protocols."""

import time

import grpc
import pytest
from google.rpc import code_pb2

ECHO = "/v1/probes:echo"
ONCE = "/v1/probes:once"


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"exp": 5}, "it has expired"),
        ({"aud": "another"}, "its claim aud is wrong"),
        ({"iss": "another"}, "its claim iss is wrong"),
    ],
)
async def test_token_with_a_wrong_claim_is_unauthenticated(
    gateway, backend, issuer, refused, claims, problem
):
    """A token that is not for us is 401 in JSON and UNAUTHENTICATED in gRPC, with one wording."""
    token = issuer.token(**claims)
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert answer.status == 401
    assert answer.json["code"] == code_pb2.UNAUTHENTICATED
    assert answer.detail("ErrorInfo") == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "UNAUTHENTICATED",
        "domain": "tessera",
        "metadata": {"problem": problem},
    }
    with pytest.raises(refused) as caught:
        await gateway.call("Echo", token=token)
    assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert caught.value.message == answer.json["message"]
    assert caught.value.info.metadata["problem"] == problem
    trailers = await gateway.call_web("Echo", token=token)
    assert trailers["grpc-status"] == "16"
    assert trailers["grpc-message"] == answer.json["message"]
    assert backend.calls == []


async def test_call_without_token_is_unauthenticated(gateway, backend, refused):
    """No token, no call: whatever the protocol."""
    answer = await gateway.send("POST", ECHO, json={})
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")
    assert "bearer" in answer.headers["www-authenticate"].lower()
    with pytest.raises(refused) as caught:
        await gateway.call("Echo")
    assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert (await gateway.call_web("Echo"))["grpc-status"] == "16"
    assert backend.calls == []


async def test_stranger_learns_nothing_of_a_body(gateway, backend):
    """Tokens come first: what is wrong with a body is said to those who may call."""
    answer = await gateway.send("POST", ECHO, json={"zz": 1})
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")
    assert backend.calls == []


async def test_token_of_a_foreign_key_is_unauthenticated(gateway, issuer, backend):
    """A key that identity does not publish signs nothing here."""
    forged = issuer.token(key=issuer.rotate())
    assert (await gateway.send("POST", ECHO, token=forged, json={})).status == 401
    published = issuer.keys[0]
    impostor = issuer.rotate()
    impostor_of_known_key = type(impostor).import_key(
        {**impostor.as_dict(private=True), "kid": published.kid}
    )
    forged = issuer.token(key=impostor_of_known_key)
    answer = await gateway.send("POST", ECHO, token=forged, json={})
    assert answer.json["message"].endswith("its signature is wrong.")
    assert backend.calls == []


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "x" * 5000])
async def test_garbage_token_is_unauthenticated(gateway, token):
    """Whatever is no token is refused as one, not as an error of ours."""
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")


async def test_token_without_expiry_is_refused(gateway, issuer):
    """A token for ever is no token."""
    answer = await gateway.send("POST", ECHO, token=issuer.token(exp=None), json={})
    assert answer.status == 401


async def test_scope_opens_its_methods_alone(gateway, backend, issuer, refused):
    """The scope of one method does not open another; the refusal names the scope that would."""
    reader = issuer.token("other probes.read more")
    assert (await gateway.send("POST", ECHO, token=reader, json={})).status == 200
    await gateway.call("Echo", token=reader)
    assert (await gateway.call_web("Echo", token=reader))["grpc-status"] == "0"
    backend.reset()
    answer = await gateway.send("POST", ONCE, token=reader, json={})
    assert (answer.status, answer.reason) == (403, "PERMISSION_DENIED")
    assert answer.detail("ErrorInfo")["metadata"] == {"scope": "probes.write"}
    with pytest.raises(refused) as caught:
        await gateway.call("Once", token=reader)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.info.reason == "PERMISSION_DENIED"
    assert caught.value.info.metadata["scope"] == "probes.write"
    assert caught.value.message == answer.json["message"]
    assert (await gateway.call_web("Once", token=reader))["grpc-status"] == "7"
    assert backend.calls == []


@pytest.mark.parametrize(
    "scope", ["", "probes", "probes.reader", "probes.read.more", "PROBES.READ"]
)
async def test_scope_is_compared_whole(gateway, issuer, scope):
    """A scope that merely looks like the right one opens nothing."""
    answer = await gateway.send("POST", ECHO, token=issuer.token(scope), json={})
    assert answer.status == 403


async def test_public_method_needs_no_token(gateway, backend):
    """A method that the contract calls public is open, in every protocol."""
    assert (await gateway.send("GET", "/v1/public/hello")).json["request"]["text"] == "hello"
    await gateway.call("GetPublic", text="hello")
    assert (await gateway.call_web("GetPublic", text="hello"))["grpc-status"] == "0"
    assert [call.request.text for call in backend.calls] == ["hello"] * 3


async def test_method_without_permission_is_closed_to_everybody(gateway, backend, token, refused):
    """A contract that forgot to say who may call says nobody."""
    assert (await gateway.send("POST", "/v1/probes:nobody", token=token, json={})).status == 404
    with pytest.raises(refused) as caught:
        await gateway.call("Nobody", token=token)
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert backend.calls == []


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/nothing"),
        ("DELETE", "/v1/probes:echo"),
        ("GET", "/oauth2/token"),
        ("POST", "/.well-known/jwks.json"),
        ("POST", "/tessera.probe.v1.ProbeService/Missing"),
        ("POST", "/grpc.health.v1.Health/Check"),
        ("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        ("GET", "/stats"),
    ],
)
async def test_unknown_path_is_denied(gateway, backend, token, verb, path):
    """What no contract names leads nowhere: 401 to strangers, 404 to callers with a token."""
    stranger = await gateway.send(verb, path)
    assert stranger.status in {401, 404}
    answer = await gateway.send(verb, path, token=token)
    assert (answer.status, answer.reason) == (404, "METHOD_UNKNOWN")
    assert answer.detail("ErrorInfo")["domain"] == "gateway.tessera"
    assert backend.calls == []


async def test_json_on_the_path_of_a_method_is_unknown(gateway, backend, token):
    """The path of a method takes gRPC alone: no way around the translation and its checks."""
    answer = await gateway.send("POST", "/tessera.probe.v1.ProbeService/Echo", token=token, json={})
    assert (answer.status, answer.reason) == (404, "METHOD_UNKNOWN")
    assert backend.calls == []


async def test_service_gets_the_token_to_verify_it_again(gateway, backend, token):
    """The token travels on: services trust no gateway."""
    await gateway.send("POST", ECHO, token=token, json={})
    await gateway.call("Echo", token=token)
    assert [call.metadata["authorization"] for call in backend.calls] == [f"Bearer {token}"] * 2


async def test_expiry_has_a_small_tolerance(gateway, issuer):
    """A clock two seconds off is forgiven, one a minute off is not."""
    now = int(time.time())
    fresh = await gateway.send("POST", ECHO, token=issuer.token(exp=now - 2), json={})
    stale = await gateway.send("POST", ECHO, token=issuer.token(exp=now - 60), json={})
    assert (fresh.status, stale.status) == (200, 401)
