"""Purchases as they are to be recorded: what was decided, and what it moves."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import timestamps
from services.promotions import engine, storage
from services.promotions.checkout import veils
from services.promotions.checkout.offers import Decided
from services.promotions.checkout.settlement import new_batch_id
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import batches, times
from services.promotions.wire.batches import Terms


def draw_up(
    receipt_id: str,
    request: checkout_service_pb2.CommitRequest,
    decided: Decided,
    *,
    terms: Terms,
    now: datetime,
    lenient: bool = False,
    first: Sequence[batch_pb2.Operation] = (),
) -> Receipt:
    """Return a purchase whose batch waits for the ledger, or that moves nothing.

    What must happen `first` stands before everything else in its batch. A phone is kept only until
    identity has said whose it is.
    """
    occurred_time = times.read(request.occurred_time, field="occurred_time")
    store_id = request.cart.store_id
    batch = draw_batch(
        receipt_id,
        decided,
        occurred_time,
        store_id=store_id,
        terms=terms,
        now=now,
        lenient=lenient,
        payments=request.gift_card_payments,
        first=first,
    )
    return Receipt(
        receipt_id=receipt_id,
        occurred_time=occurred_time,
        record_time=now,
        state=storage.receipts.PENDING if batch else storage.receipts.COMMITTED,
        store_id=store_id,
        member_id=decided.gathered.member_id,
        ruleset_version=decided.decision.ruleset_version,
        request=veils.without_phone(request).SerializeToString(),
        awaited_phone=""
        if decided.gathered.facts.identity_answered
        else request.cart.member_key.phone,
        facts=decided.gathered.dump(),
        evaluation=decided.evaluation.SerializeToString(),
        batch_id=batch.batch_id if batch else "",
        batch=batch.SerializeToString() if batch else b"",
        total_minor=decided.decision.total_minor,
        campaign_ids=applied(decided.decision),
        chance_campaign_ids=tuple(
            dict.fromkeys([one.campaign_id for one in decided.evaluation.instant_draws])
        ),
        till_id=request.receipt_key.till_id,
        receipt_number=request.receipt_key.receipt_number,
    )


def applied(decision: engine.Decision) -> tuple[str, ...]:
    """Return the campaigns that gave something."""
    return tuple(
        one.campaign_id for one in decision.outcomes if one.reason is engine.OutcomeReason.APPLIED
    )


def draw_batch(
    receipt_id: str,
    decided: Decided,
    occurred_time: datetime,
    *,
    store_id: str,
    terms: Terms,
    now: datetime,
    lenient: bool = False,
    payments: Iterable[checkout_pb2.GiftCardPayment] = (),
    first: Iterable[batch_pb2.Operation] = (),
) -> batch_pb2.Batch | None:
    """Return what a purchase moves in the ledger; None when that is nothing.

    A lenient batch takes what is there: goods that were handed over are not asked back. What must
    happen `first` stands before everything else.
    """
    operations = batches.build_purchase(
        decided.decision,
        ruleset=decided.ruleset,
        member_id=decided.gathered.member_id,
        store_id=store_id,
        occurred_time=occurred_time,
        terms=terms,
    )
    operations += batches.build_payments(payments, terms)
    if not operations:
        return None
    for operation in operations if lenient else ():
        operation.transfer.up_to = True
    return batch_pb2.Batch(
        batch_id=new_batch_id(),
        operations=[*first, *operations],
        receipt_id=receipt_id,
        # A till's clock may be ahead further than the ledger allows.
        occurred_time=timestamps.show(min(occurred_time, now)),
    )
