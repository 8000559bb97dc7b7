"""The HTTP port of the running service."""

import base64
import time
from typing import Any
from urllib.parse import quote

import pytest
from joserfc import jwk, jwt
from joserfc.errors import BadSignatureError
from tessera.identity.v1 import member_service_pb2

from services.identity import scopes

TOKEN = "/oauth2/token"
TYPE = {"grant_type": "client_credentials"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = f"{quote(client_id)}:{quote(secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


async def keys_of(identity: Any) -> jwk.KeySet:
    async with identity.http.get(f"{identity.url}/.well-known/jwks.json") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "public, max-age=300"
        document = await response.json()
    assert all("d" not in key for key in document["keys"])
    return jwk.KeySet.import_key_set(document)


async def test_token_is_signed_and_says_who_may_do_what(identity: Any) -> None:
    """Header and claims are those of RFC 9068, verified with nothing but the published keys."""
    client_id, secret = await identity.client(
        "members.lookup", "members.write", store_ids=("store-2", "store-1")
    )
    before = int(time.time())
    async with identity.http.post(
        identity.url + TOKEN, data=TYPE, headers=basic(client_id, secret)
    ) as response:
        body = await response.json()
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Pragma"] == "no-cache"
        assert response.headers["Server"] == "tessera"
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert body["scope"] == "members.lookup members.write"
    token = jwt.decode(body["access_token"], await keys_of(identity), algorithms=["ES256"])
    assert token.header["alg"] == "ES256"
    assert token.header["typ"] == "at+jwt"
    claims = token.claims
    assert claims["iss"] == "tessera-identity"
    assert claims["aud"] == "tessera"
    assert claims["sub"] == claims["client_id"] == client_id
    assert claims["scope"] == body["scope"]
    assert claims["store_ids"] == ["store-1", "store-2"]
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] == claims["iat"] + 900
    assert claims["jti"].startswith("tok_")


async def test_token_of_a_chain_wide_client_names_no_store(identity: Any) -> None:
    """An absent claim means every store."""
    token = await identity.token_of(*await identity.client("members.lookup"))
    claims = jwt.decode(token, await keys_of(identity), algorithms=["ES256"]).claims
    assert "store_ids" not in claims


async def test_every_token_has_an_id_of_its_own(identity: Any) -> None:
    """Two tokens of one second are two tokens."""
    client = await identity.client("members.lookup")
    assert await identity.token_of(*client) != await identity.token_of(*client)


async def test_changed_token_is_refused_by_the_service(identity: Any) -> None:
    """A claim changed by hand breaks the signature."""
    token = await identity.token_of(*await identity.client("members.lookup"))
    header, payload, signature = token.split(".")
    claims = base64.urlsafe_b64decode(payload + "==").replace(b"members.lookup", b"members.write")
    forged = f"{header}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"
    with pytest.raises(BadSignatureError):
        jwt.decode(forged, await keys_of(identity), algorithms=["ES256"])
    refusal = await identity.refusal(
        identity.members.GetMember,
        member_service_pb2.GetMemberRequest(member_id="mem_" + "0" * 32),
        token=forged,
    )
    assert refusal == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_scope_is_narrowed_on_request(identity: Any) -> None:
    """A token may carry less than the client may have, never more."""
    client = await identity.client("members.lookup", "members.write")
    status, body = await identity.grant(*client, scope="members.lookup")
    assert (status, body["scope"]) == (200, "members.lookup")
    for scope in ("members.read", "members.lookup members.read", "no.such", "a  b"):
        status, body = await identity.grant(*client, scope=scope)
        assert (status, body["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password", "client_id": "admin"}, 400, "unsupported_grant_type"),
        ({**TYPE}, 401, "invalid_client"),
        ({**TYPE, "client_id": "admin", "client_secret": "x"}, 401, "invalid_client"),
        ({**TYPE, "client_id": "nobody", "client_secret": "x"}, 401, "invalid_client"),
        ({**TYPE, "client_id": "no\x00body", "client_secret": "x"}, 401, "invalid_client"),
        ({**TYPE, "client_id": "'; --", "client_secret": "x"}, 401, "invalid_client"),
        ({**TYPE, "client_id": "admin", "client_secret": "x" * 9000}, 413, "invalid_request"),
    ],
)
async def test_bad_token_requests(
    identity: Any, data: dict[str, str], status: int, error: str
) -> None:
    """Every mistake is answered in the JSON of RFC 6749, and never cached."""
    async with identity.http.post(identity.url + TOKEN, data=data) as response:
        body = await response.json()
        assert (response.status, body["error"]) == (status, error)
        assert response.headers["Cache-Control"] == "no-store"
        assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_json_body_is_refused(identity: Any) -> None:
    """The token endpoint takes forms."""
    async with identity.http.post(identity.url + TOKEN, json=TYPE) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")
    async with identity.http.post(
        identity.url + TOKEN,
        data=b"\xff\xfe=1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


async def test_wrong_secrets_are_limited_for_that_client_alone(identity: Any) -> None:
    """After five wrong ones the client waits, right or wrong; another client does not notice."""
    client_id, secret = await identity.client("members.lookup")
    other = await identity.client("members.lookup")
    for _ in range(20):  # right ones cost nothing
        assert (await identity.grant(client_id, secret))[0] == 200
    statuses = [(await identity.grant(client_id, "wrong"))[0] for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    async with identity.http.post(
        identity.url + TOKEN, data=TYPE, headers=basic(client_id, secret)
    ) as response:
        body = await response.json()
        assert (response.status, body["error"]) == (429, "slow_down")
        assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert (await identity.grant(*other))[0] == 200


async def test_metadata_describes_the_endpoint(identity: Any) -> None:
    """A client finds everything from the one address of RFC 8414."""
    url = f"{identity.url}/.well-known/oauth-authorization-server"
    async with identity.http.get(url) as response:
        assert response.status == 200
        metadata = await response.json()
    assert metadata["issuer"] == "tessera-identity"
    assert metadata["token_endpoint"] == identity.url + TOKEN
    assert metadata["jwks_uri"] == f"{identity.url}/.well-known/jwks.json"
    assert metadata["grant_types_supported"] == ["client_credentials"]
    assert metadata["scopes_supported"] == sorted(scopes.known())


async def test_health_is_answered(identity: Any) -> None:
    """A balancer can ask whether tokens are to be had."""
    async with identity.http.get(f"{identity.url}/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
