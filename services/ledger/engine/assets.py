"""What is counted, and how credits of it age."""

import calendar
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo


class Rounding(IntEnum):
    """Where the end of an expiry period is moved to; numbers as in the contract."""

    NONE = 1
    END_OF_DAY = 2
    END_OF_MONTH = 3
    END_OF_QUARTER = 4
    END_OF_YEAR = 5


@dataclass(frozen=True, slots=True)
class Rolling:
    """Expiry a period after activation; exactly one of `months` and `days` is above 0."""

    months: int
    days: int
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class Calendar:
    """Expiry at the end of the first of `days` (month, day) that comes late enough."""

    days: tuple[tuple[int, int], ...]
    minimum_days: int


@dataclass(frozen=True, slots=True)
class Sliding:
    """Expiry when no credit comes for `days`, at the end of the last of them."""

    days: int


@dataclass(frozen=True, slots=True)
class LotPolicy:
    """How lots age: `pending_days` None waits for a release; no `expiry` is never.

    What a refund restores after its expiry lives on for `refund_grace_days`, to the end of the last
    of them; 0: it has expired.
    """

    pending_days: int | None
    expiry: Rolling | Calendar | Sliding | None
    time_zone: str
    refund_grace_days: int = 0

    @property
    def slides(self) -> bool:
        """True when every credit renews all lots of the account."""
        return isinstance(self.expiry, Sliding)


@dataclass(frozen=True, slots=True)
class Asset:
    """A unit of value. `ceiling` None is no ceiling; without `lots` a balance is one amount.

    Accounts open by themselves when they are first named, unless `opened_explicitly`.
    """

    code: str
    scale: int
    floor: int
    ceiling: int | None
    lots: LotPolicy | None
    created_at: datetime
    opened_explicitly: bool = False


def first_difference(one: Asset, other: Asset) -> str | None:
    """Return the name of the first property that two assets differ in, None when they agree."""
    for field in fields(Asset):
        mine, others = getattr(one, field.name), getattr(other, field.name)
        if field.name != "created_at" and mine != others:
            return _NAMES.get(field.name, field.name)
    return None


#: Properties that the contract calls by another name.
_NAMES = {
    "code": "asset_code",
    "lots": "lot_policy",
    "opened_explicitly": "accounts_opened_explicitly",
}


def activation(policy: LotPolicy, *, credited_at: datetime) -> datetime | None:
    """Return when a lot becomes active: the same local time some days later; None: on release."""
    if policy.pending_days is None:
        return None
    if policy.pending_days == 0:
        return credited_at
    local = credited_at.astimezone(_zone(policy.time_zone))
    wall = local.replace(tzinfo=None) + timedelta(days=policy.pending_days)
    return _instant(wall, policy)


def expiry(policy: LotPolicy, *, activated_at: datetime) -> datetime | None:
    """Return the first instant at which a lot is no longer valid; None: it never expires.

    Under a sliding policy this is the lot's own term, which later credits push further: see
    `slide`.
    """
    rule = policy.expiry
    if rule is None:
        return None
    local = activated_at.astimezone(_zone(policy.time_zone))
    if isinstance(rule, Rolling) and rule.rounding == Rounding.NONE:
        return _instant(_rolled(rule, local.replace(tzinfo=None)), policy)
    return _end_of_life(rule, policy, local.date())


@lru_cache(maxsize=1024)
def _end_of_life(
    rule: Rolling | Calendar | Sliding, policy: LotPolicy, activated_on: date
) -> datetime:
    """Return the expiry of all lots that become active on a local day, which end together."""
    if isinstance(rule, Rolling):
        return _instant(_rolled(rule, datetime.combine(activated_on, time.min)), policy)
    if isinstance(rule, Calendar):
        return _instant(_end(_marked_day(rule, activated_on)), policy)
    return _instant(_end(activated_on + timedelta(days=rule.days)), policy)


def slide(policy: LotPolicy, *, credited_at: datetime) -> datetime | None:
    """Return until when a credit keeps all lots of its account alive; None: it does not."""
    if not isinstance(policy.expiry, Sliding):
        return None
    return expiry(policy, activated_at=credited_at)


def grace(policy: LotPolicy, *, refunded_at: datetime) -> datetime | None:
    """Return until when a refund keeps alive what it restores too late; None: not at all."""
    if not policy.refund_grace_days:
        return None
    local = refunded_at.astimezone(_zone(policy.time_zone))
    return _instant(_end(local.date() + timedelta(days=policy.refund_grace_days)), policy)


def _rolled(rule: Rolling, start: datetime) -> datetime:
    """Return the local end of a rolling period that starts at the local time `start`."""
    if rule.days:
        moment, is_cut = start + timedelta(days=rule.days), False
    else:
        moment, is_cut = _months_later(start, rule.months)
    day = moment.date()
    if rule.rounding == Rounding.NONE:
        # A day that the shorter month does not have becomes its last day, valid to the end.
        return _end(day) if is_cut else moment
    if rule.rounding == Rounding.END_OF_DAY:
        return _end(day)
    return _end(_last_day(day, _MONTHS[rule.rounding]))


_MONTHS = {Rounding.END_OF_MONTH: 1, Rounding.END_OF_QUARTER: 3, Rounding.END_OF_YEAR: 12}


def _months_later(start: datetime, months: int) -> tuple[datetime, bool]:
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    last = calendar.monthrange(year, month)[1]
    return start.replace(year=year, month=month, day=min(start.day, last)), start.day > last


def _last_day(day: date, span_months: int) -> date:
    """Return the last day of the month, quarter or year that `day` lies in."""
    month = (day.month - 1) // span_months * span_months + span_months
    return date(day.year, month, calendar.monthrange(day.year, month)[1])


def _marked_day(rule: Calendar, activated_on: date) -> date:
    earliest = activated_on + timedelta(days=rule.minimum_days)
    days = (
        date(year, month, min(day, calendar.monthrange(year, month)[1]))
        for year in (earliest.year, earliest.year + 1)
        for month, day in rule.days
    )
    return min(day for day in days if day >= earliest)


def _end(day: date) -> datetime:
    """Return the local midnight that ends a day; the boundary itself is outside."""
    return datetime.combine(day + timedelta(days=1), time.min)


def _instant(wall: datetime, policy: LotPolicy) -> datetime:
    # fold=0: an hour that comes twice means its first, an hour that is left out means as many
    # minutes after the gap. A midnight inside a gap is thereby the very moment of the jump.
    return wall.replace(tzinfo=_zone(policy.time_zone), fold=0).astimezone(UTC)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
