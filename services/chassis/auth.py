"""Who calls, and may they: access tokens are verified here again, whatever the gateway has done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from joserfc import errors as jose
from joserfc import jwk, jwt

from services.chassis import config, deadlines, errors

#: A JSON Web Key Set, as identity publishes it.
Document = dict[str, Any]
Fetch = Callable[[], Awaitable[Document]]

ALGORITHMS = ("ES256", "EdDSA", "Ed25519")
TOKEN_TYPES = ("at+jwt", "application/at+jwt")

_SKEW_S = 5
_FETCH_S_MAX = 2.0
_REFETCH_S_MIN = 5.0
_REMEMBERED_MAX = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a call; without `store_ids` it speaks for every store."""

    client_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    store_ids: frozenset[str] = field(default_factory=frozenset)

    def may_act_for(self, store_id: str) -> bool:
        """Tell whether the client may act for a store."""
        return not self.store_ids or store_id in self.store_ids


#: Who calls the methods that need no token.
ANONYMOUS = Caller("anonymous")

_current: ContextVar[Caller] = ContextVar("caller")
_authorization: ContextVar[str] = ContextVar("authorization")


def current() -> Caller:
    """Return who made the call at hand; raises LookupError outside of calls."""
    return _current.get()


def caller_id() -> str:
    """Return the client id of the call at hand for logs; empty when nobody is known yet."""
    caller = _current.get(None)
    return "" if caller is None else caller.client_id


def authorization() -> str:
    """Return what authorized the call at hand, to call others in its name; raises LookupError."""
    return _authorization.get()


def require(scope: str) -> None:
    """Raise PermissionDenied unless the token of the call at hand carries the scope."""
    if scope not in current().scopes:
        raise errors.PermissionDenied(scope=scope)


def begin(caller: Caller, *, authorization: str) -> None:
    """Set the caller, and what proves it, for the rest of the present task."""
    _current.set(caller)
    _authorization.set(authorization)


class Verifier:
    """Verifies access tokens (JWT, RFC 9068) against identity's published keys.

    A verified token is remembered, so it costs its signature check once; it is forgotten when it
    expires or after `jwks_cache_s`, whichever is earlier, so that a withdrawn key takes effect.
    When identity is away, the keys seen last stay in force.
    """

    def __init__(
        self,
        settings: config.AuthSettings,
        fetch: Fetch | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._fetch = fetch or (lambda: _download(settings.jwks_url))
        self._now = now
        self._keys: jwk.KeySet | None = None
        self._keys_until = 0.0
        self._refetch_after = 0.0
        self._fetching = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._remembered: dict[str, tuple[Caller, float]] = {}

    def recall(self, token: str) -> Caller | None:
        """Return who a token speaks for, if it was verified a while ago and is still good."""
        remembered = self._remembered.get(token)
        if remembered is not None and remembered[1] > self._now():
            return remembered[0]
        return None

    async def verify(self, token: str) -> Caller:
        """Return who a token speaks for.

        Raises Unauthenticated, or Unavailable when no key was ever seen and identity is away.
        """
        recalled = self.recall(token)
        if recalled is not None:
            return recalled
        caller, expiry = self._read(await self._decode(token))
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        expiry = min(expiry, self._now() + self._settings.jwks_cache_s)
        self._remembered[token] = (caller, expiry)
        return caller

    async def _decode(self, token: str) -> jwt.Token:
        keys = self._keys or await self._fetched()
        if self._now() > self._keys_until:
            self._refresh_soon()
        try:
            return _decode(token, keys)
        except jose.InvalidKeyIdError:
            pass  # perhaps a key younger than our copy
        try:
            return _decode(token, await self._fetched())
        except jose.InvalidKeyIdError:
            raise errors.Unauthenticated(problem="its key is not known") from None

    async def _fetched(self) -> jwk.KeySet:
        """Return the keys as identity has them now, or as it had them a moment ago."""
        async with self._fetching:
            if self._keys is None or self._now() >= self._refetch_after:
                await self._replace_keys()
            if self._keys is None:
                raise errors.Unavailable(dependency="identity")
            return self._keys

    async def _replace_keys(self) -> None:
        try:
            document = await self._fetch()
            self._keys = jwk.KeySet.import_key_set({"keys": document["keys"]})
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, the old keys stay
            log.warning("the key set could not be fetched", error=repr(error))
        else:
            self._keys_until = self._now() + self._settings.jwks_cache_s
        self._refetch_after = self._now() + _REFETCH_S_MIN

    def _refresh_soon(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            with deadlines.unbounded():
                self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        await self._fetched()

    def _read(self, token: jwt.Token) -> tuple[Caller, float]:
        """Return the caller and the expiry that a token with a right signature names."""
        if str(token.header.get("typ", "")).lower() not in TOKEN_TYPES:
            raise errors.Unauthenticated(problem="it is not an access token")
        claims = token.claims
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=_SKEW_S,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except jose.ExpiredTokenError:
            raise errors.Unauthenticated(problem="it has expired") from None
        except jose.JoseError as error:
            raise errors.Unauthenticated(problem=_problem(error)) from None
        scope, stores = claims.get("scope", ""), claims.get("store_ids", [])
        if not isinstance(scope, str) or not isinstance(stores, list):
            raise errors.Unauthenticated(problem="its claims are malformed")
        caller = Caller(claims["sub"], frozenset(scope.split()), frozenset(map(str, stores)))
        return caller, float(claims["exp"])


def _decode(token: str, keys: jwk.KeySet) -> jwt.Token:
    try:
        return jwt.decode(token, keys, algorithms=ALGORITHMS)
    except jose.InvalidKeyIdError:
        raise
    except jose.BadSignatureError:
        raise errors.Unauthenticated(problem="its signature is wrong") from None
    except (jose.JoseError, ValueError) as error:
        raise errors.Unauthenticated(problem=_problem(error)) from None


def _problem(error: Exception) -> str:
    claim = getattr(error, "claim", None)
    return f"its claim {claim} is wrong" if isinstance(claim, str) else "it is malformed"


async def _download(url: str) -> Document:
    import aiohttp  # the roles that bring their own keys do without it

    timeout = aiohttp.ClientTimeout(total=_FETCH_S_MAX)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(url) as response,
    ):
        document: Document = await response.json()
        return document
