"""Real servers for every test: one of each a session, on a free port, in a temporary folder."""

import os

# Servers are started while channels are open. A child that runs gRPC's own preparations for a fork
# between fork and exec may die of them, and needs none. gRPC looks when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import asyncio
import importlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tools import compiling
from tools.stack import databases, layout, lifecycle, ports, postgres, valkey
from tools.stack.health import Health
from tools.stack.layout import Layout
from tools.stack.standalone import Standalone
from tools.stack.state import State
from tools.stack.supervision import Process
from tools.stack.vault import Vault

ROOT = Path(__file__).resolve().parent.parent

compiling.require_fresh()

# A busy machine is no falsifying example. People search at random; the gate asks the same questions
# of every commit, so that red means that the commit is to blame.
hypothesis.settings.register_profile("people", deadline=None)
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gate" if os.environ.get("CI") else "people")


@dataclass(frozen=True, kw_only=True)
class PostgresServer(postgres.Endpoint):
    """A running PostgreSQL and its process, for tests that stop or kill it."""

    process: Standalone


@dataclass(frozen=True, kw_only=True)
class ValkeyServer(valkey.Endpoint):
    """A running Valkey and its process, for tests that stop or kill it."""

    process: Standalone


@dataclass(frozen=True, kw_only=True)
class RoleDatabase:
    """A fresh database of a role: its migrations are applied, nothing else is in it."""

    role: str
    host: str
    port: int
    name: str
    user: str
    password_file: Path
    owner: str
    owner_password_file: Path

    @property
    def password(self) -> str:
        return self.password_file.read_text()

    @property
    def owner_password(self) -> str:
        return self.owner_password_file.read_text()

    @property
    def dsn(self) -> str:
        """The runtime role's connection string."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    @property
    def owner_dsn(self) -> str:
        """The owner's connection string."""
        login = f"{self.owner}:{self.owner_password}"
        return f"postgresql://{login}@{self.host}:{self.port}/{self.name}"

    def fields(self) -> dict[str, Any]:
        """Return the section `database` of the role's configuration."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.name,
            "user": self.user,
            "password_file": self.password_file,
            "owner": self.owner,
            "owner_password_file": self.owner_password_file,
        }

    def settings(self, **overrides: Any) -> Any:
        """Return what `Database.open` and `migrations.apply` of the chassis take."""
        config = importlib.import_module("services.chassis.config")
        return config.DatabaseSettings(**{**self.fields(), **overrides})


@dataclass(frozen=True, kw_only=True)
class RunningStack:
    """A whole stack, healthy when the test gets it."""

    layout: Layout
    state: State
    vault: Vault

    def address(self, name: str) -> str:
        """Return `host:port` of a process, or of a port such as `identity_http`."""
        return self.state.address(name)

    def pid(self, name: str) -> int:
        """Return the process id of a process now, 0 while it is down."""
        return self._process(name).pid

    def kill(self, name: str) -> None:
        """Kill a process as `kill -9` does; the supervisor starts it again."""
        self._process(name).kill()

    def _process(self, name: str) -> Process:
        rows = lifecycle.processes(self.layout) or []
        return next(row for row in rows if row.name == name)

    async def recover(self, *, timeout_s: float = 60) -> None:
        """Wait until every process is healthy."""
        health = Health(self.state, self.vault)
        deadline = time.monotonic() + timeout_s
        while not all((answers := await health.of_all()).values()):
            assert time.monotonic() < deadline, f"not healthy: {answers}"
            await asyncio.sleep(0.1)


@pytest.fixture
async def one_day() -> None:
    """Begin a test that counts in days far enough from midnight UTC to end on the same day."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    if midnight - now < timedelta(seconds=30):
        await asyncio.sleep((midnight - now).total_seconds() + 0.1)


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Give the servers a short path, which PostgreSQL's account may enter when we are root."""
    directory = Path(tempfile.mkdtemp(prefix="tessera-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", name="postgres")
async def start_postgres(server_directory: Path) -> AsyncIterator[PostgresServer]:
    """Start one PostgreSQL for the session, durable as in production."""
    home = server_directory / "postgres"
    password = secrets.token_urlsafe(16)
    port = ports.free()
    endpoint = postgres.Endpoint(
        host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password
    )
    process = Standalone(
        postgres.prepare(home, port=port, password=password),
        log=server_directory / "postgres.log",
        is_ready=lambda: postgres.is_ready(endpoint),
    )
    await process.start()
    yield PostgresServer(
        host=endpoint.host, port=port, user=endpoint.user, password=password, process=process
    )
    process.stop()
    postgres.remove(home)


@pytest.fixture(scope="session", name="valkey")
async def start_valkey(server_directory: Path) -> AsyncIterator[ValkeyServer]:
    """Start one Valkey for the session, append-only file on."""
    password = secrets.token_urlsafe(16)
    port = ports.free()
    endpoint = valkey.endpoint(port=port, password=password)
    process = Standalone(
        valkey.prepare(server_directory / "valkey", port=port, password=password),
        log=server_directory / "valkey.log",
        is_ready=lambda: valkey.is_ready(endpoint),
    )
    await process.start()
    yield ValkeyServer(url=endpoint.url, process=process)
    process.stop()


@pytest.fixture(scope="session", name="stack")
async def start_stack(server_directory: Path) -> AsyncIterator[RunningStack]:
    """Start one whole stack for the session, on free ports: servers, roles, gateway."""
    place = layout.at(server_directory / "stack")
    started = await lifecycle.start(lifecycle.Options(layout=place, fixed_ports=False))
    yield RunningStack(layout=place, state=started.state, vault=started.vault)
    lifecycle.delete(place)


@pytest.fixture(scope="session")
def database(
    postgres: PostgresServer, server_directory: Path
) -> Callable[[str], Awaitable[RoleDatabase]]:
    """Return `await database(role)`: a new database with the role's migrations applied.

    The migrations of a role run once a session, in a template that every later call copies.
    """
    return _Databases(postgres, server_directory / "passwords").create


class _Databases:
    def __init__(self, server: PostgresServer, passwords: Path) -> None:
        self._server = server
        self._passwords = passwords
        self._templates: dict[str, str] = {}
        self._lock = asyncio.Lock()
        passwords.mkdir(mode=0o700, exist_ok=True)

    async def create(self, role: str) -> RoleDatabase:
        async with self._lock:
            if role not in self._templates:
                self._templates[role] = (await self._migrated(role)).name
            name = f"tessera_{role}_{secrets.token_hex(4)}"
            return await self._made(role, name, template=self._templates[role])

    async def _migrated(self, role: str) -> RoleDatabase:
        for login in (role, f"{role}_owner"):
            file = self._passwords / login
            file.write_text(secrets.token_urlsafe(16))
            await databases.ensure_login(
                self._server, databases.Login(name=login, password=file.read_text())
            )
        made = await self._made(role, f"tessera_{role}_template", template="template1")
        directory = ROOT / "services" / role / "migrations"
        if directory.is_dir():
            migrations = importlib.import_module("services.chassis.migrations")
            await migrations.apply(made.settings(), directory)
        return made

    async def _made(self, role: str, name: str, *, template: str) -> RoleDatabase:
        await databases.ensure_database(
            self._server, name, owner=f"{role}_owner", runtime=role, template=template
        )
        return RoleDatabase(
            role=role,
            host=self._server.host,
            port=self._server.port,
            name=name,
            user=role,
            password_file=self._passwords / role,
            owner=f"{role}_owner",
            owner_password_file=self._passwords / f"{role}_owner",
        )
