"""A whole ledger in this process, on a database of its own, under a clock that tests can turn."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from services.chassis import auth, config, database, hotstore, ids, timestamps
from services.ledger import main
from services.ledger.config import Settings

pb = ledger_service_pb2
WORLD, MEMBER = account_pb2.OWNER_TYPE_WORLD, account_pb2.OWNER_TYPE_MEMBER


class Clock:
    """The time of day, plus what tests add to it; or one instant, for as long as they want."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self._stands_at: datetime | None = None

    def __call__(self) -> datetime:
        return self._stands_at or datetime.now(UTC) + self.ahead

    def stand_at(self, instant: datetime) -> None:
        self._stands_at = instant


@dataclass
class Ledger:
    """A running ledger, its stub, and what lies behind."""

    stub: Any
    settings: Settings
    db: database.Database
    hot: hotstore.Hotstore
    now: Clock
    port: int
    channel: grpc.aio.Channel
    members: list[str] = field(default_factory=list)

    def member(self, asset: str = "points") -> account_pb2.AccountKey:
        """Return the account of a member that nobody else uses."""
        return account(ids.new("mem"), asset)

    async def asset(self, code: str = "points", **fields: Any) -> Any:
        request = pb.CreateAssetRequest(asset=asset_pb2.Asset(asset_code=code, **fields))
        return (await self.stub.CreateAsset(request)).asset

    def batch(self, *operations: batch_pb2.Operation, **fields: Any) -> batch_pb2.Batch:
        fields.setdefault("batch_id", ids.new("bat"))
        fields.setdefault("occurred_time", timestamps.show(self.now()))
        return batch_pb2.Batch(operations=operations, **fields)

    async def send(self, *batches: batch_pb2.Batch) -> list[batch_pb2.BatchResult]:
        response = await self.stub.PostBatches(pb.PostBatchesRequest(batches=batches))
        return list(response.results)

    async def post(self, *operations: batch_pb2.Operation, **fields: Any) -> batch_pb2.BatchResult:
        return (await self.send(self.batch(*operations, **fields)))[0]

    async def earn(self, to: account_pb2.AccountKey, amount: int, **terms: Any) -> Any:
        return await self.post(move(world(to.asset_code), to, amount, **terms))

    async def spend(self, of: account_pb2.AccountKey, amount: int, **terms: Any) -> Any:
        return await self.post(move(of, world(of.asset_code), amount, **terms))

    async def balances(
        self, *accounts: account_pb2.AccountKey, version_min: int = 0
    ) -> list[account_pb2.Balance]:
        request = pb.GetBalancesRequest(accounts=accounts, min_version=version_min)
        return list((await self.stub.GetBalances(request)).balances)

    async def available(self, one: account_pb2.AccountKey, version_min: int = 0) -> int:
        return (await self.balances(one, version_min=version_min))[0].available

    async def truth(self, one: account_pb2.AccountKey) -> int:
        """Return what the entries say."""
        entries = []
        token = ""
        while True:
            request = pb.ListEntriesRequest(account=one, page_size=1000, page_token=token)
            page = await self.stub.ListEntries(request)
            entries += page.entries
            token = page.next_page_token
            if not token:
                return sum(entry.amount for entry in entries)


def account(
    owner_id: str, asset: str = "points", owner_type: account_pb2.OwnerType.ValueType = MEMBER
) -> account_pb2.AccountKey:
    owner = account_pb2.Owner(owner_type=owner_type, owner_id=owner_id)
    return account_pb2.AccountKey(owner=owner, asset_code=asset)


def world(asset: str = "points", name: str = "issuance") -> account_pb2.AccountKey:
    return account(name, asset, WORLD)


def move(
    debit: account_pb2.AccountKey, credit: account_pb2.AccountKey, amount: int, **terms: Any
) -> batch_pb2.Operation:
    terms.setdefault("reason", account_pb2.TRANSFER_REASON_EARN)
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=debit.asset_code,
            debit=debit.owner,
            credit=credit.owner,
            amount=amount,
            **terms,
        )
    )


def place(
    debit: account_pb2.AccountKey,
    credit: account_pb2.AccountKey,
    amount: int,
    *,
    life_s: int = 3600,
    **terms: Any,
) -> batch_pb2.Operation:
    terms.setdefault("reason", account_pb2.TRANSFER_REASON_REDEEM)
    return batch_pb2.Operation(
        place_hold=batch_pb2.PlaceHold(
            asset_code=debit.asset_code,
            debit=debit.owner,
            credit=credit.owner,
            amount=amount,
            time_to_live=duration_pb2.Duration(seconds=life_s),
            **terms,
        )
    )


def undo(
    target: batch_pb2.BatchResult,
    amount: int,
    shortfall: batch_pb2.Shortfall.ValueType = batch_pb2.SHORTFALL_REFUSE,
    index: int = 0,
) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        reversal=batch_pb2.Reversal(
            batch_id=target.batch_id, operation_index=index, amount=amount, shortfall=shortfall
        )
    )


def release(target: batch_pb2.BatchResult, index: int = 0) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        release=batch_pb2.Release(batch_id=target.batch_id, operation_index=index)
    )


@asynccontextmanager
async def running(made: Any, valkey_url: str, **fields: Any) -> AsyncIterator[Ledger]:
    """Run a ledger on a database; without a verifier, it lets everybody do everything."""
    verifier: auth.Verifier | None = fields.pop("verifier", None)
    settings = Settings(
        server=config.ServerSettings(port=0, metrics_port=0, drain_s=1),
        database=made.settings().model_copy(update={"pool_size": fields.pop("pool_size", 8)}),
        hotstore=config.HotstoreSettings(url=valkey_url, timeout_ms=500),
        **{"sweep_interval_s": 3600, **fields},
    )
    now = Clock()
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            database.Database.open(settings.database, session=main.SESSION)
        )
        hot = await stack.enter_async_context(hotstore.Hotstore.open(settings.hotstore))
        server = main.build(settings, db, hot, verifier, now=now)
        port = await server.start()
        stack.push_async_callback(server.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        yield Ledger(stub, settings, db, hot, now, port, channel)


@pytest.fixture(autouse=True)
async def _on_one_day(one_day: None) -> None:
    """Limits of a day and expiries at its end are counted from today."""


Start = Callable[..., Awaitable[Ledger]]


@pytest.fixture(scope="module")
async def ledger_database(database: Any) -> Any:
    """Give each module a database of its own."""
    return await database("ledger")


@pytest.fixture(scope="module")
async def ledger(ledger_database: Any, valkey: Any) -> AsyncIterator[Ledger]:
    """Run one ledger for the module, with an asset `points` that keeps lots and `coins` without."""
    async with running(ledger_database, valkey.url) as started:
        await started.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        await started.asset("coins")
        yield started


@pytest.fixture
def turned(ledger: Ledger) -> Any:
    """Return a function that sets the clock ahead; the next test finds it right again."""

    def turn(**span: float) -> None:
        ledger.now.ahead = timedelta(**span)

    yield turn
    ledger.now.ahead = timedelta(0)
