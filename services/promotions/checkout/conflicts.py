"""Conflicts: where what a till did and what the platform has differ, each with its kind."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from tessera.ledger.v1 import account_pb2, batch_pb2
from tessera.promotions.v1 import checkout_pb2

from services.promotions import config, engine
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import accounts

_KINDS = {
    account_pb2.TRANSFER_REASON_COUNT: checkout_pb2.CONFLICT_KIND_LIMIT_REACHED,
    account_pb2.TRANSFER_REASON_REDEEM: checkout_pb2.CONFLICT_KIND_POINTS_SHORT,
    account_pb2.TRANSFER_REASON_EARN: checkout_pb2.CONFLICT_KIND_POINTS_REFUSED,
}
_COUPON = "coupon."
#: The setting that bounds how much less there may be than a till gave.
_BOUNDS: Mapping[int, Callable[[config.OfflineSettings], int]] = {
    checkout_pb2.CONFLICT_KIND_POINTS_SHORT: attrgetter("points_short_units_max"),
    checkout_pb2.CONFLICT_KIND_BUDGET_SHORT: attrgetter("money_short_minor_max"),
    checkout_pb2.CONFLICT_KIND_GIFT_CARD_SHORT: attrgetter("money_short_minor_max"),
    checkout_pb2.CONFLICT_KIND_COUPON_GONE: attrgetter("uses_over_max"),
    checkout_pb2.CONFLICT_KIND_LIMIT_REACHED: attrgetter("uses_over_max"),
    checkout_pb2.CONFLICT_KIND_STAMPS_SHORT: attrgetter("stamps_short_max"),
}


def pack(found: Iterable[checkout_pb2.ReceiptConflict]) -> bytes:
    """Return conflicts as they are kept; empty when there are none."""
    return checkout_pb2.Receipt(conflicts=found).SerializeToString()


def unpack(kept: bytes) -> list[checkout_pb2.ReceiptConflict]:
    """Return conflicts that were kept."""
    return list(checkout_pb2.Receipt.FromString(kept).conflicts)


def refused(transfer: batch_pb2.Transfer, moved: int = 0) -> checkout_pb2.ReceiptConflict:
    """Return the conflict of something that was promised and moved less, or not at all."""
    kind = _KINDS.get(transfer.reason)
    takes = transfer.reason != account_pb2.TRANSFER_REASON_EARN
    if takes and transfer.asset_code.startswith(accounts.STAMPS):
        kind = checkout_pb2.CONFLICT_KIND_STAMPS_SHORT
    if transfer.asset_code.startswith(accounts.GIFTS):
        kind = checkout_pb2.CONFLICT_KIND_GIFT_CARD_SHORT
    if kind is None:
        is_coupon = transfer.asset_code.startswith(_COUPON)
        kind = (
            checkout_pb2.CONFLICT_KIND_COUPON_GONE
            if is_coupon
            else checkout_pb2.CONFLICT_KIND_BUDGET_SHORT
        )
    return checkout_pb2.ReceiptConflict(
        kind=kind,
        campaign_id=transfer.campaign_id,
        till_amount=transfer.amount,
        centre_amount=moved,
    )


def late(
    occurred_time: datetime, *, now: datetime, hours_max: int
) -> Iterator[checkout_pb2.ReceiptConflict]:
    """Yield the conflict of a purchase that is told more than so many hours after it happened."""
    hours = (now - occurred_time) // timedelta(hours=1)
    if hours > hours_max:
        yield checkout_pb2.ReceiptConflict(
            kind=checkout_pb2.CONFLICT_KIND_LATE,
            till_amount=hours,
            centre_amount=hours_max,
            beyond_bounds=True,
        )


def of_nobody(decision: engine.Decision) -> Iterator[checkout_pb2.ReceiptConflict]:
    """Yield what a till took from a member whom nobody knows: all of it is missing."""
    if decision.points_spent:
        yield checkout_pb2.ReceiptConflict(
            kind=checkout_pb2.CONFLICT_KIND_POINTS_SHORT, till_amount=decision.points_spent
        )
    for charge in decision.charges:
        if charge.personal and not charge.coupon_id:
            yield checkout_pb2.ReceiptConflict(
                kind=checkout_pb2.CONFLICT_KIND_COUPON_GONE,
                campaign_id=charge.campaign_id,
                till_amount=1,
            )
    in_stamps, in_points = (
        checkout_pb2.CONFLICT_KIND_STAMPS_SHORT,
        checkout_pb2.CONFLICT_KIND_POINTS_SHORT,
    )
    prices = [
        (in_stamps, one.campaign_id, one.stamps.count) for one in decision.charges if one.stamps
    ]
    prices += [
        (in_points if one.card == engine.POINTS_CARD else in_stamps, one.campaign_id, one.spent)
        for one in decision.stamp_moves
        if one.spent
    ]
    for kind, campaign_id, count in prices:
        yield checkout_pb2.ReceiptConflict(
            kind=kind,
            campaign_id=campaign_id,
            till_amount=count,
        )


def of_receipt(
    receipt: Receipt, settings: config.OfflineSettings
) -> Sequence[checkout_pb2.ReceiptConflict]:
    """Return all conflicts of a purchase: those kept, and what moved less than promised."""
    found = unpack(receipt.conflicts)
    if receipt.promised and receipt.moved:
        operations = batch_pb2.Batch.FromString(receipt.batch).operations
        found += [
            refused(operation.transfer, moved)
            for operation, moved in zip(operations, receipt.moved, strict=True)
            if moved < operation.transfer.amount
        ]
    for one in found:
        if (bound := _BOUNDS.get(one.kind)) is not None:
            one.beyond_bounds = one.till_amount - one.centre_amount > bound(settings)
    return found
