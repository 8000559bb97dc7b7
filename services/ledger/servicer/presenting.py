"""Codes that people present: found, or counted against those who guess."""

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from prometheus_client import Counter

from services.chassis import attempts, auth, clock
from services.ledger import codes, errors
from services.ledger.engine import codes as writing
from services.ledger.storage import GiftCards

PRESENTED = Counter("ledger_codes_presented", "Codes presented, by outcome", ["outcome"])
_FOUND, _UNKNOWN, _LIMITED = map(PRESENTED.labels, ("found", "unknown", "limited"))
#: One caller speaks for many presenters: together they may fail so many times as often as one.
_PRESENTERS = 50

T = TypeVar("T")


class Presenting:
    """Recognises codes, for callers who do not guess too often."""

    def __init__(
        self,
        made: codes.Codes | None,
        keys: GiftCards,
        limit: attempts.Limit,
        *,
        now: clock.Clock = clock.system,
    ) -> None:
        self._codes = made
        self._keys = keys
        self._is_checked = False
        self._by_presenter = attempts.Attempts(limit)
        self._by_caller = attempts.Attempts(
            attempts.Limit(burst=limit.burst * _PRESENTERS, interval=limit.interval / _PRESENTERS)
        )
        self._now = now

    async def require_codes(self) -> codes.Codes:
        """Return what draws and recognises codes. Raises CodesNotConfigured."""
        if self._codes is None:
            raise errors.CodesNotConfigured
        if not self._is_checked:
            if not await self._keys.is_right_key(self._codes.check_value):
                raise errors.CodesNotConfigured
            self._is_checked = True
        return self._codes

    async def find(
        self,
        kind: codes.Kind,
        text: str,
        *,
        presenter_id: str,
        find: Callable[[UUID], Awaitable[T | None]],
        is_checked: bool = True,
    ) -> T:
        """Return what `find` knows of the id behind a code.

        Raises CodeNotFound, TooManyAttempts, CodesNotConfigured, and CodeMalformed when the code
        should end in a check (`is_checked`) and does not.
        """
        made = await self.require_codes()
        code = writing.normalised(text)
        if is_checked and not writing.is_sound(code, length=kind.length):
            raise errors.CodeMalformed
        caller = auth.caller_id()
        places = (
            (self._by_presenter, (kind, caller, presenter_id)),
            (self._by_caller, (kind, caller)),
        )
        now = self._now()
        self._require_patience(max(counted.wait(place, now) for counted, place in places))
        for counted, place in places:
            counted.charge(place, now)
        found = None
        try:
            found = await find(made.identify(kind, code))
        except BaseException:
            _give_back(places)
            raise
        if found is None:
            _UNKNOWN.inc()
            raise errors.CodeNotFound
        _give_back(places)
        _FOUND.inc()
        return found

    @staticmethod
    def _require_patience(wait: timedelta) -> None:
        if wait > timedelta():
            _LIMITED.inc()
            raise errors.TooManyAttempts(retry_after_s=math.ceil(wait.total_seconds()))


def _give_back(places: tuple[tuple[attempts.Attempts, tuple[object, ...]], ...]) -> None:
    for counted, place in places:
        counted.give_back(place)
