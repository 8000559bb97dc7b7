"""What campaigns say: the contract's language as immutable values.

Every class mirrors the message of the same name in `campaign.proto`, whose comments specify it.
Enumerations carry the contract's numbers and its names without their prefix. Money is in minor
units, quantities in thousandths, percentages in hundredths of a percent.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

_NAMES: frozenset[str] = frozenset()


class Lane(enum.IntEnum):
    """Parts of an evaluation, in their order."""

    ITEM = 1
    MULTI_BUY = 2
    RECEIPT = 3
    COUPON = 4
    EARN = 5


class Basis(enum.IntEnum):
    """Points of an evaluation at which amounts are measured.

    A threshold with RUNNING sees what the lanes before its own have left. A percentage with
    RUNNING is of what is left when its turn comes, so that percentages of one lane compound.
    LANE and TURN say either of these explicitly.
    """

    RUNNING = 1
    ORIGINAL = 2
    LANE = 3
    TURN = 4


class Channel(enum.IntEnum):
    """Ways of buying."""

    TILL = 1
    SELF_CHECKOUT = 2
    SITE = 3
    APP = 4
    MESSENGER = 5


class Membership(enum.IntEnum):
    """Whether a shopper must be known."""

    EVERYBODY = 1
    MEMBERS = 2


class LineKind(enum.IntEnum):
    """What a line of a cart is."""

    GOODS = 1
    DELIVERY = 2
    FEE = 3


class PriceState(enum.IntEnum):
    """Whether something has come off a price already, in the catalogue or by a campaign."""

    ANY = 0
    FULL = 1
    REDUCED = 2


class AttributeSource(enum.IntEnum):
    """Who says an attribute."""

    CART = 1
    MEMBER = 2


class AttributeTest(enum.IntEnum):
    """How an attribute is compared."""

    IN = 1
    NOT_IN = 2
    AT_LEAST = 3
    AT_MOST = 4
    PRESENT = 5


class PaymentType(enum.IntEnum):
    """Ways of paying."""

    CASH = 1
    CARD = 2
    GIFT_CARD = 3
    BANK_TRANSFER = 4
    INSTALMENTS = 5
    OTHER = 6


class AmountSpread(enum.IntEnum):
    """What an amount off is per."""

    EACH_UNIT = 1
    EACH_LINE = 2
    ACROSS = 3


class ShareBy(enum.IntEnum):
    """In proportion to what an amount is shared."""

    AMOUNT = 1
    QUANTITY = 2
    LINE = 3


class Rounding(enum.IntEnum):
    """How amounts are rounded to minor units."""

    HALF_UP = 1
    HALF_EVEN = 2
    DOWN = 3
    UP = 4


class RoundingUnit(enum.IntEnum):
    """What is rounded: the amount of each line, of each unit, or of all goods together."""

    LINE = 1
    EACH = 2
    TOTAL = 3


class FloorRest(enum.IntEnum):
    """What becomes of a discount that goods at their lowest price cannot take."""

    AS_KIND = 0
    MOVE = 1
    DROP = 2


class GiftSpread(enum.IntEnum):
    """What gifts are given per."""

    ONCE = 1
    EACH_UNITS = 2
    EACH_STEP = 3


class GiftReturn(enum.IntEnum):
    """What becomes of a gift that a return makes undeserved."""

    KEEP = 1
    DEDUCT = 2


class EarnBasis(enum.IntEnum):
    """From what on points are counted."""

    PAID = 1
    ORIGINAL = 2
    ITEMS = 3


class ScaleMeasure(enum.IntEnum):
    """What is measured for scales."""

    AMOUNT = 1
    UNITS = 2
    ARTICLES = 3


class GroupChoice(enum.IntEnum):
    """Which campaign of an exclusive group is applied."""

    BEST = 1
    FIRST = 2
    LATEST_CODE = 3
    BEST_BY_LINE = 4


class BudgetRest(enum.IntEnum):
    """What becomes of the rest of a budget that is too small for a receipt."""

    GIVE = 1
    KEEP = 2


class PointsSpread(enum.IntEnum):
    """What points by the piece are per."""

    ONCE = 1
    EACH_UNIT = 2
    EACH_STEP = 3


class PickOrder(enum.IntEnum):
    """Which units come first."""

    CHEAPEST = 1
    DEAREST = 2


class PickBy(enum.IntEnum):
    """What is counted and chosen."""

    UNIT = 1
    LINE = 2


class PickScope(enum.IntEnum):
    """Whether a campaign of sets chooses in each set or once over the units of all."""

    EACH_SET = 1
    ALL_SETS = 2


class Sharing(enum.IntEnum):
    """Which units of a set carry its discount."""

    REWARDED = 1
    ALL = 2


class Reuse(enum.IntEnum):
    """What other campaigns of sets may do with the units of a campaign's sets."""

    NONE = 1
    QUALIFIER = 2
    TARGET = 3
    BOTH = 4


