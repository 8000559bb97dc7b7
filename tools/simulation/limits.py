"""What campaigns have left while purchases are replayed.

Limits of a member are counted along the member's own purchases. What all shoppers share is not
counted along the way, because processes replay side by side: each purchase is first decided as if
there was plenty. From what was taken follows where a limit ends, and those behind that point that
had taken from it are decided again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from services.promotions import engine

#: What a shopper holds of a personal coupon: one, whenever its code was presented.
_COUPONS_HELD = 1


@dataclass(frozen=True, slots=True)
class End:
    """Where a shared limit ends: purchases after `number` get nothing, that one what is left.

    `budget_left` is in minor units; what the campaign does not limit is 0.
    """

    number: int
    budget_left: int
    uses_left: int


#: Ends by campaign.
Ends = Mapping[str, End]


def limited(ruleset: engine.Ruleset) -> dict[str, engine.Limits]:
    """Return the limits of the campaigns whose remainder a decision asks for."""
    return {
        one.campaign.campaign_id: one.campaign.rules.limits for one in ruleset.compiled if one.need
    }


class Allowance:
    """What is left for one member, purchase by purchase."""

    def __init__(self, limits: Mapping[str, engine.Limits], ends: Ends) -> None:
        self._limits = limits
        self._ends = ends
        self._taken: Counter[str] = Counter()

    def remaining(self, number: int) -> dict[str, engine.Remaining]:
        """Return what each limited campaign has left for the next purchase."""
        return {name: self._left(name, limits, number) for name, limits in self._limits.items()}

    def take(self, campaign_ids: Iterable[str]) -> None:
        """Count that a purchase has used campaigns whose uses are counted for each member."""
        self._taken.update(campaign_ids)

    def _left(self, name: str, limits: engine.Limits, number: int) -> engine.Remaining:
        uses, budget = limits.uses_max, limits.budget_minor
        end = self._ends.get(name)
        if end is not None and number >= end.number:
            is_last = number == end.number
            uses = end.uses_left if is_last else 0
            budget = end.budget_left if is_last else 0
        return engine.Remaining(
            uses=uses,
            member_uses=max(limits.uses_per_member_max - self._taken[name], 0),
            budget_minor=budget,
            coupons=_COUPONS_HELD,
        )


def find_ends(taken: pl.DataFrame, limits: Mapping[str, engine.Limits]) -> dict[str, End]:
    """Return where shared limits end, given what purchases took.

    `taken` has the columns number, campaign_id, budget_minor and uses.
    """
    ends = {}
    for name, limit in limits.items():
        if limit.uses_max or limit.budget_minor:
            end = _find_end(taken.filter(pl.col("campaign_id") == name), limit)
            if end is not None:
                ends[name] = end
    return ends


def _find_end(taken: pl.DataFrame, limit: engine.Limits) -> End | None:
    counted = taken.sort("number").with_columns(
        budget_before=pl.col("budget_minor").cum_sum() - pl.col("budget_minor"),
        uses_before=pl.col("uses").cum_sum() - pl.col("uses"),
    )
    over = pl.lit(value=False)
    if limit.budget_minor:
        over |= pl.col("budget_before") + pl.col("budget_minor") > limit.budget_minor
    if limit.uses_max:
        over |= pl.col("uses_before") + pl.col("uses") > limit.uses_max
    first = counted.filter(over).head(1)
    if first.is_empty():
        return None
    row = first.row(0, named=True)
    return End(
        number=row["number"],
        budget_left=max(limit.budget_minor - row["budget_before"], 0),
        uses_left=max(limit.uses_max - row["uses_before"], 0),
    )
