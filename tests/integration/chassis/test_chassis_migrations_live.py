"""Migrations against a real PostgreSQL: once, in order, together, and never undone."""

import asyncio

import asyncpg
import pytest

from services.chassis import database, errors, migrations


@pytest.fixture
def settings(empty_database):
    return empty_database.settings()


@pytest.fixture
def files(tmp_path):
    def write(**named):
        for name, sql in named.items():
            (tmp_path / f"{name[1:]}.sql").write_text(sql)
        return tmp_path

    return write


FIRST = "CREATE TABLE a (x INTEGER); GRANT SELECT ON a TO chassis;"
SECOND = "ALTER TABLE a ADD COLUMN y INTEGER;"


async def _columns(settings):
    async with database.Database.open(settings) as opened:
        rows = await opened.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'a'"
        )
    return {row["column_name"] for row in rows}


async def _count(settings, question):
    async with database.Database.open(settings) as opened:
        return await opened.fetchval(question)


async def test_schema_is_brought_to_head_and_left_there(settings, files):
    """The second run is a no-op, so a deployment may run it as often as it likes."""
    directory = files(_0001_pre_a=FIRST, _0002_pre_y=SECOND)
    assert await migrations.pending(settings, directory) == ["0001_pre_a", "0002_pre_y"]
    assert await migrations.apply(settings, directory) == ["0001_pre_a", "0002_pre_y"]
    assert await migrations.apply(settings, directory) == []
    assert await migrations.pending(settings, directory) == []
    assert await _columns(settings) == {"x", "y"}


async def test_new_files_are_applied_alone(settings, files):
    """An upgrade runs what is new."""
    await migrations.apply(settings, files(_0001_pre_a=FIRST))
    assert await migrations.apply(settings, files(_0002_pre_y=SECOND)) == ["0002_pre_y"]


async def test_starts_at_the_same_time_apply_everything_once(settings, files):
    """Ten pods that come up together do the work of one."""
    directory = files(_0001_pre_a=FIRST, _0002_pre_y=SECOND)
    results = await asyncio.gather(*(migrations.apply(settings, directory) for _ in range(10)))
    assert sorted(results, key=len) == [[]] * 9 + [["0001_pre_a", "0002_pre_y"]]


async def test_index_built_concurrently_does_not_wait_for_the_waiting(settings, files):
    """Whoever waits for its turn holds no snapshot that the index build would wait for."""
    index = "-- migrate: no transaction\nCREATE INDEX CONCURRENTLY a_x_idx ON a (x)"
    directory = files(_0001_pre_a=FIRST, _0002_pre_index=index)
    async with asyncio.timeout(20):
        await asyncio.gather(*(migrations.apply(settings, directory) for _ in range(3)))
    assert await migrations.pending(settings, directory) == []


async def test_large_table_is_filled_in_pieces_that_stay(settings, files):
    """A file outside of transactions commits as it goes on; cut off, it goes on where it was."""
    await migrations.apply(settings, files(_0001_pre_a=f"{FIRST} {_ROWS}"))
    directory = files(_0002_pre_fill=_IN_PIECES.format(then="RAISE EXCEPTION 'cut off'"))
    with pytest.raises(asyncpg.RaiseError, match="cut off"):
        await migrations.apply(settings, directory)
    assert await migrations.pending(settings, directory) == ["0002_pre_fill"]
    assert await _count(settings, "SELECT count(*) FROM a WHERE x = 0") == 2
    directory = files(_0002_pre_fill=_IN_PIECES.format(then="NULL"))
    assert await migrations.apply(settings, directory) == ["0002_pre_fill"]
    assert await _count(settings, "SELECT count(*) FROM a WHERE x > 0") == 0


_ROWS = "INSERT INTO a SELECT n FROM generate_series(1, 6) AS n;"
_IN_PIECES = """-- migrate: no transaction
DO $$
BEGIN
    LOOP
        UPDATE a SET x = 0 WHERE x IN (SELECT x FROM a WHERE x > 0 LIMIT 2);
        EXIT WHEN NOT FOUND;
        COMMIT;
        {then};
    END LOOP;
END
$$
"""


