"""The hot store: every command once, and no command on a new incarnation before we know of it."""

import asyncio
from urllib.parse import urlsplit

import pytest

from services.chassis import config, hotstore, tasks


@pytest.fixture
async def hot(valkey):
    settings = config.HotstoreSettings(url=valkey.url, timeout_ms=2000)
    async with hotstore.Hotstore.open(settings) as opened:
        await opened.client.flushall()
        yield opened


class DeafProxy:
    """Passes everything on to the store, and at a word no answer comes back any more."""

    def __init__(self, port):
        self._port = port
        self.url = ""
        self.is_deaf = False

    async def serve(self, reader, writer):
        upstream = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._pass_on(upstream[0], writer, may_swallow=True))
        await self._pass_on(reader, upstream[1], may_swallow=False)
        await tasks.end(back)
        upstream[1].close()
        writer.close()

    async def _pass_on(self, reader, writer, *, may_swallow):
        while data := await reader.read(65536):
            if not (may_swallow and self.is_deaf):
                writer.write(data)


@pytest.fixture
async def proxy(valkey):
    parts = urlsplit(valkey.url)
    made = DeafProxy(parts.port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.url = valkey.url.replace(f":{parts.port}", f":{port}")
    yield made
    server.close()


async def test_write_whose_answer_is_lost_is_sent_once(hot, proxy, eventually):
    """What took effect must not take effect twice because its answer was late."""
    settings = config.HotstoreSettings(url=proxy.url, timeout_ms=1000)
    async with hotstore.Hotstore.open(settings) as client:
        add = client.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        assert await add(keys=["n"], args=[1]) == 1
        proxy.is_deaf = True
        with pytest.raises(hotstore.FAILURES):
            await add(keys=["n"], args=[1])
        with pytest.raises(hotstore.FAILURES):
            await client.client.incr("m")

        async def has_arrived():
            return await hot.client.get("n") == b"2"

        await eventually(has_arrived)
        proxy.is_deaf = False
        assert await client.client.get("n") == b"2"
        assert await client.client.get("m") in {None, b"1"}


async def test_lost_connection_is_raised_at_once(hot):
    """The caller decides what to do without the store."""
    settings = config.HotstoreSettings(url="redis://127.0.0.1:1/0", timeout_ms=60_000)
    async with hotstore.Hotstore.open(settings) as away:
        started = asyncio.get_running_loop().time()
        with pytest.raises(hotstore.FAILURES):
            await away.ping()
        assert asyncio.get_running_loop().time() - started < 10
    await hot.ping()


async def test_script_is_loaded_when_the_store_does_not_know_it(hot):
    """After a flush the script is sent again, once."""
    add = hot.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await add(keys=["n"], args=[2]) == 2
    await hot.client.script_flush()
    assert await add(keys=["n"], args=[3]) == 5


async def test_the_incarnation_is_known_from_the_first_answer_on(own_valkey):
    """Keys that are of one incarnation are not looked for in the next one by its old name."""
    settings = config.HotstoreSettings(url=own_valkey.url, timeout_ms=2000)
    async with hotstore.Hotstore.open(settings) as hot:
        await asyncio.gather(*(hot.ping() for _ in range(5)))
        before = hot.run_id
        assert before == (await hot.client.info("server"))["run_id"]
        own_valkey.process.kill()
        with pytest.raises(hotstore.FAILURES):
            await hot.ping()
        await own_valkey.process.start()
        await _get(hot, "balance")
        assert hot.run_id != before
        assert hot.run_id == (await hot.client.info("server"))["run_id"]


async def _get(hot, name):
    async with asyncio.timeout(10):
        while True:
            try:
                return await hot.client.get(name)
            except hotstore.FAILURES:  # a connection that died with the old incarnation
                await asyncio.sleep(0.01)
