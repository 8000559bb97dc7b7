"""Scenarios of our own: orders of refusals, parts of batches, holds and lots at their edges."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    batch_pb2,
    ledger_service_pb2,
)

from services.chassis import errors, status, timestamps
from tests.conformance.ledger.holds import capture, void
from tests.conformance.ledger.register import Bank, available, case, reason
from tests.integration.ledger.conftest import move, place, undo, world

pb = ledger_service_pb2
BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}
MOST = 10**15


async def _freeze(ledger: Any, one: Any) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        people = account_service_pb2_grpc.AccountServiceStub(channel)
        await people.FreezeAccount(account_service_pb2.FreezeAccountRequest(account=one, **BY))


@case("own-001")
async def what_is_reserved_is_not_there(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world("coins"), 60))
    assert reason(await ledger.spend(anna, 50)) == "INSUFFICIENT_FUNDS"
    await ledger.post(void(hold))
    assert reason(await ledger.spend(anna, 50)) == ""
    assert await available(ledger, anna) == [50]


@case("own-002")
async def refunds_never_pass_what_was_paid(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    paid = await ledger.spend(anna, 100)
    told = [reason(await ledger.post(undo(paid, amount))) for amount in (40, 40, 30, 20)]
    assert told == ["", "", "EXCEEDS_REVERSIBLE", ""]
    assert await available(ledger, anna) == [100]


@case("own-003")
async def a_refund_is_not_refunded(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 10)
    refund = await ledger.post(undo(await ledger.spend(anna, 10), 10))
    assert reason(await ledger.post(undo(refund, 10))) == "NOT_REVERSIBLE"
    assert await available(ledger, anna) == [10]


@case("own-004")
async def one_call_repeats_itself(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    batch = ledger.batch(move(world("coins"), anna, 10))
    first, second = await ledger.send(batch, batch)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.operations == second.operations
    assert await available(ledger, anna) == [10]


@case("own-005")
async def the_order_of_parts_belongs_to_a_batch(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    parts = move(world("coins"), anna, 1), move(world("coins"), boris, 2)
    batch = ledger.batch(*parts)
    await ledger.send(batch)
    turned = batch_pb2.Batch()
    turned.CopyFrom(batch)
    del turned.operations[:]
    turned.operations.extend(reversed(parts))
    (refused,) = await ledger.send(turned)
    assert reason(refused) == "BATCH_CONFLICT"
    assert refused.refusal.metadata["field"].startswith("operations[0]")
    assert await available(ledger, anna, boris) == [1, 2]


@case("own-006")
async def an_unknown_asset_comes_before_missing_money(bank: Bank) -> None:
    ledger, nobody = bank.ledger, bank.ledger.member("case.own006")
    assert reason(await ledger.spend(nobody, 5)) == "ASSET_NOT_FOUND"


@case("own-007")
async def the_state_of_an_account_comes_before_its_money(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 5)
    await _freeze(ledger, anna)
    refused = await ledger.spend(anna, 10)
    assert (reason(refused), refused.refusal.metadata["side"]) == ("ACCOUNT_FROZEN", "debit")
    assert await ledger.truth(anna) == 5


@case("own-008")
async def a_ceiling_is_met_exactly(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("case.own008", ceiling=100)
    anna = ledger.member("case.own008")
    await ledger.earn(anna, 60)
    told = [reason(await ledger.earn(anna, amount)) for amount in (41, 40, 1)]
    assert told == ["CEILING_EXCEEDED", "", "CEILING_EXCEEDED"]
    assert await available(ledger, anna) == [100]


@case("own-009")
async def parts_of_a_batch_see_each_other_in_order(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    earn, passed = move(world("coins"), anna, 5), move(anna, boris, 5)
    assert reason(await ledger.post(earn, passed)) == ""
    refused = await ledger.post(passed, earn)
    assert (reason(refused), refused.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 0)
    assert await available(ledger, anna, boris) == [0, 5]


@case("own-010")
async def the_rest_of_a_captured_hold_is_given_back(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, boris, 30))
    assert reason(await ledger.post(capture(hold, 10))) == ""
    assert reason(await ledger.post(void(hold))) == ""
    assert reason(await ledger.post(void(hold))) == "HOLD_VOIDED"
    assert await available(ledger, anna, boris) == [90, 10]


@case("own-011")
async def a_hold_sent_twice_is_one(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    batch = ledger.batch(place(anna, boris, 40))
    for replayed in (False, True):
        (result,) = await ledger.send(batch)
        assert (reason(result), result.replayed) == ("", replayed)
    (balance,) = await ledger.balances(anna)
    assert (balance.available, balance.held) == (60, 40)


@case("own-012")
async def what_a_hold_paid_is_refunded(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 30)
    hold = await ledger.post(place(anna, boris, 30))
    paid = await ledger.post(capture(hold))
    assert reason(await ledger.post(undo(paid, 30))) == ""
    assert await available(ledger, anna, boris) == [30, 0]


@case("own-013")
async def of_lots_with_one_end_the_older_is_spent_first(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    await ledger.earn(anna, 10, lot_expire_time=ends)
    (older,) = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    await ledger.earn(anna, 10, lot_expire_time=ends)
    first, second = (await ledger.spend(anna, 12)).operations[0].taken
    assert (first.lot_id, first.amount, second.amount) == (older.lot_id, 10, 2)


@case("own-014")
async def what_has_ended_is_not_there(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    await ledger.earn(anna, 40, lot_expire_time=ends)
    try:
        ledger.now.ahead = timedelta(days=5, seconds=1)
        assert reason(await ledger.spend(anna, 1)) == "INSUFFICIENT_FUNDS"
        assert await available(ledger, anna) == [0]
    finally:
        ledger.now.ahead = timedelta(0)


@case("own-015")
async def a_hold_keeps_its_part_of_a_lot(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member(), bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    await ledger.earn(anna, 100, lot_expire_time=ends)
    hold = await ledger.post(place(anna, boris, 60, life_s=10 * 86_400))
    try:
        ledger.now.ahead = timedelta(days=6)
        assert reason(await ledger.post(capture(hold))) == ""
        (balance,) = await ledger.balances(anna)
        assert (balance.available, balance.held) == (0, 0)
    finally:
        ledger.now.ahead = timedelta(0)
    assert await ledger.truth(boris) == 60


@case("own-016")
async def an_asset_is_not_made_otherwise(bank: Bank) -> None:
    ledger = bank.ledger
    made = await ledger.asset("case.own016", ceiling=7)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ledger.asset("case.own016", ceiling=8)
    assert status.read(caught.value).reason == "ASSET_CONFLICT"
    assert await ledger.asset("case.own016", ceiling=7) == made


@case("own-017")
async def all_accounts_of_an_asset_come_to_nothing(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("case.own017")
    anna, boris = ledger.member("case.own017"), ledger.member("case.own017")
    outside = world("case.own017")
    await ledger.earn(anna, 100)
    await ledger.post(move(anna, boris, 30))
    hold = await ledger.post(place(boris, anna, 20))
    await ledger.post(capture(hold, 5, final=True))
    spent = await ledger.spend(anna, 40)
    await ledger.post(undo(spent, 15))
    found = await available(ledger, anna, boris, outside)
    assert (found[:2], sum(found)) == ([50, 25], 0)


@case("own-018")
async def as_much_as_there_is_may_be_nothing(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    batch = ledger.batch(move(anna, world("coins"), 40, up_to=True))
    for replayed in (False, True):
        (result,) = await ledger.send(batch)
        assert (reason(result), result.replayed) == ("", replayed)
        assert result.operations[0].amount == 0
        await ledger.earn(anna, 50)
    assert await available(ledger, anna) == [100]


@case("own-019")
async def the_largest_amount_is_exact(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    assert reason(await ledger.earn(anna, MOST)) == ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ledger.earn(anna, MOST + 1)
    assert status.read(caught.value).category == errors.Category.INVALID_ARGUMENT
    assert await available(ledger, anna) == [MOST]


@case("own-020")
async def an_answer_stays_what_it_was(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 10)
    batch = ledger.batch(move(anna, world("coins"), 4))
    (first,) = await ledger.send(batch)
    await _freeze(ledger, anna)
    (again,) = await ledger.send(batch)
    assert (reason(again), again.replayed) == ("", True)
    assert again.operations == first.operations
    assert await ledger.truth(anna) == 6
