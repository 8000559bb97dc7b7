"""The live programs of this process, behind one reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, tzinfo

from tessera.promotions.v1 import program_pb2

from services.chassis import clock, database
from services.promotions import engine, storage
from services.promotions.engine import programs
from services.promotions.storage.programs import Program, Version
from services.promotions.wire import programs as wire


@dataclass(frozen=True, slots=True)
class TierTerms:
    """What levels asked for and gave from a day on, until the next."""

    version: int
    first: date
    rules: programs.TierRules


@dataclass(frozen=True, slots=True)
class TierProgram:
    """Levels at work; `terms` are those that members may have begun with, oldest first."""

    program_id: str
    version: int
    title: engine.Text
    rules: programs.TierRules
    terms: Sequence[TierTerms]
    count: programs.Count

    def since(self, version: int) -> Sequence[TierTerms]:
        """Return the terms of a version, with all that have followed them."""
        begun = sum(1 for one in self.terms if one.version <= version)
        return self.terms[max(begun - 1, 0) :]


@dataclass(frozen=True, slots=True)
class ChallengeProgram:
    """A challenge at work."""

    program_id: str
    title: engine.Text
    rules: programs.ChallengeRules
    count: programs.Count


@dataclass(frozen=True, slots=True)
class ReferralProgram:
    """Referrals at work; each by the version that it was claimed by."""

    program_id: str
    rules: Mapping[int, programs.ReferralRules]
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
    """What is live on a day; whoever took it once works with it to the end.

    `plans` are all there ever were, by program and version: what was paid for outlives them.
    """

    tiers: Sequence[TierProgram] = ()
    plans: Mapping[tuple[str, int], programs.PlanRules] = field(default_factory=dict)
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
    """The live programs; what is `live` changes with the day, too."""

    def __init__(self, db: database.Database, *, zone: tzinfo, now: clock.Clock) -> None:
        self._db = db
        self._zone = zone
        self._now = now
        self._version = 0
        self._found: Sequence[Program] = ()
        self._day = date.min
        self._live = Live()

    @property
    def live(self) -> Live:
        """What is live today."""
        today = programs.day_of(self._now(), self._zone)
        if today != self._day:
            self._live, self._day = parse(self._found, zone=self._zone, today=today), today
        return self._live

    async def refresh(self) -> None:
        """Take over what is new."""
        head = await storage.programs.head(self._db)
        if head > self._version:
            self._offer(head, await storage.programs.everything(self._db))

    def _offer(self, version: int, found: Sequence[Program]) -> None:
        """Make programs the live ones, unless newer ones are."""
        if version > self._version:
            self._version, self._found, self._day = version, found, date.min


def parse(found: Sequence[Program], *, zone: tzinfo, today: date) -> Live:
    """Return programs ready for a day's work."""
    tiers: list[TierProgram] = []
    plans: dict[tuple[str, int], programs.PlanRules] = {}
    challenges: dict[str, ChallengeProgram] = {}
    referrals: dict[str, ReferralProgram] = {}
    offers: dict[str, OfferProgram] = {}
    draws: list[DrawProgram] = []
    for program in found:
        program_id, live = program.program_id, program.at(today)
        sent = program_pb2.ProgramRules.FromString(live.rules)
        kind, title = sent.WhichOneof("kind"), wire.parse_title(sent)
        if kind == "plan":
            plans |= {
                (program_id, one.version): wire.parse_plan(_read(one).plan)
                for one in program.versions
            }
        elif program.state != storage.programs.LIVE:
            continue
        elif kind == "tiers":
            tiers.append(_parse_tiers(program, today))
        elif kind == "challenge":
            made = programs.day_of(program.create_time, zone)
            goal = wire.parse_challenge(sent.challenge, made=made)
            count = programs.compile_measure(goal.measure)
            challenges[program_id] = ChallengeProgram(program_id, title, goal, count)
        elif kind == "referral":
            terms = {
                one.version: wire.parse_referral(_read(one).referral) for one in program.versions
            }
            count = programs.compile_measure(terms[live.version].measure)
            referrals[program_id] = ReferralProgram(program_id, terms, count)
        elif kind == "offers":
            offers[program_id] = OfferProgram(program_id, title, wire.parse_offers(sent.offers))
        elif kind == "draw":
            measure = wire.parse_measure(sent.draw.measure)
            draws.append(DrawProgram(program_id, programs.compile_measure(measure)))
    return Live(tuple(tiers), plans, challenges, referrals, offers, tuple(draws))


def _parse_tiers(program: Program, today: date) -> TierProgram:
    live = program.at(today)
    sent = _read(live)
    rules = wire.parse_tiers(sent.tiers)
    terms: list[TierTerms] = []
    for one in program.until(today):
        held = wire.parse_tiers(_read(one).tiers)
        if not terms or not programs.same_terms(terms[-1].rules, held):
            terms.append(TierTerms(one.version, one.start_day, held))
    return TierProgram(
        program.program_id,
        live.version,
        wire.parse_title(sent),
        rules,
        terms,
        programs.compile_measure(rules.measure),
    )


def _read(version: Version) -> program_pb2.ProgramRules:
    return program_pb2.ProgramRules.FromString(version.rules)
