"""Decisions of the engine, to the wire and, for receipts of the past, back again."""

from collections.abc import Iterable

from tessera.promotions.v1 import checkout_pb2
from tessera.type.v1 import text_pb2

from services.promotions import engine
from services.promotions.wire import rules


def show_decision(
    decision: engine.Decision,
    *,
    member_id: str = "",
    degradations: Iterable[checkout_pb2.Degradation.ValueType] = (),
    payment: checkout_pb2.PointsPaymentOffer | None = None,
) -> checkout_pb2.Evaluation:
    """Return a decision as the contract shows it.

    Lines and outcomes, of which there are many, are made in their place: a message that is put
    into another one is copied.
    """
    shown = checkout_pb2.Evaluation(
        ruleset_version=decision.ruleset_version,
        member_id=member_id,
        points_payment_offer=payment,
        subtotal_minor=decision.subtotal_minor,
        discount_minor=decision.discount_minor,
        total_minor=decision.total_minor,
        points_payment_minor=decision.points_payment_minor,
        points_payment_max_minor=decision.points_payment_max_minor,
        points_spent=decision.points_spent,
        points_earned=decision.points_earned,
        messages=[show_message(message) for message in decision.messages],
        degradations=degradations,
        stamp_moves=show_stamps(decision.stamp_moves),
        points_prices=show_prices(decision.stamp_moves),
    )
    _add_gifts(shown, decision)
    for line in decision.lines:
        _add_line(shown, line)
    for outcome in decision.outcomes:
        _add_outcome(shown, outcome)
    return shown


def _add_gifts(shown: checkout_pb2.Evaluation, decision: engine.Decision) -> None:
    """Add what comes besides money and points."""
    for gift in decision.gifts:
        shown.gifts.add(
            campaign_id=gift.campaign_id,
            sku=gift.sku,
            units=gift.units,
            value_minor=gift.value_minor,
        )
    for offer in decision.gift_offers:
        shown.gift_offers.add(
            campaign_id=offer.campaign_id,
            skus=offer.skus,
            count=offer.number,
            basis_points=offer.basis_points,
        )
    for grant in decision.coupon_grants:
        shown.coupon_grants.add(
            campaign_id=grant.campaign_id,
            coupon_campaign_id=grant.coupon_campaign_id,
            uses=grant.uses,
            expire_days=grant.expire_days,
            bearer=grant.bearer,
        )
    for chances in decision.instant_chances:
        shown.instant_chances.add(campaign_id=chances.campaign_id, count=chances.number)


def show_draw(drawn: engine.Drawn) -> checkout_pb2.InstantDraw:
    """Return a chance as the contract shows it before the ledger has given its prize."""
    if drawn.prize_index is None:
        return checkout_pb2.InstantDraw(
            campaign_id=drawn.campaign_id,
            number=drawn.number,
            state=checkout_pb2.INSTANT_DRAW_STATE_NOTHING,
            prize_index=-1,
        )
    return checkout_pb2.InstantDraw(
        campaign_id=drawn.campaign_id,
        number=drawn.number,
        prize_index=drawn.prize_index,
        title=show_text(drawn.title),
        points=drawn.points,
    )


def show_stamps(moves: Iterable[engine.StampMove]) -> list[checkout_pb2.StampMove]:
    """Return stamps that come or go as the contract shows them."""
    return [
        checkout_pb2.StampMove(
            campaign_id=one.campaign_id, card_id=one.card, earned=one.earned, spent=one.spent
        )
        for one in moves
        if one.card != engine.POINTS_CARD
    ]


def show_prices(moves: Iterable[engine.StampMove]) -> list[checkout_pb2.PointsPricePaid]:
    """Return points that rewards cost as the contract shows them."""
    return [
        checkout_pb2.PointsPricePaid(campaign_id=one.campaign_id, points=one.spent)
        for one in moves
        if one.card == engine.POINTS_CARD
    ]


def parse_moves(
    told: checkout_pb2.Evaluation | checkout_pb2.Return,
) -> tuple[engine.StampMove, ...]:
    """Return the stamps and the points for rewards that an evaluation or a return tells of."""
    stamps = [
        engine.StampMove(one.campaign_id, one.card_id, one.earned, one.spent)
        for one in told.stamp_moves
    ]
    prices = [
        engine.StampMove(one.campaign_id, engine.POINTS_CARD, 0, one.points)
        for one in told.points_prices
    ]
    return (*stamps, *prices)


