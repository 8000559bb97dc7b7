"""A chain with one database, one Valkey, some ledger processes and tills that never give up."""

import asyncio
import os
import random
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import yaml
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from services.chassis import database, hotstore, ids, timestamps
from services.chassis.clock import system
from services.ledger import engine
from services.ledger.checker import Examiner
from services.ledger.config import Settings
from services.ledger.storage import Checks, Copies, Finding, Journal, copies
from tests.conftest import ROOT
from tests.integration.ledger.conftest import account, move, undo, world
from tools.ledger.verifying import Verification
from tools.stack import ports

pb = ledger_service_pb2
POSTED = batch_pb2.BATCH_STATE_POSTED
PATIENCE_S = 60
_BULK = 50
#: The contract's bound.
_ACCOUNTS_A_CALL = 100
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
]


class Server:
    """One ledger process on a port of its own; whoever dies is started again."""

    def __init__(self, file: Path, port: int, log: Path, **environment: str) -> None:
        self.port = port
        self.deaths = 0
        self.ready_s: list[float] = []
        self._command = (sys.executable, "-m", "tests.chaos.ledger.process", "--config", str(file))
        self._log = log
        self._environment = {
            **os.environ,
            "TESSERA_LEDGER__SERVER__PORT": str(port),
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, *, die_at: str = "") -> None:
        """Start the process, and keep starting it when it dies: `die_at` is for the first alone."""
        await self._spawn({"TESSERA_DIE_AT": die_at} if die_at else {})
        self._keeper = asyncio.create_task(self._keep())

    def kill(self) -> None:
        """Kill the process as `kill -9` does."""
        assert self._process is not None
        self._process.kill()

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            await self._process.wait()
            self.deaths += 1
            started = time.monotonic()
            await self._spawn({})
            await self._until_ready()
            self.ready_s.append(time.monotonic() - started)

    async def _spawn(self, fate: dict[str, str]) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, env={**self._environment, **fate}, stdout=log, stderr=log
            )

    async def _until_ready(self) -> None:
        address = f"{ports.HOST}:{self.port}"
        async with grpc.aio.insecure_channel(address, options=_CHANNEL) as channel:
            stub: Any = ledger_service_pb2_grpc.LedgerServiceStub(channel)
            while True:
                try:
                    await stub.ListAssets(pb.ListAssetsRequest(), timeout=1)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
                else:
                    return


class Till:
    """Sends batches until they are answered, and remembers every answer."""

    def __init__(self, house: "House", port: int, seed: int) -> None:
        self._house = house
        self._chance = random.Random(seed)
        self._channel = grpc.aio.insecure_channel(f"{ports.HOST}:{port}", options=_CHANNEL)
        self.stub: Any = ledger_service_pb2_grpc.LedgerServiceStub(self._channel)
        self.attempts = 0

    async def close(self) -> None:
        await self._channel.close()

    async def insist(self, batch: batch_pb2.Batch) -> batch_pb2.BatchResult:
        """Send a batch again and again, the same each time."""
        request = pb.PostBatchesRequest(batches=[batch])
        response = await persist(lambda: self.attempt(request))
        result: batch_pb2.BatchResult = response.results[0]
        return result

    async def attempt(self, request: pb.PostBatchesRequest) -> pb.PostBatchesResponse:
        self.attempts += 1
        response: pb.PostBatchesResponse = await self.stub.PostBatches(request, timeout=2)
        return response

    async def sell(self) -> None:
        """Do one thing on the house's accounts."""
        batch = self._batch()
        sent_s = time.monotonic()
        answer = await self.insist(batch)
        self._house.times[batch.batch_id] = sent_s, time.monotonic()
        self._house.note(batch, answer)

    def _batch(self) -> batch_pb2.Batch:
        operations = [self._operation() for _ in range(self._chance.choice([1, 1, 2, 3]))]
        return batch_pb2.Batch(
            batch_id=ids.new("bat"),
            operations=operations,
            occurred_time=timestamps.show(self._house.now()),
        )

    def _operation(self) -> batch_pb2.Operation:
        kind, amount = self._chance.random(), self._chance.randint(1, 40)
        if kind < 0.15 and self._house.posted:
            target = self._chance.choice(self._house.posted)
            return undo(target, amount, batch_pb2.SHORTFALL_TAKE_AVAILABLE)
        one, other = self._chance.sample(self._house.members, 2)
        if kind < 0.6:
            return move(world(one.asset_code), one, amount)
        if kind < 0.8 or one.asset_code != other.asset_code:
            return move(one, world(one.asset_code, "redemption"), amount, up_to=kind < 0.7)
        return move(one, other, amount)


