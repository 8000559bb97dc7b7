"""What shoppers live through, from the till's side of the gateway."""

import uuid

import grpc
import pytest
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from tests.acceptance import chain

pytestmark = pytest.mark.usefixtures("shop")


async def test_a_shopper_joins_buys_pays_with_points_and_brings_goods_back(pos, admin):
    """One card through a whole life: earn, spend, return; the balance is right after each step."""
    number = str(uuid.uuid4().int)[:16]
    joined = await pos.call(
        pos.members.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=uuid.uuid4().hex, card_number=number, store_id=chain.STORE
        ),
    )
    member_id = joined.member.member_id
    found = await pos.call(
        pos.members.LookupMember,
        member_service_pb2.LookupMemberRequest(key=member_pb2.MemberKey(card_number=number)),
    )
    assert found.member.member_id == member_id

    first = await chain.buy(
        pos,
        chain.cart(
            chain.line("1", "acc-milk", 2000, 1000),
            chain.line("2", "acc-bread", 1000, 200),
            member_id=member_id,
        ),
    )
    # 2 x 10.00 less 10 % is 18.00, bread 2.00: 20.00 to pay, five percent back is 100 points.
    assert first.evaluation.total_minor == 2000
    assert first.evaluation.points_earned == 100
    assert (await admin.points(member_id)).available == 100

    second = await chain.buy(
        pos,
        chain.cart(
            chain.line("1", "acc-bread", 1000, 1000), member_id=member_id, points_payment=100
        ),
    )
    # 10.00, of which 1.00 is paid with points; the other 9.00 earn 45.
    assert second.evaluation.points_spent == 100
    assert second.evaluation.points_earned == 45
    assert (await admin.points(member_id)).available == 45

    back = await pos.call(
        pos.checkout.Return,
        checkout_service_pb2.ReturnRequest(
            receipt_id=second.receipt_id,
            receipt_key=chain.receipt_key(),
            lines=[checkout_pb2.ReturnLine(line_id="1", quantity_thousandths=1000)],
            occurred_time=chain.moment(),
        ),
    )
    assert back.returned.refund_minor == 900
    assert back.returned.points_restored == 100
    assert back.returned.points_clawed_back == 45
    assert (await admin.points(member_id)).available == 100


async def test_evaluate_changes_nothing_and_explains_itself(pos, admin, shop, member):
    """Every campaign of the store answers, applied or with the reason why not."""
    before = await admin.points(member.member_id)
    basket = chain.cart(chain.line("1", "acc-bread", 1000, 500), member_id=member.member_id)
    request = checkout_service_pb2.EvaluateRequest(cart=basket)
    one = (await pos.call(pos.checkout.Evaluate, request)).evaluation
    two = (await pos.call(pos.checkout.Evaluate, request)).evaluation
    assert one == two
    applied = {
        outcome.campaign_id
        for outcome in one.outcomes
        if outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED
    }
    assert applied == {shop["earning"]}
    assert (await admin.points(member.member_id)).version == before.version


async def test_a_receipt_sent_again_is_recorded_once(pos, admin, member):
    """The same body answers the stored receipt; another body under the same key is refused."""
    basket = chain.cart(chain.line("1", "acc-bread", 1000, 2000), member_id=member.member_id)
    receipt = await chain.buy(pos, basket, number=uuid.uuid4().hex)
    request = checkout_service_pb2.CommitRequest(
        receipt_key=receipt.receipt_key,
        cart=basket,
        occurred_time=receipt.occurred_time,
        expected_total_minor=receipt.evaluation.total_minor,
        ruleset_version=receipt.evaluation.ruleset_version,
    )
    again = await pos.call(pos.checkout.Commit, request)
    assert again.replayed
    assert again.receipt.evaluation == receipt.evaluation
    assert (await admin.points(member.member_id)).available == 100

    request.cart.lines[0].unit_price_minor = 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pos.call(pos.checkout.Commit, request)
    assert chain.refusal(refused.value).reason == "RECEIPT_CONFLICT"


async def test_a_voided_receipt_gives_everything_back(pos, admin, member):
    """Points and the coupon's only use return; another shopper may then use the coupon."""
    basket = chain.cart(
        chain.line("1", "acc-bicycle", 1000, 20000),
        member_id=member.member_id,
        coupons=["acc-bike"],
    )
    receipt = await chain.buy(pos, basket)
    assert receipt.evaluation.discount_minor == 5000
    assert (await admin.points(member.member_id)).available == 750

    other = (
        await pos.call(pos.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=basket))
    ).evaluation
    assert other.discount_minor == 0
    assert checkout_pb2.OUTCOME_REASON_USAGE_LIMIT_REACHED in {
        outcome.reason for outcome in other.outcomes
    }

    voided = await pos.call(
        pos.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    )
    assert voided.receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED
    assert (await admin.points(member.member_id)).available == 0
    again = (
        await pos.call(pos.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=basket))
    ).evaluation
    assert again.discount_minor == 5000


