"""The reasons of cases, and those of ours that say the same.

We name the part of a campaign that keeps it from the cart; a campaign that goes first and stops
the rest is what others call an exclusive one; a budget of uses that is empty is a limit that is
reached.
"""

from collections.abc import Mapping

from services.promotions.engine import OutcomeReason as Reason

_APART = frozenset(
    {
        Reason.LOST_BEST_OF,
        Reason.EXCLUDED_BY_EXCLUSIVE,
        Reason.STOPPED_BY_PRIOR_RULE,
        Reason.INCOMPATIBLE,
        Reason.CATEGORY_LIMIT,
    }
)
_NO_UNITS = frozenset(
    {Reason.INSUFFICIENT_TARGET_UNITS, Reason.GROUP_INCOMPLETE, Reason.NO_TARGET_ITEMS}
)
_NOTHING_OFF = frozenset(
    {Reason.NOTHING_LEFT_TO_DISCOUNT, Reason.MIN_PRICE_FLOOR, Reason.NO_BENEFIT}
)
_USED_UP = frozenset(
    {Reason.BUDGET_EXHAUSTED, Reason.USAGE_LIMIT_REACHED, Reason.MEMBER_LIMIT_REACHED}
)
SAME: Mapping[str, frozenset[Reason]] = {
    "CONDITION_NOT_MET": frozenset(
        {
            Reason.CONDITION_NOT_MET,
            Reason.NOT_IN_AUDIENCE,
            Reason.OUTSIDE_TIME,
            Reason.WRONG_STORE,
            Reason.WRONG_CHANNEL,
            Reason.ATTRIBUTE_MISSING,
            Reason.POINTS_MISSING,
            Reason.STAMPS_MISSING,
        }
    )
    | _NO_UNITS,
    "NO_TARGET_ITEMS": frozenset({Reason.NO_TARGET_ITEMS}),
    "WRONG_STORE": frozenset({Reason.WRONG_STORE}),
    "WRONG_CHANNEL": frozenset({Reason.WRONG_CHANNEL}),
    "OUTSIDE_TIME": frozenset({Reason.OUTSIDE_TIME}),
    "NOT_STARTED": frozenset({Reason.NOT_STARTED}),
    "EXPIRED": frozenset({Reason.EXPIRED}),
    "INACTIVE": frozenset({Reason.INACTIVE, Reason.UNKNOWN_CODE}),
    "UNKNOWN_CODE": frozenset({Reason.UNKNOWN_CODE}),
    "CODE_NOT_PRESENTED": frozenset({Reason.CODE_NOT_PRESENTED}),
    "USAGE_LIMIT_REACHED": frozenset({Reason.USAGE_LIMIT_REACHED}),
    "MEMBER_LIMIT_REACHED": frozenset({Reason.MEMBER_LIMIT_REACHED}),
    "BUDGET_EXHAUSTED": _USED_UP,
    # Where the best combination is wanted, its goods are what the others lack.
    "LOST_BEST_OF": _APART | {Reason.ITEMS_ALREADY_CONSUMED},
    "EXCLUDED_BY_EXCLUSIVE": _APART,
    "INCOMPATIBLE": _APART,
    "STOPPED_BY_PRIOR_RULE": frozenset(
        {Reason.STOPPED_BY_PRIOR_RULE, Reason.EXCLUDED_BY_EXCLUSIVE}
    ),
    "CATEGORY_LIMIT": frozenset({Reason.CATEGORY_LIMIT}),
    "REPLACED_BY_LATER_CODE": frozenset({Reason.REPLACED_BY_LATER_CODE}),
    "NOTHING_LEFT_TO_DISCOUNT": frozenset(
        {Reason.NOTHING_LEFT_TO_DISCOUNT, Reason.MIN_PRICE_FLOOR}
    ),
    "MIN_PRICE_FLOOR": frozenset({Reason.MIN_PRICE_FLOOR}),
    "NO_BENEFIT": _NOTHING_OFF,
    "INSUFFICIENT_TARGET_UNITS": _NO_UNITS,
    "GROUP_INCOMPLETE": _NO_UNITS,
    "ITEMS_ALREADY_CONSUMED": frozenset(
        {Reason.ITEMS_ALREADY_CONSUMED, Reason.GROUP_INCOMPLETE, Reason.INSUFFICIENT_TARGET_UNITS}
    ),
    "ATTRIBUTE_MISSING": frozenset({Reason.ATTRIBUTE_MISSING}),
    "SET_REFUSED": frozenset({Reason.SET_REFUSED}),
}
# Of campaigns that could work on the cart, whatever came of it.
ELIGIBLE = _NOTHING_OFF | _APART | {Reason.APPLIED}
# What an engine that holds only live campaigns does not speak of.
SILENT = frozenset({"INACTIVE", "EXPIRED", "NOT_STARTED"})
