"""What conditions look at."""

from dataclasses import dataclass, field
from datetime import datetime

from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Cart, Facts, Member


@dataclass(frozen=True, slots=True)
class Scene:
    """A cart when a campaign has its turn.

    `left` is the amount of each pile when its lane began, `turn` what it is now. `sums` is what
    sets of piles came to when the lane began, as far as somebody has asked.
    """

    cart: Cart
    facts: Facts
    basket: Basket
    left: list[int]
    now: datetime
    turn: list[int]
    sums: dict[int, int] = field(default_factory=dict)

    def sum_up(self, mask: int) -> int:
        """Return what a set of piles came to when the lane began; many ask for the same sets."""
        known = self.sums.get(mask)
        if known is None:
            left = self.left
            known = self.sums[mask] = sum([left[pile] for pile in self.basket.places(mask)])
        return known

    @property
    def member(self) -> Member | None:
        """Return the shopper, when known."""
        return self.facts.member

    @property
    def identity_answered(self) -> bool:
        """Tell whether identity could be asked who the shopper is."""
        return self.facts.identity_answered
