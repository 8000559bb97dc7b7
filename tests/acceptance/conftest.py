"""A small chain behind the real gateway."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import grpc
import pytest
from tessera.identity.v1 import member_service_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    catalogue_pb2,
    catalogue_service_pb2,
)
from tessera.type.v1 import text_pb2

from tests.acceptance.chain import CURRENCY, STORE, Program, fetch_token


@pytest.fixture(scope="session")
async def connect(stack) -> AsyncIterator[Any]:
    """Make programs: `await connect("pos-demo")`, or with a token of one's own."""
    address = stack.address("gateway")
    async with AsyncExitStack() as resources:
        http = await resources.enter_async_context(aiohttp.ClientSession())

        async def make(client_id=None, *, token="", secret=None):
            if client_id is not None:
                secret = secret or stack.vault.read(f"client-{client_id}")
                status, document = await fetch_token(http, address, client_id, secret)
                assert status == 200, document
                token = document["access_token"]
            channel = await resources.enter_async_context(grpc.aio.insecure_channel(address))
            return Program(address, http, channel, token)

        yield make


@pytest.fixture(scope="session")
async def admin(connect):
    return await connect("admin")


@pytest.fixture(scope="session")
async def pos(connect):
    return await connect("pos-demo")


@pytest.fixture(scope="session")
async def shop(admin):
    """A store with milk, bread and a bicycle; 5 % back, 10 % off milk, a bicycle coupon."""
    await admin.call(
        admin.catalogue.UpsertStores,
        catalogue_service_pb2.UpsertStoresRequest(
            stores=[
                catalogue_pb2.Store(store_id=STORE, time_zone="UTC", currency_code=CURRENCY),
            ]
        ),
    )
    categories = [
        catalogue_pb2.Category(category_id="acc-food"),
        catalogue_pb2.Category(category_id="acc-dairy", parent_id="acc-food"),
        catalogue_pb2.Category(category_id="acc-sport"),
    ]
    await admin.call(
        admin.catalogue.UpsertCategories,
        catalogue_service_pb2.UpsertCategoriesRequest(categories=categories),
    )
    products = [
        catalogue_pb2.Product(sku="acc-milk", category_id="acc-dairy"),
        catalogue_pb2.Product(sku="acc-bread", category_id="acc-food"),
        catalogue_pb2.Product(sku="acc-bicycle", category_id="acc-sport"),
    ]
    await admin.call(
        admin.catalogue.UpsertProducts,
        catalogue_service_pb2.UpsertProductsRequest(products=products),
    )
    automatic = campaign_pb2.Trigger(automatic=campaign_pb2.AutomaticTrigger())
    here = campaign_pb2.Audience(store_ids=[STORE])
    members = campaign_pb2.Audience(store_ids=[STORE], membership=campaign_pb2.MEMBERSHIP_MEMBERS)
    rules = {
        "earning": campaign_pb2.CampaignRules(
            title=text_pb2.LocalizedText(en="Five percent back", ru="Пять процентов назад"),
            trigger=automatic,
            audience=members,
            rewards=[campaign_pb2.Reward(earn_percent=campaign_pb2.EarnPercent(basis_points=500))],
            combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_EARN),
        ),
        "dairy": campaign_pb2.CampaignRules(
            title=text_pb2.LocalizedText(en="Ten off dairy", ru="Молочное минус десять"),
            trigger=automatic,
            audience=here,
            rewards=[
                campaign_pb2.Reward(
                    percent_off=campaign_pb2.PercentOff(basis_points=1000),
                    target=campaign_pb2.ItemFilter(category_ids=["acc-dairy"]),
                )
            ],
            combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_ITEM),
        ),
        "bicycle": campaign_pb2.CampaignRules(
            title=text_pb2.LocalizedText(en="Bicycle coupon", ru="Купон на велосипед"),
            trigger=campaign_pb2.Trigger(coupon=campaign_pb2.CouponTrigger(codes=["ACC-BIKE"])),
            audience=here,
            limits=campaign_pb2.Limits(uses_max=1),
            rewards=[
                campaign_pb2.Reward(
                    amount_off=campaign_pb2.AmountOff(
                        amount_minor=5000, spread=campaign_pb2.AMOUNT_SPREAD_ACROSS
                    ),
                    target=campaign_pb2.ItemFilter(skus=["acc-bicycle"]),
                )
            ],
            combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_COUPON),
        ),
    }
    ids = {}
    for name, one in rules.items():
        made = await admin.call(
            admin.campaigns.CreateCampaign,
            campaign_service_pb2.CreateCampaignRequest(request_id=f"acceptance-{name}", rules=one),
        )
        ids[name] = made.campaign.campaign_id
    await admin.call(
        admin.campaigns.PublishCampaigns,
        campaign_service_pb2.PublishCampaignsRequest(campaign_ids=list(ids.values())),
    )
    return ids


@pytest.fixture
async def member(pos):
    """A member who has just joined."""
    digits = str(uuid.uuid4().int)
    made = await pos.call(
        pos.members.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=uuid.uuid4().hex, card_number=digits[:16], store_id=STORE
        ),
    )
    return made.member