async def test_json_tells_the_same_story(pos, member):
    """A site that speaks JSON evaluates, commits and reads the receipt."""
    cart = {
        "store_id": chain.STORE,
        "channel": "CHANNEL_SITE",
        "currency_code": chain.CURRENCY,
        "member_key": {"member_id": member.member_id},
        "lines": [
            {
                "line_id": "1",
                "sku": "acc-milk",
                "quantity_thousandths": "1000",
                "unit_price_minor": 1000,
            }
        ],
    }
    status, offer, _ = await pos.json("POST", "/v1/checkout:evaluate", {"cart": cart})
    assert status == 200, offer
    assert offer["evaluation"]["total_minor"] == "900"
    status, made, _ = await pos.json(
        "POST",
        "/v1/checkout:commit",
        {
            "receipt_key": {
                "store_id": chain.STORE,
                "till_id": "web",
                "shift_id": "1",
                "receipt_number": uuid.uuid4().hex[:16],
            },
            "cart": cart,
            "occurred_time": "2026-01-15T10:00:00Z",
            "expected_total_minor": "900",
            "ruleset_version": offer["evaluation"]["ruleset_version"],
        },
    )
    assert status == 200, made
    receipt_id = made["receipt"]["receipt_id"]
    status, read, _ = await pos.json("GET", f"/v1/receipts/{receipt_id}")
    assert status == 200
    assert read["receipt"]["evaluation"] == made["receipt"]["evaluation"]


async def test_a_program_changes_from_a_day_to_come(admin):
    """In JSON: what may change is taken up, what must stay is refused by its field."""
    measure = {"kind": "MEASURE_KIND_SPEND"}
    challenge = {
        "measure": measure,
        "goal": "500",
        "first_date": {"year": 2100, "month": 1, "day": 1},
        "reward": {"points": {"points": "100"}},
    }
    rules = {"title": {"en": "Spring", "ru": "Весна"}, "challenge": challenge}
    body = {"request_id": uuid.uuid4().hex, "rules": rules}
    status, document, _ = await admin.json("POST", "/v1/programs", body)
    assert status == 200, document
    path = f"/v1/programs/{document['program']['program_id']}"

    challenge["goal"] = "400"
    body = {"version": "1", "rules": rules, "comment": "too much"}
    status, document, _ = await admin.json("PUT", path, body)
    assert status == 200, document
    changed = document["program"]
    assert (changed["version"], changed["live_version"]) == ("2", "1")
    status, document, _ = await admin.json("PUT", path, body)
    assert (status, document["details"][0]["reason"]) == (409, "VERSION_CONFLICT")

    challenge["measure"] = {"kind": "MEASURE_KIND_VISITS"}
    status, document, _ = await admin.json("PUT", path, {"version": "2", "rules": rules})
    told = document["details"][0]
    assert (status, told["reason"]) == (400, "PROGRAM_INVALID")
    assert told["metadata"]["field"] == "rules.challenge.measure"

    status, document, _ = await admin.json("GET", f"{path}/versions/1")
    assert document["program_version"]["rules"]["challenge"]["goal"] == "500"
    status, document, _ = await admin.json("GET", f"{path}/changes")
    assert document["changes"][0]["comment"] == "too much"
    status, document, _ = await admin.json("POST", f"{path}:end", {})
    assert status == 200, document


async def test_a_complaint_ends_with_points_or_with_a_second_person(pos, admin, member):
    """In JSON: more than the operator may give alone waits, and the receipt says so."""
    receipt = await chain.buy(
        pos,
        chain.cart(chain.line("1", "acc-bread", 1000, 1000), member_id=member.member_id),
    )
    limit = {"asset_code": "points", "operator_id": "admin"}
    bounds = {"amount_max": "20", "day_amount_max": "1000000"}
    status, document, _ = await admin.json(
        "POST", "/v1/adjustments/limits", {"limit": {**limit, **bounds}}
    )
    assert status == 200, document
    path = f"/v1/receipts/{receipt.receipt_id}"
    for points, state in (("20", "POSTED"), ("21", "PENDING")):
        body = {"request_id": uuid.uuid4().hex, "points": points, "cause": "it was closed"}
        status, document, _ = await admin.json("POST", f"{path}:compensate", body)
        assert status == 200, document
        assert document["compensation"]["state"] == f"ADJUSTMENT_STATE_{state}"
    status, document, _ = await pos.json("GET", path)
    shown = [(one["points"], one["state"]) for one in document["receipt"]["compensations"]]
    assert shown == [("20", "ADJUSTMENT_STATE_POSTED"), ("21", "ADJUSTMENT_STATE_PENDING")]
