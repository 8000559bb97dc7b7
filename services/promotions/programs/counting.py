"""What purchases count, and where members stand by it.

Purchases are counted in the transaction that records them, so that a level is reached at once.
What is counted is made of receipts alone: the first look at a member counts all that the window
still reaches, and each later one sets what one receipt counts, whatever it counted before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from itertools import pairwise
from typing import TypeAlias

from tessera.event.v1 import event_pb2

from services.chassis import clock, database, outbox
from services.promotions import storage
from services.promotions.engine import programs
from services.promotions.programs import goals, purchases, referrals
from services.promotions.programs.book import (
    Book,
    ChallengeProgram,
    DrawProgram,
    ReferralProgram,
    TierProgram,
)
from services.promotions.programs.goals import MemberChallenge
from services.promotions.programs.payouts import Payouts
from services.promotions.programs.purchases import Bought
from services.promotions.storage.receipts import Receipt
from services.promotions.storage.referrals import Referral
from services.promotions.storage.returns import Return
from services.promotions.storage.standings import Change, Place, Standing, Tally
from services.promotions.wire import programs as wire
from services.promotions.wire.batches import Terms

Days = Mapping[date, int]
Counted: TypeAlias = TierProgram | ChallengeProgram | ReferralProgram | DrawProgram


@dataclass(frozen=True, slots=True)
class MemberTier:
    """Where a member stands in one program of levels."""

    program: TierProgram
    standing: programs.Standing
    tally: Days
    today: date

    @property
    def tier_id(self) -> str:
        """The level."""
        return self.program.rules.tiers[self.standing.level].tier_id

    @property
    def privileges(self) -> tuple[str, ...]:
        """What the level allows besides what campaigns give."""
        return self.program.rules.tiers[self.standing.level].privileges

    @property
    def progress(self) -> programs.Progress:
        """What is counted, and what is missing."""
        return programs.find_progress(self.program.rules, self.standing, self.tally, self.today)

    def foresee(self, purchase: programs.Purchase) -> "MemberTier":
        """Return where the member would stand with one more purchase today."""
        counted = self.program.count(purchase)
        tally = {**self.tally, self.today: self.tally.get(self.today, 0) + counted}
        standing = programs.settle(
            self.program.rules, self.standing, before=self.tally, after=tally, today=self.today
        )
        return replace(self, standing=standing, tally=tally)


@dataclass(frozen=True, slots=True)
class _Look:
    """Members at whom is looked, in the live programs of one moment."""

    members: Sequence[str]
    tiers: Mapping[str, TierProgram]
    challenges: Mapping[str, ChallengeProgram]
    referrals: Mapping[str, ReferralProgram]
    draws: Sequence[DrawProgram]
    today: date
    now: datetime

    @property
    def counted(self) -> Sequence[Counted]:
        """Every program that counts what all members buy."""
        return (*self.tiers.values(), *self.challenges.values(), *self.draws)

    @property
    def windows(self) -> dict[Place, date]:
        """Each member's place in each program, with the first day that counts."""
        return {
            (member_id, program_id): programs.first_day(program.rules, self.today)
            for member_id in self.members
            for program_id, program in self.tiers.items()
        }


