"""The ledger under load, beside the no-op: `python -m tools.bench.ledger`.

By itself it starts what it needs: PostgreSQL with fsync on, Valkey, one ledger in a process of its
own, and keys for the tokens that its calls carry.
"""

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop
import yaml
from aiohttp import web
from joserfc import jwk, jwt
from rich.console import Console
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from services.chassis import clock, config, ids, migrations, timestamps
from tools.bench import load, noop, report
from tools.stack import databases, ports, postgres, valkey
from tools.stack.standalone import Standalone

SCOPES = "ledger.read ledger.post assets.write"
WIDTHS = (1, 64, 256)

_ROOT = Path(__file__).resolve().parents[2]
_POINTS = "bench.points"
_COINS = "bench.coins"
_EARNED = 100
_SEED_OPERATIONS = 200

pb = ledger_service_pb2


@dataclass(frozen=True)
class Endpoint:
    """Where a ledger answers, and a token with the scopes in SCOPES."""

    target: str
    token: str


class Load:
    """Random work on many accounts; the same accounts in every run on one database."""

    def __init__(self, channel: grpc.aio.Channel, token: str, *, accounts: int) -> None:
        self._stub: Any = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._owners = [f"mem_{number:032x}" for number in range(accounts)]
        self._chance = random.Random(1)  # noqa: S311  a bench, not a secret

    async def prepare(self, progress: Callable[[str], None]) -> None:
        """Make the assets, and give every account something to spend."""
        monthly = asset_pb2.RollingExpiry(
            months=12, rounding=asset_pb2.EXPIRY_ROUNDING_END_OF_MONTH
        )
        policy = asset_pb2.LotPolicy(rolling=monthly, time_zone="Europe/Moscow")
        for asset in (
            asset_pb2.Asset(asset_code=_POINTS, lot_policy=policy),
            asset_pb2.Asset(asset_code=_COINS),
        ):
            await self._call(self._stub.CreateAsset, pb.CreateAssetRequest(asset=asset))
        for start in range(0, len(self._owners), _SEED_OPERATIONS):
            progress(f"opening accounts: {start:,} of {len(self._owners):,}")
            owners = self._owners[start : start + _SEED_OPERATIONS]
            for code in (_POINTS, _COINS):
                await self._post(*(_move(code, owner, 1000, earns=True) for owner in owners))

    async def move_points(self) -> None:
        """Earn or spend points, which come in lots."""
        await self._move(_POINTS)

    async def move_coins(self) -> None:
        """Earn or spend on an account without lots."""
        await self._move(_COINS)

    async def read_balance(self) -> None:
        """Read the balance of one of a thousand accounts, as tills ask for those at hand."""
        owner = account_pb2.Owner(
            owner_type=account_pb2.OWNER_TYPE_MEMBER,
            owner_id=self._chance.choice(self._owners[:1000]),
        )
        key = account_pb2.AccountKey(owner=owner, asset_code=_POINTS)
        await self._call(self._stub.GetBalances, pb.GetBalancesRequest(accounts=[key]))

    async def _move(self, code: str) -> None:
        owner = self._chance.choice(self._owners)
        await self._post(_move(code, owner, _EARNED, earns=self._chance.random() < 0.5))

    async def _post(self, *operations: batch_pb2.Operation) -> None:
        batch = batch_pb2.Batch(
            batch_id=ids.new("bat"),
            occurred_time=timestamps.show(clock.system()),
            receipt_id=secrets.token_hex(8),
            operations=operations,
        )
        response = await self._call(self._stub.PostBatches, pb.PostBatchesRequest(batches=[batch]))
        if response.results[0].state != batch_pb2.BATCH_STATE_POSTED:
            raise RuntimeError(f"refused: {response.results[0].refusal.message}")

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        return await method(request, metadata=self._metadata, timeout=30)


def _move(code: str, owner_id: str, amount: int, *, earns: bool) -> batch_pb2.Operation:
    member = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=owner_id)
    shop = account_pb2.Owner(
        owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="issuance" if earns else "redemption"
    )
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=code,
            debit=shop if earns else member,
            credit=member if earns else shop,
            amount=amount,
            reason=account_pb2.TRANSFER_REASON_EARN
            if earns
            else account_pb2.TRANSFER_REASON_REDEEM,
            campaign_id="cmp_bench",
            up_to=not earns,
        )
    )


async def subjects(
    channel: grpc.aio.Channel,
    token: str,
    *,
    accounts: int = 100_000,
    progress: Callable[[str], None] = lambda _: None,
) -> list[load.Subject]:
    """Return what is measured of the ledger behind a channel, after filling it with accounts."""
    work = Load(channel, token, accounts=accounts)
    await work.prepare(progress)
    return [
        *(load.Subject("post, in lots", work.move_points, n) for n in WIDTHS),
        *(load.Subject("post, no lots", work.move_coins, n) for n in WIDTHS),
        *(load.Subject("read a balance", work.read_balance, n) for n in (1, 64)),
    ]


