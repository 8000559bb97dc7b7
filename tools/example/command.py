"""`python -m tools example`: one store, two articles and two campaigns."""

import asyncio
import time
from pathlib import Path

import typer
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    catalogue_pb2,
    catalogue_service_pb2,
    checkout_pb2,
    checkout_service_pb2,
)

from tools.campaigns import installation, sources
from tools.demo import session
from tools.demo.session import Login, Refused, Session

STORE = "example"
_CURRENCY = "USD"
_MILK, _BANANAS = "example-milk", "example-bananas"
_CAMPAIGNS = Path(__file__).with_name("campaigns.yaml")
_RULESET_S_MAX = 20.0
_POLL_S = 0.1


def example(
    gateway: installation.Gateway = "",
    client: installation.Client = "admin",
    secret_file: installation.SecretFile = None,
) -> None:
    """Load a small shop: the store `example` with milk, bananas and two campaigns of its own.

    Other stores get nothing of it, and doing it again changes nothing.
    """
    address = installation.find(gateway, client, secret_file)
    try:
        asyncio.run(_load(address.gateway, Login(address.client_id, address.secret_file)))
    except Refused as refused:
        typer.echo(str(refused), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"The store {STORE} is open: {_MILK} at 1.99 {_CURRENCY}, {_BANANAS} at 4.50 a kilo")


async def _load(gateway: str, login: Login) -> None:
    async with session.connect(gateway, login) as admin:
        await _stock(admin)
        version = await _publish(admin)
        await _wait(admin, version)


async def _stock(admin: Session) -> None:
    service = admin.catalogue
    await admin.ask(
        "UpsertStores",
        service.UpsertStores,
        catalogue_service_pb2.UpsertStoresRequest(
            stores=[
                catalogue_pb2.Store(
                    store_id=STORE,
                    display_name="Example",
                    time_zone="UTC",
                    currency_code=_CURRENCY,
                )
            ]
        ),
    )
    await admin.ask(
        "UpsertProducts",
        service.UpsertProducts,
        catalogue_service_pb2.UpsertProductsRequest(
            products=[
                catalogue_pb2.Product(sku=_MILK, display_name="Milk"),
                catalogue_pb2.Product(sku=_BANANAS, display_name="Bananas"),
            ]
        ),
    )


async def _publish(admin: Session) -> int:
    """Put the campaigns live that are not; return the rule set that holds all of them."""
    service = admin.campaigns
    wanted = sources.campaigns_of(sources.read([_CAMPAIGNS]))
    listed = await admin.ask(
        "ListCampaigns",
        service.ListCampaigns,
        campaign_service_pb2.ListCampaignsRequest(page_size=200, keys=list(wanted)),
    )
    live = {one.key: one.publish_ruleset_version for one in listed.campaigns if one.live_version}
    written = []
    for key, rules in wanted.items():
        if key in live:
            continue
        request = campaign_service_pb2.CreateCampaignRequest(
            request_id=f"example-{key}", key=key, rules=rules, currency_code=_CURRENCY
        )
        made = await admin.ask("CreateCampaign", service.CreateCampaign, request)
        written.append(made.campaign.campaign_id)
    if not written:
        return max(live.values())
    answer = await admin.ask(
        "PublishCampaigns",
        service.PublishCampaigns,
        campaign_service_pb2.PublishCampaignsRequest(campaign_ids=written),
    )
    version: int = answer.ruleset_version
    return version


async def _wait(admin: Session, version: int) -> None:
    """Wait until carts are decided by the rule set."""
    cart = checkout_pb2.Cart(
        store_id=STORE,
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code=_CURRENCY,
        lines=[
            checkout_pb2.CartLine(
                line_id="1", sku=_MILK, quantity_thousandths=1_000, unit_price_minor=199
            )
        ],
    )
    request = checkout_service_pb2.EvaluateRequest(cart=cart)
    deadline = time.monotonic() + _RULESET_S_MAX
    while time.monotonic() < deadline:
        answer = await admin.ask("Evaluate", admin.checkout.Evaluate, request)
        if answer.evaluation.ruleset_version >= version:
            return
        await asyncio.sleep(_POLL_S)
    raise TimeoutError(f"rule set {version} is not in use after {_RULESET_S_MAX:g} s")
