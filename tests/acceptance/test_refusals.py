"""Bad input through the gateway: the right code and reason, and nothing has changed."""

import uuid
from typing import Any

import aiohttp
import grpc
import pytest
from tessera.identity.v1 import client_service_pb2, member_pb2, member_service_pb2
from tessera.ledger.v1 import ledger_service_pb2
from tessera.promotions.v1 import campaign_pb2, checkout_pb2, checkout_service_pb2

from tests.acceptance import chain

pytestmark = pytest.mark.usefixtures("shop")

BASKET = chain.cart(chain.line("1", "acc-bread", 1000, 500))


def changed(**fields):
    """A cart that is right but for some fields of its one line or its own."""
    basket = checkout_pb2.Cart()
    basket.CopyFrom(BASKET)
    for name, value in fields.items():
        target = basket if hasattr(checkout_pb2.Cart, name.upper() + "_FIELD_NUMBER") else None
        setattr(target or basket.lines[0], name, value)
    return basket


def keyed(**key):
    basket = checkout_pb2.Cart()
    basket.CopyFrom(BASKET)
    basket.member_key.CopyFrom(member_pb2.MemberKey(**key))
    return basket


BAD_CARTS = {
    "negative price": (changed(unit_price_minor=-1), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "huge price": (changed(unit_price_minor=2**62), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "no quantity": (changed(quantity_thousandths=0), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "negative quantity": (changed(quantity_thousandths=-5), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "no channel": (changed(channel=0), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "unknown channel": (changed(channel=99), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "no lines": (
        checkout_pb2.Cart(
            store_id=chain.STORE, channel=campaign_pb2.CHANNEL_TILL, currency_code="USD"
        ),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
    ),
    "1,001 lines": (
        chain.cart(*(chain.line(str(number), "acc-bread") for number in range(1001))),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
    ),
    "unknown store": (changed(store_id="nowhere"), "NOT_FOUND", "STORE_NOT_FOUND"),
    "other currency": (changed(currency_code="EUR"), "INVALID_ARGUMENT", "CURRENCY_MISMATCH"),
    "same line twice": (
        chain.cart(chain.line("1", "acc-bread"), chain.line("1", "acc-milk")),
        "INVALID_ARGUMENT",
        "LINE_DUPLICATE",
    ),
    "unknown card": (keyed(card_number="000000000000"), "NOT_FOUND", "MEMBER_UNKNOWN"),
    "unknown member": (keyed(member_id="mem_" + "0" * 32), "NOT_FOUND", "MEMBER_UNKNOWN"),
}


@pytest.mark.parametrize("name", BAD_CARTS)
async def test_a_bad_cart_is_refused_with_its_reason(pos, name):
    """Evaluate and Commit refuse alike, and Commit records nothing."""
    basket, code, reason = BAD_CARTS[name]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=basket))
    assert (refused.value.code().name, chain.refusal(refused.value).reason) == (code, reason)

    key = chain.receipt_key(store=basket.store_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(
            pos.checkout.Commit,
            checkout_service_pb2.CommitRequest(
                receipt_key=key, cart=basket, occurred_time=chain.moment()
            ),
        )
    assert (refused.value.code().name, chain.refusal(refused.value).reason) == (code, reason)
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await pos.call(
            pos.checkout.FindReceipt, checkout_service_pb2.FindReceiptRequest(receipt_key=key)
        )
    assert chain.refusal(missing.value).reason == "RECEIPT_NOT_FOUND"


COMMIT_PATH = "/v1/checkout:commit"
EVALUATE_PATH = "/v1/checkout:evaluate"
JSON_LINE: dict[str, Any] = {
    "line_id": "1",
    "sku": "acc-bread",
    "quantity_thousandths": 1000,
    "unit_price_minor": 5,
}
JSON_CART: dict[str, Any] = {
    "store_id": chain.STORE,
    "channel": "CHANNEL_TILL",
    "currency_code": "USD",
    "lines": [JSON_LINE],
}
BAD_JSON: dict[str, Any] = {
    "wrong type": {"cart": {**JSON_CART, "lines": "milk"}},
    "text for a number": {
        "cart": {**JSON_CART, "lines": [{**JSON_LINE, "unit_price_minor": "much"}]}
    },
    "a fraction for an integer": {
        "cart": {**JSON_CART, "lines": [{**JSON_LINE, "unit_price_minor": 1.5}]}
    },
    "unknown field": {"cart": JSON_CART, "cartt": {}},
    "unknown nested field": {"cart": {**JSON_CART, "lines": [{**JSON_LINE, "x": 1}]}},
    "unknown enum value": {"cart": {**JSON_CART, "channel": "CHANNEL_PIGEON"}},
    "no cart": {},
}


@pytest.mark.parametrize("name", BAD_JSON)
async def test_bad_json_is_refused(pos, name):
    """Nothing that the contract does not know is silently dropped."""
    status, document, _ = await pos.json("POST", EVALUATE_PATH, BAD_JSON[name])
    assert status == 400, document


async def test_json_refusals_carry_the_reason(pos):
    """A refusal over JSON has the same ErrorInfo as over gRPC."""
    status, document, _ = await pos.json(
        "POST", EVALUATE_PATH, {"cart": {**JSON_CART, "store_id": "nowhere"}}
    )
    assert status == 404
    (info,) = (one for one in document["details"] if one["@type"].endswith("google.rpc.ErrorInfo"))
    assert (info["reason"], info["domain"]) == ("STORE_NOT_FOUND", "promotions.tessera")
    assert info["metadata"] == {"store_id": "nowhere"}


async def test_a_body_of_ten_megabytes_is_refused(pos):
    """The gateway does not hold what no request may be, over JSON or gRPC."""
    async with pos.http.post(
        f"http://{pos.address}{EVALUATE_PATH}",
        data=b'{"cart":"' + b"x" * 10_000_000 + b'"}',
        headers={"authorization": f"Bearer {pos.token}", "content-type": "application/json"},
    ) as answer:
        assert answer.status == 413
    huge = member_service_pb2.RegisterMemberRequest(
        request_id=uuid.uuid4().hex, card_number="1234567890", display_name="x" * 10_000_000
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.members.RegisterMember, huge)
    assert refused.value.code() in {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }


async def test_no_token_and_a_foreign_token_are_unauthenticated(connect):
    """Over both protocols."""
    for token in ("", "not.a.token", "e30.e30.e30"):
        nobody = await connect(token=token)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await nobody.call(
                nobody.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=BASKET)
            )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        status, _, _ = await nobody.json("POST", EVALUATE_PATH, {"cart": JSON_CART})
        assert status == 401


async def test_a_till_may_not_post_to_the_ledger(pos):
    """The scope that the contract names is missing in its token."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.ledger.GetAsset, ledger_service_pb2.GetAssetRequest(asset_code="points"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    status, _, _ = await pos.json("GET", "/v1/assets/points")
    assert status == 403


async def test_a_client_of_one_store_may_not_act_for_another(admin, connect):
    """Its token says which stores it is for."""
    client_id = f"pos-{uuid.uuid4().hex[:12]}"
    made = await admin.call(
        admin.clients.CreateClient,
        client_service_pb2.CreateClientRequest(
            client_id=client_id,
            display_name="Another store's till",
            scopes=["checkout"],
            store_ids=["another"],
        ),
    )
    till = await connect(client_id, secret=made.client_secret)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await till.call(till.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=BASKET))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert chain.refusal(refused.value).reason == "STORE_NOT_ALLOWED"


async def test_wrong_secrets_get_no_token(stack):
    """The token endpoint answers as RFC 6749 says."""
    async with aiohttp.ClientSession() as http:
        status, document = await chain.fetch_token(
            http, stack.address("gateway"), "pos-demo", "wrong" * 10
        )
        assert (status, document["error"]) == (401, "invalid_client")


async def test_more_points_than_there_are_cannot_be_paid(pos, admin, member):
    """The refusal says how much may be paid, and nothing moves."""
    basket = chain.cart(
        chain.line("1", "acc-bread", 1000, 500), member_id=member.member_id, points_payment=400
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await chain.buy(pos, basket)
    info = chain.refusal(refused.value)
    assert (info.reason, info.metadata["max_minor"]) == ("POINTS_PAYMENT_TOO_HIGH", "0")
    assert (await admin.points(member.member_id)).version == 0


async def test_nobody_pays_what_was_not_shown(pos, member):
    """Commit refuses a total that is not the one that the till expects."""
    basket = chain.cart(chain.line("1", "acc-milk", 1000, 1000), member_id=member.member_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await chain.buy(pos, basket, expected=1000)
    info = chain.refusal(refused.value)
    assert (info.reason, info.metadata["total_minor"]) == ("TOTAL_CHANGED", "900")


async def test_no_more_comes_back_than_was_bought(pos, member):
    """Over one return and over several."""
    receipt = await chain.buy(
        pos, chain.cart(chain.line("1", "acc-bread", 2000, 500), member_id=member.member_id)
    )

    def back(quantity):
        return checkout_service_pb2.ReturnRequest(
            receipt_id=receipt.receipt_id,
            receipt_key=chain.receipt_key(),
            lines=[checkout_pb2.ReturnLine(line_id="1", quantity_thousandths=quantity)],
            occurred_time=chain.moment(),
        )

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.checkout.Return, back(3000))
    assert chain.refusal(refused.value).reason == "RETURN_EXCEEDS_BOUGHT"
    await pos.call(pos.checkout.Return, back(1000))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.checkout.Return, back(2000))
    info = chain.refusal(refused.value)
    assert (info.reason, info.metadata["remaining_thousandths"]) == (
        "RETURN_EXCEEDS_BOUGHT",
        "1000",
    )


async def test_a_bad_return_is_refused_with_what_is_wrong(pos):
    """Nobody's receipt, a line that it does not have or has twice, goods that are back already."""
    receipt = await chain.buy(pos, chain.cart(chain.line("1", "acc-bread", 2000, 500)))

    async def refused(*lines, receipt_id=receipt.receipt_id, key=None):
        request = checkout_service_pb2.ReturnRequest(
            receipt_id=receipt_id,
            receipt_key=key or chain.receipt_key(),
            lines=[
                checkout_pb2.ReturnLine(line_id=line_id, quantity_thousandths=quantity)
                for line_id, quantity in lines
            ],
            occurred_time=chain.moment(),
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pos.call(pos.checkout.Return, request)
        info = chain.refusal(caught.value)
        return info.reason, dict(info.metadata)

    assert (await refused(("1", 1), receipt_id="rcp_" + "0" * 32))[0] == "RECEIPT_NOT_FOUND"
    assert await refused(("9", 1)) == ("LINE_NOT_FOUND", {"line_id": "9"})
    twice = {"line_id": "1", "field": "lines[1].line_id"}
    assert await refused(("1", 1), ("1", 1)) == ("LINE_DUPLICATE", twice)
    for lines in ((), (("1", 0),), (("1", -1),), tuple((str(one), 1) for one in range(1001))):
        assert (await refused(*lines))[0] == "INVALID_REQUEST"
    reason, metadata = await refused(("1", 1000), key=receipt.receipt_key)
    assert (reason, metadata) == (
        "RECEIPT_CONFLICT",
        {"field": "receipt_key", "used_by": "purchase"},
    )
    everything = checkout_service_pb2.ReturnRequest(
        receipt_id=receipt.receipt_id,
        receipt_key=chain.receipt_key(),
        lines=[checkout_pb2.ReturnLine(line_id="1", quantity_thousandths=2000)],
        occurred_time=chain.moment(),
    )
    await pos.call(pos.checkout.Return, everything)
    assert await refused(("1", 1)) == ("RECEIPT_STATE", {"state": "RETURNED"})
    again = await pos.call(pos.checkout.Return, everything)
    assert again.replayed


async def test_what_the_catalogue_does_not_know_is_sold(pos):
    """A missing article is no reason to send a shopper away; it only belongs to no category."""
    receipt = await chain.buy(pos, chain.cart(chain.line("1", "acc-of-tomorrow", 1000, 500)))
    assert receipt.evaluation.total_minor == 500
