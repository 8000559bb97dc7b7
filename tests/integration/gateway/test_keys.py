"""Identity's keys: rotation, and identity being away."""

from contextlib import AsyncExitStack
from typing import Any

from tools.stack import ports

ECHO = "/v1/probes:echo"
#: Envoy fetches the keys again five seconds before the cached ones expire.
CACHE_S = 6


async def _status(gateway: Any, token: str) -> int:
    answer = await gateway.send("POST", ECHO, token=token, json={})
    return int(answer.status)


async def test_keys_rotate_without_a_restart(start, own_issuer, trust, eventually):
    """A new key works once it is fetched, the old one as long as it is published."""
    gateway = await start(auth=trust(own_issuer.port, jwks_cache_s=CACHE_S))
    old = own_issuer.keys[0]
    assert await _status(gateway, own_issuer.token()) == 200

    new = own_issuer.rotate()
    own_issuer.keys.append(new)

    async def new_works() -> bool:
        return await _status(gateway, own_issuer.token(key=new)) == 200

    await eventually(new_works)
    assert await _status(gateway, own_issuer.token(key=old)) == 200

    own_issuer.keys.remove(old)

    async def old_is_refused() -> bool:
        return await _status(gateway, own_issuer.token(key=old)) == 401

    await eventually(old_is_refused)
    assert await _status(gateway, own_issuer.token(key=new)) == 200


async def test_keys_outlive_identity(start, trust, eventually, issuer_at):
    """When identity is away, the keys seen last stay in force, beyond the life of the cache."""
    async with AsyncExitStack() as stack:
        issuer = await issuer_at(stack)
        gateway = await start(auth=trust(issuer.port, jwks_cache_s=CACHE_S))
        assert await _status(gateway, issuer.token()) == 200

    async def failed_to_fetch() -> bool:
        statistics = await gateway.statistics()
        return int(statistics.get("http.edge.jwt_authn.jwks_fetch_failed", 0)) >= 2

    await eventually(failed_to_fetch, within_s=20)
    assert await _status(gateway, issuer.token()) == 200


async def test_gateway_starts_before_identity(start, trust, eventually, issuer_at):
    """Without keys nobody gets in, and it is nobody's fault but ours: 503, not 401."""
    port = ports.free()
    gateway = await start(auth=trust(port))
    async with AsyncExitStack() as stack:
        stranger = await issuer_at(stack)
        answer = await gateway.send("POST", ECHO, token=stranger.token(), json={})
        assert (answer.status, answer.reason) == (503, "UNAVAILABLE")
        assert answer.detail("ErrorInfo")["metadata"] == {"dependency": "identity"}
        answer = await gateway.send("POST", "/oauth2/token", data={"a": "b"})
        assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
        issuer = await issuer_at(stack, port)

        async def works() -> bool:
            return await _status(gateway, issuer.token()) == 200

        await eventually(works)
