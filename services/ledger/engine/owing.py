"""What is owed to shoppers, and how much of it will never be asked for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.ledger import errors

#: Nothing larger can be told.
_MAX = 2**63 - 1
#: Rates are in parts of this many.
WHOLE = 10**9
#: How many months of earning expected breakage is estimated from, unless somebody says otherwise.
HISTORY_MONTHS = 36


class Outstanding(NamedTuple):
    """Live points of one age and one month of expiry (None: they never expire).

    Months are counted from year 0; the age is in months since the earning.
    """

    age: int
    expiry_month: int | None
    available: int
    pending: int
    held: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.available + self.pending + self.held


class Taken(NamedTuple):
    """What was used of the points earned in one month, or expired, when they were of an age."""

    cohort: int
    age: int
    used: int
    expired: int


@dataclass(frozen=True, slots=True)
class History:
    """What was credited in each month, and what became of it."""

    credited: Sequence[tuple[int, int]]
    taken: Sequence[Taken]


class AgeLine(NamedTuple):
    """Outstanding points of one age; `breakage_rate` of those that can expire, in `WHOLE`ths."""

    age: int
    outstanding: int
    breakage_rate: int
    breakage: int


class ExpiryLine(NamedTuple):
    """Outstanding points by when they expire."""

    month: int | None
    available: int
    pending: int
    held: int


@dataclass(frozen=True, slots=True)
class Liability:
    """What is outstanding, and what of it is expected to expire unused."""

    available: int
    pending: int
    held: int
    #: Past its expiry, not booked as such yet, and owed no more.
    expired: int
    breakage: int
    by_age: Sequence[AgeLine]
    by_expiry: Sequence[ExpiryLine]

    @property
    def outstanding(self) -> int:
        """All that is owed."""
        return self.available + self.pending + self.held


def liability(
    outstanding: Sequence[Outstanding], history: History, *, expired: int, month: int
) -> Liability:
    """Return the liability at a moment in the month `month`.

    Expected breakage is the outstanding amount of each age times the share of such points that has
    expired so far: see `breakage_rates`. What never expires never breaks. Raises AmountTooLarge
    when all of it together is beyond 64 bits.
    """
    told(sum(one.total for one in outstanding))
    rates = breakage_rates(history, month=month)
    ages: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    expiries: defaultdict[int | None, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in outstanding:
        ages[one.age][0] += one.total
        if one.expiry_month is not None:
            ages[one.age][1] += one.total
        for place, amount in enumerate(one[2:]):
            expiries[one.expiry_month][place] += amount
    by_age = []
    for age, (total, expiring) in sorted(ages.items()):
        rate = rates[age] if age < len(rates) else 0
        by_age.append(AgeLine(age, total, rate, expiring * rate // WHOLE))
    by_expiry = [ExpiryLine(due, *expiries[due]) for due in sorted(expiries, key=_last_if_never)]
    return Liability(
        sum(one.available for one in outstanding),
        sum(one.pending for one in outstanding),
        sum(one.held for one in outstanding),
        expired,
        sum(line.breakage for line in by_age),
        by_age,
        by_expiry,
    )


def breakage_rates(history: History, *, month: int) -> list[int]:
    """Return, for each age in months, which share of what is left then expires in the end.

    A life table with two exits, from all months that are over. Of the points left at the start of
    age a, over all months of earning for which that age is over, u(a) is the share used during it
    and e(a) the share expired. Then b(a) = e(a) + (1 - u(a) - e(a)) * b(a + 1), and b is 0 beyond
    the oldest age seen: what nobody has seen yet is not counted on. In `WHOLE`ths, rounded down.

    This is the development method of T. A. Gault, L. Llaguno and M. Menard, "Loyalty Rewards and
    Gift Card Programs: Basic Actuarial Estimation Techniques", Casualty Actuarial Society E-Forum,
    Summer 2012, volume 2, applied to redemption and expiry at once; IFRS 15 B46 asks for what it
    gives.
    """
    exits: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    taken = {(one.cohort, one.age): one for one in history.taken}
    for cohort, credited in history.credited:
        left = credited
        for age in range(month - cohort):
            gone = taken.get((cohort, age), Taken(cohort, age, 0, 0))
            sums = exits[age]
            sums[0] += left
            sums[1] += gone.used
            sums[2] += gone.expired
            left -= gone.used + gone.expired
    rates: list[int] = []
    later = 0
    for age in sorted(exits, reverse=True):
        left, used, expired = exits[age]
        used_share, expired_share = _shares(left, used, expired)
        later = expired_share + (WHOLE - used_share - expired_share) * later // WHOLE
        rates.append(later)
    return rates[::-1]


def month_of(moment: datetime, zone: ZoneInfo) -> int:
    """Return the number of the month that a moment lies in, counted from January of year 0."""
    local = moment.astimezone(zone)
    return local.year * 12 + local.month - 1


def month_name(month: int | None) -> str:
    """Return a month as `2027-03`; empty for none."""
    return "" if month is None else f"{month // 12:04}-{month % 12 + 1:02}"


def money(amount: int, *, value_minor: int, units: int) -> int:
    """Return what points are worth in minor units of money, half a unit rounded up.

    Raises AmountTooLarge.
    """
    return told((2 * amount * value_minor + units) // (2 * units))


def told(amount: int) -> int:
    """Return an amount of points or money that fits into 64 bits; raises AmountTooLarge."""
    if abs(amount) > _MAX:
        raise errors.AmountTooLarge
    return amount


def _shares(left: int, used: int, expired: int) -> tuple[int, int]:
    """Return both exits as shares; what returns brought back makes none negative."""
    if left <= 0:
        return 0, 0
    used_share = min(max(used, 0) * WHOLE // left, WHOLE)
    expired_share = min(max(expired, 0) * WHOLE // left, WHOLE - used_share)
    return used_share, expired_share


def _last_if_never(month: int | None) -> tuple[bool, int]:
    return month is None, month or 0
