"""Holds through the real server: what is reserved, by whom it can be seen, and when it ends."""

import asyncio

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    batch_pb2,
    error_reason_pb2,
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    ledger_service_pb2,
)

from services.chassis import errors, ids, status, timestamps
from tests.integration.ledger.conftest import move, place, running, undo, world
from tests.integration.ledger.test_ledger_time import _sweep

pb = ledger_service_pb2
POSTED = batch_pb2.BATCH_STATE_POSTED
HOUR = 3600


@pytest.fixture(scope="module")
async def holds(ledger):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield hold_service_pb2_grpc.HoldServiceStub(channel)


def _capture(held, amount=None, *, final=False, index=0):
    return batch_pb2.Operation(
        capture_hold=batch_pb2.CaptureHold(
            batch_id=held.batch_id, operation_index=index, amount=amount, final=final
        )
    )


def _void(held, index=0):
    return batch_pb2.Operation(
        void_hold=batch_pb2.VoidHold(batch_id=held.batch_id, operation_index=index)
    )


def _reason(result):
    return error_reason_pb2.ErrorReason.Name(result.refusal.reason).removeprefix("ERROR_REASON_")


async def _shown(ledger, account, version_min=0):
    balance = (await ledger.balances(account, version_min=version_min))[0]
    return balance.available, balance.held


async def _hold(holds, held, index=0):
    request = hold_service_pb2.GetHoldRequest(batch_id=held.batch_id, operation_index=index)
    return (await holds.GetHold(request)).hold


async def test_a_hold_is_placed_captured_and_refunded(ledger, holds):
    """The whole life of a payment, each answer with the balances that it leaves."""
    anna = ledger.member()
    await ledger.earn(anna, 100)
    assert await _shown(ledger, anna) == (100, 0)
    held = await ledger.post(place(anna, world("points", "redemption"), 60, campaign_id="cmp_1"))
    balance = held.balances[0]
    assert (balance.available, balance.held, held.operations[0].amount) == (40, 60, 60)
    assert await _shown(ledger, anna) == (40, 60)
    shown = await _hold(holds, held)
    assert (shown.state, shown.amount, shown.captured) == (hold_pb2.HOLD_STATE_ACTIVE, 60, 0)
    assert shown.expire_time == held.operations[0].expire_time
    assert (shown.debit, shown.credit.owner_id, shown.campaign_id) == (
        anna.owner,
        "redemption",
        "cmp_1",
    )
    assert [part.amount for part in shown.lots] == [60]
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    assert [(lot.remaining, lot.held) for lot in lots] == [(100, 60)]
    assert _reason(await ledger.spend(anna, 41)) == "INSUFFICIENT_FUNDS"
    part = await ledger.post(_capture(held, 20))
    assert [taken.amount for taken in part.operations[0].taken] == [20]
    rest = await ledger.post(_capture(held, 30, final=True))
    assert (rest.balances[0].available, rest.balances[0].held) == (50, 0)
    shown = await _hold(holds, held)
    assert (shown.state, shown.captured, shown.lots) == (hold_pb2.HOLD_STATE_CAPTURED, 50, [])
    assert shown.end_time == rest.record_time
    back = await ledger.post(undo(rest, 30))
    assert back.balances[0].available == 80
    entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
    assert [(entry.amount, entry.campaign_id) for entry in entries] == [
        (30, "cmp_1"),
        (-30, "cmp_1"),
        (-20, "cmp_1"),
        (100, ""),
    ]


