"""CampaignService: the life of campaigns."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
)

from services.chassis import clock, database, ids, outbox, timestamps
from services.promotions import engine, errors, preparation, rulesets, storage
from services.promotions.storage.campaigns import Campaign, Revision
from services.promotions.wire import differences, events, pages, rules

Context = grpc.aio.ServicerContext[Any, Any]

_STATES = {
    storage.campaigns.DRAFT: campaign_pb2.CAMPAIGN_STATE_DRAFT,
    storage.campaigns.LIVE: campaign_pb2.CAMPAIGN_STATE_LIVE,
    storage.campaigns.ENDED: campaign_pb2.CAMPAIGN_STATE_ENDED,
}
_NAMES = {number: name for name, number in _STATES.items()}


class CampaignServicer(campaign_service_pb2_grpc.CampaignServiceServicer):
    """Keeps drafts, puts them live and takes them out."""

    def __init__(
        self,
        db: database.Database,
        *,
        sets: rulesets.Rulesets,
        rooms: preparation.Preparation,
        relay: outbox.Relay,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._sets = sets
        self._rooms = rooms
        self._relay = relay
        self._now = now

    async def CreateCampaign(
        self, request: campaign_service_pb2.CreateCampaignRequest, context: Context
    ) -> campaign_service_pb2.CreateCampaignResponse:
        """Make a draft."""
        _require_sound(request.rules)
        campaign = await storage.campaigns.create(
            self._db,
            campaign_id=ids.new(storage.campaigns.PREFIX),
            rules=request.rules.SerializeToString(),
            request_id=request.request_id,
            request=request.SerializeToString(),
            now=self._now(),
        )
        if campaign is None:
            campaign = await self._first_answer(request)
        return campaign_service_pb2.CreateCampaignResponse(campaign=_show(campaign))

    async def _first_answer(self, request: campaign_service_pb2.CreateCampaignRequest) -> Campaign:
        campaign, before = await storage.campaigns.find_by_request(self._db, request.request_id)
        first = campaign_service_pb2.CreateCampaignRequest.FromString(before)
        if difference := differences.find_difference(first, request):
            raise errors.RequestConflict(field=difference)
        return campaign

    async def UpdateCampaign(
        self, request: campaign_service_pb2.UpdateCampaignRequest, context: Context
    ) -> campaign_service_pb2.UpdateCampaignResponse:
        """Replace a draft's rules."""
        _require_sound(request.rules)
        campaign = await storage.campaigns.replace_rules(
            self._db,
            request.campaign_id,
            version=request.version,
            rules=request.rules.SerializeToString(),
        )
        if campaign is None:
            found = await self._find(request.campaign_id)
            if found.state != storage.campaigns.DRAFT:
                raise errors.CampaignState(campaign_id=found.campaign_id, state=found.state)
            raise errors.VersionConflict(version=found.version)
        return campaign_service_pb2.UpdateCampaignResponse(campaign=_show(campaign))

    async def PublishCampaigns(
        self, request: campaign_service_pb2.PublishCampaignsRequest, context: Context
    ) -> campaign_service_pb2.PublishCampaignsResponse:
        """Put drafts live, all in one new rule set."""
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            drafts = _drafts(await storage.campaigns.lock(tx, request.campaign_ids), request)
            ruleset = await self._publish(tx, drafts) if drafts else None
            version = await storage.campaigns.ruleset_head(tx)
            held = await storage.campaigns.lock(tx, request.campaign_ids)
        if ruleset is not None:
            self._sets.offer(ruleset)
            self._relay.nudge()
        return campaign_service_pb2.PublishCampaignsResponse(
            ruleset_version=version,
            campaigns=[_show(held[campaign_id]) for campaign_id in request.campaign_ids],
        )

    async def _publish(
        self, tx: database.Transaction, drafts: Sequence[Campaign]
    ) -> engine.Ruleset:
        """Put drafts live in a new rule set: compiled here, and with their room in the ledger."""
        added = [Revision(draft.campaign_id, draft.version, draft.rules) for draft in drafts]
        held = await storage.campaigns.live(tx)
        # Campaigns that are live keep their codes, so they come first.
        for taken in engine.find_taken_codes(rulesets.parse([*held, *added], self._sets.current)):
            raise errors.CodeTaken(code=taken.code, campaign_id=taken.campaign_id)
        revisions = sorted([*held, *added], key=lambda revision: revision.campaign_id)
        version = await storage.campaigns.ruleset_head(tx) + 1
        ruleset = await self._compile(revisions, version)
        new = [ruleset.find(draft.campaign_id) for draft in drafts]
        campaigns = [campaign for campaign in new if campaign is not None]
        await self._rooms.prepare(campaigns, now=self._now())
        await storage.campaigns.take_live(
            tx,
            [draft.campaign_id for draft in drafts],
            codes=_codes(campaigns),
            ruleset_version=version,
            now=self._now(),
        )
        await self._add_ruleset(tx, version, revisions, [draft.campaign_id for draft in drafts])
        return ruleset

    async def _compile(self, revisions: Sequence[Revision], version: int) -> engine.Ruleset:
        try:
            return await self._sets.compile(revisions, version=version)
        except engine.RulesetInvalid as error:
            campaign_id, first = error.problems[0]
            raise errors.CampaignInvalid(
                field=first.field, problem=first.problem, campaign_id=campaign_id
            ) from None

    async def _add_ruleset(
        self,
        tx: database.Transaction,
        version: int,
        revisions: Sequence[Revision],
        changed: Iterable[str],
    ) -> None:
        now = self._now()
        await storage.campaigns.add_ruleset(tx, version, revisions, now=now)
        await storage.news.announce(tx, storage.news.RULESET)
        told = [
            events.tell_published(
                version=version, campaign_id=campaign_id, campaign_count=len(revisions), now=now
            )
            for campaign_id in changed
        ]
        await outbox.append(tx, *told)

    async def EndCampaign(
        self, request: campaign_service_pb2.EndCampaignRequest, context: Context
    ) -> campaign_service_pb2.EndCampaignResponse:
        """Take a live campaign out for good."""
        campaign_id = request.campaign_id
        ruleset = None
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            found = (await storage.campaigns.lock(tx, [campaign_id])).get(campaign_id)
            if found is None:
                raise errors.CampaignNotFound(campaign_id=campaign_id)
            if found.state == storage.campaigns.DRAFT:
                raise errors.CampaignState(campaign_id=campaign_id, state=found.state)
            if found.state == storage.campaigns.LIVE:
                ruleset = await self._take_out(tx, campaign_id)
            ended = (await storage.campaigns.lock(tx, [campaign_id]))[campaign_id]
        if ruleset is not None:
            self._sets.offer(ruleset)
            self._relay.nudge()
        return campaign_service_pb2.EndCampaignResponse(
            campaign=_show(ended), ruleset_version=ended.end_ruleset_version or 0
        )

    async def _take_out(self, tx: database.Transaction, campaign_id: str) -> engine.Ruleset:
        version = await storage.campaigns.ruleset_head(tx) + 1
        await storage.campaigns.end(tx, campaign_id, ruleset_version=version)
        revisions = await storage.campaigns.live(tx)
        ruleset = await self._sets.compile(revisions, version=version)
        await self._add_ruleset(tx, version, revisions, [campaign_id])
        return ruleset

    async def GetCampaign(
        self, request: campaign_service_pb2.GetCampaignRequest, context: Context
    ) -> campaign_service_pb2.GetCampaignResponse:
        """Read a campaign."""
        campaign = await self._find(request.campaign_id)
        return campaign_service_pb2.GetCampaignResponse(campaign=_show(campaign))

    async def ListCampaigns(
        self, request: campaign_service_pb2.ListCampaignsRequest, context: Context
    ) -> campaign_service_pb2.ListCampaignsResponse:
        """List campaigns, newest first."""
        count, state = pages.count(request.page_size), _NAMES.get(request.state)
        kind = f"campaigns.{state or 'all'}"
        before = pages.read(kind, request.page_token) or None
        found = await storage.campaigns.list_newest(
            self._db, state=state, before=before, count_max=count + 1
        )
        response = campaign_service_pb2.ListCampaignsResponse(
            campaigns=[_show(campaign) for campaign in found[:count]]
        )
        if len(found) > count:
            response.next_page_token = pages.write(kind, found[count - 1].campaign_id)
        return response

    async def GrantCoupons(
        self, request: campaign_service_pb2.GrantCouponsRequest, context: Context
    ) -> campaign_service_pb2.GrantCouponsResponse:
        """Grant members uses of a live personal coupon."""
        grant = await storage.campaigns.find_grant(self._db, request.request_id)
        if grant is None:
            await self._require_personal(request.campaign_id)
            grant = await storage.campaigns.add_grant(
                self._db,
                request.request_id,
                campaign_id=request.campaign_id,
                request=request.SerializeToString(),
                now=self._now(),
            )
        first = campaign_service_pb2.GrantCouponsRequest.FromString(grant.request)
        if difference := differences.find_difference(first, request):
            raise errors.RequestConflict(field=difference)
        await self._rooms.grant(
            request.request_id,
            campaign_id=request.campaign_id,
            member_ids=request.member_ids,
            uses=request.uses,
            now=grant.create_time,
        )
        return campaign_service_pb2.GrantCouponsResponse(granted_count=len(request.member_ids))

    async def _require_personal(self, campaign_id: str) -> None:
        campaign = await self._find(campaign_id)
        if campaign.state != storage.campaigns.LIVE:
            raise errors.CampaignState(campaign_id=campaign_id, state=campaign.state)
        promised = campaign_pb2.CampaignRules.FromString(campaign.rules)
        if not promised.trigger.coupon.personal:
            raise errors.CouponNotPersonal(campaign_id=campaign_id)

    async def _find(self, campaign_id: str) -> Campaign:
        campaign = await storage.campaigns.find(self._db, campaign_id)
        if campaign is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        return campaign


