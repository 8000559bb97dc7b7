"""Scenarios of our own: callers at once, ends of time and of numbers, returns that come late."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tessera.ledger.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    books_service_pb2,
    books_service_pb2_grpc,
    ledger_service_pb2,
)

from services.chassis import timestamps
from tests.conformance.ledger.holds import capture, void
from tests.conformance.ledger.register import Bank, available, case, lots, reason
from tests.integration.ledger.conftest import move, place, running, undo, world

pb = ledger_service_pb2
BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}
MOST = 10**15


@case("own-021")
async def one_id_has_one_body(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    small = ledger.batch(move(anna, world("coins"), 10))
    large = ledger.batch(
        move(anna, world("coins"), 20),
        batch_id=small.batch_id,
        occurred_time=small.occurred_time,
    )
    async with running(bank.made, bank.valkey.url) as second:
        sendings = [
            (ledger, second)[number // 2 % 2].send((small, large)[number % 2])
            for number in range(20)
        ]
        results = [result for (result,) in await asyncio.gather(*sendings)]
    reasons = [reason(result) for result in results]
    told = [set(reasons[::2]), set(reasons[1::2])]
    assert sorted(told, key=max) == [{""}, {"BATCH_CONFLICT"}]
    fields = {one.refusal.metadata["field"] for one in results if reason(one)}
    assert fields == {"operations[0].transfer.amount"}
    assert sum(not one.replayed for one in results if not reason(one)) == 1
    assert await ledger.truth(anna) == (80 if reasons[0] else 90)


@case("own-022")
async def a_hold_is_captured_once(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world("coins"), 30))
    async with running(bank.made, bank.valkey.url) as second:
        captures = [(ledger, second)[number % 2].post(capture(hold)) for number in range(10)]
        reasons = [reason(one) for one in await asyncio.gather(*captures)]
    assert sorted(reasons) == [""] + ["HOLD_CAPTURED"] * 9
    (balance,) = await ledger.balances(anna)
    assert (balance.available, balance.held) == (70, 0)


@case("own-023")
async def a_frozen_account_pays_no_hold(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world("coins"), 30))
    people = account_service_pb2_grpc.AccountServiceStub(ledger.channel)
    await people.FreezeAccount(account_service_pb2.FreezeAccountRequest(account=anna, **BY))
    assert reason(await ledger.post(capture(hold))) == "ACCOUNT_FROZEN"
    assert (await ledger.balances(anna))[0].held == 30
    assert reason(await ledger.post(void(hold))) == ""
    assert await available(ledger, anna) == [100]


@case("own-024")
async def a_hold_ends_at_its_instant(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world("coins"), 60))
    ends = hold.operations[0].expire_time.ToDatetime(UTC)
    async with running(bank.made, bank.valkey.url) as second:
        second.now.stand_at(ends - timedelta(microseconds=1))
        assert reason(await second.spend(anna, 50)) == "INSUFFICIENT_FUNDS"
        second.now.stand_at(ends)
        assert reason(await second.spend(anna, 50)) == ""
        assert reason(await second.post(capture(hold))) == "HOLD_EXPIRED"


@case("own-025")
async def parts_of_a_batch_are_undone_one_by_one(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    earned = await ledger.post(move(world("coins"), anna, 10), move(world("coins"), boris, 20))
    told = [reason(await ledger.post(undo(earned, part, index=1))) for part in (15, 5, 1)]
    assert told == ["", "", "EXCEEDS_REVERSIBLE"]
    assert await available(ledger, anna, boris) == [10, 0]


@case("own-026")
async def the_largest_balance_is_exact(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    for _ in range(5):
        full = await ledger.post(*(move(world("coins"), anna, MOST) for _ in range(200)))
        assert reason(full) == ""
    refused = await ledger.earn(anna, 1)
    assert (reason(refused), refused.refusal.metadata["room"]) == ("CEILING_EXCEEDED", "0")
    spent = await ledger.spend(anna, 1)
    assert await available(ledger, anna) == [10**18 - 1]
    assert reason(await ledger.post(undo(spent, 1))) == ""
    assert await available(ledger, anna) == [10**18]
    await ledger.post(*(move(anna, world("coins"), MOST) for _ in range(200)))


@case("own-027")
async def what_there_is_and_what_there_is_room_for(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("case.own027", ceiling=100)
    anna, boris = ledger.member("case.own027"), ledger.member("case.own027")
    await ledger.earn(anna, 40)
    await ledger.earn(boris, 75)
    passed = await ledger.post(move(anna, boris, 100, up_to=True))
    assert passed.operations[0].amount == 25
    assert await available(ledger, anna, boris) == [15, 100]


@case("own-028", "own-029")
async def ends_follow_the_calendar_and_the_clock_of_the_owner(bank: Bank) -> None:
    month = asset_pb2.RollingExpiry(months=1, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    day = asset_pb2.RollingExpiry(days=1, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    cases = (
        (
            "case.own028",
            asset_pb2.LotPolicy(time_zone="Europe/Moscow", rolling=month),
            datetime(2026, 1, 31, 7, tzinfo=UTC),
            datetime(2026, 2, 28, 21, tzinfo=UTC),
        ),
        (
            "case.own029",
            asset_pb2.LotPolicy(time_zone="America/New_York", rolling=day),
            datetime(2026, 3, 7, 7, 30, tzinfo=UTC),
            datetime(2026, 3, 8, 7, 30, tzinfo=UTC),
        ),
    )
    async with running(bank.made, bank.valkey.url) as ledger:
        for code, policy, earned, ends in cases:
            await ledger.asset(code, lot_policy=policy)
            ledger.now.stand_at(earned)
            anna = ledger.member(code)
            await ledger.earn(anna, 10)
            (lot,) = await lots(ledger, anna)
            assert lot.expire_time.ToDatetime(UTC) == ends


@case("own-030")
async def what_expired_is_not_owed(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    earned = await ledger.earn(anna, 100, lot_expire_time=ends)
    await ledger.spend(anna, 30)
    try:
        ledger.now.ahead = timedelta(days=6)
        undone = await ledger.post(undo(earned, 60, batch_pb2.SHORTFALL_DEBT))
        assert (undone.operations[0].amount, undone.operations[0].owed) == (0, 30)
        undone = await ledger.post(undo(earned, 70, batch_pb2.SHORTFALL_DEBT))
        assert (undone.operations[0].amount, undone.operations[0].owed) == (0, 0)
        (balance,) = await ledger.balances(anna)
        assert (balance.available, balance.debt) == (0, 30)
    finally:
        ledger.now.ahead = timedelta(0)


@case("own-031")
async def a_hold_that_times_out_revives_nothing(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(minutes=30))
    await ledger.earn(anna, 100, lot_expire_time=ends)
    hold = await ledger.post(place(anna, world(), 60))
    try:
        ledger.now.ahead = timedelta(minutes=45)
        (balance,) = await ledger.balances(anna)
        assert (balance.available, balance.held) == (0, 60)
        ledger.now.ahead = timedelta(minutes=61)
        assert reason(await ledger.post(capture(hold))) == "HOLD_EXPIRED"
        assert reason(await ledger.spend(anna, 1)) == "INSUFFICIENT_FUNDS"
        (balance,) = await ledger.balances(anna)
        assert (balance.available, balance.held) == (0, 0)
        await ledger.earn(anna, 1)
        assert await ledger.truth(anna) == 1
    finally:
        ledger.now.ahead = timedelta(0)


@case("own-032")
async def batches_of_one_call_see_each_other(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    wanted = [ledger.batch(move(anna, world("coins"), 60)) for _ in range(2)]
    for _ in range(2):
        assert list(map(reason, await ledger.send(*wanted))) == ["", "INSUFFICIENT_FUNDS"]
    assert await available(ledger, anna) == [40]


@case("own-033")
async def a_circle_begins_with_something(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris, vera = (ledger.member("coins") for _ in range(3))
    circle = move(anna, boris, 5), move(boris, vera, 5), move(vera, anna, 5)
    refused = await ledger.post(*circle)
    assert (reason(refused), refused.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 0)
    await ledger.earn(anna, 5)
    assert reason(await ledger.post(*circle)) == ""
    assert await available(ledger, anna, boris, vera) == [5, 0, 0]


@case("own-034")
async def a_refund_needs_room(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("case.own034", ceiling=100)
    anna = ledger.member("case.own034")
    await ledger.earn(anna, 100)
    paid = await ledger.spend(anna, 60)
    await ledger.earn(anna, 60)
    refused = await ledger.post(undo(paid, 60))
    assert (reason(refused), refused.refusal.metadata["room"]) == ("CEILING_EXCEEDED", "0")
    await ledger.spend(anna, 60)
    assert reason(await ledger.post(undo(paid, 60))) == ""
    assert await available(ledger, anna) == [100]


@case("own-035")
async def a_budget_is_given_out_to_its_last_unit(bank: Bank) -> None:
    ledger, budget = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(budget, 100)
    async with running(bank.made, bank.valkey.url) as second:
        takings = [
            (ledger, second)[number % 2].spend(budget, 7, up_to=True) for number in range(30)
        ]
        given = sorted(one.operations[0].amount for one in await asyncio.gather(*takings))
    assert given == [0] * 15 + [2] + [7] * 14
    assert await ledger.truth(budget) == 0


@case("own-036")
async def a_statement_stays_what_it_was_when_it_began(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    for amount in range(1, 13):
        await ledger.earn(anna, amount)
    books = books_service_pb2_grpc.BooksServiceStub(ledger.channel)
    request = books_service_pb2.GetStatementRequest(
        account=anna,
        from_time=timestamps.show(ledger.now() - timedelta(days=1)),
        until_time=timestamps.show(ledger.now()),
        page_size=5,
    )
    amounts: list[int] = []
    while True:
        page = await books.GetStatement(request)
        amounts += [entry.amount for entry in page.entries]
        assert (page.opening_balance, page.closing_balance) == (0, 78)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
        await ledger.earn(anna, 100)
    assert amounts == list(range(1, 13))
