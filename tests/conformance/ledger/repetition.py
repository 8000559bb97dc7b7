"""The same id again, undoing, and what survives."""

import asyncio
from datetime import timedelta

from tessera.ledger.v1 import batch_pb2, ledger_service_pb2

from services.ledger import engine
from services.ledger.storage import Copies
from tests.chaos.ledger.house import House
from tests.chaos.ledger.process import POINTS
from tests.conformance.ledger.register import Bank, case, key_of, reason
from tests.integration.ledger.conftest import move, running, undo, world

pb = ledger_service_pb2


@case("idem-002", "idem-004")
async def the_first_field_that_differs_is_named(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    boris, clara = ledger.member("coins"), ledger.member("coins")
    await ledger.earn(anna, 1000)
    batch = ledger.batch(move(anna, boris, 10))
    assert reason((await ledger.send(batch))[0]) == ""
    for amount, receiver, field in (
        (11, boris, "operations[0].transfer.amount"),
        (500, clara, "operations[0].transfer.credit.owner_id"),
    ):
        other = batch_pb2.Batch()
        other.CopyFrom(batch)
        other.operations[0].transfer.amount = amount
        other.operations[0].transfer.credit.CopyFrom(receiver.owner)
        (refused,) = await ledger.send(other)
        assert (reason(refused), refused.refusal.metadata["field"]) == ("BATCH_CONFLICT", field)
    found = await ledger.balances(anna, boris, clara)
    assert [one.available for one in found] == [990, 10, 0]


@case("idem-005")
async def a_refusal_stays_a_refusal(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 5)
    batch = ledger.batch(move(anna, boris, 10))
    await ledger.send(batch)
    await ledger.earn(anna, 100)
    (again,) = await ledger.send(batch)
    assert (reason(again), again.replayed) == ("INSUFFICIENT_FUNDS", True)
    assert again.refusal.metadata["available"] == "5"
    assert await ledger.available(boris) == 0
    assert reason(await ledger.post(move(anna, boris, 10))) == ""


@case("idem-007")
async def ids_are_unique_for_ever(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    batch = ledger.batch(move(world("coins"), anna, 10))
    await ledger.send(batch)
    try:
        ledger.now.ahead = timedelta(days=4000)
        (again,) = await ledger.send(batch)
        assert again.replayed
        assert await ledger.available(anna) == 10
    finally:
        ledger.now.ahead = timedelta(0)


@case("idem-009")
async def a_receipt_may_have_many_batches(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    for _ in range(2):
        earned = await ledger.post(move(world("coins"), anna, 10), receipt_id="R")
        assert reason(earned) == ""
    assert await ledger.available(anna) == 20


@case("idem-011")
async def a_script_that_is_sent_again_changes_nothing(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    await ledger.available(anna)
    spent = await ledger.spend(anna, 30)
    held, key = Copies(ledger.hot), key_of(anna)
    before = await held.get([key])
    balance = engine.Balance(
        key=key,
        available=70,
        pending=0,
        held=0,
        incoming=0,
        debt=0,
        version=spent.balances[0].version,
        next_expire_at=None,
        next_expire_amount=0,
        as_of=ledger.now(),
        changes_at=None,
    )
    for _ in range(3):
        await held.publish([balance])
    assert await held.get([key]) == before
    assert await ledger.available(anna) == 70
    assert await ledger.truth(anna) == 70


@case("idem-012")
async def an_unknown_outcome_is_found_out_by_asking_again(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    batch = ledger.batch(move(anna, world("coins"), 10))
    for pause_s in (0, 0.001, 0.003):
        call = asyncio.ensure_future(ledger.send(batch))
        await asyncio.sleep(pause_s)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    results = [(await ledger.send(batch))[0] for _ in range(2)]
    assert {reason(one) for one in results} == {""}
    assert results[1].replayed
    assert results[0].record_time == results[1].record_time
    assert await ledger.truth(anna) == 90


@case("idem-015")
async def an_id_that_undid_one_transfer_cannot_undo_another(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    first, second = await ledger.earn(anna, 10), await ledger.earn(anna, 20)
    batch = ledger.batch(undo(first, 10))
    assert reason((await ledger.send(batch))[0]) == ""
    other = ledger.batch(undo(second, 10), batch_id=batch.batch_id)
    other.occurred_time.CopyFrom(batch.occurred_time)
    (refused,) = await ledger.send(other)
    assert reason(refused) == "BATCH_CONFLICT"
    assert refused.refusal.metadata["field"] == "operations[0].reversal.batch_id"
    assert await ledger.available(anna) == 20


@case("rev-002", "rev-003")
async def what_is_undone_is_not_undone_again(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    paid = await ledger.spend(anna, 100)
    assert reason(await ledger.post(undo(paid, 100))) == ""
    for _ in range(2):
        refused = await ledger.post(undo(paid, 100))
        assert reason(refused) == "EXCEEDS_REVERSIBLE"
        assert refused.refusal.metadata["remaining"] == "0"
    assert (await ledger.available(anna), await ledger.truth(anna)) == (100, 100)


@case("rev-006")
async def undoing_does_not_rewrite_the_past(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    first = await ledger.earn(anna, 100)
    await ledger.post(undo(first, 100))
    entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
    assert [(one.amount, one.balance_after) for one in entries] == [(-100, 0), (100, 100)]


@case("rev-008")
async def refunds_at_the_same_time_share_what_there_is(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    paid = await ledger.spend(anna, 100)
    results = await asyncio.gather(*(ledger.post(undo(paid, 60)) for _ in range(10)))
    assert sorted(map(reason, results)) == ["", *["EXCEEDS_REVERSIBLE"] * 9]
    assert await ledger.available(anna) == 60


@case("dur-002")
async def a_lost_copy_is_made_from_the_truth(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    await ledger.available(anna)
    await ledger.spend(anna, 30)
    await ledger.hot.client.flushall()
    spent = await ledger.spend(anna, 70)
    assert (reason(spent), spent.balances[0].available) == ("", 0)
    assert (await ledger.available(anna), await ledger.truth(anna)) == (0, 0)


@case("dur-003", "dur-008")
async def a_store_that_has_missed_something_is_not_believed(bank: Bank) -> None:
    async with running(bank.made, bank.valkey.url) as ledger:
        anna = ledger.member("coins")
        await ledger.earn(anna, 100)
        await ledger.available(anna)
        batch = ledger.batch(move(anna, world("coins"), 30))
        await ledger.available(anna)
        # What a copy that lags would bring back, under the name of the server that wrote it.
        remembered = {}
        async for name in ledger.hot.client.scan_iter(match="*balance*"):
            remembered[name] = await ledger.hot.client.dump(name)
        await ledger.send(batch)
        bank.valkey.process.kill()
        await bank.valkey.process.start()
        async with asyncio.timeout(10):
            while True:
                try:
                    for name, value in remembered.items():
                        if value is not None:
                            await ledger.hot.client.restore(name, 60_000, value, replace=True)
                except Exception:  # noqa: BLE001  it is still on its way
                    await asyncio.sleep(0.05)
                else:
                    break
        (again,) = await ledger.send(batch)
        assert again.replayed
        assert await ledger.available(anna) == 70
        assert (await ledger.spend(anna, 71)).refusal.metadata["available"] == "70"
        assert (await ledger.spend(anna, 70)).balances[0].available == 0


@case("dur-005")
async def what_was_answered_is_durable(bank: Bank) -> None:
    house = House(await bank.new_database("ledger"), bank.valkey.url, bank.folder)
    try:
        await house.open(f"{POINTS[4]}:3")
        await house.sell(80)
        assert house.servers[0].deaths == 1
        await house.prove()
    finally:
        await house.close()


@case("dur-007")
async def there_is_one_order_that_respects_real_time(bank: Bank) -> None:
    house = House(await bank.new_database("ledger"), bank.valkey.url, bank.folder)
    try:
        await house.open("", f"{POINTS[2]}:3")
        await house.sell(80)
        await house.prove()
        await house.prove_real_time()
    finally:
        await house.close()
