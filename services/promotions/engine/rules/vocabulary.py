"""The words of rules: enumerations, and texts in every language."""

import enum
from dataclasses import dataclass


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
    LEAST = 5
    LEAST_BY_LINE = 6


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
