"""Put the chain onto the platform: catalogue, members, segments, campaigns, coupons.

Every call may be repeated, so a load that was cut off is simply started again. Campaigns go live
after everything that they rest on: when they all live, the chain is loaded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    catalogue_pb2,
    catalogue_service_pb2,
)

from tools.demo import dataset
from tools.demo.catalogue import Catalogue
from tools.demo.households import Households
from tools.demo.program import Offer
from tools.demo.session import Progress, Session

_PRODUCTS_PER_CALL = 2_000
_STORES_PER_CALL = 1_000
_MEMBERS_PER_CALL = 1_000
_BULK_IN_FLIGHT = 3


@dataclass(frozen=True)
class Loaded:
    """The chain on the platform: member ids by household, campaign ids by the demo's own names."""

    members: dict[int, str]
    campaigns: dict[str, str]
    ruleset_version: int


async def find_campaigns(session: Session) -> list[campaign_pb2.Campaign]:
    """Return the campaigns that are live, and those whose period is over: the year is, too."""
    found: list[campaign_pb2.Campaign] = []
    token = ""
    while True:
        page = await session.ask(
            "ListCampaigns",
            session.campaigns.ListCampaigns,
            campaign_service_pb2.ListCampaignsRequest(page_size=100, page_token=token),
        )
        found += filter(_was_live, page.campaigns)
        token = page.next_page_token
        if not token:
            return found


def _was_live(campaign: campaign_pb2.Campaign) -> bool:
    is_over = campaign.state == campaign_pb2.CAMPAIGN_STATE_ENDED
    by_itself = campaign.rules.validity.period.HasField("end_time")
    return campaign.state == campaign_pb2.CAMPAIGN_STATE_LIVE or (is_over and by_itself)


async def load(
    session: Session,
    *,
    catalogue: Catalogue,
    people: Households,
    offers: Sequence[Offer],
    progress: Progress,
) -> Loaded:
    """Load everything; raises session.Refused when the platform says no."""
    await _upsert_catalogue(session, catalogue, progress)
    members = await _register(session, people, progress)
    await _fill_segments(session, people, members, progress)
    campaigns, version = await _publish(session, offers, progress)
    loaded = Loaded(members=members, campaigns=campaigns, ruleset_version=version)
    await _grant(session, offers, loaded, progress)
    return loaded


async def recognise(
    session: Session,
    people: Households,
    live: Iterable[campaign_pb2.Campaign],
    offers: Sequence[Offer],
    progress: Progress,
) -> Loaded:
    """Return what was loaded before: every card is looked up, every campaign told by its title."""
    titles = {offer.rules.title.en: offer.key for offer in offers}
    campaigns = {
        titles[campaign.rules.title.en]: campaign
        for campaign in live
        if campaign.rules.title.en in titles
    }

    async def look_up(row: dict[str, str]) -> tuple[int, str]:
        answer = await session.ask(
            "LookupMember",
            session.members.LookupMember,
            member_service_pb2.LookupMemberRequest(
                key=member_pb2.MemberKey(card_number=row["card_number"])
            ),
        )
        return int(row["household_id"]), answer.member.member_id

    rows = people.members.rows(named=True)
    members = dict(await session.each(rows, look_up, "members found", progress))
    return Loaded(
        members=members,
        campaigns={key: campaign.campaign_id for key, campaign in campaigns.items()},
        ruleset_version=max(campaign.publish_ruleset_version for campaign in campaigns.values()),
    )


async def _upsert_catalogue(session: Session, catalogue: Catalogue, progress: Progress) -> None:
    service = session.catalogue
    # Parents before children: a category tree is one call.
    tree = catalogue_service_pb2.UpsertCategoriesRequest(
        categories=[
            catalogue_pb2.Category(**row) for row in catalogue.categories.iter_rows(named=True)
        ]
    )
    await session.ask("UpsertCategories", service.UpsertCategories, tree)
    progress("categories", catalogue.categories.height, catalogue.categories.height)

    async def upsert_products(part: pl.DataFrame) -> None:
        request = catalogue_service_pb2.UpsertProductsRequest(
            products=[_product(row) for row in part.iter_rows(named=True)]
        )
        await session.ask("UpsertProducts", service.UpsertProducts, request)

    async def upsert_stores(part: pl.DataFrame) -> None:
        request = catalogue_service_pb2.UpsertStoresRequest(
            stores=[_store(row) for row in part.iter_rows(named=True)]
        )
        await session.ask("UpsertStores", service.UpsertStores, request)

    products = list(catalogue.products.iter_slices(_PRODUCTS_PER_CALL))
    await session.each(products, upsert_products, "products", progress, in_flight=_BULK_IN_FLIGHT)
    stores = list(catalogue.stores.iter_slices(_STORES_PER_CALL))
    await session.each(stores, upsert_stores, "stores", progress)


