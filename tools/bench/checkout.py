"""The till's calls under load, through the gateway: Evaluate, and the whole checkout."""

import random
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc
from tessera.identity.v1 import member_pb2, member_service_pb2, member_service_pb2_grpc
from tessera.promotions.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    catalogue_pb2,
    catalogue_service_pb2,
    catalogue_service_pb2_grpc,
    checkout_pb2,
    checkout_service_pb2,
    checkout_service_pb2_grpc,
)
from tessera.type.v1 import text_pb2

from services.chassis import clients, clock, timestamps
from tools.bench import load

WIDTHS = (1, 16, 64)

_STORE = "bench"
_CURRENCY = "USD"
_LINES = 10
_MEMBERS = 300
_CATEGORIES = 20
_SKUS = 400

#: No gateway on this machine takes more carts in a second.
_RATE_MAX = 1500

calls = checkout_service_pb2
campaigns = campaign_pb2


@dataclass(frozen=True)
class Till:
    """A channel to the gateway and the tokens of a client that may do what a case needs."""

    channel: grpc.aio.Channel
    tokens: clients.Tokens

    async def call(self, method: Any, request: Any) -> Any:
        """Call one method."""
        metadata = (("authorization", await self.tokens.authorization()),)
        return await method(request, metadata=metadata, timeout=30)


async def subjects(admin: Till, pos: Till) -> list[load.Subject | load.Steady]:
    """Return what is measured of the checkout, after opening a small chain of its own."""
    await _open_store(admin)
    await _publish(admin)
    work = _Work(pos, [await _register(pos, number) for number in range(_MEMBERS)])
    checkouts = [
        load.Subject("Evaluate + Commit", work.checkout, width, prepare=work.prepare)
        for width in WIDTHS
    ]
    return [
        *(
            load.Subject("Evaluate, 10 lines", work.evaluate, width, prepare=work.prepare)
            for width in WIDTHS
        ),
        *checkouts,
        load.Steady(checkouts[-1]),
    ]


class _Work:
    """Random carts of members; every receipt is new."""

    def __init__(self, till: Till, members: list[str]) -> None:
        self._till = till
        self._members = members
        self._stub: Any = checkout_service_pb2_grpc.CheckoutServiceStub(till.channel)
        self._chance = random.Random(1)  # noqa: S311  a bench, not a secret
        self._carts: deque[checkout_pb2.Cart] = deque()

    def prepare(self, seconds: float) -> None:
        """Fill as many carts as so many seconds can take."""
        missing = int(seconds * _RATE_MAX) - len(self._carts)
        self._carts.extend(self._filled() for _ in range(missing))

    async def evaluate(self) -> None:
        """Ask what a cart gets."""
        await self._evaluate(self._cart())

    async def checkout(self) -> None:
        """Ask, then record the purchase."""
        cart = self._cart()
        offer = await self._evaluate(cart)
        key = checkout_pb2.ReceiptKey(
            store_id=_STORE, till_id="1", shift_id="1", receipt_number=secrets.token_hex(12)
        )
        await self._till.call(
            self._stub.Commit,
            calls.CommitRequest(
                receipt_key=key,
                cart=cart,
                occurred_time=timestamps.show(clock.system()),
                expected_total_minor=offer.total_minor,
                ruleset_version=offer.ruleset_version,
            ),
        )

    async def _evaluate(self, cart: checkout_pb2.Cart) -> checkout_pb2.Evaluation:
        answer: calls.EvaluateResponse = await self._till.call(
            self._stub.Evaluate, calls.EvaluateRequest(cart=cart)
        )
        if answer.evaluation.degradations:
            raise RuntimeError(f"degraded: {answer.evaluation}")
        return answer.evaluation

    def _cart(self) -> checkout_pb2.Cart:
        return self._carts.popleft() if self._carts else self._filled()

    def _filled(self) -> checkout_pb2.Cart:
        chance = self._chance
        return checkout_pb2.Cart(
            store_id=_STORE,
            channel=campaigns.CHANNEL_TILL,
            currency_code=_CURRENCY,
            member_key=member_pb2.MemberKey(member_id=chance.choice(self._members)),
            lines=[
                checkout_pb2.CartLine(
                    line_id=str(number),
                    sku=f"bench-{chance.randrange(_SKUS)}",
                    quantity_thousandths=1000 * chance.randint(1, 3),
                    unit_price_minor=chance.randint(50, 2000),
                )
                for number in range(_LINES)
            ],
        )


