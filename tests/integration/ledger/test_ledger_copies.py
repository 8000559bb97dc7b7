"""Balances in Valkey: fast, never ahead, never behind for long, never needed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tessera.ledger.v1 import ledger_service_pb2

from services.ledger import engine
from services.ledger.storage import Copies, copies
from tests.integration.ledger.conftest import move, running, world

pb = ledger_service_pb2
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def _balance(key, version, available=0, changes_at=None):
    return engine.Balance(key, available, 0, 0, 0, 0, version, None, 0, NOW, changes_at)


def _key(name):
    return engine.key("points", 2, name)


async def _held(held, key):
    copy = (await held.get([key]))[0]
    balance = copies.decode(key, copy, now=NOW, version_min=0)
    return None if balance is None else balance.version


@pytest.fixture
async def held(ledger):
    return Copies(ledger.hot)


async def test_a_copy_gives_way_only_to_a_higher_version(held):
    """Publishing late, twice or out of order changes nothing."""
    key = _key("order")
    lease, _ = await held.lease([key], seen=[None])
    await held.fill(lease, [_balance(key, 5)])
    for version, expected in ((4, 5), (5, 5), (7, 7), (6, 7)):
        await held.publish([_balance(key, version)])
        assert await _held(held, key) == expected


async def test_publishing_never_makes_a_copy(held):
    """It would bring an old version back to life."""
    key = _key("absent")
    await held.publish([_balance(key, 9)])
    assert await _held(held, key) is None


async def test_a_posting_takes_away_the_right_to_fill(held):
    """The reader read before the posting: what it has may be old."""
    key = _key("race")
    lease, leased = await held.lease([key], seen=[None])
    assert leased == {key.id}
    await held.publish([_balance(key, 2)])
    await held.fill(lease, [_balance(key, 1)])
    assert await _held(held, key) is None


async def test_only_one_reader_fills(held):
    """The second gets no lease, and none is taken from the first."""
    key = _key("readers")
    first, _ = await held.lease([key], seen=[None])
    second, leased = await held.lease([key], seen=[None])
    assert leased == frozenset()
    await held.fill(second, [_balance(key, 1)])
    assert await _held(held, key) is None
    await held.fill(first, [_balance(key, 2)])
    assert await _held(held, key) == 2


async def test_a_useless_copy_is_replaced_by_who_has_seen_it(held):
    """One that its account's next event has overtaken; not one that came meanwhile."""
    key = _key("due")
    lease, _ = await held.lease([key], seen=[None])
    await held.fill(lease, [_balance(key, 3, changes_at=NOW - timedelta(seconds=1))])
    copy = (await held.get([key]))[0]
    assert copies.decode(key, copy, now=NOW, version_min=0) is None
    assert (await held.lease([key], seen=[b"1 0 0 0 -1 -1"]))[1] == frozenset()
    lease, leased = await held.lease([key], seen=[copy])
    assert leased == {key.id}
    await held.fill(lease, [_balance(key, 3)])
    assert await _held(held, key) == 3


async def test_copies_live_for_a_minute(ledger):
    """Whatever goes wrong is over then."""
    anna = ledger.member()
    await ledger.earn(anna, 1)
    await ledger.available(anna)
    names = [name async for name in ledger.hot.client.scan_iter(match="*balance*")]
    lives = [await ledger.hot.client.pttl(name) for name in names]
    assert lives
    assert max(lives) <= 60_000
    assert min(lives) > 0 or min(lives) == -2


async def test_a_copy_tells_what_a_balance_holds():
    """Encoding and decoding are each other's inverse."""
    key = _key("codec")
    balance = engine.Balance(
        key, -5, 7, 4, 9, 3, 12, NOW + timedelta(1), 3, NOW, NOW + timedelta(hours=1)
    )
    assert copies.decode(key, copies.encode(balance), now=NOW, version_min=12) == balance
    assert copies.decode(key, copies.encode(balance), now=NOW, version_min=13) is None


async def _plant(held, account, *, version, available):
    """Leave an old copy behind, as a process that is killed before it shows what it wrote."""
    key = engine.key(account.asset_code, account.owner.owner_type, account.owner.owner_id)
    lease, leased = await held.lease([key], seen=await held.get([key]))
    assert leased == {key.id}
    await held.fill(lease, [_balance(key, version, available)])


async def test_a_refusal_corrects_what_led_to_it(ledger, held):
    """Who was shown too much and is refused is shown what there is."""
    anna = ledger.member()
    await ledger.earn(anna, 5)
    await ledger.spend(anna, 5)
    await _plant(held, anna, version=1, available=5)
    assert await ledger.available(anna) == 5
    refused = await ledger.spend(anna, 5)
    assert refused.HasField("refusal")
    assert await ledger.available(anna) == 0


async def test_a_repeated_batch_is_shown_at_last(ledger, held):
    """The answer was lost together with the copy; whoever sends again sees the outcome."""
    anna = ledger.member()
    sent = ledger.batch(move(world(anna.asset_code), anna, 5))
    await ledger.send(sent)
    await ledger.earn(anna, 2)
    await _plant(held, anna, version=1, available=5)
    (again,) = await ledger.send(sent)
    assert again.replayed
    assert await ledger.available(anna) == 7


