"""What was left half way comes to its end, once, whoever finds it."""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2, ledger_service_pb2
from tessera.promotions.v1 import checkout_service_pb2, checkout_service_pb2_grpc

from services.chassis import errors, ids, status
from services.promotions import storage
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line, return_of

pytestmark = pytest.mark.usefixtures("earning")

GetReceipt = checkout_service_pb2.GetReceiptRequest


@pytest.fixture(scope="module")
async def earning(house):
    (campaign_id,) = await house.publish(promises.earn(500))
    return campaign_id


async def read(house, receipt_id):
    key = await storage.keys.find(house.db, receipt_id)
    return None if key is None else await storage.receipts.find(house.db, key)


async def rewind(house, receipt_id, state="PENDING"):
    """Put a receipt back to where it was before its batch was posted, as a crash leaves it."""
    await house.settled(receipt_id)
    await house.db.execute(
        "UPDATE receipts SET state = $2, moved = NULL WHERE receipt_id = $1",
        ids.parse("rcp", receipt_id),
        state,
    )


async def plant(house, member, *, coupon_of=""):
    """Write a decided purchase whose batch nobody has posted yet; return its request."""
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    model = await house.buy(cart)
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=model.receipt_id)
    )
    stored = await read(house, model.receipt_id)
    request = commit_of(cart, model.evaluation)
    key = request.receipt_key
    receipt_id = storage.keys.derive(key)
    batch = batch_pb2.Batch.FromString(stored.batch)
    batch.batch_id = ids.new("bat")
    batch.receipt_id = receipt_id
    if coupon_of:
        burn = batch.operations.add().transfer
        burn.asset_code = f"coupon.{coupon_of}"
        burn.debit.CopyFrom(
            account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member)
        )
        burn.credit.CopyFrom(
            account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="redemption")
        )
        burn.amount = 1
        burn.reason = account_pb2.TRANSFER_REASON_BURN
        burn.campaign_id = coupon_of
    planted = replace(
        stored,
        receipt_id=receipt_id,
        state=storage.receipts.PENDING,
        request=request.SerializeToString(),
        batch_id=batch.batch_id,
        batch=batch.SerializeToString(),
        moved=(),
        undo_batch=b"",
    )
    assert await storage.receipts.add(house.db, [(planted, None)]) == {receipt_id}
    return request, receipt_id, batch


async def test_a_posted_purchase_is_finished_with_its_own_evaluation(house, recovery):
    """The process died after the ledger had posted: nothing moves again, the receipt is there."""
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    await rewind(house, receipt.receipt_id)
    assert await recovery.sweep() == 1
    assert (await read(house, receipt.receipt_id)).state == storage.receipts.COMMITTED
    answer = await house.call(house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id))
    assert answer.receipt == receipt
    assert await house.points(member) == 500
    assert await recovery.sweep() == 0


async def test_a_decided_purchase_is_posted_and_finished(house, recovery):
    """The process died before the ledger heard of it: the points come, once."""
    member = await house.register()
    request, receipt_id, _ = await plant(house, member)
    assert await house.points(member) == 0
    assert await recovery.sweep() == 1
    assert await house.points(member) == 500
    answer = await house.commit(request)
    assert answer.replayed
    assert answer.receipt.receipt_id == receipt_id
    assert await house.points(member) == 500


@pytest.mark.parametrize("posted", [False, True])
async def test_a_repeated_call_finishes_what_it_finds(house, posted):
    """The till need not wait for the recovery: its retry gets the receipt as it was decided."""
    member = await house.register()
    request, receipt_id, batch = await plant(house, member)
    if posted:
        await house.call(
            house.books.PostBatches, ledger_service_pb2.PostBatchesRequest(batches=[batch])
        )
    answers = await asyncio.gather(*(house.commit(request) for _ in range(5)))
    assert {answer.receipt.receipt_id for answer in answers} == {receipt_id}
    assert all(answer.replayed for answer in answers)
    assert await house.points(member) == 500


async def test_another_body_waits_for_the_outcome_of_the_first(house):
    """A purchase on its way is finished before it is called a conflict."""
    member = await house.register()
    request, receipt_id, _ = await plant(house, member)
    request.cart.lines[0].unit_price_minor = 9_000
    request.expected_total_minor = 9_000
    refusal = await house.refusal(house.checkout.Commit, request)
    assert refusal.reason == "RECEIPT_CONFLICT"
    assert (await read(house, receipt_id)).state == storage.receipts.COMMITTED


