"""Accounts through the real server: opened, frozen and closed by people, and what they owe."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    error_reason_pb2,
    ledger_service_pb2,
)

from services.chassis import errors, status, timestamps
from tests.integration.ledger.conftest import account, move, place, undo, world

pb = account_service_pb2
POSTED = batch_pb2.BATCH_STATE_POSTED
BY: dict[str, Any] = {"operator_id": "op_7", "note": "case 4711"}


@pytest.fixture(scope="module")
async def people(ledger):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield account_service_pb2_grpc.AccountServiceStub(channel)


def _reason(result):
    return error_reason_pb2.ErrorReason.Name(result.refusal.reason).removeprefix("ERROR_REASON_")


async def _refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.read(caught.value)


def _debt_of(one):
    return account(f"member:{one.owner.owner_id}", one.asset_code, account_pb2.OWNER_TYPE_DEBT)


async def test_an_account_is_frozen_and_thawed(ledger, people):
    """Nothing is spent meanwhile, the version tells, and it is known who did it and why."""
    anna = ledger.member()
    await ledger.earn(anna, 100)
    frozen = (await people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY))).account
    assert (frozen.state, frozen.version) == (account_pb2.ACCOUNT_STATE_FROZEN, 2)
    again = (await people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY))).account
    assert again == frozen
    for refused in (
        await ledger.spend(anna, 1),
        await ledger.post(place(anna, world(), 1)),
    ):
        assert _reason(refused) == "ACCOUNT_FROZEN"
        assert refused.refusal.metadata["side"] == "debit"
    assert (await ledger.earn(anna, 5)).state == POSTED
    await people.UnfreezeAccount(
        pb.UnfreezeAccountRequest(account=anna, operator_id="op_8", note="cleared")
    )
    assert (await ledger.spend(anna, 105)).state == POSTED
    acts = (await people.ListAccountActs(pb.ListAccountActsRequest(account=anna))).acts
    assert [(act.action, act.operator_id, act.note) for act in acts] == [
        (account_pb2.ACCOUNT_ACTION_UNFREEZE, "op_8", "cleared"),
        (account_pb2.ACCOUNT_ACTION_FREEZE, "op_7", "case 4711"),
    ]


async def test_an_empty_account_is_closed_and_reopened(ledger, people, turned):
    """What has expired is no obstacle, whether or not it was booked."""
    days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    await ledger.asset("brief", lot_policy=asset_pb2.LotPolicy(rolling=days, time_zone="UTC"))
    anna = ledger.member("brief")
    await ledger.earn(anna, 10)
    request = pb.CloseAccountRequest(account=anna, **BY)
    refused = await _refused(people.CloseAccount(request))
    assert (refused.reason, refused.metadata) == (
        "ACCOUNT_NOT_EMPTY",
        {"balance": "10", "debt": "0"},
    )
    turned(days=11)
    closed = (await people.CloseAccount(request)).account
    assert closed.state == account_pb2.ACCOUNT_STATE_CLOSED
    earned = await ledger.earn(anna, 5)
    assert (_reason(earned), earned.refusal.metadata["side"]) == ("ACCOUNT_CLOSED", "credit")
    refused = await _refused(people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY)))
    assert refused.reason == "ACCOUNT_CLOSED"
    await people.ReopenAccount(pb.ReopenAccountRequest(account=anna, **BY))
    assert (await ledger.earn(anna, 5)).state == POSTED
    assert (await people.GetAccount(pb.GetAccountRequest(account=anna))).account.version == 5


async def test_accounts_of_gift_cards_are_opened_before_they_are_used(ledger, people):
    """By themselves they do not open, nor by giving them limits; opened twice, they are one."""
    await ledger.asset("gift", accounts_opened_explicitly=True)
    card = account("card_1", "gift", account_pb2.OWNER_TYPE_CARD)
    assert _reason(await ledger.earn(card, 5)) == "ACCOUNT_NOT_FOUND"
    limits = ledger_service_pb2.SetAccountLimitsRequest(account=card, ceiling=100)
    assert (await _refused(ledger.stub.SetAccountLimits(limits))).reason == "ACCOUNT_NOT_FOUND"
    request = pb.OpenAccountRequest(account=card, ceiling=50, **BY)
    opened = (await people.OpenAccount(request)).account
    assert (opened.ceiling, opened.version) == (50, 1)
    assert (await people.OpenAccount(request)).account == opened
    other = pb.OpenAccountRequest(account=card, ceiling=60, **BY)
    refused = await _refused(people.OpenAccount(other))
    assert (refused.reason, refused.metadata) == ("ACCOUNT_CONFLICT", {"field": "ceiling"})
    assert (await ledger.earn(card, 50)).state == POSTED
    assert _reason(await ledger.earn(card, 1)) == "CEILING_EXCEEDED"
    assert (await ledger.asset("gift", accounts_opened_explicitly=True)).accounts_opened_explicitly


async def test_every_reason_about_accounts_is_given(ledger, people):
    """As the status of the call; accounts of the world and debts are nobody's to freeze."""
    anna, gold, kept = ledger.member(), ledger.member("gold"), ledger.member()
    await ledger.earn(kept, 5)
    cases = (
        ("ACCOUNT_NOT_FOUND", people.GetAccount(pb.GetAccountRequest(account=anna))),
        ("ACCOUNT_NOT_FOUND", people.CloseAccount(pb.CloseAccountRequest(account=anna, **BY))),
        ("ASSET_NOT_FOUND", people.OpenAccount(pb.OpenAccountRequest(account=gold, **BY))),
        (
            "LIMIT_CONFLICT",
            people.OpenAccount(pb.OpenAccountRequest(account=anna, floor=-5, **BY)),
        ),
        (
            "PAGE_TOKEN_INVALID",
            people.ListAccountActs(pb.ListAccountActsRequest(account=kept, page_token="x")),
        ),
    )
    for reason, call in cases:
        assert (await _refused(call)).reason == reason
    for broken in (
        people.FreezeAccount(pb.FreezeAccountRequest(account=kept, operator_id="op_1")),
        people.FreezeAccount(pb.FreezeAccountRequest(account=kept, note="why")),
        people.FreezeAccount(pb.FreezeAccountRequest(account=world(), **BY)),
        people.FreezeAccount(pb.FreezeAccountRequest(account=_debt_of(kept), **BY)),
    ):
        assert (await _refused(broken)).category == errors.Category.INVALID_ARGUMENT


