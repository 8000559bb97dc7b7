"""Lots, expiry and the past."""

import asyncio
from datetime import UTC, timedelta
from typing import Any

from tessera.ledger.v1 import asset_pb2, batch_pb2, ledger_service_pb2

from services.chassis import ids, timestamps
from services.ledger.committer import Committer
from services.ledger.storage import Assets, Postings, Upkeep
from services.ledger.sweeper import Sweeper
from tests.conformance.ledger.register import Bank, case, reason, turned
from tests.integration.ledger.conftest import move, release, running, undo, world

pb = ledger_service_pb2


async def _two_lots(ledger: Any) -> Any:
    """Return an account with a lot of 100 until day 10 and a later one of 100 until day 5."""
    anna = ledger.member()
    for days in (10, 5):
        ends = timestamps.show(ledger.now() + timedelta(days=days))
        await ledger.earn(anna, 100, lot_expire_time=ends)
    return anna


async def _lots(ledger: Any, anna: Any) -> list[tuple[int, int]]:
    """Return amounts and what is left of lots, as they will be spent."""
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    return [(lot.amount, lot.remaining) for lot in lots]


@case("time-001")
async def entries_tell_every_balance_of_the_past(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    start = ledger.now()
    with turned(ledger) as turn:
        for day, amount in ((1, 100), (3, -30), (5, 5)):
            turn(days=day)
            sides = (world("coins"), anna) if amount > 0 else (anna, world("coins"))
            await ledger.post(move(*sides, abs(amount)))

        async def as_of(day: float) -> int:
            request = pb.ListEntriesRequest(
                account=anna,
                until_time=timestamps.show(start + timedelta(days=day)),
                page_size=1,
            )
            entries = (await ledger.stub.ListEntries(request)).entries
            return entries[0].balance_after if entries else 0

        assert [await as_of(day) for day in (0, 2, 3.5, 4, 6)] == [0, 100, 70, 70, 75]


@case("time-002")
async def what_comes_late_changes_no_past_balance(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 100)
    late = ledger.batch(move(anna, world("coins"), 30))
    late.occurred_time.CopyFrom(timestamps.show(ledger.now() - timedelta(days=3)))
    await ledger.send(late)
    entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
    assert [one.balance_after for one in entries] == [70, 100]
    assert entries[0].occurred_time.ToDatetime() < entries[1].occurred_time.ToDatetime()
    assert entries[0].record_time.ToDatetime() > entries[1].record_time.ToDatetime()
    assert await ledger.available(anna) == 70


@case("time-004")
async def the_past_is_open_and_the_future_is_not(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member("coins")
    await ledger.earn(anna, 5)
    for days, expected in ((-2, ""), (1, "OCCURRED_IN_FUTURE")):
        batch = ledger.batch(move(world("coins"), anna, 10))
        batch.occurred_time.CopyFrom(timestamps.show(ledger.now() + timedelta(days=days)))
        assert reason((await ledger.send(batch))[0]) == expected
    assert await ledger.available(anna) == 15


@case("lot-002")
async def the_earliest_expiry_goes_first(bank: Bank) -> None:
    ledger = bank.ledger
    anna = await _two_lots(ledger)
    await ledger.spend(anna, 150)
    assert await _lots(ledger, anna) == [(100, 50)]
    (lot,) = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    left_days = (lot.expire_time.ToDatetime(UTC) - ledger.now()).total_seconds() / 86_400
    assert 9 < left_days < 10


@case("lot-003")
async def a_spending_lists_the_lots_it_took(bank: Bank) -> None:
    ledger = bank.ledger
    anna = await _two_lots(ledger)
    first = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    spent = await ledger.spend(anna, 150)
    taken = [(part.lot_id, part.amount) for part in spent.operations[0].taken]
    assert taken == [(first[0].lot_id, 100), (first[1].lot_id, 50)]
    assert sum(amount for _, amount in taken) == spent.operations[0].amount


@case("lot-005")
async def what_has_expired_meanwhile_stays_expired(bank: Bank) -> None:
    ledger = bank.ledger
    anna = await _two_lots(ledger)
    spent = await ledger.spend(anna, 150)
    with turned(ledger) as turn:
        turn(days=7)
        refund = await ledger.post(undo(spent, 150))
        assert refund.operations[0].amount == 150
        assert refund.balances[0].available == 100
        entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
        assert [(one.amount, one.operation_index) for one in entries[:2]] == [(-100, -1), (150, 0)]
        assert await _lots(ledger, anna) == [(100, 100)]


@case("lot-006")
async def refunds_go_back_from_the_end_of_what_was_taken(bank: Bank) -> None:
    ledger = bank.ledger
    anna = await _two_lots(ledger)
    spent = await ledger.spend(anna, 150)
    await ledger.post(undo(spent, 60))
    assert await _lots(ledger, anna) == [(100, 10), (100, 100)]
    await ledger.post(undo(spent, 90))
    assert await _lots(ledger, anna) == [(100, 100), (100, 100)]
    assert reason(await ledger.post(undo(spent, 1))) == "EXCEEDS_REVERSIBLE"


@case("lot-011")
async def pending_points_are_not_spent(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    starts = timestamps.show(ledger.now() + timedelta(days=3))
    await ledger.earn(anna, 100, lot_activate_time=starts)
    with turned(ledger) as turn:
        turn(days=2)
        assert reason(await ledger.spend(anna, 50)) == "INSUFFICIENT_FUNDS"
        turn(days=3.001)
        assert reason(await ledger.spend(anna, 50)) == ""


@case("lot-012")
async def the_expiry_clock_starts_at_activation(bank: Bank) -> None:
    ledger = bank.ledger
    days = asset_pb2.RollingExpiry(days=30, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    policy = asset_pb2.LotPolicy(pending_until_release=True, rolling=days, time_zone="UTC")
    await ledger.asset("case.lot012", lot_policy=policy)
    anna = ledger.member("case.lot012")
    earned = await ledger.earn(anna, 100)
    with turned(ledger) as turn:
        turn(days=10)
        await ledger.post(release(earned))
        for day, left in ((39.9, 100), (40.1, 0)):
            turn(days=day)
            assert await ledger.available(anna) == left


@case("lot-013")
async def sweeping_twice_expires_once(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    await ledger.earn(anna, 40, lot_expire_time=ends)
    with turned(ledger) as turn:
        turn(days=6)

        async def sweep() -> None:
            committer = Committer(
                Postings(ledger.db), Assets(ledger.db), publish=_nowhere, now=ledger.now
            )
            work = asyncio.create_task(committer.run())
            sweeper = Sweeper(ledger.db, Upkeep(), committer, interval_s=1, now=ledger.now)
            await sweeper.sweep(ledger.db)
            work.cancel()

        await asyncio.gather(sweep(), sweep())
        await sweep()
    entries = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
    assert [one.amount for one in entries] == [-40, 40]


async def _nowhere(_balances: Any) -> None:
    """Show nothing."""


@case("lot-015")
async def the_boundary_is_outside_and_local(bank: Bank) -> None:
    ledger = bank.ledger
    policy = asset_pb2.LotPolicy(
        time_zone="Europe/Moscow",
        calendar=asset_pb2.CalendarExpiry(
            days=[asset_pb2.MonthDay(month=2, day=28)], minimum_days=0
        ),
    )
    await ledger.asset("case.lot015", lot_policy=policy)
    anna = ledger.member("case.lot015")
    await ledger.earn(anna, 40)
    (lot,) = (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots
    ends = lot.expire_time.ToDatetime(UTC)
    assert (ends.hour, ends.minute, ends.second) == (21, 0, 0)  # midnight in Moscow
    async with running(bank.made, bank.valkey.url) as second:
        for early, expected in (
            (timedelta(milliseconds=1), ""),
            (timedelta(0), "INSUFFICIENT_FUNDS"),
        ):
            second.now.stand_at(ends - early)
            assert reason(await second.spend(anna, 1)) == expected


@case("lot-016")
async def spending_and_expiry_share_a_lot_only_once(bank: Bank) -> None:
    made = await bank.new_database("ledger")
    async with (
        running(made, bank.valkey.url, sweep_interval_s=0.01) as one,
        running(made, bank.valkey.url, sweep_interval_s=0.01) as other,
    ):
        await one.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        members = [one.member() for _ in range(30)]
        ends = one.now() + timedelta(seconds=4)
        terms = timestamps.show(ends)
        await asyncio.gather(*(one.earn(anna, 40, lot_expire_time=terms) for anna in members))

        async def redeem(number: int, anna: Any) -> bool:
            await asyncio.sleep(max((ends - one.now()).total_seconds() + (number - 15) / 10, 0))
            occurred = timestamps.show(one.now())
            batch = batch_pb2.Batch(
                batch_id=ids.new("bat"),
                operations=[move(anna, world(), 40)],
                occurred_time=occurred,
            )
            (result,) = await (one, other)[number % 2].send(batch)
            return not reason(result)

        spent = await asyncio.gather(*(redeem(*pair) for pair in enumerate(members)))
        assert any(spent)
        assert not all(spent)
        async with asyncio.timeout(20):
            for anna, was_spent in zip(members, spent, strict=True):
                while await one.truth(anna):
                    await asyncio.sleep(0.05)
                entries = (await one.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
                expected = (-40, 0) if was_spent else (-40, -1)
                assert [(line.amount, line.operation_index) for line in entries] == [
                    expected,
                    (40, 0),
                ]
