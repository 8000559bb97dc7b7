"""Receipts and returns, from what is kept of them to the wire."""

from collections.abc import Iterable

from tessera.ledger.v1 import adjustment_service_pb2, batch_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import timestamps
from services.promotions import config, engine, storage
from services.promotions.checkout import chances, conflicts, debts
from services.promotions.storage.compensations import Compensation
from services.promotions.storage.receipts import Receipt
from services.promotions.storage.returns import Return
from services.promotions.wire import batches

_STATES = {
    # Promised: the till was answered, and nobody may refuse it any more.
    storage.receipts.PENDING: checkout_pb2.RECEIPT_STATE_COMMITTED,
    storage.receipts.COMMITTED: checkout_pb2.RECEIPT_STATE_COMMITTED,
    # Not undone before the ledger says so.
    storage.receipts.VOIDING: checkout_pb2.RECEIPT_STATE_COMMITTED,
    storage.receipts.VOIDED: checkout_pb2.RECEIPT_STATE_VOIDED,
    storage.receipts.RETURNED: checkout_pb2.RECEIPT_STATE_RETURNED,
}


def show_state(state: str) -> checkout_pb2.ReceiptState.ValueType:
    """Return the state of a recorded purchase as the contract has it."""
    return _STATES[state]


def show_receipt(
    receipt: Receipt,
    returns: Iterable[Return] = (),
    *,
    bounds: config.OfflineSettings,
    terms: engine.PointsTerms,
    given: Iterable[Compensation] = (),
) -> checkout_pb2.Receipt:
    """Return a recorded purchase with what came back of it, or what could not be undone.

    `bounds` tell which conflicts weigh, `terms` how points are written; `given` is what was to make
    it good.
    """
    request = checkout_service_pb2.CommitRequest.FromString(receipt.request)
    forgiven, owed = _not_recovered(receipt)
    evaluation = chances.tell(receipt)
    withdrawn = evaluation.instant_draws if receipt.state == storage.receipts.VOIDED else ()
    return checkout_pb2.Receipt(
        receipt_id=receipt.receipt_id,
        receipt_key=request.receipt_key,
        state=_STATES[receipt.state],
        cart=request.cart,
        evaluation=evaluation,
        occurred_time=request.occurred_time,
        record_time=timestamps.show(receipt.record_time),
        returns=[
            show_return(returned, terms=terms)
            for returned in returns
            if returned.state == storage.returns.COMMITTED
        ],
        settled_later=receipt.promised and receipt.state == storage.receipts.PENDING,
        conflicts=conflicts.of_receipt(receipt, bounds),
        gift_card_payments=request.gift_card_payments,
        points_not_recovered=forgiven,
        points_owed=owed,
        messages=[*debts.owed(owed, terms), *chances.ask_back(withdrawn)],
        compensations=map(show_compensation, given),
        gift_cards_not_refunded_minor=_not_paid(receipt, request),
    )


def show_compensation(given: Compensation) -> checkout_pb2.Compensation:
    """Return what was to make a receipt good, and what has become of it."""
    return checkout_pb2.Compensation(
        batch_id=given.batch_id,
        points=given.points,
        cause=given.cause,
        client_id=given.client_id,
        create_time=timestamps.show(given.create_time),
        adjustment_id=given.adjustment_id,
        state=adjustment_service_pb2.AdjustmentState.Value(f"ADJUSTMENT_STATE_{given.state}"),
        refusal_reason=given.refusal_reason,
    )


def _not_recovered(receipt: Receipt) -> tuple[int, int]:
    """Return the points that a void could not take back: forgiven, and owed."""
    if receipt.state != storage.receipts.VOIDED or not receipt.undo_batch:
        return 0, 0
    return batches.find_unrecovered(
        batch_pb2.Batch.FromString(receipt.batch),
        receipt.moved,
        undone=batch_pb2.Batch.FromString(receipt.undo_batch),
    )


def _not_paid(receipt: Receipt, request: checkout_service_pb2.CommitRequest) -> int:
    """Return what of a voided purchase gift cards had paid by its till alone, in minor units."""
    paid_minor = sum(one.amount_minor for one in request.gift_card_payments)
    if receipt.state != storage.receipts.VOIDED or not paid_minor:
        return 0
    return batches.find_not_refunded(
        batch_pb2.Batch.FromString(receipt.batch),
        receipt.moved,
        paid_minor=paid_minor,
        before_minor=0,
        refund_minor=paid_minor,
    )


def show_return(returned: Return, *, terms: engine.PointsTerms) -> checkout_pb2.Return:
    """Return a recorded return, with what the ledger could take and give back of the points due."""
    told = checkout_pb2.Return.FromString(returned.document)
    told.points_restored -= told.points_not_restored
    told.refund_minor -= told.gift_cards_not_refunded_minor
    told.messages.extend(chances.ask_back(told.prizes_withdrawn))
    if returned.batch:
        batch = batch_pb2.Batch.FromString(returned.batch)
        prizes = sum(one.points > 0 for one in told.prizes_withdrawn)
        told.prize_points_not_recovered, prizes_owed = batches.find_prize_shortfall(
            batch, returned.moved, prizes=prizes
        )
        told.points_not_recovered = batches.find_shortfall(
            batch,
            returned.moved,
            others=sum(one.earned > 0 for one in told.stamp_moves)
            + len(told.coupons_withdrawn)
            + prizes,
        )
        told.points_owed = batches.find_owed(batch, returned.moved)
        told.messages.extend(debts.owed(told.points_owed, terms))
        told.points_clawed_back -= told.points_not_recovered + told.points_owed - prizes_owed
    return told