async def persist(attempt: Any) -> Any:
    """Try again and again as long as the failure is one that passes."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await attempt()
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRANSIENT or time.monotonic() > until:
                raise
        await asyncio.sleep(0.02)


class House:
    """Everything that a test of killed processes needs; use it with `async with`."""

    def __init__(self, made: Any, valkey_url: str, folder: Path, **fields: Any) -> None:
        self.valkey_url = valkey_url
        self.servers: list[Server] = []
        self.members = [account(ids.new("mem"), code) for code in ("points", "coins") * 3]
        self.history: dict[str, tuple[batch_pb2.Batch, batch_pb2.BatchResult]] = {}
        self.posted: list[batch_pb2.BatchResult] = []
        self.expired: dict[str, int] = {}
        #: When a batch was first sent and when it was answered, in seconds of one clock.
        self.times: dict[str, tuple[float, float]] = {}
        self.now = system
        self._made = made
        self._folder = folder
        self._file = folder / "ledger.yaml"
        section = {
            "server": {"port": 0, "metrics_port": 0, "drain_s": 1},
            "database": {name: str(value) for name, value in made.fields().items()},
            "hotstore": {"url": valkey_url, "timeout_ms": 300},
            "chain_interval_s": 0.1,
            **fields,
        }
        self._file.write_text(yaml.safe_dump({"ledger": section}))
        self.settings = Settings(**section)

    async def open(self, *fates: str, **environment: str) -> None:
        """Start a ledger for each fate (empty: none), and make the assets."""
        for number, fate in enumerate(fates):
            log = self._folder / f"ledger-{number}.log"
            server = Server(self._file, ports.free(), log, **environment)
            self.servers.append(server)
            await server.start(die_at=fate)
        till = self.till()
        points = asset_pb2.Asset(
            asset_code="points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC")
        )
        for asset in (points, asset_pb2.Asset(asset_code="coins")):
            request = pb.CreateAssetRequest(asset=asset)
            await persist(lambda request=request: till.stub.CreateAsset(request, timeout=2))
        await till.close()

    async def close(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.servers))

    def till(self, number: int = 0, *, port: int | None = None, seed: int = 0) -> Till:
        """Return a till at one of the ledgers."""
        return Till(self, port or self.servers[number].port, seed)

    def note(self, batch: batch_pb2.Batch, answer: batch_pb2.BatchResult) -> None:
        """Remember an answer; one id never has two."""
        _, before = self.history.setdefault(batch.batch_id, (batch, answer))
        assert _told(before) == _told(answer)
        if answer.state == POSTED:
            self.posted.append(answer)

    async def sell(self, count: int, *, tills: int = 8, port: int | None = None) -> int:
        """Let tills sell so many times altogether; returns how often they had to try."""
        crew = [
            self.till(number % len(self.servers), port=port, seed=len(self.history) + number)
            for number in range(tills)
        ]

        async def work(till: Till) -> None:
            for _ in range(count // tills):
                await till.sell()

        async with asyncio.TaskGroup() as group:
            for till in crew:
                group.create_task(work(till))
        await asyncio.gather(*(till.close() for till in crew))
        return sum(till.attempts for till in crew)

    async def balances(self, number: int = 0) -> dict[str, int]:
        """Return what every member is shown, by one of the ledgers."""
        till = self.till(number)
        shown: dict[str, int] = {}
        for start in range(0, len(self.members), _ACCOUNTS_A_CALL):
            request = pb.GetBalancesRequest(accounts=self.members[start : start + _ACCOUNTS_A_CALL])
            found = await persist(partial(till.stub.GetBalances, request, timeout=2))
            shown |= {one.account.owner.owner_id: one.available for one in found.balances}
        await till.close()
        return shown

    def expected(self) -> dict[str, int]:
        """Return what members must have, by the answers that tills got and nothing else."""
        held: defaultdict[str, int] = defaultdict(int)
        sides: dict[tuple[str, int], tuple[account_pb2.Owner, account_pb2.Owner]] = {}
        undone: list[tuple[tuple[str, int], int]] = []
        for batch, answer in self.history.values():
            for index, (operation, moved) in enumerate(
                zip(batch.operations, answer.operations, strict=answer.state == POSTED)
            ):
                if operation.HasField("reversal"):
                    target = operation.reversal
                    undone.append(((target.batch_id, target.operation_index), -moved.amount))
                else:
                    place = batch.batch_id, index
                    sides[place] = operation.transfer.debit, operation.transfer.credit
                    undone.append((place, moved.amount))
        for place, amount in undone:
            debit, credit = sides[place]
            held[debit.owner_id] -= amount
            held[credit.owner_id] += amount
        return {
            name: held[name] - self.expired.get(name, 0)
            for name in (one.owner.owner_id for one in self.members)
        }

    async def prove(self) -> None:
        """Assert that every id has one answer, nothing answered is lost, and everything agrees."""
        till = self.till()
        history = list(self.history.values())
        for start in range(0, len(history), _BULK):
            some = history[start : start + _BULK]
            request = pb.PostBatchesRequest(batches=[batch for batch, _ in some])
            response = await persist(lambda request=request: till.attempt(request))
            for again, (_, answer) in zip(response.results, some, strict=True):
                assert again.replayed
                assert _told(again) == _told(answer)
        await till.close()
        expected = self.expected()
        assert await self.balances() == expected
        async with (
            database.Database.open(self.settings.database) as source,
            hotstore.Hotstore.open(self.settings.hotstore) as hot,
        ):
            stored = await source.fetchval("SELECT count(*) FROM batches")
            assert stored == len(self.history)
            assert await self._findings(source, hot) == []
            await self._until_chained(source)
            verification = Verification(source, Journal())
            async for _ in verification.run([], after=0, head=await verification.head()):
                pass
            assert verification.findings == []

    async def prove_real_time(self) -> None:
        """Assert that what was answered before something else was sent also came before it.

        On each account the versions are the one order there is.
        """
        async with database.Database.open(self.settings.database) as source:
            rows = await source.fetch(
                "SELECT account_id, batch_id FROM entries ORDER BY account_id, version"
            )
        latest: dict[Any, float] = {}
        for account_id, batch_id in rows:
            sent_s, answered_s = self.times[ids.show("bat", batch_id)]
            # Nothing earlier in the order may have been sent after this was answered.
            assert latest.get(account_id, 0) <= answered_s
            latest[account_id] = max(latest.get(account_id, 0), sent_s)

    async def until_shown(self) -> None:
        """Wait until every ledger shows the truth: within one life of a copy."""
        async with asyncio.timeout(copies.LIFE_S + 1):
            for number in range(len(self.servers)):
                while await self.balances(number) != self.expected():
                    await asyncio.sleep(0.1)

    async def _findings(self, source: database.Database, hot: hotstore.Hotstore) -> list[Finding]:
        truth = Checks(source)
        keys = [
            engine.key(one.asset_code, one.owner.owner_type, one.owner.owner_id)
            for one in self.members
        ]
        findings = await Examiner(truth, Copies(hot)).examine(keys, entries_max=2**31)
        findings += await truth.evidence(start=0, end=2**63 - 1)
        findings += await truth.tallies(whole=True)
        return findings + await truth.sums()

    async def _until_chained(self, source: database.Database) -> None:
        journal = Journal()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                head = await journal.head(source)
                if head and not await journal.units(source, start=head.end, end=2**62):
                    return
                await asyncio.sleep(0.05)


def _told(answer: batch_pb2.BatchResult) -> bytes:
    """Return what an answer says, whether it is told for the first time or again."""
    told = batch_pb2.BatchResult()
    told.CopyFrom(answer)
    told.replayed = False
    return told.SerializeToString(deterministic=True)
