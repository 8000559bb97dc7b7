"""Value that is reserved for a movement that may come."""

from datetime import timedelta
from typing import Any

from tessera.ledger.v1 import batch_pb2

from services.chassis import ids, timestamps
from tests.conformance.ledger.register import Bank, case, reason
from tests.integration.ledger.conftest import move, place, world


def capture(hold: Any, amount: int | None = None, *, final: bool = False) -> batch_pb2.Operation:
    """Return the operation that moves what a hold reserves."""
    return batch_pb2.Operation(
        capture_hold=batch_pb2.CaptureHold(
            batch_id=hold.batch_id, operation_index=0, amount=amount, final=final
        )
    )


def void(hold: Any) -> batch_pb2.Operation:
    """Return the operation that gives back what a hold reserves."""
    return batch_pb2.Operation(
        void_hold=batch_pb2.VoidHold(batch_id=hold.batch_id, operation_index=0)
    )


async def _rich(ledger: Any, amount: int = 100) -> tuple[Any, Any]:
    """Return an account with an amount, and the account of a merchant."""
    anna, merchant = ledger.member("coins"), ledger.member("coins")
    await ledger.earn(anna, amount)
    return anna, merchant


async def _held(ledger: Any, *accounts: Any) -> list[tuple[int, int, int]]:
    """Return what is available, held and incoming."""
    found = await ledger.balances(*accounts)
    return [(one.available, one.held, one.incoming) for one in found]


@case("hold-001")
async def a_hold_reserves_and_moves_nothing(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger)
    await ledger.post(place(anna, merchant, 30))
    assert await _held(ledger, anna, merchant) == [(70, 30, 0), (0, 0, 30)]
    assert [await ledger.truth(one) for one in (anna, merchant)] == [100, 0]


@case("hold-002")
async def a_final_capture_gives_back_the_rest(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger)
    hold = await ledger.post(place(anna, merchant, 15))
    captured = await ledger.post(capture(hold, 13, final=True))
    assert captured.operations[0].amount == 13
    assert await _held(ledger, anna, merchant) == [(87, 0, 0), (13, 0, 0)]
    assert reason(await ledger.post(capture(hold, 2))) == "HOLD_CAPTURED"


@case("hold-003")
async def a_hold_is_captured_in_parts(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger)
    hold = await ledger.post(place(anna, merchant, 15))
    for amount in (5, 7):
        assert reason(await ledger.post(capture(hold, amount))) == ""
    exceeded = await ledger.post(capture(hold, 4))
    assert (reason(exceeded), exceeded.refusal.metadata["remaining"]) == ("EXCEEDS_HOLD", "3")
    assert reason(await ledger.post(capture(hold, 3))) == ""
    assert reason(await ledger.post(capture(hold, 1))) == "HOLD_CAPTURED"
    assert await _held(ledger, anna, merchant) == [(85, 0, 0), (15, 0, 0)]


@case("hold-005", "hold-006", "hold-007")
async def a_hold_ends_once(bank: Bank) -> None:
    ledger = bank.ledger
    for end, expected, left in (
        (capture, "HOLD_CAPTURED", [(90, 0, 0), (10, 0, 0)]),
        (void, "HOLD_VOIDED", [(100, 0, 0), (0, 0, 0)]),
    ):
        anna, merchant = await _rich(ledger)
        hold = await ledger.post(place(anna, merchant, 10))
        assert reason(await ledger.post(end(hold))) == ""
        for again in (void, capture):
            assert reason(await ledger.post(again(hold))) == expected
        assert await _held(ledger, anna, merchant) == left


@case("hold-009")
async def a_hold_times_out_by_the_clock(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger)
    hold = await ledger.post(place(anna, merchant, 10, life_s=3600))
    try:
        ledger.now.ahead = timedelta(seconds=3601)
        assert reason(await ledger.post(capture(hold))) == "HOLD_EXPIRED"
        assert await _held(ledger, anna, merchant) == [(100, 0, 0), (0, 0, 0)]
    finally:
        ledger.now.ahead = timedelta(0)


@case("hold-012")
async def holds_together_never_pass_what_there_is(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger, 5000)
    results = [await ledger.post(place(anna, merchant, 1000)) for _ in range(6)]
    assert list(map(reason, results)) == [*[""] * 5, "INSUFFICIENT_FUNDS"]
    assert reason(await ledger.spend(anna, 1)) == "INSUFFICIENT_FUNDS"


@case("hold-013", "hold-017")
async def only_a_hold_that_was_placed_is_captured(bank: Bank) -> None:
    ledger = bank.ledger
    anna, merchant = await _rich(ledger)
    plain = await ledger.post(move(anna, merchant, 1))
    refused = await ledger.post(place(anna, merchant, 1000))
    unknown = batch_pb2.BatchResult(batch_id=ids.new("bat"))
    assert reason(refused) == "INSUFFICIENT_FUNDS"
    reasons = [reason(await ledger.post(capture(one, 1))) for one in (plain, refused, unknown)]
    assert reasons == ["NOT_A_HOLD", "HOLD_NOT_FOUND", "HOLD_NOT_FOUND"]
    assert await _held(ledger, anna, merchant) == [(99, 0, 0), (1, 0, 0)]


@case("lot-010")
async def what_a_hold_kept_alive_expires_with_it(bank: Bank) -> None:
    ledger, anna = bank.ledger, bank.ledger.member()
    ends = timestamps.show(ledger.now() + timedelta(days=5))
    await ledger.earn(anna, 100, lot_expire_time=ends)
    hold = await ledger.post(place(anna, world(), 60, life_s=10 * 86_400))
    try:
        ledger.now.ahead = timedelta(days=6)
        assert await _held(ledger, anna) == [(0, 60, 0)]
        assert reason(await ledger.post(void(hold))) == ""
        assert await _held(ledger, anna) == [(0, 0, 0)]
        assert await ledger.truth(anna) == 0
    finally:
        ledger.now.ahead = timedelta(0)
