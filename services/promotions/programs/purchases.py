"""Receipts as programs see them: what stays of them, and who bought it when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.promotions import engine, storage
from services.promotions.engine import programs
from services.promotions.storage.receipts import Receipt
from services.promotions.storage.returns import Return
from services.promotions.wire import carts


@dataclass(frozen=True, slots=True)
class Bought:
    """A member's purchase with what stays of it."""

    receipt_id: str
    member_id: str
    occurred_time: datetime
    purchase: programs.Purchase


def read(receipt: Receipt, returns: Sequence[Return] = ()) -> Bought:
    """Return a recorded purchase, less what came back of it."""
    cart = checkout_service_pb2.CommitRequest.FromString(receipt.request).cart
    done = [one for one in returns if one.state == storage.returns.COMMITTED]
    if receipt.state == storage.receipts.VOIDED or any(one.empties for one in done):
        return _bought(receipt, cart, {})
    evaluation = checkout_pb2.Evaluation.FromString(receipt.evaluation)
    left = {line.line_id: line.quantity_thousandths for line in cart.lines}
    for one in done:
        told = checkout_pb2.Return.FromString(one.document)
        evaluation = told.remaining
        for line in told.lines:
            left[line.line_id] -= line.quantity_thousandths
    return _bought(receipt, cart, read_lines(evaluation, left))


def read_lines(
    evaluation: checkout_pb2.Evaluation, left: dict[str, int]
) -> dict[str, programs.Kept]:
    """Return what an evaluation says of lines of which so many thousandths are left."""
    return {
        line.line_id: programs.Kept(
            left[line.line_id],
            line.total_minor - line.points_payment_minor,
            line.points_earned,
        )
        for line in evaluation.lines
    }


def _bought(receipt: Receipt, cart: checkout_pb2.Cart, kept: dict[str, programs.Kept]) -> Bought:
    facts = engine.load_facts(json.loads(receipt.facts)["facts"])
    purchase = programs.Purchase(carts.parse_cart(cart), facts, kept)
    return Bought(receipt.receipt_id, receipt.member_id, receipt.occurred_time, purchase)
