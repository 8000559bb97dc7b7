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

from services.promotions.engine import (
    amounts,
    baskets,
    bearers,
    evaluation,
    index,
    lanes,
    payments,
    rules,
    traces,
)
from services.promotions.engine.carts import Cart, CartLine, Facts, PointsTerms, Remaining
from services.promotions.engine.decisions import (
    Decision,
    Explain,
    LineDecision,
    OutcomeReason,
    StampMove,
)
from services.promotions.engine.offers import Offer, Present
from services.promotions.engine.rulesets import Compiled, Ruleset

_ENDLESS = 1 << 40


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


class GiftUnknown(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """Says that the receipt gave no such article, or fewer units of it that are not back yet."""

    def __init__(self, campaign_id: str, sku: str, remaining_units: int) -> None:
        super().__init__(f"of {sku} from {campaign_id} only {remaining_units} units are left")
        self.campaign_id = campaign_id
        self.sku = sku
        self.remaining_units = remaining_units


@dataclass(frozen=True, slots=True)
class ReturnedSoFar:
    """What came back of a receipt up to now: quantities by line, money, points.

    `gifts` are (campaign, article, units) that came back. `stamps` are those taken back that were
    earned, and given back that were spent, by campaign and card.
    """

    quantities: tuple[tuple[str, int], ...] = ()
    refund_minor: int = 0
    points_restored: int = 0
    points_clawed_back: int = 0
    gifts: tuple[tuple[str, str, int], ...] = ()
    stamps: tuple[StampMove, ...] = ()


@dataclass(frozen=True, slots=True)
class ReturnDecision:
    """What one return gives and takes; `remaining` is what the goods that stay get now.

    `points_clawed_back` is what the goods had earned and what should go back, whether or not the
    member still has it, and so is `earned` of `stamp_moves`; `spent` are stamps to give back.
    `gifts_deducted_minor` is what is held back in all for gifts that are kept and not deserved any
    more. `so_far` is the `before` of the next return.
    """

    refund_minor: int
    points_restored: int
    points_clawed_back: int
    complete: bool
    remaining: Decision | None
    so_far: ReturnedSoFar
    stamp_moves: tuple[StampMove, ...] = ()
    gifts_deducted_minor: int = 0


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
    gifts: Mapping[tuple[str, str], int] | None = None,
    before: ReturnedSoFar = ReturnedSoFar(),
) -> ReturnDecision:
    """Return what goods that come back give and take.

    `cart`, `facts`, `decision` and `now` are those of the purchase; `ruleset` must hold the
    campaigns that it applied, in their versions of that day. `returned` maps line ids to
    thousandths, `gifts` campaigns and articles to units. Raises LineUnknown, ReturnExceeds and
    GiftUnknown, and KeyError when `ruleset` lacks a campaign of the receipt.
    """
    back = _add_up(cart, returned, before)
    gifts_back = _add_up_gifts(decision, gifts or {}, before)
    sale = _Sale(ruleset, bearers.present(ruleset, cart, facts), facts, decision, now)
    rest = _take_off(sale.cart, back)
    if rest:
        return _give_back(sale, rest, before, back, gifts_back)
    return _close(sale, before, back, gifts_back)


def _take_off(cart: Cart, back: Mapping[str, int]) -> tuple[CartLine, ...]:
    """Return what stays of a cart."""
    return tuple(
        line._replace(quantity_thousandths=line.quantity_thousandths - back.get(line.line_id, 0))
        for line in cart.lines
        if line.quantity_thousandths > back.get(line.line_id, 0)
    )


def _give_back(
    sale: _Sale,
    rest: tuple[CartLine, ...],
    before: ReturnedSoFar,
    back: Mapping[str, int],
    gifts_back: Mapping[tuple[str, str], int],
) -> ReturnDecision:
    """Give and take back what the rest, priced again, leaves of the receipt."""
    decision, terms = sale.decision, sale.facts.terms
    run, candidates, found = _price_rest(sale, rest, back)
    deducted = _find_deduction(sale, run, gifts_back)
    given, restored_minor = _settle(
        _share_of(decision.lines, _kept_lines(sale, back)),
        owed=decision.total_minor - sum(run.left) - deducted,
        before=before,
        terms=terms,
    )
    run.payment_max = paid_with_points = decision.points_payment_minor - restored_minor
    evaluation.pay_and_earn(run, candidates, choose_payment=lambda _: paid_with_points)
    outcomes = traces.tell(sale.ruleset, run, found, explain=Explain.CANDIDATES)
    remaining = evaluation.conclude(run, ruleset_version=sale.ruleset.version, outcomes=outcomes)
    kept_points = min(decision.points_earned - before.points_clawed_back, remaining.points_earned)
    so_far = ReturnedSoFar(
        quantities=_in_order(sale.cart, back),
        refund_minor=given,
        points_restored=payments.points_for(restored_minor, terms),
        points_clawed_back=decision.points_earned - kept_points,
        gifts=_list_gifts(gifts_back),
        stamps=_take_stamps_back(decision, remaining.stamp_moves, before),
    )
    bare = replace(remaining, messages=(), charges=(), coupon_grants=(), gift_offers=())
    return _step(before, so_far, bare, deducted)


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


