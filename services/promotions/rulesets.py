"""Compiled rule sets: the present one behind one reference, those of the past on demand."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import structlog
from tessera.promotions.v1 import campaign_pb2

from services.chassis import database
from services.promotions import engine, errors, storage
from services.promotions.storage.campaigns import Revision
from services.promotions.wire import rules

log = structlog.get_logger()


class Rulesets:
    """The rule sets of this process.

    `current` is swapped as a whole: whoever took it once works with one version to the end.
    """

    def __init__(self, db: database.Database, *, kept: int) -> None:
        self.current = engine.compile((), version=0)
        self._db = db
        self._kept = kept
        self._past: OrderedDict[int, engine.Ruleset] = OrderedDict()
        self._loading: dict[int, asyncio.Lock] = {}

    async def refresh(self) -> None:
        """Take over the newest rule set."""
        head = await storage.campaigns.ruleset_head(self._db)
        if head > self.current.version:
            self.offer(await self.find(head))
            log.info(
                "rule set",
                version=head,
                campaigns=len(self.current.campaigns),
                compiled=engine.IS_COMPILED,
            )

    def offer(self, ruleset: engine.Ruleset) -> None:
        """Make a rule set the present one, unless a newer one is."""
        if ruleset.version > self.current.version:
            self._remember(self.current)
            self.current = ruleset

    async def find(self, version: int) -> engine.Ruleset:
        """Return a rule set by version, 0 for the present one; raises RulesetNotFound."""
        if version in {0, self.current.version}:
            return self.current
        try:
            async with self._loading.setdefault(version, asyncio.Lock()):
                found = self._past.get(version)
                if found is None:
                    found = await self._load(version)
                    self._remember(found)
                return found
        finally:
            self._loading.pop(version, None)

    async def compile(self, revisions: Sequence[Revision], *, version: int) -> engine.Ruleset:
        """Return the rule set of these campaigns, read and compiled beside the calls in flight.

        Raises engine.RulesetInvalid.
        """
        known = self.current

        def work() -> engine.Ruleset:
            return engine.compile(parse(revisions, known), version=version)

        return await asyncio.to_thread(work)

    async def _load(self, version: int) -> engine.Ruleset:
        revisions = await storage.campaigns.ruleset(self._db, version)
        if revisions is None:
            raise errors.RulesetNotFound(ruleset_version=version)
        return await self.compile(revisions, version=version)

    def _remember(self, ruleset: engine.Ruleset) -> None:
        if ruleset.version == 0:
            return
        self._past[ruleset.version] = ruleset
        self._past.move_to_end(ruleset.version)
        while len(self._past) > self._kept:
            self._past.popitem(last=False)


def parse(revisions: Iterable[Revision], known: engine.Ruleset) -> list[engine.Campaign]:
    """Return revisions as campaigns; those that `known` holds already are not parsed again."""
    campaigns = []
    for revision in revisions:
        campaign = known.find(revision.campaign_id)
        if campaign is None or campaign.version != revision.version:
            message = campaign_pb2.CampaignRules.FromString(revision.rules)
            campaign = rules.parse_campaign(revision.campaign_id, revision.version, message)
        campaigns.append(campaign)
    return campaigns
