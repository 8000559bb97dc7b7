"""Identity's HTTP endpoints with keys that tests make and change."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jwk, jwt

from services.chassis.config import AuthSettings
from tools.stack import ports

NAME = "tessera-identity"


@dataclass
class Issuer:
    """Identity's HTTP endpoints, with a key made here; `keys` are those it publishes."""

    port: int
    keys: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)

    def rotate(self) -> Any:
        """Make a key; the caller decides when it is published."""
        return jwk.ECKey.generate_key("P-256", {"kid": f"k{time.monotonic_ns()}", "use": "sig"})

    def token(self, scope: str = "probes.read probes.write", **claims: Any) -> str:
        key = claims.pop("key", self.keys[0] if self.keys else None)
        now = int(time.time())
        body = {
            "iss": NAME,
            "aud": "tessera",
            "sub": "pos-1",
            "client_id": "pos-1",
            "scope": scope,
            "iat": now,
            "exp": now + 600,
            "jti": str(time.monotonic_ns()),
        }
        header = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
        return jwt.encode(header, {**body, **claims}, key)

    async def serve_keys(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def serve_token(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        self.forms.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response({"access_token": self.token(), "token_type": "Bearer"})

    async def serve_metadata(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({"issuer": NAME})


async def start_issuer(stack: AsyncExitStack, port: int | None = None) -> Issuer:
    issuer = Issuer(port or ports.free())
    issuer.keys.append(issuer.rotate())
    application = web.Application()
    application.router.add_get("/.well-known/jwks.json", issuer.serve_keys)
    application.router.add_get("/.well-known/oauth-authorization-server", issuer.serve_metadata)
    application.router.add_post("/oauth2/token", issuer.serve_token)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", issuer.port).start()
    return issuer


def trust(port: int, **overrides: Any) -> AuthSettings:
    """Return settings that trust the issuer at a port."""
    base = f"http://127.0.0.1:{port}"
    return AuthSettings(
        issuer=NAME,
        jwks_url=f"{base}/.well-known/jwks.json",
        token_url=f"{base}/oauth2/token",
        **overrides,
    )
