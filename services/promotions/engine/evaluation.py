"""The evaluation: from a cart to everything it gets, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.promotions.engine import (
    amounts,
    baskets,
    index,
    lanes,
    messages,
    payments,
    traces,
)
from services.promotions.engine.carts import Cart, Facts
from services.promotions.engine.decisions import (
    Charge,
    Decision,
    Earning,
    Explain,
    LineDecision,
    LinePart,
    Outcome,
)
from services.promotions.engine.rulesets import Compiled, Ruleset


@dataclass(frozen=True, slots=True)
class Need:
    """Which balances of a campaign to ask the ledger for."""

    campaign_id: str
    uses: bool
    member_uses: bool
    budget: bool
    coupons: bool
    stamps: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What an evaluation will look at; `purchase_number` when it counts the member's purchases."""

    limits: tuple[Need, ...]
    purchase_number: bool


@dataclass(frozen=True, slots=True)
class AmountProblem:
    """Why a cart's amounts cannot be counted; `line_id` is empty when it is the cart's sum."""

    line_id: str
    problem: str


def find_amount_problem(cart: Cart) -> AmountProblem | None:
    """Return the first line that has a price and comes to nothing, or that the sum is too big."""
    total = 0
    for line in cart.lines:
        amount = amounts.price(
            quantity_thousandths=line.quantity_thousandths, unit_price_minor=line.unit_price_minor
        )
        if line.unit_price_minor and not amount:
            return AmountProblem(line.line_id, "its amount rounds to nothing")
        total += amount
    if total > amounts.AMOUNT_MAX_MINOR:
        return AmountProblem("", f"the sum is above {amounts.AMOUNT_MAX_MINOR}")
    return None


def find_needs(ruleset: Ruleset, cart: Cart, facts: Facts, *, now: datetime) -> Needs:
    """Return what to ask before evaluating; balances need not be in the facts yet."""
    basket = baskets.arrange(cart, facts)
    found = index.match(ruleset.index, cart, basket, facts, now=now)
    candidates = _pick(ruleset, found.survivors)
    return Needs(
        limits=tuple(
            Need(
                campaign_id=one.campaign.campaign_id,
                uses=one.limits.uses_max > 0,
                member_uses=one.limits.uses_per_member_max > 0,
                budget=one.limits.budget_minor > 0,
                coupons=one.personal,
                stamps=one.stamps is not None,
            )
            for one in candidates
            if one.limited
        ),
        purchase_number=any(one.counts_purchases for one in candidates),
    )


def is_same_moment(ruleset: Ruleset, one: datetime, other: datetime) -> bool:
    """Tell whether a cart gets the same at both moments, which are in the zone of the store."""
    return index.is_same_moment(ruleset.index, one, other)


def evaluate(
    ruleset: Ruleset,
    cart: Cart,
    facts: Facts,
    *,
    now: datetime,
    explain: Explain = Explain.CANDIDATES,
) -> Decision:
    """Return what the cart gets.

    `now` is an aware time in the zone of the store: the instant decides periods, its wall clock
    decides hours and days of the week. The same arguments give the same bytes.
    """
    basket = baskets.arrange(cart, facts)
    found = index.match(ruleset.index, cart, basket, facts, now=now)
    candidates = _pick(ruleset, found.survivors)
    run = lanes.start(cart, facts, basket, now=now)
    lanes.run_discounts(run, candidates)
    pay_and_earn(run, candidates, choose_payment=_choose_payment)
    outcomes = traces.tell(ruleset, run, found, explain=explain)
    return conclude(run, ruleset_version=ruleset.version, outcomes=outcomes)


def pay_and_earn(
    run: lanes.Run, candidates: Sequence[Compiled], *, choose_payment: Callable[[lanes.Run], int]
) -> None:
    """Let points pay what is chosen, then let the rest earn points."""
    run.payments = payments.pay(run.basket, run.left, choose_payment(run), terms=run.facts.terms)
    lanes.run_earnings(run, candidates)


