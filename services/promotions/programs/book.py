"""The live programs of this process, behind one reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
class Live:
    """What is live at one version; whoever took it once works with it to the end.

    `plans` are all there ever were: what was paid for outlives the program.
    """

    version: int = 0
    tiers: Sequence[TierProgram] = ()
    plans: Mapping[str, programs.PlanRules] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True when there is no program that says anything of members."""
        return not self.tiers and not self.plans


class Book:
    """The live programs; `live` is swapped as a whole."""

    def __init__(self, db: database.Database) -> None:
        self.live = Live()
        self._db = db

    async def refresh(self) -> None:
        """Take over what is new."""
        head = await storage.programs.head(self._db)
        if head > self.live.version:
            self.offer(head, await storage.programs.everything(self._db))

    def offer(self, version: int, found: Sequence[Program]) -> None:
        """Make programs the live ones, unless newer ones are."""
        if version > self.live.version:
            self.live = parse(version, found)


def parse(version: int, found: Sequence[Program]) -> Live:
    """Return programs ready for work."""
    tiers, plans = [], {}
    for program in found:
        sent = program_pb2.ProgramRules.FromString(program.rules)
        if sent.WhichOneof("kind") == "plan":
            plans[program.program_id] = wire.parse_plan(sent.plan)
        if sent.WhichOneof("kind") != "tiers" or program.state != storage.programs.LIVE:
            continue
        rules = wire.parse_tiers(sent.tiers)
        count = programs.compile_measure(rules.measure)
        title = wire.parse_title(sent)
        tiers.append(TierProgram(program.program_id, title, rules, count))
    return Live(version, tuple(tiers), plans)
