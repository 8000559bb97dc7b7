"""Scenarios of our own: households, partners, and what operators do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    adjustment_service_pb2,
    adjustment_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    household_service_pb2_grpc,
    ledger_service_pb2,
    settlement_service_pb2_grpc,
)

from services.chassis import ids, timestamps
from tests.conformance.ledger.holds import void
from tests.conformance.ledger.register import Bank, available, case, reason, refusal
from tests.integration.chassis.conftest import Issuer
from tests.integration.ledger import test_ledger_adjustments as desks
from tests.integration.ledger import test_ledger_households as homes
from tests.integration.ledger.conftest import account, move, place, running, undo, world
from tests.integration.ledger.test_ledger_settlements import Coalition

BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}
ADJUSTMENTS = adjustment_service_pb2
POSTED, PENDING = desks.POSTED, desks.PENDING


def _home() -> Any:
    return account(ids.new("hou"), owner_type=account_pb2.OWNER_TYPE_HOUSEHOLD)


async def _pooled(ledger: Any, home: Any, *brought: tuple[int, int]) -> list[Any]:
    """Return members who brought an amount each to a household, with its end in days."""
    members = [ledger.member() for _ in brought]
    for one, (amount, days) in zip(members, brought, strict=True):
        ends = timestamps.show(ledger.now() + timedelta(days=days))
        await ledger.earn(one, amount, lot_expire_time=ends)
    stub = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    await stub.PoolPoints(homes._pool(ledger, home, *members))
    return members


async def _split(ledger: Any, home: Any, members: list[Any]) -> list[int]:
    stub = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    request = homes._split(ledger, home, [(one, 0) for one in members])
    answer = await stub.SplitPoints(request)
    return [one.amount for one in answer.result.operations]


@case("own-082")
async def a_household_gives_back_what_is_left_of_each(bank: Bank) -> None:
    ledger, home = bank.ledger, _home()
    members = await _pooled(ledger, home, (60, 20), (40, 10))
    assert reason(await ledger.spend(home, 50)) == ""
    assert await _split(ledger, home, members) == [50, 0]
    assert await available(ledger, home, *members) == [0, 50, 0]


@case("own-083")
async def what_a_household_reserves_is_divided_later(bank: Bank) -> None:
    ledger, home = bank.ledger, _home()
    members = await _pooled(ledger, home, (60, 20), (40, 10))
    hold = await ledger.post(place(home, world(), 30))
    assert await _split(ledger, home, members) == [60, 10]
    assert reason(await ledger.post(void(hold))) == ""
    assert await _split(ledger, home, members) == [0, 30]
    assert await available(ledger, home, *members) == [0, 60, 40]


@case("own-105")
async def a_refund_finds_who_brought_it(bank: Bank) -> None:
    ledger, home = bank.ledger, _home()
    members = await _pooled(ledger, home, (60, 20))
    paid = await ledger.spend(home, 50)
    assert await _split(ledger, home, members) == [10]
    assert reason(await ledger.post(undo(paid, 50))) == ""
    assert await _split(ledger, home, members) == [50]
    assert await available(ledger, home, *members) == [0, 60]


@case("own-106")
async def a_pool_is_not_undone(bank: Bank) -> None:
    ledger, home = bank.ledger, _home()
    anna = ledger.member()
    await ledger.earn(anna, 40)
    stub = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    pooled = (await stub.PoolPoints(homes._pool(ledger, home, anna))).result
    assert pooled.operations[0].amount == 40
    assert reason(await ledger.post(undo(pooled, 40))) == "NOT_REVERSIBLE"
    assert await _split(ledger, home, [anna]) == [40]


@case("own-107")
async def what_was_pooled_is_not_taken_back(bank: Bank) -> None:
    ledger, home = bank.ledger, _home()
    anna = ledger.member()
    earned = await ledger.earn(anna, 100)
    stub = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    await stub.PoolPoints(homes._pool(ledger, home, anna))
    taken = await ledger.post(undo(earned, 100, batch_pb2.SHORTFALL_TAKE_AVAILABLE))
    assert taken.operations[0].amount == 0
    owed = await ledger.post(undo(earned, 100, batch_pb2.SHORTFALL_DEBT))
    assert (owed.operations[0].amount, owed.operations[0].owed) == (0, 100)
    assert await available(ledger, home, anna) == [100, 0]


async def _coalition(ledger: Any) -> Coalition:
    stub = settlement_service_pb2_grpc.SettlementServiceStub(ledger.channel)
    made = Coalition(ledger, stub, f"c{ids.new('x')[-30:]}")
    await made.found()
    return made


def _debts(statement: Any) -> list[tuple[str, str, int]]:
    return [(one.issuer_id, one.acceptor_id, one.amount) for one in statement.debts]


@case("own-093")
async def a_period_is_closed_once(bank: Bank) -> None:
    ledger = bank.ledger
    one = await _coalition(ledger)
    anna = ledger.member(one.code)
    await ledger.post(move(one.bank, anna, 100))
    paid = await one.accept(anna, one.fuel, 60)
    end = ledger.now()
    first = await one.close(end)
    await one.rate(1000, issuer="bank", acceptor="fuel", at=end - timedelta(hours=2))
    assert await one.close(end) == first
    early = await refusal(one.close(end - timedelta(hours=1)))
    assert early.reason == "PERIOD_CLOSED"
    await ledger.post(undo(paid, 60))
    assert _debts(first) == [("bank", "fuel", 60)]
    assert _debts(await one.close()) == [("bank", "fuel", -60)]


@case("own-099")
async def what_a_partner_owes_beyond_its_floor_is_settled(bank: Bank) -> None:
    ledger = bank.ledger
    one = await _coalition(ledger)
    request = ledger_service_pb2.SetAccountLimitsRequest(account=one.fuel, floor=-100)
    await ledger.stub.SetAccountLimits(request)
    anna = ledger.member(one.code)
    await ledger.post(move(one.bank, anna, 60))
    paid = await one.accept(anna, one.fuel, 60)
    await ledger.post(move(one.fuel, anna, 140))
    undone = (await ledger.post(undo(paid, 60, batch_pb2.SHORTFALL_DEBT))).operations[0]
    assert (undone.amount, undone.owed) == (20, 40)
    assert _debts(await one.close()) == []
    assert (await ledger.balances(one.fuel))[0].debt == 40
    vera = ledger.member(one.code)
    await ledger.post(move(one.bank, vera, 100))
    paid = await one.accept(vera, one.fuel, 100)
    assert paid.operations[0].paid_off == 40
    second = await one.close()
    assert _debts(second) == [("bank", "fuel", 100)]
    assert {(each.partner_id, each.issued, each.accepted) for each in second.positions} == {
        ("bank", 100, 0),
        ("fuel", 0, 100),
        ("grocer", 0, 0),
    }


class _Office:
    """Operators of an asset of their own, within limits."""

    def __init__(self, ledger: Any, issuer: Issuer) -> None:
        self._ledger, self._issuer = ledger, issuer
        self._stub = adjustment_service_pb2_grpc.AdjustmentServiceStub(ledger.channel)

    def desk(self, name: str) -> desks.Desk:
        return desks.Desk(self._ledger, self._stub, self._issuer, name)

    async def limit(self, code: str, amount: int, day: int) -> None:
        policy = asset_pb2.LotPolicy(time_zone="UTC")
        asset = asset_pb2.Asset(asset_code=code, lot_policy=policy)
        metadata = self._issuer.metadata(sub="boss", scope=desks.SCOPES)
        request = ledger_service_pb2.CreateAssetRequest(asset=asset)
        await self._ledger.stub.CreateAsset(request, metadata=metadata)
        limit = ADJUSTMENTS.AdjustmentLimit(
            asset_code=code, operator_id="", amount_max=amount, day_amount_max=day
        )
        await self.desk("boss")(
            "SetAdjustmentLimit", ADJUSTMENTS.SetAdjustmentLimitRequest(limit=limit)
        )


@asynccontextmanager
async def _office(bank: Bank, code: str, amount: int, day: int) -> AsyncIterator[_Office]:
    """Open an office whose operators may adjust so much alone, at once and within a day."""
    issuer = Issuer()
    async with running(bank.made, bank.valkey.url, verifier=issuer.verifier()) as ledger:
        office = _Office(ledger, issuer)
        await office.limit(code, amount, day)
        yield office


@case("own-094")
async def two_people_decide(bank: Bank) -> None:
    anna = bank.ledger.member("case.own094")
    async with _office(bank, anna.asset_code, 0, 0) as office:
        waits = await office.desk("olga").propose(anna, 70)
        assert waits.state == PENDING
        assert (await refusal(office.desk("olga").approve(waits))).reason == "SAME_OPERATOR"
        posted = await office.desk("pavel").approve(waits)
        assert posted.state == POSTED
        assert await office.desk("pavel").approve(waits) == posted
        decided = await refusal(office.desk("roman").approve(waits))
        assert (decided.reason, decided.metadata["state"]) == ("ADJUSTMENT_DECIDED", "POSTED")
        assert (await refusal(office.desk("sasha").reject(waits))).reason == "ADJUSTMENT_DECIDED"
        assert await office.desk("boss").available(anna) == 70


@case("own-095")
async def a_day_has_its_limit(bank: Bank) -> None:
    anna = bank.ledger.member("case.own095")
    async with _office(bank, anna.asset_code, 50, 100) as office:
        olga = office.desk("olga")
        states = [(await olga.propose(anna, amount)).state for amount in (50, -50, 1)]
        states.append((await office.desk("pavel").propose(anna, 50)).state)
        assert states == [POSTED, POSTED, PENDING, POSTED]
        assert await olga.available(anna) == 50


@case("own-096")
async def an_operator_takes_only_what_is_there(bank: Bank) -> None:
    anna = bank.ledger.member("case.own096")
    async with _office(bank, anna.asset_code, 50, 100) as office:
        olga = office.desk("olga")
        await olga.propose(anna, 30)
        taken = await olga.propose(anna, -50)
        assert taken.state == ADJUSTMENTS.ADJUSTMENT_STATE_REFUSED
        assert taken.refusal_reason == "INSUFFICIENT_FUNDS"
        assert (await olga.get(taken)).state == taken.state
        assert await olga.available(anna) == 30


@case("own-097")
async def a_frozen_account_takes_and_gives_back(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 50)
    people = account_service_pb2_grpc.AccountServiceStub(ledger.channel)
    await people.FreezeAccount(account_service_pb2.FreezeAccountRequest(account=anna, **BY))
    earned = await ledger.earn(anna, 10)
    told = [
        reason(one)
        for one in (
            earned,
            await ledger.spend(anna, 1),
            await ledger.post(place(anna, world("coins"), 1)),
            await ledger.post(undo(earned, 10)),
        )
    ]
    assert told == ["", "ACCOUNT_FROZEN", "ACCOUNT_FROZEN", ""]
    assert await ledger.truth(anna) == 50


@case("own-113")
async def approval_does_not_open_an_account(bank: Bank) -> None:
    anna = bank.ledger.member("case.own113")
    async with _office(bank, anna.asset_code, 0, 0) as office:
        waits = await office.desk("olga").propose(anna, 10)
        people = account_service_pb2_grpc.AccountServiceStub(bank.ledger.channel)
        await people.OpenAccount(account_service_pb2.OpenAccountRequest(account=anna, **BY))
        await people.CloseAccount(account_service_pb2.CloseAccountRequest(account=anna, **BY))
        refused = await office.desk("pavel").approve(waits)
        assert refused.state == ADJUSTMENTS.ADJUSTMENT_STATE_REFUSED
        assert refused.refusal_reason == "ACCOUNT_CLOSED"
