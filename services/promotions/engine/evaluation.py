"""The evaluation: from a cart to everything it gets, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.promotions.engine import (
    amounts,
    baskets,
    bearers,
    index,
    lanes,
    messages,
    payments,
    traces,
)
from services.promotions.engine.carts import Bearer, Cart, Facts
from services.promotions.engine.decisions import (
    Charge,
    CouponGrant,
    Decision,
    Earning,
    Explain,
    Gift,
    GiftOffer,
    InstantChances,
    LineDecision,
    LinePart,
    Outcome,
    OutcomeReason,
    StampMove,
)
from services.promotions.engine.groups import Verdict
from services.promotions.engine.offers import Offer, refuse
from services.promotions.engine.rules import POINTS_CARD
from services.promotions.engine.rulesets import Compiled, Need, Ruleset


@dataclass(frozen=True, slots=True)
class Meeting:
    """A cart's goods in piles, and which campaigns can apply to them, whatever is left of those."""

    cart: Cart
    basket: baskets.Basket
    found: index.Match
    candidates: list[Compiled]


@dataclass(frozen=True, slots=True)
class Needs:
    """What an evaluation will look at; `purchase_number` when it counts the member's purchases.

    `cards` are the stamp cards of the member whose balance it asks for. `meeting` is what has been
    found out on the way; `evaluate` may go on from there.
    """

    limits: tuple[Need, ...]
    purchase_number: bool
    cards: tuple[str, ...]
    meeting: Meeting


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
    meeting = _meet(ruleset, cart, facts, now=now)
    candidates = meeting.candidates
    return Needs(
        limits=tuple([one.need for one in candidates if one.need is not None]),
        purchase_number=any(one.counts_purchases for one in candidates),
        cards=tuple(sorted({one.price.card_id for one in candidates if one.price} - {POINTS_CARD})),
        meeting=meeting,
    )


def _meet(
    ruleset: Ruleset, cart: Cart, facts: Facts, *, now: datetime, far: bool = False
) -> Meeting:
    cart = bearers.present(ruleset, cart, facts)
    basket = baskets.arrange(cart, facts)
    found = index.match(ruleset.index, cart, basket, facts, now=now, far=far)
    return Meeting(cart, basket, found, _pick(ruleset, found.survivors))


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
    meeting: Meeting | None = None,
) -> Decision:
    """Return what the cart gets.

    `now` is an aware time in the zone of the store: the instant decides periods, its wall clock
    decides hours and days of the week. The same arguments give the same bytes. `meeting` saves
    looking twice: it is of the needs of this cart, at this moment, with facts that have got nothing
    but balances since.
    """
    far = explain is Explain.FULL
    if meeting is None or far:
        meeting = _meet(ruleset, cart, facts, now=now, far=far)
    cart, basket, found = meeting.cart, meeting.basket, meeting.found
    run, candidates = _run_discounts(cart, facts, basket, meeting.candidates, now=now)
    pay_and_earn(run, candidates, choose_payment=_choose_payment)
    outcomes = traces.tell(ruleset, run, found, explain=explain)
    return conclude(run, ruleset_version=ruleset.version, outcomes=outcomes)


def _run_discounts(
    cart: Cart, facts: Facts, basket: baskets.Basket, candidates: list[Compiled], *, now: datetime
) -> tuple[lanes.Run, list[Compiled]]:
    """Return the run after everything that takes money off, and who may still earn.

    Where campaigns form sides only the better one stays; where the shopper wants all codes or
    none, one that cannot be used takes the others with it.
    """
    lost: dict[int, Verdict] = {}
    for contest in sorted({one.contest for one in candidates} - {""}):
        candidates, losers = _settle_contest(cart, facts, basket, candidates, contest, now=now)
        lost.update(losers)
    run = lanes.start(cart, facts, basket, now=now)
    lanes.run_discounts(run, candidates)
    coded = [one for one in candidates if one.coded]
    if cart.codes_all_or_none and _has_vain_code(run, cart, coded):
        candidates = [one for one in candidates if not one.coded]
        # Who cannot be used anyway has a reason of its own, and takes the others with it.
        lost.update({one.place: run.verdicts.get(one.place, _SET_REFUSED) for one in coded})
        run = lanes.start(cart, facts, basket, now=now)
        lanes.run_discounts(run, candidates)
    run.verdicts.update(lost)
    return run, candidates


