"""What a till, a site or an admin does, with nothing but the contracts."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tessera.identity.v1 import client_service_pb2_grpc, member_pb2, member_service_pb2_grpc
from tessera.ledger.v1 import account_pb2, ledger_service_pb2, ledger_service_pb2_grpc
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2_grpc,
    catalogue_service_pb2_grpc,
    checkout_pb2,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
    program_service_pb2_grpc,
)

STORE = "acceptance-1"
CURRENCY = "USD"


@dataclass
class Program:
    """A program that calls the platform: stubs for gRPC, one method for JSON."""

    address: str
    http: aiohttp.ClientSession
    channel: grpc.aio.Channel
    token: str
    members: Any = field(init=False)
    clients: Any = field(init=False)
    ledger: Any = field(init=False)
    campaigns: Any = field(init=False)
    catalogue: Any = field(init=False)
    checkout: Any = field(init=False)
    programs: Any = field(init=False)

    def __post_init__(self):
        self.members = member_service_pb2_grpc.MemberServiceStub(self.channel)
        self.clients = client_service_pb2_grpc.ClientServiceStub(self.channel)
        self.ledger = ledger_service_pb2_grpc.LedgerServiceStub(self.channel)
        self.campaigns = campaign_service_pb2_grpc.CampaignServiceStub(self.channel)
        self.catalogue = catalogue_service_pb2_grpc.CatalogueServiceStub(self.channel)
        self.checkout = checkout_service_pb2_grpc.CheckoutServiceStub(self.channel)
        self.programs = program_service_pb2_grpc.ProgramServiceStub(self.channel)

    @property
    def metadata(self):
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    async def call(self, method, request, timeout_s=10.0):
        """Call an RPC with the program's token, waiting for a gateway that is just starting."""
        return await method(request, timeout=timeout_s, metadata=self.metadata)

    async def json(self, verb, path, body=None, **headers):
        """Call over JSON; answers (status, document, headers)."""
        if self.token:
            headers.setdefault("authorization", f"Bearer {self.token}")
        async with self.http.request(
            verb, f"http://{self.address}{path}", json=body, headers=headers
        ) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def points(self, member_id):
        """Read a member's points."""
        answer = await self.call(
            self.ledger.GetBalances,
            ledger_service_pb2.GetBalancesRequest(
                accounts=[
                    account_pb2.AccountKey(
                        owner=account_pb2.Owner(
                            owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member_id
                        ),
                        asset_code="points",
                    )
                ]
            ),
        )
        return answer.balances[0]


async def fetch_token(http, address, client_id, secret, **fields):
    """Ask the token endpoint through the gateway; answers (status, document)."""
    async with http.post(
        f"http://{address}/oauth2/token",
        data={"grant_type": "client_credentials", **fields},
        headers={"authorization": aiohttp.encode_basic_auth(client_id, secret)},
    ) as answer:
        return answer.status, await answer.json()


def moment(seconds=0):
    """The till's clock, moved by some seconds."""
    return timestamp_pb2.Timestamp(seconds=int(time.time()) + seconds)


def line(line_id, sku, quantity=1000, price=100):
    return checkout_pb2.CartLine(
        line_id=line_id, sku=sku, quantity_thousandths=quantity, unit_price_minor=price
    )


def cart(*lines, member_id=None, coupons=(), points_payment=0, store=STORE):
    made = checkout_pb2.Cart(
        store_id=store,
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code=CURRENCY,
        lines=lines,
        coupon_codes=coupons,
        points_payment_minor=points_payment,
    )
    if member_id:
        made.member_key.CopyFrom(member_pb2.MemberKey(member_id=member_id))
    return made


def receipt_key(number=None, store=STORE):
    return checkout_pb2.ReceiptKey(
        store_id=store, till_id="1", shift_id="1", receipt_number=number or uuid.uuid4().hex
    )


async def buy(program, basket, number=None, expected=None, occurred=None):
    """Evaluate and commit, as a till does; answers the receipt."""
    offer = (
        await program.call(
            program.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=basket)
        )
    ).evaluation
    answer = await program.call(
        program.checkout.Commit,
        checkout_service_pb2.CommitRequest(
            receipt_key=receipt_key(number),
            cart=basket,
            occurred_time=occurred or moment(),
            expected_total_minor=offer.total_minor if expected is None else expected,
            ruleset_version=offer.ruleset_version,
        ),
    )
    return answer.receipt


def refusal(error):
    """The ErrorInfo of a refused call."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info
    raise AssertionError(f"no ErrorInfo in {status}")
