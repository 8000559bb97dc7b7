"""Codes that people present: found, or counted against those who guess."""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from prometheus_client import Counter

from services.chassis import attempts, auth, guesses
from services.ledger import codes, errors
from services.ledger.engine import codes as writing
from services.ledger.servicer.keyring import Keyring

PRESENTED = Counter("ledger_codes_presented", "Codes presented, by outcome", ["outcome"])
_FOUND, _UNKNOWN, _LIMITED = map(PRESENTED.labels, ("found", "unknown", "limited"))
#: One caller speaks for many presenters: together they may fail so many times as often as one.
_PRESENTERS = 50

T = TypeVar("T")


class Presenting:
    """Recognises codes, for callers who do not guess too often."""

    def __init__(
        self,
        keyring: Keyring,
        counted: guesses.Guesses,
        limit: attempts.Limit,
    ) -> None:
        self._keyring = keyring
        self._guesses = counted
        self._by_presenter = limit
        self._by_caller = attempts.Limit(
            burst=limit.burst * _PRESENTERS, interval=limit.interval / _PRESENTERS
        )

    async def find(
        self,
        kind: codes.Kind,
        text: str,
        *,
        presenter_id: str,
        find: Callable[[UUID], Awaitable[T | None]],
        is_checked: bool = True,
    ) -> T:
        """Return what `find` knows of the id behind a code, under the newest key that knows it.

        Raises CodeNotFound, TooManyAttempts, CodesNotConfigured, and CodeMalformed when the code
        should end in a check (`is_checked`) and does not.
        """
        keys = await self._keyring.all()
        code = writing.normalised(text)
        if is_checked and not writing.is_sound(code, length=kind.length):
            raise errors.CodeMalformed
        attempt = await self._charge(kind, presenter_id)
        try:
            found = None
            for made in keys:
                found = found or await find(made.identify(kind, code))
        except BaseException:
            await attempt.give_back()
            raise
        if found is None:
            _UNKNOWN.inc()
            raise errors.CodeNotFound
        await attempt.give_back()
        _FOUND.inc()
        return found

    async def _charge(self, kind: codes.Kind, presenter_id: str) -> guesses.Attempt:
        """Count an attempt of a presenter and of who speaks for it. Raises TooManyAttempts."""
        caller = auth.caller_id()
        try:
            return await self._guesses.charge(
                guesses.Place((kind.name, caller, presenter_id), self._by_presenter),
                guesses.Place((kind.name, caller), self._by_caller),
            )
        except guesses.TooMany as too_many:
            _LIMITED.inc()
            seconds = math.ceil(too_many.wait.total_seconds())
            raise errors.TooManyAttempts(retry_after_s=seconds) from None
