"""What a till gave by itself, as a decision of ours: checked against the cart before it counts."""

from collections.abc import Iterator
from dataclasses import replace

from tessera.promotions.v1 import checkout_pb2, offline_service_pb2

from services.promotions import engine, errors


def parse(
    request: offline_service_pb2.RecordReceiptRequest,
    cart: engine.Cart,
    ruleset: engine.Ruleset,
    *,
    terms: engine.PointsTerms,
) -> engine.Decision:
    """Return what a till gave, with the points that it gives; not what it takes of limits.

    Raises EvaluationInconsistent when it does not fit the cart, does not come to the total that was
    paid, or names a campaign that the rule set does not have.
    """
    if [line.line_id for line in request.lines] != [line.line_id for line in cart.lines]:
        raise errors.EvaluationInconsistent(field="lines", problem="are not those of the cart")
    lines = tuple(
        _parse_line(given, bought, f"lines[{place}]")
        for place, (given, bought) in enumerate(zip(request.lines, cart.lines, strict=True))
    )
    applied = _sum_up(lines, ruleset)
    paid = sum(line.points_payment_minor for line in lines)
    total = sum(line.total_minor for line in lines)
    expected = request.purchase.expected_total_minor
    _require(total == expected, "purchase.expected_total_minor", f"is not {total}, as the lines")
    asked = request.purchase.cart.points_payment_minor
    _require(paid == asked, "purchase.cart.points_payment_minor", f"is not {paid}, as the lines")
    step = terms.point_value_minor
    _require(paid % step == 0, "purchase.cart.points_payment_minor", f"is no multiple of {step}")
    gifts = sum(one.amount_minor for one in request.purchase.gift_card_payments)
    _require(gifts <= total - paid, "purchase.gift_card_payments", f"are above {total - paid}")
    return engine.Decision(
        ruleset_version=ruleset.version,
        subtotal_minor=sum(line.amount_minor for line in lines),
        discount_minor=sum(line.discount_minor for line in lines),
        total_minor=total,
        points_payment_minor=paid,
        points_payment_max_minor=paid,
        points_spent=paid // step * terms.point_units,
        points_earned=sum(line.points_earned for line in lines),
        lines=lines,
        outcomes=tuple(applied),
        messages=(),
        charges=(),
        earnings=tuple(_earnings(applied, ruleset)),
    )


def _parse_line(
    given: offline_service_pb2.GivenLine, bought: engine.CartLine, field: str
) -> engine.LineDecision:
    amount = (bought.quantity_thousandths * bought.unit_price_minor + 500) // 1_000
    discount = sum(part.discount_minor for part in given.parts)
    paid = given.points_payment_minor
    _require(discount <= amount, f"{field}.parts", "take off more than the line costs")
    _require(paid <= amount - discount, f"{field}.points_payment_minor", "is above its price")
    return engine.LineDecision(
        line_id=given.line_id,
        amount_minor=amount,
        discount_minor=discount,
        total_minor=amount - discount,
        points_payment_minor=paid,
        points_earned=sum(part.points for part in given.parts),
        parts=tuple(
            engine.LinePart(part.campaign_id, part.discount_minor, part.points)
            for part in given.parts
        ),
    )


def _sum_up(
    lines: tuple[engine.LineDecision, ...], ruleset: engine.Ruleset
) -> list[engine.Outcome]:
    """Return what each campaign gave, in the order of evaluation."""
    sums: dict[str, tuple[int, int]] = {}
    for place, line in enumerate(lines):
        for part in line.parts:
            known = part.campaign_id in ruleset.place_by_id
            _require(known, f"lines[{place}].parts", f"name {part.campaign_id}, which was not live")
            discount, points = sums.get(part.campaign_id, (0, 0))
            sums[part.campaign_id] = discount + part.discount_minor, points + part.points
    outcomes = []
    for campaign_id in sorted(sums, key=ruleset.place_by_id.__getitem__):
        campaign = ruleset.compiled[ruleset.place_by_id[campaign_id]].campaign
        discount, points = sums[campaign_id]
        outcomes.append(
            engine.Outcome(
                campaign_id,
                campaign.version,
                campaign.rules.title,
                engine.OutcomeReason.APPLIED,
                discount,
                points,
            )
        )
    return outcomes


