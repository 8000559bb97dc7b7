"""What a campaign of a case gives, read; and what a reader of rewards may look at besides."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from services.promotions import engine
from tools.conformance.promotions.conditions import Terms
from tools.conformance.promotions.goods import Goods

_EVERYTHING = engine.ItemFilter()
_EARNS = engine.EarnPercent | engine.EarnPoints | engine.MultiplyPoints | engine.IssueCoupon


@dataclass(frozen=True, slots=True)
class Setting:
    """The goods of the cart, the conditions of the campaign and how many sets it may make."""

    goods: Goods
    terms: Terms
    sets_max: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """Points as payment: how much may be paid with them, and of what receipts.

    `points_max` and `amount_max` bound what one receipt takes; None is no bound.
    """

    share_basis_points: int = 10_000
    points_min: int = 0
    points_max: int | None = None
    points_step: int = 0
    amount_max: int | None = None
    receipt_min_minor: int = 0
    excluded: engine.ItemFilter | None = None


@dataclass(frozen=True, slots=True)
class Tender:
    """Money from elsewhere, such as a gift card."""

    amount_minor: int


@dataclass(frozen=True, slots=True)
class StampCard:
    """Stamps for every unit of some goods, and how many of them the reward costs."""

    size: int
    filter: engine.ItemFilter


@dataclass(frozen=True, slots=True)
class Gift:
    """What one campaign gives.

    `value` and `percent` are what orders "by value" compare. `on_order` says that the source gives
    it to the order and not to lines; `fractional` that points have decimals; `points_per_currency`
    what a currency unit is in points, where the campaign says it. An earning rate is points for a
    currency unit, `earned_max` the most of them on a receipt (0 is no bound). Where there is a
    `scale`, `rewards` are those of all its steps. `rounding` and `allocation` are the case's own
    words; `in_line_order` says that the source takes units as they were scanned. `points_price` is
    what it costs in points, 0 is nothing.
    """

    rewards: tuple[engine.Reward, ...] = ()
    scale: engine.Scale | None = None
    stamp_card: StampCard | None = None
    multi_buy: engine.MultiBuy | None = None
    reuse: engine.Reuse = engine.Reuse.NONE
    value: Decimal = Decimal(0)
    percent: bool = False
    basis: str = ""
    on_order: bool = False
    mixed: bool = False
    fractional: bool = False
    rate: Fraction | None = None
    earned_max: int = 0
    target: engine.ItemFilter = _EVERYTHING
    points_per_currency: Fraction | None = None
    payment: Payment | None = None
    tender: Tender | None = None
    earn_basis: engine.EarnBasis = engine.EarnBasis.PAID
    rounding: str = ""
    allocation: str = ""
    in_line_order: bool = False
    points_price: Fraction = Fraction(0)

    @property
    def earns(self) -> bool:
        """Tell whether the campaign gives points."""
        return self.rate is not None or any(
            isinstance(reward.kind, _EARNS) for reward in self.rewards
        )

    @property
    def reduces(self) -> bool:
        """Tell whether the campaign takes money off."""
        return bool(self.rewards) and not self.earns
