"""Campaigns as the contract shows them."""

from datetime import datetime

from tessera.promotions.v1 import campaign_pb2

from services.chassis import timestamps
from services.promotions import publishing
from services.promotions.storage.campaigns import Campaign, Version
from services.promotions.storage.history import Change

_STATE = "CAMPAIGN_STATE_"
_ACTION = "CAMPAIGN_ACTION_"


def show(campaign: Campaign, now: datetime) -> campaign_pb2.Campaign:
    """Return a campaign as it is at `now`."""
    shown = campaign_pb2.Campaign(
        campaign_id=campaign.campaign_id,
        version=campaign.version,
        state=campaign_pb2.CampaignState.Value(_STATE + campaign.state_at(now)),
        rules=campaign_pb2.CampaignRules.FromString(campaign.rules),
        create_time=timestamps.show(campaign.create_time),
        publish_time=timestamps.show(campaign.publish_time),
        publish_ruleset_version=campaign.publish_ruleset_version or 0,
        key=campaign.key,
        live_version=campaign.live_version,
        paused=campaign.paused or campaign.template_paused,
        author_id=campaign.author_id,
        template_id=campaign.template_id,
    )
    if campaign.template_id:
        terms = publishing.read_terms(campaign)
        shown.store_ids.extend(terms.store_ids)
        shown.arguments.extend(terms.arguments)
    return shown


def show_version(campaign_id: str, version: Version) -> campaign_pb2.CampaignVersion:
    """Return one version of a campaign."""
    return campaign_pb2.CampaignVersion(
        campaign_id=campaign_id,
        version=version.version,
        rules=campaign_pb2.CampaignRules.FromString(version.rules),
        author_id=version.author_id,
        create_time=timestamps.show(version.create_time),
    )


def show_change(change: Change) -> campaign_pb2.CampaignChange:
    """Return something that was done to a campaign."""
    return campaign_pb2.CampaignChange(
        action=campaign_pb2.CampaignAction.Value(_ACTION + change.action),
        version=change.version,
        actor_id=change.actor_id,
        comment=change.comment,
        change_time=timestamps.show(change.change_time),
    )


def read_state(state: campaign_pb2.CampaignState.ValueType) -> str | None:
    """Return a state as storage calls it; None for unspecified."""
    if state == campaign_pb2.CAMPAIGN_STATE_UNSPECIFIED:
        return None
    return campaign_pb2.CampaignState.Name(state).removeprefix(_STATE)
