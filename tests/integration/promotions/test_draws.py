"""Prize draws: sealed before, drawn once, checked by anybody."""

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.type import date_pb2
from tessera.promotions.v1 import (
    checkout_service_pb2,
    draw_service_pb2,
    draw_service_pb2_grpc,
    program_pb2,
    program_service_pb2,
)

from services.chassis import auth
from services.promotions import main
from tests.integration.promotions import programs
from tests.integration.promotions.houses import House, cart_of, line

Request = draw_service_pb2
NOTHING = "prg_" + "0" * 32


def day(days=0):
    moment = datetime.now(UTC).date() + timedelta(days=days)
    return date_pb2.Date(year=moment.year, month=moment.month, day=moment.day)


def rules(**fields):
    """Return a draw of today: a ticket for each 10.00, a prize with points and two without."""
    made = program_pb2.DrawRules(
        measure=program_pb2.Measure(kind=program_pb2.MEASURE_KIND_SPEND),
        per_ticket=1_000,
        first_date=day(),
        last_date=day(),
        hold_days=3,
        prizes=[
            program_pb2.Prize(
                title=programs.text("Points"),
                count=1,
                reward=program_pb2.ProgramReward(points=program_pb2.RewardPoints(points=500)),
            ),
            program_pb2.Prize(title=programs.text("A cup"), count=2),
        ],
    )
    made.MergeFrom(program_pb2.DrawRules(**fields))
    return program_pb2.ProgramRules(title=programs.text("Draw"), draw=made)


def stub(channel: Any) -> Any:
    return draw_service_pb2_grpc.DrawServiceStub(channel)


@asynccontextmanager
async def later(house: House, days: int):
    """Serve the same chain from a process whose clock is ahead."""
    moment = datetime.now(UTC) + timedelta(days=days)
    async with AsyncExitStack() as stack:
        role = await main.assemble(
            house.settings, stack, verifier=auth.Verifier(house.settings.auth), now=lambda: moment
        )
        await role.news.begin()
        await role.server.start()
        stack.push_async_callback(role.server.stop)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}")
        yield await stack.enter_async_context(channel)


async def entries(house, program_id):
    found, token = [], ""
    while True:
        request = Request.ListDrawEntriesRequest(
            program_id=program_id, page_size=2, page_token=token
        )
        answer = await house.call(stub(house.channel).ListDrawEntries, request)
        found += [(one.receipt_id, one.tickets) for one in answer.entries]
        token = answer.next_page_token
        if not token:
            return found


async def test_a_draw_is_sealed_drawn_once_and_checked_by_anybody(house, tmp_path):
    """What came back, was undone or is too small has no ticket; the seed is told at the end."""
    program_id = await programs.create(house, rules())
    get = Request.GetDrawRequest(program_id=program_id)
    before = (await house.call(stub(house.channel).GetDraw, get)).draw
    assert (before.seed, before.list_hash, len(before.seed_hash)) == ("", "", 64)
    receipts = []
    for amount in (1_000, 2_500, 999, 4_000, 3_000, 5_000):
        cart = cart_of(line("1", "bread", amount), member_id=await house.register())
        receipts.append(await house.buy(cart))
    await house.give_back(receipts[4], **{"1": 1_000})
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipts[5].receipt_id)
    )
    run = Request.RunDrawRequest(program_id=program_id)
    async with later(house, 4) as channel:
        answers = await asyncio.gather(*(house.call(stub(channel).RunDraw, run) for _ in range(4)))
    drawn = answers[0].draw
    assert all(answer.draw == drawn for answer in answers)
    assert drawn.seed_hash == before.seed_hash
    tickets = {
        receipts[0].receipt_id: 1,
        receipts[1].receipt_id: 2,
        receipts[3].receipt_id: 4,
    }
    listed = await entries(house, program_id)
    assert listed == sorted(tickets.items())
    assert {one.receipt_id for one in drawn.winners} == tickets.keys()
    assert [one.prize_index for one in drawn.winners] == [0, 1, 1]

    published, lines = tmp_path / "draw.json", tmp_path / "entries.txt"
    # As the gateway answers.
    answer = json_format.MessageToDict(
        Request.GetDrawResponse(draw=drawn), preserving_proto_field_name=True
    )
    published.write_text(json.dumps(answer))
    lines.write_text("".join(f"{receipt_id} {count}\n" for receipt_id, count in listed))
    assert check(published, lines).returncode == 0
    lines.write_text("".join(f"{receipt_id} {count + 1}\n" for receipt_id, count in listed))
    found_out = check(published, lines)
    assert found_out.returncode == 1
    assert "not the one that was published" in found_out.stderr
    await programs.end(house, program_id)


def check(published, lines):
    command = [sys.executable, "-m", "tools", "draw", str(published), str(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def test_refusals(house):
    """Nothing is drawn before the goods have stayed, nor by a program that has ended."""
    program_id = await programs.create(house, rules())
    run = Request.RunDrawRequest(program_id=program_id)
    said = await house.refusal(stub(house.channel).RunDraw, run)
    ready = datetime.now(UTC).date() + timedelta(days=4)
    assert (said.reason, said.metadata["ready_date"]) == ("DRAW_TOO_EARLY", ready.isoformat())
    nothing = Request.RunDrawRequest(program_id=NOTHING)
    said = await house.refusal(stub(house.channel).RunDraw, nothing)
    assert said.reason == "PROGRAM_NOT_FOUND"
    get = Request.GetDrawRequest(program_id=NOTHING)
    said = await house.refusal(stub(house.channel).GetDraw, get)
    assert said.reason == "PROGRAM_NOT_FOUND"
    listing = Request.ListDrawEntriesRequest(program_id=program_id, page_token="x")
    said = await house.refusal(stub(house.channel).ListDrawEntries, listing)
    assert said.reason == "PAGE_TOKEN_INVALID"
    await programs.end(house, program_id)
    said = await house.refusal(stub(house.channel).RunDraw, run)
    assert said.reason == "PROGRAM_ENDED"
    past = program_service_pb2.CreateProgramRequest(
        request_id="draw-of-the-past", rules=rules(first_date=day(-1))
    )
    said = await house.refusal(programs.stub(house).CreateProgram, past)
    assert (said.reason, said.metadata["field"]) == ("PROGRAM_INVALID", "rules.draw.first_date")
    forever = date_pb2.Date(year=9999, month=12, day=31)
    late = program_service_pb2.CreateProgramRequest(
        request_id="draw-at-the-end-of-time", rules=rules(last_date=forever, hold_days=366)
    )
    said = await house.refusal(programs.stub(house).CreateProgram, late)
    assert (said.reason, said.metadata["field"]) == ("PROGRAM_INVALID", "rules.draw.last_date")


@pytest.mark.parametrize("count", [0, 1])
async def test_a_draw_of_few_receipts_has_few_winners(house, count):
    """Prizes that nobody can win stay with the chain."""
    program_id = await programs.create(house, rules())
    for _ in range(count):
        await house.buy(cart_of(line("1", "bread", 1_000), member_id=await house.register()))
    async with later(house, 4) as channel:
        run = Request.RunDrawRequest(program_id=program_id)
        drawn = (await house.call(stub(channel).RunDraw, run)).draw
    assert len(drawn.winners) == count
    await programs.end(house, program_id)
