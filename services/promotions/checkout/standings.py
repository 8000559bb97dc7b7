"""What an evaluation says of the member's levels in programs."""

from tessera.promotions.v1 import checkout_pb2

from services.promotions import engine
from services.promotions.checkout.facts import Gathered
from services.promotions.engine import programs as programs_engine
from services.promotions.programs import purchases
from services.promotions.wire import programs


def tell(evaluation: checkout_pb2.Evaluation, cart: engine.Cart, gathered: Gathered) -> None:
    """Add to an evaluation where the member stands, and where this purchase leads."""
    bought = {line.line_id: line.quantity_thousandths for line in cart.lines}
    kept = purchases.read_lines(evaluation, bought)
    purchase = programs_engine.Purchase(cart, gathered.facts, kept)
    evaluation.privileges.extend(gathered.membership.privileges)
    for one in gathered.membership.tiers:
        rules, after = one.program.rules, one.foresee(purchase)
        evaluation.tiers.append(
            programs.show_tier(
                one.program.program_id,
                rules,
                one.standing,
                one.progress,
                version=one.program.version,
            )
        )
        message = programs.show_message(
            rules,
            before=one.standing,
            after=after.standing,
            progress=after.progress,
            currency_code=cart.currency_code,
            points_scale=gathered.facts.terms.points_scale,
        )
        if message is not None:
            evaluation.messages.append(message)
