"""Posting and reading value, method by method."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

import grpc
from tessera.ledger.v1 import ledger_service_pb2 as pb
from tessera.ledger.v1 import ledger_service_pb2_grpc

from services.chassis import clock, ids, methods, telemetry, timestamps
from services.ledger import engine, errors, pages, wire
from services.ledger.balances import Balances
from services.ledger.committer import Committer
from services.ledger.servicer import known
from services.ledger.storage import Accounts, Assets, LotCursor, Statements

Context = grpc.aio.ServicerContext[Any, Any]

_ASSETS_PAGE = 100
_PAGE = 50
_VERSION_MAX = 2**63 - 1
_EVER_UNTIL = datetime(9000, 1, 1, tzinfo=UTC)


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Answers the calls of the ledger."""

    def __init__(
        self,
        *,
        committer: Committer,
        balances: Balances,
        accounts: Accounts,
        assets: Assets,
        statements: Statements,
        now: clock.Clock = clock.system,
    ) -> None:
        self._committer = committer
        self._balances = balances
        self._accounts = accounts
        self._assets = assets
        self._statements = statements
        self._now = now

    @methods.reads_late
    async def PostBatches(
        self, request: Callable[[], pb.PostBatchesRequest], context: Context
    ) -> pb.PostBatchesResponse:
        """Post batches, which are read together with those of others."""
        trace_parent = telemetry.trace_parent()

        def read() -> Sequence[wire.Order]:
            return [wire.order(sent, trace_parent=trace_parent) for sent in request().batches]

        return pb.PostBatchesResponse(results=await self._committer.post_unread(read))

    async def GetBatch(self, request: pb.GetBatchRequest, context: Context) -> pb.GetBatchResponse:
        """Look up what became of a batch."""
        answer = await self._statements.answer(ids.parse(wire.BATCH, request.batch_id))
        if answer is None:
            raise errors.BatchNotFound
        return pb.GetBatchResponse(result=wire.replay(answer))

    @methods.reads_late
    async def GetBalances(
        self, request: Callable[[], pb.GetBalancesRequest], context: Context
    ) -> pb.GetBalancesResponse:
        """Read balances; what is asked for is read together with the questions of others."""
        keys: list[engine.Key] = []

        def read() -> tuple[Sequence[engine.Key], int]:
            asked = request()
            keys.extend(map(wire.key, asked.accounts))
            return keys, asked.min_version

        found = await self._balances.read_unread(read)
        response = pb.GetBalancesResponse()
        for key in keys:
            wire.fill_balance(response.balances.add(), found[key.id])
        return response

    async def CreateAsset(
        self, request: pb.CreateAssetRequest, context: Context
    ) -> pb.CreateAssetResponse:
        """Make an asset, or find that it is there."""
        wanted = wire.asset(request.asset, now=self._now())
        made = (await self._assets.get([wanted.code])).get(wanted.code)
        if made is None:
            if wanted.lots is not None and wanted.lots.time_zone not in _time_zones():
                raise errors.TimeZoneUnknown(time_zone=wanted.lots.time_zone)
            made = await self._assets.create(wanted)
        if field := engine.first_difference(made, wanted):
            raise errors.AssetConflict(field=field)
        return pb.CreateAssetResponse(asset=wire.show_asset(made))

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.GetAssetResponse:
        """Read an asset."""
        asset = await self._require_asset(request.asset_code)
        return pb.GetAssetResponse(asset=wire.show_asset(asset))

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: Context
    ) -> pb.ListAssetsResponse:
        """List assets by code."""
        limit = request.page_size or _ASSETS_PAGE
        after = pages.position("assets", request.page_token, pages.text) or ""
        found = await self._assets.list(after=after, limit=limit + 1)
        response = pb.ListAssetsResponse(assets=map(wire.show_asset, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token("assets", found[limit - 1].code)
        return response

    async def SetAccountLimits(
        self, request: pb.SetAccountLimitsRequest, context: Context
    ) -> pb.SetAccountLimitsResponse:
        """Give one account its own floor and ceiling."""
        key = wire.key(request.account)
        asset = await self._require_asset(key.asset_code)
        floor = request.floor if request.HasField("floor") else asset.floor
        ceiling = request.ceiling if request.HasField("ceiling") else asset.ceiling
        await self._committer.sweep([key])  # what is held no longer does not stand in the way
        async with self._accounts.transaction() as tx:
            account = await self._accounts.lock(tx, key, asset)
            if asset.opened_explicitly and not account.version:
                raise errors.AccountNotFound
            limited = engine.limited(account, asset, floor=floor, ceiling=ceiling)
            if limited.version != account.version:
                await self._accounts.save(tx, limited)
        found = await self._balances.read([key], version_min=limited.version)
        return pb.SetAccountLimitsResponse(balance=wire.balance(found[key.id]))

    async def ListEntries(
        self, request: pb.ListEntriesRequest, context: Context
    ) -> pb.ListEntriesResponse:
        """List what moved on an account, newest first."""
        key = wire.key(request.account)
        await self._require_asset(key.asset_code)
        from_time, until_time = _span(request)
        name = f"entries {key.id} {from_time} {until_time}"
        below = pages.position(name, request.page_token, pages.number)
        limit = request.page_size or _PAGE
        lines = await self._statements.entries(
            key.id,
            below=_VERSION_MAX if below is None else below,
            from_time=from_time,
            until_time=until_time,
            limit=limit + 1,
        )
        response = pb.ListEntriesResponse(entries=[wire.entry(line, key) for line in lines[:limit]])
        if len(lines) > limit:
            response.next_page_token = pages.token(name, lines[limit - 1].version)
        return response

    async def ListLots(self, request: pb.ListLotsRequest, context: Context) -> pb.ListLotsResponse:
        """List an account's lots that have something left, as they will be spent."""
        key = wire.key(request.account)
        await self._require_asset(key.asset_code)
        name = f"lots {key.id}"
        after = pages.position(name, request.page_token, _lot_cursor)
        limit = request.page_size or _PAGE
        found = await self._statements.lots(key.id, now=self._now(), after=after, limit=limit + 1)
        lots = [wire.lot(lot, key, expires_at=expires_at) for lot, expires_at in found[:limit]]
        response = pb.ListLotsResponse(lots=lots)
        if len(found) > limit:
            lot, expires_at = found[limit - 1]
            response.next_page_token = pages.token(name, expires_at or _EVER_UNTIL, lot.id)
        return response

    async def _require_asset(self, code: str) -> engine.Asset:
        return await known.asset(self._assets, code)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _span(request: pb.ListEntriesRequest) -> tuple[datetime | None, datetime]:
    """Return the recording times that are asked for; None begins at the beginning."""
    from_time, until_time = None, _EVER_UNTIL
    if request.HasField("from_time"):
        from_time = timestamps.read(request.from_time)
    if request.HasField("until_time"):
        until_time = timestamps.read(request.until_time)
    return from_time, until_time


def _lot_cursor(parts: Sequence[str]) -> LotCursor:
    moment, lot_id = parts
    expires_at = pages.moment(moment)
    return LotCursor(None if expires_at == _EVER_UNTIL else expires_at, UUID(lot_id))
