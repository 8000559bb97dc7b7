"""Goods come back: what to give back for them, and what the rest is worth now.

The receipt's own campaigns are held against what stays, with the facts of the day of purchase.
What stays then costs the higher of two amounts: what those campaigns make it cost now, and what it
cost on the receipt. So a discount that was earned by the whole purchase goes with it, and nobody
gets more for goods than was paid for them. Everything is counted from the first return on, so any
sequence of returns gives the same as one; only a refund that was paid is never asked back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.promotions.engine import amounts, baskets, evaluation, index, lanes, payments, traces
from services.promotions.engine.carts import Cart, CartLine, Facts, PointsTerms, Remaining
from services.promotions.engine.decisions import (
    Decision,
    Explain,
    LineDecision,
    OutcomeReason,
)
from services.promotions.engine.offers import Offer
from services.promotions.engine.rulesets import Compiled, Ruleset


class LineUnknown(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """Says that the receipt has no such line."""

    def __init__(self, line_id: str) -> None:
        super().__init__(f"the receipt has no line {line_id}")
        self.line_id = line_id


class ReturnExceeds(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """Says that more would come back than was bought and is not back yet."""

    def __init__(self, line_id: str, remaining_thousandths: int) -> None:
        super().__init__(f"of line {line_id} only {remaining_thousandths} thousandths are left")
        self.line_id = line_id
        self.remaining_thousandths = remaining_thousandths


@dataclass(frozen=True, slots=True)
class ReturnedSoFar:
    """What came back of a receipt up to now: quantities by line, money, points."""

    quantities: tuple[tuple[str, int], ...] = ()
    refund_minor: int = 0
    points_restored: int = 0
    points_clawed_back: int = 0


@dataclass(frozen=True, slots=True)
class ReturnDecision:
    """What one return gives and takes; `remaining` is what the goods that stay get now.

    `points_clawed_back` is what the goods had earned and what should go back, whether or not the
    member still has it. `so_far` is the `before` of the next return.
    """

    refund_minor: int
    points_restored: int
    points_clawed_back: int
    complete: bool
    remaining: Decision | None
    so_far: ReturnedSoFar


@dataclass(frozen=True, slots=True)
class _Sale:
    """A receipt as it was decided."""

    ruleset: Ruleset
    cart: Cart
    facts: Facts
    decision: Decision
    now: datetime


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of a receipt's payment that lies on the goods that came back."""

    total_minor: int
    points_minor: int


def price_return(
    ruleset: Ruleset,
    cart: Cart,
    facts: Facts,
    decision: Decision,
    *,
    now: datetime,
    returned: Mapping[str, int],
    before: ReturnedSoFar = ReturnedSoFar(),
) -> ReturnDecision:
    """Return what goods that come back give and take.

    `cart`, `facts`, `decision` and `now` are those of the purchase; `ruleset` must hold the
    campaigns that it applied, in their versions of that day. `returned` maps line ids to
    thousandths. Raises LineUnknown and ReturnExceeds, and KeyError when `ruleset` lacks a
    campaign of the receipt.
    """
    back = _add_up(cart, returned, before)
    sale = _Sale(ruleset, cart, facts, decision, now)
    rest = tuple(
        replace(line, quantity_thousandths=line.quantity_thousandths - back.get(line.line_id, 0))
        for line in cart.lines
        if line.quantity_thousandths > back.get(line.line_id, 0)
    )
    if not rest:
        return _close(decision, before, back)
    run, candidates, found = _price_rest(sale, rest, back)
    given, restored_minor = _settle(
        _share_of(decision.lines, _kept_lines(sale, back)),
        owed=decision.total_minor - sum(run.left),
        before=before,
        terms=facts.terms,
    )
    paid_with_points = decision.points_payment_minor - restored_minor
    run.payment_max = paid_with_points
    evaluation.pay_and_earn(run, candidates, choose_payment=lambda _: paid_with_points)
    outcomes = traces.tell(ruleset, run, found, explain=Explain.CANDIDATES)
    remaining = evaluation.conclude(run, ruleset_version=ruleset.version, outcomes=outcomes)
    kept_points = min(decision.points_earned - before.points_clawed_back, remaining.points_earned)
    so_far = ReturnedSoFar(
        quantities=_in_order(cart, back),
        refund_minor=given,
        points_restored=payments.points_for(restored_minor, facts.terms),
        points_clawed_back=decision.points_earned - kept_points,
    )
    return _step(before, so_far, replace(remaining, messages=(), charges=()))


def _add_up(cart: Cart, returned: Mapping[str, int], before: ReturnedSoFar) -> dict[str, int]:
    bought = {line.line_id: line.quantity_thousandths for line in cart.lines}
    back = dict(before.quantities)
    for line_id, quantity in returned.items():
        if line_id not in bought:
            raise LineUnknown(line_id)
        remaining = bought[line_id] - back.get(line_id, 0)
        if not 0 < quantity <= remaining:
            raise ReturnExceeds(line_id, remaining)
        back[line_id] = back.get(line_id, 0) + quantity
    return back


