"""One stack from its first start to its deletion; the tests run in this order."""

import asyncio
import time

from tools.stack import leftovers, lifecycle
from tools.stack.health import Health
from tools.stack.state import State
from tools.stack.vault import Vault

_DEADLINE_S = 120


def record_of(place):
    """Return the record of the last start."""
    record = State.load(place)
    assert record is not None
    return record


def rows_of(place):
    """Return the processes of a stack that is up."""
    rows = lifecycle.processes(place)
    assert rows is not None
    return rows


async def until(condition, message):
    """Poll an asynchronous condition against a deadline."""
    deadline = time.monotonic() + _DEADLINE_S
    while not await condition():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.05)


def health(place):
    """Return the questions for the stack as it was recorded."""
    return Health(record_of(place), Vault(place.secrets))


def test_status_of_a_stack_that_never_ran_ends_with_3(command):
    """A script can tell a stopped stack from a running one."""
    result = command("status")
    assert result.returncode == 3
    assert "python -m tools stack up" in result.stdout


async def test_up_returns_when_everything_is_healthy(command, place):
    """Every process answers the moment `up --detach` is done."""
    result = command("up", "--detach", "--free-ports")
    assert result.returncode == 0, result.stderr
    answers = await health(place).of_all()
    assert answers
    assert all(answers.values()), answers


def test_status_of_a_healthy_stack_ends_with_0(command, place):
    """Every process stands in the table with its port."""
    result = command("status")
    assert result.returncode == 0, result.stdout
    record = record_of(place)
    for name in record.programs:
        row = next(line for line in result.stdout.splitlines() if line.strip().startswith(name))
        assert "healthy" in row
        assert str(record.ports[name]) in row


def test_a_second_up_says_where_the_stack_runs(command, place):
    """It changes nothing and is no failure."""
    before = rows_of(place)
    result = command("up", "--detach")
    assert result.returncode == 0
    assert "already running" in result.stdout
    assert str(place.root) in result.stdout
    assert [row.pid for row in before] == [row.pid for row in rows_of(place)]


def test_secrets_are_for_their_owner_alone(place):
    """No other account of the machine reads a password, nor the settings that may hold one."""
    files = [*place.secrets.iterdir(), place.settings]
    assert len(files) > 2
    assert {oct(path.stat().st_mode & 0o077) for path in (*files, place.secrets)} == {"0o0"}


async def test_every_killed_process_comes_back(command, place):
    """After kill -9 of each process in turn, all are healthy again under new process ids."""
    for row in rows_of(place):
        row.kill()

        async def recovered(old=row):
            rows = lifecycle.processes(place) or []
            new = next((item for item in rows if item.name == old.name), old)
            return new.pid not in {0, old.pid} and await health(place).of(old.name)

        await until(recovered, f"{row.name} did not come back")

    async def healthy():
        return all((await health(place).of_all()).values())

    await until(healthy, "the stack did not recover")
    assert command("status").returncode == 0


def test_down_stops_in_the_reverse_order_of_start(command, place):
    """Those who depend on others stop before them; nothing is left."""
    priorities = record_of(place).programs
    pids = [row.pid for row in rows_of(place)]
    result = command("down")
    assert result.returncode == 0, result.stderr
    stopped = [line.split()[0] for line in result.stdout.splitlines() if line.endswith(" stopped")]
    assert sorted(stopped) == sorted(priorities)
    order = [priorities[name] for name in stopped]
    assert order == sorted(order, reverse=True)
    assert command("status").returncode == 3
    assert not any(leftovers.is_running(pid) for pid in pids)


def test_a_second_down_is_no_failure(command):
    """There is nothing to stop, and it says so."""
    result = command("down")
    assert result.returncode == 0
    assert "not running" in result.stdout


def test_a_process_that_cannot_start_is_explained_by_its_log(command, place):
    """The error shows the end of the log, names the file, and nothing stays behind."""
    manifest = next(place.valkey.rglob("*.manifest"))
    kept = manifest.read_text()
    manifest.write_text("not a manifest\n")
    result = command("up", "--detach", "--free-ports")
    manifest.write_text(kept)
    assert result.returncode == 1
    assert "valkey ends as soon as it is started" in result.stderr
    assert str(place.log("valkey")) in result.stderr
    assert "manifest" in result.stderr.split("The end of", 1)[1]
    assert command("status").returncode == 3


def test_reset_asks_before_it_deletes(command, place):
    """Without an answer nothing is deleted; with --yes all of it is."""
    assert command("reset").returncode != 0
    assert place.root.exists()
    assert command("reset", "--yes").returncode == 0
    assert not place.root.exists()


def test_reset_refuses_a_folder_that_is_no_stack(command, place):
    """A mistyped path costs nobody their files."""
    place.root.mkdir()
    precious = place.root / "precious.txt"
    precious.write_text("keep me")
    result = command("reset", "--yes")
    assert result.returncode == 1
    assert precious.read_text() == "keep me"
    precious.unlink()
    place.root.rmdir()