async def test_a_refused_purchase_is_forgotten(house, recovery):
    """The ledger says no to what a crash left: the key is free, and another body may use it."""
    member = await house.register()
    (campaign_id,) = await house.publish(promises.coupon(secrets.token_hex(4), personal=True))
    _, first_id, _ = await plant(house, member, coupon_of=campaign_id)
    assert await recovery.sweep() == 1
    assert await read(house, first_id) is None
    request, second_id, _ = await plant(house, member, coupon_of=campaign_id)
    assert (await house.refusal(house.checkout.Commit, request)).reason == "BENEFIT_GONE"
    assert await read(house, second_id) is None
    _, third_id, _ = await plant(house, member, coupon_of=campaign_id)
    refusal = await house.refusal(house.checkout.GetReceipt, GetReceipt(receipt_id=third_id))
    assert refusal.reason == "RECEIPT_NOT_FOUND"
    answer = await house.commit(request)
    assert not answer.replayed
    assert await house.points(member) == 500
    await house.end(campaign_id)


async def test_a_void_on_its_way_is_finished(house, recovery):
    """Whether or not the ledger had posted it: everything is back, once."""
    for posted in (True, False):
        member = await house.register()
        receipt = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
        if posted:
            await house.call(
                house.checkout.Void,
                checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id),
            )
        else:
            await plant_void(house, receipt.receipt_id)
        await house.db.execute(
            "UPDATE receipts SET state = 'VOIDING' WHERE receipt_id = $1",
            ids.parse("rcp", receipt.receipt_id),
        )
        assert await recovery.sweep() == 1
        assert (await read(house, receipt.receipt_id)).state == storage.receipts.VOIDED
        assert await house.points(member) == 0


async def plant_void(house, receipt_id):
    await house.settled(receipt_id)
    stored = await read(house, receipt_id)
    original = batch_pb2.Batch.FromString(stored.batch)
    occurred = timestamp_pb2.Timestamp()
    occurred.FromDatetime(datetime.now(UTC))
    undo = batch_pb2.Batch(batch_id=ids.new("bat"), receipt_id=receipt_id, occurred_time=occurred)
    for index, amount in enumerate(stored.moved):
        undo.operations.add().reversal.CopyFrom(
            batch_pb2.Reversal(
                batch_id=original.batch_id,
                operation_index=index,
                amount=amount,
                shortfall=batch_pb2.SHORTFALL_TAKE_AVAILABLE,
            )
        )
    async with house.db.transaction() as tx:
        await storage.receipts.begin_void(
            tx, stored, undo_batch=undo.SerializeToString(), now=datetime.now(UTC)
        )


async def test_a_return_on_its_way_is_finished(house, recovery):
    """By the recovery, or by the next return of the same receipt, before that one is priced."""
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 4_000), member_id=member))
    request = return_of(receipt, {"1": 1_000})
    first = (await house.call(house.checkout.Return, request)).returned
    await rewind(house, first.return_id)
    assert await recovery.sweep() == 1
    assert (await house.call(house.checkout.Return, request)).returned == first
    await rewind(house, first.return_id)
    second = await house.give_back(receipt, **{"1": 3_000})
    assert first.points_clawed_back + second.points_clawed_back == 200
    assert first.refund_minor + second.refund_minor == 4_000
    assert await house.points(member) == 0


async def test_a_killed_process_leaves_nothing_half_way(house, launch_promotions, recovery):
    """Kill -9 in a storm of purchases: the retries get one receipt each, and the points once."""
    members = [await house.register() for _ in range(40)]
    carts = [cart_of(line("1", "milk", 10_000), member_id=member) for member in members]
    requests = [commit_of(cart, await house.evaluate(cart)) for cart in carts]
    token = await house.token("admin")

    async def insist(process, request):
        """Send a purchase until it is answered, as a till does."""
        while True:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
                stub = checkout_service_pb2_grpc.CheckoutServiceStub(channel)
                try:
                    return await stub.Commit(
                        request, metadata=[("authorization", f"Bearer {token}")], timeout=10
                    )
                except grpc.aio.AioRpcError as error:
                    if status.read(error).category not in errors.TRANSIENT:
                        raise
            await asyncio.sleep(0.1)

    async with launch_promotions() as process:
        storm = [asyncio.create_task(insist(process, request)) for request in requests]
        await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED)
        await process.kill()
        await process.start()
        answers = await asyncio.gather(*storm)
    assert len({answer.receipt.receipt_id for answer in answers}) == len(members)
    assert {await house.points(member) for member in members} == {500}
    await recovery.sweep()
    open_rows = await house.db.fetchval(
        "SELECT count(*) FROM receipts WHERE state IN ('PENDING', 'VOIDING')"
    )
    assert open_rows == 0