def _earnings(applied: list[engine.Outcome], ruleset: engine.Ruleset) -> Iterator[engine.Earning]:
    for outcome in applied:
        if outcome.points:
            campaign = ruleset.compiled[ruleset.place_by_id[outcome.campaign_id]].campaign
            days = _expire_days(campaign)
            yield engine.Earning(outcome.campaign_id, outcome.points, days)


def show_lines(evaluation: checkout_pb2.Evaluation) -> list[offline_service_pb2.GivenLine]:
    """Return what an evaluation gives on each line, as a till tells it."""
    return [
        offline_service_pb2.GivenLine(
            line_id=line.line_id,
            points_payment_minor=line.points_payment_minor,
            parts=[
                offline_service_pb2.GivenPart(
                    campaign_id=part.campaign_id,
                    discount_minor=part.discount_minor,
                    points=part.points,
                )
                for part in line.parts
            ],
        )
        for line in evaluation.lines
    ]


def without_member(decision: engine.Decision) -> engine.Decision:
    """Return what was sold without anything that only a member gets or has."""
    lines = tuple(
        line._replace(points_earned=0, parts=tuple(part._replace(points=0) for part in line.parts))
        for line in decision.lines
    )
    outcomes = tuple(outcome._replace(points=0) for outcome in decision.outcomes)
    charges = tuple(
        replace(
            charge,
            personal=bool(charge.coupon_id),
            member_uses=False,
            member_units=False,
            stamps=None,
        )
        for charge in decision.charges
    )
    return replace(
        decision,
        lines=lines,
        outcomes=outcomes,
        charges=charges,
        earnings=(),
        points_earned=0,
        points_spent=0,
        stamp_moves=(),
    )


def with_points_of(decision: engine.Decision, ours: engine.Decision) -> engine.Decision:
    """Return what was sold with the points that we would have given."""
    points = {line.line_id: [part for part in line.parts if part.points] for line in ours.lines}
    plain = without_member(decision)
    lines = tuple(
        line._replace(
            points_earned=sum(part.points for part in points[line.line_id]),
            parts=(
                *[part for part in line.parts if part.discount_minor],
                *[part._replace(discount_minor=0) for part in points[line.line_id]],
            ),
        )
        for line in plain.lines
    )
    earned = {one.campaign_id for one in ours.earnings}
    outcomes = (
        *[one for one in plain.outcomes if one.campaign_id not in earned or one.discount_minor],
        *[one._replace(discount_minor=0) for one in ours.outcomes if one.campaign_id in earned],
    )
    return replace(
        plain,
        lines=lines,
        outcomes=outcomes,
        charges=decision.charges,
        earnings=ours.earnings,
        points_earned=ours.points_earned,
        points_spent=decision.points_spent,
        stamp_moves=decision.stamp_moves,
    )


def with_extras(
    decision: engine.Decision, ours: engine.Decision, ruleset: engine.Ruleset
) -> engine.Decision:
    """Return what was sold with the stamps and coupons for later that we give, which no line tells.

    They are of campaigns that the till took part in, or that give nothing by line.
    """
    named = {one.campaign_id for one in decision.outcomes}
    told_by_line = {part.campaign_id for line in ours.lines for part in line.parts} - named
    moves = [
        one._replace(spent=0)
        for one in ours.stamp_moves
        if one.earned and one.campaign_id not in told_by_line
    ]
    grants = [one for one in ours.coupon_grants if one.campaign_id not in told_by_line]
    fresh = {one.campaign_id for one in moves} | {one.campaign_id for one in grants}
    fresh -= named
    outcomes = [*decision.outcomes, *[one for one in ours.outcomes if one.campaign_id in fresh]]
    return replace(
        decision,
        outcomes=tuple(sorted(outcomes, key=lambda one: ruleset.place_by_id[one.campaign_id])),
        charges=(
            *decision.charges,
            *[one for one in ours.charges if one.campaign_id in fresh],
        ),
        stamp_moves=(*decision.stamp_moves, *moves),
        coupon_grants=tuple(grants),
    )


def _require(holds: bool, field: str, problem: str) -> None:  # noqa: FBT001  it reads as a sentence
    if not holds:
        raise errors.EvaluationInconsistent(field=field, problem=problem)


def _expire_days(campaign: engine.Campaign) -> int:
    """Return the shortest life that the campaign gives to points; 0 keeps that of the asset."""
    days = [
        reward.kind.expire_days
        for reward in campaign.rules.rewards
        if isinstance(reward.kind, engine.EarnPoints) and reward.kind.expire_days
    ]
    return min(days, default=0)
