"""What an account held at an instant of the past."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.ledger.engine import accounts, assets
from services.ledger.engine.accounts import Key, Lot
from services.ledger.engine.assets import Asset

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PastBalance(NamedTuple):
    """What an account held at `at`: `total` is the sum of the three that follow it.

    `expired` had passed its expiry without being booked as such.
    """

    key: Key
    at: datetime
    total: int
    available: int
    pending: int
    expired: int
    version: int


def past_balance(
    key: Key, asset: Asset, lots: Iterable[Lot], *, total: int, version: int, at: datetime
) -> PastBalance:
    """Return what an account held, from its booked balance and its lots as both were at `at`."""
    if not accounts.keeps_lots(key, asset):
        return PastBalance(key, at, total, total, 0, 0, version)
    lots = list(lots)
    slides_until = _slides_until(asset, lots)
    available = pending = 0
    for lot in lots:
        ends = accounts.expiry(lot, slides_until)
        if ends is not None and ends <= at:
            continue
        if lot.is_pending(at):
            pending += lot.remaining
        else:
            available += lot.remaining
    return PastBalance(key, at, total, available, pending, total - available - pending, version)


def credited_at(lot_id: UUID) -> datetime:
    """Return when the points of a lot were credited, to the microsecond: its id tells."""
    milliseconds, fraction = lot_id.int >> 80, lot_id.int >> 64 & 0xFFF
    return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=fraction)


def is_handed(lot: Lot) -> bool:
    """Tell whether a lot was made by a handover, and not by a credit."""
    own = accounts.lot_id(
        batch_id=lot.batch_id,
        operation_index=lot.operation_index,
        credited_at=credited_at(lot.id),
    )
    return lot.id != own


def _slides_until(asset: Asset, lots: Iterable[Lot]) -> datetime | None:
    """Return until when the credits so far keep lots alive, spent lots included."""
    if asset.lots is None or not asset.lots.slides:
        return None
    renewals = (
        assets.slide(asset.lots, credited_at=credited_at(lot.id))
        for lot in lots
        if not is_handed(lot)
    )
    return max(filter(None, renewals), default=None)
