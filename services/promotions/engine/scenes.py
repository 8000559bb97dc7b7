"""What conditions look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Cart, Facts, Member


@dataclass(frozen=True, slots=True)
class Scene:
    """A cart when a campaign has its turn.

    `left` is the amount of each pile when its lane began, `turn` what it is now.
    """

    cart: Cart
    facts: Facts
    basket: Basket
    left: Sequence[int]
    now: datetime
    turn: Sequence[int]

    @property
    def member(self) -> Member | None:
        """Return the shopper, when known."""
        return self.facts.member

    @property
    def identity_answered(self) -> bool:
        """Tell whether identity could be asked who the shopper is."""
        return self.facts.identity_answered
