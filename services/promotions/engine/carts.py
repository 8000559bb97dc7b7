"""What is bought, and what is known about it: the input of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, NamedTuple

from services.promotions.engine.rules import (
    EVERYTHING,
    Channel,
    ItemFilter,
    LineKind,
    PaymentType,
)

_NAMES: frozenset[str] = frozenset()


class CartLine(NamedTuple):
    """One line: thousandths of a unit or kilogram, at a price for one unit or kilogram.

    `regular_unit_price_minor` is what it was before the catalogue reduced it; 0 means that it did
    not.
    """

    line_id: str
    sku: str
    quantity_thousandths: int
    unit_price_minor: int
    kind: LineKind = LineKind.GOODS
    regular_unit_price_minor: int = 0


@dataclass(frozen=True, slots=True)
class PlannedPayment:
    """One way in which the shopper is going to pay, with the first digits of a bank card."""

    type: PaymentType
    card_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Cart:
    """What a shopper wants to buy, in minor units of one currency."""

    store_id: str
    channel: Channel
    currency_code: str
    lines: tuple[CartLine, ...]
    coupon_codes: tuple[str, ...] = ()
    points_payment_minor: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    planned_payments: tuple[PlannedPayment, ...] = ()
    gift_choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes_all_or_none: bool = False


@dataclass(frozen=True, slots=True)
class Article:
    """What the catalogue says of an article; `category_ids` holds its own and all above it."""

    category_ids: frozenset[str] = _NAMES
    brand: str = ""
    tags: frozenset[str] = _NAMES
    floor_price_minor: int = 0
    weighed: bool = False
    earning_excluded: bool = False
    points_payment_excluded: bool = False


UNKNOWN_ARTICLE: Final = Article()


@dataclass(frozen=True, slots=True)
class Store:
    """What campaigns ask of a store besides its id."""

    region_id: str = ""
    format_id: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """The shopper, when known.

    `purchases_before` and `points_balance` (smallest unit of the asset) are None when the one who
    knows did not answer, and so are `stamps` by card. `dates` are by name; a birthday has no year
    here and is of the year 4, which had a 29 February. `last_purchase_time` is None before the
    first purchase. `tier_ids` are the member's levels in programs.
    """

    member_id: str
    segment_ids: frozenset[str] = _NAMES
    purchases_before: int | None = None
    points_balance: int | None = None
    tier_ids: frozenset[str] = _NAMES
    plan_ids: frozenset[str] = _NAMES
    attributes: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, date] = field(default_factory=dict)
    last_purchase_time: datetime | None = None
    stamps: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the ledger has left of one campaign for this shopper; None when it did not answer.

    `article_units` are rewarded units by article number; an article that is missing has none left.
    """

    uses: int | None = None
    member_uses: int | None = None
    budget_minor: int | None = None
    coupons: int | None = None
    stamps: int | None = None
    units: int | None = None
    article_units: Mapping[str, int] | None = None
    member_units: int | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Secret codes of one campaign that the shopper presents, and the coupon behind the first.

    `codes` are in upper case and in order; whoever shows one has the coupon, a member or not.
    """

    coupon_id: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PointsTerms:
    """What points are worth and how much of a purchase they may pay.

    `point_units` smallest units of the asset are worth `point_value_minor` minor units, and are
    the step in which points pay. The share is in hundredths of a percent of the eligible goods
    after discounts. `points_scale` is the number of decimals that people see.

    Points pay for receipts of at least `payment_receipt_min_minor` after discounts, and then at
    least `payment_min_units` in steps of `payment_step_units`, smallest units of the asset, both
    rounded up to whole steps of `point_units`; 0 asks for nothing of the kind. They pay for
    `payment_goods` that the catalogue does not exclude.
    """

    point_value_minor: int = 1
    point_units: int = 1
    points_scale: int = 0
    payment_share_max_basis_points: int = 10_000
    payment_receipt_min_minor: int = 0
    payment_min_units: int = 0
    payment_step_units: int = 0
    payment_goods: ItemFilter = EVERYTHING


@dataclass(frozen=True, slots=True)
class ReceiptCap:
    """The most that all campaigns together take off a receipt; 0 `amount_minor` has no bound."""

    share_basis_points: int = 10_000
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything else a decision rests on; kept with the receipt, it decides the same again.

    An article missing from `articles` belongs to no category. `identity_answered` is False when
    the shopper is unknown only because identity could not be asked. `bearers` are by campaign.
    `hands_out` is False when what comes with the answer cannot be handed out, as printed codes are.
    `codes_answered` is False when nobody could be asked whose the codes are that no campaign has.
    """

    store: Store
    articles: Mapping[str, Article]
    member: Member | None = None
    remaining: Mapping[str, Remaining] = field(default_factory=dict)
    terms: PointsTerms = PointsTerms()
    cap: ReceiptCap = ReceiptCap()
    identity_answered: bool = True
    bearers: Mapping[str, Bearer] = field(default_factory=dict)
    hands_out: bool = True
    codes_answered: bool = True
