"""Ledgers, Valkey and PostgreSQL are killed under tills that never give up.

Afterwards every id has exactly one answer, every answered transfer is there, sums are zero, and
neither the checker nor the journal finds anything.
"""

import asyncio
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio
from tessera.ledger.v1 import batch_pb2

from services.chassis import ids, timestamps
from tests.chaos.ledger.house import POSTED, House
from tests.chaos.ledger.process import POINTS
from tests.chaos.ledger.proxy import Proxy
from tests.conftest import _Databases
from tests.integration.ledger.conftest import account, move, world
from tools.stack import ports, postgres, valkey
from tools.stack.errors import StackError
from tools.stack.standalone import Standalone

LONG = os.environ.get("TESSERA_CHAOS") == "long"
SALES = 2000 if LONG else 80
ROUNDS = 6 if LONG else 1


@pytest.fixture
async def house(database, valkey, tmp_path):
    """Return a house with a database of its own; tests start its ledgers."""
    opened = House(await database("ledger"), valkey.url, tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("point", POINTS)
async def test_a_ledger_that_dies_loses_and_doubles_nothing(house, point):
    """Wherever it is in the life of a posting."""
    await house.open(f"{point}:4")
    await house.sell(SALES)
    assert house.servers[0].deaths == 1
    for _ in range(ROUNDS - 1):
        house.servers[0].kill()
        await house.sell(SALES)
    await house.prove()


async def test_lost_replies_are_asked_for_again(house):
    """The line is cut when the answer is on its way: the batch is posted, and once."""
    await house.open("")
    proxy = Proxy(house.servers[0].port)
    await proxy.start()
    attempts = 0
    for _ in range(ROUNDS):
        selling = asyncio.create_task(house.sell(SALES, port=proxy.port))
        while not selling.done():
            proxy.losing = not proxy.losing
            await asyncio.wait([selling], timeout=0.05)
        attempts += await selling
        proxy.losing = False
    await proxy.stop()
    assert proxy.lost > 0
    assert attempts > len(house.history)
    await house.prove()


async def test_two_ledgers_on_the_same_accounts_agree(house):
    """While one of them dies."""
    await house.open("", f"{POINTS[2]}:4")
    for _ in range(ROUNDS):
        await house.sell(SALES)
    assert house.servers[1].deaths == 1
    await house.prove()
    await house.until_shown()


@dataclass(frozen=True)
class OwnValkey:
    """A Valkey that tests may break."""

    url: str
    process: Standalone
    files: Path

    async def wipe(self, _house):
        """Forget everything, and go on as the same server."""
        async with redis.asyncio.Redis.from_url(self.url) as client:
            await client.flushall()

    async def die(self, house):
        """Be away for as long as tills sell a little, and come back with everything."""
        self.process.kill()
        await house.sell(SALES // 2)
        await _insist_on(self.process)

    async def lose_everything(self, _house):
        """Come back empty."""
        self.process.kill()
        shutil.rmtree(self.files)
        await _insist_on(self.process)

    async def fall_back(self, house):
        """Come back as a copy that has missed what was written last."""
        old = self.files.with_name("old")
        shutil.copytree(self.files, old)
        await house.sell(SALES // 2)
        self.process.kill()
        shutil.rmtree(self.files)
        old.rename(self.files)
        await _insist_on(self.process)


@pytest.fixture
async def own_valkey(server_directory):
    folder = server_directory / f"valkey-{secrets.token_hex(4)}"
    password, port = secrets.token_urlsafe(16), ports.free()
    endpoint = valkey.endpoint(port=port, password=password)
    process = Standalone(
        valkey.prepare(folder, port=port, password=password),
        log=server_directory / f"{folder.name}.log",
        is_ready=lambda: valkey.is_ready(endpoint),
    )
    await process.start()
    yield OwnValkey(endpoint.url, process, folder / "appendonlydir")
    process.stop()


FATES = [OwnValkey.wipe, OwnValkey.die, OwnValkey.lose_everything, OwnValkey.fall_back]


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
async def test_valkey_is_never_needed_nor_believed_too_long(database, own_valkey, tmp_path, fate):
    """Tills sell on, and nobody is shown what a former Valkey remembers."""
    house = House(await database("ledger"), own_valkey.url, tmp_path)
    try:
        await house.open("")
        for _ in range(ROUNDS):
            await house.sell(SALES)
            await house.balances()
            selling = asyncio.create_task(house.sell(SALES))
            await fate(own_valkey, house)
            await selling
        await house.until_shown()
        await house.prove()
    finally:
        await house.close()


@pytest.fixture
async def own_postgres(server_directory):
    """Start a PostgreSQL that tests may break."""
    home = server_directory / f"postgres-{secrets.token_hex(4)}"
    password, port = secrets.token_urlsafe(16), ports.free()
    endpoint = postgres.Endpoint(
        host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password
    )
    process = Standalone(
        postgres.prepare(home, port=port, password=password),
        log=server_directory / f"{home.name}.log",
        is_ready=lambda: postgres.is_ready(endpoint),
    )
    await process.start()
    yield endpoint, process
    process.stop()
    postgres.remove(home)


async def test_postgresql_may_be_killed(own_postgres, valkey, server_directory, tmp_path):
    """What was answered is on its disk; what was not is found out."""
    endpoint, process = own_postgres
    passwords = server_directory / f"passwords-{secrets.token_hex(4)}"
    house = House(await _Databases(endpoint, passwords).create("ledger"), valkey.url, tmp_path)
    try:
        await house.open("", "")
        for _ in range(ROUNDS):
            await house.sell(SALES // 2)
            selling = asyncio.create_task(house.sell(SALES))
            await asyncio.sleep(0.1)
            process.kill()
            await _insist_on(process)
            await selling
        await house.prove()
    finally:
        await house.close()


async def _insist_on(process):
    """Start a server again and again, as supervisors do: its last one may not be quite gone."""
    async with asyncio.timeout(180):
        while True:
            try:
                return await process.start()
            except StackError:
                await asyncio.sleep(0.1)


async def test_the_sweeper_and_redemptions_share_what_expires(database, valkey, tmp_path):
    """Of each lot, everything is spent or everything has expired; never both, never neither."""
    house = House(await database("ledger"), valkey.url, tmp_path, sweep_interval_s=0.01)
    try:
        await house.open("", "")
        for _ in range(ROUNDS):
            await _race(house, accounts=40)
        await house.prove()
    finally:
        await house.close()


async def _race(house, accounts):
    members = [account(ids.new("mem"), "points") for _ in range(accounts)]
    ends = datetime.now(UTC) + timedelta(seconds=4)
    tills = [house.till(number) for number in (0, 1)]

    def batch(*operations):
        occurred = timestamps.show(datetime.now(UTC))
        return batch_pb2.Batch(
            batch_id=ids.new("bat"), operations=operations, occurred_time=occurred
        )

    async def redeem(number, member):
        earning = batch(move(world("points"), member, 40, lot_expire_time=timestamps.show(ends)))
        house.note(earning, await tills[0].insist(earning))
        # They come one after the other, around the end of the lot's life.
        wait_s = (ends - datetime.now(UTC)).total_seconds() + (number - accounts / 2) / 10
        await asyncio.sleep(max(wait_s, 0))
        spending = batch(move(member, world("points", "redemption"), 40))
        answer = await tills[number % 2].insist(spending)
        house.note(spending, answer)
        return answer.state == POSTED

    spent = await asyncio.gather(*(redeem(*one) for one in enumerate(members)))
    assert any(spent)
    assert not all(spent)
    house.members += members
    for member, was_spent in zip(members, spent, strict=True):
        if not was_spent:
            house.expired[member.owner.owner_id] = 40
    for till in tills:
        await till.close()


def _moved(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_clock_that_steps_back_breaks_nothing(house, tmp_path):
    """A little, which is ridden out, and a lot, which is believed."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    await house.open("", TESSERA_CLOCK=str(clock))
    for step_s in (0, -5, -3600, 0):
        clock.write_text(str(step_s))
        house.now = partial(_moved, step_s)
        await house.sell(SALES // 2)
    await house.prove()


async def test_a_killed_ledger_is_soon_ready_again(house):
    """Kill -9, a new process, and the first answer."""
    await house.open("")
    await house.sell(SALES)
    for _ in range(2):
        house.servers[0].kill()
        await house.sell(SALES // 2)
    ready_s = sorted(house.servers[0].ready_s)
    assert len(ready_s) == 2
    assert ready_s[0] < 10