def conclude(run: lanes.Run, *, ruleset_version: int, outcomes: tuple[Outcome, ...]) -> Decision:
    """Return the finished run as a decision: by line, and in sums."""
    subtotal, total, paid = run.basket.subtotal, sum(run.left), sum(run.payments)
    lines = _deal(run)
    earned = sum(line.points_earned for line in lines)
    spent = payments.points_for(paid, run.facts.terms)
    return Decision(
        ruleset_version=ruleset_version,
        subtotal_minor=subtotal,
        discount_minor=subtotal - total,
        total_minor=total,
        points_payment_minor=paid,
        points_payment_max_minor=run.payment_max,
        points_spent=spent,
        points_earned=earned,
        lines=lines,
        outcomes=outcomes,
        messages=messages.write(
            outcomes,
            cart=run.cart,
            terms=run.facts.terms,
            earned=earned,
            spent=spent,
            refused=run.payment_offer if paid < run.cart.points_payment_minor else None,
        ),
        charges=_list_charges(run),
        earnings=tuple(
            Earning(one.campaign.campaign_id, points, days)
            for one, offer in run.applied
            for days, points in offer.lots
        ),
        payment=run.payment_offer,
    )


def _pick(ruleset: Ruleset, mask: int) -> list[Compiled]:
    compiled = ruleset.compiled
    return [compiled[place] for place in baskets.places(mask)]


def _choose_payment(run: lanes.Run) -> int:
    """Return what the shopper asked for, as far as whole points, share and balance allow."""
    run.payment_offer = payments.find_offer(run.basket, run.left, run.facts)
    run.payment_max = run.payment_offer.max_minor
    return payments.choose(run.payment_offer, run.cart.points_payment_minor)


def _deal(run: lanes.Run) -> tuple[LineDecision, ...]:
    """Hand what piles got out to their lines."""
    basket = run.basket
    amount_by_line = basket.line_amounts
    parts: list[list[LinePart]] = [[] for _ in amount_by_line]
    left = list(amount_by_line)
    rooms = [amount - floor for amount, floor in zip(left, basket.line_floors, strict=True)]
    for one, offer in run.applied:
        if one.discount is not None:
            name = one.campaign.campaign_id
            for line, amount in _to_lines(basket, offer.piles, offer.amounts, rooms):
                left[line] -= amount
                rooms[line] -= amount
                parts[line].append(LinePart(name, amount, 0))
    paid = [0] * len(left)
    for line, amount in _to_lines(basket, range(len(run.payments)), run.payments, left):
        paid[line] = amount
    money = [total - payment for total, payment in zip(left, paid, strict=True)]
    earned = [0] * len(left)
    for one, offer in run.applied:
        if one.earn is not None:
            name = one.campaign.campaign_id
            for line, points in _to_lines(basket, offer.piles, offer.amounts, money):
                earned[line] += points
                parts[line].append(LinePart(name, 0, points))
    return tuple(
        LineDecision(line.line_id, amount, amount - total, total, payment, points, tuple(given))
        for line, amount, total, payment, points, given in zip(
            run.cart.lines, amount_by_line, left, paid, earned, parts, strict=True
        )
    )


def _to_lines(
    basket: baskets.Basket,
    piles: Sequence[int],
    shares: Sequence[int],
    weights: Sequence[int],
) -> list[tuple[int, int]]:
    """Return (line, amount) of everything above 0; equal lines share by weight."""
    lone = basket.lone_lines
    if lone:
        return [(lone[pile], amount) for pile, amount in zip(piles, shares, strict=True) if amount]
    dealt = []
    for pile, amount in zip(piles, shares, strict=True):
        if amount:
            lines = basket.line_places[pile]
            if len(lines) == 1:
                dealt.append((lines[0], amount))
            else:
                divided = amounts.spread(amount, [weights[place] for place in lines])
                dealt.extend(pair for pair in zip(lines, divided, strict=True) if pair[1])
    return dealt


def _list_charges(run: lanes.Run) -> tuple[Charge, ...]:
    codes = traces.presented_codes(run.cart)
    return tuple(
        Charge(
            campaign_id=one.campaign.campaign_id,
            code=traces.presented_code(one, codes),
            personal=one.personal,
            uses=one.limits.uses_max > 0,
            member_uses=one.limits.uses_per_member_max > 0,
            budget_minor=offer.total if one.limits.budget_minor else 0,
            stamps=one.stamps,
        )
        for one, offer in run.applied
        if one.limited
    )
