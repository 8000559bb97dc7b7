"""Servers that somebody else runs take the place of the embedded ones."""

import secrets

import yaml

from tools.stack import lifecycle, ports, postgres, valkey
from tools.stack.standalone import Standalone
from tools.stack.state import State


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


async def test_named_servers_are_used_and_not_started(command, place):
    """Only what the file does not name runs here, and the external servers outlive the stack."""
    parent = place.root.parent
    password = secrets.token_urlsafe(8)
    store = valkey.endpoint(port=ports.free(), password=password)
    database = postgres.Endpoint(
        host=ports.HOST, port=ports.free(), user=postgres.SUPERUSER, password=password
    )
    servers = [
        Standalone(
            postgres.prepare(parent / "elsewhere", port=database.port, password=password),
            log=parent / "postgres.log",
            is_ready=lambda: postgres.is_ready(database),
        ),
        Standalone(
            valkey.prepare(parent / "valkey", port=port_of(store.url), password=password),
            log=parent / "valkey.log",
            is_ready=lambda: valkey.is_ready(store),
        ),
    ]
    for server in servers:
        await server.start()
    try:
        file = parent / "external.yaml"
        file.write_text(
            yaml.safe_dump({"postgres": {"url": database.dsn()}, "valkey": {"url": store.url}})
        )
        result = command("up", "--detach", "--free-ports", "--external", str(file))
        assert result.returncode == 0, result.stderr
        started = {row.name for row in rows_of(place)}
        assert not started & {"postgres", "valkey"}
        assert "postgres" not in record_of(place).ports
        assert command("down").returncode == 0
        assert await postgres.is_ready(database)
        assert await valkey.is_ready(store)
    finally:
        for server in servers:
            server.stop()
        postgres.remove(parent / "elsewhere")


def test_an_unknown_key_is_refused_with_the_name_of_the_file(command, place):
    """A misspelt server would otherwise be started here by surprise."""
    file = place.root.parent / "misspelt.yaml"
    file.write_text("postgress: {url: 'postgresql://a:b@localhost'}\n")
    result = command("up", "--detach", "--external", str(file))
    assert result.returncode == 1
    assert str(file) in result.stderr
    assert "postgress" in result.stderr


def port_of(url):
    """Return the port of a URL of the store."""
    return int(url.rsplit(":", 1)[1].split("/")[0])
