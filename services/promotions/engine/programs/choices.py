"""Goods chosen for a member from what the member has bought."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.promotions.engine import baskets, filters
from services.promotions.engine.programs.measures import Purchase
from services.promotions.engine.rules import EVERYTHING, ItemFilter

#: What marks the goods of an offer for campaigns, before the offer's name; no catalogue has it.
TAG_PREFIX = "offer:"


@dataclass(frozen=True, slots=True)
class OfferRules:
    """An offer's name for campaigns, and the goods that may be chosen for it."""

    offer_id: str
    filter: ItemFilter = EVERYTHING

    @property
    def tag(self) -> str:
        """The tag that the chosen goods have for their member."""
        return TAG_PREFIX + self.offer_id


def compile_choice(rules: OfferRules) -> Callable[[Iterable[Purchase], int], list[str]]:
    """Return the function that chooses so many articles from purchases.

    Articles stand by how many receipts they are on, then by what was paid for them, then by
    number; what came back counts nothing.
    """
    select = filters.compile_filter(rules.filter)

    def choose(purchases: Iterable[Purchase], count_max: int) -> list[str]:
        receipts: dict[str, int] = {}
        paid: dict[str, int] = {}
        for purchase in purchases:
            basket = baskets.arrange(purchase.cart, purchase.facts)
            found: dict[str, int] = {}
            for pile in basket.places(select(basket)):
                for place in basket.line_places[pile]:
                    kept = purchase.kept.get(purchase.cart.lines[place].line_id)
                    if kept is not None and kept.quantity_thousandths:
                        sku = basket.skus[pile]
                        found[sku] = found.get(sku, 0) + kept.paid_minor
            for sku, amount in found.items():
                receipts[sku] = receipts.get(sku, 0) + 1
                paid[sku] = paid.get(sku, 0) + amount
        ranked = sorted(receipts, key=lambda sku: (-receipts[sku], -paid[sku], sku))
        return ranked[:count_max]

    return choose
