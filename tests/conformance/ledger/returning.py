"""Scenarios of our own: what is taken back and given back, and what is owed then."""

from typing import Any

from tessera.ledger.v1 import account_pb2, asset_pb2, batch_pb2, ledger_service_pb2

from services.chassis import timestamps
from tests.conformance.ledger.holds import void
from tests.conformance.ledger.register import Bank, available, case, reason
from tests.integration.ledger.conftest import account, move, place, undo, world

DEBT = batch_pb2.SHORTFALL_DEBT
AVAILABLE = batch_pb2.SHORTFALL_TAKE_AVAILABLE
PENDING = batch_pb2.SHORTFALL_TAKE_PENDING
LOTS = asset_pb2.LotPolicy(time_zone="UTC")


async def _owing(ledger: Any, one: Any) -> tuple[int, int]:
    (balance,) = await ledger.balances(one)
    return balance.available, balance.debt


@case("own-058")
async def a_receipt_is_undone_whole(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    await ledger.earn(anna, 4)
    receipt = await ledger.post(move(anna, world(), 3), move(world(), anna, 1))
    assert await available(ledger, anna) == [2]
    assert reason(await ledger.post(undo(receipt, 3), undo(receipt, 1, index=1))) == ""
    assert await available(ledger, anna) == [4]


@case("own-059")
async def what_paid_is_undone_before_what_gave(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    receipt = await ledger.post(move(world(), anna, 10), move(anna, world(), 10))
    gave, paid = undo(receipt, 10), undo(receipt, 10, index=1)
    refused = await ledger.post(gave, paid)
    assert (reason(refused), refused.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 0)
    assert reason(await ledger.post(paid, gave)) == ""
    assert (await available(ledger, anna), await ledger.truth(anna)) == ([0], 0)


@case("own-060")
async def what_was_not_taken_is_taken_later(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    earned = await ledger.earn(anna, 100)
    await ledger.spend(anna, 80)
    taken = await ledger.post(undo(earned, 100, AVAILABLE))
    assert taken.operations[0].amount == 20
    await ledger.earn(anna, 100)
    told = [reason(await ledger.post(undo(earned, part, AVAILABLE))) for part in (100, 80, 1)]
    assert told == ["EXCEEDS_REVERSIBLE", "", "EXCEEDS_REVERSIBLE"]
    assert await available(ledger, anna) == [20]


@case("own-061")
async def pending_points_go_back_in_parts(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    starts = timestamps.show(ledger.now().replace(year=ledger.now().year + 1))
    earned = await ledger.earn(anna, 100, lot_activate_time=starts)
    taken = [
        (await ledger.post(undo(earned, part, PENDING))).operations[0].amount for part in (60, 40)
    ]
    assert taken == [60, 40]
    assert reason(await ledger.post(undo(earned, 1, PENDING))) == "EXCEEDS_REVERSIBLE"
    (balance,) = await ledger.balances(anna)
    assert (balance.available, balance.pending, balance.debt) == (0, 0, 0)


@case("own-062")
async def what_is_reserved_is_not_taken_back(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    earned = await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world(), 100))
    undone = (await ledger.post(undo(earned, 100, DEBT))).operations[0]
    assert (undone.amount, undone.owed) == (0, 100)
    assert (await ledger.balances(anna))[0].held == 100
    assert reason(await ledger.post(void(hold))) == ""
    assert await _owing(ledger, anna) == (100, 100)
    assert (await ledger.earn(anna, 10)).operations[0].paid_off == 10
    assert await _owing(ledger, anna) == (100, 90)


@case("own-063")
async def paying_off_needs_no_room(bank: Bank) -> None:
    ledger = bank.ledger
    for code, fields in (("case.own063", {}), ("case.own063lots", {"lot_policy": LOTS})):
        await ledger.asset(code, ceiling=100, **fields)
        anna = ledger.member(code)
        earned = await ledger.earn(anna, 100)
        hold = await ledger.post(place(anna, world(code), 100))
        await ledger.post(undo(earned, 100, DEBT))
        await ledger.post(void(hold))
        paid = await ledger.earn(anna, 50)
        assert (reason(paid), paid.operations[0].paid_off) == ("", 50)
        assert await _owing(ledger, anna) == (100, 50)
        refused = await ledger.earn(anna, 51)
        assert (reason(refused), refused.refusal.metadata["room"]) == ("CEILING_EXCEEDED", "50")
        most = (await ledger.earn(anna, 99, up_to=True)).operations[0]
        assert (most.amount, most.paid_off) == (50, 50)
        assert await _owing(ledger, anna) == (100, 0)


@case("own-064")
async def a_refund_is_given_in_full(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    earned = await ledger.earn(anna, 100)
    paid = await ledger.spend(anna, 70)
    await ledger.post(undo(earned, 100, DEBT))
    refund = await ledger.post(undo(paid, 70))
    assert refund.operations[0].paid_off == 0
    assert await _owing(ledger, anna) == (70, 70)


@case("own-065")
async def nobody_spends_on_a_debt(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    earned = await ledger.earn(anna, 30)
    await ledger.spend(anna, 30)
    await ledger.post(undo(earned, 30, DEBT))
    assert (await ledger.spend(anna, 10, up_to=True)).operations[0].amount == 0
    assert reason(await ledger.spend(anna, 1)) == "INSUFFICIENT_FUNDS"
    assert await _owing(ledger, anna) == (0, 30)


@case("own-098")
async def the_longest_name_may_owe(bank: Bank) -> None:
    ledger = bank.ledger
    anna = account("m" * 80, "coins")
    earned = await ledger.earn(anna, 40)
    await ledger.spend(anna, 40)
    await ledger.post(undo(earned, 40, DEBT))
    debt = account(f"member:{anna.owner.owner_id}", "coins", account_pb2.OWNER_TYPE_DEBT)
    (balance,) = await ledger.balances(debt)
    assert balance.available == -40
    request = ledger_service_pb2.ListEntriesRequest(account=debt)
    entries = (await ledger.stub.ListEntries(request)).entries
    assert [(one.amount, one.counterparty.owner_type) for one in entries] == [
        (-40, account_pb2.OWNER_TYPE_WORLD)
    ]