def _add_up_gifts(
    decision: Decision, gifts: Mapping[tuple[str, str], int], before: ReturnedSoFar
) -> dict[tuple[str, str], int]:
    given: dict[tuple[str, str], int] = {}
    for one in decision.gifts:
        key = (one.campaign_id, one.sku)
        given[key] = given.get(key, 0) + one.units
    back = {(name, sku): units for name, sku, units in before.gifts}
    for key, units in gifts.items():
        remaining = given.get(key, 0) - back.get(key, 0)
        if not 0 < units <= remaining:
            raise GiftUnknown(*key, remaining)
        back[key] = back.get(key, 0) + units
    return back


def _list_gifts(back: Mapping[tuple[str, str], int]) -> tuple[tuple[str, str, int], ...]:
    return tuple((name, sku, back[name, sku]) for name, sku in sorted(back))


def _find_deduction(sale: _Sale, run: lanes.Run | None, back: Mapping[tuple[str, str], int]) -> int:
    """Return what gifts are worth that stay with the shopper though nothing deserves them now."""
    deserved: dict[tuple[str, str], int] = {}
    for one, offer in run.applied if run else ():
        for part in offer.presents:
            key = (one.campaign.campaign_id, part.sku)
            deserved[key] = deserved.get(key, 0) + part.units
    held: dict[tuple[str, str], tuple[int, int]] = {}
    for gift in sale.decision.gifts:
        key = (gift.campaign_id, gift.sku)
        held[key] = (held.get(key, (0, 0))[0] + gift.units, gift.value_minor)
    return sum(
        max(0, units - back.get(key, 0) - deserved.get(key, 0)) * value
        for key, (units, value) in held.items()
        if _is_deducted(sale, *key)
    )


def _is_deducted(sale: _Sale, campaign_id: str, sku: str) -> bool:
    given = sale.ruleset.campaigns[sale.ruleset.place_by_id[campaign_id]].rules
    return any(
        reward.kind.on_return is rules.GiftReturn.DEDUCT
        and any(item.sku == sku for item in reward.kind.items)
        for reward in given.all_rewards
        if isinstance(reward.kind, rules.GiftItems)
    )


def _take_stamps_back(
    decision: Decision, remaining: tuple[StampMove, ...], before: ReturnedSoFar
) -> tuple[StampMove, ...]:
    """Return the stamps to undo in all, never fewer than before."""
    keys = sorted({(one.campaign_id, one.card) for one in decision.stamp_moves})

    def add_up(moves: tuple[StampMove, ...], key: tuple[str, str]) -> tuple[int, int]:
        own = [one for one in moves if (one.campaign_id, one.card) == key]
        return sum(one.earned for one in own), sum(one.spent for one in own)

    undone = []
    for key in keys:
        moved, stays = add_up(decision.stamp_moves, key), add_up(remaining, key)
        least = add_up(before.stamps, key)
        earned, spent = (max(low, most - rest) for most, rest, low in zip(moved, stays, least))
        if earned or spent:
            undone.append(StampMove(*key, earned, spent))
    return tuple(undone)


def _subtract_stamps(
    moves: tuple[StampMove, ...], before: tuple[StampMove, ...]
) -> tuple[StampMove, ...]:
    known = {(one.campaign_id, one.card): one for one in before}
    found = []
    for one in moves:
        was = known.get((one.campaign_id, one.card))
        if was is not None:
            one = one._replace(earned=one.earned - was.earned, spent=one.spent - was.spent)  # noqa: PLW2901
        if one.earned or one.spent:
            found.append(one)
    return tuple(found)


def _step(
    before: ReturnedSoFar,
    so_far: ReturnedSoFar,
    remaining: Decision | None,
    deducted: int,
) -> ReturnDecision:
    return ReturnDecision(
        refund_minor=so_far.refund_minor - before.refund_minor,
        points_restored=so_far.points_restored - before.points_restored,
        points_clawed_back=so_far.points_clawed_back - before.points_clawed_back,
        complete=remaining is None,
        remaining=remaining,
        so_far=so_far,
        stamp_moves=_subtract_stamps(so_far.stamps, before.stamps),
        gifts_deducted_minor=deducted,
    )


