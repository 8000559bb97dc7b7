"""How rows become nouns of the engine."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from services.chassis import database
from services.ledger import engine

#: The driver's words for PostgreSQL's infinite times.
INFINITY = datetime.max  # noqa: DTZ901
BEGINNING = datetime.min  # noqa: DTZ901

#: Columns of `accounts` that `account` reads.
ACCOUNT_COLUMNS = """account_id, floor, ceiling, balance, version, pending, next_event_time,
    next_expire_time, next_expire_amount, slide_time, lots_from_time, held, incoming,
    next_hold_time, state, debt"""

#: Columns of `lots` that `lot` reads; infinity is a lot that never expires.
LOT_COLUMNS = """lots.lot_id, lots.account_id, lots.batch_id, lots.operation_index, lots.amount,
    lots.remaining, lots.held, lots.activate_time,
    NULLIF(lots.expire_time, 'infinity') AS expire_time, lots.expiry_given, lots.create_time,
    lots.issuer_account_id, lots.bringer_account_id"""

#: Columns of `reserves` that `reserve` reads.
RESERVE_COLUMNS = """reserves.batch_id, reserves.operation_index, reserves.account_id,
    reserves.is_credit, reserves.remaining, reserves.state, reserves.expire_time,
    reserves.end_time, reserves.lot_ids, reserves.lot_amounts"""


def account(
    row: database.Record,
    key: engine.Key,
    lots: tuple[engine.Lot, ...] | None = None,
    reserves: tuple[engine.Reserve, ...] | None = None,
    *,
    has_more: bool = False,
) -> engine.Account:
    """Return the account of a row with ACCOUNT_COLUMNS."""
    (
        _account_id,
        floor,
        ceiling,
        balance,
        version,
        pending,
        next_event,
        next_expire,
        next_expire_amount,
        slides_until,
        lots_from,
        held,
        incoming,
        next_hold,
        state,
        debt,
        *_,
    ) = row
    summary = engine.Summary(
        pending,
        next_event,
        next_expire,
        next_expire_amount,
        lots_from,
        held,
        incoming,
        next_hold,
    )
    return engine.Account(
        key,
        floor,
        ceiling,
        balance,
        version,
        summary,
        slides_until,
        lots,
        reserves,
        engine.AccountState(state),
        debt,
        has_more,
    )


def lot(row: database.Record) -> engine.Lot:
    """Return the lot of a row with LOT_COLUMNS."""
    return engine.Lot(*row)


def reserve(row: database.Record) -> engine.Reserve:
    """Return the reserve of a row that begins with RESERVE_COLUMNS."""
    (
        batch_id,
        operation_index,
        account_id,
        is_credit,
        remaining,
        state,
        expires_at,
        ended_at,
        lot_ids,
        amounts,
        *_,
    ) = row
    return engine.Reserve(
        engine.Place(batch_id, operation_index),
        account_id,
        is_credit,
        remaining,
        engine.HoldState(state),
        expires_at,
        ended_at,
        tuple(
            engine.LotPart(lot_id, account_id, amount)
            for lot_id, amount in zip(lot_ids, amounts, strict=True)
        ),
    )


def reserved(rows: list[database.Record]) -> Mapping[UUID, list[engine.Reserve]]:
    """Return the reserves of rows with RESERVE_COLUMNS, by account."""
    reserves: dict[UUID, list[engine.Reserve]] = {}
    for row in rows:
        one = reserve(row)
        reserves.setdefault(one.account_id, []).append(one)
    return reserves


def grouped(rows: list[database.Record]) -> Mapping[UUID, list[engine.Lot]]:
    """Return the lots of rows with LOT_COLUMNS, by account."""
    lots: dict[UUID, list[engine.Lot]] = {}
    for row in rows:
        one = lot(row)
        lots.setdefault(one.account_id, []).append(one)
    return lots


def is_due(row: database.Record, now: datetime) -> bool:
    """Tell whether the sums of an account's row no longer hold.

    Its lots are needed then, and its reserves when it has any.
    """
    event = row["next_event_time"]
    return event is not None and event <= now
