"""What carts were offered a moment ago, so that the purchase need not ask for it all again.

An offer holds for its purchase alone: it is taken out with it. Whatever it promised of balances and
limits, the ledger holds against what is there when the purchase is posted; what a promise rests on
besides, who the shopper is and which segments they are in, may be as old as the offer.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tessera.promotions.v1 import checkout_pb2

from services.promotions import engine
from services.promotions.checkout.facts import Gathered

_OFFERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Decided:
    """A cart with what it gets and the facts behind it."""

    ruleset: engine.Ruleset
    decision: engine.Decision
    gathered: Gathered
    evaluation: checkout_pb2.Evaluation


@dataclass(frozen=True, slots=True)
class _Offer:
    decided: Decided
    expire_at: float


class Offers:
    """The latest offers of this process by their carts; `age_s_max` 0 keeps none."""

    def __init__(self, *, age_s_max: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._age_s_max = age_s_max
        self._clock_s = clock_s
        self._offers: OrderedDict[bytes, _Offer] = OrderedDict()

    def keep(self, cart: checkout_pb2.Cart, decided: Decided) -> None:
        """Remember what a cart was offered, unless somebody who should have been asked was away."""
        key = cart.SerializeToString()
        self._offers.pop(key, None)
        if decided.gathered.degradations or not self._age_s_max:
            return
        self._offers[key] = _Offer(decided, self._clock_s() + self._age_s_max)
        if len(self._offers) > _OFFERS_MAX:
            self._offers.popitem(last=False)

    def take(
        self, cart: checkout_pb2.Cart, *, ruleset_version: int, occurred_time: datetime
    ) -> Decided | None:
        """Return what the cart was offered by the same rules for the same moment, once."""
        offer = self._offers.pop(cart.SerializeToString(), None)
        if offer is None or self._clock_s() >= offer.expire_at:
            return None
        ruleset, offered = offer.decided.ruleset, offer.decided.gathered.now
        moment = occurred_time.astimezone(offered.tzinfo)
        is_same = ruleset.version == ruleset_version and engine.is_same_moment(
            ruleset, offered, moment
        )
        return offer.decided if is_same else None
