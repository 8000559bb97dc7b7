"""A whole identity in this process, on a database of its own, and its parts for finer tests."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from tessera.identity.v1 import (
    client_service_pb2,
    client_service_pb2_grpc,
    member_service_pb2_grpc,
)

from services.chassis import config as chassis_config
from services.chassis import database as chassis_database
from services.chassis import status
from services.identity import main, vault
from services.identity.config import ClientSettings, HttpSettings, Settings, TokenSettings
from tools.stack import ports

START_S_MAX = 20


@dataclass
class Identity:
    """A running identity: stubs of an administrator, HTTP, and what lies behind."""

    settings: Settings
    database: Any
    master_key: bytes
    admin_secret: str
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession
    db: chassis_database.Database
    token: str = ""

    @property
    def members(self) -> Any:
        return member_service_pb2_grpc.MemberServiceStub(self.channel)

    @property
    def clients(self) -> Any:
        return client_service_pb2_grpc.ClientServiceStub(self.channel)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http.port}"

    @property
    def vault(self) -> vault.Vault:
        return vault.Vault(self.master_key)

    async def grant(self, client_id: str, secret: str, **fields: str) -> tuple[int, Any]:
        """Return status and body of a token request with the credentials in the form."""
        form = {"grant_type": "client_credentials", "client_id": client_id}
        async with self.http.post(
            f"{self.url}/oauth2/token", data={**form, "client_secret": secret, **fields}
        ) as response:
            return response.status, await response.json()

    async def token_of(self, client_id: str, secret: str, **fields: str) -> str:
        status, body = await self.grant(client_id, secret, **fields)
        assert status == 200, body
        token: str = body["access_token"]
        return token

    def metadata(self, token: str | None = None) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token if token is None else token}")]

    async def client(self, *scopes: str, store_ids: tuple[str, ...] = ()) -> tuple[str, str]:
        """Make a client and return its id and secret."""
        client_id = f"client-{secrets.token_hex(4)}"
        request = client_service_pb2.CreateClientRequest(
            client_id=client_id, display_name="Test", scopes=scopes, store_ids=store_ids
        )
        response = await self.call(self.clients.CreateClient, request)
        return client_id, response.client_secret

    async def refusal(
        self, method: Any, request: Any, *, token: str | None = None
    ) -> tuple[str, str]:
        """Call a method that must refuse; return the status code's name and the reason."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, token=token)
        answer = status.read(caught.value)
        return answer.category.name, answer.reason

    async def call(self, method: Any, request: Any, *, token: str | None = None) -> Any:
        """Call a method as the administrator, or with another token."""
        return await method(request, metadata=self.metadata(token), timeout=10)


@pytest.fixture(scope="session")
def master_key() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture(scope="session")
def secret_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity-secrets")


@pytest.fixture(scope="session")
def make_settings(
    valkey: Any, master_key: bytes, secret_directory: Path
) -> Callable[..., Settings]:
    """Return what makes the settings of an identity on a database: an administrator is in them."""
    (secret_directory / "master.key").write_text(base64.b64encode(master_key).decode())
    (secret_directory / "admin.secret").write_text(secrets.token_urlsafe(32))

    def make(made: Any, **overrides: Any) -> Settings:
        fields: dict[str, Any] = {
            "server": chassis_config.ServerSettings(
                port=ports.free(), metrics_port=0, access_log="all"
            ),
            "database": made.settings(),
            "hotstore": chassis_config.HotstoreSettings(url=_own_store(valkey.url)),
            "master_key_file": secret_directory / "master.key",
            "http": HttpSettings(port=ports.free()),
            "tokens": TokenSettings(failures_burst=5, failure_interval_s=60),
            "clients": (
                ClientSettings(
                    client_id="admin",
                    secret_file=secret_directory / "admin.secret",
                    scopes=("*",),
                ),
            ),
        }
        return Settings(**{**fields, **overrides})

    return make


def _own_store(url: str) -> str:
    """Return the address of a logical database that no other tests publish into."""
    return f"{url.rpartition('/')[0]}/5"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Run identity's main in this process while the block runs."""
    task = asyncio.create_task(main.main(settings))
    try:
        async with asyncio.timeout(START_S_MAX):
            await _until_healthy(task, f"http://127.0.0.1:{settings.http.port}/healthz")
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_healthy(task: asyncio.Task[None], url: str) -> None:
    async with aiohttp.ClientSession() as http:
        while not task.done():
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
    task.result()
    raise AssertionError("identity stopped by itself")


@pytest.fixture(scope="session")
def run_identity() -> Callable[[Settings], Any]:
    return running


@pytest.fixture(scope="module")
async def identity(
    database: Callable[[str], Awaitable[Any]],
    make_settings: Callable[..., Settings],
    secret_directory: Path,
    master_key: bytes,
) -> AsyncIterator[Identity]:
    made = await database("identity")
    settings = make_settings(made)
    async with (
        running(settings),
        aiohttp.ClientSession() as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{settings.server.port}") as channel,
        chassis_database.Database.open(settings.database) as db,
    ):
        admin_secret = (secret_directory / "admin.secret").read_text()
        it = Identity(settings, made, master_key, admin_secret, channel, http, db)
        it.token = await it.token_of("admin", admin_secret)
        yield it


@pytest.fixture
async def empty_database(
    database: Callable[[str], Awaitable[Any]],
) -> AsyncIterator[tuple[Any, chassis_database.Database]]:
    """Give a fresh database, and an open handle to it."""
    made = await database("identity")
    async with chassis_database.Database.open(made.settings()) as db:
        yield made, db
