"""Accounts, amounts and batches."""

import asyncio
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import account_pb2, ledger_service_pb2

from services.chassis import errors, ids, status
from tests.conformance.ledger.register import Bank, case, key_of, reason
from tests.integration.ledger.conftest import account, move, running, world

pb = ledger_service_pb2
PROGRAM, CARD = account_pb2.OWNER_TYPE_PROGRAM, account_pb2.OWNER_TYPE_CARD


async def _refused_by_contract(ledger: Any, *operations: Any) -> None:
    """Assert that the call is refused before anything is decided."""
    sent = ledger.batch(*operations)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ledger.send(sent)
    assert status.read(caught.value).category == errors.Category.INVALID_ARGUMENT
    stored = await ledger.db.fetchval(
        "SELECT count(*) FROM batches WHERE batch_id = $1", ids.parse("bat", sent.batch_id)
    )
    assert stored == 0


@case("acct-001")
async def an_account_and_an_asset_may_be_made_again(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    request = pb.SetAccountLimitsRequest(account=anna, floor=0, ceiling=500)
    first = (await ledger.stub.SetAccountLimits(request)).balance
    await ledger.earn(anna, 10)
    again = (await ledger.stub.SetAccountLimits(request)).balance
    assert (again.available, again.version) == (10, first.version + 1)
    rows = await ledger.db.fetch("SELECT 1 FROM accounts WHERE account_id = $1", key_of(anna).id)
    assert len(rows) == 1
    made = await ledger.asset("case.acct001", ceiling=7)
    assert (await ledger.asset("case.acct001", ceiling=7)) == made


@case("acct-003")
async def an_unknown_giver_has_nothing(bank: Bank) -> None:
    ledger, unknown, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    assert reason(await ledger.post(move(unknown, boris, 10))) == "INSUFFICIENT_FUNDS"
    assert [one.version for one in await ledger.balances(unknown, boris)] == [0, 0]


@case("acct-004")
async def both_sides_must_differ(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    assert reason(await ledger.post(move(anna, anna, 10))) == "ACCOUNTS_MUST_DIFFER"
    assert (await ledger.available(anna), await ledger.truth(anna)) == (100, 100)
    assert (await ledger.balances(anna))[0].version == 1


@case("amt-001", "amt-002")
async def amounts_are_positive(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    for amount in (0, -5):
        await _refused_by_contract(ledger, move(anna, boris, amount))
    assert [one.available for one in await ledger.balances(anna, boris)] == [100, 0]


@case("amt-004", "amt-005")
async def amounts_are_compared_exactly(bank: Bank) -> None:
    ledger = bank.ledger
    most = 10**15  # of one operation; balances may be a thousand times that
    for held in (2**53, 10**17 + 1):
        anna, boris = ledger.member("coins"), ledger.member("coins")
        parts = [most] * (held // most) + [held % most]
        await ledger.post(*(move(world("coins"), anna, part) for part in parts))
        assert await ledger.available(anna) == held
        await _refused_by_contract(ledger, move(anna, boris, held + 1))
        parts[-1] += 1
        refused = await ledger.post(*(move(anna, boris, part) for part in parts))
        assert reason(refused) == "INSUFFICIENT_FUNDS"
        assert refused.refusal.metadata["available"] == str(held % most)
        assert [one.available for one in await ledger.balances(anna, boris)] == [held, 0]


@case("amt-009")
async def two_assets_are_exchanged_together(bank: Bank) -> None:
    ledger = bank.ledger
    anna, purse = ledger.member("coins"), account(ids.new("mem"), "euros")
    await ledger.asset("euros")
    desks = account("desk", "coins", PROGRAM), account("desk", "euros", PROGRAM)
    await ledger.earn(anna, 1000)
    await ledger.earn(desks[1], 5)
    exchange = move(anna, desks[0], 500), move(desks[1], purse, 5)
    assert reason(await ledger.post(*exchange)) == ""
    assert reason(await ledger.post(*exchange)) == "INSUFFICIENT_FUNDS"
    found = await ledger.balances(anna, desks[0], desks[1], purse)
    assert [one.available for one in found] == [500, 500, 0, 5]


@case("batch-004")
async def a_batch_ends_where_its_message_ends(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await _refused_by_contract(ledger)
    assert reason(await ledger.post(move(world("coins"), anna, 1))) == ""


@case("batch-005")
async def one_wrong_operation_refuses_the_batch(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    refused = await ledger.post(
        move(world("coins"), anna, 5), move(boris, anna, 1), move(world("coins"), anna, 5)
    )
    assert (reason(refused), refused.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 1)
    assert await ledger.available(anna) == 0


@case("batch-006")
async def batches_of_one_call_are_answered_one_by_one(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    results = await ledger.send(
        ledger.batch(move(world("coins"), anna, 5)),
        ledger.batch(move(boris, anna, 1)),
        ledger.batch(move(world("coins"), anna, 7)),
    )
    assert list(map(reason, results)) == ["", "INSUFFICIENT_FUNDS", ""]
    assert await ledger.available(anna) == 12


@case("batch-007")
async def a_batch_that_always_fails_leaves_nothing(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    never = ledger.member("coins")
    batch = ledger.batch(
        move(world("coins"), anna, 5), move(anna, world("coins"), 2), move(never, anna, 1)
    )
    async with running(bank.made, bank.valkey.url) as second:
        sendings = [one.send(batch) for one in (ledger, second) * 5]
        results = [result for (result,) in await asyncio.gather(*sendings)]
    assert {reason(result) for result in results} == {"INSUFFICIENT_FUNDS"}
    assert sum(not result.replayed for result in results) == 1
    assert await ledger.truth(anna) == 0
    moved = await ledger.db.fetchval(
        "SELECT count(*) FROM transfers WHERE batch_id = $1", ids.parse("bat", batch.batch_id)
    )
    assert moved == 0


@case("batch-011")
async def opposite_transfers_do_not_lock_each_other_out(bank: Bank) -> None:
    ledger, anna, boris = bank.ledger, bank.ledger.member("coins"), bank.ledger.member("coins")
    await ledger.earn(anna, 1000)
    await ledger.earn(boris, 1000)
    async with running(bank.made, bank.valkey.url, pace_ms=0) as second:
        pairs = [(anna, boris), (boris, anna)] * 250
        sendings = [
            (ledger, second)[number // 2 % 2].post(move(*pair, 3))
            for number, pair in enumerate(pairs)
        ]
        results = await asyncio.gather(*sendings)
    assert {reason(result) for result in results} == {""}
    assert [one.available for one in await ledger.balances(anna, boris)] == [1000, 1000]


@case("bal-001")
async def a_balance_is_never_overspent(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    seen = []

    async def spend() -> str:
        result = await ledger.spend(anna, 2)
        seen.append(await ledger.available(anna))
        return reason(result)

    reasons = await asyncio.gather(*(spend() for _ in range(100)))
    assert (reasons.count(""), set(reasons)) == (50, {"", "INSUFFICIENT_FUNDS"})
    assert min(seen) == 0
    assert await ledger.truth(anna) == 0


@case("bal-002")
async def no_credit_is_lost(bank: Bank) -> None:
    ledger, desk = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(desk, 500)
    sources = [ledger.member("coins") for _ in range(2)]
    for source in sources:
        await ledger.earn(source, 100)
    await asyncio.gather(
        *(ledger.post(move(*pair)) for pair in ((sources[0], desk, 100), (sources[1], desk, 50)))
    )
    assert (await ledger.available(desk), await ledger.truth(desk)) == (650, 650)


@case("bal-004")
async def a_credit_line_ends_exactly_where_it_ends(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("credit", floor=-50)
    anna = ledger.member("credit")
    assert [reason(await ledger.spend(anna, amount)) for amount in (30, 20, 1)] == [
        "",
        "",
        "INSUFFICIENT_FUNDS",
    ]
    assert await ledger.available(anna) == -50


@case("bal-006")
async def what_must_be_left_is_the_floor(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    assert reason(await ledger.spend(anna, 90)) == ""
    assert "condition" not in {
        field.name
        for field in pb.DESCRIPTOR.pool.FindMessageTypeByName("tessera.ledger.v1.Transfer").fields
    }


@case("bal-007")
async def nobody_sends_versions(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 10)
    spendings = await asyncio.gather(*(ledger.spend(anna, 1) for _ in range(20)))
    assert [reason(one) for one in spendings].count("") == 10
    assert len({one.balances[0].version for one in spendings if not reason(one)}) == 10


@case("gift-001", "gift-002")
async def a_gift_card_gives_what_it_has_when_asked_so(bank: Bank) -> None:
    ledger = bank.ledger
    await ledger.asset("gift", scale=2)
    card = account(f"card-{ids.new('crd')}"[:80], "gift", CARD)
    await ledger.earn(card, 50)
    await ledger.spend(card, 20)
    refused = await ledger.spend(card, 40)
    assert (reason(refused), refused.refusal.metadata["available"]) == ("INSUFFICIENT_FUNDS", "30")
    batch = ledger.batch(move(card, world("gift", "till"), 40, up_to=True))
    (spent,) = await ledger.send(batch)
    assert spent.operations[0].amount == 30
    await ledger.earn(card, 100)
    (again,) = await ledger.send(batch)
    assert (again.replayed, again.operations[0].amount) == (True, 30)
    assert await ledger.available(card) == 100
