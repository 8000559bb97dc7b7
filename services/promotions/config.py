"""Settings of promotions: whom it asks, and what a point is worth."""

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from services.chassis import config


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name} is not in the IANA time zone database")
    return name


class GoodsSettings(config.Settings):
    """Goods by name: in every set of the first three that is not empty, in none of the others."""

    category_ids: frozenset[str] = frozenset()
    brands: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    exclude_category_ids: frozenset[str] = frozenset()
    exclude_brands: frozenset[str] = frozenset()
    exclude_tags: frozenset[str] = frozenset()


PartnerId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}$")]


class PointsSettings(config.Settings):
    """The program's points: the ledger's asset, its ageing, and what one smallest unit pays."""

    asset_code: str = Field(default="points", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
    scale: int = Field(default=0, ge=0, le=9)
    #: What `units` of the smallest unit pay for, in minor units of money; payment moves in such
    #: steps.
    value_minor: int = Field(default=1, gt=0, le=1_000_000)
    units: int = Field(default=1, gt=0, le=1_000_000)
    #: The most of a receipt that points may pay, in hundredths of a percent.
    payment_share_max_basis_points: int = Field(default=5_000, ge=0, le=10_000)
    #: The smallest receipt, after discounts, that points may pay for, in minor units.
    payment_receipt_min_minor: int = Field(default=0, ge=0, le=1_000_000_000)
    #: The fewest points that may pay, and the step above them, in smallest units; 0 is one step of
    #: `units`. Both are rounded up to it.
    payment_min_units: int = Field(default=0, ge=0, le=1_000_000_000)
    payment_step_units: int = Field(default=0, ge=0, le=1_000_000_000)
    #: What becomes of points that a return or a void should take back and that are spent already:
    #: they stay with the shopper, or they are owed and the next points pay them off.
    shortfall: Literal["FORGIVE", "OWE"] = "FORGIVE"
    #: What points may pay for, besides what each product's own flag says.
    payment_goods: GoodsSettings = GoodsSettings()
    #: The partners of the coalition that stores belong to, by store id; see SettlementService.
    partners: dict[str, PartnerId] = Field(default_factory=dict)
    #: Points expire at the end of the month so many months after the purchase; 0 means never.
    expire_months: int = Field(default=12, ge=0, le=120)
    #: Where days and months of points begin and end.
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"


class DiscountCapSettings(config.Settings):
    """The most that all campaigns together take off one receipt."""

    #: In hundredths of a percent of its goods and fees before discounts.
    share_max_basis_points: int = Field(default=10_000, ge=0, le=10_000)
    #: In minor units; 0 means no bound.
    amount_max_minor: int = Field(default=0, ge=0, le=1_000_000_000_000)


class OfflineSettings(config.Settings):
    """What tills without a line may decide on their own; more is a conflict beyond bounds."""

    #: How much less than ours a till's total may be, in minor units.
    discount_over_minor_max: int = Field(default=1_000, ge=0, le=1_000_000_000)
    #: How many points more than ours a till may promise, in smallest units; more are not given.
    points_over_units_max: int = Field(default=100, ge=0, le=1_000_000_000)
    #: How many points may have been paid that were not there, in smallest units.
    points_short_units_max: int = Field(default=1_000, ge=0, le=1_000_000_000)
    #: How much a gift card or a campaign's budget may fall short, in minor units.
    money_short_minor_max: int = Field(default=1_000, ge=0, le=1_000_000_000)
    #: How often, or for how many units, a campaign or a coupon may be used too often.
    uses_over_max: int = Field(default=1, ge=0, le=1_000_000_000)
    #: How many stamps may have been exchanged that were not there.
    stamps_short_max: int = Field(default=10, ge=0, le=1_000_000_000)
    #: How many hours after the purchase its receipt may come, from any till.
    late_h_max: int = Field(default=72, ge=0, le=100_000)


class RecoverySettings(config.Settings):
    """When work that a stopped process left behind is taken up by another."""

    interval_s: float = Field(default=5.0, gt=0)
    #: How long a receipt may be on its way before somebody else finishes it.
    patience_s: float = Field(default=10.0, ge=0)


class CampaignSettings(config.Settings):
    """How campaigns come and go."""

    #: Whether a second person must approve every version before it goes live.
    review_required: bool = False
    #: How long after its period a campaign is taken out of the rule set: tills that were offline
    #: may still bring receipts of it.
    retire_after_s: int = Field(default=86_400, ge=0, le=315_360_000)
    #: How often that is looked for.
    retire_interval_s: float = Field(default=60.0, gt=0)


class Settings(config.RoleSettings):
    """Settings of the role."""

    identity_address: str = "127.0.0.1:50051"
    ledger_address: str = "127.0.0.1:50052"
    #: The one currency of the program: every store sells in it, every amount is in its minor units.
    currency_code: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    points: PointsSettings = PointsSettings()
    discount_cap: DiscountCapSettings = DiscountCapSettings()
    recovery: RecoverySettings = RecoverySettings()
    offline: OfflineSettings = OfflineSettings()
    campaigns: CampaignSettings = CampaignSettings()
    #: The most points, in smallest units, that a call may give to make a receipt good, whoever
    #: approves it. What operators may give alone are limits of the ledger.
    compensation_units_max: int = Field(default=10_000, ge=0, le=1_000_000_000_000)
    #: How far ahead of ours a till's clock may be.
    occurred_ahead_s_max: int = Field(default=600, ge=0, le=86_400)
    #: How long Evaluate waits for identity, and for the ledger, before it answers without them.
    evaluate_patience_ms: int = Field(default=700, gt=0, le=10_000)
    #: How long a purchase may rest on what Evaluate found out about the same cart in the same
    #: process; 0 asks everybody again. Limits and balances hold whatever it is.
    offer_age_s_max: float = Field(default=15.0, ge=0, le=60)
    #: How often a process looks for news that it was not told of.
    refresh_interval_s: float = Field(default=1.0, gt=0)
    #: How often it is looked whose level in a program time has outrun.
    review_interval_s: float = Field(default=30.0, gt=0)
    #: Compiled rule sets of the past that a process keeps at hand.
    rulesets_kept: int = Field(default=8, gt=0)
