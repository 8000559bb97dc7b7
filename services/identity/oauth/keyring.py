"""The signing keys in use: loaded from the database, begun and retired when their time has come."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import prometheus_client
import structlog
from joserfc.jwk import ECKey

from services.chassis import clock, errors, ids
from services.identity import engine, storage

_LIVE_KEYS = prometheus_client.Gauge(
    "identity_signing_keys", "Signing keys that are not retired, by phase.", ["phase"]
)

log = structlog.get_logger()


class Keyring:
    """The keys that this process signs with and publishes.

    Every process reads the same keys and dates, and only one at a time changes them. A new key is
    published far longer before it signs than `reload_s`, so no process signs with a key that
    another does not publish yet.
    """

    def __init__(
        self,
        keys: storage.SigningKeyStorage,
        policy: engine.keys.Policy,
        *,
        now: clock.Clock,
        reload_s: float,
    ) -> None:
        self._storage = keys
        self._policy = policy
        self._now = now
        self._reload_s = reload_s
        self._keys: tuple[storage.SigningKey, ...] = ()
        self._signers: dict[str, ECKey] = {}
        self._refreshing = asyncio.Lock()

    async def run(self) -> None:
        """Keep the keys fresh until cancelled; while the database is away the old ones serve."""
        while True:
            try:
                await self.refresh()
            except errors.Refusal as refusal:
                log.warning("the signing keys could not be refreshed", reason=refusal.reason)
            await asyncio.sleep(self._reload_s)

    async def refresh(self) -> None:
        """Load the keys and do what their dates ask for. Raises Unavailable."""
        async with self._refreshing:
            found = await self._storage.load()
            if not self._plan(found, self._now()).is_empty:
                found = await self._advance()
            self._take(found)

    async def signer(self) -> ECKey:
        """Return the key that signs now; its `kid` is set. Raises Unavailable."""
        phases = await self._phases()
        signing = (key for key, phase in phases.items() if phase is engine.keys.Phase.SIGNING)
        return self._signers[next(signing)]

    async def document(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) to publish. Raises Unavailable."""
        phases = await self._phases()
        return {
            "keys": [
                key.public_jwk
                for key in self._keys
                if phases[key.dates.key_id] is not engine.keys.Phase.RETIRED
            ]
        }

    async def _phases(self) -> dict[str, engine.keys.Phase]:
        if not self._keys:
            await self.refresh()
        dates = [key.dates for key in self._keys]
        return engine.keys.phases_of(dates, policy=self._policy, now=self._now())

    def _plan(self, found: Sequence[storage.SigningKey], now: datetime) -> engine.keys.Plan:
        return engine.keys.plan([key.dates for key in found], policy=self._policy, now=now)

    async def _advance(self) -> list[storage.SigningKey]:
        """Carry out the plan, which another process may have done a moment ago."""
        async with self._storage.alone() as tx:
            now = self._now()
            plan = self._plan(await tx.load(), now)
            if plan.next_sign_time is not None:
                key = _generate(publish_time=now, sign_time=plan.next_sign_time)
                await tx.insert(key)
                log.info("signing key published", key_id=key.dates.key_id)
            if plan.retired:
                await tx.retire(plan.retired, now=now)
                log.info("signing keys retired", key_ids=list(plan.retired))
            return await tx.load()

    def _take(self, found: Sequence[storage.SigningKey]) -> None:
        self._keys = tuple(found)
        self._signers = {
            key.dates.key_id: self._signers.get(key.dates.key_id)
            or ECKey.import_key(json.loads(key.private_key))
            for key in found
        }
        phases = engine.keys.phases_of(
            [key.dates for key in found], policy=self._policy, now=self._now()
        )
        for phase in engine.keys.Phase:
            _LIVE_KEYS.labels(phase.value).set(list(phases.values()).count(phase))


def _generate(*, publish_time: datetime, sign_time: datetime) -> storage.SigningKey:
    key_id = ids.new("key")
    key = ECKey.generate_key("P-256", {"kid": key_id, "use": "sig", "alg": "ES256"})
    return storage.SigningKey(
        dates=engine.keys.Dates(key_id=key_id, publish_time=publish_time, sign_time=sign_time),
        public_jwk=dict(key.as_dict(private=False)),
        private_key=json.dumps(key.as_dict(private=True)).encode(),
    )
