"""Paid subscriptions: a period for a fee, again and again, until somebody or time ends it.

What is stored changes only when somebody acts; what it means at a moment follows from the time, so
nobody keeps or loses a benefit because a clock was late.
"""

import calendar
import enum
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

_MONTHS = 12


class SubscriptionState(enum.IntEnum):
    """Where a subscription is at a moment; the value is the contract's number."""

    AWAITING = 1
    TRIAL = 2
    ACTIVE = 3
    GRACE = 4
    ENDED = 5


@dataclass(frozen=True, slots=True)
class PlanRules:
    """So many months for a fee in minor units, days of trial before and of grace after."""

    plan_id: str
    fee_minor: int
    period_months: int
    trial_days: int = 0
    grace_days: int = 0
    privileges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is stored: `period` counts those that were paid for.

    `anchor` is where paid periods count from, None before the first payment. `covered_until` is
    the end of what was paid for, or of the trial; None when there was neither.
    """

    period: int = 0
    anchor: datetime | None = None
    covered_until: datetime | None = None
    cancel_time: datetime | None = None
    end_time: datetime | None = None


def subscribe(plan: PlanRules, *, with_trial: bool, now: datetime) -> Subscription:
    """Return a new subscription: with a trial it covers at once, else from its first payment."""
    if with_trial and plan.trial_days:
        return Subscription(covered_until=now + timedelta(days=plan.trial_days))
    return Subscription()


def end_of(plan: PlanRules, one: Subscription) -> datetime | None:
    """Return from when on the subscription has ended if nothing more happens; None for never.

    A subscription that waits for its first payment waits as long as it takes.
    """
    if one.end_time is not None:
        return one.end_time
    if one.covered_until is None:
        return one.cancel_time
    if one.cancel_time is not None:
        return one.covered_until
    return one.covered_until + timedelta(days=plan.grace_days)


def state_at(plan: PlanRules, one: Subscription, now: datetime) -> SubscriptionState:
    """Return where the subscription is."""
    end = end_of(plan, one)
    if end is not None and now >= end:
        return SubscriptionState.ENDED
    if one.covered_until is None:
        return SubscriptionState.AWAITING
    if now >= one.covered_until:
        return SubscriptionState.GRACE
    return SubscriptionState.ACTIVE if one.period else SubscriptionState.TRIAL


def covers(plan: PlanRules, one: Subscription, now: datetime) -> bool:
    """Tell whether the member has the benefits now."""
    return state_at(plan, one, now) in {
        SubscriptionState.TRIAL,
        SubscriptionState.ACTIVE,
        SubscriptionState.GRACE,
    }


def pay(plan: PlanRules, one: Subscription, *, zone: tzinfo, now: datetime) -> Subscription:
    """Return the subscription with one more period paid for.

    The period begins where cover ends, also when it is paid early or in grace, and now when there
    was no cover. A payment takes a cancellation back. The subscription has not ended.
    """
    anchor = one.anchor or one.covered_until or now
    period = one.period + 1
    until = add_months(anchor, period * plan.period_months, zone)
    return replace(one, period=period, anchor=anchor, covered_until=until, cancel_time=None)


def cancel(one: Subscription, *, at_once: bool, now: datetime) -> Subscription:
    """Return the subscription cancelled: at once, or when what is paid for ends."""
    if at_once or one.covered_until is None:
        return replace(one, cancel_time=one.cancel_time or now, end_time=now)
    return replace(one, cancel_time=one.cancel_time or now)


def add_months(moment: datetime, months: int, zone: tzinfo) -> datetime:
    """Return the same time of day so many months later, on the last day of shorter months."""
    local = moment.astimezone(zone)
    count = local.year * _MONTHS + local.month - 1 + months
    year, month = count // _MONTHS, count % _MONTHS + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(moment.tzinfo)
