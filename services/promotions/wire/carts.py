"""Carts, from the wire to the engine."""

from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.promotions import engine, errors


def member_key(cart: checkout_pb2.Cart) -> member_pb2.MemberKey | None:
    """Return by what the shopper is to be found; None for one who shows nothing."""
    return cart.member_key if cart.HasField("member_key") else None


def parse_cart(cart: checkout_pb2.Cart) -> engine.Cart:
    """Return what a shopper wants to buy.

    Raises LineDuplicate when two lines share an id, and AmountOutOfRange when a line or the cart
    comes to an amount that cannot be counted.
    """
    parsed = engine.Cart(
        store_id=cart.store_id,
        channel=engine.Channel(cart.channel),
        currency_code=cart.currency_code,
        lines=tuple(
            engine.CartLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity_thousandths=line.quantity_thousandths,
                unit_price_minor=line.unit_price_minor,
                kind=_KINDS[line.kind],
                regular_unit_price_minor=line.regular_unit_price_minor,
            )
            for line in cart.lines
        ),
        coupon_codes=tuple(cart.coupon_codes),
        points_payment_minor=cart.points_payment_minor,
        attributes={one.name: one.value for one in cart.attributes},
        gift_choices={one.campaign_id: tuple(one.skus) for one in cart.gift_choices},
        codes_all_or_none=cart.codes_all_or_none,
        planned_payments=tuple(
            engine.PlannedPayment(engine.PaymentType(one.type), one.card_prefix)
            for one in cart.planned_payments
        ),
    )
    _refuse_duplicates([line.line_id for line in parsed.lines])
    problem = engine.find_amount_problem(parsed)
    if problem is not None:
        raise errors.AmountOutOfRange(
            line_id=problem.line_id, problem=problem.problem, field=_name(parsed, problem.line_id)
        )
    return parsed


#: By number, as looking up is cheaper than asking the enumeration; a till need not say goods.
_KINDS = {0: engine.LineKind.GOODS, **{int(kind): kind for kind in engine.LineKind}}


def parse_returned(request: checkout_service_pb2.ReturnRequest) -> dict[str, int]:
    """Return how much comes back of each line, in thousandths; raises LineDuplicate."""
    _refuse_duplicates([line.line_id for line in request.lines])
    return {line.line_id: line.quantity_thousandths for line in request.lines}


def parse_returned_gifts(
    request: checkout_service_pb2.ReturnRequest,
) -> dict[tuple[str, str], int]:
    """Return how many units come back of each gift, by campaign and article."""
    found: dict[tuple[str, str], int] = {}
    for one in request.gifts:
        key = (one.campaign_id, one.sku)
        found[key] = found.get(key, 0) + one.units
    return found


def _name(cart: engine.Cart, line_id: str) -> str:
    """Return the place of a line in its cart, that of all of them without an id."""
    place = next((place for place, one in enumerate(cart.lines) if one.line_id == line_id), None)
    return "lines" if place is None else f"lines[{place}]"


def _refuse_duplicates(line_ids: list[str]) -> None:
    if len(set(line_ids)) == len(line_ids):
        return
    seen: set[str] = set()
    for place, line_id in enumerate(line_ids):
        if line_id in seen:
            raise errors.LineDuplicate(line_id=line_id, field=f"lines[{place}].line_id")
        seen.add(line_id)
