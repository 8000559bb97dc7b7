"""What stands beside campaigns in files: goods, and trials with what they expect."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.promotions import engine
from services.promotions.text import scalars
from services.promotions.text.problems import Unreadable

_MONEY = r"^-?\d{1,15}(\.\d{1,3})? [A-Z]{3}$"
Money = Annotated[str, StringConstraints(pattern=_MONEY)]
LINE = re.compile(
    r"(?P<quantity>\d{1,6}(?:\.\d{1,3})?) (?P<sku>\S+) at (?P<price>\S+ [A-Z]{3})"
    r"(?: was (?P<was>\S+ [A-Z]{3}))?(?: for (?P<kind>goods|delivery|fee))?"
)
_PLAIN_LINE = f"^{re.sub(r'[?]P<[a-z]+>', '', LINE.pattern)}$"


def _some(text: str) -> str:
    """Say no to a quantity of nothing, as the contract does for carts and returns."""
    if not float(text.partition(" ")[0]):
        raise ValueError(f"must be more than nothing, not {text}")
    return text


Line = Annotated[str, StringConstraints(pattern=_PLAIN_LINE), AfterValidator(_some)]
_QUANTITY = r"^\d{1,6}(\.\d{1,3})?$"
_PAYMENTS = [one.name.lower() for one in engine.PaymentType]
_PAYMENT = rf"^({'|'.join(_PAYMENTS)})( \d{{1,8}})?$"
Payment = Annotated[str, StringConstraints(pattern=_PAYMENT)]
_REASONS = [one.name.lower() for one in engine.OutcomeReason]
_REASON = f"^({'|'.join(_REASONS)})$"
Reason = Annotated[str, StringConstraints(pattern=_REASON)]
_CHANNELS = [one.name.lower() for one in engine.Channel]
_CHANNEL = f"^({'|'.join(_CHANNELS)})$"
Channel = Annotated[str, StringConstraints(pattern=_CHANNEL)]

#: What the forms above are in words, for whoever writes trials.
_FORMS = {
    _MONEY: "an amount like 12.50 USD",
    _QUANTITY: "a number with at most three decimals",
    _PLAIN_LINE: "a line like `2 milk at 1.50 USD`",
    _PAYMENT: f"one of {', '.join(_PAYMENTS)}, a card with its first digits behind it",
}
_NAMES = {_REASON: _REASONS, _CHANNEL: _CHANNELS}


#: What a value must be that is none of its kind.
_KINDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "string_type": "must be a single value",
}


def tell_error(kind: str, told: str) -> str:
    """Return in words what is wrong with a value; `kind` and `told` are pydantic's."""
    return _KINDS.get(kind, told.removeprefix("Value error, ").replace("Input should", "must"))


def tell_mismatch(value: str, pattern: str) -> str:
    """Return in words what a value must be that has not the form which a trial asks for."""
    if pattern in _FORMS:
        return f"must be {_FORMS[pattern]}, not {value}"
    try:
        return scalars.read_word(value, _NAMES[pattern])
    except Unreadable as error:
        return str(error)


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a time like 2026-03-07T09:00:00, not {text}") from None
    return text


def _day(text: str) -> str:
    scalars.read_date(text)
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Day = Annotated[str, AfterValidator(_day)]


class _Part(BaseModel):
    """A part of a trial; says no to words that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Article(_Part):
    """What the catalogue says of an article; `categories` holds its own and all above it."""

    categories: list[str] = []
    brand: str = ""
    tags: list[str] = []
    never_below: Money | None = None
    by_weight: bool = False
    earns_nothing: bool = False
    not_for_points: bool = False


class Shopper(_Part):
    """The member who buys."""

    segments: list[str] = []
    tiers: list[str] = []
    plans: list[str] = []
    purchases_before: int | None = 0
    points: int = 0
    stamps: dict[str, int] = {}
    says: dict[str, str] = {}
    dates: dict[str, Day] = {}
    bought: Moment | None = None


class Left(_Part):
    """What is left of a campaign's limits; of what is not said all of it is, and one coupon."""

    uses: int | None = Field(default=None, ge=0)
    per_member: int | None = Field(default=None, ge=0)
    budget: Money | None = None
    coupons: int = Field(default=1, ge=0)
    units: int | None = Field(default=None, ge=0)
    #: Of each article that is named; of the others nothing was sold yet.
    units_per_article: dict[str, Annotated[int, Field(ge=0)]] = {}
    units_per_member: int | None = Field(default=None, ge=0)


class Near(_Part):
    """What is missing to a campaign."""

    money: Money | None = None
    units: float | None = None


class Expectation(_Part):
    """What the cart must get; only what is written is held against it."""

    #: What the cart costs in the end; points may pay a part of it.
    pay: Money | None = None
    #: How much of it points pay.
    points_pay: Money | None = None
    #: What each line comes to, by its number from 1.
    lines: dict[str, Money] | None = None
    #: Every campaign that gives a discount, and how much.
    discounts: dict[str, Money] | None = None
    #: Every campaign that gives points, and how many.
    points: dict[str, int] | None = None
    #: Every article that is given, and how many units of it.
    gifts: dict[str, int] | None = None
    #: Every campaign of coupons that are given for later, and how many uses.
    coupons: dict[str, int] | None = None
    #: Every campaign that gives chances of winning at once, and how many.
    chances: dict[str, int] | None = None
    #: Every card that gets stamps, and how many.
    stamps: dict[str, int] | None = None
    #: Why campaigns do not apply; others may, too.
    why_not: dict[str, Reason] | None = None
    #: What is missing to campaigns.
    near: dict[str, Near] | None = None


class Return(_Part):
    """Goods that come back after the purchase, and what they must give and take."""

    #: How much of each line, by its number from 1.
    back: dict[str, Annotated[str, StringConstraints(pattern=_QUANTITY), AfterValidator(_some)]] = (
        Field(min_length=1)
    )
    #: Money for the shopper.
    refund: Money | None = None
    #: Points that the goods had earned.
    points_taken: int | None = None
    #: Points that had paid.
    points_given: int | None = None
    #: The value of gifts that are kept and not deserved any more, in all.
    held_back: Money | None = None


class Trial(_Part):
    """One cart and what it must get."""

    name: str = Field(min_length=1)
    #: Lines like `2 milk at 1.50 USD`.
    cart: list[Line] = Field(min_length=1)
    expect: Expectation
    #: What comes back afterwards, one return after the other.
    returns: list[Return] = []
    #: Which campaigns of the file are live; all unless it is said.
    campaigns: list[str] | None = None
    #: What parameters of templates are set to, by campaign and parameter.
    arguments: dict[str, dict[str, str | int | float | list[str]]] = {}
    #: The store's wall clock.
    now: Moment = "2026-03-04T12:00:00"
    store: str = "S1"
    region: str = ""
    format: str = ""
    channel: Channel = "till"
    coupons: list[str] = []
    #: Which gifts the shopper has chosen, by campaign.
    chooses: dict[str, list[str]] = {}
    pay_with_points: Money | None = None
    till_says: dict[str, str] = {}
    pays_with: list[Payment] = []
    articles: dict[str, Article] = {}
    member: Shopper | None = None
    left: dict[str, Left] = {}
    identity_is_away: bool = False


class Terms(_Part):
    """What points are worth in the trials of a file."""

    worth: Money
    decimals: int = Field(default=0, ge=0, le=9)