def _settle_contest(
    cart: Cart,
    facts: Facts,
    basket: baskets.Basket,
    candidates: list[Compiled],
    contest: str,
    *,
    now: datetime,
) -> tuple[list[Compiled], dict[int, Verdict]]:
    """Return the campaigns without those of the sides with which the receipt gets less."""
    sides = {one.side: None for one in candidates if one.contest == contest}
    best: tuple[int, str, list[Compiled]] | None = None
    values = {}
    for side in sides:
        members = [one for one in candidates if one.contest != contest or one.side == side]
        run = lanes.start(cart, facts, basket, now=now)
        lanes.run_discounts(run, members)
        values[side] = basket.subtotal - sum(run.left)
        if best is None or values[side] > best[0]:
            best = (values[side], side, members)
    assert best is not None
    value, winner, members = best
    return members, {
        one.place: Verdict(
            OutcomeReason.LOST_BEST_OF,
            None,
            (("winner", winner), ("value", str(values[one.side])), ("winner_value", str(value))),
        )
        for one in candidates
        if one.contest == contest and one.side != winner
    }


def _has_vain_code(run: lanes.Run, cart: Cart, coded: Sequence[Compiled]) -> bool:
    """Tell whether a presented code takes nothing off; whoever earns only has the doubt."""
    applied = {one.place for one, _ in run.applied}
    useful = {
        code.upper()
        for one in coded
        if one.place in applied or one.earn is not None
        for code in traces.codes_of(one)
    }
    return any(code.upper() not in useful for code in cart.coupon_codes)


_SET_REFUSED: Final = Verdict(OutcomeReason.SET_REFUSED)


def pay_and_earn(
    run: lanes.Run, candidates: Sequence[Compiled], *, choose_payment: Callable[[lanes.Run], int]
) -> None:
    """Let points pay what is chosen, then let the rest earn points."""
    terms = run.facts.terms
    run.payments = payments.pay(run.basket, run.left, choose_payment(run), terms=terms)
    lanes.take_points(run, payments.points_for(sum(run.payments), terms))
    lanes.run_earnings(run, candidates)


def conclude(run: lanes.Run, *, ruleset_version: int, outcomes: tuple[Outcome, ...]) -> Decision:
    """Return the finished run as a decision: by line, and in sums."""
    subtotal, total, paid = run.basket.subtotal, sum(run.left), sum(run.payments)
    lines = _deal(run)
    earned = sum([offer.total for one, offer in run.applied if one.earn is not None])
    spent = payments.points_for(paid, run.facts.terms)
    extras = _find_extras(run)
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
            extras=extras,
        ),
        charges=_list_charges(run),
        earnings=tuple(
            Earning(one.campaign.campaign_id, points, days)
            for one, offer in run.applied
            for days, points in offer.lots
        ),
        payment=run.payment_offer,
        **extras._asdict(),
    )


def _pick(ruleset: Ruleset, mask: int) -> list[Compiled]:
    compiled = ruleset.compiled
    return [compiled[place] for place in baskets.places(mask)]


def _choose_payment(run: lanes.Run) -> int:
    """Return what the shopper asked for, as far as whole points, share and balance allow."""
    run.payment_offer = payments.find_offer(run.basket, run.left, run.facts, held=run.held)
    run.payment_max = run.payment_offer.max_minor
    return payments.choose(run.payment_offer, run.cart.points_payment_minor)


#: Makes a named tuple as its own constructor does, in half the time: there are hundreds of them.
_new_tuple: Final = tuple.__new__


def _deal(run: lanes.Run) -> tuple[LineDecision, ...]:
    """Hand what piles got out to their lines."""
    return _deal_lone(run) if run.basket.lone_lines else _deal_shared(run)


def _deal_lone(run: lanes.Run) -> tuple[LineDecision, ...]:
    """Hand out to lines of which each is a pile: most carts have no others."""
    basket, lines = run.basket, run.cart.lines
    parts: list[list[LinePart]] = [[] for _ in lines]
    earned = [0] * len(lines)
    for one, offer in run.applied:
        name = one.campaign.campaign_id
        if one.discount is not None:
            for pile, amount in zip(offer.piles, offer.amounts):
                if amount:
                    parts[pile].append(_new_tuple(LinePart, (name, amount, 0)))
        else:
            for pile, points in zip(offer.piles, offer.amounts):
                if points:
                    earned[pile] += points
                    parts[pile].append(_new_tuple(LinePart, (name, 0, points)))
    pile_by_line = [0] * len(lines)
    for pile, place in enumerate(basket.lone_lines):
        pile_by_line[place] = pile
    costs, left, paid = basket.amounts, run.left, run.payments
    return tuple(
        [
            _new_tuple(
                LineDecision,
                (
                    line.line_id,
                    costs[pile],
                    costs[pile] - left[pile],
                    left[pile],
                    paid[pile],
                    earned[pile],
                    tuple(parts[pile]),
                ),
            )
            for line, pile in zip(lines, pile_by_line)
        ]
    )