@dataclass(frozen=True, slots=True)
class Text:
    """One text in every language of the platform."""

    en: str
    ru: str = ""

    def pick(self, language: str) -> str:
        """Return the text in `en` or `ru`; an empty language falls back to English."""
        return self.ru if language == "ru" and self.ru else self.en


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which goods: in every non-empty set of the first four, in none of the excluded ones."""

    skus: frozenset[str] = _NAMES
    category_ids: frozenset[str] = _NAMES
    brands: frozenset[str] = _NAMES
    tags: frozenset[str] = _NAMES
    exclude_skus: frozenset[str] = _NAMES
    exclude_category_ids: frozenset[str] = _NAMES
    exclude_brands: frozenset[str] = _NAMES
    exclude_tags: frozenset[str] = _NAMES
    unit_price_min_minor: int = 0
    unit_price_max_minor: int = 0
    price_state: PriceState = PriceState.ANY
    kinds: frozenset[LineKind] = frozenset()


EVERYTHING = ItemFilter()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Asks for all of these."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Asks for at least one of these."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Asks that this does not hold."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class BasketTotal:
    """Asks for enough spent on goods."""

    amount_min_minor: int
    filter: ItemFilter = EVERYTHING
    basis: Basis = Basis.RUNNING


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """Asks for enough of certain goods; both minimums must hold, amounts before discounts."""

    filter: ItemFilter = EVERYTHING
    quantity_min_thousandths: int = 0
    amount_min_minor: int = 0


@dataclass(frozen=True, slots=True)
class DistinctItems:
    """Asks for different articles."""

    count_min: int
    filter: ItemFilter = EVERYTHING


@dataclass(frozen=True, slots=True)
class PurchaseNumber:
    """Asks for a certain purchase of the member: the `number`-th, or every `every`-th one."""

    number: int = 0
    every: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """Asks what the till or the member's profile says; who says nothing does not meet it."""

    name: str
    test: AttributeTest
    values: tuple[str, ...] = ()
    source: AttributeSource = AttributeSource.CART


@dataclass(frozen=True, slots=True)
class EveryLine:
    """Asks that some lines are there, and something of each; 0 means no bound."""

    filter: ItemFilter = EVERYTHING
    required: ItemFilter = EVERYTHING
    amount_min_minor: int = 0
    amount_max_minor: int = 0
    quantity_min_thousandths: int = 0
    quantity_max_thousandths: int = 0


@dataclass(frozen=True, slots=True)
class MemberDate:
    """Asks that today lies so many days around a date of the member, or a return of it."""

    name: str
    days_from: int = 0
    days_to: int = 0
    yearly: bool = False


@dataclass(frozen=True, slots=True)
class LastPurchase:
    """Asks how many days ago the member bought last; `days_max` 0 means no bound."""

    days_min: int = 0
    days_max: int = 0
    or_never: bool = False


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """Asks that one payment, or every one, is of a type and from a card; empty asks nothing."""

    types: frozenset[PaymentType] = frozenset()
    card_prefixes: frozenset[str] = _NAMES
    every: bool = False


@dataclass(frozen=True, slots=True)
class Expression:
    """Asks that an expression in CEL is true of the cart, the member, the store and the time."""

    cel: str


Condition: TypeAlias = (
    AllOf
    | AnyOf
    | Not
    | BasketTotal
    | ItemGroup
    | DistinctItems
    | PurchaseNumber
    | Attribute
    | EveryLine
    | MemberDate
    | LastPurchase
    | PaymentPlan
    | Expression
)


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
    """Gives a price for the rewarded units of a set together, when it is lower than their own."""

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
    """Gives articles for nothing; `choose` 0 gives all of them, `times_max` 0 has no bound."""

    items: tuple[GiftItem, ...]
    choose: int = 0
    spread: GiftSpread = GiftSpread.ONCE
    step_units: int = 0
    step_minor: int = 0
    times_max: int = 0
    add_missing: bool = False
    on_return: GiftReturn = GiftReturn.KEEP


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
Earn: TypeAlias = EarnPercent | EarnPoints | EarnStamps | MultiplyPoints | IssueCoupon
RewardKind: TypeAlias = Discount | Earn
EARNS = (EarnPercent, EarnPoints, EarnStamps, MultiplyPoints, IssueCoupon)


@dataclass(frozen=True, slots=True)
class Pick:
    """Chooses among units or lines in the order of their prices; 0 means no bound."""

    order: PickOrder = PickOrder.DEAREST
    count_max: int = 0
    units_per_line_max: int = 0
    skip: int = 0
    every: int = 0
    by: PickBy = PickBy.UNIT
    scope: PickScope = PickScope.EACH_SET


@dataclass(frozen=True, slots=True)
class Reward:
    """What a campaign gives; `amount_max` bounds it on one receipt, 0 means no bound.

    `groups` are the places of the groups of a set that it is for; none means all.
    """

    kind: RewardKind
    target: ItemFilter = EVERYTHING
    amount_max: int = 0
    pick: Pick | None = None
    groups: tuple[int, ...] = ()
    floor_rest: FloorRest = FloorRest.AS_KIND
    outside_sets: bool = False


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


@dataclass(frozen=True, slots=True)
class AutomaticTrigger:
    """Starts with every cart."""


@dataclass(frozen=True, slots=True)
class StampPrice:
    """So many stamps of a card, taken from the member by each use."""

    card_id: str
    count: int


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

    @property
    def cards(self) -> frozenset[str]:
        """Return the stamp cards that the campaign gives stamps on or takes them from."""
        given = {one.kind.card_id for one in self.all_rewards if isinstance(one.kind, EarnStamps)}
        return frozenset(given | ({self.stamp_price.card_id} if self.stamp_price else set()))

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
