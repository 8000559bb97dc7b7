"""PostgreSQL through the chassis: transactions, deadlines, outages, sole holders, listeners."""

import asyncio

import asyncpg
import pytest

from services.chassis import database, deadlines, errors, migrations, tasks


@pytest.fixture
def settings(empty_database):
    return empty_database.settings(statement_s_max=5)


@pytest.fixture
async def opened(settings):
    async with database.Database.open(settings) as made:
        yield made


@pytest.fixture
async def table(settings, tmp_path):
    """Create a table by a migration, as roles do."""
    (tmp_path / "0001_pre_things.sql").write_text(
        """
        CREATE TABLE things (
            name TEXT NOT NULL,
            amount BIGINT NOT NULL,
            CONSTRAINT things_pkey PRIMARY KEY (name),
            CONSTRAINT things_amount_check CHECK (amount >= 0)
        );
        GRANT SELECT, INSERT, UPDATE, DELETE ON things TO chassis;
        """
    )
    await migrations.apply(settings, tmp_path)


INSERT = "INSERT INTO things (name, amount) VALUES ($1, $2)"
NAMES = "SELECT name FROM things ORDER BY name"


async def _names(opened):
    return [row["name"] for row in await opened.fetch(NAMES)]


@pytest.mark.usefixtures("table")
async def test_block_that_ends_well_commits(opened):
    """Everything in the block takes effect together."""
    async with opened.transaction() as tx:
        await tx.executemany(INSERT, [("a", 1), ("b", 2)])
        assert await tx.fetchval("SELECT sum(amount) FROM things") == 3
    assert await _names(opened) == ["a", "b"]


@pytest.mark.usefixtures("table")
async def test_block_that_raises_leaves_nothing(opened):
    """There is no commit to forget and no rollback to call."""

    async def fail():
        async with opened.transaction() as tx:
            await tx.execute(INSERT, "a", 1)
            assert not hasattr(tx, "commit")
            assert not hasattr(tx, "rollback")
            raise KeyError("a")

    with pytest.raises(KeyError):
        await fail()
    assert await _names(opened) == []