class Counting:
    """Counts purchases for programs."""

    def __init__(
        self,
        db: database.Database,
        book: Book,
        terms: Terms,
        *,
        payouts: Payouts,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._book = book
        self._terms = terms
        self._zone = terms.zone
        self._payouts = payouts
        self._now = now

    @property
    def is_idle(self) -> bool:
        """True when no program counts anything."""
        return self._book.live.counts_nothing

    # Purchases and returns ------------------------------------------------------------------------

    async def purchased(self, tx: database.Queryable, receipts: Iterable[Receipt]) -> None:
        """Count purchases that this transaction has recorded."""
        if not self.is_idle:
            bought = [purchases.read(receipt) for receipt in receipts if receipt.member_id]
            await self._count(tx, bought, storage.standings.PURCHASE)

    async def voided(self, tx: database.Queryable, receipt: Receipt) -> None:
        """Count a purchase no longer that this transaction has undone."""
        if not self.is_idle and receipt.member_id:
            await self._count(tx, [purchases.read(receipt)], storage.standings.RETURN)

    async def returned(self, tx: database.Queryable, returned: Return) -> None:
        """Count what stays of a purchase after a return that this transaction has recorded."""
        if self.is_idle or not returned.member_id:
            return
        key = storage.keys.locate(returned.receipt_id, returned.purchase_time)
        receipt = await storage.receipts.find(tx, key)
        assert receipt is not None
        bought = purchases.read(receipt, await storage.returns.of_purchase(tx, key))
        await self._count(tx, [bought], storage.standings.RETURN)

    async def _count(self, tx: database.Queryable, bought: Sequence[Bought], cause: str) -> None:
        if not bought:
            return
        look = self._look(one.member_id for one in bought)
        await storage.standings.lock_members(tx, look.members)
        stood = await self._meet(tx, look)
        before = await storage.standings.tallies(tx, look.windows)
        newcomers = await self._newcomers(tx, look)
        await storage.standings.count(
            tx,
            [
                *self._tallies(look.counted, bought),
                *self._newcomers_tallies(look, newcomers, bought),
            ],
        )
        after = await storage.standings.tallies(tx, look.windows)
        new = {
            place: programs.settle(
                look.tiers[place[1]].rules,
                standing,
                before=before[place],
                after=after[place],
                today=look.today,
            )
            for place, standing in stood.items()
        }
        receipts = {one.member_id: one.receipt_id for one in bought}
        await _save(tx, stood, new, look=look, cause=cause, receipts=receipts)
        if look.challenges:
            await goals.settle(
                tx,
                look.challenges,
                receipts,
                today=look.today,
                now=look.now,
                terms=self._terms,
            )
        await self._follow(tx, look, newcomers)
        self._payouts.nudge()

    async def _newcomers(self, tx: database.Queryable, look: _Look) -> list[Referral]:
        if not look.referrals:
            return []
        return await storage.referrals.of_newcomers(tx, look.members)

    def _newcomers_tallies(
        self, look: _Look, newcomers: Sequence[Referral], bought: Sequence[Bought]
    ) -> list[Tally]:
        """Return what programs of referrals count: only what their newcomers buy."""
        return [
            tally
            for referral in newcomers
            if referral.program_id in look.referrals
            for tally in self._tallies(
                [look.referrals[referral.program_id]],
                [one for one in bought if one.member_id == referral.newcomer_id],
            )
        ]

    async def _follow(
        self, tx: database.Queryable, look: _Look, newcomers: Sequence[Referral]
    ) -> None:
        if newcomers:
            await referrals.settle(
                tx,
                look.referrals,
                newcomers,
                today=look.today,
                now=look.now,
                terms=self._terms,
            )

    def _look(self, member_ids: Iterable[str]) -> _Look:
        now = self._now()
        live, members = self._book.live, sorted(set(member_ids))
        tiers = {program.program_id: program for program in live.tiers}
        return _Look(
            members,
            tiers,
            live.challenges,
            live.referrals,
            live.draws,
            programs.day_of(now, self._zone),
            now,
        )

    def _tallies(self, counted: Iterable[Counted], bought: Sequence[Bought]) -> list[Tally]:
        return [
            Tally(
                one.member_id,
                program.program_id,
                one.receipt_id,
                programs.day_of(one.occurred_time, self._zone),
                program.count(one.purchase),
            )
            for program in counted
            for one in bought
        ]

    async def _meet(self, tx: database.Queryable, look: _Look) -> dict[Place, programs.Standing]:
        """Return where members stood; those never looked at are counted from their receipts.

        The members are locked.
        """
        windows = look.windows
        stood = await self._revise(tx, look, await storage.standings.find(tx, windows))
        strangers = {place: first for place, first in windows.items() if place not in stood}
        if not strangers:
            return stood
        for member_id in {member_id for member_id, _ in strangers}:
            unknown = [look.tiers[program_id] for one, program_id in strangers if one == member_id]
            since = min(first for place, first in strangers.items() if place[0] == member_id)
            bought = await self.recall(tx, member_id, since)
            await storage.standings.count(tx, self._tallies(unknown, bought))
        tallies = await storage.standings.tallies(tx, strangers)
        new = {
            place: programs.begin(look.tiers[place[1]].rules, tallies[place], look.today)
            for place in strangers
        }
        lowest = dict.fromkeys(new, programs.Standing(0))
        await _save(tx, lowest, new, look=look, cause=storage.standings.START)
        return stood | new

    async def _revise(
        self, tx: database.Queryable, look: _Look, found: Mapping[Place, Standing]
    ) -> dict[Place, programs.Standing]:
        """Return where members stood; those whose program has other terms now, by these.

        The members are locked.
        """
        stood = {place: _load(row) for place, row in found.items()}
        terms = {
            place: look.tiers[place[1]].since(row.program_version) for place, row in found.items()
        }
        followed = {place: steps for place, steps in terms.items() if len(steps) > 1}
        if not followed:
            return stood
        # Nobody has counted anything since other terms began, or the standing were by these.
        tallies = await storage.standings.tallies(
            tx,
            {
                place: programs.first_day(steps[0].rules, steps[1].first)
                for place, steps in followed.items()
            },
        )
        new = {}
        for place, steps in followed.items():
            new[place] = stood[place]
            for before, after in pairwise(steps):
                new[place] = programs.revise(
                    before.rules, after.rules, new[place], tallies[place], after.first
                )
        await _save(tx, stood, new, look=look, cause=storage.standings.TERMS)
        return stood | new

    async def recall(self, tx: database.Queryable, member_id: str, since: date) -> list[Bought]:
        """Return a member's purchases from a day on, with what stays of them."""
        begin = datetime.combine(since, time(), self._zone)
        receipts = await storage.receipts.of_member(tx, member_id, since=begin)
        returns = await storage.returns.of_purchases(
            tx, [receipt.receipt_id for receipt in receipts]
        )
        return [
            purchases.read(receipt, returns.get(receipt.receipt_id, ())) for receipt in receipts
        ]

    # Time and readers -----------------------------------------------------------------------------

    async def tiers(self, member_id: str) -> list[MemberTier]:
        """Return where a member stands in each live program of levels."""
        look = self._look([member_id])
        if not look.tiers:
            return []
        stood = await storage.standings.find(self._db, look.windows)
        current = {
            place: _load(row)
            for place, row in stood.items()
            if not _is_due(row, look.tiers[place[1]], look.today)
        }
        if len(current) < len(look.tiers):
            current = await self._review(look)
        tallies = await storage.standings.tallies(self._db, look.windows)
        return [
            MemberTier(
                program,
                current[member_id, program_id],
                tallies[member_id, program_id],
                look.today,
            )
            for program_id, program in look.tiers.items()
        ]

    async def challenges(self, member_id: str) -> list[MemberChallenge]:
        """Return how far a member is in each live challenge."""
        look = self._look([member_id])
        return await goals.find(self._db, look.challenges, member_id, today=look.today)

    async def _review(self, look: _Look) -> dict[Place, programs.Standing]:
        """Let the time that has passed do its work on members; return where they stand then."""
        async with self._db.transaction() as tx:
            await storage.standings.lock_members(tx, look.members)
            stood = await self._meet(tx, look)
            tallies = await storage.standings.tallies(tx, look.windows)
            new = {
                place: programs.advance(
                    look.tiers[place[1]].rules, standing, tallies[place], look.today
                )
                for place, standing in stood.items()
            }
            await _save(tx, stood, new, look=look, cause=storage.standings.TIME)
        return new

    async def review_due(self, *, count_max: int) -> int:
        """Review members whose level time may have changed; return how many places those had."""
        today = programs.day_of(self._now(), self._zone)
        due = await storage.standings.due(self._db, today, count_max=count_max)
        versions = {one.program_id: one.terms[-1].version for one in self._book.live.tiers}
        due += await storage.standings.outdated(self._db, versions, count_max=count_max - len(due))
        if due and not self.is_idle:
            await self._review(self._look(member_id for member_id, _ in due))
        return len(due)

    async def follow_due(self, *, count_max: int) -> int:
        """Move referrals on that time alone changes; return how many those were."""
        today = programs.day_of(self._now(), self._zone)
        due = await storage.referrals.due(self._db, today, count_max=count_max)
        if due and not self.is_idle:
            look = self._look(due)
            async with self._db.transaction() as tx:
                await storage.standings.lock_members(tx, look.members)
                await self._follow(tx, look, await self._newcomers(tx, look))
            self._payouts.nudge()
        return len(due)


def _is_due(row: Standing, program: TierProgram, today: date) -> bool:
    if row.program_version < program.terms[-1].version:
        return True
    return row.review_day is not None and row.review_day <= today


def _load(row: Standing) -> programs.Standing:
    return programs.Standing(row.level, row.kept, row.kept_until, row.grace, row.review_day)


async def _save(
    tx: database.Queryable,
    old: Mapping[Place, programs.Standing],
    new: Mapping[Place, programs.Standing],
    *,
    look: _Look,
    cause: str,
    receipts: Mapping[str, str] | None = None,
) -> None:
    """Write where members stand now, with the steps that led there and their events."""
    by_new_terms = cause in {storage.standings.START, storage.standings.TERMS}
    changed = {place: one for place, one in new.items() if by_new_terms or one != old[place]}
    standings = {
        place: _store(one, version=look.tiers[place[1]].terms[-1].version)
        for place, one in changed.items()
    }
    await storage.standings.save(tx, standings)
    steps = [
        Change(
            *place, old[place].level, one.level, cause, (receipts or {}).get(place[0], ""), look.now
        )
        for place, one in changed.items()
        if one.level != old[place].level
    ]
    await storage.standings.add_changes(tx, steps)
    await outbox.append(tx, *(_tell(step, look) for step in steps))


def _store(standing: programs.Standing, *, version: int) -> Standing:
    return Standing(
        standing.level,
        standing.kept,
        standing.kept_until,
        standing.grace,
        standing.review_day,
        version,
    )


def _tell(step: Change, look: _Look) -> event_pb2.Event:
    return wire.tell_changed(
        look.tiers[step.program_id].rules,
        member_id=step.member_id,
        program_id=step.program_id,
        from_level=step.from_level,
        to_level=step.to_level,
        receipt_id=step.receipt_id,
        now=look.now,
    )
