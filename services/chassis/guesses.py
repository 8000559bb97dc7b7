"""Wrong secrets counted by all processes together.

Each process counts for itself, and Valkey for all: an attempt must pass both. So the limit holds
over any number of processes while Valkey is there, and in each of them while it is not.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Counter

from services.chassis import attempts, clock, hotstore

ALONE = Counter(
    "tessera_guesses_counted_alone", "Counts of guesses that Valkey did not take", ["role"]
)
#: After a failure Valkey is left alone for this long, in seconds.
_PAUSE_S = 1.0
#: Nobody who knows the secret waits longer for the count, in seconds.
_ANSWER_S_MAX = 0.5
_FAILURES = (*hotstore.FAILURES, TimeoutError)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST_SIZE = 16

# As attempts.wait and attempts.charge, for all places or for none; times in microseconds. A key
# lives until what it says has passed.
_CHARGE = """
local now, longest, spent = tonumber(ARGV[1]), 0, {}
for place, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 * place]), tonumber(ARGV[2 * place + 1])
    spent[place] = math.max(tonumber(redis.call('GET', key) or 0), now)
    longest = math.max(longest, spent[place] + interval - now - burst * interval)
end
if longest > 0 then
    return longest
end
for place, key in ipairs(KEYS) do
    local untilwhen = spent[place] + tonumber(ARGV[2 * place])
    local life = math.ceil((untilwhen - now) / 1000)
    redis.call('SET', key, string.format('%.0f', untilwhen), 'PX', life)
end
return 0
"""

_GIVE_BACK = """
local now = tonumber(ARGV[1])
for place, key in ipairs(KEYS) do
    local spent = tonumber(redis.call('GET', key) or 0) - tonumber(ARGV[place + 1])
    if spent > now then
        local life = math.ceil((spent - now) / 1000)
        redis.call('SET', key, string.format('%.0f', spent), 'PX', life)
    else
        redis.call('DEL', key)
    end
end
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Who or what is being guessed at, and how many wrong secrets are too many there."""

    name: tuple[str, ...]
    limit: attempts.Limit


class TooMany(Exception):  # noqa: N818  an answer, not a fault
    """The next attempt has to wait this long."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(wait)
        self.wait = wait


class Guesses:
    """The wrong secrets of the recent past; `role` keeps the counts of roles apart."""

    def __init__(
        self, hot: hotstore.Hotstore, role: str, *, now: clock.Clock = clock.system
    ) -> None:
        self._role = role
        self._alone = ALONE.labels(role)
        self._now = now
        self._counted = attempts.Attempts()
        self._charge = hot.script(_CHARGE)
        self._give_back = hot.script(_GIVE_BACK)
        self._paused_until = 0.0

    async def charge(self, *places: Place) -> "Attempt":
        """Count an attempt at every place, before its secret is looked at.

        Raises TooMany, and then counts it nowhere.
        """
        now = self._now()
        self._require(max(self._counted.wait(one.name, one.limit, now) for one in places))
        for one in places:
            self._counted.charge(one.name, one.limit, now)
        attempt = Attempt(self, places)
        arguments = [
            number
            for one in places
            for number in (one.limit.interval // _MICROSECOND, one.limit.burst)
        ]
        wait = await self._ask(self._charge, places, [_microseconds(now), *arguments])
        attempt.is_shared = wait is not None
        if wait:
            attempt.is_shared = False
            await attempt.give_back()
            self._require(int(wait) * _MICROSECOND)
        return attempt

    async def give_back(self, places: Sequence[Place], *, is_shared: bool) -> None:
        """Forget an attempt; `is_shared` when Valkey has counted it, too."""
        for one in places:
            self._counted.give_back(one.name, one.limit)
        if is_shared:
            intervals = [one.limit.interval // _MICROSECOND for one in places]
            arguments = [_microseconds(self._now()), *intervals]
            await self._ask(self._give_back, places, arguments)

    async def _ask(
        self, script: hotstore.Script, places: Sequence[Place], arguments: Sequence[int]
    ) -> int | None:
        """Run a script; None when Valkey did not answer."""
        if time.monotonic() < self._paused_until:
            self._alone.inc()
            return None
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                answer = await script(keys=[self._key(one) for one in places], args=arguments)
        except _FAILURES as error:
            log.warning("guesses are counted alone", error=repr(error))
            self._paused_until = time.monotonic() + _PAUSE_S
            self._alone.inc()
            return None
        return int(answer or 0)

    def _key(self, place: Place) -> str:
        """Return a key that says nothing of whose it is; all share one slot of a cluster."""
        text = "\0".join(place.name).encode()
        digest = hashlib.blake2b(text, digest_size=_DIGEST_SIZE).hexdigest()
        return f"{{{self._role}.guesses}}:{digest}"

    @staticmethod
    def _require(wait: timedelta) -> None:
        if wait > timedelta():
            raise TooMany(wait)


class Attempt:
    """One attempt that is counted as wrong until it is given back."""

    def __init__(self, guesses: Guesses, places: Sequence[Place]) -> None:
        self._guesses = guesses
        self._places = places
        self.is_shared = False

    async def give_back(self) -> None:
        """Forget it: the secret was right, or was never judged."""
        await self._guesses.give_back(self._places, is_shared=self.is_shared)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
