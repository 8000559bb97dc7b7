"""Promotions in this process, with identity and the ledger as processes of their own."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml
from tessera.identity.v1 import member_service_pb2_grpc
from tessera.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from tessera.promotions.v1 import catalogue_pb2, catalogue_service_pb2

from services.chassis import auth, clock
from services.chassis import config as chassis_config
from services.chassis import database as chassis_database
from services.promotions import config, main
from tests.integration.promotions.houses import CURRENCY, OTHER_STORE, STORE, House, Process
from tools.stack import ports

_CLIENTS: dict[str, tuple[list[str], list[str]]] = {
    "admin": (["*"], []),
    "promotions": (
        [
            "members.context",
            "adjustments.read",
            "assets.write",
            "ledger.read",
            "ledger.post",
            "coupons.draw",
            "coupons.redeem",
        ],
        [],
    ),
    "poor-promotions": (["members.context", "ledger.read"], []),
    "reviewer": (["campaigns.*"], []),
    "agent": (["checkout", "receipts.*", "adjustments.propose", "adjustments.approve"], []),
    "colleague": (["checkout", "receipts.*", "adjustments.propose"], []),
    "supervisor": (["adjustments.approve", "adjustments.read"], []),
    "reader": (["checkout", "receipts.*"], []),
    "manager-of-s1": (["campaigns.local", "campaigns.read"], [STORE]),
    "till-of-s1": (["checkout"], [STORE]),
    "till-of-s2": (["checkout"], [OTHER_STORE]),
}


@pytest.fixture(autouse=True)
async def _on_one_day(one_day: None) -> None:
    """Expiries, periods of programs and the days of their versions are counted from today."""


@pytest.fixture(scope="session")
def house_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promotions-house")


@pytest.fixture(scope="session")
def launch(
    database: Callable[[str], Awaitable[Any]], valkey: Any, house_directory: Path
) -> Callable[..., Any]:
    """Return `launch(role, section)`: start a role as a process, with a database of its own."""

    @asynccontextmanager
    async def start(role: str, section: dict[str, Any], made: Any = None) -> AsyncIterator[Process]:
        made = made or await database(role)
        port = ports.free()
        document = {
            role: {
                "server": {"port": port, "metrics_port": 0},
                "database": {name: _plain(value) for name, value in made.fields().items()},
                "hotstore": {"url": f"{valkey.url.rpartition('/')[0]}/6"},
                **section,
            }
        }
        path = house_directory / f"{role}-{secrets.token_hex(3)}.yaml"
        path.write_text(yaml.safe_dump(document))
        process = Process(role, path, port)
        await process.start()
        try:
            yield process
        finally:
            await process.kill()

    return start


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


@pytest.fixture(scope="session")
async def house_identity(
    launch: Callable[..., Any], house_directory: Path
) -> AsyncIterator[tuple[Process, dict[str, str]]]:
    """Identity, and what its friends say under `auth`."""
    key = house_directory / "master.key"
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    clients = []
    for client_id, (scopes, store_ids) in _CLIENTS.items():
        (house_directory / client_id).write_text(secrets.token_urlsafe(32))
        clients.append(
            {
                "client_id": client_id,
                "secret_file": str(house_directory / client_id),
                "scopes": scopes,
                "store_ids": store_ids,
            }
        )
    http_port = ports.free()
    section = {"master_key_file": str(key), "http": {"port": http_port}, "clients": clients}
    url = f"http://127.0.0.1:{http_port}"
    friends = {"jwks_url": f"{url}/.well-known/jwks.json", "token_url": f"{url}/oauth2/token"}
    async with launch("identity", section) as process:
        yield process, friends


@pytest.fixture(scope="session")
async def house_ledger(
    launch: Callable[..., Any],
    house_identity: tuple[Process, dict[str, str]],
    house_directory: Path,
) -> AsyncIterator[Process]:
    key = house_directory / "code.key"
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    section = {"auth": house_identity[1], "code_key_file": str(key)}
    async with launch("ledger", section) as process:
        yield process


@pytest.fixture(scope="session")
def promotions_settings(
    house_identity: tuple[Process, dict[str, str]],
    house_ledger: Process,
    house_directory: Path,
    valkey: Any,
) -> Callable[..., config.Settings]:
    """Return what makes the settings of a promotions process on a database."""

    def make(made: Any, **overrides: Any) -> config.Settings:
        fields: dict[str, Any] = {
            "server": chassis_config.ServerSettings(port=0, metrics_port=0),
            "database": made.settings(),
            "hotstore": chassis_config.HotstoreSettings(url=f"{valkey.url.rpartition('/')[0]}/6"),
            "auth": chassis_config.AuthSettings(
                jwks_url=house_identity[1]["jwks_url"],
                token_url=house_identity[1]["token_url"],
                client_id="promotions",
                client_secret_file=house_directory / "promotions",
            ),
            "identity_address": f"127.0.0.1:{house_identity[0].port}",
            "ledger_address": f"127.0.0.1:{house_ledger.port}",
            "currency_code": CURRENCY,
        }
        return config.Settings(**{**fields, **overrides})

    return make


@asynccontextmanager
async def running(
    settings: config.Settings, now: clock.Clock = clock.system
) -> AsyncIterator[main.Role]:
    """Run promotions in this process while the block runs."""
    async with AsyncExitStack() as stack:
        verifier = auth.Verifier(settings.auth)
        role = await main.assemble(settings, stack, verifier=verifier, now=now)
        await role.news.begin()
        await role.server.start()
        stack.push_async_callback(role.server.stop)
        yield role


@pytest.fixture(scope="session")
def run_promotions() -> Callable[..., Any]:
    return running


@pytest.fixture
def launch_promotions(
    launch: Callable[..., Any],
    promotions_database: Any,
    promotions_settings: Callable[..., config.Settings],
) -> Callable[[], Any]:
    """Return what starts promotions as a process of its own, on the module's database."""
    settings = promotions_settings(promotions_database)
    section = {
        "auth": settings.auth.model_dump(mode="json"),
        "identity_address": settings.identity_address,
        "ledger_address": settings.ledger_address,
        "currency_code": CURRENCY,
    }
    return lambda: launch("promotions", section, promotions_database)


