"""The live programs of this process, behind one reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from tessera.promotions.v1 import program_pb2

from services.chassis import database
from services.promotions import engine, storage
from services.promotions.engine import programs
from services.promotions.storage.programs import Program
from services.promotions.wire import programs as wire


@dataclass(frozen=True, slots=True)
class TierProgram:
    """Levels at work."""

    program_id: str
    title: engine.Text
    rules: programs.TierRules
    count: programs.Count


@dataclass(frozen=True, slots=True)
class ChallengeProgram:
    """A challenge at work."""

    program_id: str
    title: engine.Text
    rules: programs.ChallengeRules
    count: programs.Count


@dataclass(frozen=True, slots=True)
class ReferralProgram:
    """Referrals at work."""

    program_id: str
    rules: programs.ReferralRules
    count: programs.Count


@dataclass(frozen=True, slots=True)
class DrawProgram:
    """A prize draw whose tickets are being counted."""

    program_id: str
    count: programs.Count


@dataclass(frozen=True, slots=True)
class OfferProgram:
    """Personal offers at work."""

    program_id: str
    title: engine.Text
    rules: programs.OfferRules


@dataclass(frozen=True, slots=True)
class Live:
    """What is live at one version; whoever took it once works with it to the end.

    `plans` are all there ever were: what was paid for outlives the program.
    """

    version: int = 0
    tiers: Sequence[TierProgram] = ()
    plans: Mapping[str, programs.PlanRules] = field(default_factory=dict)
    challenges: Mapping[str, ChallengeProgram] = field(default_factory=dict)
    referrals: Mapping[str, ReferralProgram] = field(default_factory=dict)
    offers: Mapping[str, OfferProgram] = field(default_factory=dict)
    draws: Sequence[DrawProgram] = ()

    @property
    def says_nothing(self) -> bool:
        """True when no program says anything of members to campaigns."""
        return not self.tiers and not self.plans and not self.offers

    @property
    def counts_nothing(self) -> bool:
        """True when no program counts purchases."""
        return not (self.tiers or self.challenges or self.referrals or self.draws)


class Book:
    """The live programs; `live` is swapped as a whole."""

    def __init__(self, db: database.Database, *, zone: tzinfo) -> None:
        self.live = Live()
        self._db = db
        self._zone = zone

    async def refresh(self) -> None:
        """Take over what is new."""
        head = await storage.programs.head(self._db)
        if head > self.live.version:
            self.offer(head, await storage.programs.everything(self._db))

    def offer(self, version: int, found: Sequence[Program]) -> None:
        """Make programs the live ones, unless newer ones are."""
        if version > self.live.version:
            self.live = parse(version, found, zone=self._zone)


def parse(version: int, found: Sequence[Program], *, zone: tzinfo) -> Live:
    """Return programs ready for work."""
    tiers: list[TierProgram] = []
    plans: dict[str, programs.PlanRules] = {}
    challenges: dict[str, ChallengeProgram] = {}
    referrals: dict[str, ReferralProgram] = {}
    offers: dict[str, OfferProgram] = {}
    draws: list[DrawProgram] = []
    for program in found:
        program_id = program.program_id
        sent = program_pb2.ProgramRules.FromString(program.rules)
        kind, title = sent.WhichOneof("kind"), wire.parse_title(sent)
        if kind == "plan":
            plans[program_id] = wire.parse_plan(sent.plan)
        elif program.state != storage.programs.LIVE:
            continue
        elif kind == "tiers":
            levels = wire.parse_tiers(sent.tiers)
            count = programs.compile_measure(levels.measure)
            tiers.append(TierProgram(program_id, title, levels, count))
        elif kind == "challenge":
            made = programs.day_of(program.create_time, zone)
            goal = wire.parse_challenge(sent.challenge, made=made)
            count = programs.compile_measure(goal.measure)
            challenges[program_id] = ChallengeProgram(program_id, title, goal, count)
        elif kind == "referral":
            terms = wire.parse_referral(sent.referral)
            count = programs.compile_measure(terms.measure)
            referrals[program_id] = ReferralProgram(program_id, terms, count)
        elif kind == "offers":
            offers[program_id] = OfferProgram(program_id, title, wire.parse_offers(sent.offers))
        elif kind == "draw":
            measure = wire.parse_measure(sent.draw.measure)
            draws.append(DrawProgram(program_id, programs.compile_measure(measure)))
    return Live(version, tuple(tiers), plans, challenges, referrals, offers, tuple(draws))
