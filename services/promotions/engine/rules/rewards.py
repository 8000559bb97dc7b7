"""What campaigns give, and of which goods sets are made."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from services.promotions.engine.rules.goods import EVERYTHING, ItemFilter
from services.promotions.engine.rules.vocabulary import (
    AmountSpread,
    Basis,
    EarnBasis,
    FloorRest,
    GiftReturn,
    GiftSpread,
    PickBy,
    PickOrder,
    PickScope,
    PointsSpread,
    Rounding,
    RoundingUnit,
    ScaleMeasure,
    ShareBy,
    Sharing,
    Text,
)

_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class PercentOff:
    """Gives percent off."""

    basis_points: int
    rounding: Rounding = Rounding.HALF_UP
    rounding_unit: RoundingUnit = RoundingUnit.LINE


@dataclass(frozen=True, slots=True)
class AmountOff:
    """Gives an amount off."""

    amount_minor: int
    spread: AmountSpread
    share_by: ShareBy = ShareBy.AMOUNT


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """Gives a price for each unit, when it is lower than the unit's own."""

    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Gives a price for all goods of the reward together, in each set if there are sets.

    Goods that cost less keep their own prices.
    """

    price_minor: int


@dataclass(frozen=True, slots=True)
class ArticlePrice:
    """The price of a unit or kilogram of an article."""

    sku: str
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """Gives a price for each unit of each of many articles, when it is lower than its own."""

    prices: tuple[ArticlePrice, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Gives a better article at the price of another one; `to_units` 0 means 1."""

    from_sku: str
    to_sku: str
    from_price_minor: int = 0
    to_units: int = 0
    replacements_max: int = 0


@dataclass(frozen=True, slots=True)
class GiftItem:
    """An article that is given; `value_minor` is what a unit is worth on a return."""

    sku: str
    units: int
    value_minor: int = 0


@dataclass(frozen=True, slots=True)
class GiftItems:
    """Gives articles for nothing; `choose` 0 gives all of them, `times_max` 0 has no bound.

    With `basis_points` it is that part of their price which comes off, 0 means all: then those in
    the cart are cheaper, and what is missing is offered.
    """

    items: tuple[GiftItem, ...]
    choose: int = 0
    spread: GiftSpread = GiftSpread.ONCE
    step_units: int = 0
    step_minor: int = 0
    times_max: int = 0
    add_missing: bool = False
    on_return: GiftReturn = GiftReturn.KEEP
    basis_points: int = 0

    @property
    def off_basis_points(self) -> int:
        """What comes off the price of an article."""
        return self.basis_points or _WHOLE

    @property
    def reduces(self) -> bool:
        """Tell whether the articles are only cheaper."""
        return 0 < self.basis_points < _WHOLE


@dataclass(frozen=True, slots=True)
class IssueCoupon:
    """Gives uses of a personal coupon for later; `uses` 0 means 1."""

    campaign_id: str
    uses: int = 0
    expire_days: int = 0
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class EarnStamps:
    """Gives stamps on a card."""

    card_id: str
    stamps: int
    spread: PointsSpread
    step_minor: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time between two instants; the end does not belong to it."""

    start_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class InstantPrize:
    """So many equal prizes, each won by one of `one_in` chances; `points` 0 is handed over."""

    title: Text
    count: int
    one_in: int
    points: int = 0


@dataclass(frozen=True, slots=True)
class InstantWin:
    """Gives chances to win a prize at once; `chances_max` 0 leaves it to us."""

    prizes: tuple[InstantPrize, ...]
    period: Period
    spread: PointsSpread
    step_minor: int = 0
    chances_max: int = 0


@dataclass(frozen=True, slots=True)
class MultiplyPoints:
    """Gives once more what the campaigns before it give on its goods; 200 hundredths double."""

    factor_hundredths: int


@dataclass(frozen=True, slots=True)
class EarnMultiplier:
    """Changes the share that some goods earn; 200 hundredths double it."""

    filter: ItemFilter
    factor_hundredths: int


@dataclass(frozen=True, slots=True)
class EarnPercent:
    """Gives points for money; of the multipliers, the first that fits a line counts."""

    basis_points: int
    multipliers: tuple[EarnMultiplier, ...] = ()
    basis: EarnBasis = EarnBasis.PAID


@dataclass(frozen=True, slots=True)
class EarnPoints:
    """Gives points by the piece; `expire_days` 0 keeps the policy of the asset."""

    points: int
    spread: PointsSpread
    step_minor: int = 0
    expire_days: int = 0
    basis: EarnBasis = EarnBasis.PAID


Discount: TypeAlias = (
    PercentOff | AmountOff | FixedPrice | SetPrice | PriceList | Upgrade | GiftItems
)


Earn: TypeAlias = EarnPercent | EarnPoints | EarnStamps | MultiplyPoints | IssueCoupon | InstantWin


RewardKind: TypeAlias = Discount | Earn


EARNS = (EarnPercent, EarnPoints, EarnStamps, MultiplyPoints, IssueCoupon, InstantWin)


@dataclass(frozen=True, slots=True)
class Pick:
    """Chooses among units or lines in the order of their prices; 0 means no bound.

    `count_max` counts in each set if there are sets, `total_max` over all of them.
    """

    order: PickOrder = PickOrder.DEAREST
    count_max: int = 0
    units_per_line_max: int = 0
    skip: int = 0
    every: int = 0
    by: PickBy = PickBy.UNIT
    scope: PickScope = PickScope.EACH_SET
    total_max: int = 0


@dataclass(frozen=True, slots=True)
class Reward:
    """What a campaign gives; `amount_max` bounds it on one receipt, 0 means no bound.

    `groups` are the places of the groups of a set that it is for; none means all. In a campaign of
    sets `outside_sets` means the goods in none of them, `all_goods` those in sets as well: on these
    percentages and amounts but those of units are given once for each set.
    """

    kind: RewardKind
    target: ItemFilter = EVERYTHING
    amount_max: int = 0
    pick: Pick | None = None
    groups: tuple[int, ...] = ()
    floor_rest: FloorRest = FloorRest.AS_KIND
    outside_sets: bool = False
    all_goods: bool = False

    @property
    def beside_sets(self) -> bool:
        """Tell whether a campaign of sets gives it on other goods than those that make them."""
        return self.outside_sets or self.all_goods


@dataclass(frozen=True, slots=True)
class Step:
    """What is given from somewhere on."""

    begin: int
    rewards: tuple[Reward, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Gives more to who buys more: the highest step that is reached."""

    measure: ScaleMeasure
    steps: tuple[Step, ...]
    filter: ItemFilter = EVERYTHING
    basis: Basis = Basis.RUNNING
    each_line: bool = False
    progressive: bool = False


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """A part of a set: so many units, or as many as come to an amount; one of the two is 0."""

    filter: ItemFilter = EVERYTHING
    units: int = 0
    amount_min_minor: int = 0
    order: PickOrder = PickOrder.DEAREST


@dataclass(frozen=True, slots=True)
class MultiBuy:
    """Makes a campaign work on sets of whole units; `sets_max` 0 means as many as there are."""

    groups: tuple[UnitGroup, ...]
    sets_max: int = 0
    sharing: Sharing = Sharing.REWARDED
    partial: bool = False
