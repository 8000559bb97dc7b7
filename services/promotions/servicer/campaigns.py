"""CampaignService: the life of campaigns."""

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
)

from services.chassis import auth, clock, database, differences, ids
from services.promotions import engine, errors, preparation, publishing, storage
from services.promotions.publishing import Actor
from services.promotions.servicer import shown
from services.promotions.storage.campaigns import Campaign
from services.promotions.wire import pages, rules, templates

Context = grpc.aio.ServicerContext[Any, Any]


class CampaignServicer(campaign_service_pb2_grpc.CampaignServiceServicer):
    """Keeps drafts, lets them be reviewed, puts them live and takes them out."""

    def __init__(
        self,
        db: database.Database,
        *,
        publisher: publishing.Publishing,
        rooms: preparation.Preparation,
        currency_code: str,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._publisher = publisher
        self._rooms = rooms
        self._currency_code = currency_code
        self._now = now

    async def CreateCampaign(
        self, request: campaign_service_pb2.CreateCampaignRequest, context: Context
    ) -> campaign_service_pb2.CreateCampaignResponse:
        """Make a draft."""
        self._require_currency(request.currency_code)
        require_sound(request.rules)
        actor = Actor(auth.current().client_id, request.comment)
        async with self._db.transaction() as tx:
            campaign = await storage.campaigns.create(
                tx,
                campaign_id=ids.new(storage.campaigns.PREFIX),
                rules=request.rules.SerializeToString(),
                request_id=request.request_id,
                request=request.SerializeToString(),
                key=request.key,
                author_id=actor.client_id,
                now=self._now(),
            )
            if campaign is not None:
                await self._publisher.note(tx, campaign, "CREATED", actor)
        if campaign is None:
            campaign = await self._first_answer(request)
        return campaign_service_pb2.CreateCampaignResponse(
            campaign=self._show(campaign), warnings=self._warn(campaign)
        )

    async def _first_answer(self, request: campaign_service_pb2.CreateCampaignRequest) -> Campaign:
        found = await storage.campaigns.find_by_request(self._db, request.request_id)
        if found is None:
            owner = await storage.campaigns.find_by_key(self._db, request.key)
            campaign_id = "" if owner is None else owner.campaign_id
            raise errors.CampaignKeyTaken(key=request.key, campaign_id=campaign_id)
        campaign, before = found
        if campaign.template_id:
            raise errors.RequestConflict(field="template_id")
        first = campaign_service_pb2.CreateCampaignRequest.FromString(before)
        if difference := differences.find_difference(first, request):
            raise errors.RequestConflict(field=difference)
        return campaign

    def _require_currency(self, currency_code: str) -> None:
        if currency_code not in {"", self._currency_code}:
            raise errors.CurrencyMismatch(
                currency_code=currency_code, expected_currency_code=self._currency_code
            )

    async def UpdateCampaign(
        self, request: campaign_service_pb2.UpdateCampaignRequest, context: Context
    ) -> campaign_service_pb2.UpdateCampaignResponse:
        """Write the next version."""
        self._require_currency(request.currency_code)
        require_sound(request.rules)
        actor = Actor(auth.current().client_id, request.comment)
        async with self._db.transaction() as tx:
            found = await self._lock(tx, request.campaign_id)
            if found.template_id:
                raise errors.CampaignState(campaign_id=found.campaign_id, state="LOCAL")
            if found.state == storage.campaigns.ENDED:
                raise errors.CampaignState(campaign_id=found.campaign_id, state=found.state)
            _require_version(found, request.version)
            publishing.require_room(found)
            campaign = await storage.campaigns.write_version(
                tx,
                request.campaign_id,
                version=request.version,
                rules=request.rules.SerializeToString(),
                author_id=actor.client_id,
                now=self._now(),
            )
            assert campaign is not None
            await self._publisher.note(tx, campaign, "UPDATED", actor)
        return campaign_service_pb2.UpdateCampaignResponse(
            campaign=self._show(campaign), warnings=self._warn(campaign)
        )

    async def SubmitCampaign(
        self, request: campaign_service_pb2.SubmitCampaignRequest, context: Context
    ) -> campaign_service_pb2.SubmitCampaignResponse:
        """Hand a draft in for review."""
        campaign = await self._move(
            request, "SUBMITTED", (storage.campaigns.DRAFT,), storage.campaigns.IN_REVIEW
        )
        return campaign_service_pb2.SubmitCampaignResponse(campaign=self._show(campaign))

    async def ApproveCampaign(
        self, request: campaign_service_pb2.ApproveCampaignRequest, context: Context
    ) -> campaign_service_pb2.ApproveCampaignResponse:
        """Agree with a campaign in review."""
        campaign = await self._move(
            request, "APPROVED", (storage.campaigns.IN_REVIEW,), storage.campaigns.APPROVED
        )
        return campaign_service_pb2.ApproveCampaignResponse(campaign=self._show(campaign))

    async def RejectCampaign(
        self, request: campaign_service_pb2.RejectCampaignRequest, context: Context
    ) -> campaign_service_pb2.RejectCampaignResponse:
        """Give a campaign back to its author."""
        sources = (storage.campaigns.IN_REVIEW, storage.campaigns.APPROVED)
        campaign = await self._move(request, "REJECTED", sources, storage.campaigns.DRAFT)
        return campaign_service_pb2.RejectCampaignResponse(campaign=self._show(campaign))

    async def _move(
        self, request: Any, action: str, sources: Iterable[str], target: str
    ) -> Campaign:
        """Bring a campaign from one of the sources to a state; one that is there counts as done.

        A rejection is none of these that would: its target is where every draft begins.
        """
        actor = Actor(auth.current().client_id, request.comment)
        async with self._db.transaction() as tx:
            found = await self._lock(tx, request.campaign_id)
            _require_version(found, request.version)
            if action == "APPROVED":
                await self._require_other(tx, found, actor)
            if found.state == target and action != "REJECTED":
                return found
            moved = await storage.campaigns.move(
                tx, request.campaign_id, version=request.version, sources=sources, target=target
            )
            if moved is None:
                state = found.state_at(self._now())
                raise errors.CampaignState(campaign_id=found.campaign_id, state=state)
            await self._publisher.note(tx, moved, action, actor)
        return moved

    async def _require_other(
        self, tx: database.Transaction, campaign: Campaign, actor: Actor
    ) -> None:
        if actor.client_id in await storage.campaigns.find_writers(tx, campaign):
            raise errors.ApproverIsAuthor(campaign_id=campaign.campaign_id)

    async def _lock(self, tx: database.Transaction, campaign_id: str) -> Campaign:
        found = (await storage.campaigns.lock(tx, [campaign_id])).get(campaign_id)
        if found is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        return found

    async def PublishCampaigns(
        self, request: campaign_service_pb2.PublishCampaignsRequest, context: Context
    ) -> campaign_service_pb2.PublishCampaignsResponse:
        """Put the newest versions live, all in one new rule set."""
        answer = await self._publisher.publish(request.campaign_ids, _actor(request))
        campaigns = [answer.campaigns[one] for one in request.campaign_ids]
        return campaign_service_pb2.PublishCampaignsResponse(
            ruleset_version=answer.ruleset_version,
            campaigns=map(self._show, campaigns),
            warnings=[warning for one in campaigns for warning in self._warn(one)],
        )

    async def PauseCampaign(
        self, request: campaign_service_pb2.PauseCampaignRequest, context: Context
    ) -> campaign_service_pb2.PauseCampaignResponse:
        """Take what is live out for a while."""
        answer = await self._publisher.pause(request.campaign_id, _actor(request))
        return campaign_service_pb2.PauseCampaignResponse(
            campaign=self._show(answer.campaigns[request.campaign_id]),
            ruleset_version=answer.ruleset_version,
        )

    async def ResumeCampaign(
        self, request: campaign_service_pb2.ResumeCampaignRequest, context: Context
    ) -> campaign_service_pb2.ResumeCampaignResponse:
        """Put back what was paused."""
        answer = await self._publisher.resume(request.campaign_id, _actor(request))
        return campaign_service_pb2.ResumeCampaignResponse(
            campaign=self._show(answer.campaigns[request.campaign_id]),
            ruleset_version=answer.ruleset_version,
        )

    async def EndCampaign(
        self, request: campaign_service_pb2.EndCampaignRequest, context: Context
    ) -> campaign_service_pb2.EndCampaignResponse:
        """Take a live campaign out for good."""
        answer = await self._publisher.end(request.campaign_id, _actor(request))
        ended = answer.campaigns[request.campaign_id]
        return campaign_service_pb2.EndCampaignResponse(
            campaign=self._show(ended), ruleset_version=ended.end_ruleset_version or 0
        )

    async def GetCampaign(
        self, request: campaign_service_pb2.GetCampaignRequest, context: Context
    ) -> campaign_service_pb2.GetCampaignResponse:
        """Read a campaign."""
        campaign = await self._find(request.campaign_id)
        return campaign_service_pb2.GetCampaignResponse(campaign=self._show(campaign))

    async def GetCampaignVersion(
        self, request: campaign_service_pb2.GetCampaignVersionRequest, context: Context
    ) -> campaign_service_pb2.GetCampaignVersionResponse:
        """Read any version of a campaign."""
        campaign_id = request.campaign_id
        version = await storage.campaigns.find_version(self._db, campaign_id, request.version)
        if version is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        return campaign_service_pb2.GetCampaignVersionResponse(
            campaign_version=shown.show_version(campaign_id, version)
        )

    async def ListCampaigns(
        self, request: campaign_service_pb2.ListCampaignsRequest, context: Context
    ) -> campaign_service_pb2.ListCampaignsResponse:
        """List campaigns, newest first."""
        count, state = pages.count(request.page_size), shown.read_state(request.state)
        kind = f"campaigns.{state or 'all'}"
        found = await storage.campaigns.list_newest(
            self._db,
            state=state,
            keys=request.keys,
            template_id=request.template_id or None,
            before=pages.position(
                kind, request.page_token, pages.identifier(storage.campaigns.PREFIX)
            ),
            now=self._now(),
            count_max=count + 1,
        )
        response = campaign_service_pb2.ListCampaignsResponse(
            campaigns=[self._show(campaign) for campaign in found[:count]]
        )
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].campaign_id)
        return response

    async def ListCampaignChanges(
        self, request: campaign_service_pb2.ListCampaignChangesRequest, context: Context
    ) -> campaign_service_pb2.ListCampaignChangesResponse:
        """List what was done to a campaign, newest first."""
        campaign_id, count = request.campaign_id, pages.count(request.page_size)
        kind = f"changes.{campaign_id}"
        before = pages.position(kind, request.page_token, pages.number)
        await self._find(campaign_id)
        found = await storage.campaigns.CHANGES.newest(
            self._db, campaign_id, before=before, count_max=count + 1
        )
        response = campaign_service_pb2.ListCampaignChangesResponse(
            changes=[shown.show_change(change) for change in found[:count]]
        )
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].change_id)
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
        version = await storage.campaigns.find_version(self._db, campaign_id, campaign.live_version)
        if version is None or campaign.state == storage.campaigns.ENDED:
            raise errors.CampaignState(campaign_id=campaign_id, state=campaign.state)
        promised = campaign_pb2.CampaignRules.FromString(version.rules)
        if not promised.trigger.coupon.personal:
            raise errors.CouponNotPersonal(campaign_id=campaign_id)

    async def _find(self, campaign_id: str) -> Campaign:
        campaign = await storage.campaigns.find(self._db, campaign_id)
        if campaign is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        return campaign

    def _warn(self, campaign: Campaign) -> Iterator[campaign_service_pb2.CampaignWarning]:
        """Return what is doubtful about the newest version."""
        written = rules.parse_rules(campaign_pb2.CampaignRules.FromString(campaign.rules))
        for doubt in engine.find_doubts(written, now=self._now()):
            yield campaign_service_pb2.CampaignWarning(
                campaign_id=campaign.campaign_id, field=doubt.field, problem=doubt.problem
            )

    def _show(self, campaign: Campaign) -> campaign_pb2.Campaign:
        return shown.show(campaign, self._now())


def require_sound(sent: campaign_pb2.CampaignRules) -> None:
    """Raise CampaignInvalid with the first problem of the rules."""
    for problem in [*engine.find_problems(rules.parse_rules(sent)), *templates.find_problems(sent)]:
        raise errors.CampaignInvalid(field=problem.field, problem=problem.problem)


def _require_version(campaign: Campaign, version: int) -> None:
    if campaign.version != version:
        raise errors.VersionConflict(version=campaign.version)


def _actor(request: Any) -> Actor:
    return Actor(auth.current().client_id, request.comment)
