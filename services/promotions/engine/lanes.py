"""The lanes: which offers are taken, in which order, and which are not and why.

Inside a lane campaigns stand by priority, then id. An exclusive group takes its turn where its
first member stands; of its members the one that gives most is applied, then the one with the
higher priority, then the smaller id. All others stack, each on what those before it have left.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from services.promotions.engine import combinations, multibuys, scenes, sets, strata
from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Cart, Facts, Remaining
from services.promotions.engine.decisions import NearMiss, OutcomeReason, PaymentOffer
from services.promotions.engine.offers import Offer
from services.promotions.engine.rules import Lane, StampPrice
from services.promotions.engine.rulesets import Compiled
from services.promotions.engine.strata import Strata

_NOTHING_KNOWN = Remaining()


class Verdict(NamedTuple):
    """Why a campaign that came near the cart is not applied."""

    reason: OutcomeReason
    near_miss: NearMiss | None = None
    details: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Run:
    """The working state of one evaluation.

    `left` is what each pile still costs, `payments` what points pay of it, `payment_offer` what
    they might, None when nobody chooses any more. `applied` holds what
    was taken, in order; `verdicts` why other candidates were not, by place. `strata` is what the
    units of those piles cost whose units do not all cost the same. `watches_prices` when somebody
    asks what has been reduced so far.
    """

    cart: Cart
    facts: Facts
    now: datetime
    basket: Basket
    left: list[int]
    payments: list[int]
    payment_max: int = 0
    payment_offer: PaymentOffer | None = None
    applied: list[tuple[Compiled, Offer]] = field(default_factory=list)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    strata: dict[int, Strata] = field(default_factory=dict)
    watches_prices: bool = False


def start(cart: Cart, facts: Facts, basket: Basket, *, now: datetime) -> Run:
    """Return the state before the first lane."""
    return Run(
        cart=cart,
        facts=facts,
        now=now,
        basket=basket,
        left=list(basket.amounts),
        payments=[0] * len(basket.amounts),
    )


def run_discounts(run: Run, candidates: Sequence[Compiled]) -> None:
    """Run every lane that takes money off, in order."""
    run.watches_prices = any(one.asks_price_state for one in candidates)
    for lane, members in _by_lane(candidates):
        if lane is not Lane.EARN:
            _run_lane(run, members, _offer_discount, _take_discount)


def run_earnings(run: Run, candidates: Sequence[Compiled]) -> None:
    """Run the lane that gives points, after everything is paid."""
    money = [left - paid for left, paid in zip(run.left, run.payments, strict=True)]

    def offer(run: Run, one: Compiled) -> Offer:
        assert one.earn is not None
        return one.earn(run.basket, money, run.facts.terms)

    for lane, members in _by_lane(candidates):
        if lane is Lane.EARN:
            _run_lane(run, members, offer, _take_points)


def _by_lane(candidates: Iterable[Compiled]) -> list[tuple[Lane, list[Compiled]]]:
    """Cut campaigns in the order of evaluation where the lane changes."""
    return [(lane, list(members)) for lane, members in groupby(candidates, attrgetter("lane"))]


def _offer_discount(run: Run, one: Compiled) -> Offer:
    assert one.discount is not None
    return one.discount(run.basket, run.left, run.strata, _find_budget(run, one))


def _find_budget(run: Run, one: Compiled) -> int | None:
    if not one.limits.budget_minor:
        return None
    return run.facts.remaining.get(one.campaign.campaign_id, _NOTHING_KNOWN).budget_minor


def _take_discount(run: Run, one: Compiled, offer: Offer) -> None:
    left = run.left
    if run.strata or offer.strata:
        _take_units(run, offer)
    for pile, amount in zip(offer.piles, offer.amounts, strict=True):
        left[pile] -= amount
    run.applied.append((one, offer))
    if run.watches_prices:
        touched = sum(
            [1 << pile for pile, cut in zip(offer.piles, offer.amounts, strict=True) if cut]
        )
        run.basket = replace(run.basket, reduced=run.basket.reduced | touched)


def _take_units(run: Run, offer: Offer) -> None:
    """Keep what units cost after an offer, a part of which the budget may have cut off."""
    touched = offer.strata or {}
    cut = offer.total < offer.desired
    for pile, amount in zip(offer.piles, offer.amounts, strict=True):
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
    run.applied.append((one, offer))


def _run_lane(
    run: Run,
    members: list[Compiled],
    make: Callable[[Run, Compiled], Offer],
    take: Callable[[Run, Compiled, Offer], None],
) -> None:
    lane_left = tuple(run.left)
    stopped_by = ""
    for group in _take_turns(members):
        if group[0].contends and _contends(group):
            _run_contest(run, _look(run, lane_left), group, stopped_by)
            continue
        offers = []
        scene = _look(run, lane_left)
        for one in group:
            verdict = _admit(run, scene, one)
            if verdict is None and stopped_by:
                verdict = Verdict(
                    OutcomeReason.STOPPED_BY_PRIOR_RULE, details=(("stopped_by", stopped_by),)
                )
            if verdict is not None:
                run.verdicts[one.place] = verdict
            elif (offer := make(run, one)).total:
                offers.append((one, offer))
            else:
                run.verdicts[one.place] = _tell_refused(run, scene, one, offer)
        if offers:
            winner = _choose(run, offers)
            take(run, *winner)
            if winner[0].stop:
                stopped_by = winner[0].campaign.campaign_id


def _look(run: Run, lane_left: Sequence[int]) -> scenes.Scene:
    """Return what conditions see now; `turn` is alive, for nobody keeps a scene."""
    return scenes.Scene(run.cart, run.facts, run.basket, lane_left, run.now, run.left)


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
    priority = turn[0].campaign.rules.combination.priority
    return all(one.contends and one.campaign.rules.combination.priority == priority for one in turn)


def _gather(turns: list[list[Compiled]]) -> list[list[Compiled]]:
    """Make one turn of all that contend at one priority, before other campaigns of sets there."""
    gathered: list[list[Compiled]] = []
    contests: dict[int, list[Compiled]] = {}
    for turn in turns:
        if turn[0].sets is not None:
            priority = turn[0].campaign.rules.combination.priority
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
    admitted = []
    for one in members:
        verdict = _admit(run, scene, one)
        if verdict is None and stopped_by:
            verdict = Verdict(
                OutcomeReason.STOPPED_BY_PRIOR_RULE, details=(("stopped_by", stopped_by),)
            )
        if verdict is not None:
            run.verdicts[one.place] = verdict
        else:
            admitted.append(one)
    basket = run.basket
    given = [one.sets for one in admitted if one.sets is not None]
    table = sets.lay_out(basket, run.left, run.strata, given)
    plans = [sets.read_plan(table, basket, one) for one in given]
    found = combinations.combine(
        table,
        [
            combinations.Entry(plan, one.exclusive_group)
            for one, plan in zip(admitted, plans, strict=True)
        ],
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
    for n, (one, plan) in enumerate(zip(admitted, plans, strict=True)):
        made = found.made.get(n, [])
        if not made and one.exclusive_group in winners:
            run.verdicts[one.place] = Verdict(
                OutcomeReason.LOST_BEST_OF, details=(("winner", winners[one.exclusive_group]),)
            )
            continue
        offer = multibuys.price(
            run.basket, run.left, table, plan, made, budget=_find_budget(run, one)
        )
        if not offer.total:
            refused.append((one, offer))
            continue
        if n in found.searched:
            how = "PROVEN" if found.searched[n] else "BOUNDED"
            offer = offer._replace(details=(*offer.details, ("optimality", how)))
        _take_discount(run, one, offer)
    for one, offer in refused:
        run.verdicts[one.place] = _tell_refused(run, scene, one, offer)


def _tell_refused(run: Run, scene: scenes.Scene, one: Compiled, offer: Offer) -> Verdict:
    if one.sets is not None:
        offer = multibuys.explain_refusal(run.basket, scene.left, one.sets, offer)
    return Verdict(offer.reason, offer.near_miss, offer.details)


def _choose(run: Run, offers: list[tuple[Compiled, Offer]]) -> tuple[Compiled, Offer]:
    """Return the offer that gives most; members stand by priority and id, so the first wins."""
    if len(offers) == 1:
        return offers[0]
    winner = max(offers, key=lambda pair: (pair[1].total, -pair[0].place))
    name = winner[0].campaign.campaign_id
    for one, offer in offers:
        if one is not winner[0]:
            run.verdicts[one.place] = Verdict(
                OutcomeReason.LOST_BEST_OF, details=(("winner", name), ("value", str(offer.total)))
            )
    return winner


def _admit(run: Run, scene: scenes.Scene, one: Compiled) -> Verdict | None:
    """Return why the campaign may not even make an offer.

    What is known to be used up comes first, then the condition, and last what nobody could tell:
    a campaign whose condition fails needs no ledger.
    """
    known = _NOTHING_KNOWN
    if one.limited:
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
    if one.limited and _is_unanswered(one, known):
        return Verdict(OutcomeReason.DEPENDENCY_UNAVAILABLE)
    return None


def _find_used_up(run: Run, one: Compiled, known: Remaining) -> Verdict | None:
    if reason := _find_exhausted(run, one, known):
        return Verdict(reason)
    return _find_stamps_missing(run, one.stamps, known) if one.stamps is not None else None


def _find_exhausted(run: Run, one: Compiled, known: Remaining) -> OutcomeReason | None:
    limits = one.limits
    if one.personal:
        if run.facts.member is None and run.facts.identity_answered:
            return OutcomeReason.COUPON_NOT_HELD
        if known.coupons is not None and known.coupons <= 0:
            return OutcomeReason.COUPON_NOT_HELD
    if limits.uses_max and known.uses is not None and known.uses <= 0:
        return OutcomeReason.USAGE_LIMIT_REACHED
    if limits.uses_per_member_max and known.member_uses is not None and known.member_uses <= 0:
        return OutcomeReason.MEMBER_LIMIT_REACHED
    if limits.budget_minor and known.budget_minor is not None and known.budget_minor <= 0:
        return OutcomeReason.BUDGET_EXHAUSTED
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
    if available >= price.count:
        return None
    details = (("available", str(available)), ("required", str(price.count)))
    return Verdict(OutcomeReason.STAMPS_MISSING, details=details)


def _is_unanswered(one: Compiled, known: Remaining) -> bool:
    limits = one.limits
    return (
        (one.personal and known.coupons is None)
        or (one.stamps is not None and known.stamps is None)
        or (limits.uses_max > 0 and known.uses is None)
        or (limits.uses_per_member_max > 0 and known.member_uses is None)
        or (limits.budget_minor > 0 and known.budget_minor is None)
    )
