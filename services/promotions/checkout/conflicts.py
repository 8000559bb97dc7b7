"""Conflicts: where what a till did and what the platform has differ, each with its kind."""

from collections.abc import Iterable, Sequence

from tessera.ledger.v1 import account_pb2, batch_pb2
from tessera.promotions.v1 import checkout_pb2

from services.promotions.storage.receipts import Receipt
from services.promotions.wire import accounts

_KINDS = {
    account_pb2.TRANSFER_REASON_COUNT: checkout_pb2.CONFLICT_KIND_LIMIT_REACHED,
    account_pb2.TRANSFER_REASON_REDEEM: checkout_pb2.CONFLICT_KIND_POINTS_SHORT,
    account_pb2.TRANSFER_REASON_EARN: checkout_pb2.CONFLICT_KIND_POINTS_REFUSED,
}
_COUPON = "coupon."


def pack(found: Iterable[checkout_pb2.ReceiptConflict]) -> bytes:
    """Return conflicts as they are kept; empty when there are none."""
    return checkout_pb2.Receipt(conflicts=found).SerializeToString()


def unpack(kept: bytes) -> list[checkout_pb2.ReceiptConflict]:
    """Return conflicts that were kept."""
    return list(checkout_pb2.Receipt.FromString(kept).conflicts)


def refused(transfer: batch_pb2.Transfer, moved: int = 0) -> checkout_pb2.ReceiptConflict:
    """Return the conflict of something that was promised and moved less, or not at all."""
    kind = _KINDS.get(transfer.reason)
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


def of_receipt(receipt: Receipt) -> Sequence[checkout_pb2.ReceiptConflict]:
    """Return all conflicts of a purchase: those kept, and what moved less than promised."""
    found = unpack(receipt.conflicts)
    if receipt.promised and receipt.moved:
        operations = batch_pb2.Batch.FromString(receipt.batch).operations
        found += [
            refused(operation.transfer, moved)
            for operation, moved in zip(operations, receipt.moved, strict=True)
            if moved < operation.transfer.amount
        ]
    return found
