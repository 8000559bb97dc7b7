"""What programs say of a member when a cart is evaluated."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis import clock, database
from services.promotions import storage
from services.promotions.engine import programs
from services.promotions.programs.book import Book, OfferProgram
from services.promotions.programs.counting import Counting, MemberTier


@dataclass(frozen=True, slots=True)
class MemberOffer:
    """Goods that are offered to a member now, the best first."""

    program: OfferProgram
    skus: tuple[str, ...]
    end_time: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """A member's levels, the plans that the member has now, and what is offered."""

    tiers: tuple[MemberTier, ...] = ()
    plans: tuple[programs.PlanRules, ...] = ()
    offers: tuple[MemberOffer, ...] = ()

    @property
    def tier_ids(self) -> frozenset[str]:
        """The names of the levels."""
        return frozenset(one.tier_id for one in self.tiers)

    @property
    def plan_ids(self) -> frozenset[str]:
        """The names of the plans."""
        return frozenset(plan.plan_id for plan in self.plans)

    @property
    def privileges(self) -> list[str]:
        """What levels and plans allow besides what campaigns give, sorted."""
        allowed = {name for one in self.tiers for name in one.privileges}
        return sorted(allowed.union(*(plan.privileges for plan in self.plans)))

    @property
    def tags(self) -> dict[str, frozenset[str]]:
        """The tags of the goods that are offered, by article."""
        found: dict[str, frozenset[str]] = {}
        for offer in self.offers:
            for sku in offer.skus:
                found[sku] = found.get(sku, frozenset()) | {offer.program.rules.tag}
        return found


#: Of an unknown shopper, and where there are no programs.
NO_MEMBERSHIP = Membership()


class Members:
    """Looks members up in all live programs."""

    def __init__(
        self, db: database.Database, book: Book, counting: Counting, *, now: clock.Clock
    ) -> None:
        self._db = db
        self._book = book
        self._counting = counting
        self._now = now

    @property
    def is_idle(self) -> bool:
        """True when no program has anything to say of anybody."""
        return self._book.live.says_nothing

    async def find(self, member_id: str) -> Membership:
        """Return what programs say of a member."""
        tiers = await self._counting.tiers(member_id)
        plans = await self._plans(member_id)
        return Membership(tuple(tiers), plans, await self._offers(member_id))

    async def _plans(self, member_id: str) -> tuple[programs.PlanRules, ...]:
        plans = self._book.live.plans
        if not plans:
            return ()
        running = await storage.subscriptions.running(self._db, member_id, now=self._now())
        begun = [(one.program_id, one.program_version) for one in running]
        return tuple(plans[terms] for terms in begun if terms in plans)

    async def _offers(self, member_id: str) -> tuple[MemberOffer, ...]:
        offers = self._book.live.offers
        if not offers:
            return ()
        found = await storage.offers.live(self._db, member_id, now=self._now())
        return tuple(
            MemberOffer(offers[one.program_id], one.skus, one.end_time)
            for one in found
            if one.program_id in offers
        )