def _in_order(cart: Cart, back: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((line.line_id, back[line.line_id]) for line in cart.lines if line.line_id in back)


def _step(
    before: ReturnedSoFar, so_far: ReturnedSoFar, remaining: Decision | None
) -> ReturnDecision:
    return ReturnDecision(
        refund_minor=so_far.refund_minor - before.refund_minor,
        points_restored=so_far.points_restored - before.points_restored,
        points_clawed_back=so_far.points_clawed_back - before.points_clawed_back,
        complete=remaining is None,
        remaining=remaining,
        so_far=so_far,
    )


def _close(decision: Decision, before: ReturnedSoFar, back: Mapping[str, int]) -> ReturnDecision:
    """Give and take back whatever is left to: everything came back."""
    so_far = ReturnedSoFar(
        quantities=tuple((line.line_id, back[line.line_id]) for line in decision.lines),
        refund_minor=decision.total_minor - decision.points_payment_minor,
        points_restored=decision.points_spent,
        points_clawed_back=decision.points_earned,
    )
    return _step(before, so_far, None)


def _price_rest(
    sale: _Sale, lines: tuple[CartLine, ...], back: Mapping[str, int]
) -> tuple[lanes.Run, list[Compiled], index.Match]:
    """Return the rest with the dearer of its two prices, before points.

    Campaigns take their turns as on the receipt: an exclusive group may have been called before
    the priority of its winner.
    """
    applied = {
        outcome.campaign_id: outcome.discount_minor
        for outcome in sale.decision.outcomes
        if outcome.reason is OutcomeReason.APPLIED
    }
    places = [sale.ruleset.place_by_id[name] for name in applied]
    cart = replace(sale.cart, lines=lines, coupon_codes=_codes_of(sale, places))
    taken = {name: Remaining(1, 1, discount, 1) for name, discount in applied.items()}
    facts = replace(sale.facts, remaining=taken)
    basket = baskets.arrange(cart, facts)
    found = index.match(sale.ruleset.index, cart, basket, facts, now=sale.now)
    survivors = found.survivors & sum(1 << place for place in places)
    found = replace(found, survivors=survivors, unanswered=0)
    candidates = [sale.ruleset.compiled[place] for place in places if survivors >> place & 1]
    run = lanes.start(cart, facts, basket, now=sale.now)
    lanes.run_discounts(run, candidates)
    kept = _keep(sale, lanes.start(cart, facts, basket, now=sale.now), back)
    return (kept if sum(kept.left) > sum(run.left) else run), candidates, found


def _codes_of(sale: _Sale, places: list[int]) -> tuple[str, ...]:
    codes = sale.ruleset.index.codes
    called = {1 << place for place in places}
    return tuple(code for code in sale.cart.coupon_codes if codes.get(code.upper()) in called)


def _kept_lines(sale: _Sale, back: Mapping[str, int]) -> list[LineDecision]:
    """Return the receipt's lines without what came back, at what they cost on the receipt.

    The parts that come back are rounded down, and no line costs more than without discounts.
    """
    kept = []
    for line, decided in zip(sale.cart.lines, sale.decision.lines, strict=True):
        bought, gone = line.quantity_thousandths, back.get(line.line_id, 0)
        amount = amounts.price(
            quantity_thousandths=bought - gone, unit_price_minor=line.unit_price_minor
        )
        total = min(amount, decided.total_minor - decided.total_minor * gone // bought)
        payment = decided.points_payment_minor - decided.points_payment_minor * gone // bought
        payment = min(total, payment)
        discount = amount - total
        shares = amounts.spread_within(
            discount,
            [part.discount_minor for part in decided.parts],
            [part.discount_minor for part in decided.parts],
        )
        parts = tuple(
            part._replace(discount_minor=share, points=0)
            for part, share in zip(decided.parts, shares, strict=True)
        )
        kept.append(LineDecision(line.line_id, amount, discount, total, payment, 0, parts))
    return kept


def _keep(sale: _Sale, run: lanes.Run, back: Mapping[str, int]) -> lanes.Run:
    """Return the run in which every line keeps its part of what the receipt gave it."""
    kept = {line.line_id: line for line in _kept_lines(sale, back)}
    offers: dict[int, dict[int, int]] = {}
    for pile, places in enumerate(run.basket.line_places):
        for place in places:
            for part in kept[run.cart.lines[place].line_id].parts:
                if part.discount_minor:
                    given = offers.setdefault(sale.ruleset.place_by_id[part.campaign_id], {})
                    given[pile] = given.get(pile, 0) + part.discount_minor
                    run.left[pile] -= part.discount_minor
    for place in sorted(offers):
        given = offers[place]
        total = sum(given.values())
        offer = Offer(total=total, piles=list(given), amounts=list(given.values()), desired=total)
        run.applied.append((sale.ruleset.compiled[place], offer))
    return run


def keep_prices(
    ruleset: Ruleset, cart: Cart, facts: Facts, decision: Decision, run: lanes.Run, *, now: datetime
) -> lanes.Run:
    """Return a fresh run in which every line costs what a decision made it cost, before points."""
    return _keep(_Sale(ruleset, cart, facts, decision, now), run, {})


def _share_of(lines: tuple[LineDecision, ...], kept: list[LineDecision]) -> _Share:
    return _Share(
        total_minor=sum(line.total_minor for line in lines)
        - sum(line.total_minor for line in kept),
        points_minor=sum(line.points_payment_minor for line in lines)
        - sum(line.points_payment_minor for line in kept),
    )


def _settle(
    share: _Share, *, owed: int, before: ReturnedSoFar, terms: PointsTerms
) -> tuple[int, int]:
    """Return the money and the minor units in points given back up to now.

    What is owed goes back the way it was paid, in the proportion of the returned goods: no points
    become money, no money points. Points go back in whole steps; less than a step waits for the
    next return. Neither ever falls below what was given back before.
    """
    restored_before = before.points_restored // terms.point_units * terms.point_value_minor
    owed = max(owed, before.refund_minor + restored_before)
    in_points = owed * share.points_minor // share.total_minor if share.total_minor else 0
    money = min(max(owed - in_points, before.refund_minor), owed - restored_before)
    restored = max(restored_before, payments.whole_steps(owed - money, terms))
    return money, restored