async def test_acts_are_listed_page_by_page(ledger, people):
    """Newest first."""
    anna = ledger.member()
    await people.OpenAccount(pb.OpenAccountRequest(account=anna, **BY))
    for _ in range(2):
        await people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY))
        await people.UnfreezeAccount(pb.UnfreezeAccountRequest(account=anna, **BY))
    versions, token = [], ""
    while True:
        request = pb.ListAccountActsRequest(account=anna, page_size=2, page_token=token)
        page = await people.ListAccountActs(request)
        versions += [act.version for act in page.acts]
        token = page.next_page_token
        if not token:
            break
    assert versions == [5, 4, 3, 2, 1]


async def test_a_freeze_and_spendings_at_once_agree(ledger, people):
    """Whatever was spent was spent before: afterwards nothing moves any more."""
    anna = ledger.member()
    await ledger.earn(anna, 100)

    async def freeze():
        return (await people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY))).account

    frozen, *spent = await asyncio.gather(freeze(), *(ledger.spend(anna, 1) for _ in range(30)))
    posted = [one for one in spent if one.state == POSTED]
    assert {_reason(one) for one in spent if one.state != POSTED} <= {"ACCOUNT_FROZEN"}
    assert all(one.balances[0].version < frozen.version for one in posted)
    assert await ledger.truth(anna) == 100 - len(posted)


# Debts


