"""Settlement, method by method."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import settlement_service_pb2 as pb
from tessera.ledger.v1 import settlement_service_pb2_grpc

from services.chassis import auth, clock, database, timestamps
from services.ledger import engine, errors, pages
from services.ledger.servicer import known
from services.ledger.storage import Assets, Settlements
from services.ledger.storage.settlements import Period, Position

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50
_EVER_FROM = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_MAX = 2**31 - 1
_Drawn = tuple[Period, Sequence[Position], Sequence[engine.Debt]]


class SettlementServicer(settlement_service_pb2_grpc.SettlementServiceServicer):
    """Answers who owes whom."""

    def __init__(
        self, source: Settlements, assets: Assets, *, now: clock.Clock = clock.system
    ) -> None:
        self._settlements = source
        self._assets = assets
        self._now = now

    async def SetSettlementRate(
        self, request: pb.SetSettlementRateRequest, context: Context
    ) -> pb.SetSettlementRateResponse:
        """Set a rate."""
        rate = _rate(request.rate)
        await self._check(rate.asset_code)
        currency = await self._settlements.currency(rate.asset_code)
        if currency not in {None, rate.currency_code}:
            raise errors.RateConflict(field="currency_code")
        by = auth.current().client_id
        kept = await self._settlements.set_rate(rate, by=by, now=self._now())
        if (kept.value_minor, kept.units) != (rate.value_minor, rate.units):
            raise errors.RateConflict(field="value_minor")
        return pb.SetSettlementRateResponse(rate=_show_rate(kept))

    async def ListSettlementRates(
        self, request: pb.ListSettlementRatesRequest, context: Context
    ) -> pb.ListSettlementRatesResponse:
        """List rates."""
        name = f"settlement rates {request.asset_code}"
        limit = request.page_size or _PAGE
        found = await self._settlements.rates(
            request.asset_code,
            after=pages.position(name, request.page_token, _cursor),
            limit=limit + 1,
        )
        response = pb.ListSettlementRatesResponse(rates=map(_show_rate, found[:limit]))
        if len(found) > limit:
            last = found[limit - 1]
            response.next_page_token = pages.token(
                name, last.issuer_id, last.acceptor_id, last.effective_at
            )
        return response

    async def PreviewSettlement(
        self, request: pb.PreviewSettlementRequest, context: Context
    ) -> pb.PreviewSettlementResponse:
        """Show what closing would give."""
        await self._check(request.asset_code)
        until_time = self._past(request.until_time)
        async with self._settlements.reading() as tx:
            drawn = await self._closed(tx, request.asset_code, until_time)
            drawn = drawn or await self._draw(tx, request.asset_code, until_time)
        return pb.PreviewSettlementResponse(statement=_statement(*drawn))

    async def CloseSettlementPeriod(
        self, request: pb.CloseSettlementPeriodRequest, context: Context
    ) -> pb.CloseSettlementPeriodResponse:
        """Close a period, once."""
        await self._check(request.asset_code)
        until_time = self._past(request.until_time)
        by = auth.current().client_id
        async with self._settlements.closing(request.asset_code) as tx:
            drawn = await self._closed(tx, request.asset_code, until_time)
            if drawn is None:
                period, positions, debts = await self._draw(tx, request.asset_code, until_time)
                period = period._replace(closed_at=self._now())
                await self._settlements.insert(tx, period, positions, debts, by=by)
                drawn = period, positions, debts
        return pb.CloseSettlementPeriodResponse(statement=_statement(*drawn))

    async def GetSettlementStatement(
        self, request: pb.GetSettlementStatementRequest, context: Context
    ) -> pb.GetSettlementStatementResponse:
        """Read a statement."""
        async with self._settlements.reading() as tx:
            period = await self._settlements.period(tx, request.asset_code, request.number)
            if period is None:
                raise errors.PeriodNotFound
            positions, debts = await self._settlements.statement(tx, period)
        return pb.GetSettlementStatementResponse(statement=_statement(period, positions, debts))

    async def ListSettlementPeriods(
        self, request: pb.ListSettlementPeriodsRequest, context: Context
    ) -> pb.ListSettlementPeriodsResponse:
        """List closed periods."""
        name = f"settlement periods {request.asset_code}"
        below = pages.position(name, request.page_token, pages.small_number)
        limit = request.page_size or _PAGE
        found = await self._settlements.periods(
            request.asset_code, below=_NUMBER_MAX if below is None else below, limit=limit + 1
        )
        response = pb.ListSettlementPeriodsResponse(periods=map(_period, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(name, found[limit - 1].number)
        return response

    async def _closed(
        self, tx: database.Queryable, asset_code: str, until_time: datetime
    ) -> _Drawn | None:
        """Return the statement that has this end, None when there is none."""
        period = await self._settlements.ended(tx, asset_code, until_time)
        if period is None:
            return None
        return period, *await self._settlements.statement(tx, period)

    async def _draw(self, tx: database.Queryable, asset_code: str, until_time: datetime) -> _Drawn:
        """Return the statement of the time since the last period."""
        last = await self._settlements.last(tx, asset_code)
        from_time, number = _EVER_FROM, 1
        if last is not None:
            from_time, number = last.until_time, last.number + 1
        if until_time <= from_time:
            raise errors.PeriodClosed(until_time=from_time.isoformat())
        positions, accepted = await self._settlements.movements(tx, asset_code, until_time)
        rates = await self._settlements.rates_in_force(tx, asset_code, until_time)
        debts, currency_code = engine.debts(accepted, rates)
        period = Period(asset_code, number, from_time, until_time, None, currency_code)
        return period, positions, debts

    async def _check(self, asset_code: str) -> None:
        """Raise what is wrong with an asset; who issued a point is told by its lot."""
        asset = await known.asset(self._assets, asset_code)
        if asset.lots is None:
            raise errors.LotsNotKept

    def _past(self, stamp: timestamp_pb2.Timestamp) -> datetime:
        at = timestamps.read(stamp)
        if at > self._now():
            raise errors.TimeNotPast
        return at


def _rate(sent: pb.SettlementRate) -> engine.Rate:
    return engine.Rate(
        sent.asset_code,
        sent.issuer_id,
        sent.acceptor_id,
        timestamps.read(sent.effective_time),
        sent.value_minor,
        sent.units,
        sent.currency_code,
    )


def _show_rate(rate: engine.Rate) -> pb.SettlementRate:
    return pb.SettlementRate(
        asset_code=rate.asset_code,
        issuer_id=rate.issuer_id,
        acceptor_id=rate.acceptor_id,
        effective_time=timestamps.show(rate.effective_at),
        value_minor=rate.value_minor,
        units=rate.units,
        currency_code=rate.currency_code,
    )


def _cursor(parts: Sequence[str]) -> tuple[str, str, datetime]:
    issuer_id, acceptor_id, effective_at = parts
    return pages.text([issuer_id]), pages.text([acceptor_id]), pages.moment(effective_at)


def _period(period: Period) -> pb.SettlementPeriod:
    return pb.SettlementPeriod(
        asset_code=period.asset_code,
        number=period.number,
        from_time=timestamps.show(period.from_time),
        until_time=timestamps.show(period.until_time),
        close_time=timestamps.show(period.closed_at),
        currency_code=period.currency_code,
    )


def _statement(
    period: Period, positions: Sequence[Position], debts: Sequence[engine.Debt]
) -> pb.SettlementStatement:
    return pb.SettlementStatement(
        period=_period(period),
        positions=[
            pb.SettlementPosition(
                partner_id=position.partner_id,
                issued=position.issued,
                accepted=position.accepted,
                after_version=position.after_version,
                until_version=position.until_version,
            )
            for position in positions
            if not position.is_owing
        ],
        debts=[pb.SettlementDebt(**debt._asdict()) for debt in debts],
        nets=[pb.SettlementNet(**net._asdict()) for net in engine.nets(debts)],
    )
