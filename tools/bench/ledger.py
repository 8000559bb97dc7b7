"""The ledger under load: batches that move points and coins, and balances read."""

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from services.chassis import clients, clock, ids, timestamps
from tools.bench import load

WIDTHS = (1, 64, 256)

_SERVICE = "tessera.ledger.v1.LedgerService"
_UPLOADS = "tessera.ledger.v1.UploadService"
_HOT_WIDTHS = (64, 256)
_POINTS = "bench.points"
_COINS = "bench.coins"
_EARNED = 100
#: The member and the campaign whose accounts everybody wants at once.
_HOT_MEMBER = f"mem_{'f' * 32}"
_HOT_CAMPAIGN = f"cmp_{'f' * 32}"
_BUDGET = 10**15
_SEED_OPERATIONS = 200

pb = ledger_service_pb2
uploads = upload_service_pb2
#: Transfers that one message of an upload carries.
_BULK = 8000
#: No ledger on this machine answers more requests in a second.
_RATE_MAX = 6000
_BROADCASTS_MAX = 3

T = TypeVar("T")


class Requests(Generic[T]):
    """Requests that are made before they are sent, up to `rate_max` for each second."""

    def __init__(
        self,
        make: Callable[[], T],
        send: Callable[[T], Awaitable[None]],
        *,
        rate_max: int = _RATE_MAX,
    ) -> None:
        self._make = make
        self._send = send
        self._rate_max = rate_max
        self._ready: deque[T] = deque()

    def prepare(self, seconds: float) -> None:
        """Make as many requests as so many seconds can take."""
        missing = int(seconds * self._rate_max) - len(self._ready)
        self._ready.extend(self._make() for _ in range(missing))

    async def call(self) -> None:
        """Send the next one."""
        await self._send(self._ready.popleft() if self._ready else self._make())

    def subject(self, name: str, in_flight: int, *, units: int = 1) -> load.Subject:
        """Return the measurement of these requests."""
        return load.Subject(name, self.call, in_flight, units=units, prepare=self.prepare)


class Load:
    """Random work on many accounts; the same accounts in every run on one database."""

    def __init__(self, channel: grpc.aio.Channel, tokens: clients.Tokens, *, accounts: int) -> None:
        self._stub: Any = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._posting: Any = channel.unary_unary(f"/{_SERVICE}/PostBatches")
        self._reading: Any = channel.unary_unary(f"/{_SERVICE}/GetBalances")
        self._uploading: Any = channel.stream_stream(f"/{_UPLOADS}/UploadTransfers")
        self._uploads: Any = upload_service_pb2_grpc.UploadServiceStub(channel)
        # A token lives for a quarter of an hour, and ten million transfers take longer.
        self._tokens = tokens
        self._owners = [f"mem_{number:032x}" for number in range(accounts)]
        #: Transfers in one upload, of which every account gets one at most.
        self.bulk = min(_BULK, accounts)
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
                moves = (_move(code, owner, 1000, earns=True) for owner in owners)
                await self._post(_batch(*moves))
        await self._post(
            _batch(
                _move(_COINS, _HOT_MEMBER, 10**9, earns=True),
                _fund(_COINS, _HOT_CAMPAIGN, _BUDGET),
            )
        )

    async def grow(self, transfers: int, progress: Callable[[str], None]) -> None:
        """Store so many transfers more."""
        for done in range(0, transfers, 2 * self.bulk):
            progress(f"storing transfers: {done:,} of {transfers:,}")
            await asyncio.gather(
                *(self._upload(self._broadcast(code)) for code in (_POINTS, _COINS))
            )

    def moves(self, code: str) -> Requests[bytes]:
        """Return postings that earn or spend, each on one of all the accounts."""
        return Requests(lambda: self._move(code, self._chance.choice(self._owners)), self._post)

    def hot_member_moves(self) -> Requests[bytes]:
        """Return postings on one member's account: a company card in many hands."""
        return Requests(lambda: self._move(_COINS, _HOT_MEMBER), self._post)

    def hot_budget_draws(self) -> Requests[bytes]:
        """Return draws from one campaign's budget: every till of the chain on its first day."""
        return Requests(lambda: _batch(_draw(_COINS, _HOT_CAMPAIGN, 1)), self._post)

    def balance_reads(self) -> Requests[bytes]:
        """Return questions for balances of a thousand accounts, as tills ask for those at hand."""
        return Requests(self._question, self._read)

    async def read_statement(self) -> None:
        """Read the newest page of the statement of the account with the most entries."""
        owner = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=_HOT_MEMBER)
        key = account_pb2.AccountKey(owner=owner, asset_code=_COINS)
        await self._call(self._stub.ListEntries, pb.ListEntriesRequest(account=key, page_size=50))

    def broadcasts(self, code: str) -> "Requests[tuple[str, bytes]]":
        """Return uploads that each give a little to thousands of accounts in one message."""
        return Requests(lambda: self._broadcast(code), self._upload, rate_max=_BROADCASTS_MAX)

    def _broadcast(self, code: str) -> tuple[str, bytes]:
        upload_id = ids.new("upl")
        transfers = [
            _move(code, owner, 1, earns=True).transfer
            for owner in self._chance.sample(self._owners, k=self.bulk)
        ]
        piece = uploads.UploadTransfersRequest(upload_id=upload_id, transfers=transfers)
        return upload_id, piece.SerializeToString()

    async def _upload(self, broadcast: tuple[str, bytes]) -> None:
        upload_id, piece = broadcast
        begin = uploads.CreateUploadRequest(
            upload_id=upload_id, occurred_time=timestamps.show(clock.system())
        )
        await self._call(self._uploads.CreateUpload, begin)
        metadata = await self._metadata()
        async for data in self._uploading(iter([piece]), metadata=metadata, timeout=30):
            answer = uploads.UploadTransfersResponse.FromString(data)
            if answer.upload.posted_count != self.bulk:
                raise RuntimeError(f"refused: {answer.refusals[0].refusal.message}")

    def recovery(self, kill: Callable[[], None]) -> Callable[[float], Awaitable[load.Sample]]:
        """Return a measurement of the time from `kill` to the first posting that is answered."""

        async def measure(_: float) -> load.Sample:
            kill()
            start = time.perf_counter()
            while True:
                with suppress(grpc.aio.AioRpcError):
                    await self._post(self._move(_COINS, self._owners[0]))
                    break
                await asyncio.sleep(0.01)
            seconds = time.perf_counter() - start
            return load.Sample(1 / seconds, [seconds * 1000])

        return measure

    def _question(self) -> bytes:
        owner = account_pb2.Owner(
            owner_type=account_pb2.OWNER_TYPE_MEMBER,
            owner_id=self._chance.choice(self._owners[:1000]),
        )
        key = account_pb2.AccountKey(owner=owner, asset_code=_POINTS)
        return pb.GetBalancesRequest(accounts=[key]).SerializeToString()

    def _move(self, code: str, owner_id: str) -> bytes:
        return _batch(_move(code, owner_id, _EARNED, earns=self._chance.random() < 0.5))

    async def _read(self, request: bytes) -> None:
        await self._call(self._reading, request)

    async def _post(self, request: bytes) -> None:
        answer = await self._call(self._posting, request)
        (result,) = pb.PostBatchesResponse.FromString(answer).results
        if result.state != batch_pb2.BATCH_STATE_POSTED:
            raise RuntimeError(f"refused: {result.refusal.message}")

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        return await method(request, metadata=await self._metadata(), timeout=30)

    async def _metadata(self) -> tuple[tuple[str, str]]:
        return (("authorization", await self._tokens.authorization()),)


