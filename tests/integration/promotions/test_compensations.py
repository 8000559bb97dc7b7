"""Receipts made good: adjustments of the ledger in the name of whoever asks."""

import asyncio
import secrets
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import account_pb2, ledger_service_pb2
from tessera.ledger.v1 import adjustment_service_pb2 as adjustments
from tessera.ledger.v1 import adjustment_service_pb2_grpc as adjustments_grpc
from tessera.promotions.v1 import (
    checkout_service_pb2,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
)

from services.chassis import status
from tests.integration.promotions.houses import cart_of, line

Compensate = receipt_service_pb2.CompensateReceiptRequest
PENDING = adjustments.ADJUSTMENT_STATE_PENDING
POSTED = adjustments.ADJUSTMENT_STATE_POSTED
REJECTED = adjustments.ADJUSTMENT_STATE_REJECTED


@pytest.fixture
def desk(house):
    return receipt_service_pb2_grpc.ReceiptServiceStub(house.channel)


@pytest.fixture
async def corrections(house):
    """The ledger's desk; agent and colleague may give 100 points at once, 250 in a day."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ledger.port}") as channel:
        stub: Any = adjustments_grpc.AdjustmentServiceStub(channel)
        for name in ("agent", "colleague"):
            limit = adjustments.AdjustmentLimit(
                asset_code="points", operator_id=name, amount_max=100, day_amount_max=250
            )
            await house.call(
                stub.SetAdjustmentLimit, adjustments.SetAdjustmentLimitRequest(limit=limit)
            )
        yield stub


@pytest.fixture
async def member(house):
    return await house.register()


@pytest.fixture
async def receipt(house, member):
    return await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))


def ask_for(receipt, points, cause="the coupon was not taken"):
    return Compensate(
        request_id=secrets.token_hex(8), receipt_id=receipt.receipt_id, points=points, cause=cause
    )


async def shown(house, receipt):
    """Return the compensations of a receipt, as whoever reads it sees them."""
    request = checkout_service_pb2.GetReceiptRequest(receipt_id=receipt.receipt_id)
    answer = await house.call(house.checkout.GetReceipt, request, client="reader")
    return list(answer.receipt.compensations)


async def test_within_the_limit_points_are_there_at_once_and_once(
    house, desk, corrections, member, receipt
):
    """However often and however many call; the ledger knows who it was and for which receipt."""
    ask = ask_for(receipt, 100)
    answers = await asyncio.gather(
        *(house.call(desk.CompensateReceipt, ask, client="agent") for _ in range(8))
    )
    assert {answer.points_available for answer in answers} == {100}
    assert {answer.compensation.state for answer in answers} == {POSTED}
    (given,) = await shown(house, receipt)
    assert (given.points, given.cause, given.client_id) == (100, ask.cause, "agent")
    assert (given.state, given.batch_id) == (POSTED, answers[0].batch_id)
    rerun = receipt_service_pb2.RerunReceiptRequest(receipt_id=receipt.receipt_id)
    answer = await house.call(desk.RerunReceipt, rerun)
    assert list(answer.compensations) == [given]
    read = adjustments.GetAdjustmentRequest(adjustment_id=given.adjustment_id)
    kept = (await house.call(corrections.GetAdjustment, read)).adjustment
    assert kept.receipt_id == receipt.receipt_id
    assert kept.reason == adjustments.ADJUSTMENT_REASON_COMPENSATION
    assert [(act.operator_id, act.note) for act in kept.acts] == [("agent", ask.cause)]
    batch = ledger_service_pb2.GetBatchRequest(batch_id=given.batch_id)
    posted = (await house.call(house.books.GetBatch, batch)).result
    assert [one.amount for one in posted.operations] == [100]
    owner = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member)
    listing = ledger_service_pb2.ListEntriesRequest(
        account=account_pb2.AccountKey(owner=owner, asset_code="points")
    )
    entries = (await house.call(house.books.ListEntries, listing)).entries
    assert [(one.amount, one.receipt_id) for one in entries] == [(100, receipt.receipt_id)]


async def test_above_the_limit_a_second_person_decides(house, desk, corrections, member, receipt):
    """Until then it is to be seen, and nothing is given; whoever asked cannot approve."""
    ask = ask_for(receipt, 500)
    answer = await house.call(desk.CompensateReceipt, ask, client="agent")
    assert (answer.compensation.state, answer.points_available) == (PENDING, 0)
    adjustment_id = answer.compensation.adjustment_id
    assert [one.state for one in await shown(house, receipt)] == [PENDING]
    waiting = adjustments.ListAdjustmentsRequest(state=PENDING)
    listed = await house.call(corrections.ListAdjustments, waiting, client="supervisor")
    assert adjustment_id in [one.adjustment_id for one in listed.adjustments]
    approve = adjustments.ApproveAdjustmentRequest(adjustment_id=adjustment_id)
    said = await house.refusal(corrections.ApproveAdjustment, approve, client="agent")
    assert said.reason == "SAME_OPERATOR"
    await house.call(corrections.ApproveAdjustment, approve, client="supervisor")
    assert [one.state for one in await shown(house, receipt)] == [POSTED]
    again = await house.call(desk.CompensateReceipt, ask, client="agent")
    assert (again.compensation.state, again.points_available) == (POSTED, 500)
    assert await house.points(member) == 500


async def test_what_was_rejected_gives_nothing_and_says_so(
    house, desk, corrections, member, receipt
):
    ask = ask_for(receipt, 500)
    answer = await house.call(desk.CompensateReceipt, ask, client="agent")
    reject = adjustments.RejectAdjustmentRequest(
        adjustment_id=answer.compensation.adjustment_id, note="not ours"
    )
    await house.call(corrections.RejectAdjustment, reject, client="supervisor")
    again = await house.call(desk.CompensateReceipt, ask, client="agent")
    assert (again.compensation.state, again.points_available) == (REJECTED, 0)
    assert [one.state for one in await shown(house, receipt)] == [REJECTED]
    assert await house.points(member) == 0


@pytest.mark.usefixtures("corrections")
async def test_many_small_ones_are_as_much_as_a_large_one(house, desk, member, receipt):
    """What is given alone in a day is bounded, whatever receipts it is for and however it races."""
    requests = [ask_for(receipt, 90) for _ in range(4)]
    answers = await asyncio.gather(
        *(house.call(desk.CompensateReceipt, one, client="colleague") for one in requests)
    )
    states = sorted(answer.compensation.state for answer in answers)
    assert states == [PENDING, PENDING, POSTED, POSTED]
    assert await house.points(member) == 180


@pytest.mark.usefixtures("corrections")
async def test_a_request_belongs_to_who_made_it(house, desk, receipt):
    """Neither another amount nor another agent may use its id."""
    ask = ask_for(receipt, 1)
    await house.call(desk.CompensateReceipt, ask, client="colleague")
    for name, value in (("points", 2), ("cause", "another")):
        other = Compensate()
        other.CopyFrom(ask)
        setattr(other, name, value)
        said = await house.refusal(desk.CompensateReceipt, other, client="colleague")
        assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", name)
    said = await house.refusal(desk.CompensateReceipt, ask, client="admin")
    assert (said.reason, said.metadata["field"]) == ("REQUEST_CONFLICT", "client_id")


async def test_what_cannot_be_made_good_is_refused(house, desk, receipt):
    """Nobody to give to, more than anybody may give, or by somebody who may adjust nothing."""
    unknown = await house.buy(cart_of(line("1", "milk", 10_000)))
    said = await house.refusal(desk.CompensateReceipt, ask_for(unknown, 1))
    assert said.reason == "RECEIPT_WITHOUT_MEMBER"
    said = await house.refusal(desk.CompensateReceipt, ask_for(receipt, 10_001))
    assert (said.reason, said.metadata["max_points"]) == ("COMPENSATION_TOO_HIGH", "10000")
    said = await house.refusal(desk.CompensateReceipt, ask_for(receipt, 1), client="reader")
    assert (said.reason, said.metadata["scope"]) == ("PERMISSION_DENIED", "adjustments.propose")
    nobodys = ask_for(receipt, 1)
    nobodys.receipt_id = "rcp_" + "0" * 32
    said = await house.refusal(desk.CompensateReceipt, nobodys, client="reader")
    assert said.reason == "PERMISSION_DENIED"
    assert (await house.refusal(desk.CompensateReceipt, nobodys)).reason == "RECEIPT_NOT_FOUND"
    assert await shown(house, receipt) == []


@pytest.mark.usefixtures("corrections")
async def test_while_the_ledger_is_away_nothing_is_given_twice(house, desk, receipt):
    """The call is repeated; what is known of others is still told."""
    waits = ask_for(receipt, 500)
    await house.call(desk.CompensateReceipt, waits, client="agent")
    small = ask_for(receipt, 10)
    await house.ledger.kill()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await house.call(desk.CompensateReceipt, small, client="admin", timeout_s=5)
        assert status.read(caught.value).reason == "DEPENDENCY_UNAVAILABLE"
        assert [one.state for one in await shown(house, receipt)] == [PENDING]
    finally:
        await house.bring_back(house.ledger)
    limit = adjustments.AdjustmentLimit(
        asset_code="points", operator_id="admin", amount_max=100, day_amount_max=1_000
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ledger.port}") as channel:
        stub: Any = adjustments_grpc.AdjustmentServiceStub(channel)
        await house.call(
            stub.SetAdjustmentLimit, adjustments.SetAdjustmentLimitRequest(limit=limit)
        )
    for _ in range(2):
        answer = await house.call(desk.CompensateReceipt, small, client="admin")
        assert (answer.compensation.state, answer.points_available) == (POSTED, 10)
    assert [one.state for one in await shown(house, receipt)] == [PENDING, POSTED]
