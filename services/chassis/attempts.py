"""How often somebody may try a wrong secret.

The generic cell rate algorithm: one instant per place (a client, an address), the time at which its
attempts so far would have been spread evenly. Attempts are charged before the secret is checked and
given back when it was right, so that attempts sent all at once are counted too.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

_REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`burst` failures at once, and one more after each `interval`."""

    burst: int
    interval: timedelta


def wait(spent_until: datetime | None, *, limit: Limit, now: datetime) -> timedelta:
    """Return how long the next attempt has to wait; zero when it may be made now."""
    if spent_until is None:
        return timedelta()
    return max(timedelta(), spent_until + limit.interval - now - limit.burst * limit.interval)


def charge(spent_until: datetime | None, *, limit: Limit, now: datetime) -> datetime:
    """Return the instant after one more attempt."""
    return max(spent_until or now, now) + limit.interval


def give_back(spent_until: datetime, *, limit: Limit) -> datetime:
    """Return the instant as if one attempt had not been made."""
    return spent_until - limit.interval


class Attempts:
    """The wrong attempts of this process's recent past; the least recent are forgotten first."""

    def __init__(self) -> None:
        self._spent: OrderedDict[Hashable, datetime] = OrderedDict()

    def wait(self, place: Hashable, limit: Limit, now: datetime) -> timedelta:
        """Return how long the next attempt has to wait; zero when it may be made now."""
        return wait(self._spent.get(place), limit=limit, now=now)

    def charge(self, place: Hashable, limit: Limit, now: datetime) -> None:
        """Count one more attempt."""
        spent = self._spent.pop(place, None)
        self._spent[place] = charge(spent, limit=limit, now=now)
        if len(self._spent) > _REMEMBERED_MAX:
            self._spent.popitem(last=False)

    def give_back(self, place: Hashable, limit: Limit) -> None:
        """Forget one attempt: it was right, or was never judged."""
        spent = self._spent.get(place)
        if spent is not None:
            self._spent[place] = give_back(spent, limit=limit)
