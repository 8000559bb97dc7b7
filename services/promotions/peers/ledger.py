"""The ledger, as promotions needs it: balances before, batches after."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

import grpc
import structlog
from tessera.ledger.v1 import (
    account_pb2,
    adjustment_service_pb2,
    adjustment_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    coupon_service_pb2,
    coupon_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from services.chassis import errors as chassis_errors
from services.chassis import status
from services.promotions import errors
from services.promotions.gathering import Gatherer
from services.promotions.peers.presence import Presence
from services.promotions.peers.waiting import in_time
from services.promotions.wire import accounts
from services.promotions.wire.accounts import Account

NAME = "ledger"
SERVICE = "tessera.ledger.v1.LedgerService"

_DOMAIN = "ledger.tessera"
#: Said before our assets were made; see preparation.
_NOT_READY = frozenset({"ASSET_NOT_FOUND"})
#: Why a code is nobody's coupon.
_NO_COUPON = frozenset(
    {"CODE_NOT_FOUND", "COUPON_REVOKED", "TOO_MANY_ATTEMPTS", "CODES_NOT_CONFIGURED"}
)
#: Why no code can be drawn.
_NO_CODES = frozenset({"CODE_TAKEN", "CODES_NOT_CONFIGURED"})
_ACCOUNTS_MAX = 100
_BATCHES_MAX = 500
#: How long a caller waits for a posting, in seconds: less than tills wait for us.
_POST_S_MAX = 3.0
#: And for a code, which a purchase can do without.
_DRAW_S_MAX = 1.0

T = TypeVar("T")

log = structlog.get_logger()


class Ledger:
    """Asks the ledger. What is in flight at the same time shares calls.

    Every method raises DependencyUnavailable when the ledger does not answer, or does not let our
    client ask: it then names the missing scope. `run` belongs into the background of the server.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._adjustments = adjustment_service_pb2_grpc.AdjustmentServiceStub(channel)
        self._coupons = coupon_service_pb2_grpc.CouponServiceStub(channel)
        self._presence = Presence(NAME)
        self._reads: Gatherer[tuple[Account, ...], dict[Account, int]] = Gatherer(
            self._read, weight_max=_ACCOUNTS_MAX, weigh=len
        )
        self._posts: Gatherer[batch_pb2.Batch, batch_pb2.BatchResult] = Gatherer(
            self._post, weight_max=_BATCHES_MAX
        )

    async def run(self) -> None:
        """Carry calls until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reads.run())
            group.create_task(self._posts.run())

    async def available(self, wanted: Iterable[Account]) -> dict[Account, int]:
        """Return what each account has available."""
        different = tuple(dict.fromkeys(wanted))
        found: dict[Account, int] = {}
        for start in range(0, len(different), _ACCOUNTS_MAX):
            part = self._reads.ask(different[start : start + _ACCOUNTS_MAX])
            found |= await in_time(part, service=NAME)
        return found

    async def post(self, batch: batch_pb2.Batch) -> batch_pb2.BatchResult:
        """Post a batch; a refusal is a result.

        The outcome of DependencyUnavailable is `unknown`: the batch may have been posted, or be
        posted yet.
        """
        try:
            answer = self._posts.ask(batch)
            return await in_time(answer, service=NAME, seconds_max=_POST_S_MAX)
        except errors.DependencyUnavailable as away:
            raise away.left_open() from None

    async def find_batch(self, batch_id: str) -> batch_pb2.BatchResult:
        """Return the outcome of a posted batch."""
        request = ledger_service_pb2.GetBatchRequest(batch_id=batch_id)
        response = await self._answered(self._stub.GetBatch(request))
        return response.result

    async def balance(self, account: Account) -> account_pb2.Balance:
        """Return an account's balance with its version."""
        request = ledger_service_pb2.GetBalancesRequest(accounts=[accounts.key(account)])
        response = await self._answered(self._stub.GetBalances(request))
        return response.balances[0]

    async def propose(
        self, request: adjustment_service_pb2.ProposeAdjustmentRequest, *, authorization: str
    ) -> adjustment_service_pb2.Adjustment:
        """Propose a correction in the name of whoever has that authorization.

        The outcome of DependencyUnavailable is `unknown`, as that of `post`.
        """
        metadata = (("authorization", authorization),)
        try:
            response = await self._answered(
                self._adjustments.ProposeAdjustment(request, metadata=metadata)
            )
        except errors.DependencyUnavailable as away:
            raise away.left_open() from None
        return response.adjustment

    async def find_adjustment(self, adjustment_id: str) -> adjustment_service_pb2.Adjustment | None:
        """Return a correction; None when nobody has proposed it."""
        request = adjustment_service_pb2.GetAdjustmentRequest(adjustment_id=adjustment_id)
        try:
            response = await self._answered(self._adjustments.GetAdjustment(request))
        except grpc.aio.AioRpcError as error:
            if status.read(error).reason != "ADJUSTMENT_NOT_FOUND":
                raise
            return None
        return response.adjustment

    async def find_coupon(
        self, code: str, *, presenter_id: str
    ) -> coupon_service_pb2.Coupon | None:
        """Return the coupon behind a secret code; None when there is none for this presenter.

        Those who tried too many codes that do not exist have none until they have waited.
        """
        request = coupon_service_pb2.ResolveCouponRequest(code=code, presenter_id=presenter_id)
        try:
            response = await self._answered(self._coupons.ResolveCoupon(request))
        except grpc.aio.AioRpcError as error:
            if status.read(error).reason not in _NO_COUPON:
                raise
            return None
        return response.coupon

    async def draw_coupon(
        self, series_id: str, *, campaign_id: str, uses: int
    ) -> coupon_service_pb2.DrawCouponResponse:
        """Return a code for a campaign's coupon, always the same one for a series.

        A ledger that draws no codes counts as one that does not answer.
        """
        request = coupon_service_pb2.DrawCouponRequest(
            series_id=series_id,
            campaign_id=campaign_id,
            asset_code=accounts.coupon_asset(campaign_id),
            uses=uses,
        )
        try:
            answered = self._answered(self._coupons.DrawCoupon(request))
            return await in_time(answered, service=NAME, seconds_max=_DRAW_S_MAX)
        except grpc.aio.AioRpcError as error:
            answer = status.read(error)
            if answer.reason not in _NO_CODES:
                raise
            log.warning("no coupon is printed", why=answer.message)
            raise errors.DependencyUnavailable(service=NAME) from None

    async def create_asset(self, asset: asset_pb2.Asset) -> None:
        """Make an asset, unless it exists already as it should be."""
        await self._answered(
            self._stub.CreateAsset(ledger_service_pb2.CreateAssetRequest(asset=asset))
        )

    async def set_ceiling(self, account: Account, ceiling: int) -> None:
        """Bound what an account may hold."""
        request = ledger_service_pb2.SetAccountLimitsRequest(
            account=accounts.key(account), ceiling=ceiling
        )
        await self._answered(self._stub.SetAccountLimits(request))

    async def _read(self, groups: list[tuple[Account, ...]]) -> Sequence[dict[Account, int]]:
        wanted = list(dict.fromkeys(account for group in groups for account in group))
        found: dict[Account, int] = {}
        for start in range(0, len(wanted), _ACCOUNTS_MAX):
            part = wanted[start : start + _ACCOUNTS_MAX]
            request = ledger_service_pb2.GetBalancesRequest(accounts=map(accounts.key, part))
            response = await self._answered(self._stub.GetBalances(request))
            for account, balance in zip(part, response.balances, strict=True):
                # Counters count up: what others hold is counted already.
                held = balance.incoming if accounts.is_count(account) else 0
                found[account] = balance.available + held
        return [{account: found[account] for account in group} for group in groups]

    async def _post(self, batches: list[batch_pb2.Batch]) -> Sequence[batch_pb2.BatchResult]:
        # Two callers may help the same receipt along: the ledger wants each id once in a call.
        different = {batch.batch_id: batch for batch in batches}
        request = ledger_service_pb2.PostBatchesRequest(batches=different.values())
        response = await self._answered(self._stub.PostBatches(request))
        results = dict(zip(different, response.results, strict=True))
        return [results[batch.batch_id] for batch in batches]

    async def _answered(self, call: Awaitable[T]) -> T:
        try:
            answered = await call
        except grpc.aio.AioRpcError as error:
            answer = status.read(error)
            if answer.domain == _DOMAIN and answer.reason not in _NOT_READY:
                raise  # the ledger is there and means it: a defect or a setting of ours
            raise self._presence.unanswered(answer) from error
        except (chassis_errors.Unavailable, chassis_errors.DeadlineTooShort) as error:
            # There is no token, or too little time is left to ask.
            self._presence.lost(code=error.reason, why=error.message)
            raise errors.DependencyUnavailable(service=NAME) from None
        self._presence.found()
        return answered
