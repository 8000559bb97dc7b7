"""What one campaign would give at one moment, before anybody decides whether it is taken."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from services.promotions.engine.baskets import Basket
from services.promotions.engine.decisions import NearMiss, OutcomeReason
from services.promotions.engine.strata import Ledger, Strata

Shares: TypeAlias = tuple[list[int], list[int]]
Details: TypeAlias = tuple[tuple[str, str], ...]


class Turn(NamedTuple):
    """What a campaign finds when its turn comes.

    `left` is what each pile costs now, `begun` what it cost when the lane began. Of the bounds
    None means that there is none: money, rewarded units, those of each article, and sets.
    `chosen` are the articles that the shopper chose among the campaign's gifts.
    """

    basket: Basket
    left: list[int]
    begun: list[int]
    strata: Ledger
    budget: int | None = None
    units: int | None = None
    article_units: Mapping[str, int] | None = None
    sets: int | None = None
    chosen: tuple[str, ...] = ()


class Present(NamedTuple):
    """Units of an article for nothing."""

    sku: str
    units: int
    value_minor: int


class Invitation(NamedTuple):
    """Articles of which the shopper may have so many, and what comes off their price."""

    skus: tuple[str, ...]
    number: int
    basis_points: int


class Offer(NamedTuple):
    """Amounts by pile, piles ascending, discounts in minor units or points.

    `desired` is what it would have been without a budget. `reason` says why it gives nothing.
    `lots` are points by the days that they live. `strata` is what units cost afterwards, by pile,
    where units of a pile differ; `details` and `near_miss` are for the trace. `presents` are
    added to the purchase, `choices` is what may still be chosen, `stamps` are
    (card, how many), `coupons` are (campaign, uses, days, bearer). `units` are rewarded units by
    article, `sets` how many sets were made, `chances` how many chances of winning at once.
    """

    total: int
    piles: list[int]
    amounts: list[int]
    desired: int
    reason: OutcomeReason = OutcomeReason.APPLIED
    lots: tuple[tuple[int, int], ...] = ()
    strata: Mapping[int, Strata] | None = None
    details: Details = ()
    near_miss: NearMiss | None = None
    presents: tuple[Present, ...] = ()
    choices: tuple[Invitation, ...] = ()
    stamps: tuple[tuple[str, int], ...] = ()
    coupons: tuple[tuple[str, int, int, bool], ...] = ()
    units: tuple[tuple[str, int], ...] = ()
    sets: int = 1
    chances: int = 0

    @property
    def gives(self) -> bool:
        """Tell whether there is anything in it."""
        return bool(
            self.total
            or self.presents
            or self.choices
            or self.stamps
            or self.coupons
            or self.chances
        )

    @property
    def is_open(self) -> bool:
        """Tell whether all depends on what the shopper will choose."""
        return bool(self.choices) and not self._replace(choices=()).gives


def refuse(
    reason: OutcomeReason, details: Details = (), near_miss: NearMiss | None = None
) -> Offer:
    """Return the offer that gives nothing."""
    return Offer(0, [], [], 0, reason, details=details, near_miss=near_miss)


def merge(shares: list[Shares]) -> Shares:
    """Add up what several rewards give on the same piles; each names its piles in order."""
    if len(shares) == 1:
        return shares[0]
    merged: dict[int, int] = {}
    for piles, given in shares:
        for pile, amount in zip(piles, given):
            merged[pile] = merged.get(pile, 0) + amount
    piles = sorted(merged)
    return piles, [merged[pile] for pile in piles]


def count_units(units: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Return units by article, each article once."""
    found: dict[str, int] = {}
    for sku, count in units:
        found[sku] = found.get(sku, 0) + count
    return tuple(sorted(found.items()))
