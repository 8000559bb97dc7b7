"""What a cart gets, and why: the output of an evaluation.

What a decision holds by the dozen or hundred is a named tuple: the cheapest immutable value to
make, a quarter of the price of a frozen dataclass.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from services.promotions.engine.rules import StampPrice, Text


class OutcomeReason(enum.IntEnum):
    """Applied, or why not; the numbers and names of the contract."""

    APPLIED = 1
    CONDITION_NOT_MET = 2
    NO_TARGET_ITEMS = 3
    WRONG_STORE = 4
    WRONG_CHANNEL = 5
    OUTSIDE_TIME = 6
    NOT_STARTED = 7
    EXPIRED = 8
    NOT_IN_AUDIENCE = 9
    UNKNOWN_CODE = 10
    CODE_NOT_PRESENTED = 11
    COUPON_NOT_HELD = 12
    USAGE_LIMIT_REACHED = 13
    MEMBER_LIMIT_REACHED = 14
    BUDGET_EXHAUSTED = 15
    LOST_BEST_OF = 16
    STOPPED_BY_PRIOR_RULE = 17
    NOTHING_LEFT_TO_DISCOUNT = 18
    NO_BENEFIT = 19
    MIN_PRICE_FLOOR = 20
    DEPENDENCY_UNAVAILABLE = 21
    INSUFFICIENT_TARGET_UNITS = 22
    GROUP_INCOMPLETE = 23
    ITEMS_ALREADY_CONSUMED = 24
    ATTRIBUTE_MISSING = 25
    CATEGORY_LIMIT = 27
    REPLACED_BY_LATER_CODE = 28
    EXCLUDED_BY_EXCLUSIVE = 29
    INCOMPATIBLE = 30
    INACTIVE = 31
    SET_REFUSED = 32
    RECEIPT_CAP_REACHED = 33
    STAMPS_MISSING = 60
    POINTS_MISSING = 61


class MessageAudience(enum.IntEnum):
    """Who reads a message."""

    CASHIER = 1
    RECEIPT = 2


class PaymentBound(enum.IntEnum):
    """Why points may not pay more; the numbers and names of the contract."""

    SHARE = 1
    BALANCE = 2
    NO_GOODS = 3
    RECEIPT_TOO_SMALL = 4
    BELOW_MINIMUM = 5
    MEMBER_UNKNOWN = 6
    UNANSWERED = 7


@dataclass(frozen=True, slots=True)
class PaymentOffer:
    """How much points may pay, in minor units: nothing, or from `min` to `max` in whole steps.

    `max` is 0 when they may pay nothing. `eligible` is what the goods that they are for cost.
    """

    min_minor: int
    max_minor: int
    step_minor: int
    eligible_minor: int
    bound: PaymentBound


class Explain(enum.Enum):
    """How many campaigns answer: those that came near the cart, or all of the rule set."""

    CANDIDATES = "candidates"
    FULL = "full"


class LinePart(NamedTuple):
    """What one campaign gives on one line."""

    campaign_id: str
    discount_minor: int
    points: int


class LineDecision(NamedTuple):
    """What a line gets; the parts add up to its discount and its points."""

    line_id: str
    amount_minor: int
    discount_minor: int
    total_minor: int
    points_payment_minor: int
    points_earned: int
    parts: tuple[LinePart, ...]


class NearMiss(NamedTuple):
    """What was missing: money, goods, or both; 0 where nothing was.

    It is `close` when at least half of it was there: then it is worth a word at the till.
    """

    amount_minor: int = 0
    quantity_thousandths: int = 0
    close: bool = True


class Outcome(NamedTuple):
    """What became of one campaign; the id is empty for a code that no campaign has."""

    campaign_id: str
    campaign_version: int
    title: Text
    reason: OutcomeReason
    discount_minor: int = 0
    points: int = 0
    near_miss: NearMiss | None = None
    details: tuple[tuple[str, str], ...] = ()


class Message(NamedTuple):
    """A line of text for the till."""

    audience: MessageAudience
    text: Text
    campaign_id: str = ""


class Gift(NamedTuple):
    """An article that is added for nothing; a unit of it is worth `value_minor`."""

    campaign_id: str
    sku: str
    units: int
    value_minor: int


class GiftOffer(NamedTuple):
    """Articles of which the shopper may still choose so many, for nothing or for less."""

    campaign_id: str
    skus: tuple[str, ...]
    number: int
    basis_points: int = 10_000


class CouponGrant(NamedTuple):
    """A coupon for later; `expire_days` 0 means as long as its campaign.

    `coupon_id` is the one behind the code of a bearer's, once that is drawn; empty before.
    """

    campaign_id: str
    coupon_campaign_id: str
    uses: int
    expire_days: int
    bearer: bool
    coupon_id: str = ""


class InstantChances(NamedTuple):
    """So many chances of winning at once."""

    campaign_id: str
    number: int


class Drawn(NamedTuple):
    """What a chance wins by its number: the place of a prize, None for nothing.

    `points` are in the smallest unit of the asset; 0 is handed over. `account_id` is where the
    ledger keeps how many of the prize are out.
    """

    campaign_id: str
    number: int
    prize_index: int | None = None
    title: Text = Text("")
    points: int = 0
    account_id: str = ""


class StampMove(NamedTuple):
    """Stamps that come to a card of the member or go from it, or points where `card` is empty."""

    campaign_id: str
    card: str
    earned: int
    spent: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What an applied campaign takes from the ledger when the receipt is recorded.

    `personal` burns a coupon of the member, or the one of `coupon_id` when a bearer's code was
    presented. `member_uses` is one of the member's uses, `uses` how many of the campaign's. `units`
    are rewarded units by article, where they are limited; `member_units` counts them as the
    member's. `code` is empty without a coupon; `stamps` are taken from the member.
    """

    campaign_id: str
    code: str
    personal: bool
    uses: int
    member_uses: bool
    budget_minor: int
    stamps: StampPrice | None = None
    units: tuple[tuple[str, int], ...] = ()
    coupon_id: str = ""
    member_units: bool = False


class Earning(NamedTuple):
    """Points credited together; `expire_days` 0 keeps the policy of the asset."""

    campaign_id: str
    points: int
    expire_days: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a cart gets: lines in the cart's order.

    Outcomes begin with what was applied, in the order in which it was: returns rely on it.
    """

    ruleset_version: int
    subtotal_minor: int
    discount_minor: int
    total_minor: int
    points_payment_minor: int
    points_payment_max_minor: int
    points_spent: int
    points_earned: int
    lines: tuple[LineDecision, ...]
    outcomes: tuple[Outcome, ...]
    messages: tuple[Message, ...]
    charges: tuple[Charge, ...]
    earnings: tuple[Earning, ...]
    #: None for what is left of a purchase: its payment was chosen at the till.
    payment: PaymentOffer | None = None
    gifts: tuple[Gift, ...] = ()
    gift_offers: tuple[GiftOffer, ...] = ()
    coupon_grants: tuple[CouponGrant, ...] = ()
    stamp_moves: tuple[StampMove, ...] = ()
    instant_chances: tuple[InstantChances, ...] = ()
    #: What became of the chances; empty before the receipt is drawn up.
    instant_draws: tuple[Drawn, ...] = ()
