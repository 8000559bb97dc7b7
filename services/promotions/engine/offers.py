"""What one campaign would give at one moment, before anybody decides whether it is taken."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from services.promotions.engine.decisions import NearMiss, OutcomeReason
from services.promotions.engine.strata import Strata

Shares: TypeAlias = tuple[Sequence[int], list[int]]


class Offer(NamedTuple):
    """Amounts by pile, discounts in minor units or points; nothing of it is 0 unless `total` is.

    `desired` is what it would have been without a budget. `reason` says why the total is 0.
    `lots` are points by the days that they live. `strata` is what units cost afterwards, by pile,
    where units of a pile differ; `details` and `near_miss` are for the trace.
    """

    total: int
    piles: Sequence[int]
    amounts: list[int]
    desired: int
    reason: OutcomeReason = OutcomeReason.APPLIED
    lots: tuple[tuple[int, int], ...] = ()
    strata: Mapping[int, Strata] | None = None
    details: tuple[tuple[str, str], ...] = ()
    near_miss: NearMiss | None = None


def refuse(reason: OutcomeReason) -> Offer:
    """Return the offer that gives nothing."""
    return Offer(total=0, piles=[], amounts=[], desired=0, reason=reason)


def merge(shares: list[Shares]) -> Shares:
    """Add up what several rewards give on the same piles."""
    merged: dict[int, int] = {}
    for piles, given in shares:
        for pile, amount in zip(piles, given, strict=True):
            merged[pile] = merged.get(pile, 0) + amount
    piles = sorted(merged)
    return piles, [merged[pile] for pile in piles]
