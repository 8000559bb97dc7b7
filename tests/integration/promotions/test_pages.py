"""Lists in pages: a token of another list is refused by each, and breaks none."""

import pytest
from tessera.promotions.v1 import (
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    catalogue_service_pb2,
    catalogue_service_pb2_grpc,
    offline_service_pb2,
    offline_service_pb2_grpc,
    program_service_pb2,
    program_service_pb2_grpc,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)

from services.chassis import timestamps
from services.promotions.wire import pages
from tests.integration.promotions.houses import STORE

NOBODY = "mem_" + "0" * 32
MAY = pages.BEGINNING.replace(year=2026, month=5)
JUNE = MAY.replace(month=6)


@pytest.mark.parametrize(
    ("stub", "method", "request_", "list_name"),
    [
        (
            campaign_service_pb2_grpc.CampaignServiceStub,
            "ListCampaigns",
            campaign_service_pb2.ListCampaignsRequest(),
            "campaigns.all",
        ),
        (
            program_service_pb2_grpc.ProgramServiceStub,
            "ListPrograms",
            program_service_pb2.ListProgramsRequest(),
            "programs.all",
        ),
        (
            program_service_pb2_grpc.ProgramServiceStub,
            "ListTierChanges",
            program_service_pb2.ListTierChangesRequest(member_id=NOBODY),
            f"tierChanges.{NOBODY}",
        ),
        (
            subscription_service_pb2_grpc.SubscriptionServiceStub,
            "ListDueRenewals",
            subscription_service_pb2.ListDueRenewalsRequest(before_time=timestamps.show(MAY)),
            "dueRenewals",
        ),
        (
            offline_service_pb2_grpc.OfflineServiceStub,
            "ListConflicts",
            offline_service_pb2.ListConflictsRequest(store_id=STORE),
            "conflicts",
        ),
        (
            receipt_service_pb2_grpc.ReceiptServiceStub,
            "SearchReceipts",
            receipt_service_pb2.SearchReceiptsRequest(
                store_id=STORE, from_time=timestamps.show(MAY), until_time=timestamps.show(JUNE)
            ),
            "receipts",
        ),
        (
            catalogue_service_pb2_grpc.CatalogueServiceStub,
            "ListStores",
            catalogue_service_pb2.ListStoresRequest(),
            "stores",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_foreign_token_is_refused(house, stub, method, request_, list_name):
    """One of another list, one of no list, and one whose mark fits a place that cannot be."""
    call = getattr(stub(house.channel), method)
    made_up = pages.token(list_name, "no", "such", "place")
    for token in ("AAAA", pages.token("others", "a"), made_up, "é"):
        request_.page_token = token
        assert (await house.refusal(call, request_)).reason == "PAGE_TOKEN_INVALID"
