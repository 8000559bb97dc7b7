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
    STAMPS_MISSING = 60


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


@dataclass(frozen=True, slots=True)
class NearMiss:
    """What was missing: money, goods, or both; 0 where nothing was."""

    amount_minor: int = 0
    quantity_thousandths: int = 0


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


@dataclass(frozen=True, slots=True)
class Message:
    """A line of text for the till."""

    audience: MessageAudience
    text: Text
    campaign_id: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What an applied campaign takes from the ledger when the receipt is recorded.

    One use of everything that is True: `personal` burns a coupon of the member, `uses` one of the
    campaign's uses, `member_uses` one of the member's. `code` is empty without a coupon; `stamps`
    are taken from the member.
    """

    campaign_id: str
    code: str
    personal: bool
    uses: bool
    member_uses: bool
    budget_minor: int
    stamps: StampPrice | None = None


@dataclass(frozen=True, slots=True)
class Earning:
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
