"""Programs: what members reach by what they buy over time. Pure, as the engine of checkout is.

Days are dates in the program's time zone; amounts are whole numbers in what the measure counts.
Callers use this package and none of its modules.
"""

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
    "Count",
    "Downgrade",
    "DowngradePolicy",
    "Kept",
    "Measure",
    "MeasureKind",
    "PeriodUnit",
    "Progress",
    "Purchase",
    "Rolling",
    "Standing",
    "Tier",
    "TierRules",
    "advance",
    "begin",
    "compile_measure",
    "day_of",
    "find_progress",
    "find_tier_problems",
    "first_day",
    "period_of",
    "settle",
    "total",
]