async def test_every_reason_about_holds_is_given(ledger, holds, turned):
    """One batch for each; nothing moves."""
    anna = ledger.member()
    earned = await ledger.earn(anna, 100)
    captured, voided, late, active = [
        await ledger.post(place(anna, world(), 10, life_s=life)) for life in (HOUR, HOUR, 1, HOUR)
    ]
    await ledger.post(_capture(captured))
    await ledger.post(_void(voided))
    turned(seconds=100)
    nobody = batch_pb2.BatchResult(batch_id=ids.new("bat"))
    cases = {
        "HOLD_NOT_FOUND": _capture(nobody),
        "NOT_A_HOLD": _void(earned),
        "HOLD_CAPTURED": _capture(captured),
        "HOLD_VOIDED": _void(voided),
        "HOLD_EXPIRED": _capture(late),
        "EXCEEDS_HOLD": _capture(active, 11),
        "NOT_REVERSIBLE": undo(active, 1),
    }
    results = [await ledger.post(operation) for operation in cases.values()]
    assert [_reason(result) for result in results] == list(cases)
    assert results[5].refusal.metadata["remaining"] == "10"
    assert await _shown(ledger, anna) == (80, 10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _hold(holds, nobody)
    assert status.read(caught.value).reason == "HOLD_NOT_FOUND"


async def test_malformed_holds_are_refused(ledger, holds):
    """Between accounts of the world, without end, for too long, of nothing."""
    anna = ledger.member()
    await ledger.earn(anna, 10)
    for broken in (
        place(world(), world("points", "redemption"), 1),
        place(anna, world(), 0),
        place(anna, world(), 1, life_s=0),
        place(anna, world(), 1, life_s=91 * 86_400),
        place(anna, world(), 1, reason=account_pb2.TRANSFER_REASON_REVERSE),
        _capture(batch_pb2.BatchResult(batch_id=ids.new("bat")), 0),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ledger.post(broken)
        assert status.read(caught.value).category == errors.Category.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await holds.ListHolds(hold_service_pb2.ListHoldsRequest(account=world()))
    assert status.read(caught.value).category == errors.Category.INVALID_ARGUMENT
    gold = ledger.member("gold")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await holds.ListHolds(hold_service_pb2.ListHoldsRequest(account=gold))
    assert status.read(caught.value).reason == "ASSET_NOT_FOUND"


@pytest.mark.parametrize("code", ["points", "coins"])
async def test_a_hold_times_out_at_its_instant_though_nothing_is_booked(
    ledger, holds, turned, code
):
    """In the copy, in PostgreSQL, for a spending, for who looks at the hold."""
    anna = ledger.member(code)
    await ledger.earn(anna, 100)
    held = await ledger.post(place(anna, world(code), 60, life_s=600))
    assert await _shown(ledger, anna) == (40, 60)
    turned(seconds=540)
    assert await _shown(ledger, anna) == (40, 60)
    turned(seconds=602)
    assert await _shown(ledger, anna) == (100, 0)
    assert await _shown(ledger, anna, version_min=2) == (100, 0)
    shown = await _hold(holds, held)
    assert (shown.state, shown.end_time) == (hold_pb2.HOLD_STATE_EXPIRED, shown.expire_time)
    listed = await holds.ListHolds(hold_service_pb2.ListHoldsRequest(account=anna))
    assert not listed.holds
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    assert [lot.held for lot in lots] == [0] * len(lots)
    spent = await ledger.spend(anna, 100)
    assert (spent.balances[0].available, spent.balances[0].held) == (0, 0)
    assert (await _hold(holds, held)).state == hold_pb2.HOLD_STATE_EXPIRED


async def test_the_sweeper_books_holds_that_timed_out(ledger, turned):
    """On both sides, once; the version tells that something changed, no entry does."""
    anna, boris = ledger.member("coins"), ledger.member("coins")
    await ledger.earn(anna, 100)
    await ledger.post(place(anna, boris, 60, life_s=5))
    turned(seconds=100)
    assert await _sweep(ledger) >= 2
    assert await _sweep(ledger) == 0
    one, other = await ledger.balances(anna, boris, version_min=2)
    assert (one.available, one.held, one.version) == (100, 0, 3)
    assert (other.incoming, other.version) == (0, 2)
    states = await ledger.db.fetch(
        "SELECT state, end_time = expire_time AS in_time FROM reserves WHERE account_id = ANY("
        "SELECT account_id FROM accounts WHERE owner_id = $1 OR owner_id = $2)",
        anna.owner.owner_id,
        boris.owner.owner_id,
    )
    assert [tuple(row) for row in states] == [(4, True), (4, True)]


async def test_a_counter_is_reserved_up_to_its_ceiling(ledger):
    """Twenty receipts at once reserve the five uses that are left; captured, they are counted."""
    counter = ledger.member("coins")
    await ledger.stub.SetAccountLimits(pb.SetAccountLimitsRequest(account=counter, ceiling=5))
    results = await asyncio.gather(
        *(ledger.post(place(world("coins", "counting"), counter, 1)) for _ in range(20))
    )
    won = [result for result in results if result.state == POSTED]
    assert len(won) == 5
    assert {_reason(result) for result in results if result.state != POSTED} == {"CEILING_EXCEEDED"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ledger.stub.SetAccountLimits(pb.SetAccountLimitsRequest(account=counter, ceiling=4))
    assert status.read(caught.value).reason == "LIMIT_CONFLICT"
    await ledger.send(
        *(ledger.batch(_capture(one)) for one in won[:3]), ledger.batch(_void(won[3]))
    )
    balance = (await ledger.balances(counter, version_min=1))[0]
    assert (balance.available, balance.incoming) == (3, 1)
    assert (await ledger.earn(counter, 1)).state == POSTED
    assert _reason(await ledger.earn(counter, 1)) == "CEILING_EXCEEDED"


async def test_limits_are_not_in_the_way_of_holds_that_are_over(ledger, turned):
    """What timed out is booked before limits change."""
    counter = ledger.member("coins")
    await ledger.stub.SetAccountLimits(pb.SetAccountLimitsRequest(account=counter, ceiling=5))
    await ledger.post(place(world("coins", "counting"), counter, 5, life_s=5))
    turned(seconds=100)
    request = pb.SetAccountLimitsRequest(account=counter, ceiling=1)
    assert (await ledger.stub.SetAccountLimits(request)).balance.incoming == 0


async def test_ten_captures_and_voids_at_once_end_a_hold_once(ledger, ledger_database, valkey):
    """Through two ledgers: one wins, the others are told how it ended."""
    async with running(ledger_database, valkey.url) as second:
        for _ in range(5):
            anna = ledger.member()
            await ledger.earn(anna, 100)
            held = await ledger.post(place(anna, world(), 60))
            operations = [_capture(held), _void(held)] * 5
            results = await asyncio.gather(
                *(
                    one.post(operation)
                    for one, operation in zip([ledger, second] * 5, operations, strict=True)
                )
            )
            winners = [result for result in results if result.state == POSTED]
            assert len(winners) == 1
            reasons = {_reason(result) for result in results if result.state != POSTED}
            assert reasons in ({"HOLD_CAPTURED"}, {"HOLD_VOIDED"})
            left = 40 if reasons == {"HOLD_CAPTURED"} else 100
            assert await _shown(ledger, anna, version_min=3) == (left, 0)


async def test_a_repeated_hold_is_placed_once(ledger):
    """The stored answer tells when it times out; another life is another body."""
    anna = ledger.member()
    await ledger.earn(anna, 100)
    batch = ledger.batch(place(anna, world(), 60))
    first, second = (await ledger.send(batch))[0], (await ledger.send(batch))[0]
    assert second.replayed
    assert second.operations == first.operations
    assert await _shown(ledger, anna, version_min=2) == (40, 60)
    batch.operations[0].place_hold.time_to_live.seconds += 1
    conflict = (await ledger.send(batch))[0]
    assert conflict.refusal.metadata["field"] == "operations[0].place_hold.time_to_live.seconds"


async def test_holds_and_plain_batches_share_a_transaction(ledger):
    """A call of many batches that refer to each other and to what is stored."""
    anna, boris = ledger.member(), ledger.member("coins")
    await ledger.earn(anna, 100)
    stored = await ledger.post(place(anna, world(), 10))
    placing = ledger.batch(place(anna, world(), 20), move(world("coins"), boris, 5))
    results = await ledger.send(
        placing,
        ledger.batch(_capture(stored, 4)),
        ledger.batch(_capture(placing, 15, final=True)),
        ledger.batch(move(anna, world(), 81)),
        ledger.batch(move(anna, world(), 75)),
    )
    assert [result.state == POSTED for result in results] == [True, True, True, False, True]
    assert await _shown(ledger, anna, version_min=4) == (0, 6)
    assert await ledger.truth(anna) == 6


async def test_active_holds_are_listed_by_their_time(ledger, holds, turned):
    """On either side, page by page; a token is good for its own list alone."""
    anna, boris = ledger.member("coins"), ledger.member("coins")
    await ledger.earn(anna, 100)
    for number, life in enumerate((400, 200, 300, 9), start=1):
        await ledger.post(place(anna, boris, number, life_s=life))
    turned(seconds=100)
    for account in (anna, boris):
        amounts, token = [], ""
        while True:
            request = hold_service_pb2.ListHoldsRequest(
                account=account, page_size=1, page_token=token
            )
            page = await holds.ListHolds(request)
            amounts += [hold.amount for hold in page.holds]
            if not page.next_page_token:
                break
            token = page.next_page_token
        assert amounts == [2, 3, 1]
    request = hold_service_pb2.ListHoldsRequest(account=anna, page_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await holds.ListHolds(request)
    assert status.read(caught.value).reason == "PAGE_TOKEN_INVALID"


async def test_held_lots_are_listed_until_the_hold_ends(ledger, turned):
    """Though their expiry is past; what is not held of them is gone."""
    anna = ledger.member()
    soon = timestamps.show(ledger.now())
    soon.seconds += 60
    await ledger.earn(anna, 100, lot_expire_time=soon)
    held = await ledger.post(place(anna, world(), 60))
    turned(seconds=100)
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    assert [(lot.remaining, lot.held) for lot in lots] == [(60, 60)]
    assert await _shown(ledger, anna) == (0, 60)
    captured = await ledger.post(_capture(held, 50, final=True))
    assert (captured.operations[0].amount, captured.balances[0].available) == (50, 0)
    assert not (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    assert await ledger.truth(anna) == 0
