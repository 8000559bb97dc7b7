"""Programs: what members reach by what they buy over time. Pure, as the engine of checkout is.

Days are dates in the program's time zone; amounts are whole numbers in what the measure counts.
Callers use this package and none of its modules.
"""

from services.promotions.engine.programs.challenges import (
    ChallengeRules,
    Reach,
    Reward,
    find_challenge_problems,
    find_reach,
)
from services.promotions.engine.programs.measures import (
    Count,
    Kept,
    Measure,
    MeasureKind,
    Purchase,
    compile_measure,
    total,
)
from services.promotions.engine.programs.periods import PeriodUnit, day_of, period_of
from services.promotions.engine.programs.subscriptions import (
    PlanRules,
    Subscription,
    SubscriptionState,
    add_months,
    cancel,
    covers,
    end_of,
    pay,
    state_at,
    subscribe,
)
from services.promotions.engine.programs.tiers import (
    Calendar,
    Downgrade,
    DowngradePolicy,
    Progress,
    Rolling,
    Standing,
    Tier,
    TierRules,
    advance,
    begin,
    find_progress,
    find_tier_problems,
    first_day,
    settle,
)

__all__ = [
    "Calendar",
    "ChallengeRules",
    "Count",
    "Downgrade",
    "DowngradePolicy",
    "Kept",
    "Measure",
    "MeasureKind",
    "PeriodUnit",
    "PlanRules",
    "Progress",
    "Purchase",
    "Reach",
    "Reward",
    "Rolling",
    "Standing",
    "Subscription",
    "SubscriptionState",
    "Tier",
    "TierRules",
    "add_months",
    "advance",
    "begin",
    "cancel",
    "compile_measure",
    "covers",
    "day_of",
    "end_of",
    "find_challenge_problems",
    "find_progress",
    "find_reach",
    "find_tier_problems",
    "first_day",
    "pay",
    "period_of",
    "settle",
    "state_at",
    "subscribe",
    "total",
]
