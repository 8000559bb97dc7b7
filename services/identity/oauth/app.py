"""The four addresses of the HTTP port."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import structlog
from aiohttp import hdrs, web

from services.chassis import deadlines, errors
from services.identity import config
from services.identity.oauth import grants
from services.identity.oauth.issuer import Issuer
from services.identity.oauth.keyring import Keyring

TOKEN_PATH = "/oauth2/token"  # noqa: S105  an address
JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"
HEALTH_PATH = "/healthz"

_FORM = "application/x-www-form-urlencoded"
_PARAMETERS_MAX = 20
_ANSWER_S_MAX = 5.0
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

log = structlog.get_logger()


class _Handlers:
    def __init__(
        self,
        settings: config.Settings,
        issuer: Issuer,
        keyring: Keyring,
        scopes: Collection[str],
        ping: Any,
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._keyring = keyring
        self._scopes = sorted(scopes)
        self._ping = ping

    async def token(self, request: web.Request) -> web.Response:
        """Answer RFC 6749, section 4.4."""
        try:
            grant = await _read(request)
            address = _address(request, self._settings.http.forwarded_hops)
            with deadlines.within(_ANSWER_S_MAX):
                answer = await self._issuer.issue(grant, address=address)
        except grants.Refused as refused:
            return _refusal(refused)
        except errors.Refusal as refusal:
            return _away(refusal)
        return web.json_response(answer, headers=_NO_STORE)

    async def jwks(self, request: web.Request) -> web.Response:
        """Publish the keys (RFC 7517)."""
        try:
            with deadlines.within(_ANSWER_S_MAX):
                document = await self._keyring.document()
        except errors.Refusal as refusal:
            return _away(refusal)
        life = self._settings.auth.jwks_cache_s
        return web.json_response(document, headers={"Cache-Control": f"public, max-age={life}"})

    async def metadata(self, request: web.Request) -> web.Response:
        """Describe the token endpoint (RFC 8414)."""
        base = self._settings.tokens.public_url.rstrip("/") or str(request.url.origin())
        return web.json_response(
            {
                "issuer": self._settings.auth.issuer,
                "token_endpoint": f"{base}{TOKEN_PATH}",
                "jwks_uri": f"{base}{JWKS_PATH}",
                "scopes_supported": self._scopes,
                "response_types_supported": [],
                "grant_types_supported": [grants.GRANT_TYPE],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                ],
            }
        )

    async def health(self, request: web.Request) -> web.Response:
        """Tell whether tokens can be had."""
        try:
            with deadlines.within(_ANSWER_S_MAX):
                await self._ping()
        except errors.Refusal as refusal:
            return _away(refusal)
        return web.json_response({"status": "ok"})


def application(
    settings: config.Settings,
    issuer: Issuer,
    keyring: Keyring,
    *,
    scopes: Collection[str],
    ping: Any,
) -> web.Application:
    """Return the HTTP application; `ping` raises while the database is away."""
    handlers = _Handlers(settings, issuer, keyring, scopes, ping)
    app = web.Application(client_max_size=settings.http.body_bytes_max)
    app.router.add_post(TOKEN_PATH, handlers.token)
    app.router.add_get(JWKS_PATH, handlers.jwks)
    app.router.add_get(METADATA_PATH, handlers.metadata)
    app.router.add_get(HEALTH_PATH, handlers.health)
    app.on_response_prepare.append(_hide_version)
    return app


@asynccontextmanager
async def serve(app: web.Application, settings: config.HttpSettings) -> AsyncIterator[int]:
    """Serve the application; the block gets the port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _read(request: web.Request) -> grants.Grant:
    if request.content_type != _FORM:
        raise grants.Refused("invalid_request", f"The body must be {_FORM}.")
    try:
        text = (await request.read()).decode()
        form = parse_qsl(text, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except web.HTTPRequestEntityTooLarge:
        raise grants.Refused("invalid_request", "The body is too large.", status=413) from None
    except ValueError:
        raise grants.Refused("invalid_request", "The body is malformed.") from None
    return grants.read(form, authorization=request.headers.get(hdrs.AUTHORIZATION))


async def _hide_version(_: web.Request, response: web.StreamResponse) -> None:
    """Keep to ourselves which versions answer: aiohttp sets the header only where none is."""
    response.headers[hdrs.SERVER] = "tessera"


def _address(request: web.Request, forwarded_hops: int) -> str:
    """Return where a request came from; only our own proxies' word about it counts."""
    if forwarded_hops:
        hops = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, [])).split(",")
        if len(hops) >= forwarded_hops and hops[-forwarded_hops].strip():
            return hops[-forwarded_hops].strip()
    return request.remote or ""


def _refusal(refused: grants.Refused) -> web.Response:
    headers = dict(_NO_STORE)
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="tessera"'
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(refused.retry_after_s)
    body = {"error": refused.error, "error_description": refused.description}
    return web.json_response(body, status=refused.status, headers=headers)


def _away(refusal: errors.Refusal) -> web.Response:
    log.warning("http request failed", reason=refusal.reason, error=str(refusal))
    body = {"error": "temporarily_unavailable", "error_description": "Try again later."}
    return web.json_response(body, status=503, headers={**_NO_STORE, "Retry-After": "1"})
