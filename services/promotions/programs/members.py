"""What programs say of a member when a cart is evaluated."""

from dataclasses import dataclass

from services.chassis import clock, database
from services.promotions import storage
from services.promotions.programs.book import Book
from services.promotions.programs.counting import Counting, MemberTier


@dataclass(frozen=True, slots=True)
class Membership:
    """A member's levels and the names of the plans that the member has now."""

    tiers: tuple[MemberTier, ...] = ()
    plan_ids: frozenset[str] = frozenset()


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
        return Membership(tuple(tiers), await self._plans(member_id))

    async def _plans(self, member_id: str) -> frozenset[str]:
        plans = self._book.live.plans
        if not plans:
            return frozenset()
        running = await storage.subscriptions.running(self._db, member_id, now=self._now())
        return frozenset(
            plans[one.program_id].plan_id for one in running if one.program_id in plans
        )
