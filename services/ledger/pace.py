"""How long it is worth waiting for company, when those who come together share the work."""

import asyncio
from collections.abc import Sized


class Pace:
    """Gives those who are on their way a moment to join; a lonely one never waits.

    It waits for about as many as came before, for `longest_s` at the most, and gives up early when
    nobody came for `quiet_s`, both in seconds.
    """

    __slots__ = ("_company", "_longest_s", "_quiet_s")

    def __init__(self, *, longest_s: float, quiet_s: float) -> None:
        self._company = 1.0
        self._longest_s = longest_s
        self._quiet_s = quiet_s

    async def gather(self, waiting: Sized) -> None:
        """Return when it is time to serve those who wait."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._longest_s
        while len(waiting) < self._company and loop.time() < until:
            before = len(waiting)
            await asyncio.sleep(self._quiet_s)
            if len(waiting) == before:
                break
        self._company = max(len(waiting), (self._company + len(waiting)) / 2)