def _close(
    sale: _Sale,
    before: ReturnedSoFar,
    back: Mapping[str, int],
    gifts_back: Mapping[tuple[str, str], int],
) -> ReturnDecision:
    """Give and take back whatever is left to: everything came back, but for gifts perhaps.

    What they are worth is held back in money first, then in points.
    """
    decision, terms = sale.decision, sale.facts.terms
    deducted = _find_deduction(sale, None, gifts_back)
    money = decision.total_minor - decision.points_payment_minor
    refund = max(before.refund_minor, money - deducted)
    held_back = max(0, deducted - max(0, money - before.refund_minor))
    paid = payments.whole_steps(max(0, decision.points_payment_minor - held_back), terms)
    restored = decision.points_spent if not held_back else payments.points_for(paid, terms)
    so_far = ReturnedSoFar(
        quantities=tuple((line.line_id, back[line.line_id]) for line in decision.lines),
        refund_minor=refund,
        points_restored=max(before.points_restored, restored),
        points_clawed_back=decision.points_earned,
        gifts=_list_gifts(gifts_back),
        stamps=_take_stamps_back(decision, (), before),
    )
    return _step(before, so_far, None, deducted)


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
    every = {line.sku: _ENDLESS for line in lines}
    taken = {
        name: Remaining(
            uses=_ENDLESS,
            member_uses=1,
            budget_minor=discount,
            coupons=1,
            stamps=_ENDLESS,
            units=_ENDLESS,
            article_units=every,
            member_units=_ENDLESS,
        )
        for name, discount in applied.items()
    }
    facts = replace(sale.facts, remaining=taken)
    basket = baskets.arrange(cart, facts)
    found = index.match(sale.ruleset.index, cart, basket, facts, now=sale.now)
    survivors = found.survivors & sum(1 << place for place in places)
    found = replace(found, survivors=survivors, unanswered=0)
    candidates = [sale.ruleset.compiled[place] for place in places if survivors >> place & 1]
    run = lanes.start(cart, facts, basket, now=sale.now)
    lanes.run_discounts(run, candidates)
    presents = {one.place: offer.presents for one, offer in run.applied if offer.presents}
    kept = _keep(sale, lanes.start(cart, facts, basket, now=sale.now), back, presents)
    kept.moves = list(run.moves)
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
    for line, decided in zip(sale.cart.lines, sale.decision.lines):
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
            for part, share in zip(decided.parts, shares)
        )
        kept.append(LineDecision(line.line_id, amount, discount, total, payment, 0, parts))
    return kept


def _keep(
    sale: _Sale,
    run: lanes.Run,
    back: Mapping[str, int],
    presents: Mapping[int, tuple[Present, ...]],
) -> lanes.Run:
    """Return the run in which every line keeps its part of what the receipt gave it.

    `presents` are the gifts that go with it, by the places of their campaigns.
    """
    kept = {line.line_id: line for line in _kept_lines(sale, back)}
    offers: dict[int, dict[int, int]] = {}
    for pile, places in enumerate(run.basket.line_places):
        for place in places:
            for part in kept[run.cart.lines[place].line_id].parts:
                if part.discount_minor:
                    given = offers.setdefault(sale.ruleset.place_by_id[part.campaign_id], {})
                    given[pile] = given.get(pile, 0) + part.discount_minor
                    run.left[pile] -= part.discount_minor
    for place in sorted(offers.keys() | presents.keys()):
        given = offers.get(place, {})
        total = sum(given.values())
        offer = Offer(
            total=total,
            piles=list(given),
            amounts=list(given.values()),
            desired=total,
            presents=presents.get(place, ()),
        )
        one = sale.ruleset.compiled[place]
        run.applied.append((one, offer))
        if one.lane in lanes.ITEM_LANES:
            for pile, amount in given.items():
                run.items[pile] -= amount
    return run


def keep_prices(
    ruleset: Ruleset, cart: Cart, facts: Facts, decision: Decision, run: lanes.Run, *, now: datetime
) -> lanes.Run:
    """Return a fresh run in which every line costs what a decision made it cost, before points."""
    presents: dict[int, tuple[Present, ...]] = {}
    for gift in decision.gifts:
        place = ruleset.place_by_id[gift.campaign_id]
        one = Present(gift.sku, gift.units, gift.value_minor)
        presents[place] = (*presents.get(place, ()), one)
    kept = _keep(_Sale(ruleset, cart, facts, decision, now), run, {}, presents)
    kept.moves += [move for move in decision.stamp_moves if move.spent]
    return kept


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
