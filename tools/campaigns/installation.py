"""The installation that a command talks to, through its gateway."""

import builtins
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import grpc
import typer
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    catalogue_service_pb2,
    catalogue_service_pb2_grpc,
    program_pb2,
    program_service_pb2,
    program_service_pb2_grpc,
)

from services.chassis import clients, config, errors, ids, status
from tools.campaigns import comparing
from tools.campaigns.comparing import Kind
from tools.stack import layout
from tools.stack.state import State

_CAMPAIGNS = "tessera.promotions.v1.CampaignService"
_CATALOGUE = "tessera.promotions.v1.CatalogueService"
_PROGRAMS = "tessera.promotions.v1.ProgramService"
_PAGE = 200

Difference: TypeAlias = comparing.Difference[campaign_pb2.CampaignRules, campaign_pb2.Campaign]
ProgramDifference: TypeAlias = comparing.Difference[program_pb2.ProgramRules, program_pb2.Program]
Gateway = Annotated[
    str,
    typer.Option(
        help="The gateway's host:port; that of the stack in the clone by default.",
        envvar="TESSERA_GATEWAY",
    ),
]
Client = Annotated[str, typer.Option(help="The API client.", envvar="TESSERA_CLIENT")]
SecretFile = Annotated[
    Path | None,
    typer.Option(help="The file of the client's secret.", envvar="TESSERA_SECRET_FILE"),
]


class Refused(Exception):  # noqa: N818  a refusal is an answer, not an error of ours
    """The installation said no, or nothing."""

    def __init__(self, what: str, answer: status.Answer) -> None:
        where = answer.metadata.get("field", "")
        place = f" ({where}: {answer.metadata.get('problem', '')})" if where else ""
        super().__init__(
            f"{what}: {answer.reason or answer.category.name}: {answer.message}{place}"
        )
        self.reason = answer.reason


@dataclass(frozen=True)
class Address:
    """Where an installation answers, and as whom it is asked."""

    gateway: str
    client_id: str
    secret_file: Path


def find(gateway: str, client_id: str, secret_file: Path | None) -> Address:
    """Return the installation that the options name; raises typer.BadParameter."""
    home = layout.at(None)
    if not gateway:
        state = State.load(home)
        if state is None:
            raise typer.BadParameter("no stack runs here: name a gateway", param_hint="--gateway")
        gateway = state.address("gateway")
    secret = secret_file or home.secrets / f"client-{client_id}"
    if not secret.exists():
        raise typer.BadParameter(f"there is no {secret}", param_hint="--secret-file")
    return Address(gateway, client_id, secret)