async def test_file_that_fails_leaves_no_trace(settings, files):
    """A migration is one transaction together with its record."""
    directory = files(_0001_pre_a=FIRST, _0002_pre_bad=SECOND + "SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrations.apply(settings, directory)
    assert await _columns(settings) == {"x"}
    assert await migrations.pending(settings, directory) == ["0002_pre_bad"]


async def test_applied_file_may_not_change(settings, files):
    """Two databases with the same numbers have the same schema."""
    await migrations.apply(settings, files(_0001_pre_a=FIRST))
    directory = files(_0001_pre_a=FIRST + " -- improved")
    with pytest.raises(migrations.MigrationError, match="0001_pre_a has changed"):
        await migrations.apply(settings, directory)
    with pytest.raises(migrations.MigrationError, match="0001_pre_a has changed"):
        await migrations.pending(settings, directory)


async def test_newer_schema_is_fine_for_older_code(settings, files, tmp_path):
    """A rollback of the code does not need a rollback of the schema."""
    await migrations.apply(settings, files(_0001_pre_a=FIRST, _0002_pre_y=SECOND))
    (tmp_path / "0002_pre_y.sql").unlink()
    assert await migrations.pending(settings, tmp_path) == []
    assert await migrations.apply(settings, tmp_path) == []


async def test_post_files_wait_for_their_phase(settings, files):
    """Before the new code runs, only what it needs is applied."""
    directory = files(_0001_pre_a=FIRST, _0002_post_y=SECOND)
    assert await migrations.apply(settings, directory, phase="pre") == ["0001_pre_a"]
    assert await migrations.apply(settings, directory, phase="pre") == []
    assert await migrations.apply(settings, directory, phase="post") == ["0002_post_y"]


async def test_post_file_of_an_earlier_release_does_not_block(settings, files):
    """A release that was skipped is made up for on the way."""
    third = "ALTER TABLE a ADD COLUMN z INTEGER;"
    directory = files(_0001_pre_a=FIRST, _0002_post_y=SECOND, _0003_pre_z=third)
    applied = await migrations.apply(settings, directory, phase="pre")
    assert applied == ["0001_pre_a", "0002_post_y", "0003_pre_z"]


async def test_runtime_user_cannot_change_the_schema(settings, files):
    """The migrator is somebody else."""
    await migrations.apply(settings, files(_0001_pre_a=FIRST))
    async with database.Database.open(settings) as opened:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await opened.execute("ALTER TABLE a ADD COLUMN z INTEGER")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await opened.execute("DELETE FROM schema_migrations")


async def test_server_that_is_away_is_unavailable(settings, files):
    """The start script may simply try again."""
    away = settings.model_copy(update={"port": 1})
    with pytest.raises(errors.Unavailable):
        await migrations.apply(away, files(_0001_pre_a=FIRST))


async def test_lock_that_others_hold_is_asked_for_again(
    settings, files, postgres_superuser, monkeypatch
):
    """A long report delays the migration; the migration does not stop the traffic behind it."""
    monkeypatch.setattr(migrations, "_LOCK_PAUSE_S", 0.05)
    hasty = settings.model_copy(update={"lock_s_max": 1})
    await migrations.apply(hasty, files(_0001_pre_a=FIRST))
    holder = await postgres_superuser(settings.database)
    report = holder.transaction()
    await report.start()
    await holder.execute("SELECT count(*) FROM a")
    directory = files(_0002_pre_y=SECOND)
    applying = asyncio.create_task(migrations.apply(hasty, directory))
    done, _ = await asyncio.wait([applying], timeout=1.5)
    assert not done
    await report.rollback()
    assert await applying == ["0002_pre_y"]


async def test_lock_that_is_never_free_stops_the_migration(
    settings, files, postgres_superuser, monkeypatch
):
    """After the last try an operator has to look."""
    monkeypatch.setattr(migrations, "_LOCK_TRIES", 1)
    hasty = settings.model_copy(update={"lock_s_max": 1})
    await migrations.apply(hasty, files(_0001_pre_a=FIRST))
    holder = await postgres_superuser(settings.database)
    async with holder.transaction():
        await holder.execute("SELECT count(*) FROM a")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrations.apply(hasty, files(_0002_pre_y=SECOND))
