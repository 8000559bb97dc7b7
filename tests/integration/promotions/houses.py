"""A chain as its till, its marketer and its operator see it."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import redis.asyncio
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tessera.event.v1 import event_pb2
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.ledger.v1 import (
    account_pb2,
    batch_pb2,
    ledger_service_pb2,
)
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    catalogue_service_pb2_grpc,
    checkout_pb2,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
    local_campaign_service_pb2_grpc,
)

from services.chassis import database as chassis_database
from services.chassis import ids, status
from services.promotions import config, main
from tools.stack.roles import environment

START_S_MAX = 30
STORE = "s1"
OTHER_STORE = "s2"
CURRENCY = "USD"


@dataclass
class Process:
    """A role in a process of its own, with its settings in a file."""

    role: str
    settings: Path
    port: int
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        if self.running is not None and self.running.returncode is None:
            return
        self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services",
            self.role,
            "--config",
            str(self.settings),
            env={**os.environ, **environment()},
            stdout=self.settings.with_suffix(".log").open("ab"),
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(START_S_MAX):
            while not await self._is_serving():
                assert self.running.returncode is None, self.log()
                await asyncio.sleep(0.05)

    async def _is_serving(self) -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            try:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(
                    health_pb2.HealthCheckRequest(service="readiness"), timeout=1
                )
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def kill(self) -> None:
        """Kill -9."""
        if self.running is not None and self.running.returncode is None:
            self.running.kill()
            await self.running.wait()

    def freeze(self) -> None:
        """Stop the process without ending it: it keeps its connections and answers nobody."""
        assert self.running is not None
        self.running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.running is not None
        self.running.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return self.settings.with_suffix(".log").read_text()[-4000:]


@dataclass
class House:
    """The three roles, and what a till or a marketer does with them."""

    settings: config.Settings
    role: main.Role
    db: chassis_database.Database
    identity: Process
    ledger: Process
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession
    token_url: str
    secrets: Path
    members: Any
    books: Any
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def catalogue(self) -> Any:
        return catalogue_service_pb2_grpc.CatalogueServiceStub(self.channel)

    @property
    def campaigns(self) -> Any:
        return campaign_service_pb2_grpc.CampaignServiceStub(self.channel)

    @property
    def local_campaigns(self) -> Any:
        return local_campaign_service_pb2_grpc.LocalCampaignServiceStub(self.channel)

    @property
    def checkout(self) -> Any:
        return checkout_service_pb2_grpc.CheckoutServiceStub(self.channel)

    async def token(self, client_id: str) -> str:
        if client_id not in self.tokens:
            secret = (self.secrets / client_id).read_text()
            async with self.http.post(
                self.token_url,
                data={"grant_type": "client_credentials"},
                headers={"Authorization": aiohttp.encode_basic_auth(client_id, secret)},
            ) as answer:
                assert answer.status == 200, await answer.text()
                self.tokens[client_id] = (await answer.json())["access_token"]
        return self.tokens[client_id]

    async def call(
        self, method: Any, request: Any, *, client: str = "admin", timeout_s: float = 15
    ) -> Any:
        metadata = [("authorization", f"Bearer {await self.token(client)}")]
        return await method(request, metadata=metadata, timeout=timeout_s)

    async def refusal(
        self, method: Any, request: Any, *, client: str = "admin", timeout_s: float = 15
    ) -> status.Answer:
        """Call a method that must refuse; return what it says."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, client=client, timeout_s=timeout_s)
        return status.read(caught.value)

    async def register(self) -> str:
        """Register a shopper; return the member id."""
        answer = await self.call(
            self.members.RegisterMember,
            member_service_pb2.RegisterMemberRequest(
                request_id=secrets.token_hex(8), card_number=str(secrets.randbelow(10**15))
            ),
        )
        member_id: str = answer.member.member_id
        return member_id

    async def publish(self, *rules: campaign_pb2.CampaignRules) -> list[str]:
        """Create campaigns and put them live; return their ids."""
        campaign_ids = [await self.draft(one) for one in rules]
        await self.call(
            self.campaigns.PublishCampaigns,
            campaign_service_pb2.PublishCampaignsRequest(campaign_ids=campaign_ids),
        )
        return campaign_ids

    async def draft(self, rules: campaign_pb2.CampaignRules) -> str:
        answer = await self.call(
            self.campaigns.CreateCampaign,
            campaign_service_pb2.CreateCampaignRequest(
                request_id=secrets.token_hex(8), rules=rules
            ),
        )
        campaign_id: str = answer.campaign.campaign_id
        return campaign_id

    async def end(self, *campaign_ids: str) -> None:
        for campaign_id in campaign_ids:
            await self.call(
                self.campaigns.EndCampaign,
                campaign_service_pb2.EndCampaignRequest(campaign_id=campaign_id),
            )

    async def bring_back(self, process: Process) -> None:
        """Start a process again, and wait until promotions has found it."""
        await process.start()
        cart = cart_of(line("1", "bread", 100), member_id=await self.register())
        async with asyncio.timeout(START_S_MAX):
            while (await self.evaluate(cart)).degradations:
                await asyncio.sleep(0.05)

    async def grant(self, campaign_id: str, *member_ids: str, uses: int = 1) -> None:
        await self.call(
            self.campaigns.GrantCoupons,
            campaign_service_pb2.GrantCouponsRequest(
                request_id=secrets.token_hex(8),
                campaign_id=campaign_id,
                member_ids=member_ids,
                uses=uses,
            ),
        )

    async def evaluate(self, cart: checkout_pb2.Cart) -> checkout_pb2.Evaluation:
        request = checkout_service_pb2.EvaluateRequest(cart=cart)
        answer = await self.call(self.checkout.Evaluate, request)
        evaluation: checkout_pb2.Evaluation = answer.evaluation
        return evaluation

    async def commit(
        self, request: checkout_service_pb2.CommitRequest
    ) -> checkout_service_pb2.CommitResponse:
        answer: checkout_service_pb2.CommitResponse = await self.call(self.checkout.Commit, request)
        return answer

    async def buy(self, cart: checkout_pb2.Cart) -> checkout_pb2.Receipt:
        """Evaluate and commit, as a till does."""
        offer = await self.evaluate(cart)
        return (await self.commit(commit_of(cart, offer))).receipt

    async def settled(self, receipt_id: str) -> None:
        """Wait until what the ledger posted is recorded, which a till need not wait for."""
        state = "SELECT state FROM receipts WHERE receipt_id = $1"
        async with asyncio.timeout(15):
            while await self.db.fetchval(state, ids.parse("rcp", receipt_id)) == "PENDING":
                await asyncio.sleep(0.005)

    async def give_back(self, receipt: checkout_pb2.Receipt, **lines: int) -> checkout_pb2.Return:
        answer = await self.call(self.checkout.Return, return_of(receipt, lines))
        returned: checkout_pb2.Return = answer.returned
        return returned

    async def event(self, matches: Callable[[event_pb2.Event], bool]) -> event_pb2.Event:
        """Wait for an event on the stream of promotions."""
        async with asyncio.timeout(10):
            while True:
                for event in await self.events():
                    if matches(event):
                        return event
                await asyncio.sleep(0.05)

    async def events(self) -> list[event_pb2.Event]:
        """Return every event on the stream of promotions."""
        async with redis.asyncio.from_url(self.settings.hotstore.url) as store:
            found: list[Any] = await store.xrange("events.promotions") or []
        return [event_pb2.Event.FromString(fields[b"data"]) for _, fields in found]

    async def available(self, owner_type: int, owner_id: str, asset_code: str) -> int:
        owner = account_pb2.Owner(owner_type=owner_type, owner_id=owner_id)  # type: ignore[arg-type]
        key = account_pb2.AccountKey(owner=owner, asset_code=asset_code)
        request = ledger_service_pb2.GetBalancesRequest(accounts=[key])
        answer = await self.call(self.books.GetBalances, request)
        amount: int = answer.balances[0].available
        return amount

    async def lots(self, member_id: str) -> list[account_pb2.Lot]:
        owner = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member_id)
        key = account_pb2.AccountKey(owner=owner, asset_code="points")
        request = ledger_service_pb2.ListLotsRequest(account=key)
        return list((await self.call(self.books.ListLots, request)).lots)

    async def points(self, member_id: str) -> int:
        return await self.available(account_pb2.OWNER_TYPE_MEMBER, member_id, "points")

    async def budget(self, campaign_id: str) -> int:
        asset = f"budget.{CURRENCY}"
        return await self.available(account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, asset)

    async def drain_budget(self, campaign_id: str, amount: int) -> None:
        """Take from a campaign's budget, or give to it when the amount is negative."""
        asset = f"budget.{CURRENCY}"
        budget = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_CAMPAIGN, owner_id=campaign_id)
        world = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="test")
        sides = (budget, world) if amount > 0 else (world, budget)
        transfer = batch_pb2.Transfer(
            asset_code=asset,
            debit=sides[0],
            credit=sides[1],
            amount=abs(amount),
            reason=account_pb2.TRANSFER_REASON_ADJUST,
        )
        batch = batch_pb2.Batch(
            batch_id=ids.new("bat"),
            operations=[batch_pb2.Operation(transfer=transfer)],
            occurred_time=stamp(),
        )
        request = ledger_service_pb2.PostBatchesRequest(batches=[batch])
        answer = await self.call(self.books.PostBatches, request)
        assert answer.results[0].state == batch_pb2.BATCH_STATE_POSTED, answer

    async def give_stamps(self, member_id: str, card: str, count: int) -> None:
        """Post stamps as an import would."""
        transfer = batch_pb2.Transfer(
            asset_code=f"stamps.{card}",
            debit=account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="issuance"),
            credit=account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member_id),
            amount=count,
            reason=account_pb2.TRANSFER_REASON_EARN,
        )
        batch = batch_pb2.Batch(
            batch_id=ids.new("bat"),
            operations=[batch_pb2.Operation(transfer=transfer)],
            occurred_time=stamp(),
        )
        request = ledger_service_pb2.PostBatchesRequest(batches=[batch])
        answer = await self.call(self.books.PostBatches, request)
        assert answer.results[0].state == batch_pb2.BATCH_STATE_POSTED, answer

    async def uses(self, campaign_id: str) -> int:
        return await self.available(account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, "uses")


