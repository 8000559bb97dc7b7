"""What campaigns ask for."""

from dataclasses import dataclass
from typing import TypeAlias

from services.promotions.engine.rules.goods import EVERYTHING, ItemFilter
from services.promotions.engine.rules.vocabulary import (
    AttributeSource,
    AttributeTest,
    Basis,
    PaymentType,
)

_NAMES: frozenset[str] = frozenset()


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


#: The date whose year nobody but identity knows.
BIRTH = "birth"


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
