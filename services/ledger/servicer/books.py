"""The books, method by method."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc
from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import account_pb2, books_service_pb2_grpc
from tessera.ledger.v1 import books_service_pb2 as pb

from services.chassis import clock, ids, timestamps
from services.ledger import engine, errors, pages, tracing, wire
from services.ledger.servicer import known
from services.ledger.storage import Assets, Books, Liabilities, books

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50


class BooksServicer(books_service_pb2_grpc.BooksServiceServicer):
    """Answers what was, where it came from and where it went."""

    def __init__(
        self,
        source: Books,
        liabilities: Liabilities,
        assets: Assets,
        *,
        now: clock.Clock = clock.system,
    ) -> None:
        self._books = source
        self._liabilities = liabilities
        self._assets = assets
        self._tracing = tracing.Tracing(source)
        self._now = now

    async def GetPastBalance(
        self, request: pb.GetPastBalanceRequest, context: Context
    ) -> pb.GetPastBalanceResponse:
        """Read what an account held."""
        key = wire.key(request.account)
        asset = await known.asset(self._assets, key.asset_code)
        at = self._past(request.at_time)
        if request.basis == pb.TIME_BASIS_OCCURRED:
            total = await self._books.occurred_total(key.id, at)
            found = engine.PastBalance(key, at, total, 0, 0, 0, 0)
        else:
            version, total = await self._books.past_total(key.id, at)
            lots: list[engine.Lot] = []
            if version and asset.lots is not None:
                slides = asset.lots.slides
                lots = await self._books.past_lots(key.id, at, version=version, spent_too=slides)
            found = engine.past_balance(key, asset, lots, total=total, version=version, at=at)
        return pb.GetPastBalanceResponse(balance=_past_balance(found))

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Context
    ) -> pb.GetStatementResponse:
        """Read the statement of a period."""
        key = wire.key(request.account)
        await known.asset(self._assets, key.asset_code)
        from_time, until_time = timestamps.read(request.from_time), self._past(request.until_time)
        name = f"statement {key.id} {from_time} {until_time}"
        position = pages.position(name, request.page_token, _numbers)
        if position is None:
            span = await self._books.span(key.id, from_time=from_time, until_time=until_time)
            totals, after = await self._books.totals(key.id, span), span.after_version
        else:
            first, last, after = position
            span = await self._books.between(key.id, after_version=first, until_version=last)
            totals = []
        limit = request.page_size or _PAGE
        lines = await self._books.entries(
            key.id, after_version=after, until_version=span.until_version, limit=limit + 1
        )
        response = pb.GetStatementResponse(
            opening_balance=span.opening,
            closing_balance=span.closing,
            totals=map(_total, totals),
            entries=[wire.entry(line, key) for line in lines[:limit]],
        )
        if len(lines) > limit:
            numbers = span.after_version, span.until_version, lines[limit - 1].version
            response.next_page_token = pages.token(name, *numbers)
        return response

    async def TraceSpending(
        self, request: pb.TraceSpendingRequest, context: Context
    ) -> pb.TraceSpendingResponse:
        """Tell which earnings an operation consumed."""
        parts = await self._tracing.back(_place(request.batch_id, request.operation_index))
        return pb.TraceSpendingResponse(parts=map(_part, parts))

    async def TraceEarning(
        self, request: pb.TraceEarningRequest, context: Context
    ) -> pb.TraceEarningResponse:
        """Tell where the lots went that an operation made."""
        course = await self._tracing.onward(_place(request.batch_id, request.operation_index))
        return pb.TraceEarningResponse(
            lots=map(_descent, course.lots),
            uses=[_use(use, by) for use, by in course.uses],
            truncated=course.truncated,
        )

    async def GetLiability(
        self, request: pb.GetLiabilityRequest, context: Context
    ) -> pb.GetLiabilityResponse:
        """Report what is owed."""
        asset = await known.asset(self._assets, request.asset_code)
        now = self._now()
        found = await self._liabilities.report(
            asset, now=now, history_months=request.history_months or engine.HISTORY_MONTHS
        )
        shown = _liability(asset, found, now)
        if request.HasField("value"):
            shown.money.CopyFrom(_money(found, request.value))
        return pb.GetLiabilityResponse(liability=shown)

    def _past(self, stamp: timestamp_pb2.Timestamp) -> datetime:
        at = timestamps.read(stamp)
        if at > self._now():
            raise errors.TimeNotPast
        return at


def _place(batch_id: str, operation_index: int) -> engine.Place:
    return engine.Place(ids.parse(wire.BATCH, batch_id), operation_index)


def _numbers(parts: Sequence[str]) -> tuple[int, int, int]:
    first, last, after = (pages.number([part]) for part in parts)
    return first, last, after


def _past_balance(found: engine.PastBalance) -> pb.PastBalance:
    return pb.PastBalance(
        account=wire.show_key(found.key),
        at_time=timestamps.show(found.at),
        total=found.total,
        available=found.available,
        pending=found.pending,
        expired=found.expired,
        version=found.version,
    )


def _total(total: books.Total) -> pb.StatementTotal:
    return pb.StatementTotal(
        reason=account_pb2.TransferReason.ValueType(total.reason),
        entry_count=total.entry_count,
        credits=total.credits,
        debits=total.debits,
    )


def _part(part: tracing.Part) -> pb.SpentPart:
    return pb.SpentPart(
        amount=part.amount, restored=part.restored, origins=map(_origin, part.origins)
    )


def _origin(origin: tracing.Origin) -> pb.LotOrigin:
    by = origin.made_by
    return pb.LotOrigin(
        lot_id=ids.show(wire.LOT, origin.lot.id),
        account=wire.show_key(by.credit),
        batch_id=wire.show_batch(by.place),
        operation_index=by.place.operation_index,
        reason=account_pb2.TransferReason.ValueType(by.reason),
        counterparty=wire.show_key(by.debit).owner,
        receipt_id=by.receipt_id,
        campaign_id=by.campaign_id,
        occurred_time=timestamps.show(by.occurred_at),
    )


def _descent(descent: tracing.Descent) -> pb.TracedLot:
    lot, source = descent.lot, descent.source_id
    return pb.TracedLot(
        lot_id=ids.show(wire.LOT, lot.id),
        account=wire.show_key(descent.key),
        amount=lot.amount,
        remaining=lot.remaining,
        expire_time=timestamps.show(lot.expires_at),
        source_lot_id="" if source is None else ids.show(wire.LOT, source),
    )


def _use(use: books.Use, by: books.Movement) -> pb.LotUse:
    other = by.credit if use.amount > 0 else by.debit
    return pb.LotUse(
        lot_id=ids.show(wire.LOT, use.lot_id),
        amount=use.amount,
        batch_id=wire.show_batch(use.place),
        operation_index=use.place.operation_index,
        reason=account_pb2.TransferReason.ValueType(by.reason),
        counterparty=wire.show_key(other).owner,
        receipt_id=by.receipt_id,
        campaign_id=by.campaign_id,
        occurred_time=timestamps.show(by.occurred_at),
        record_time=timestamps.show(by.recorded_at),
    )


def _liability(asset: engine.Asset, found: engine.Liability, now: datetime) -> pb.Liability:
    return pb.Liability(
        asset_code=asset.code,
        as_of_time=timestamps.show(now),
        available=found.available,
        pending=found.pending,
        held=found.held,
        expired=found.expired,
        outstanding=found.outstanding,
        expected_breakage=found.breakage,
        by_age=[
            pb.LiabilityByAge(
                age_months=line.age,
                outstanding=line.outstanding,
                breakage_rate_billionths=line.breakage_rate,
                expected_breakage=line.breakage,
            )
            for line in found.by_age
        ],
        by_expiry=[
            pb.LiabilityByExpiry(
                month=engine.month_name(line.month),
                available=line.available,
                pending=line.pending,
                held=line.held,
            )
            for line in found.by_expiry
        ],
    )


def _money(found: engine.Liability, value: pb.PointValue) -> pb.LiabilityMoney:
    terms = {"value_minor": value.value_minor, "units": value.units}
    outstanding = engine.money(found.outstanding, **terms)
    breakage = engine.money(found.breakage, **terms)
    return pb.LiabilityMoney(
        currency_code=value.currency_code,
        outstanding_minor=outstanding,
        expected_breakage_minor=breakage,
        liability_minor=outstanding - breakage,
    )
