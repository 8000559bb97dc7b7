"""What a program counts of a purchase."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from services.promotions.engine import amounts, baskets, filters
from services.promotions.engine.carts import Cart, Facts
from services.promotions.engine.rules import EVERYTHING, ItemFilter


class MeasureKind(enum.IntEnum):
    """What is counted; the value is the contract's number."""

    SPEND = 1
    VISITS = 2
    POINTS = 3
    UNITS = 4


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted, of which goods; `receipt_min_minor` is in minor units, 0 counts all."""

    kind: MeasureKind
    filter: ItemFilter = EVERYTHING
    receipt_min_minor: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays with the shopper of one line: thousandths, minor units paid, points earned."""

    quantity_thousandths: int
    paid_minor: int
    points: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase as it is now: the cart and its facts of then, and by line what has stayed."""

    cart: Cart
    facts: Facts
    kept: Mapping[str, Kept] = field(default_factory=dict)


Count: TypeAlias = Callable[[Purchase], int]


def compile_measure(measure: Measure) -> Count:
    """Return the function that counts a purchase; goods that came back count nothing."""
    select = filters.compile_filter(measure.filter)

    def count(purchase: Purchase) -> int:
        basket = baskets.arrange(purchase.cart, purchase.facts)
        meant = select(basket)
        kept = [
            (line, bool(basket.weighed >> pile & 1))
            for pile in basket.places(meant)
            for line in _lines(purchase, basket.line_places[pile])
        ]
        paid = sum(line.paid_minor for line, _ in kept)
        if not kept or paid < measure.receipt_min_minor:
            return 0
        match measure.kind:
            case MeasureKind.SPEND:
                return paid
            case MeasureKind.VISITS:
                return 1
            case MeasureKind.POINTS:
                return sum(line.points for line, _ in kept)
            case MeasureKind.UNITS:
                return sum(_units(line, weighed=weighed) for line, weighed in kept)

    return count


def _lines(purchase: Purchase, places: tuple[int, ...]) -> list[Kept]:
    """Return what stayed of the lines of a pile, without those of which nothing did."""
    found = (purchase.kept.get(purchase.cart.lines[place].line_id) for place in places)
    return [line for line in found if line is not None and line.quantity_thousandths]


def _units(line: Kept, *, weighed: bool) -> int:
    return 1 if weighed else line.quantity_thousandths // amounts.THOUSANDTHS


def total(measure: Measure, tally: Mapping[date, int], first: date, after: date) -> int:
    """Return what was counted from a day on to the one before `after`; a day is one visit."""
    days = [amount for day, amount in tally.items() if first <= day < after]
    return sum(1 for amount in days if amount) if measure.kind is MeasureKind.VISITS else sum(days)
