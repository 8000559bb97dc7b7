"""Scenarios of our own: two callers at two processes want what only one can have."""

import asyncio
from typing import Any

from tessera.ledger.v1 import account_service_pb2, account_service_pb2_grpc, batch_pb2

from tests.conformance.ledger.holds import capture, void
from tests.conformance.ledger.register import Bank, available, case, reason
from tests.integration.ledger.conftest import place, running, undo, world

BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}


@case("own-100")
async def a_hold_ends_in_one_way(bank: Bank) -> None:
    ledger = bank.ledger
    async with running(bank.made, bank.valkey.url) as second:
        for number in range(10):
            anna, boris = ledger.member("coins"), ledger.member("coins")
            await ledger.earn(anna, 100)
            hold = await ledger.post(place(anna, boris, 30))
            one, other = (ledger, second) if number % 2 else (second, ledger)
            told = await asyncio.gather(one.post(capture(hold)), other.post(void(hold)))
            captured, voided = map(reason, told)
            assert (captured, voided) in {("", "HOLD_CAPTURED"), ("HOLD_VOIDED", "")}
            given = 0 if captured else 30
            assert await available(ledger, anna, boris) == [100 - given, given]
            assert (await ledger.balances(anna))[0].held == 0


@case("own-101")
async def parts_of_a_hold_are_captured_once(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world("coins"), 30))
    async with running(bank.made, bank.valkey.url) as second:
        captures = [(ledger, second)[number % 2].post(capture(hold, 7)) for number in range(10)]
        told = await asyncio.gather(*captures)
    assert sorted(map(reason, told)) == [""] * 4 + ["EXCEEDS_HOLD"] * 6
    left = {one.refusal.metadata["remaining"] for one in told if reason(one)}
    assert left == {"2"}
    assert (await ledger.post(capture(hold))).operations[0].amount == 2
    assert await ledger.truth(anna) == 70


@case("own-102")
async def points_go_to_one_of_two_who_want_them(bank: Bank) -> None:
    ledger = bank.ledger
    async with running(bank.made, bank.valkey.url) as second:
        for number in range(10):
            anna = ledger.member()
            earned = await ledger.earn(anna, 100)
            one, other = (ledger, second) if number % 2 else (second, ledger)
            spent, undone = await asyncio.gather(
                one.spend(anna, 60),
                other.post(undo(earned, 100, batch_pb2.SHORTFALL_TAKE_AVAILABLE)),
            )
            taken = undone.operations[0].amount
            assert (reason(spent), taken) in {("", 40), ("INSUFFICIENT_FUNDS", 100)}
            assert (await available(ledger, anna), await ledger.truth(anna)) == ([0], 0)


@case("own-103")
async def nothing_is_spent_after_the_answer(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 1000)
    people = account_service_pb2_grpc.AccountServiceStub(ledger.channel)
    async with running(bank.made, bank.valkey.url) as second:

        async def freeze() -> list[str]:
            request = account_service_pb2.FreezeAccountRequest(account=anna, **BY)
            await people.FreezeAccount(request)
            late = [(ledger, second)[number % 2].spend(anna, 1) for number in range(10)]
            return [reason(one) for one in await asyncio.gather(*late)]

        early = [(ledger, second)[number % 2].spend(anna, 1) for number in range(20)]
        late, *before = await asyncio.gather(freeze(), *early)
    assert set(late) == {"ACCOUNT_FROZEN"}
    posted = [reason(one) for one in before].count("")
    assert await ledger.truth(anna) == 1000 - posted