@pytest.mark.usefixtures("table")
async def test_broken_constraint_comes_with_its_name(opened):
    """Storages map reasons by the name of the constraint."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        async with opened.transaction() as tx:
            await tx.execute(INSERT, "a", -1)
    assert caught.value.constraint_name == "things_amount_check"


@pytest.mark.usefixtures("table")
async def test_readonly_transaction_cannot_write(opened):
    """A report stays a report."""
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with opened.transaction(readonly=True) as tx:
            await tx.execute(INSERT, "a", 1)


async def test_statement_ends_with_the_call(opened):
    """A statement gets no more time than the call has left, and the connection stays usable."""
    loop = asyncio.get_running_loop()
    await opened.ping()  # a connection may take longer than the call has
    started = loop.time()
    with deadlines.within(0.3), pytest.raises(errors.DeadlineExceeded):
        await opened.fetchval("SELECT pg_sleep(20)")
    assert loop.time() - started < 4  # before the statement would end by itself
    assert await opened.fetchval("SELECT 1") == 1


async def test_statement_in_a_transaction_ends_with_the_call(opened):
    """The same inside of a block."""
    await opened.ping()
    with deadlines.within(0.3), pytest.raises(errors.DeadlineExceeded):
        async with opened.transaction() as tx:
            await tx.execute("SELECT pg_sleep(20)")


async def test_busy_pool_is_unavailable_when_time_is_over(settings):
    """Waiting for a connection is bounded by the call as well."""
    narrow = settings.model_copy(update={"pool_size": 1})
    async with database.Database.open(narrow) as opened, opened.transaction():
        with deadlines.within(0.2), pytest.raises(errors.Unavailable):
            await opened.fetchval("SELECT 1")


@pytest.mark.usefixtures("table")
async def test_deadlock_is_contention(opened):
    """The loser may simply try again."""
    async with opened.transaction() as tx:
        await tx.executemany(INSERT, [("a", 1), ("b", 1)])
    update = "UPDATE things SET amount = amount + 1 WHERE name = $1"
    barrier = asyncio.Barrier(2)

    async def cross(first, second):
        async with opened.transaction() as tx:
            await tx.execute(update, first)
            await barrier.wait()
            await tx.execute(update, second)

    results = await asyncio.gather(cross("a", "b"), cross("b", "a"), return_exceptions=True)
    assert [type(result) for result in results if result] == [errors.Contention]


@pytest.mark.usefixtures("table")
async def test_lock_that_takes_too_long_is_contention(settings):
    """lock_s_max bounds the wait for a row."""
    hasty = settings.model_copy(update={"lock_s_max": 1})
    async with database.Database.open(hasty) as opened, opened.transaction() as holder:
        await holder.execute("LOCK TABLE things")
        with pytest.raises(errors.Contention):
            await opened.fetchval("SELECT count(*) FROM things")


async def test_server_that_is_away_at_start_is_unavailable_and_then_found(settings):
    """A role may start before its database."""
    lost = settings.model_copy(update={"port": 1})
    async with database.Database.open(lost) as opened:
        with pytest.raises(errors.Unavailable, match="postgresql"):
            await opened.ping()
        with pytest.raises(errors.Unavailable):
            async with opened.transaction():
                pass


async def test_killed_connections_are_replaced(opened, postgres_superuser, settings, eventually):
    """What was in flight is UNAVAILABLE; the next call gets a new connection."""
    running = asyncio.create_task(opened.fetchval("SELECT pg_sleep(20)"))
    await asyncio.gather(*(opened.fetchval("SELECT 1") for _ in range(4)))
    connection = await postgres_superuser(settings.database)
    await eventually(
        lambda: connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = $1 AND state = 'active' AND query LIKE '%pg_sleep(20)'",
            settings.database,
        )
    )
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND pid <> pg_backend_pid()",
        settings.database,
    )
    with pytest.raises(errors.Unavailable):
        await running

    async def is_back():
        try:
            return await opened.fetchval("SELECT 1") == 1
        except errors.Unavailable:  # one that we did not know to be dead yet
            return False

    await eventually(is_back)


async def test_connections_carry_the_session_settings(settings):
    """Plan choice and the backstops are set at connect, so they cost no round trip later."""
    session = {"plan_cache_mode": "force_generic_plan"}
    async with database.Database.open(settings, session=session) as opened:
        assert await opened.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
        assert await opened.fetchval("SHOW statement_timeout") == "5s"
        assert await opened.fetchval("SHOW timezone") == "UTC"


async def test_secret_that_rotates_is_read_at_the_next_connect(settings, tmp_path):
    """A new password needs no restart."""
    password = tmp_path / "password"
    password.write_text("wrong")
    rotating = settings.model_copy(update={"password_file": password})
    async with database.Database.open(rotating) as opened:
        with pytest.raises(errors.Unavailable):
            await opened.ping()
        password.write_text(settings.password_file.read_text())
        await opened.ping()


async def test_only_one_holds_a_name_at_a_time(opened, eventually):
    """The next holder waits until the connection of the first is gone."""
    order = []

    async def hold(number, released):
        async with opened.sole("relay") as session:
            order.append(number)
            assert await session.fetchval("SELECT 1") == 1
            await released.wait()

    first, second = asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(hold(1, first))
    await eventually(lambda: order == [1])
    two = asyncio.create_task(hold(2, second))
    async with opened.sole("something else"):
        assert order == [1]
    first.set()
    await eventually(lambda: order == [1, 2])
    second.set()
    await asyncio.gather(one, two)


async def test_listener_hears_and_hears_again_after_a_break(
    opened, postgres_superuser, settings, eventually
):
    """After each connect an empty payload says: look for yourself what you missed."""
    heard = []

    async def callback(payload):
        heard.append(payload)

    listening = asyncio.create_task(opened.listen("news", callback))
    await eventually(lambda: heard == [""])
    await opened.execute("SELECT pg_notify('news', 'one')")
    await eventually(lambda: heard == ["", "one"])
    connection = await postgres_superuser(settings.database)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    )
    await eventually(lambda: heard == ["", "one", ""])
    await opened.execute("SELECT pg_notify('news', 'two')")
    await eventually(lambda: heard[-1] == "two")
    await tasks.end(listening)


def test_lock_keys_are_stable_and_apart():
    """Processes of different versions must mean the same lock."""
    assert database.lock_key("outbox") == database.lock_key("outbox")
    assert database.lock_key("outbox") != database.lock_key("migrations")
    assert -(2**63) <= database.lock_key("outbox") < 2**63