def _require_sound(sent: campaign_pb2.CampaignRules) -> None:
    """Raise CampaignInvalid with the first problem of the rules."""
    for problem in engine.find_problems(rules.parse_rules(sent)):
        raise errors.CampaignInvalid(field=problem.field, problem=problem.problem)


def _drafts(
    found: dict[str, Campaign], request: campaign_service_pb2.PublishCampaignsRequest
) -> list[Campaign]:
    """Return those that are not live yet; raises CampaignNotFound or CampaignState."""
    for campaign_id in request.campaign_ids:
        if campaign_id not in found:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        if found[campaign_id].state == storage.campaigns.ENDED:
            raise errors.CampaignState(campaign_id=campaign_id, state=storage.campaigns.ENDED)
    return [one for one in found.values() if one.state == storage.campaigns.DRAFT]


def _codes(campaigns: Iterable[engine.Campaign]) -> list[tuple[str, str]]:
    """Return the coupon codes of campaigns in capitals, each once."""
    codes = {}
    for campaign in campaigns:
        if isinstance(campaign.rules.trigger, engine.CouponTrigger):
            for code in campaign.rules.trigger.codes:
                codes[code.upper()] = campaign.campaign_id
    return list(codes.items())


def _show(campaign: Campaign) -> campaign_pb2.Campaign:
    return campaign_pb2.Campaign(
        campaign_id=campaign.campaign_id,
        version=campaign.version,
        state=_STATES[campaign.state],
        rules=campaign_pb2.CampaignRules.FromString(campaign.rules),
        create_time=timestamps.show(campaign.create_time),
        publish_time=timestamps.show(campaign.publish_time),
        publish_ruleset_version=campaign.publish_ruleset_version or 0,
    )