@asynccontextmanager
async def running(
    directory: Path, settings: dict[str, Any] | None = None
) -> AsyncIterator[Endpoint]:
    """Run a ledger with everything that it needs below a folder."""
    async with AsyncExitStack() as stack:
        database = await _start_postgres(stack, directory)
        store = await _start_valkey(stack, directory)
        issuer = Issuer()
        port = ports.free()
        document = {
            "shared": {"auth": {"jwks_url": await stack.enter_async_context(issuer.serving())}},
            "ledger": {
                "server": {"port": port, "metrics_port": 0},
                "database": {name: str(value) for name, value in database.model_dump().items()},
                "hotstore": {"url": store.url},
                **(settings or {}),
            },
        }
        await migrations.apply(database, _ROOT / "services" / "ledger" / "migrations")
        file = directory / "tessera.yaml"
        file.write_text(yaml.safe_dump(document))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "ledger", "--config", str(file), cwd=_ROOT
        )
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        yield Endpoint(f"127.0.0.1:{port}", issuer.token())


class Issuer:
    """Signs tokens as identity would, and publishes the key."""

    def __init__(self) -> None:
        self._key = jwk.ECKey.generate_key("P-256", {"kid": "bench", "alg": "ES256"})

    def token(self) -> str:
        """Return a token for everything that the bench calls."""
        now = int(time.time())
        settings = config.AuthSettings()
        header = {"alg": "ES256", "kid": "bench", "typ": "at+jwt"}
        claims = {
            "iss": settings.issuer,
            "aud": settings.audience,
            "sub": "bench",
            "client_id": "bench",
            "scope": SCOPES,
            "iat": now,
            "exp": now + 86_400,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(header, claims, self._key)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Publish the key set; yields its address."""
        application = web.Application()
        application.router.add_get("/jwks.json", self._publish)
        runner = web.AppRunner(application)
        await runner.setup()
        port = ports.free()
        await web.TCPSite(runner, ports.HOST, port).start()
        try:
            yield f"http://{ports.HOST}:{port}/jwks.json"
        finally:
            await runner.cleanup()

    async def _publish(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [self._key.as_dict(private=False)]})


async def _start_postgres(stack: AsyncExitStack, directory: Path) -> config.DatabaseSettings:
    port, password = ports.free(), secrets.token_urlsafe(16)
    server = postgres.Endpoint(
        host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password
    )
    home = directory / "postgres"
    process = Standalone(
        postgres.prepare(home, port=port, password=password),
        log=directory / "postgres.log",
        is_ready=lambda: postgres.is_ready(server),
    )
    stack.callback(postgres.remove, home)
    await process.start()
    stack.callback(process.stop)
    file = directory / "password"
    file.write_text(password)
    for role in ("ledger", "ledger_owner"):
        await databases.ensure_login(server, databases.Login(name=role, password=password))
    await databases.ensure_database(
        server, "tessera_ledger", owner="ledger_owner", runtime="ledger"
    )
    return config.DatabaseSettings(
        port=port,
        database="tessera_ledger",
        user="ledger",
        password_file=file,
        owner="ledger_owner",
        owner_password_file=file,
    )


async def _start_valkey(stack: AsyncExitStack, directory: Path) -> valkey.Endpoint:
    port, password = ports.free(), secrets.token_urlsafe(16)
    store = valkey.endpoint(port=port, password=password)
    process = Standalone(
        valkey.prepare(directory / "valkey", port=port, password=password),
        log=directory / "valkey.log",
        is_ready=lambda: valkey.is_ready(store),
    )
    await process.start()
    stack.callback(process.stop)
    return store


@contextmanager
def _folder() -> Iterator[Path]:
    """Return a folder that PostgreSQL's account may enter when we are root."""
    directory = Path(tempfile.mkdtemp(prefix="tessera-bench-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def run(*, rounds: int, seconds: float, accounts: int, json: Path | None) -> None:
    """Measure a ledger of our own and print the figures."""
    console = Console(soft_wrap=True)

    def progress(text: str) -> None:
        console.print(f"[dim]{text}[/dim]")

    with _folder() as directory:
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(running(directory))
            quiet = await stack.enter_async_context(
                grpc.aio.insecure_channel(await stack.enter_async_context(noop.running()))
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(endpoint.target))
            await asyncio.wait_for(channel.channel_ready(), 30)
            chosen = await subjects(channel, endpoint.token, accounts=accounts, progress=progress)
            measured = await load.compare(
                lambda width: noop.subject(quiet, width),
                chosen,
                rounds=rounds,
                seconds=seconds,
                progress=progress,
            )
    report.show(console, measured)
    if json is not None:
        report.write(json, measured)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.ledger", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    uvloop.run(
        run(
            rounds=options.rounds,
            seconds=options.seconds,
            accounts=options.accounts,
            json=options.json,
        )
    )


if __name__ == "__main__":
    main()
