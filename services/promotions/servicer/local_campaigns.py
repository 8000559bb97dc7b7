"""LocalCampaignService: what stores and regions make of the chain's templates."""

from typing import Any

import grpc
from tessera.promotions.v1 import (
    campaign_pb2,
    local_campaign_service_pb2,
    local_campaign_service_pb2_grpc,
)

from services.chassis import auth, clock, database, differences, ids
from services.promotions import errors, publishing, storage
from services.promotions.checkout import permissions
from services.promotions.publishing import Actor
from services.promotions.servicer import shown
from services.promotions.storage.campaigns import Campaign

Context = grpc.aio.ServicerContext[Any, Any]
_Start = local_campaign_service_pb2.StartLocalCampaignRequest


class LocalCampaignServicer(local_campaign_service_pb2_grpc.LocalCampaignServiceServicer):
    """Lets local managers set parameters within bounds, for their stores."""

    def __init__(
        self, db: database.Database, *, publisher: publishing.Publishing, now: clock.Clock
    ) -> None:
        self._db = db
        self._publisher = publisher
        self._now = now

    async def StartLocalCampaign(
        self, request: _Start, context: Context
    ) -> local_campaign_service_pb2.StartLocalCampaignResponse:
        """Make a local campaign and put it live."""
        _require_stores(request)
        actor = Actor(auth.current().client_id, request.comment)
        ruleset = None
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            campaign = await self._find_first(tx, request)
            if campaign is None:
                campaign = await self._draft(tx, request, actor)
                ruleset = await self._publisher.put_live(tx, [campaign], actor)
            campaign = (await storage.campaigns.lock(tx, [campaign.campaign_id])).popitem()[1]
            version = await storage.campaigns.ruleset_head(tx)
        self._publisher.tell(ruleset)
        return local_campaign_service_pb2.StartLocalCampaignResponse(
            campaign=shown.show(campaign, self._now()), ruleset_version=version
        )

    async def _find_first(self, tx: database.Transaction, request: _Start) -> Campaign | None:
        """Return what the same request has made before; raises RequestConflict."""
        found = await storage.campaigns.find_by_request(tx, request.request_id)
        if found is None:
            return None
        campaign, before = found
        if not campaign.template_id:
            raise errors.RequestConflict(field="template_id")
        if difference := differences.find_difference(_Start.FromString(before), request):
            raise errors.RequestConflict(field=difference)
        return campaign

    async def _draft(self, tx: database.Transaction, request: _Start, actor: Actor) -> Campaign:
        template = await self._live_template(tx, request.template_id)
        made = publishing.make_local(template, request)
        terms = _Start(store_ids=request.store_ids, arguments=request.arguments)
        campaign = await storage.campaigns.create(
            tx,
            campaign_id=ids.new(storage.campaigns.PREFIX),
            rules=made.SerializeToString(deterministic=True),
            request_id=request.request_id,
            request=request.SerializeToString(),
            key="",
            author_id=actor.client_id,
            now=self._now(),
            template_id=request.template_id,
            local_terms=terms.SerializeToString(deterministic=True),
        )
        assert campaign is not None  # the lock keeps everybody else from this request id
        await self._publisher.note(tx, campaign, "CREATED", actor)
        return campaign

    async def _live_template(
        self, tx: database.Transaction, template_id: str
    ) -> campaign_pb2.CampaignRules:
        """Return the live rules of a template that may be used now."""
        found = (await storage.campaigns.lock(tx, [template_id])).get(template_id)
        if found is None:
            raise errors.CampaignNotFound(campaign_id=template_id)
        version = await storage.campaigns.find_version(tx, template_id, found.live_version)
        over = found.end_time is not None and found.end_time <= self._now()
        if version is None or over or found.paused or found.state == storage.campaigns.ENDED:
            state = found.state_at(self._now())
            raise errors.CampaignState(campaign_id=template_id, state=state)
        if not found.is_template:
            raise errors.CampaignNotTemplate(campaign_id=template_id)
        return campaign_pb2.CampaignRules.FromString(version.rules)

    async def AdaptLocalCampaign(
        self, request: local_campaign_service_pb2.AdaptLocalCampaignRequest, context: Context
    ) -> local_campaign_service_pb2.AdaptLocalCampaignResponse:
        """Set the stores and parameters of a local campaign anew."""
        _require_stores(request)
        actor = Actor(auth.current().client_id, request.comment)
        async with self._db.transaction() as tx:
            await storage.campaigns.lock_publishing(tx)
            local = await self._own(tx, request.campaign_id)
            if local.state == storage.campaigns.ENDED:
                raise errors.CampaignState(campaign_id=local.campaign_id, state=local.state)
            if local.version != request.version:
                raise errors.VersionConflict(version=local.version)
            publishing.require_room(local)
            terms = _Start(store_ids=request.store_ids, arguments=request.arguments)
            made = publishing.make_local(await self._live_template(tx, local.template_id), terms)
            written = await self._publisher.write_local(tx, local, made, terms, actor)
            await self._publisher.note(tx, written, "UPDATED", actor)
            await storage.campaigns.set_paused(tx, local.campaign_id, paused=False)
            ruleset = await self._publisher.put_live(tx, [written], actor)
            campaign = (await storage.campaigns.lock(tx, [local.campaign_id])).popitem()[1]
        self._publisher.tell(ruleset)
        return local_campaign_service_pb2.AdaptLocalCampaignResponse(
            campaign=shown.show(campaign, self._now()), ruleset_version=ruleset.version
        )

    async def EndLocalCampaign(
        self, request: local_campaign_service_pb2.EndLocalCampaignRequest, context: Context
    ) -> local_campaign_service_pb2.EndLocalCampaignResponse:
        """Take a local campaign out for good."""
        async with self._db.transaction() as tx:
            await self._own(tx, request.campaign_id)
        actor = Actor(auth.current().client_id, request.comment)
        answer = await self._publisher.end(request.campaign_id, actor)
        return local_campaign_service_pb2.EndLocalCampaignResponse(
            campaign=shown.show(answer.campaigns[request.campaign_id], self._now()),
            ruleset_version=answer.ruleset_version,
        )

    async def _own(self, tx: database.Transaction, campaign_id: str) -> Campaign:
        """Return a local campaign all of whose stores the caller may act for."""
        found = (await storage.campaigns.lock(tx, [campaign_id])).get(campaign_id)
        if found is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        if not found.template_id:
            raise errors.CampaignNotLocal(campaign_id=campaign_id)
        _require_stores(publishing.read_terms(found))
        return found


def _require_stores(terms: Any) -> None:
    for store_id in terms.store_ids:
        permissions.require_store(store_id)
