"""Accounts that are closed, and what is owed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    batch_pb2,
    ledger_service_pb2,
)

from services.chassis import status
from tests.conformance.ledger.holds import void
from tests.conformance.ledger.register import Bank, case, reason
from tests.integration.ledger.conftest import account, place, undo, world

pb = account_service_pb2
BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}


@asynccontextmanager
async def _people(ledger: Any) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield account_service_pb2_grpc.AccountServiceStub(channel)


async def _not_empty(people: Any, one: Any) -> None:
    """Assert that an account is not closed as long as it has something."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await people.CloseAccount(pb.CloseAccountRequest(account=one, **BY))
    assert status.read(caught.value).reason == "ACCOUNT_NOT_EMPTY"


@case("acct-005")
async def a_closed_account_receives_nothing(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 5)
    await ledger.spend(anna, 5)
    async with _people(ledger) as people:
        await people.CloseAccount(pb.CloseAccountRequest(account=anna, **BY))
        refused = await ledger.earn(anna, 5)
        assert reason(refused) == "ACCOUNT_CLOSED"
        assert refused.refusal.metadata["side"] == "credit"
        found = (await people.GetAccount(pb.GetAccountRequest(account=anna))).account
    assert found.state == account_pb2.ACCOUNT_STATE_CLOSED
    assert await ledger.available(anna) == 0


@case("acct-006", "acct-007")
async def an_account_is_closed_when_its_holds_have_ended(bank: Bank) -> None:
    ledger = bank.ledger
    async with _people(ledger) as people:
        for ends_by_itself in (False, True):
            anna = ledger.member("coins")
            await ledger.earn(anna, 10)
            hold = await ledger.post(place(anna, world("coins"), 10, life_s=60))
            await _not_empty(people, anna)
            try:
                if ends_by_itself:
                    ledger.now.ahead = timedelta(seconds=61)
                else:
                    assert reason(await ledger.post(void(hold))) == ""
                (balance,) = await ledger.balances(anna)
                assert (balance.available, balance.held) == (10, 0)
                await ledger.spend(anna, 10)
                request = pb.CloseAccountRequest(account=anna, **BY)
                closed = (await people.CloseAccount(request)).account
                assert closed.state == account_pb2.ACCOUNT_STATE_CLOSED
            finally:
                ledger.now.ahead = timedelta(0)


@case("rev-005")
async def what_cannot_be_taken_back_becomes_a_debt(bank: Bank) -> None:
    ledger, boris = bank.ledger, bank.ledger.member("coins")
    given = await ledger.earn(boris, 100)
    await ledger.spend(boris, 60)
    assert reason(await ledger.post(undo(given, 100))) == "INSUFFICIENT_FUNDS"
    forced = await ledger.post(undo(given, 100, batch_pb2.SHORTFALL_DEBT))
    assert (forced.operations[0].amount, forced.operations[0].owed) == (40, 60)
    (balance,) = await ledger.balances(boris)
    assert (balance.available, balance.debt) == (0, 60)


@case("lot-007")
async def taking_back_follows_the_policy_of_the_program(bank: Bank) -> None:
    ledger = bank.ledger
    for shortfall, taken, owed in (
        (batch_pb2.SHORTFALL_TAKE_PENDING, 0, 0),
        (batch_pb2.SHORTFALL_TAKE_AVAILABLE, 30, 0),
        (batch_pb2.SHORTFALL_DEBT, 30, 70),
    ):
        anna = ledger.member()
        earned = await ledger.earn(anna, 100)
        await ledger.spend(anna, 70)
        undone = (await ledger.post(undo(earned, 100, shortfall))).operations[0]
        assert (undone.amount, undone.owed) == (taken, owed)
        (balance,) = await ledger.balances(anna)
        assert (balance.available, balance.debt) == (30 - taken, owed)


@case("lot-008")
async def the_next_credit_pays_the_debt_first(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    earned = await ledger.earn(anna, 100)
    await ledger.spend(anna, 70)
    await ledger.post(undo(earned, 100, batch_pb2.SHORTFALL_DEBT))
    paid = (await ledger.earn(anna, 100)).operations[0]
    assert (paid.amount, paid.paid_off) == (100, 70)
    debt_of = account(f"member:{anna.owner.owner_id}", anna.asset_code, account_pb2.OWNER_TYPE_DEBT)
    balance, debt = await ledger.balances(anna, debt_of)
    assert (balance.available, balance.debt, debt.available) == (30, 0, 0)
    request = ledger_service_pb2.ListLotsRequest(account=anna)
    (lot,) = (await ledger.stub.ListLots(request)).lots
    assert (lot.amount, lot.remaining) == (100, 30)