def _batch(*operations: batch_pb2.Operation) -> bytes:
    batch = batch_pb2.Batch(
        batch_id=ids.new("bat"),
        occurred_time=timestamps.show(clock.system()),
        receipt_id=secrets.token_hex(8),
        operations=operations,
    )
    return pb.PostBatchesRequest(batches=[batch]).SerializeToString()


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


def _fund(code: str, campaign_id: str, amount: int) -> batch_pb2.Operation:
    return _between(code, _world("budgets"), _campaign(campaign_id), amount, "FUND")


def _draw(code: str, campaign_id: str, amount: int) -> batch_pb2.Operation:
    return _between(code, _campaign(campaign_id), _world("given"), amount, "BURN")


def _world(purpose: str) -> account_pb2.Owner:
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id=purpose)


def _campaign(campaign_id: str) -> account_pb2.Owner:
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_CAMPAIGN, owner_id=campaign_id)


def _between(
    code: str, debit: account_pb2.Owner, credit: account_pb2.Owner, amount: int, reason: str
) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=code,
            debit=debit,
            credit=credit,
            amount=amount,
            reason=account_pb2.TransferReason.Value(f"TRANSFER_REASON_{reason}"),
        )
    )


async def subjects(
    channel: grpc.aio.Channel,
    tokens: clients.Tokens,
    *,
    accounts: int,
    progress: Callable[[str], None],
) -> tuple[Load, list[load.Subject | load.Steady]]:
    """Return what is measured of the ledger behind a channel, after opening so many accounts."""
    work = Load(channel, tokens, accounts=accounts)
    await work.prepare(progress)
    points, coins = work.moves(_POINTS), work.moves(_COINS)
    hot_member, hot_budget = work.hot_member_moves(), work.hot_budget_draws()
    balances = work.balance_reads()
    return work, [
        *(points.subject("post, in lots", width) for width in WIDTHS),
        load.Steady(points.subject("post, in lots", WIDTHS[-1])),
        *(coins.subject("post, no lots", width) for width in WIDTHS),
        *(hot_member.subject("post, one hot member", width) for width in _HOT_WIDTHS),
        *(hot_budget.subject("post, one hot budget", width) for width in _HOT_WIDTHS),
        work.broadcasts(_POINTS).subject("bulk, in lots", 1, units=work.bulk),
        work.broadcasts(_COINS).subject("bulk, no lots", 1, units=work.bulk),
        *(balances.subject("read a balance", width) for width in (1, 64)),
        load.Subject("statement page", work.read_statement, 64),
    ]