def _deal_shared(run: lanes.Run) -> tuple[LineDecision, ...]:
    """Hand out to lines of which some share a pile, by what each of them can bear."""
    basket = run.basket
    amount_by_line = basket.line_amounts
    parts: list[list[LinePart]] = [[] for _ in amount_by_line]
    left = list(amount_by_line)
    rooms = [amount - floor for amount, floor in zip(left, basket.line_floors)]
    for one, offer in run.applied:
        if one.discount is not None:
            name = one.campaign.campaign_id
            for line, amount in _to_lines(basket, offer.piles, offer.amounts, rooms):
                left[line] -= amount
                rooms[line] -= amount
                parts[line].append(_new_tuple(LinePart, (name, amount, 0)))
    paid = [0] * len(left)
    for line, amount in _to_lines(basket, list(range(len(run.payments))), run.payments, left):
        paid[line] = amount
    money = [total - payment for total, payment in zip(left, paid)]
    earned = [0] * len(left)
    for one, offer in run.applied:
        if one.earn is not None:
            name = one.campaign.campaign_id
            for line, points in _to_lines(basket, offer.piles, offer.amounts, money):
                earned[line] += points
                parts[line].append(_new_tuple(LinePart, (name, 0, points)))
    return tuple(
        LineDecision(line.line_id, amount, amount - total, total, payment, points, tuple(given))
        for line, amount, total, payment, points, given in zip(
            run.cart.lines, amount_by_line, left, paid, earned, parts
        )
    )


def _to_lines(
    basket: baskets.Basket,
    piles: list[int],
    shares: list[int],
    weights: list[int],
) -> list[tuple[int, int]]:
    """Return (line, amount) of everything above 0; equal lines share by weight."""
    dealt = []
    for pile, amount in zip(piles, shares):
        if amount:
            lines = basket.line_places[pile]
            if len(lines) == 1:
                dealt.append((lines[0], amount))
            else:
                divided = amounts.spread(amount, [weights[place] for place in lines])
                dealt.extend(pair for pair in zip(lines, divided) if pair[1])
    return dealt


def _find_extras(run: lanes.Run) -> messages.Extras:
    """Return gifts, coupons and stamps; most receipts have none."""
    giving = [
        (one.campaign.campaign_id, offer)
        for one, offer in run.applied
        if offer.presents or offer.choices or offer.coupons or offer.chances
    ]
    if not giving and not run.moves:
        return messages.NO_EXTRAS
    return messages.Extras(
        tuple(Gift(name, *part) for name, offer in giving for part in offer.presents),
        tuple(GiftOffer(name, *part) for name, offer in giving for part in offer.choices),
        tuple(CouponGrant(name, *part) for name, offer in giving for part in offer.coupons),
        tuple(StampMove(*move) for move in run.moves),
        tuple(InstantChances(name, offer.chances) for name, offer in giving if offer.chances),
    )


def _list_charges(run: lanes.Run) -> tuple[Charge, ...]:
    codes = traces.presented_codes(run.cart)
    held = run.facts.bearers
    charges = [
        charge(one, offer, codes, held)
        for one, offer in run.applied
        if one.need and not offer.is_open
    ]
    if run.vain:
        applied = {one.place for one, _ in run.applied}
        charges += [
            charge(one, _NOTHING_GIVEN, codes, held) for one in run.vain if one.place not in applied
        ]
    return tuple(charges)


def charge(
    one: Compiled, offer: Offer, codes: Mapping[str, str], held: Mapping[str, Bearer]
) -> Charge:
    """Return what a limited campaign takes of the ledger for an offer."""
    limits, bearer = one.limits, held.get(one.campaign.campaign_id)
    return Charge(
        campaign_id=one.campaign.campaign_id,
        code=traces.presented_code(one, codes),
        personal=one.personal,
        uses=(offer.sets if limits.count_sets else 1) if limits.uses_max else 0,
        member_uses=limits.uses_per_member_max > 0,
        budget_minor=offer.total if limits.budget_minor else 0,
        stamps=one.stamps,
        units=offer.units,
        member_units=limits.units_per_member_max > 0,
        coupon_id=bearer.coupon_id if bearer else "",
    )


_NOTHING_GIVEN: Final = refuse(OutcomeReason.NO_BENEFIT)
