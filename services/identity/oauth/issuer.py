"""Who gets a token, and what is in it."""

import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import prometheus_client
import structlog
from joserfc import jwt

from services.chassis import attempts, clock, guesses, ids
from services.identity import engine, storage, vault
from services.identity.oauth import grants
from services.identity.oauth.keyring import Keyring

_OUTCOMES = ("issued", "refused", "limited")
_TOKENS = prometheus_client.Counter(
    "identity_token_requests", "Requests for tokens with credentials, by outcome.", ["outcome"]
)
for _outcome in _OUTCOMES:  # a series that was never counted must read 0, not be absent
    _TOKENS.labels(_outcome)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every token says alike, and how many wrong secrets are too many."""

    issuer: str
    audience: str
    life: timedelta
    attempts: attempts.Limit


class Issuer:
    """Gives tokens to clients that know their secret."""

    def __init__(
        self,
        clients: storage.ClientStorage,
        box: vault.Vault,
        keyring: Keyring,
        terms: Terms,
        counted: guesses.Guesses,
        *,
        now: clock.Clock,
    ) -> None:
        self._storage = clients
        self._vault = box
        self._keyring = keyring
        self._terms = terms
        self._guesses = counted
        self._now = now

    async def issue(self, grant: grants.Grant, *, address: str) -> Mapping[str, Any]:
        """Return the answer of RFC 6749, section 5.1.

        `address` is where the request came from: wrong secrets are counted per client and address,
        so that a stranger cannot lock a till out by guessing. Raises Refused or Unavailable.
        """
        now = self._now()
        client = await self._admit(grant, address, now)
        scopes = engine.clients.narrow_scopes(client.scopes, asked=grant.scopes)
        if scopes is None:
            raise grants.Refused("invalid_scope", "The client may not have all of these scopes.")
        key = await self._keyring.signer()
        header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
        token = jwt.encode(header, self._claims(client, scopes, now), key)
        _TOKENS.labels("issued").inc()
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self._terms.life.total_seconds()),
            "scope": " ".join(scopes),
        }

    async def _admit(
        self, grant: grants.Grant, address: str, now: datetime
    ) -> engine.clients.Client:
        """Return the client behind a grant; only a wrong secret costs it an attempt."""
        place = guesses.Place((grant.client_id, address), self._terms.attempts)
        try:
            attempt = await self._guesses.charge(place)
        except guesses.TooMany as too_many:
            _TOKENS.labels("limited").inc()
            seconds = math.ceil(too_many.wait.total_seconds())
            raise grants.slow_down(retry_after_s=seconds) from None
        try:
            client = await self._authenticate(grant, now)
        except grants.Refused:
            _TOKENS.labels("refused").inc()
            log.warning("token refused", client_id=grant.client_id[:64])
            raise
        except BaseException:
            await attempt.give_back()
            raise
        await attempt.give_back()
        return client

    async def _authenticate(self, grant: grants.Grant, now: datetime) -> engine.clients.Client:
        credential = None
        if engine.clients.is_client_id(grant.client_id):
            credential = await self._storage.find_credential(grant.client_id, now=now)
        given = self._vault.hash_secret(grant.client_id, grant.client_secret)
        known = () if credential is None else credential.secret_hashes
        is_known = any(hmac.compare_digest(given, stored) for stored in known)
        if credential is None or not is_known or not engine.clients.is_active(credential.client):
            raise grants.invalid_client()
        return credential.client

    def _claims(
        self, client: engine.clients.Client, scopes: tuple[str, ...], now: datetime
    ) -> dict[str, Any]:
        """Return the claims of an access token (RFC 9068)."""
        issued = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": self._terms.issuer,
            "sub": client.client_id,
            "client_id": client.client_id,
            "aud": self._terms.audience,
            "scope": " ".join(scopes),
            "iat": issued,
            "exp": issued + int(self._terms.life.total_seconds()),
            "jti": ids.new("tok"),
        }
        if client.store_ids:
            claims["store_ids"] = list(client.store_ids)
        return claims