def _product(row: dict[str, object]) -> catalogue_pb2.Product:
    fields = ("sku", "display_name", "category_id", "brand", "tags", "weighed")
    marks = ("earning_excluded", "points_payment_excluded")
    return catalogue_pb2.Product(**{name: row[name] for name in (*fields, *marks)})  # type: ignore[arg-type]


def _store(row: dict[str, str]) -> catalogue_pb2.Store:
    return catalogue_pb2.Store(**row, time_zone=dataset.TIME_ZONE, currency_code=dataset.CURRENCY)


async def _register(session: Session, people: Households, progress: Progress) -> dict[int, str]:
    async def register(row: dict[str, str]) -> tuple[int, str]:
        household = int(row["household_id"])
        answer = await session.ask(
            "RegisterMember",
            session.members.RegisterMember,
            member_service_pb2.RegisterMemberRequest(
                request_id=f"household-{household}",
                card_number=row["card_number"],
                display_name=f"Household {household}",
                language_code="en",
                store_id=row["home_store_id"],
            ),
        )
        return household, answer.member.member_id

    return dict(await session.each(people.members.rows(named=True), register, "members", progress))


async def _fill_segments(
    session: Session, people: Households, members: dict[int, str], progress: Progress
) -> None:
    async def fill(segment: tuple[str, list[int]]) -> None:
        name, households = segment
        await session.ask(
            "UpdateSegment",
            session.members.UpdateSegment,
            member_service_pb2.UpdateSegmentRequest(
                segment_id=name, add_member_ids=[members[household] for household in households]
            ),
        )

    segments = people.segments.group_by("segment_id", maintain_order=True).agg("household_id")
    # One after the other: segments share members, and a member's row is locked for each.
    await session.each(segments.rows(), fill, "segments", progress, in_flight=1)


async def _publish(
    session: Session, offers: Sequence[Offer], progress: Progress
) -> tuple[dict[str, str], int]:
    async def create(offer: Offer) -> tuple[str, str]:
        answer = await session.ask(
            "CreateCampaign",
            session.campaigns.CreateCampaign,
            campaign_service_pb2.CreateCampaignRequest(
                request_id=f"campaign-{offer.key}", rules=offer.rules
            ),
        )
        return offer.key, answer.campaign.campaign_id

    campaigns = dict(
        await session.each(offers, create, "campaigns", progress, in_flight=_BULK_IN_FLIGHT)
    )
    published = await session.ask(
        "PublishCampaigns",
        session.campaigns.PublishCampaigns,
        campaign_service_pb2.PublishCampaignsRequest(campaign_ids=list(campaigns.values())),
    )
    return campaigns, published.ruleset_version


async def _grant(
    session: Session, offers: Sequence[Offer], loaded: Loaded, progress: Progress
) -> None:
    async def grant(part: tuple[str, int, Sequence[int]]) -> None:
        key, number, households = part
        await session.ask(
            "GrantCoupons",
            session.campaigns.GrantCoupons,
            campaign_service_pb2.GrantCouponsRequest(
                request_id=f"grant-{key}-{number}",
                campaign_id=loaded.campaigns[key],
                member_ids=[loaded.members[household] for household in households],
                uses=1,
            ),
        )

    parts = [
        (offer.key, start, offer.granted_to[start : start + _MEMBERS_PER_CALL])
        for offer in offers
        for start in range(0, len(offer.granted_to), _MEMBERS_PER_CALL)
    ]
    await session.each(parts, grant, "coupons granted", progress, in_flight=_BULK_IN_FLIGHT)