class Installation:
    """Campaigns and programs of an installation."""

    def __init__(
        self,
        campaigns: grpc.aio.Channel,
        catalogue: grpc.aio.Channel,
        programs: grpc.aio.Channel,
    ) -> None:
        self._programs = program_service_pb2_grpc.ProgramServiceStub(programs)
        self._campaigns = campaign_service_pb2_grpc.CampaignServiceStub(campaigns)
        self._catalogue = catalogue_service_pb2_grpc.CatalogueServiceStub(catalogue)

    async def list(self, keys: Sequence[str] = ()) -> list[campaign_pb2.Campaign]:
        """Return campaigns, newest first; all unless names are given."""
        found: list[campaign_pb2.Campaign] = []
        token = ""
        while True:
            request = campaign_service_pb2.ListCampaignsRequest(
                page_size=_PAGE, page_token=token, keys=keys
            )
            page = await _ask("list", self._campaigns.ListCampaigns(request))
            found += page.campaigns
            token = page.next_page_token
            if not token:
                return found

    async def list_programs(self) -> builtins.list[program_pb2.Program]:
        """Return the live programs, newest first."""
        found: list[program_pb2.Program] = []
        token = ""
        while True:
            request = program_service_pb2.ListProgramsRequest(
                state=program_pb2.PROGRAM_STATE_LIVE, page_size=_PAGE, page_token=token
            )
            page = await _ask("programs", self._programs.ListPrograms(request))
            found += page.programs
            token = page.next_page_token
            if not token:
                return found

    async def write_program(
        self, difference: ProgramDifference, *, currency: str, comment: str
    ) -> program_pb2.Program:
        """Make a program as the file has it, or write its next version."""
        key, rules, there = difference.key, difference.rules, difference.there
        if there is not None:
            update = program_service_pb2.UpdateProgramRequest(
                program_id=there.program_id,
                version=there.version,
                rules=rules,
                currency_code=currency,
                comment=comment,
            )
            return _program_of(await _ask(key, self._programs.UpdateProgram(update)))
        # A name belongs to one live program, so a repeated call is refused and makes no second one.
        create = program_service_pb2.CreateProgramRequest(
            request_id=ids.new("apply"),
            key=key,
            rules=rules,
            currency_code=currency,
            comment=comment,
        )
        return _program_of(await _ask(key, self._programs.CreateProgram(create)))

    async def rules_of(
        self, campaign: campaign_pb2.Campaign, version: int
    ) -> campaign_pb2.CampaignRules:
        """Return what a version of a campaign promises."""
        if version == campaign.version:
            return campaign.rules
        request = campaign_service_pb2.GetCampaignVersionRequest(
            campaign_id=campaign.campaign_id, version=version
        )
        answer = await _ask(campaign.key, self._campaigns.GetCampaignVersion(request))
        rules: campaign_pb2.CampaignRules = answer.campaign_version.rules
        return rules

    async def find_currency(self) -> str:
        """Return the currency of the stores; empty when there are none."""
        request = catalogue_service_pb2.ListStoresRequest(page_size=1)
        answer = await _ask("stores", self._catalogue.ListStores(request))
        return next((store.currency_code for store in answer.stores), "")

    async def write(
        self, difference: Difference, *, currency: str, comment: str, after: str
    ) -> campaign_pb2.Campaign:
        """Write a campaign as the file has it; repeating it writes nothing more.

        `after` is the campaign that had the name before and has ended, if any.
        """
        key, rules, there = difference.key, difference.rules, difference.there
        if there is not None and difference.kind is not Kind.CHANGED:
            return there
        if there is not None:
            update = campaign_service_pb2.UpdateCampaignRequest(
                campaign_id=there.campaign_id,
                version=there.version,
                rules=rules,
                currency_code=currency,
                comment=comment,
            )
            return _campaign_of(await _ask(key, self._campaigns.UpdateCampaign(update)))
        create = campaign_service_pb2.CreateCampaignRequest(
            key=key, rules=rules, currency_code=currency, comment=comment
        )
        told = create.SerializeToString(deterministic=True) + after.encode()
        create.request_id = f"apply-{hashlib.sha256(told).hexdigest()[:40]}"
        return _campaign_of(await _ask(key, self._campaigns.CreateCampaign(create)))

    async def submit(
        self, campaign: campaign_pb2.Campaign, *, comment: str
    ) -> campaign_pb2.Campaign:
        """Hand a draft in for review."""
        request = campaign_service_pb2.SubmitCampaignRequest(
            campaign_id=campaign.campaign_id, version=campaign.version, comment=comment
        )
        submitted = await _ask(campaign.key, self._campaigns.SubmitCampaign(request))
        return _campaign_of(submitted)

    async def publish(self, campaigns: Sequence[campaign_pb2.Campaign], *, comment: str) -> int:
        """Put campaigns live together; return the rule set."""
        request = campaign_service_pb2.PublishCampaignsRequest(
            campaign_ids=[one.campaign_id for one in campaigns], comment=comment
        )
        answer = await _ask("publish", self._campaigns.PublishCampaigns(request))
        version: int = answer.ruleset_version
        return version


def _program_of(answer: Any) -> program_pb2.Program:
    program: program_pb2.Program = answer.program
    return program


def _campaign_of(answer: Any) -> campaign_pb2.Campaign:
    campaign: campaign_pb2.Campaign = answer.campaign
    return campaign


async def _ask(what: str, call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise Refused(what, status.read(error)) from None
    except errors.Refusal as refusal:
        answer = status.Answer(refusal.category, refusal.message, refusal.reason, refusal.domain)
        raise Refused(what, answer) from None


@asynccontextmanager
async def connect(address: Address) -> AsyncIterator[Installation]:
    """Open the installation for the block."""
    tokens = clients.Tokens(
        config.AuthSettings(
            token_url=f"http://{address.gateway}/oauth2/token",
            client_id=address.client_id,
            client_secret_file=address.secret_file,
        )
    )
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                clients.channel(address.gateway, service=service, tokens=tokens)
            )
            for service in (_CAMPAIGNS, _CATALOGUE, _PROGRAMS)
        ]
        yield Installation(*channels)
