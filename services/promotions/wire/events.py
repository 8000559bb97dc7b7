"""What promotions tells the others of receipts and rule sets."""

from datetime import datetime

from tessera.event.v1 import event_pb2, promotions_events_pb2
from tessera.promotions.v1 import checkout_pb2

from services.chassis import timestamps

SOURCE = "promotions"


def tell_published(
    *, version: int, campaign_id: str, campaign_count: int, now: datetime
) -> event_pb2.Event:
    """Return the event of a new rule set."""
    return event_pb2.Event(
        source=SOURCE,
        subject_id=campaign_id,
        occurred_time=timestamps.show(now),
        ruleset_published=promotions_events_pb2.RulesetPublished(
            ruleset_version=version, campaign_id=campaign_id, campaign_count=campaign_count
        ),
    )


def tell_committed(
    receipt_id: str,
    *,
    cart: checkout_pb2.Cart,
    evaluation: checkout_pb2.Evaluation,
    occurred_time: datetime,
) -> event_pb2.Event:
    """Return the event of a purchase."""
    moment = timestamps.show(occurred_time)
    event = event_pb2.Event(
        source=SOURCE,
        subject_id=receipt_id,
        occurred_time=moment,
        receipt_committed=promotions_events_pb2.ReceiptCommitted(
            receipt_id=receipt_id,
            member_id=evaluation.member_id,
            store_id=cart.store_id,
            occurred_time=moment,
            currency_code=cart.currency_code,
            subtotal_minor=evaluation.subtotal_minor,
            discount_minor=evaluation.discount_minor,
            total_minor=evaluation.total_minor,
            points_paid_minor=evaluation.points_payment_minor,
            points_earned=evaluation.points_earned,
            points_spent=evaluation.points_spent,
        ),
    )
    effects = event.receipt_committed.effects  # made in their place: one put there is copied twice
    for outcome in evaluation.outcomes:
        if outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED:
            effects.add(
                campaign_id=outcome.campaign_id,
                discount_minor=outcome.discount_minor,
                points=outcome.points,
            )
    return event


def tell_voided(receipt_id: str, *, member_id: str, now: datetime) -> event_pb2.Event:
    """Return the event of a purchase undone."""
    return event_pb2.Event(
        source=SOURCE,
        subject_id=receipt_id,
        occurred_time=timestamps.show(now),
        receipt_voided=promotions_events_pb2.ReceiptVoided(
            receipt_id=receipt_id, member_id=member_id
        ),
    )


def tell_returned(
    returned: checkout_pb2.Return, *, member_id: str, empties: bool
) -> event_pb2.Event:
    """Return the event of goods that came back."""
    return event_pb2.Event(
        source=SOURCE,
        subject_id=returned.receipt_id,
        occurred_time=returned.occurred_time,
        receipt_returned=promotions_events_pb2.ReceiptReturned(
            return_id=returned.return_id,
            receipt_id=returned.receipt_id,
            member_id=member_id,
            refund_minor=returned.refund_minor,
            points_clawed_back=returned.points_clawed_back,
            points_restored=returned.points_restored,
            purchase_emptied=empties,
            points_owed=returned.points_owed,
        ),
    )
