"""Versions of a program: which one holds on a day, and what the next one may change.

Nothing changes what somebody has begun. So what is counted stays as it is, names that campaigns
know stay, and other terms hold from a day to come, on which nothing is under way that they would
change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TypeAlias

from services.promotions.engine.programs.challenges import ChallengeRules
from services.promotions.engine.programs.choices import OfferRules
from services.promotions.engine.programs.draws import DrawRules
from services.promotions.engine.programs.periods import period_of
from services.promotions.engine.programs.referrals import ReferralRules
from services.promotions.engine.programs.spans import find_day_problems
from services.promotions.engine.programs.subscriptions import PlanRules
from services.promotions.engine.programs.tiers import Calendar, TierRules
from services.promotions.engine.rules import Text
from services.promotions.engine.set_problems import Problem

ProgramTerms: TypeAlias = (
    TierRules | PlanRules | ChallengeRules | ReferralRules | OfferRules | DrawRules
)

_DAY = timedelta(days=1)
_NO_WORDS = Text("")


def holding(starts: Sequence[date], day: date) -> int:
    """Return the place of the version that holds on a day: of those that have begun, the newest.

    `starts` are the first days of versions, in their order, that of the first one `date.min`.
    """
    return max(place for place, start in enumerate(starts) if start <= day)


def ever_holding(starts: Sequence[date], *, until: date = date.max) -> list[int]:
    """Return the places of versions that hold on any day up to one, in the order of their days.

    A version that a newer one overtakes before it begins is none of them.
    """
    return sorted({holding(starts, start) for start in starts if start <= until})


def same_terms(one: ProgramTerms, other: ProgramTerms) -> bool:
    """Tell whether two versions differ in nothing but what people call things."""
    return _without_words(one) == _without_words(other)


def earliest_start(before: ProgramTerms, after: ProgramTerms, *, today: date) -> date:
    """Return the first day on which terms may follow those of today: today for the same terms.

    Levels by calendar periods get others with the next period.
    """
    if same_terms(before, after):
        return today
    if isinstance(before, TierRules) and isinstance(before.window, Calendar):
        return period_of(today, before.window.unit)[1]
    return today + _DAY


def find_start_problems(
    before: ProgramTerms, after: ProgramTerms, *, start: date, today: date
) -> list[Problem]:
    """Return why terms cannot follow those of today from a day on; empty when they can."""
    if problems := find_day_problems({"start_date": start}):
        return problems
    first = earliest_start(before, after, today=today)
    if start < first:
        return [Problem("start_date", f"must not be before {first}")]
    if first != today and isinstance(before, TierRules) and isinstance(before.window, Calendar):
        begin, following = period_of(start, before.window.unit)
        if start != begin:
            told = f"must begin a period, as {begin} and {following} do"
            return [Problem("start_date", told)]
    return []


def find_succession_problems(
    before: ProgramTerms, after: ProgramTerms, *, start: date
) -> list[Problem]:
    """Return why terms of the same kind cannot follow from a day on; empty when they can.

    `before` is what holds until then.
    """
    return [] if same_terms(before, after) else [*_check(before, after, start)]


def _check(before: ProgramTerms, after: ProgramTerms, start: date) -> Iterator[Problem]:
    match before, after:
        case TierRules(), TierRules():
            yield from _check_tiers(before, after)
        case PlanRules(), PlanRules():
            yield from _check_stays(before, after, "plan_id", "period_months")
        case ChallengeRules(), ChallengeRules():
            yield from _check_challenge(before, after, start)
        case ReferralRules(), ReferralRules():
            yield from _check_stays(before, after, "measure")
        case OfferRules(), OfferRules():
            yield from _check_stays(before, after, "offer_id")
        case DrawRules(), DrawRules():
            yield from _check_draw(before, after, start)
        case _:
            raise AssertionError(f"{before} and {after} are of different kinds")


def _without_words(terms: ProgramTerms) -> ProgramTerms:
    if isinstance(terms, TierRules):
        return replace(terms, tiers=tuple(replace(tier, title=_NO_WORDS) for tier in terms.tiers))
    return terms


def _check_stays(before: ProgramTerms, after: ProgramTerms, *names: str) -> Iterator[Problem]:
    for name in names:
        if getattr(before, name) != getattr(after, name):
            yield Problem(name, "stays as it is: make another program")


def _check_tiers(before: TierRules, after: TierRules) -> Iterator[Problem]:
    yield from _check_stays(before, after, "measure")
    if before.window != after.window:
        name = "calendar" if isinstance(after.window, Calendar) else "rolling"
        yield Problem(name, "stays as it is: make another program")
    for place, tier in enumerate(before.tiers):
        if place == len(after.tiers):
            yield Problem("tiers", f"must keep the level {tier.tier_id}: members may have it")
            return
        if after.tiers[place].tier_id != tier.tier_id:
            yield Problem(
                f"tiers[{place}].tier_id",
                f"is {tier.tier_id} and stays so: levels are added above the highest",
            )


def _check_challenge(
    before: ChallengeRules, after: ChallengeRules, start: date
) -> Iterator[Problem]:
    yield from _check_stays(before, after, "measure")
    if before.first is None or before.first < start:
        for name, field in (
            ("goal", "goal"),
            ("first", "first_date"),
            ("weeks", "weeks"),
            ("reward", "reward"),
            ("take_back", "keep_reward"),
        ):
            if getattr(before, name) != getattr(after, name):
                yield Problem(field, "stays as it is: the challenge has begun")
        yield from _check_last(before.last, after.last, start)
    else:
        yield from _check_first(after.first, start)


def _check_last(before: date | None, after: date | None, start: date) -> Iterator[Problem]:
    """Yield why the last day of what has begun cannot move: it may go on, without a gap."""
    if before == after:
        return
    if before is None or (after is not None and after < before):
        yield Problem("last_date", "may only become later: the challenge has begun")
    elif before < start - _DAY:
        yield Problem("last_date", "stays as it is: the challenge is over by then")


def _check_draw(before: DrawRules, after: DrawRules, start: date) -> Iterator[Problem]:
    yield from _check_stays(before, after, "measure")
    if before.first >= start:
        yield from _check_first(after.first, start)
        return
    for name, field in (
        ("per_ticket", "per_ticket"),
        ("first", "first_date"),
        ("last", "last_date"),
        ("hold_days", "hold_days"),
        ("prizes", "prizes"),
    ):
        if getattr(before, name) != getattr(after, name):
            yield Problem(field, "stays as it is: the draw has begun")


def _check_first(after: date | None, start: date) -> Iterator[Problem]:
    if after is None or after < start:
        yield Problem("first_date", f"must not be before {start}, when this version begins")
