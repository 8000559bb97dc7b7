"""The fixtures that every integration test stands on."""

import os
import shutil
from functools import partial

import asyncpg
import pytest
import redis.asyncio

from tools.stack import ports
from tools.stack import postgres as postgresql
from tools.stack.standalone import Standalone


async def test_postgres_answers_and_syncs_every_commit(postgres):
    """The embedded PostgreSQL acknowledges nothing before it is on disk."""
    connection = await asyncpg.connect(postgres.dsn())
    try:
        settings = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
        }
    finally:
        await connection.close()
    assert set(settings.values()) == {"on"}


async def test_postgres_listens_on_loopback_alone_and_asks_for_a_password(postgres):
    """A login without the password is refused even from the same machine."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=postgres.host, port=postgres.port, user=postgres.user, password="wrong"
        )


async def test_a_role_gets_a_database_of_its_own(database):
    """Two calls give two databases; the runtime role connects to both."""
    first, second = await database("unlisted"), await database("unlisted")
    assert first.name != second.name
    for made in (first, second):
        connection = await asyncpg.connect(made.dsn)
        try:
            assert await connection.fetchval("SELECT current_database()") == made.name
        finally:
            await connection.close()


async def test_the_runtime_role_cannot_change_the_schema(database):
    """Only the owner creates tables."""
    made = await database("unlisted")
    connection = await asyncpg.connect(made.dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE intruders (id BIGINT)")
    finally:
        await connection.close()


async def test_valkey_keeps_its_data_over_a_kill(valkey):
    """What the append-only file holds is there after kill -9 and a new start."""
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        await client.set("survivor", "yes")
        await client.waitaof(1, 0, 5000)
    valkey.process.kill()
    await valkey.process.start()
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        assert await client.get("survivor") == b"yes"


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs PostgreSQL as itself")
async def test_root_may_keep_its_clone_to_itself(tmp_path):
    """Below a folder that other accounts cannot enter PostgreSQL runs all the same."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for password in ("first", "after the folder was deleted by hand"):
        endpoint = postgresql.Endpoint(
            host=ports.HOST, port=ports.free(), user=postgresql.SUPERUSER, password=password
        )
        server = Standalone(
            postgresql.prepare(closed / "postgres", port=endpoint.port, password=password),
            log=closed / "postgres.log",
            is_ready=partial(postgresql.is_ready, endpoint),
        )
        await server.start()
        server.stop()
        assert closed.stat().st_mode & 0o077 == 0
        place = (closed / "postgres").resolve()
        (closed / "postgres").unlink()
        assert place.exists()
    shutil.rmtree(place)
