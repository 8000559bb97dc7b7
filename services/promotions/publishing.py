"""What carts see: campaigns go live, pause, resume and end, each time in one new rule set.

Every change here holds one lock, so rule sets follow each other and none is lost, and is one
transaction with the rule set that it makes: a process knows either all of it or nothing.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from tessera.promotions.v1 import campaign_pb2, local_campaign_service_pb2

from services.chassis import clock, database, outbox
from services.chassis import errors as chassis_errors
from services.promotions import config, engine, errors, preparation, rulesets, storage
from services.promotions.storage.campaigns import Campaign, Going
from services.promotions.wire import events, rules, templates

#: Who acts when nobody asked for it.
PLATFORM = "promotions"

#: A campaign that is written anew every day has room for some years.
_VERSIONS_MAX = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something to a campaign, and why."""

    client_id: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was done: the newest rule set, and the campaigns as they are now."""

    ruleset_version: int
    campaigns: Mapping[str, Campaign]


class Publishing:
    """Makes rule sets."""

    def __init__(
        self,
        db: database.Database,
        settings: config.CampaignSettings,
        *,
        sets: rulesets.Rulesets,
        rooms: preparation.Preparation,
        relay: outbox.Relay,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._settings = settings
        self._sets = sets
        self._rooms = rooms
        self._relay = relay
        self._now = now

    async def publish(self, campaign_ids: Sequence[str], actor: Actor) -> Answer:
        """Put the newest versions live; raises what PublishCampaigns refuses with."""
        ruleset = None
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            found = await storage.campaigns.lock(tx, campaign_ids)
            going = [found[one] for one in self._require_ready(found, campaign_ids)]
            if going:
                followers = await self._bring_along(tx, going, actor)
                ruleset = await self.put_live(tx, [*going, *followers], actor)
            answer = await self._answer(tx, campaign_ids)
        self.tell(ruleset)
        return answer

    def _require_ready(
        self, found: Mapping[str, Campaign], campaign_ids: Iterable[str]
    ) -> list[str]:
        """Return those that are not live yet, in the order of ids."""
        for campaign_id in campaign_ids:
            campaign = found.get(campaign_id)
            if campaign is None:
                raise errors.CampaignNotFound(campaign_id=campaign_id)
            if campaign.state == storage.campaigns.ENDED:
                raise errors.CampaignState(campaign_id=campaign_id, state=campaign.state)
            if self._settings.review_required and campaign.state in {
                storage.campaigns.DRAFT,
                storage.campaigns.IN_REVIEW,
            }:
                raise errors.ReviewRequired(campaign_id=campaign_id, state=campaign.state)
        return [one.campaign_id for one in found.values() if one.state != storage.campaigns.LIVE]

    async def _bring_along(
        self, tx: database.Transaction, going: Iterable[Campaign], actor: Actor
    ) -> list[Campaign]:
        """Write the next version of what is made of templates; pause what no longer fits."""
        followers = []
        for template in going:
            message = campaign_pb2.CampaignRules.FromString(template.rules)
            if message.parameters:
                for local in await storage.campaigns.lock_locals(tx, template.campaign_id):
                    followers += await self._follow(tx, local, message, actor)
        return followers

    async def _follow(
        self,
        tx: database.Transaction,
        local: Campaign,
        template: campaign_pb2.CampaignRules,
        actor: Actor,
    ) -> list[Campaign]:
        terms = read_terms(local)
        try:
            made = make_local(template, terms)
        except chassis_errors.Refusal as refusal:
            await storage.campaigns.set_paused(tx, local.campaign_id, paused=True)
            because = Actor(actor.client_id, f"the template changed: {refusal.message}")
            await self.note(tx, local, "PAUSED", because)
            return []
        return [await self.write_local(tx, local, made, terms, actor)]

    async def write_local(
        self,
        tx: database.Transaction,
        local: Campaign,
        made: campaign_pb2.CampaignRules,
        terms: local_campaign_service_pb2.StartLocalCampaignRequest,
        actor: Actor,
    ) -> Campaign:
        """Write the next version of a local campaign, whose row is locked."""
        written = await storage.campaigns.write_version(
            tx,
            local.campaign_id,
            version=local.version,
            rules=made.SerializeToString(deterministic=True),
            author_id=actor.client_id,
            now=self._now(),
            local_terms=terms.SerializeToString(deterministic=True),
        )
        assert written is not None
        return written

    async def put_live(
        self, tx: database.Transaction, going: Sequence[Campaign], actor: Actor
    ) -> engine.Ruleset:
        """Make the newest versions of campaigns the live ones, with their room in the ledger.

        Whoever calls holds the lock, and calls `tell` after the transaction.
        """
        before = await self._require_successors(tx, going)
        version = await storage.campaigns.ruleset_head(tx) + 1
        await storage.campaigns.take_live(
            tx, [_going(one) for one in going], ruleset_version=version, now=self._now()
        )
        for one in going:
            await self.note(tx, one, "PUBLISHED", actor)
        published = await storage.campaigns.published(tx)
        ours = {one.campaign_id for one in going}
        # Campaigns that are live keep their codes, so they come first.
        held = sorted(published, key=lambda one: one.revision.campaign_id in ours)
        parsed = rulesets.parse([one.revision for one in held], self._sets.current)
        for taken in engine.find_taken_codes(parsed):
            raise errors.CodeTaken(code=taken.code, campaign_id=taken.campaign_id)
        new = [one for one in parsed if one.campaign_id in ours]
        for lost in engine.find_lost_coupons(new, parsed):
            raise _invalid(lost.campaign_id, lost.problem)
        ruleset = await self._renew(tx, version, ours)
        await storage.campaigns.replace_codes(tx, ours, _codes(new))
        made = {one.campaign_id: one.create_time for one in going if not _going(one).is_template}
        await self._seal(tx, [one for one in new if one.campaign_id in made])
        # Last, for the ledger does not roll back; a second try finds everything as it should be.
        await self._rooms.prepare(new, before=before, made=made, now=self._now())
        return ruleset

    async def _seal(self, tx: database.Transaction, new: Iterable[engine.Campaign]) -> None:
        """Choose the seeds of chances before the first of them can be drawn."""
        for one in new:
            if one.rules.instant_win is not None:
                terms = engine.instant_wins.Terms(one.campaign_id, one.rules.instant_win)
                sealed = storage.instant_wins.Sealed(
                    one.campaign_id,
                    secrets.token_bytes(engine.instant_wins.SEED_BYTES),
                    engine.instant_wins.write_terms(terms),
                    self._now(),
                )
                await storage.instant_wins.seal(tx, sealed)

    async def _require_successors(
        self, tx: database.Transaction, going: Iterable[Campaign]
    ) -> dict[str, preparation.Before]:
        """Return what is live of these; raises CampaignInvalid when it cannot change so."""
        wanted = [(one.campaign_id, one.live_version) for one in going if one.live_version]
        live = rulesets.parse(await storage.campaigns.revisions(tx, wanted), self._sets.current)
        olds = {one.campaign_id: one for one in live}
        before = {}
        for one in going:
            old = olds.get(one.campaign_id)
            if old is None:
                continue
            written = await storage.campaigns.find_version(tx, one.campaign_id, one.version)
            assert written is not None
            before[one.campaign_id] = preparation.Before(
                old.rules.limits.budget_minor, written.create_time or one.create_time
            )
            message = campaign_pb2.CampaignRules.FromString(one.rules)
            for problem in engine.find_succession_problems(old.rules, rules.parse_rules(message)):
                raise _invalid(one.campaign_id, problem)
            if bool(message.parameters) != one.is_template:
                stays = "a template" if one.is_template else "no template"
                raise _invalid(
                    one.campaign_id,
                    engine.Problem("parameters", f"what was live as {stays} stays so"),
                )
        return before

    async def _renew(
        self, tx: database.Transaction, version: int, changed: Iterable[str]
    ) -> engine.Ruleset:
        """Write and return the rule set of everything that is in force now."""
        revisions = [one.revision for one in await storage.campaigns.published(tx) if one.in_force]
        try:
            ruleset = await self._sets.compile(revisions, version=version)
        except engine.RulesetInvalid as error:
            campaign_id, first = error.problems[0]
            raise _invalid(campaign_id, first) from None
        now = self._now()
        await storage.campaigns.add_ruleset(tx, version, revisions, now=now)
        await storage.news.announce(tx, storage.news.RULESET)
        told = [
            events.tell_published(
                version=version, campaign_id=one, campaign_count=len(revisions), now=now
            )
            for one in sorted(changed)
        ]
        await outbox.append(tx, *told)
        return ruleset

    async def pause(self, campaign_id: str, actor: Actor) -> Answer:
        """Take what is live out for a while, a template with what is made of it."""
        return await self._set_paused(campaign_id, actor, paused=True)

    async def resume(self, campaign_id: str, actor: Actor) -> Answer:
        """Put back what was paused; a local campaign as its template is now."""
        return await self._set_paused(campaign_id, actor, paused=False)

    async def _set_paused(self, campaign_id: str, actor: Actor, *, paused: bool) -> Answer:
        ruleset = None
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            found = await self._require_live(tx, campaign_id)
            if found.paused != paused:
                await storage.campaigns.set_paused(tx, campaign_id, paused=paused)
                await self.note(tx, found, "PAUSED" if paused else "RESUMED", actor)
                outdated = [] if paused else await self._outdated(tx, found, actor)
                if outdated:
                    ruleset = await self.put_live(tx, outdated, actor)
                else:
                    version = await storage.campaigns.ruleset_head(tx) + 1
                    ruleset = await self._renew(tx, version, [campaign_id])
            answer = await self._answer(tx, [campaign_id])
        self.tell(ruleset)
        return answer

    async def _outdated(
        self, tx: database.Transaction, local: Campaign, actor: Actor
    ) -> list[Campaign]:
        """Return the next version of a local campaign whose template went on without it."""
        if not local.template_id:
            return []
        terms = read_terms(local)
        made = make_local(await self._live_rules(tx, local.template_id), terms)
        if made == campaign_pb2.CampaignRules.FromString(local.rules):
            return []
        return [await self.write_local(tx, local, made, terms, actor)]

    async def _live_rules(
        self, tx: database.Transaction, template_id: str
    ) -> campaign_pb2.CampaignRules:
        template = (await storage.campaigns.lock(tx, [template_id]))[template_id]
        version = await storage.campaigns.find_version(tx, template_id, template.live_version)
        assert version is not None
        return campaign_pb2.CampaignRules.FromString(version.rules)

    async def end(self, campaign_id: str, actor: Actor) -> Answer:
        """Take a campaign out for good, a template with what is made of it."""
        ruleset = None
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            found = await self._require_live(tx, campaign_id, or_ended=True)
            if found.state != storage.campaigns.ENDED:
                locals_ = await storage.campaigns.lock_locals(tx, campaign_id)
                ruleset = await self._take_out(tx, [found, *locals_], actor)
            answer = await self._answer(tx, [campaign_id])
        self.tell(ruleset)
        return answer

    async def _take_out(
        self, tx: database.Transaction, ending: Sequence[Campaign], actor: Actor
    ) -> engine.Ruleset:
        version = await storage.campaigns.ruleset_head(tx) + 1
        names = [one.campaign_id for one in ending]
        await storage.campaigns.end(tx, names, ruleset_version=version)
        for one in ending:
            await self.note(tx, one, "ENDED", actor)
        return await self._renew(tx, version, names)

    async def _require_live(
        self, tx: database.Transaction, campaign_id: str, *, or_ended: bool = False
    ) -> Campaign:
        """Return a campaign of which a version is live or paused."""
        found = (await storage.campaigns.lock(tx, [campaign_id])).get(campaign_id)
        if found is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        ended = found.state == storage.campaigns.ENDED
        if (ended and not or_ended) or found.publish_time is None:
            raise errors.CampaignState(campaign_id=campaign_id, state=found.state)
        return found

    async def run(self) -> None:
        """Take out what is over since a while, every so often."""
        while True:
            await asyncio.sleep(self._settings.retire_interval_s)
            try:
                await self.retire()
            except chassis_errors.Refusal as refusal:
                log.warning("nothing retired", error=str(refusal))

    async def retire(self) -> list[str]:
        """Take out campaigns whose period has been over for `retire_after_s`; return their ids.

        They applied to nothing any more; tills that were offline may have asked for them until now.
        """
        over = self._now() - timedelta(seconds=self._settings.retire_after_s)
        if not await storage.campaigns.expired(self._db, before=over):
            return []
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            names = await storage.campaigns.expired(tx, before=over)
            if not names:
                return []
            found = await storage.campaigns.lock(tx, names)
            locals_ = [
                local
                for name in names
                for local in await storage.campaigns.lock_locals(tx, name)
                if local.campaign_id not in found
            ]
            reason = Actor(PLATFORM, "its period is over")
            ruleset = await self._take_out(tx, [*found.values(), *locals_], reason)
        self.tell(ruleset)
        return names

    async def _answer(self, tx: database.Transaction, campaign_ids: Sequence[str]) -> Answer:
        version = await storage.campaigns.ruleset_head(tx)
        return Answer(version, await storage.campaigns.lock(tx, campaign_ids))

    async def note(
        self, tx: database.Transaction, campaign: Campaign, action: str, actor: Actor
    ) -> None:
        """Keep what was done to a campaign."""
        await storage.campaigns.CHANGES.note(
            tx,
            campaign.campaign_id,
            action,
            version=campaign.version,
            actor_id=actor.client_id,
            comment=actor.comment,
            now=self._now(),
        )

    def tell(self, ruleset: engine.Ruleset | None) -> None:
        """Use a rule set that was committed, and let its events go."""
        if ruleset is not None:
            self._sets.offer(ruleset)
            self._relay.nudge()


def require_room(campaign: Campaign) -> None:
    """Raise CampaignVersionsFull when there may be no further version."""
    if campaign.version >= _VERSIONS_MAX:
        raise errors.CampaignVersionsFull(
            campaign_id=campaign.campaign_id, versions_max=_VERSIONS_MAX
        )


def read_terms(local: Campaign) -> local_campaign_service_pb2.StartLocalCampaignRequest:
    """Return where a local campaign works and what its parameters are."""
    return local_campaign_service_pb2.StartLocalCampaignRequest.FromString(local.local_terms)


def make_local(
    template: campaign_pb2.CampaignRules,
    terms: local_campaign_service_pb2.StartLocalCampaignRequest,
) -> campaign_pb2.CampaignRules:
    """Return what a local campaign promises; raises what StartLocalCampaign refuses with."""
    made = templates.instantiate(template, store_ids=terms.store_ids, arguments=terms.arguments)
    for problem in engine.find_problems(rules.parse_rules(made)):
        raise errors.CampaignInvalid(field=problem.field, problem=problem.problem)
    return made


def _going(campaign: Campaign) -> Going:
    message = campaign_pb2.CampaignRules.FromString(campaign.rules)
    validity = rules.parse_rules(message).validity
    return Going(
        campaign_id=campaign.campaign_id,
        start_time=validity.start_time,
        end_time=validity.end_time,
        is_template=bool(message.parameters),
    )


def _invalid(campaign_id: str, problem: engine.Problem) -> errors.CampaignInvalid:
    return errors.CampaignInvalid(
        field=problem.field, problem=problem.problem, campaign_id=campaign_id
    )


def _codes(campaigns: Iterable[engine.Campaign]) -> dict[str, str]:
    """Return the coupon codes of campaigns in capitals, with the campaign of each."""
    return {
        code.upper(): campaign.campaign_id
        for campaign in campaigns
        if isinstance(campaign.rules.trigger, engine.CouponTrigger)
        for code in campaign.rules.trigger.codes
    }
