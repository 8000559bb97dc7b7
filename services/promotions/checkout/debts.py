"""What the till says of points that a member owes."""

from tessera.promotions.v1 import checkout_pb2

from services.promotions import engine
from services.promotions.checkout.facts import Gathered
from services.promotions.wire import programs


def tell(evaluation: checkout_pb2.Evaluation, gathered: Gathered) -> None:
    """Add to an evaluation what the member owes, and what of it this purchase pays off."""
    evaluation.points_debt = gathered.points_debt
    text = engine.tell_debt(
        gathered.points_debt, earned=evaluation.points_earned, terms=gathered.facts.terms
    )
    evaluation.messages.append(_message(text))


def owed(points: int, terms: engine.PointsTerms) -> list[checkout_pb2.Message]:
    """Return what the shopper is told of points that became a debt; nothing for none."""
    return [_message(engine.tell_owed(points, terms))] if points else []


def _message(text: engine.Text) -> checkout_pb2.Message:
    return checkout_pb2.Message(
        audience=checkout_pb2.MESSAGE_AUDIENCE_RECEIPT, text=programs.show_text(text)
    )
