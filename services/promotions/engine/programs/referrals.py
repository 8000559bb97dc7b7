"""Referrals: a newcomer's first purchase rewards whoever brought the newcomer, and the newcomer."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.promotions.engine.programs.challenges import Reward
from services.promotions.engine.programs.measures import Measure


class ReferralState(enum.IntEnum):
    """Where a referral is; the value is the contract's number."""

    CLAIMED = 1
    QUALIFIED = 2
    REWARDED = 3
    LAPSED = 4


@dataclass(frozen=True, slots=True)
class ReferralRules:
    """A purchase within `claim_days` counts, and pays when it has stayed for `hold_days`.

    `referrals_max` bounds what one member is rewarded for; 0 means no bound.
    """

    measure: Measure
    referrer: Reward
    newcomer: Reward
    claim_days: int
    hold_days: int = 0
    referrals_max: int = 0


@dataclass(frozen=True, slots=True)
class Referral:
    """Where a referral is, and for a qualified one the day on which it pays."""

    state: ReferralState
    due: date | None = None


def follow(
    rules: ReferralRules,
    before: ReferralState,
    *,
    claimed: date,
    tally: Mapping[date, int],
    today: date,
) -> Referral:
    """Return where a referral is by what the newcomer has bought and kept.

    What was rewarded stays so.
    """
    if before is ReferralState.REWARDED:
        return Referral(before)
    last = claimed + timedelta(days=rules.claim_days)
    days = [day for day, amount in tally.items() if amount and claimed <= day <= last]
    if not days:
        # A purchase that came back may be made again, as long as there is time.
        return Referral(ReferralState.CLAIMED if today <= last else ReferralState.LAPSED)
    due = min(days) + timedelta(days=rules.hold_days)
    if today < due:
        return Referral(ReferralState.QUALIFIED, due)
    return Referral(ReferralState.REWARDED)


def last_chance(rules: ReferralRules, claimed: date) -> date:
    """Return the day on which a claim without a purchase has lapsed."""
    return claimed + timedelta(days=rules.claim_days + 1)
