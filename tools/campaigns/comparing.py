"""Campaigns in files against campaigns in an installation."""

import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions.text import references, scalars, writing

Rules = TypeVar("Rules", campaign_pb2.CampaignRules, program_pb2.ProgramRules)
There = TypeVar("There", campaign_pb2.Campaign, program_pb2.Program)
_STATE = "CAMPAIGN_STATE_"


class Kind(enum.Enum):
    """How a campaign of a file stands to the installation."""

    NEW = "new"
    CHANGED = "changed"
    WAITING = "waiting"
    SAME = "same"


@dataclass(frozen=True)
class Difference(Generic[Rules, There]):
    """One campaign or program of the files; `there` is what the installation has under its name.

    WAITING has the same rules, and its newest version is not live. A program never waits so: what
    is written holds, from its day on.
    """

    key: str
    kind: Kind
    rules: Rules
    there: There | None
    lines: tuple[str, ...]

    @property
    def state(self) -> str:
        """Return the state there in words."""
        if self.there is None:
            return ""
        if isinstance(self.there, program_pb2.Program):
            return show_program(self.there)
        return show_state(self.there)


def show_state(campaign: campaign_pb2.Campaign) -> str:
    """Return a campaign's state in words."""
    name = campaign_pb2.CampaignState.Name(campaign.state).removeprefix(_STATE)
    shown = name.lower().replace("_", " ")
    if campaign.live_version and campaign.live_version != campaign.version:
        shown += f", version {campaign.live_version} is {'paused' if campaign.paused else 'live'}"
    return f"version {campaign.version} {shown}"


def show_program(program: program_pb2.Program) -> str:
    """Return in words which version of a program holds."""
    shown = f"version {program.version}"
    if program.live_version == program.version:
        return f"{shown} live"
    day = scalars.write_date(program.start_date)
    return f"{shown} from {day}, version {program.live_version} live"


def latest(campaigns: Iterable[campaign_pb2.Campaign]) -> dict[str, campaign_pb2.Campaign]:
    """Return the campaigns that have not ended, by name."""
    ended = campaign_pb2.CAMPAIGN_STATE_ENDED
    return {one.key: one for one in campaigns if one.key and one.state != ended}


def compare(
    here: Mapping[str, campaign_pb2.CampaignRules],
    there: Mapping[str, campaign_pb2.Campaign],
    *,
    currency: str,
) -> list[Difference[campaign_pb2.CampaignRules, campaign_pb2.Campaign]]:
    """Return every campaign of the files, in their order.

    `here` names campaigns by the ids that stand for their names.
    """
    stands = {one.campaign_id: references.placeholder(key) for key, one in there.items()}
    names = {references.placeholder(key): key for key in {*here, *there}}
    return _compare(here, there, stands, names, currency)


def compare_programs(
    here: Mapping[str, program_pb2.ProgramRules],
    there: Mapping[str, program_pb2.Program],
    campaigns: Mapping[str, campaign_pb2.Campaign],
    *,
    currency: str,
    named: Iterable[str] = (),
) -> list[Difference[program_pb2.ProgramRules, program_pb2.Program]]:
    """Return every program of the files, in their order.

    Rewards name `campaigns`, those of the installation, or the `named` ones of the files.
    """
    stands = {one.campaign_id: references.placeholder(key) for key, one in campaigns.items()}
    names = {references.placeholder(key): key for key in {*campaigns, *named}}
    return _compare(here, there, stands, names, currency)


def _compare(
    here: Mapping[str, Rules],
    there: Mapping[str, There],
    stands: Mapping[str, str],
    names: Mapping[str, str],
    currency: str,
) -> list[Difference[Rules, There]]:
    found = []
    for key, rules in here.items():
        other = there.get(key)
        if other is None:
            kind, before = Kind.NEW, []
        else:
            promised = references.replace(other.rules, stands)
            before = _lines(promised, currency, names)
            waiting = isinstance(other, campaign_pb2.Campaign) and (
                other.version != other.live_version
            )
            same = promised == rules
            kind = Kind.CHANGED if not same else Kind.WAITING if waiting else Kind.SAME
        after = _lines(rules, currency, names)
        changed = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
        found.append(Difference(key, kind, rules, other, tuple(changed)))
    return found


def _lines(rules: Rules, currency: str, names: Mapping[str, str]) -> list[str]:
    return writing.dump(writing.write_rules(rules, currency=currency, names=names)).splitlines()