async def until(is_true: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; fail when it takes longer."""
    async with asyncio.timeout(seconds):
        while not is_true():
            await asyncio.sleep(0.01)


def stamp(moment: datetime | None = None, *, seconds: float = 0) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime((moment or datetime.now(UTC)) + timedelta(seconds=seconds))
    return made


def line(line_id: str, sku: str, price: int, quantity: int = 1000) -> checkout_pb2.CartLine:
    return checkout_pb2.CartLine(
        line_id=line_id, sku=sku, unit_price_minor=price, quantity_thousandths=quantity
    )


def cart_of(
    *lines: checkout_pb2.CartLine,
    member_id: str = "",
    codes: tuple[str, ...] = (),
    points: int = 0,
    store: str = STORE,
) -> checkout_pb2.Cart:
    cart = checkout_pb2.Cart(
        store_id=store,
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code=CURRENCY,
        lines=lines,
        coupon_codes=codes,
        points_payment_minor=points,
    )
    if member_id:
        cart.member_key.CopyFrom(member_pb2.MemberKey(member_id=member_id))
    return cart


def key_of(number: str = "", *, store: str = STORE) -> checkout_pb2.ReceiptKey:
    return checkout_pb2.ReceiptKey(
        store_id=store, till_id="1", shift_id="1", receipt_number=number or secrets.token_hex(8)
    )


def commit_of(
    cart: checkout_pb2.Cart,
    offer: checkout_pb2.Evaluation | None = None,
    *,
    number: str = "",
    total: int | None = None,
    occurred: timestamp_pb2.Timestamp | None = None,
) -> checkout_service_pb2.CommitRequest:
    shown = offer.total_minor if offer is not None else 0
    return checkout_service_pb2.CommitRequest(
        receipt_key=key_of(number, store=cart.store_id),
        cart=cart,
        occurred_time=occurred or stamp(),
        expected_total_minor=shown if total is None else total,
        ruleset_version=offer.ruleset_version if offer is not None else 0,
    )


def return_of(
    receipt: checkout_pb2.Receipt,
    lines: dict[str, int],
    *,
    number: str = "",
    store: str = STORE,
) -> checkout_service_pb2.ReturnRequest:
    return checkout_service_pb2.ReturnRequest(
        receipt_id=receipt.receipt_id,
        receipt_key=key_of(number, store=store),
        lines=[
            checkout_pb2.ReturnLine(line_id=line_id, quantity_thousandths=quantity)
            for line_id, quantity in lines.items()
        ],
        occurred_time=stamp(),
    )
