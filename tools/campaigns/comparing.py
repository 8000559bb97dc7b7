"""Campaigns in files against campaigns in an installation."""

import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tessera.promotions.v1 import campaign_pb2

from services.promotions.text import references, writing

Rules = campaign_pb2.CampaignRules
_STATE = "CAMPAIGN_STATE_"


class Kind(enum.Enum):
    """How a campaign of a file stands to the installation."""

    NEW = "new"
    CHANGED = "changed"
    WAITING = "waiting"
    SAME = "same"


@dataclass(frozen=True)
class Difference:
    """One campaign of the files; `there` is what the installation has under its name.

    WAITING has the same rules, and its newest version is not live.
    """

    key: str
    kind: Kind
    rules: Rules
    there: campaign_pb2.Campaign | None
    lines: tuple[str, ...]

    @property
    def state(self) -> str:
        """Return the state there in words."""
        return "" if self.there is None else show_state(self.there)


def show_state(campaign: campaign_pb2.Campaign) -> str:
    """Return a campaign's state in words."""
    name = campaign_pb2.CampaignState.Name(campaign.state).removeprefix(_STATE)
    shown = name.lower().replace("_", " ")
    if campaign.live_version and campaign.live_version != campaign.version:
        shown += f", version {campaign.live_version} is {'paused' if campaign.paused else 'live'}"
    return f"version {campaign.version} {shown}"


def latest(campaigns: Iterable[campaign_pb2.Campaign]) -> dict[str, campaign_pb2.Campaign]:
    """Return the campaigns that have not ended, by name."""
    ended = campaign_pb2.CAMPAIGN_STATE_ENDED
    return {one.key: one for one in campaigns if one.key and one.state != ended}


def compare(
    here: Mapping[str, Rules], there: Mapping[str, campaign_pb2.Campaign], *, currency: str
) -> list[Difference]:
    """Return every campaign of the files, in their order.

    `here` names campaigns by the ids that stand for their names.
    """
    stands = {one.campaign_id: references.placeholder(key) for key, one in there.items()}
    names = {references.placeholder(key): key for key in {*here, *there}}
    found = []
    for key, rules in here.items():
        other = there.get(key)
        if other is None:
            kind, before = Kind.NEW, []
        else:
            promised = references.replace(other.rules, stands)
            before = _lines(promised, currency, names)
            waiting = other.version != other.live_version
            same = promised == rules
            kind = Kind.CHANGED if not same else Kind.WAITING if waiting else Kind.SAME
        after = _lines(rules, currency, names)
        changed = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
        found.append(Difference(key, kind, rules, other, tuple(changed)))
    return found


def _lines(rules: Rules, currency: str, names: Mapping[str, str]) -> list[str]:
    return writing.dump(writing.write_rules(rules, currency=currency, names=names)).splitlines()