def show_payment_offer(
    decision: engine.Decision, *, terms: engine.PointsTerms, currency_code: str
) -> checkout_pb2.PointsPaymentOffer | None:
    """Return how much points may pay, with the reason in words."""
    offer = decision.payment
    if offer is None:
        return None
    return checkout_pb2.PointsPaymentOffer(
        min_minor=offer.min_minor,
        max_minor=offer.max_minor,
        step_minor=offer.step_minor,
        eligible_minor=offer.eligible_minor,
        bound=checkout_pb2.PointsPaymentBound.ValueType(offer.bound),
        explanation=show_text(engine.explain_payment(offer, terms, currency_code)),
    )


def _add_line(shown: checkout_pb2.Evaluation, line: engine.LineDecision) -> None:
    parts = shown.lines.add(
        line_id=line.line_id,
        amount_minor=line.amount_minor,
        discount_minor=line.discount_minor,
        total_minor=line.total_minor,
        points_payment_minor=line.points_payment_minor,
        points_earned=line.points_earned,
    ).parts
    for part in line.parts:
        parts.add(
            campaign_id=part.campaign_id, discount_minor=part.discount_minor, points=part.points
        )


def _add_outcome(shown: checkout_pb2.Evaluation, outcome: engine.Outcome) -> None:
    added = shown.outcomes.add(
        campaign_id=outcome.campaign_id,
        campaign_version=outcome.campaign_version,
        reason=checkout_pb2.OutcomeReason.ValueType(outcome.reason),
        discount_minor=outcome.discount_minor,
        points=outcome.points,
        details=dict(outcome.details),
    )
    added.title.en, added.title.ru = outcome.title.en, outcome.title.ru
    if outcome.near_miss is not None:
        added.near_miss.amount_minor = outcome.near_miss.amount_minor
        added.near_miss.quantity_thousandths = outcome.near_miss.quantity_thousandths


def show_message(message: engine.Message) -> checkout_pb2.Message:
    """Return a line of text for the till as the contract shows it."""
    return checkout_pb2.Message(
        audience=checkout_pb2.MessageAudience.ValueType(message.audience),
        text=show_text(message.text),
        campaign_id=message.campaign_id,
    )


def show_text(text: engine.Text) -> text_pb2.LocalizedText:
    """Return words in every language as the contract shows them."""
    return text_pb2.LocalizedText(en=text.en, ru=text.ru)


def parse_evaluation(evaluation: checkout_pb2.Evaluation) -> engine.Decision:
    """Return the decision behind a stored evaluation, as far as returns are priced by it.

    Messages, charges and earnings are left out: nothing of the past is charged or said again.
    """
    return engine.Decision(
        ruleset_version=evaluation.ruleset_version,
        subtotal_minor=evaluation.subtotal_minor,
        discount_minor=evaluation.discount_minor,
        total_minor=evaluation.total_minor,
        points_payment_minor=evaluation.points_payment_minor,
        points_payment_max_minor=evaluation.points_payment_max_minor,
        points_spent=evaluation.points_spent,
        points_earned=evaluation.points_earned,
        lines=tuple(_parse_line(line) for line in evaluation.lines),
        outcomes=tuple(_parse_outcome(outcome) for outcome in evaluation.outcomes),
        messages=(),
        charges=(),
        earnings=(),
        gifts=tuple(
            engine.Gift(one.campaign_id, one.sku, one.units, one.value_minor)
            for one in evaluation.gifts
        ),
        stamp_moves=parse_moves(evaluation),
    )


def _parse_line(line: checkout_pb2.LineEvaluation) -> engine.LineDecision:
    return engine.LineDecision(
        line_id=line.line_id,
        amount_minor=line.amount_minor,
        discount_minor=line.discount_minor,
        total_minor=line.total_minor,
        points_payment_minor=line.points_payment_minor,
        points_earned=line.points_earned,
        parts=tuple(
            engine.LinePart(
                campaign_id=part.campaign_id,
                discount_minor=part.discount_minor,
                points=part.points,
            )
            for part in line.parts
        ),
    )


def _parse_outcome(outcome: checkout_pb2.CampaignOutcome) -> engine.Outcome:
    return engine.Outcome(
        campaign_id=outcome.campaign_id,
        campaign_version=outcome.campaign_version,
        title=rules.parse_text(outcome.title),
        reason=engine.OutcomeReason(outcome.reason),
        discount_minor=outcome.discount_minor,
        points=outcome.points,
    )


def points_by_campaign(lines: Iterable[checkout_pb2.LineEvaluation]) -> dict[str, int]:
    """Return the points that each campaign gives on these lines."""
    points: dict[str, int] = {}
    for line in lines:
        for part in line.parts:
            points[part.campaign_id] = points.get(part.campaign_id, 0) + part.points
    return points


def applied_campaigns(evaluation: checkout_pb2.Evaluation) -> list[tuple[str, int]]:
    """Return the id and the version of every campaign that gave something."""
    return [
        (outcome.campaign_id, outcome.campaign_version)
        for outcome in evaluation.outcomes
        if outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED
    ]