@pytest.fixture(scope="module")
async def promotions_database(database: Callable[[str], Awaitable[Any]]) -> Any:
    return await database("promotions")


@pytest.fixture(scope="module")
async def house(
    promotions_database: Any,
    promotions_settings: Callable[..., config.Settings],
    house_identity: tuple[Process, dict[str, str]],
    house_ledger: Process,
    house_directory: Path,
) -> AsyncIterator[House]:
    """Give a chain with two stores and a few goods, and no campaign yet."""
    settings = promotions_settings(promotions_database)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        role = await enter(running(settings))
        to_identity = await enter(grpc.aio.insecure_channel(f"127.0.0.1:{house_identity[0].port}"))
        to_ledger = await enter(grpc.aio.insecure_channel(f"127.0.0.1:{house_ledger.port}"))
        it = House(
            settings=settings,
            role=role,
            db=await enter(chassis_database.Database.open(settings.database)),
            identity=house_identity[0],
            ledger=house_ledger,
            channel=await enter(grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}")),
            http=await enter(aiohttp.ClientSession()),
            token_url=house_identity[1]["token_url"],
            secrets=house_directory,
            members=member_service_pb2_grpc.MemberServiceStub(to_identity),
            books=ledger_service_pb2_grpc.LedgerServiceStub(to_ledger),
        )
        await _furnish(it)
        await _until_prepared(it)
        yield it


async def _until_prepared(house: House) -> None:
    """Wait until the ledger knows the program's assets."""
    async with asyncio.timeout(20):
        for code in ("points", "uses", f"budget.{CURRENCY}"):
            request = ledger_service_pb2.GetAssetRequest(asset_code=code)
            while True:
                try:
                    await house.call(house.books.GetAsset, request)
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)


async def _furnish(house: House) -> None:
    await house.call(
        house.catalogue.UpsertStores,
        catalogue_service_pb2.UpsertStoresRequest(
            stores=[
                catalogue_pb2.Store(store_id=one, time_zone="UTC", currency_code=CURRENCY)
                for one in (STORE, OTHER_STORE)
            ]
        ),
    )
    await house.call(
        house.catalogue.UpsertCategories,
        catalogue_service_pb2.UpsertCategoriesRequest(
            categories=[
                catalogue_pb2.Category(category_id="food"),
                catalogue_pb2.Category(category_id="dairy", parent_id="food"),
            ]
        ),
    )
    await house.call(
        house.catalogue.UpsertProducts,
        catalogue_service_pb2.UpsertProductsRequest(
            products=[
                catalogue_pb2.Product(sku="milk", category_id="dairy"),
                catalogue_pb2.Product(sku="bread", category_id="food"),
            ]
        ),
    )


@pytest.fixture
async def recovery(promotions_settings, promotions_database, run_promotions):
    """Another process that waits for nobody; it looks around only when it is told to."""
    settings = promotions_settings(
        promotions_database, recovery=config.RecoverySettings(interval_s=3600, patience_s=0)
    )
    async with run_promotions(settings) as role:
        yield role.recovery
