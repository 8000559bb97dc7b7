"""Campaigns: when, where and for whom, how they go together, and how much there is of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from services.promotions.engine.rules.conditions import Condition
from services.promotions.engine.rules.rewards import (
    EarnStamps,
    InstantWin,
    MultiBuy,
    Reward,
    Scale,
)
from services.promotions.engine.rules.vocabulary import (
    Basis,
    BudgetRest,
    Channel,
    GroupChoice,
    Lane,
    Membership,
    Reuse,
    Text,
)

_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AutomaticTrigger:
    """Starts with every cart."""


@dataclass(frozen=True, slots=True)
class StampPrice:
    """So many stamps of a card, taken from the member by each use."""

    card_id: str
    count: int


#: The card of a price in points and not in stamps.
POINTS_CARD = ""


@dataclass(frozen=True, slots=True)
class PointsPrice:
    """So many points, in the asset's smallest unit, taken from the member by each use."""

    points: int


@dataclass(frozen=True, slots=True)
class CouponTrigger:
    """Starts with a coupon code; letter case does not matter."""

    codes: tuple[str, ...]
    personal: bool = False
    stamps: StampPrice | None = None


Trigger: TypeAlias = AutomaticTrigger | CouponTrigger


@dataclass(frozen=True, slots=True)
class HourWindow:
    """A part of every day in minutes; past midnight it belongs to the day that it starts on."""

    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class Validity:
    """When a campaign works; weekdays are 1 (Monday) to 7 (Sunday), none means every day."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    weekdays: frozenset[int] = frozenset()
    hours: tuple[HourWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom and where a campaign works for; an empty set asks for nothing."""

    membership: Membership = Membership.EVERYBODY
    store_ids: frozenset[str] = _NAMES
    exclude_store_ids: frozenset[str] = _NAMES
    region_ids: frozenset[str] = _NAMES
    format_ids: frozenset[str] = _NAMES
    channels: frozenset[Channel] = frozenset()
    segment_ids: frozenset[str] = _NAMES
    exclude_segment_ids: frozenset[str] = _NAMES
    tier_ids: frozenset[str] = _NAMES
    exclude_tier_ids: frozenset[str] = _NAMES
    plan_ids: frozenset[str] = _NAMES
    member_ids: frozenset[str] = _NAMES


@dataclass(frozen=True, slots=True)
class Combination:
    """How a campaign goes together with others."""

    lane: Lane
    exclusive_group: str = ""
    priority: int = 0
    basis: Basis = Basis.RUNNING
    stop: bool = False
    reuse: Reuse = Reuse.NONE
    group_choice: GroupChoice = GroupChoice.BEST
    group_max: int = 0
    contest: str = ""
    side: str = ""
    stop_lanes: frozenset[Lane] = frozenset()
    labels: frozenset[str] = _NAMES
    incompatible_labels: frozenset[str] = _NAMES


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there is of a campaign; 0 means no limit."""

    uses_max: int = 0
    uses_per_member_max: int = 0
    budget_minor: int = 0
    rest: BudgetRest = BudgetRest.GIVE
    count_sets: bool = False
    units_max: int = 0
    units_per_article_max: int = 0
    count_without_effect: bool = False
    units_per_member_max: int = 0

    @property
    def counts_units(self) -> bool:
        """Tell whether rewarded units are limited in any way."""
        return bool(self.units_max or self.units_per_article_max or self.units_per_member_max)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a campaign promises."""

    title: Text
    rewards: tuple[Reward, ...]
    combination: Combination
    trigger: Trigger = AutomaticTrigger()
    validity: Validity = Validity()
    audience: Audience = Audience()
    condition: Condition | None = None
    limits: Limits = Limits()
    multi_buy: MultiBuy | None = None
    scale: Scale | None = None
    stamp_price: StampPrice | None = None
    points_price: PointsPrice | None = None

    @property
    def price(self) -> StampPrice | None:
        """Return what the campaign costs the member, in stamps or, on `POINTS_CARD`, in points."""
        if self.points_price is None:
            return self.stamp_price
        return StampPrice(POINTS_CARD, self.points_price.points)

    @property
    def cards(self) -> frozenset[str]:
        """Return the stamp cards that the campaign gives stamps on or takes them from."""
        given = {one.kind.card_id for one in self.all_rewards if isinstance(one.kind, EarnStamps)}
        return frozenset(given | ({self.stamp_price.card_id} if self.stamp_price else set()))

    @property
    def instant_win(self) -> InstantWin | None:
        """Return the chances of winning at once that the campaign gives."""
        kinds = (one.kind for one in self.all_rewards)
        return next((kind for kind in kinds if isinstance(kind, InstantWin)), None)

    @property
    def all_rewards(self) -> tuple[Reward, ...]:
        """Return the rewards, those of every step included."""
        if self.scale is None:
            return self.rewards
        return self.rewards + tuple(one for step in self.scale.steps for one in step.rewards)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One version of a campaign's rules, under the campaign's id."""

    campaign_id: str
    version: int
    rules: Rules