async def test_a_debt_is_shown_paid_off_and_proven_by_statements(ledger):
    """With the balance, on the debt's own account, line by line on both."""
    anna = ledger.member()
    earned = await ledger.earn(anna, 100, campaign_id="cmp_1")
    await ledger.spend(anna, 70)
    undone = await ledger.post(undo(earned, 100, batch_pb2.SHORTFALL_DEBT))
    assert (undone.operations[0].amount, undone.operations[0].owed) == (30, 70)
    balance, debt = await ledger.balances(anna, _debt_of(anna))
    assert (balance.available, balance.debt, debt.available) == (0, 70, -70)
    assert (await ledger.balances(anna))[0].debt == 70
    paid = await ledger.earn(anna, 100)
    assert (paid.operations[0].amount, paid.operations[0].paid_off) == (100, 70)
    balance, debt = await ledger.balances(anna, _debt_of(anna), version_min=2)
    assert (balance.available, balance.debt, debt.available) == (30, 0, 0)

    async def lines(one):
        request = ledger_service_pb2.ListEntriesRequest(account=one)
        entries = (await ledger.stub.ListEntries(request)).entries
        return [(entry.amount, entry.reason, entry.counterparty.owner_type) for entry in entries]

    member, debts = account_pb2.OWNER_TYPE_MEMBER, account_pb2.OWNER_TYPE_DEBT
    assert (await lines(anna))[:2] == [
        (-70, account_pb2.TRANSFER_REASON_PAY_OFF, debts),
        (100, account_pb2.TRANSFER_REASON_EARN, account_pb2.OWNER_TYPE_WORLD),
    ]
    assert await lines(_debt_of(anna)) == [
        (70, account_pb2.TRANSFER_REASON_PAY_OFF, member),
        (-70, account_pb2.TRANSFER_REASON_OWE, account_pb2.OWNER_TYPE_WORLD),
    ]
    assert _reason(await ledger.earn(_debt_of(anna), 5)) == "DEBT_ACCOUNT"
    exceeded = await ledger.post(undo(earned, 1, batch_pb2.SHORTFALL_DEBT))
    assert _reason(exceeded) == "EXCEEDS_REVERSIBLE"


async def test_earnings_at_once_pay_off_a_debt_once(ledger, people):
    """Ten times 10 against a debt of 70; an indebted account is not closed."""
    anna = ledger.member("coins")
    earned = await ledger.earn(anna, 70)
    await ledger.spend(anna, 70)
    await ledger.post(undo(earned, 70, batch_pb2.SHORTFALL_DEBT))
    refused = await _refused(people.CloseAccount(pb.CloseAccountRequest(account=anna, **BY)))
    assert (refused.reason, refused.metadata["debt"]) == ("ACCOUNT_NOT_EMPTY", "70")
    results = await asyncio.gather(*(ledger.earn(anna, 10) for _ in range(10)))
    assert sum(result.operations[0].paid_off for result in results) == 70
    balance, debt = await ledger.balances(anna, _debt_of(anna), version_min=8)
    assert (balance.available, balance.debt, debt.available) == (30, 0, 0)
    assert await ledger.truth(_debt_of(anna)) == 0


async def test_a_purchase_its_return_and_the_next_purchase_in_one_call(ledger):
    """The debt is made and paid off in one transaction."""
    anna = ledger.member()
    bought = ledger.batch(move(world(), anna, 100), move(anna, world(), 70))
    results = await ledger.send(
        bought,
        ledger.batch(undo(bought, 100, batch_pb2.SHORTFALL_DEBT)),
        ledger.batch(move(world(), anna, 30)),
    )
    assert [result.state for result in results] == [POSTED] * 3
    balance = (await ledger.balances(anna, version_min=5))[0]
    assert (balance.available, balance.debt) == (0, 40)


# Refunds that come late


@pytest.mark.parametrize(("grace_days", "left"), [(0, 0), (5, 40)])
async def test_what_a_late_refund_restores_follows_the_asset(ledger, turned, grace_days, left):
    """Expired stays expired, or lives on for some days."""
    code = f"grace{grace_days}"
    days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    policy = asset_pb2.LotPolicy(
        pending_days=0, rolling=days, time_zone="UTC", refund_grace_days=grace_days
    )
    assert (await ledger.asset(code, lot_policy=policy)).lot_policy == policy
    anna = ledger.member(code)
    await ledger.earn(anna, 100)
    spent = await ledger.spend(anna, 40)
    turned(days=20)
    refund = await ledger.post(undo(spent, 40))
    assert refund.balances[0].available == left
    if left:
        ends = timestamps.read(refund.balances[0].next_expire_time)
        assert ends.time().isoformat() == "00:00:00"
        assert timedelta(days=5) < ends - ledger.now() <= timedelta(days=6)
        request = ledger_service_pb2.ListLotsRequest(account=anna)
        lots = (await ledger.stub.ListLots(request)).lots
        assert [(lot.batch_id, lot.remaining) for lot in lots] == [(refund.batch_id, 40)]
    assert _reason(await ledger.post(undo(spent, 1))) == "EXCEEDS_REVERSIBLE"
    turned(days=26.5)
    assert await ledger.available(anna) == 0
