"""Scenarios of our own: reservations, limits on both sides, accounts that are closed meanwhile."""

from datetime import UTC, timedelta
from typing import Any

from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    household_service_pb2,
    household_service_pb2_grpc,
    ledger_service_pb2,
)

from services.chassis import ids, timestamps
from tests.conformance.ledger.holds import capture, void
from tests.conformance.ledger.register import (
    Bank,
    available,
    case,
    reason,
    refusal,
    turned,
)
from tests.integration.ledger.conftest import account, move, place, running, undo, world

pb = account_service_pb2
BY: dict[str, Any] = {"operator_id": "op_1", "note": "a case"}


def _people(ledger: Any) -> Any:
    return account_service_pb2_grpc.AccountServiceStub(ledger.channel)


async def _coins(ledger: Any, *amounts: int) -> list[Any]:
    """Return accounts that hold these amounts."""
    made = [ledger.member("coins") for _ in amounts]
    for one, amount in zip(made, amounts, strict=True):
        if amount:
            await ledger.earn(one, amount)
    return made


async def _held(ledger: Any, one: Any) -> tuple[int, int]:
    (balance,) = await ledger.balances(one)
    return balance.available, balance.held


@case("own-037")
async def more_than_is_reserved_is_not_captured(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 20, 0)
    hold = await ledger.post(place(anna, boris, 13))
    refused = await ledger.post(capture(hold, 14))
    assert (reason(refused), refused.refusal.metadata["remaining"]) == ("EXCEEDS_HOLD", "13")
    assert await _held(ledger, anna) == (7, 13)
    assert (await ledger.post(capture(hold))).operations[0].amount == 13
    assert await available(ledger, anna, boris) == [7, 13]


@case("own-038")
async def each_hold_ends_at_its_own_time(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 46, 0)
    lives = ((10, 86_400), (11, 60), (12, 120), (13, 180))
    holds = [await ledger.post(place(anna, boris, amount, life_s=life)) for amount, life in lives]
    begun = holds[1].operations[0].expire_time.ToDatetime(UTC) - timedelta(seconds=60)
    async with running(bank.made, bank.valkey.url) as second:
        for minutes, held in ((0.9, 46), (1.5, 35), (2.5, 23), (3.5, 10)):
            second.now.stand_at(begun + timedelta(minutes=minutes))
            assert await _held(second, anna) == (46 - held, held)
        told = [reason(await second.post(capture(hold))) for hold in holds]
    assert told == ["", "HOLD_EXPIRED", "HOLD_EXPIRED", "HOLD_EXPIRED"]
    assert await ledger.truth(boris) == 10


@case("own-039")
async def an_amount_that_was_left_open_is_another_body(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 7, 0)
    hold = await ledger.post(place(anna, boris, 7))
    batch = ledger.batch(capture(hold))
    named = ledger.batch(
        capture(hold, 7), batch_id=batch.batch_id, occurred_time=batch.occurred_time
    )
    assert reason((await ledger.send(batch))[0]) == ""
    (refused,) = await ledger.send(named)
    assert reason(refused) == "BATCH_CONFLICT"
    assert refused.refusal.metadata["field"] == "operations[0].capture_hold.amount"
    assert await available(ledger, anna, boris) == [0, 7]


