"""Calls to other services: their contract's deadlines and retries, our token, our trace."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import structlog
from opentelemetry.trace import SpanKind

from services.chassis import config, contracts, deadlines, errors, telemetry

Metadata = Iterable[tuple[str, str | bytes]]

_TOKEN_S_MAX = 3.0
#: The part of a token's life after which a new one is fetched while the old one still serves.
_REFRESH_AT = 0.8
_RETRY_S = 1.0
_OPTIONS = (
    ("grpc.enable_retries", 1),
    # Agrees with what our servers permit; see Server.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that comes back is found within two seconds instead of two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

log = structlog.get_logger()


class Tokens:
    """Access tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4), one at a time.

    A token serves until it expires, also when identity is away; a new one is fetched beforehand.
    """

    def __init__(
        self, settings: config.AuthSettings, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._now = now
        self._authorization = ""
        self._refresh_at = 0.0
        self._expire_at = 0.0
        self._fetching = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def authorization(self) -> str:
        """Return the value of the authorization header; raises Unavailable without identity."""
        now = self._now()
        if now < self._refresh_at:
            return self._authorization
        if now < self._expire_at:
            self._refresh_soon()
            return self._authorization
        async with self._fetching:
            if self._now() >= self._expire_at:
                await self._fetch()
        return self._authorization

    def forget(self, authorization: str) -> None:
        """Drop a token that a service did not accept."""
        if authorization == self._authorization:
            self._refresh_at = self._expire_at = 0.0

    def _refresh_soon(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            with deadlines.unbounded():
                self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self._fetch()
        except errors.Unavailable:
            self._refresh_at = self._now() + _RETRY_S

    async def _fetch(self) -> None:
        import aiohttp  # on demand: roles that call nobody do without it

        settings = self._settings
        secret_file = settings.client_secret_file
        secret = "" if secret_file is None else config.secret(secret_file)
        timeout = aiohttp.ClientTimeout(total=deadlines.cap(_TOKEN_S_MAX))
        login = {"Authorization": aiohttp.encode_basic_auth(settings.client_id, secret)}
        form = {"grant_type": "client_credentials"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
                session.post(settings.token_url, data=form, headers=login) as response,
            ):
                answer = await response.json()
                token, life_s = str(answer["access_token"]), float(answer["expires_in"])
        except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            log.warning("no access token", url=settings.token_url, error=repr(error))
            raise errors.Unavailable(dependency="identity") from error
        self._authorization = f"Bearer {token}"
        self._expire_at = self._now() + life_s
        self._refresh_at = self._now() + life_s * _REFRESH_AT


@asynccontextmanager
async def channel(
    target: str, *, service: str, tokens: Tokens | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Open the one long-lived channel to a service, for its generated stub.

    `service` is the full name in the contract. Calls take the deadline of the contract, cut to what
    is left of our own; the contract's retry policy applies; calls go round all addresses of
    `target`. Failures are grpc.aio.AioRpcError, or DeadlineTooShort when no time is left.
    """
    options = (*_OPTIONS, ("grpc.service_config", json.dumps(_settings(service))))
    async with grpc.aio.insecure_channel(target, options=options) as opened:
        yield cast("grpc.aio.Channel", _Channel(opened, tokens))


def _settings(service: str) -> dict[str, Any]:
    """Return what gRPC itself is told of the contract's service config.

    The timeouts stay with us: grpc 1.85 counts them a second short, and a method with a timeout of
    one second fails at once.
    """
    contract = contracts.service_config(service)
    methods = [
        {key: value for key, value in entry.items() if key != "timeout"}
        for entry in contract.get("methodConfig", ())
    ]
    return {**contract, "methodConfig": methods, "loadBalancingConfig": [{"round_robin": {}}]}


class _Channel:
    """What stubs ask of a channel. Not interceptors: those cost every call two more tasks."""

    def __init__(self, opened: grpc.aio.Channel, tokens: Tokens | None) -> None:
        self._opened = opened
        self._tokens = tokens

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> "_Call":
        return _Call(method, self._opened.unary_unary(method, *arguments, **options), self._tokens)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> "_Stream":
        call = self._opened.unary_stream(method, *arguments, **options)
        return _Stream(method, call, self._tokens)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> "_Collected":
        call = self._opened.stream_unary(method, *arguments, **options)
        return _Collected(method, call, self._tokens)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> "_Stream":
        call = self._opened.stream_stream(method, *arguments, **options)
        return _Stream(method, call, self._tokens)


class _Multi:
    """One method of a channel, with its deadline from the contract."""

    def __init__(self, path: str, call: Callable[..., Any], tokens: Tokens | None) -> None:
        self._path = path
        self._call = call
        self._tokens = tokens
        _, service, method = path.split("/")
        self._default_s = contracts.timeout_s(service, method)

    def _timeout(self, asked_s: float | None) -> float:
        timeout_s = deadlines.cap(self._default_s if asked_s is None else asked_s)
        if not timeout_s:
            raise errors.DeadlineTooShort(remaining_ms=0, needed_ms=1)
        return timeout_s

    async def _authorization(self) -> str:
        return "" if self._tokens is None else await self._tokens.authorization()


class _Call(_Multi):
    async def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  as stubs have it
        metadata: Metadata = (),
    ) -> Any:
        if not telemetry.is_tracing():
            return await self._authorized(request, timeout, metadata)
        with telemetry.span(self._path, SpanKind.CLIENT, {"rpc.system": "grpc"}):
            return await self._authorized(request, timeout, metadata)

    async def _authorized(self, request: Any, timeout_s: float | None, metadata: Metadata) -> Any:
        metadata = tuple(metadata)
        if any(name == "authorization" for name, _ in metadata):  # in somebody else's name
            return await self._once(request, timeout_s, metadata, "")
        authorization = await self._authorization()
        try:
            return await self._once(request, timeout_s, metadata, authorization)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED or self._tokens is None:
                raise
        # The token was withdrawn before its time. The call had no effect, so it may go once more.
        self._tokens.forget(authorization)
        return await self._once(request, timeout_s, metadata, await self._authorization())

    async def _once(
        self, request: Any, timeout_s: float | None, metadata: Metadata, authorization: str
    ) -> Any:
        try:
            return await self._call(
                request,
                timeout=self._timeout(timeout_s),
                metadata=_metadata(metadata, authorization),
            )
        except grpc.aio.AioRpcError as error:
            error.add_note(self._path[1:])
            raise


class _Collected(_Call):
    async def _authorized(self, request: Any, timeout_s: float | None, metadata: Metadata) -> Any:
        # A stream of requests is used up by the first attempt, so there is no second one.
        return await self._once(request, timeout_s, metadata, await self._authorization())


class _Stream(_Multi):
    async def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  as stubs have it
        metadata: Metadata = (),
    ) -> AsyncIterator[Any]:
        sent = _metadata(metadata, await self._authorization())
        try:
            async for answer in self._call(request, timeout=self._timeout(timeout), metadata=sent):
                yield answer
        except grpc.aio.AioRpcError as error:
            error.add_note(self._path[1:])
            raise


def _metadata(given: Metadata, authorization: str) -> tuple[tuple[str, str | bytes], ...]:
    metadata = list(given)
    if authorization:
        metadata.append(("authorization", authorization))
    if trace_parent := telemetry.trace_parent():
        metadata.append(("traceparent", trace_parent))
    if request_id := telemetry.request_id():
        metadata.append(("x-request-id", request_id))
    return tuple(metadata)
