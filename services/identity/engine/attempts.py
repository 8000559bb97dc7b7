"""How often a client may try a wrong secret.

The generic cell rate algorithm: one instant per client, the time at which its attempts so far would
have been spread evenly. Attempts are charged before the secret is checked and given back when it
was right, so that attempts sent all at once are counted too.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


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