@case("own-040")
async def another_limit_is_another_body(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    batch = ledger.batch(move(anna, world("coins"), 3, up_to=True))
    larger = ledger.batch(
        move(anna, world("coins"), 4, up_to=True),
        batch_id=batch.batch_id,
        occurred_time=batch.occurred_time,
    )
    assert (await ledger.send(batch))[0].operations[0].amount == 3
    (refused,) = await ledger.send(larger)
    assert refused.refusal.metadata["field"] == "operations[0].transfer.amount"
    assert await available(ledger, anna) == [7]


@case("own-041")
async def up_to_leaves_alone_what_is_reserved(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    await ledger.post(place(anna, world("coins"), 1))
    taken = [
        (await ledger.spend(anna, wanted, up_to=True)).operations[0].amount for wanted in (3, 13, 1)
    ]
    assert taken == [3, 6, 0]
    assert await _held(ledger, anna) == (0, 1)


@case("own-042")
async def up_to_looks_at_both_sides(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 4, 0)
    request = ledger_service_pb2.SetAccountLimitsRequest(account=boris, ceiling=5)
    await ledger.stub.SetAccountLimits(request)
    passed = await ledger.post(move(anna, boris, 10, up_to=True))
    assert passed.operations[0].amount == 4
    assert await available(ledger, anna, boris) == [0, 4]


@case("own-043")
async def as_much_as_there_is_is_reserved(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    wanted = (place(anna, world("coins"), amount, up_to=True) for amount in (3, 13, 1))
    held = [await ledger.post(one) for one in wanted]
    assert [one.operations[0].amount for one in held] == [3, 7, 0]
    assert await _held(ledger, anna) == (0, 10)


@case("own-044")
async def many_sources_pay_one_amount(bank: Bank) -> None:
    ledger = bank.ledger
    for last, expected in ((21, ""), (19, "INSUFFICIENT_FUNDS")):
        *sources, collector, shop = await _coins(ledger, 40, 40, last, 0, 0)
        request = ledger_service_pb2.SetAccountLimitsRequest(account=collector, ceiling=100)
        await ledger.stub.SetAccountLimits(request)
        paid = await ledger.post(
            *(move(source, collector, 100, up_to=True) for source in sources),
            move(collector, shop, 100),
        )
        assert reason(paid) == expected
        found = await available(ledger, *sources, collector, shop)
        if expected:
            assert paid.refusal.operation_index == 3
            assert found == [40, 40, last, 0, 0]
        else:
            assert [one.amount for one in paid.operations] == [40, 40, 20, 100]
            assert found == [0, 0, 1, 0, 100]


@case("own-045")
async def a_batch_that_fails_frees_what_it_took(bank: Bank) -> None:
    ledger = bank.ledger
    anna, nobody = await _coins(ledger, 20, 0)
    spends = move(anna, world("coins"), 15)
    failing = ledger.batch(spends, move(nobody, anna, 1), move(world("coins"), nobody, 1))
    first, second = await ledger.send(failing, ledger.batch(spends))
    assert (reason(first), first.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 1)
    assert reason(second) == ""
    assert await available(ledger, anna, nobody) == [5, 0]


@case("own-046")
async def a_hold_falls_with_its_batch(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 20)
    refused = await ledger.post(place(anna, world("coins"), 15), move(anna, world("coins"), 6))
    assert (reason(refused), refused.refusal.operation_index) == ("INSUFFICIENT_FUNDS", 1)
    assert await _held(ledger, anna) == (20, 0)
    assert reason(await ledger.post(capture(refused))) == "HOLD_NOT_FOUND"


@case("own-047")
async def a_refusal_outlives_its_cause(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 5)
    await ledger.spend(anna, 5)
    await _people(ledger).CloseAccount(pb.CloseAccountRequest(account=anna, **BY))
    batch = ledger.batch(move(world("coins"), anna, 5))
    assert reason((await ledger.send(batch))[0]) == "ACCOUNT_CLOSED"
    await _people(ledger).ReopenAccount(pb.ReopenAccountRequest(account=anna, **BY))
    (again,) = await ledger.send(batch)
    assert (reason(again), again.replayed) == ("ACCOUNT_CLOSED", True)
    assert reason(await ledger.earn(anna, 5)) == ""
    assert await available(ledger, anna) == [5]


@case("own-048")
async def a_receiver_may_close_before_a_hold_ends(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 10, 0)
    hold = await ledger.post(place(anna, boris, 10))
    await _people(ledger).CloseAccount(pb.CloseAccountRequest(account=boris, **BY))
    refused = await ledger.post(capture(hold))
    assert (reason(refused), refused.refusal.metadata["side"]) == ("ACCOUNT_CLOSED", "credit")
    assert await _held(ledger, anna) == (0, 10)
    assert reason(await ledger.post(void(hold))) == ""
    assert await available(ledger, anna, boris) == [10, 0]


@case("own-049")
async def what_is_closed_is_closed_once(bank: Bank) -> None:
    ledger, people = bank.ledger, _people(bank.ledger)
    (anna,) = await _coins(ledger, 5)
    await ledger.spend(anna, 5)
    request = pb.CloseAccountRequest(account=anna, **BY)
    first = (await people.CloseAccount(request)).account
    assert (await people.CloseAccount(request)).account == first
    frozen = people.FreezeAccount(pb.FreezeAccountRequest(account=anna, **BY))
    assert (await refusal(frozen)).reason == "ACCOUNT_CLOSED"
    acts = (await people.ListAccountActs(pb.ListAccountActsRequest(account=anna))).acts
    assert [one.action for one in acts] == [account_pb2.ACCOUNT_ACTION_CLOSE]


@case("own-050")
async def a_hold_times_out_with_what_is_left(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 100, 0)
    hold = await ledger.post(place(anna, boris, 30))
    assert reason(await ledger.post(capture(hold, 10))) == ""
    with turned(ledger) as turn:
        turn(hours=1, seconds=1)
        told = [reason(await ledger.post(end(hold))) for end in (capture, void)]
        assert told == ["HOLD_EXPIRED", "HOLD_EXPIRED"]
        assert await available(ledger, anna, boris) == [90, 10]
        assert await _held(ledger, anna) == (90, 0)


@case("own-051")
async def no_more_is_refunded_than_was_captured(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 10, 50)
    hold = await ledger.post(place(anna, boris, 10))
    captured = await ledger.post(capture(hold, 5, final=True))
    refused = await ledger.post(undo(captured, 6))
    assert reason(refused) == "EXCEEDS_REVERSIBLE"
    assert refused.refusal.metadata["remaining"] == "5"
    assert reason(await ledger.post(undo(captured, 5))) == ""
    assert await available(ledger, anna, boris) == [10, 50]


@case("own-052")
async def each_capture_is_refunded_for_itself(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 12, 0)
    hold = await ledger.post(place(anna, boris, 12))
    first = await ledger.post(capture(hold, 5))
    await ledger.post(capture(hold, 7))
    told = [reason(await ledger.post(undo(*one))) for one in ((first, 6), (first, 5), (hold, 1))]
    assert told == ["EXCEEDS_REVERSIBLE", "", "NOT_REVERSIBLE"]
    assert await available(ledger, anna, boris) == [5, 7]


@case("own-053")
async def what_is_reserved_is_not_pooled(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    home = account(ids.new("hou"), owner_type=account_pb2.OWNER_TYPE_HOUSEHOLD)
    await ledger.earn(anna, 100)
    hold = await ledger.post(place(anna, world(), 30))
    homes = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    pooled = await homes.PoolPoints(
        household_service_pb2.PoolPointsRequest(
            batch_id=ids.new("bat"),
            household_id=home.owner.owner_id,
            asset_code="points",
            member_ids=[anna.owner.owner_id],
            occurred_time=timestamps.show(ledger.now()),
        )
    )
    assert pooled.result.operations[0].amount == 70
    assert reason(await ledger.post(capture(hold))) == ""
    assert await available(ledger, anna, home) == [0, 70]
    assert await ledger.truth(anna) == 0


@case("own-054")
async def every_part_of_a_body_counts(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    one = move(anna, world("coins"), 1)
    batch = ledger.batch(one)
    await ledger.send(batch)
    same: dict[str, Any] = {"batch_id": batch.batch_id, "occurred_time": batch.occurred_time}
    later = timestamps.show(ledger.now() - timedelta(hours=1))
    others = {
        "occurred_time.seconds": ledger.batch(one, **{**same, "occurred_time": later}),
        "receipt_id": ledger.batch(one, receipt_id="R", **same),
        "operator_id": ledger.batch(one, operator_id="op_1", **same),
        "operations[1]": ledger.batch(one, one, **same),
    }
    for field, other in others.items():
        (refused,) = await ledger.send(other)
        assert reason(refused) == "BATCH_CONFLICT"
        assert refused.refusal.metadata["field"] == field
    assert await available(ledger, anna) == [9]


@case("own-055")
async def a_conflict_comes_before_everything(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    batch = ledger.batch(move(anna, world("coins"), 10))
    await ledger.send(batch)
    await _people(ledger).CloseAccount(pb.CloseAccountRequest(account=anna, **BY))
    unknown = account(anna.owner.owner_id, "case.own055")
    other = ledger.batch(
        move(unknown, world("case.own055"), 10),
        batch_id=batch.batch_id,
        occurred_time=timestamps.show(ledger.now() + timedelta(days=1)),
    )
    assert reason((await ledger.send(other))[0]) == "BATCH_CONFLICT"


@case("own-056")
async def independent_parts_answer_each_for_itself(bank: Bank) -> None:
    ledger = bank.ledger
    anna, nobody = await _coins(ledger, 0, 0)
    parts = move(world("coins"), anna, 5), move(nobody, anna, 1), move(anna, nobody, 2)
    batch = ledger.batch(*parts, independent=True)
    for replayed in (False, True):
        (result,) = await ledger.send(batch)
        assert (reason(result), result.replayed) == ("", replayed)
        told = [reason(one) for one in result.operations]
        assert told == ["", "INSUFFICIENT_FUNDS", ""]
    assert await available(ledger, anna, nobody) == [3, 2]


@case("own-057")
async def only_what_happened_is_undone(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 5)
    refused, posted = await ledger.spend(anna, 6), await ledger.spend(anna, 5)
    never = type(posted)(batch_id=ids.new("bat"))
    asked = (undo(refused, 1), undo(never, 1), undo(posted, 1, index=1))
    assert {reason(await ledger.post(one)) for one in asked} == {"TRANSFER_NOT_FOUND"}
    assert await available(ledger, anna) == [0]


@case("own-110")
async def what_is_promised_takes_room(bank: Bank) -> None:
    ledger = bank.ledger
    anna, boris = await _coins(ledger, 40, 60)
    request = ledger_service_pb2.SetAccountLimitsRequest(account=boris, ceiling=100)
    await ledger.stub.SetAccountLimits(request)
    hold = await ledger.post(place(anna, boris, 40))
    refused = await ledger.earn(boris, 1)
    assert (reason(refused), refused.refusal.metadata["room"]) == ("CEILING_EXCEEDED", "0")
    await ledger.post(void(hold))
    assert reason(await ledger.earn(boris, 1)) == ""
    assert await available(ledger, anna, boris) == [40, 61]


@case("own-111")
async def answers_are_looked_up(bank: Bank) -> None:
    ledger = bank.ledger
    (anna,) = await _coins(ledger, 10)
    for given in (await ledger.spend(anna, 4), await ledger.spend(anna, 40)):
        request = ledger_service_pb2.GetBatchRequest(batch_id=given.batch_id)
        found = (await ledger.stub.GetBatch(request)).result
        found.replayed = given.replayed
        assert found == given
    unknown = ledger_service_pb2.GetBatchRequest(batch_id=ids.new("bat"))
    assert (await refusal(ledger.stub.GetBatch(unknown))).reason == "BATCH_NOT_FOUND"