async def _open_store(admin: Till) -> None:
    stub = catalogue_service_pb2_grpc.CatalogueServiceStub(admin.channel)
    store = catalogue_pb2.Store(store_id=_STORE, time_zone="UTC", currency_code=_CURRENCY)
    await admin.call(stub.UpsertStores, catalogue_service_pb2.UpsertStoresRequest(stores=[store]))
    categories = [
        catalogue_pb2.Category(category_id=f"bench-{number}") for number in range(_CATEGORIES)
    ]
    await admin.call(
        stub.UpsertCategories, catalogue_service_pb2.UpsertCategoriesRequest(categories=categories)
    )
    products = [
        catalogue_pb2.Product(
            sku=f"bench-{number}", category_id=f"bench-{number % _CATEGORIES}", brand="bench"
        )
        for number in range(_SKUS)
    ]
    await admin.call(
        stub.UpsertProducts, catalogue_service_pb2.UpsertProductsRequest(products=products)
    )


async def _publish(admin: Till) -> None:
    """Put twelve campaigns live: articles, thresholds in one group, earning, one with a budget."""
    stub = campaign_service_pb2_grpc.CampaignServiceStub(admin.channel)
    made = [
        await admin.call(
            stub.CreateCampaign,
            campaign_service_pb2.CreateCampaignRequest(
                request_id=f"bench-{number:04}", rules=rules
            ),
        )
        for number, rules in enumerate(_rules())
    ]
    await admin.call(
        stub.PublishCampaigns,
        campaign_service_pb2.PublishCampaignsRequest(
            campaign_ids=[answer.campaign.campaign_id for answer in made]
        ),
    )


def _rules() -> list[campaign_pb2.CampaignRules]:
    rules = [
        _campaign(
            f"{5 + number} % off",
            campaigns.Reward(
                percent_off=campaigns.PercentOff(basis_points=500 + 100 * number),
                target=campaigns.ItemFilter(category_ids=[f"bench-{number}"]),
            ),
            campaigns.LANE_ITEM,
        )
        for number in range(7)
    ]
    for step in (5000, 10000, 20000):
        threshold = _campaign(
            f"{step // 1000} off from {step}",
            campaigns.Reward(
                amount_off=campaigns.AmountOff(
                    amount_minor=step // 20, spread=campaigns.AMOUNT_SPREAD_ACROSS
                )
            ),
            campaigns.LANE_RECEIPT,
        )
        threshold.combination.exclusive_group = "thresholds"
        threshold.condition.basket_total.amount_min_minor = step
        rules.append(threshold)
    rules[0].limits.budget_minor = 10**12
    earning = campaigns.Reward(earn_percent=campaigns.EarnPercent(basis_points=300))
    rules.append(_campaign("3 % back", earning, campaigns.LANE_EARN))
    steps = campaigns.EarnPoints(
        points=10, spread=campaigns.POINTS_SPREAD_EACH_STEP, step_minor=2000
    )
    rules.append(_campaign("10 a step", campaigns.Reward(earn_points=steps), campaigns.LANE_EARN))
    return rules


def _campaign(
    title: str, reward: campaign_pb2.Reward, lane: "campaign_pb2.Lane.ValueType"
) -> campaign_pb2.CampaignRules:
    return campaigns.CampaignRules(
        title=text_pb2.LocalizedText(en=title),
        trigger=campaigns.Trigger(automatic=campaigns.AutomaticTrigger()),
        audience=campaigns.Audience(store_ids=[_STORE]),
        rewards=[reward],
        combination=campaigns.Combination(lane=lane),
    )


async def _register(pos: Till, number: int) -> str:
    stub = member_service_pb2_grpc.MemberServiceStub(pos.channel)
    answer = await pos.call(
        stub.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=f"bench-member-{number:06}", card_number=f"8800{number:08}"
        ),
    )
    member_id: str = answer.member.member_id
    return member_id
