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
    next_expire_time, next_expire_amount, slide_time, lots_from_time"""

#: Columns of `lots` that `lot` reads; infinity is a lot that never expires.
LOT_COLUMNS = """lots.lot_id, lots.account_id, lots.batch_id, lots.operation_index, lots.amount,
    lots.remaining, lots.activate_time, NULLIF(lots.expire_time, 'infinity') AS expire_time,
    lots.expiry_given, lots.create_time, lots.issuer_account_id, lots.bringer_account_id"""


def account(
    row: database.Record, key: engine.Key, lots: tuple[engine.Lot, ...] | None = None
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
        *_,
    ) = row
    summary = engine.Summary(pending, next_event, next_expire, next_expire_amount, lots_from)
    return engine.Account(key, floor, ceiling, balance, version, summary, slides_until, lots)


def lot(row: database.Record) -> engine.Lot:
    """Return the lot of a row with LOT_COLUMNS."""
    return engine.Lot(*row)


def grouped(rows: list[database.Record]) -> Mapping[UUID, list[engine.Lot]]:
    """Return the lots of rows with LOT_COLUMNS, by account."""
    lots: dict[UUID, list[engine.Lot]] = {}
    for row in rows:
        one = lot(row)
        lots.setdefault(one.account_id, []).append(one)
    return lots


def is_due(row: database.Record, now: datetime) -> bool:
    """Tell whether the sums of an account's row no longer hold, so that its lots are needed."""
    event = row["next_event_time"]
    return event is not None and event <= now