async def test_reading_fills_and_posting_renews(ledger, held):
    """The second read comes from Valkey, and so does the one after a posting."""
    anna = ledger.member()
    key = engine.key("points", 2, anna.owner.owner_id)
    await ledger.earn(anna, 10)
    assert await _held(held, key) is None
    assert await ledger.available(anna) == 10
    await _until(held, key, 1)
    await ledger.earn(anna, 5)
    assert await _held(held, key) == 2
    assert await ledger.available(anna) == 15


async def test_a_reader_may_demand_its_own_writes(ledger, held):
    """A copy that is older than the version asked for is passed over and put right."""
    anna = ledger.member()
    key = engine.key("points", 2, anna.owner.owner_id)
    await ledger.earn(anna, 10)
    await ledger.earn(anna, 5)
    lease, _ = await held.lease([key], seen=[None])
    await held.fill(lease, [_balance(key, 1, available=10)])
    assert await ledger.available(anna) == 10
    assert await ledger.available(anna, version_min=2) == 15
    await _until(held, key, 2)


async def test_accounts_that_were_never_used_answer_zero(ledger):
    """With version 0, from the truth and from the copy."""
    anna = ledger.member()
    for _ in range(2):
        balance = (await ledger.balances(anna))[0]
        assert (balance.available, balance.pending, balance.version) == (0, 0, 0)
        assert balance.account == anna
    await ledger.earn(anna, 3)
    assert await ledger.available(anna) == 3


async def test_balances_of_the_world_are_sums(ledger):
    """What was issued and what came back."""
    coins, back = world("coins", "mint"), world("coins", "melted")
    anna = ledger.member("coins")
    await ledger.post(move(coins, anna, 100), move(anna, back, 30))
    balances = await ledger.balances(coins, anna, back)
    assert [balance.available for balance in balances] == [-100, 70, 30]
    assert [balance.version for balance in balances] == [0, 2, 0]


async def test_many_readers_share_a_command(ledger):
    """A hundred calls at once, each with accounts of its own, all right."""
    members = [ledger.member() for _ in range(50)]
    await asyncio.gather(*(ledger.earn(one, 1 + place) for place, one in enumerate(members)))
    for _ in range(2):
        found = await asyncio.gather(*(ledger.balances(one, members[0]) for one in members))
        assert [pair[0].available for pair in found] == list(range(1, 51))
        assert {pair[1].available for pair in found} == {1}


async def test_a_wiped_store_loses_nothing(ledger, held):
    """Reads go to PostgreSQL and warm it again; postings do not notice."""
    anna = ledger.member()
    key = engine.key("points", 2, anna.owner.owner_id)
    await ledger.earn(anna, 10)
    await ledger.available(anna)
    await ledger.hot.client.flushall()
    assert await ledger.available(anna) == 10
    await _until(held, key, 1)
    await ledger.hot.client.flushall()
    assert (await ledger.earn(anna, 1)).balances[0].available == 11
    assert await ledger.available(anna) == 11


async def test_what_could_not_be_shown_is_shown_as_soon_as_possible(ledger, held):
    """A store that refuses for a moment does not leave an old balance behind for a minute."""
    anna = ledger.member()
    key = engine.key("points", 2, anna.owner.owner_id)
    await ledger.earn(anna, 10)
    await ledger.available(anna)
    await _until(held, key, 1)
    await ledger.hot.client.config_set("maxmemory", 1)
    try:
        assert (await ledger.earn(anna, 5)).balances[0].available == 15
        assert await ledger.available(anna) == 15
        assert await _held(held, key) == 1
    finally:
        await ledger.hot.client.config_set("maxmemory", 0)
    await _until(held, key, 2)
    assert await ledger.available(anna) == 15


async def test_without_the_store_everything_still_works(ledger_database, valkey):
    """Slower, and nothing is lost; when it is back, what it had before is not believed."""
    async with running(ledger_database, valkey.url) as ledger:
        anna = ledger.member()
        key = engine.key("points", 2, anna.owner.owner_id)
        held = Copies(ledger.hot)
        await ledger.earn(anna, 10)
        await ledger.available(anna)
        await _until(held, key, 1)
        valkey.process.kill()
        try:
            assert (await ledger.earn(anna, 5)).balances[0].available == 15
            assert await ledger.available(anna) == 15
        finally:
            await valkey.process.start()
        async with asyncio.timeout(10):
            while await ledger.available(anna) == 15 and await _version(held, key) != 2:
                await asyncio.sleep(0.05)
        assert await ledger.available(anna) == 15


async def _version(held, key):
    try:
        return await _held(held, key)
    except Exception:  # noqa: BLE001  the store may still be on its way
        return None


async def _until(held, key, version):
    """Wait until the copy of an account has a version: it is made after the reader has gone."""
    async with asyncio.timeout(5):
        while await _held(held, key) != version:
            await asyncio.sleep(0.01)
