"""Copies of balances in Valkey: never the only ones, and none lives for more than a minute.

A copy carries the account's version and gives way only to a higher one. A missing copy is made by
one reader, who leaves a lease in its place before reading PostgreSQL; a posting that is published
meanwhile removes the lease, and with it the right to put down what may already be old. A posting
itself never makes a copy. Keys carry the run id of the server: what survives its restart or comes
back with a failover is never read again. They share a hash tag, so that one command may take many.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from services.chassis import hotstore
from services.ledger import engine

#: How long a copy lives, in seconds.
LIFE_S = 60
#: Copies of another form are not found by those who could not read them.
_FORM = "balance.3"
_LIFE_MS = LIFE_S * 1000
_LEASE_MS = 2_000

# Values are numbers, the version first; a lease begins with the letter L.
_PUBLISH = """
for place, key in ipairs(KEYS) do
    local held = redis.call('GET', key)
    if held and string.byte(held) == 76 then
        redis.call('DEL', key)
    elseif held then
        local version = tonumber(string.match(held, '^%d+'))
        if version < tonumber(string.match(ARGV[place + 1], '^%d+')) then
            redis.call('SET', key, ARGV[place + 1], 'PX', ARGV[1])
        end
    end
end
"""

# A copy that is of no use any more gives way to the lease of one who has seen it.
_LEASE = """
local leased = {}
for place, key in ipairs(KEYS) do
    local held = redis.call('GET', key)
    leased[place] = 0
    if not held or held == ARGV[place + 2] then
        redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
        leased[place] = 1
    end
end
return leased
"""

_FILL = """
for place, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then
        redis.call('SET', key, ARGV[place + 2], 'PX', ARGV[2])
    end
end
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Copies:
    """Balances as Valkey has them. Every method may raise one of `hotstore.FAILURES`."""

    def __init__(self, store: hotstore.Hotstore) -> None:
        self._store = store
        self._publish = store.script(_PUBLISH)
        self._lease = store.script(_LEASE)
        self._fill = store.script(_FILL)

    async def get(self, keys: Sequence[engine.Key]) -> list[bytes | None]:
        """Return the copies of accounts, None where there is none."""
        held = await self._on_one_incarnation(self._mget, keys)
        return cast("list[bytes | None]", held)

    async def _mget(self, keys: Sequence[str]) -> Any:
        return await self._store.command("MGET", *keys)

    async def lease(
        self, keys: Sequence[engine.Key], *, seen: Sequence[bytes | None]
    ) -> tuple[bytes, frozenset[UUID]]:
        """Ask for the right to make copies, in place of nothing or of the useless ones seen.

        Returns the lease and the accounts that it holds for. Ask before reading PostgreSQL.
        """
        lease = b"L" + secrets.token_hex(8).encode()
        arguments = [lease, _LEASE_MS, *(held or b"" for held in seen)]
        leased = await self._on_one_incarnation(partial(self._lease, args=arguments), keys)
        held_for = (key.id for key, is_leased in zip(keys, leased, strict=True) if is_leased)
        return lease, frozenset(held_for)

    async def fill(self, lease: bytes, balances: Sequence[engine.Balance]) -> None:
        """Make copies, unless their leases are gone."""
        arguments = [lease, _LIFE_MS, *map(encode, balances)]
        keys = [balance.key for balance in balances]
        await self._on_one_incarnation(partial(self._fill, args=arguments), keys)

    async def publish(self, balances: Sequence[engine.Balance]) -> None:
        """Replace copies of lower versions, and take away leases."""
        arguments = [_LIFE_MS, *map(encode, balances)]
        keys = [balance.key for balance in balances]
        await self._on_one_incarnation(partial(self._publish, args=arguments), keys)

    async def _on_one_incarnation(
        self, command: Callable[..., Awaitable[Any]], keys: Sequence[engine.Key]
    ) -> Any:
        """Run a command again when the server turned out to be another one meanwhile."""
        if self._store.run_id is None:
            await self._store.ping()
        while True:
            run_id = self._store.run_id
            head = f"{{ledger}}:{_FORM}:{run_id}:"
            answer = await command(keys=[head + key.id.hex for key in keys])
            if run_id == self._store.run_id:
                return answer


def encode(balance: engine.Balance) -> bytes:
    """Return the copy of a balance."""
    numbers = (
        balance.version,
        balance.available,
        balance.pending,
        balance.held,
        balance.incoming,
        balance.debt,
        balance.next_expire_amount,
        _microseconds(balance.next_expire_at),
        _microseconds(balance.changes_at),
    )
    return b"%d %d %d %d %d %d %d %d %d" % numbers


def decode(
    key: engine.Key, held: bytes | None, *, now: datetime, version_min: int
) -> engine.Balance | None:
    """Return the balance that a copy tells, None when it is a lease or of no use any more.

    A copy is good until the account's next activation, expiry or time-out.
    """
    if held is None or held.startswith(b"L"):
        return None
    (version, available, pending, reserved, incoming, debt, amount, expires, changes) = map(
        int, held.split()
    )
    changes_at = _instant(changes)
    if version < version_min or (changes_at is not None and changes_at <= now):
        return None
    return engine.Balance(
        key,
        available,
        pending,
        reserved,
        incoming,
        debt,
        version,
        _instant(expires),
        amount,
        now,
        changes_at,
    )


def _microseconds(instant: datetime | None) -> int:
    return -1 if instant is None else (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime | None:
    return None if microseconds < 0 else _EPOCH + timedelta(microseconds=microseconds)
