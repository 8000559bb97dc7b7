"""Scenarios of our own: how lots are spent, end, come back, and what the past was."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tessera.ledger.v1 import asset_pb2, batch_pb2, books_service_pb2, books_service_pb2_grpc

from services.chassis import timestamps
from tests.conformance.ledger.register import Bank, available, case, lots, reason, turned
from tests.integration.ledger.conftest import move, place, release, running, undo, world

books = books_service_pb2
NONE = asset_pb2.EXPIRY_ROUNDING_NONE
DAY = asset_pb2.EXPIRY_ROUNDING_END_OF_DAY


def _in(ledger: Any, **span: float) -> Any:
    return timestamps.show(ledger.now() + timedelta(**span))


async def _left(ledger: Any, one: Any) -> list[int]:
    return [lot.remaining for lot in await lots(ledger, one)]


@case("own-066")
async def the_older_grant_goes_first_and_both_ends_know(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    grants = [await ledger.earn(anna, amount) for amount in (30, 50)]
    spent = await ledger.spend(anna, 60)
    stub = books_service_pb2_grpc.BooksServiceStub(ledger.channel)
    traced = await stub.TraceSpending(books.TraceSpendingRequest(batch_id=spent.batch_id))
    found = [(part.amount, part.origins[0].batch_id) for part in traced.parts]
    assert found == [(30, grants[0].batch_id), (30, grants[1].batch_id)]
    for grant, left in zip(grants, (0, 20), strict=True):
        request = books.TraceEarningRequest(batch_id=grant.batch_id)
        earning = await stub.TraceEarning(request)
        assert [lot.remaining for lot in earning.lots] == [left]
        assert [(use.amount, use.batch_id) for use in earning.uses] == [(30, spent.batch_id)]


@case("own-067")
async def a_grant_lists_its_uses(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    grant = await ledger.earn(anna, 100)
    spent = [await ledger.spend(anna, amount) for amount in (25, 35)]
    stub = books_service_pb2_grpc.BooksServiceStub(ledger.channel)
    earning = await stub.TraceEarning(books.TraceEarningRequest(batch_id=grant.batch_id))
    assert [lot.remaining for lot in earning.lots] == [40]
    found = {(use.amount, use.batch_id) for use in earning.uses}
    assert found == {(25, spent[0].batch_id), (35, spent[1].batch_id)}


@case("own-068")
async def no_grant_goes_before_one_that_ends_earlier(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    await ledger.earn(anna, 100, lot_expire_time=_in(ledger, days=20))
    await ledger.earn(anna, 100, lot_expire_time=_in(ledger, days=10))
    assert [part.amount for part in (await ledger.spend(anna, 120)).operations[0].taken] == [
        100,
        20,
    ]
    assert await _left(ledger, anna) == [80]


@case("own-069")
async def one_of_many_ends_first(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    later = move(world(), anna, 100, lot_expire_time=_in(ledger, days=30))
    await ledger.post(*[later] * 200)
    await ledger.post(*[later] * 199)
    first = await ledger.earn(anna, 100, lot_expire_time=_in(ledger, days=29))
    (taken,) = (await ledger.spend(anna, 99)).operations[0].taken
    found = await lots(ledger, anna)
    assert (found[0].lot_id, found[0].batch_id) == (taken.lot_id, first.batch_id)
    assert [lot.remaining for lot in found] == [1] + [100] * 49
    assert await available(ledger, anna) == [39_901]


@case("own-070")
async def nothing_is_carried_over(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    await ledger.earn(anna, 30, lot_expire_time=_in(ledger, days=30))
    with turned(ledger) as turn:
        turn(days=30, seconds=1)
        await ledger.earn(anna, 100, lot_expire_time=_in(ledger, days=30))
        assert await available(ledger, anna) == [100]


@case("own-071")
async def a_grant_begins_at_its_instant(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    begins = ledger.now().replace(microsecond=0) + timedelta(days=3)
    await ledger.earn(anna, 100, lot_activate_time=timestamps.show(begins))
    async with running(bank.made, bank.valkey.url) as second:
        second.now.stand_at(begins - timedelta(microseconds=1))
        assert reason(await second.spend(anna, 50)) == "INSUFFICIENT_FUNDS"
        second.now.stand_at(begins)
        assert reason(await second.spend(anna, 50)) == ""


@case("own-072")
async def each_refund_has_its_own_grace(bank: Bank) -> None:
    policy = asset_pb2.LotPolicy(
        rolling=asset_pb2.RollingExpiry(days=5, rounding=NONE),
        refund_grace_days=3,
        time_zone="Europe/Moscow",
    )
    async with running(bank.made, bank.valkey.url) as ledger:
        await ledger.asset("case.own072", lot_policy=policy)
        anna = ledger.member("case.own072")
        start = datetime(2026, 5, 1, 9, tzinfo=UTC)
        ledger.now.stand_at(start)
        await ledger.earn(anna, 100)
        paid = await ledger.spend(anna, 100)
        for day, part in ((7, 10), (9, 20)):
            ledger.now.stand_at(start + timedelta(days=day))
            assert reason(await ledger.post(undo(paid, part))) == ""
        ends = [lot.expire_time.ToDatetime(UTC) for lot in await lots(ledger, anna)]
        assert ends == [datetime(2026, 5, day, 21, tzinfo=UTC) for day in (11, 13)]
        assert await _left(ledger, anna) == [10, 20]
        ledger.now.stand_at(ends[0])
        assert await available(ledger, anna) == [20]


@case("own-073")
async def a_refund_to_an_ended_grant_counts(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    await ledger.earn(anna, 100, lot_expire_time=_in(ledger, days=5))
    paid = await ledger.spend(anna, 40)
    with turned(ledger) as turn:
        turn(days=6)
        refund = await ledger.post(undo(paid, 25))
        assert (refund.operations[0].amount, refund.balances[0].available) == (25, 0)
        refused = await ledger.post(undo(paid, 25))
        assert reason(refused) == "EXCEEDS_REVERSIBLE"
        assert refused.refusal.metadata["remaining"] == "15"
        assert (await available(ledger, anna), await ledger.truth(anna)) == ([0], 0)


@case("own-074", "own-075", "own-076", "own-077", "own-078")
async def calendars_say_when_points_end(bank: Bank) -> None:
    def rolling(zone: str, **fields: Any) -> asset_pb2.LotPolicy:
        fields.setdefault("rounding", NONE)
        return asset_pb2.LotPolicy(time_zone=zone, rolling=asset_pb2.RollingExpiry(**fields))

    def fixed() -> asset_pb2.LotPolicy:
        days = [asset_pb2.MonthDay(month=3, day=31), asset_pb2.MonthDay(month=9, day=30)]
        calendar = asset_pb2.CalendarExpiry(days=days, minimum_days=60)
        return asset_pb2.LotPolicy(time_zone="UTC", calendar=calendar)

    def at(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]

    moscow, berlin = "Europe/Moscow", "Europe/Berlin"
    quarter, year = (
        asset_pb2.EXPIRY_ROUNDING_END_OF_QUARTER,
        asset_pb2.EXPIRY_ROUNDING_END_OF_YEAR,
    )
    cases = (
        (rolling(moscow, months=12), at(2028, 2, 29, 7), at(2029, 2, 28, 21)),
        (rolling(moscow, months=48), at(2028, 2, 29, 7), at(2032, 2, 29, 7)),
        (rolling(berlin, days=1), at(2026, 10, 24, 0, 30), at(2026, 10, 25, 0, 30)),
        (rolling(moscow, days=90, rounding=quarter), at(2026, 1, 15, 7), at(2026, 6, 30, 21)),
        (rolling(moscow, days=90, rounding=year), at(2026, 1, 15, 7), at(2026, 12, 31, 21)),
        (fixed(), at(2026, 1, 30, 7), at(2026, 4, 1)),
        (fixed(), at(2026, 1, 31, 7), at(2026, 10, 1)),
    )
    async with running(bank.made, bank.valkey.url) as ledger:
        for number, (policy, earned, ends) in enumerate(cases):
            code = f"case.own074.n{number}"
            await ledger.asset(code, lot_policy=policy)
            ledger.now.stand_at(earned)
            anna = ledger.member(code)
            await ledger.earn(anna, 10)
            (lot,) = await lots(ledger, anna)
            assert (number, lot.expire_time.ToDatetime(UTC)) == (number, ends)


@case("own-079")
async def only_credits_keep_points_alive(bank: Bank) -> None:
    policy = asset_pb2.LotPolicy(time_zone="UTC", sliding=asset_pb2.SlidingExpiry(days=30))
    async with running(bank.made, bank.valkey.url) as ledger:
        await ledger.asset("case.own079", lot_policy=policy)
        anna = ledger.member("case.own079")
        start = datetime(2026, 5, 1, 9, tzinfo=UTC)
        for day, amount in ((0, 100), (20, 10)):
            ledger.now.stand_at(start + timedelta(days=day))
            await ledger.earn(anna, amount)
        ledger.now.stand_at(start + timedelta(days=40))
        await ledger.spend(anna, 5)
        for day, left in ((50, 105), (52, 0)):
            ledger.now.stand_at(start + timedelta(days=day))
            assert await available(ledger, anna) == [left]


async def _past(ledger: Any, one: Any, at: datetime) -> Any:
    stub = books_service_pb2_grpc.BooksServiceStub(ledger.channel)
    request = books.GetPastBalanceRequest(
        account=one, at_time=timestamps.show(at), basis=books.TIME_BASIS_RECORDED
    )
    return (await stub.GetPastBalance(request)).balance


@case("own-080")
async def the_past_knows_what_had_ended(bank: Bank) -> None:
    async with running(bank.made, bank.valkey.url) as ledger:
        anna = ledger.member()
        start = datetime(2026, 5, 1, 9, tzinfo=UTC)
        for day, amount, terms in (
            (1, 100, {"lot_expire_time": timestamps.show(start + timedelta(days=5))}),
            (2, 50, {"lot_activate_time": timestamps.show(start + timedelta(days=60))}),
        ):
            ledger.now.stand_at(start + timedelta(days=day))
            await ledger.earn(anna, amount, **terms)
        ledger.now.stand_at(start + timedelta(days=7))
        found = [
            await _past(ledger, anna, start + timedelta(days=day, hours=1)) for day in (1, 3, 6)
        ]
        told = [(one.total, one.available, one.pending, one.expired) for one in found]
        assert told == [(100, 100, 0, 0), (150, 100, 50, 0), (150, 0, 50, 100)]


@case("own-081")
async def the_very_microsecond_counts(bank: Bank) -> None:
    async with running(bank.made, bank.valkey.url) as ledger:
        anna = ledger.member("coins")
        start = datetime(2026, 5, 1, 9, tzinfo=UTC)
        ledger.now.stand_at(start)
        await ledger.earn(anna, 10)
        ledger.now.stand_at(start + timedelta(hours=1))
        found = [
            (await _past(ledger, anna, start - timedelta(microseconds=early))).total
            for early in (0, 1)
        ]
        assert found == [10, 0]


@case("own-104")
async def the_next_end_counts_what_is_free(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    soon, later = _in(ledger, days=5), _in(ledger, days=9)
    for amount, ends in ((10, soon), (20, soon), (30, later)):
        await ledger.earn(anna, amount, lot_expire_time=ends)

    async def upcoming() -> tuple[Any, int]:
        (balance,) = await ledger.balances(anna)
        return balance.next_expire_time, balance.next_expire_amount

    assert await upcoming() == (soon, 30)
    await ledger.spend(anna, 5)
    assert await upcoming() == (soon, 25)
    await ledger.post(place(anna, world(), 10, life_s=20 * 86_400))
    assert await upcoming() == (soon, 15)
    with turned(ledger) as turn:
        turn(days=5, seconds=1)
        assert await upcoming() == (later, 30)
        assert await available(ledger, anna) == [30]


@case("own-108")
async def what_is_pending_is_not_reserved(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    await ledger.earn(anna, 100, lot_activate_time=_in(ledger, days=3))
    refused = await ledger.post(place(anna, world(), 10))
    assert (reason(refused), refused.refusal.metadata["available"]) == ("INSUFFICIENT_FUNDS", "0")
    (balance,) = await ledger.balances(anna)
    assert (balance.pending, balance.held) == (100, 0)


@case("own-109")
async def what_waits_is_released_once(bank: Bank) -> None:
    ledger = bank.ledger
    policy = asset_pb2.LotPolicy(pending_until_release=True, time_zone="UTC")
    await ledger.asset("case.own109", lot_policy=policy)
    anna = ledger.member("case.own109")
    earned = await ledger.earn(anna, 100)
    taken = await ledger.post(undo(earned, 60, batch_pb2.SHORTFALL_TAKE_PENDING))
    assert taken.operations[0].amount == 60
    told = [reason(await ledger.post(release(earned))) for _ in range(2)]
    assert told == ["", "NOT_REVERSIBLE"]
    assert await available(ledger, anna) == [40]
