"""The lanes: which offers are taken, in which order, and which are not and why.

Inside a lane campaigns stand by priority, then id. An exclusive group takes its turn where its
first member stands; of its members the one that gives most is applied, then the one with the
higher priority, then the smaller id. All others stack, each on what those before it have left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter, sub
from typing import Final

from services.promotions.engine import (
    amounts,
    combinations,
    groups,
    multibuys,
    scenes,
    sets,
    strata,
)
from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Cart, Facts, Remaining
from services.promotions.engine.decisions import OutcomeReason, PaymentOffer
from services.promotions.engine.earnings import Till
from services.promotions.engine.groups import Verdict
from services.promotions.engine.offers import Offer, Turn
from services.promotions.engine.rules import POINTS_CARD, Lane, Limits, StampPrice
from services.promotions.engine.rulesets import Compiled
from services.promotions.engine.strata import Strata

_NOTHING_KNOWN: Final = Remaining()
#: The most stamps that one price takes on a receipt, as far as the contract can say it.
_STAMPS_MAX: Final = (1 << 31) - 1
ITEM_LANES: Final = frozenset({Lane.ITEM, Lane.MULTI_BUY})


@dataclass(slots=True)
class Run:
    """The working state of one evaluation.

    `left` is what each pile still costs, `payments` what points pay of it, `payment_offer` what
    they might, None when nobody chooses any more. `applied` holds what
    was taken, in order; `verdicts` why other candidates were not, by place. `strata` is what the
    units of those piles cost whose units do not all cost the same. `watches_prices` when somebody
    asks what has been reduced so far, `capped` when the receipt bounds its discounts. `turn` is
    what campaigns without bounds find. `items` is what piles cost
    after the lanes of articles and sets, `points` what they have earned so far. `stamps` are what
    the member still has by card, None when nobody knows, and `held` their points; `moves` are
    (campaign, card, earned, spent). `vain` are campaigns whose code counts as used even if they
    give nothing. `barred` are lanes in which nothing may follow, by who says so; `labels` and
    `foes` are those of what was applied.
    """

    cart: Cart
    facts: Facts
    now: datetime
    basket: Basket
    left: list[int]
    payments: list[int]
    turn: Turn
    payment_max: int = 0
    payment_offer: PaymentOffer | None = None
    applied: list[tuple[Compiled, Offer]] = field(default_factory=list)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    strata: dict[int, Strata] = field(default_factory=dict)
    watches_prices: bool = False
    capped: bool = False
    items: list[int] = field(default_factory=list)
    points: list[int] = field(default_factory=list)
    stamps: dict[str, int] | None = None
    held: int | None = None
    moves: list[tuple[str, str, int, int]] = field(default_factory=list)
    vain: list[Compiled] = field(default_factory=list)
    barred: dict[Lane, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    foes: dict[str, str] = field(default_factory=dict)


def start(cart: Cart, facts: Facts, basket: Basket, *, now: datetime) -> Run:
    """Return the state before the first lane."""
    member = facts.member
    known = None if member is None or member.stamps is None else dict(member.stamps)
    cap, left, units = facts.cap, list(basket.amounts), dict[int, Strata]()
    return Run(
        cart=cart,
        facts=facts,
        now=now,
        basket=basket,
        left=left,
        payments=[0] * len(left),
        turn=Turn(basket, left, basket.amounts, units),
        strata=units,
        items=list(basket.amounts),
        points=[0] * len(left),
        stamps=known,
        held=None if member is None else member.points_balance,
        capped=cap.share_basis_points < amounts.BASIS_POINTS or cap.amount_minor > 0,
    )


def run_discounts(run: Run, candidates: Sequence[Compiled]) -> None:
    """Run every lane that takes money off, in order."""
    run.watches_prices = any(one.asks_price_state for one in candidates)
    for lane, members in groupby(candidates, attrgetter("lane")):
        if lane is Lane.EARN:
            break  # the last one
        _run_lane(run, list(members), _offer_discount, _take_discount)
        if lane in ITEM_LANES:
            run.items = list(run.left)


def run_earnings(run: Run, candidates: Sequence[Compiled]) -> None:
    """Run the lane that gives points, after everything is paid."""
    money = [left - paid for left, paid in zip(run.left, run.payments)]

    def offer(run: Run, one: Compiled, _begun: list[int]) -> Offer:
        assert one.earn is not None
        facts = run.facts
        return one.earn(
            Till(run.basket, money, run.items, run.points, run.strata, facts.terms, facts.hands_out)
        )

    if members := [one for one in candidates if one.earn is not None]:
        _run_lane(run, members, offer, _take_points)


def _offer_discount(run: Run, one: Compiled, begun: list[int]) -> Offer:
    assert one.discount is not None
    return one.discount(_make_turn(run, one, begun))


def _make_turn(run: Run, one: Compiled, begun: list[int]) -> Turn:
    """Return what a campaign finds when its turn comes."""
    return _bound_turn(run, one, begun) if one.bounded or run.capped else run.turn


def _bound_turn(run: Run, one: Compiled, begun: list[int]) -> Turn:
    """Return the turn of a campaign that finds more than goods: what it may give, and how often."""
    budget = _find_cap(run)
    name = one.campaign.campaign_id
    limits = one.limits
    known = run.facts.remaining.get(name, _NOTHING_KNOWN)
    sets = None
    if limits.budget_minor and known.budget_minor is not None:
        budget = known.budget_minor if budget is None else min(budget, known.budget_minor)
    if limits.count_sets and limits.uses_max:
        sets = known.uses
    if one.price is not None and one.sets is not None:
        held = _find_held(run, one.price.card_id) or 0
        if one.price.card_id != POINTS_CARD:
            held = min(held, _STAMPS_MAX)
        held //= one.price.count
        sets = held if sets is None else min(sets, held)
    return Turn(
        run.basket,
        run.left,
        begun,
        run.strata,
        budget,
        _find_units(limits, known),
        (known.article_units or {}) if limits.units_per_article_max else None,
        sets,
        run.cart.gift_choices.get(name, ()),
    )


def _find_held(run: Run, card: str) -> int | None:
    """Return what the member still has on a card, or of points; None when nobody knows."""
    if card == POINTS_CARD:
        return run.held
    return None if run.stamps is None else run.stamps.get(card, 0)


def _find_units(limits: Limits, known: Remaining) -> int | None:
    """Return how many units may still be rewarded; None without an end."""
    bounds = []
    if limits.units_max:
        bounds.append(known.units)
    if limits.units_per_member_max:
        bounds.append(known.member_units)
    return min([left for left in bounds if left is not None], default=None)


def _find_cap(run: Run) -> int | None:
    """Return how much may still be taken off the receipt; None without an end."""
    if not run.capped:
        return None
    cap, basket = run.facts.cap, run.basket
    most = basket.subtotal * cap.share_basis_points // amounts.BASIS_POINTS
    if cap.amount_minor:
        most = min(most, cap.amount_minor)
    return max(0, most - basket.subtotal + sum(run.left))


def _take_discount(run: Run, one: Compiled, offer: Offer) -> None:
    left = run.left
    if run.strata or offer.strata:
        _take_units(run, offer)
    piles, given = offer.piles, offer.amounts
    if len(piles) == len(left):
        left[:] = map(sub, left, given)
    else:
        for pile, amount in zip(piles, given):
            left[pile] -= amount
    run.applied.append((one, offer))
    if one.has_terms:
        _settle_terms(run, one, offer)
    if run.watches_prices:
        touched = sum([1 << pile for pile, cut in zip(piles, given) if cut])
        run.basket = replace(run.basket, reduced=run.basket.reduced | touched)


def _take_units(run: Run, offer: Offer) -> None:
    """Keep what units cost after an offer, a part of which the budget may have cut off."""
    touched = offer.strata or {}
    cut = offer.total < offer.desired
    if not touched:
        units = run.strata
        for pile, amount in zip(offer.piles, offer.amounts):
            if pile in units and amount:
                before = run.left[pile]
                units[pile] = strata.settle(units[pile], before=before, after=before - amount)
        return
    for pile, amount in zip(offer.piles, offer.amounts):
        after = run.left[pile] - amount
        if pile not in touched:
            if pile in run.strata:
                before = run.left[pile]
                run.strata[pile] = strata.settle(run.strata[pile], before=before, after=after)
        elif cut:
            whole = strata.total_with_rest(run.basket, run.left, run.strata, touched, pile)
            run.strata[pile] = strata.settle(touched[pile], before=whole, after=after)
        else:
            run.strata[pile] = touched[pile]
    if not cut:
        run.strata.update(touched)


def _take_points(run: Run, one: Compiled, offer: Offer) -> None:
    for pile, points in zip(offer.piles, offer.amounts):
        run.points[pile] += points
    run.applied.append((one, offer))
    if one.has_terms or offer.stamps:
        _settle_terms(run, one, offer)


def _settle_terms(run: Run, one: Compiled, offer: Offer) -> None:
    """Move stamps, and note what may not follow any more."""
    name, combination = one.campaign.campaign_id, one.campaign.rules.combination
    run.moves += [(name, card, count, 0) for card, count in offer.stamps]
    if one.price is not None:
        card, spent = one.price.card_id, one.price.count * offer.sets
        run.moves.append((name, card, 0, spent))
        if card == POINTS_CARD:
            take_points(run, spent)
        elif run.stamps is not None:
            run.stamps[card] = run.stamps.get(card, 0) - spent
    if one.stamps is not None and run.stamps is not None:
        card, spent = one.stamps.card_id, one.stamps.count
        run.stamps[card] = run.stamps.get(card, 0) - spent
    for lane in combination.stop_lanes:
        run.barred.setdefault(lane, name)
    for label in combination.labels:
        run.labels.setdefault(label, name)
    for label in combination.incompatible_labels:
        run.foes.setdefault(label, name)


def take_points(run: Run, points: int) -> None:
    """Note that the member has so many points less for what comes."""
    if run.held is not None:
        run.held -= points


def _run_lane(
    run: Run,
    members: list[Compiled],
    make: Callable[[Run, Compiled, list[int]], Offer],
    take: Callable[[Run, Compiled, Offer], None],
) -> None:
    begun = list(run.left)
    scene = _look(run, begun)
    stopped_by = ""
    for turn in _take_turns(members):
        if run.watches_prices:
            scene = _look(run, begun)
        if turn[0].contends and _contends(turn):
            _run_contest(run, scene, turn, stopped_by)
        elif len(turn) == 1:
            one = turn[0]
            offer = _ask(run, one, scene, make, stopped_by)
            if offer is not None:
                take(run, one, offer)
                if one.stop:
                    stopped_by = one.campaign.campaign_id
        else:
            stopped_by = _run_group(run, turn, scene, make, take, stopped_by)


def _run_group(
    run: Run,
    turn: list[Compiled],
    scene: scenes.Scene,
    make: Callable[[Run, Compiled, list[int]], Offer],
    take: Callable[[Run, Compiled, Offer], None],
    stopped_by: str,
) -> str:
    """Apply so many of an exclusive group as may be; return who stops the lane now."""
    limit, choice = groups.find_limit(turn), turn[0].campaign.rules.combination.group_choice
    rest = turn
    for count in range(1, limit + 1):
        offers = _collect(run, rest, scene, make, stopped_by)
        if not offers:
            break
        winners = groups.choose(offers, run.cart.coupon_codes, choice)
        for one, offer in winners:
            take(run, one, offer)
            if one.stop:
                stopped_by = one.campaign.campaign_id
        won = {one.place for one, _ in winners}
        losers = [pair for pair in offers if pair[0].place not in won]
        if losers and (count == limit or len(winners) > 1):
            run.verdicts.update(groups.tell_losers(winners, losers, limit, choice))
            break
        rest = [one for one, _ in losers]
        if run.watches_prices:
            scene = _look(run, scene.left)
    return stopped_by


def _collect(
    run: Run,
    turn: list[Compiled],
    scene: scenes.Scene,
    make: Callable[[Run, Compiled, list[int]], Offer],
    stopped_by: str,
) -> list[tuple[Compiled, Offer]]:
    """Return the offers of those who may make one and have something to give."""
    offers = []
    for one in turn:
        offer = _ask(run, one, scene, make, stopped_by)
        if offer is not None:
            offers.append((one, offer))
    return offers


def _ask(
    run: Run,
    one: Compiled,
    scene: scenes.Scene,
    make: Callable[[Run, Compiled, list[int]], Offer],
    stopped_by: str,
) -> Offer | None:
    """Return what a campaign offers, None with a verdict when that is nothing."""
    verdict = None
    if one.check is not None or one.bounded:
        verdict = _admit(run, scene, one)
    if verdict is None and (stopped_by or run.barred or one.has_terms):
        verdict = _find_stop(run, one, stopped_by)
    if verdict is not None:
        run.verdicts[one.place] = verdict
        return None
    offer = make(run, one, scene.left)
    if offer.total or offer.gives:
        return offer
    run.verdicts[one.place] = _tell_refused(run, scene, one, offer)
    if one.coded and one.limits.count_without_effect:
        run.vain.append(one)
    return None


def _find_stop(run: Run, one: Compiled, stopped_by: str) -> Verdict | None:
    """Return who lets this campaign not follow, in its lane or from another one."""
    if stopped_by:
        details = (("stopped_by", stopped_by),)
        return Verdict(OutcomeReason.STOPPED_BY_PRIOR_RULE, None, details)
    if run.barred and one.lane in run.barred:
        details = (("stopped_by", run.barred[one.lane]),)
        return Verdict(OutcomeReason.EXCLUDED_BY_EXCLUSIVE, None, details)
    if one.has_terms and (run.labels or run.foes):
        combination = one.campaign.rules.combination
        for mine, others in (
            (combination.incompatible_labels, run.labels),
            (combination.labels, run.foes),
        ):
            if met := [label for label in mine if label in others]:
                return Verdict(OutcomeReason.INCOMPATIBLE, None, (("with", others[min(met)]),))
    return None


def _look(run: Run, begun: list[int]) -> scenes.Scene:
    """Return what conditions see now, and let campaigns find the same.

    `turn` and the amounts in `run.turn` are alive, for nobody keeps a scene.
    """
    run.turn = Turn(run.basket, run.left, begun, run.strata)
    return scenes.Scene(run.cart, run.facts, run.basket, begun, run.now, run.left)


def _take_turns(members: list[Compiled]) -> list[list[Compiled]]:
    turns: list[list[Compiled]] = []
    groups: dict[str, list[Compiled]] = {}
    for one in members:
        name = one.exclusive_group
        if not name:
            turns.append([one])
        elif name in groups:
            groups[name].append(one)
        else:
            groups[name] = [one]
            turns.append(groups[name])
    return _gather(turns) if any(one.sets for one in members) else turns


def _contends(turn: list[Compiled]) -> bool:
    """Tell whether a turn is for the best combination: sets, all of the same priority."""
    priority = turn[0].priority
    return all(one.contends and one.priority == priority for one in turn)


def _gather(turns: list[list[Compiled]]) -> list[list[Compiled]]:
    """Make one turn of all that contend at one priority, before other campaigns of sets there."""
    gathered: list[list[Compiled]] = []
    contests: dict[int, list[Compiled]] = {}
    for turn in turns:
        if turn[0].sets is not None:
            priority = turn[0].priority
            if priority not in contests:
                contests[priority] = []
                gathered.append(contests[priority])
            if _contends(turn):
                contests[priority].extend(turn)
                continue
        gathered.append(turn)
    for contest in contests.values():
        contest.sort(key=attrgetter("place"))
    return [turn for turn in gathered if turn]


def _run_contest(run: Run, scene: scenes.Scene, members: list[Compiled], stopped_by: str) -> None:
    """Apply the best combination of campaigns whose sets may want the same goods."""
    admitted: list[Compiled] = []
    wanted: list[tuple[sets.SetRules, sets.Goods]] = []
    basket = run.basket
    for one in members:
        assert one.sets is not None
        verdict = _admit(run, scene, one) or _find_stop(run, one, stopped_by)
        if verdict is not None:
            run.verdicts[one.place] = verdict
            continue
        goods, lack = sets.find_goods(basket, one.sets), None
        if not sets.is_possible(basket, one.sets, goods):
            lack = multibuys.find_lack(basket, scene.left, one.sets, goods)
        if lack is not None:
            run.verdicts[one.place] = _tell_refused(run, scene, one, lack)
        else:
            admitted.append(one)
            turn = _make_turn(run, one, scene.left)
            wanted.append((multibuys.bind(one.sets, turn), goods))
    if not admitted:
        return
    table = sets.lay_out(basket, run.left, run.strata, [goods for _, goods in wanted])
    plans = [sets.read_plan(table, basket, given, goods) for given, goods in wanted]
    found = combinations.combine(
        table,
        [combinations.Entry(plan, one.exclusive_group) for one, plan in zip(admitted, plans)],
    )
    _apply_contest(run, scene, admitted, table, plans, found)


def _apply_contest(
    run: Run,
    scene: scenes.Scene,
    admitted: list[Compiled],
    table: sets.Table,
    plans: list[sets.Plan],
    found: combinations.Combination,
) -> None:
    winners = {
        one.exclusive_group: one.campaign.campaign_id
        for n, one in enumerate(admitted)
        if one.exclusive_group and found.made.get(n)
    }
    refused = []
    for n, (one, plan) in enumerate(zip(admitted, plans)):
        made = found.made.get(n, [])
        if not made and one.exclusive_group in winners:
            run.verdicts[one.place] = Verdict(
                OutcomeReason.LOST_BEST_OF, details=(("winner", winners[one.exclusive_group]),)
            )
            continue
        offer = multibuys.price(_make_turn(run, one, scene.left), table, plan, made)
        if not offer.gives:
            refused.append((one, offer))
            continue
        if n in found.searched:
            how = "PROVEN" if found.searched[n] else "BOUNDED"
            offer = offer._replace(details=(*offer.details, ("optimality", how)))
        _take_discount(run, one, offer)
    for one, offer in refused:
        run.verdicts[one.place] = _tell_refused(run, scene, one, offer)


def _tell_refused(run: Run, scene: scenes.Scene, one: Compiled, offer: Offer) -> Verdict:
    if one.discount is not None and _find_cap(run) == 0:
        return Verdict(OutcomeReason.RECEIPT_CAP_REACHED)
    if one.sets is not None:
        offer = multibuys.explain_refusal(run.basket, scene.left, one.sets, offer)
    return Verdict(offer.reason, offer.near_miss, offer.details)


def _admit(run: Run, scene: scenes.Scene, one: Compiled) -> Verdict | None:
    """Return why the campaign may not even make an offer.

    What is known to be used up comes first, then the condition, and last what nobody could tell:
    a campaign whose condition fails needs no ledger.
    """
    known = _NOTHING_KNOWN
    if one.need is not None:
        known = run.facts.remaining.get(one.campaign.campaign_id, known)
        if verdict := _find_used_up(run, one, known):
            return verdict
    if one.check is not None:
        lack = one.check(scene)
        if lack is not None:
            if lack.unanswered:
                return Verdict(OutcomeReason.DEPENDENCY_UNAVAILABLE)
            if lack.unknown:
                return Verdict(OutcomeReason.ATTRIBUTE_MISSING, None, lack.details)
            return Verdict(OutcomeReason.CONDITION_NOT_MET, lack.near_miss, lack.details)
    if one.need is not None and _is_unanswered(one, known):
        return Verdict(OutcomeReason.DEPENDENCY_UNAVAILABLE)
    return None if one.price is None else _check_price(run, one.price)


def _check_price(run: Run, price: StampPrice) -> Verdict | None:
    held = _find_held(run, price.card_id)
    if held is None:
        unknown = run.facts.member is not None or not run.facts.identity_answered
        reason = OutcomeReason.DEPENDENCY_UNAVAILABLE if unknown else OutcomeReason.NOT_IN_AUDIENCE
        return Verdict(reason)
    if held >= price.count:
        return None
    details = (("available", str(held)), ("required", str(price.count)))
    in_points = price.card_id == POINTS_CARD
    reason = OutcomeReason.POINTS_MISSING if in_points else OutcomeReason.STAMPS_MISSING
    return Verdict(reason, None, details)


def _find_used_up(run: Run, one: Compiled, known: Remaining) -> Verdict | None:
    if reason := _find_exhausted(run, one, known):
        return Verdict(reason)
    return _find_stamps_missing(run, one.stamps, known) if one.stamps is not None else None


def _find_exhausted(run: Run, one: Compiled, known: Remaining) -> OutcomeReason | None:
    limits = one.limits
    nobodys = run.facts.member is None and one.campaign.campaign_id not in run.facts.bearers
    if one.personal and ((nobodys and run.facts.identity_answered) or _is_gone(known.coupons)):
        return OutcomeReason.COUPON_NOT_HELD
    for limit, left, reason in (
        (limits.uses_max, known.uses, OutcomeReason.USAGE_LIMIT_REACHED),
        (limits.uses_per_member_max, known.member_uses, OutcomeReason.MEMBER_LIMIT_REACHED),
        (limits.budget_minor, known.budget_minor, OutcomeReason.BUDGET_EXHAUSTED),
        (limits.units_max, known.units, OutcomeReason.BUDGET_EXHAUSTED),
        (limits.units_per_member_max, known.member_units, OutcomeReason.MEMBER_LIMIT_REACHED),
    ):
        if limit and _is_gone(left):
            return reason
    return None


def _find_stamps_missing(run: Run, price: StampPrice, known: Remaining) -> Verdict | None:
    """Return the verdict when the member is known to have too few stamps, or is none.

    What campaigns before it took of the same card is gone.
    """
    available = known.stamps
    if run.facts.member is None and run.facts.identity_answered:
        available = 0
    if available is None:
        return None
    available -= sum(
        one.stamps.count
        for one, _ in run.applied
        if one.stamps is not None and one.stamps.card_id == price.card_id
    )
    available -= sum(spent for _, card, _, spent in run.moves if card == price.card_id)
    if available >= price.count:
        return None
    details = (("available", str(available)), ("required", str(price.count)))
    return Verdict(OutcomeReason.STAMPS_MISSING, details=details)


def _is_gone(left: int | None) -> bool:
    return left is not None and left <= 0


def _is_unanswered(one: Compiled, known: Remaining) -> bool:
    limits = one.limits
    return (
        (one.personal and known.coupons is None)
        or (one.stamps is not None and known.stamps is None)
        or (limits.uses_max > 0 and known.uses is None)
        or (limits.uses_per_member_max > 0 and known.member_uses is None)
        or (limits.budget_minor > 0 and known.budget_minor is None)
        or (limits.units_max > 0 and known.units is None)
        or (limits.units_per_member_max > 0 and known.member_units is None)
        or (limits.units_per_article_max > 0 and known.article_units is None)
    )
