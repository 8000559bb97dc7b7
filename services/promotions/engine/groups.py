"""Exclusive groups: which of several offers are taken, and what becomes of the others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from services.promotions.engine.decisions import NearMiss, OutcomeReason
from services.promotions.engine.offers import Details, Offer
from services.promotions.engine.rules import CouponTrigger, GroupChoice
from services.promotions.engine.rulesets import Compiled


class Verdict(NamedTuple):
    """Why a campaign that came near the cart is not applied."""

    reason: OutcomeReason
    near_miss: NearMiss | None = None
    details: tuple[tuple[str, str], ...] = ()


Made: TypeAlias = Sequence[tuple[Compiled, Offer]]


def find_limit(turn: Sequence[Compiled]) -> int:
    """Return how many of a group are applied at most; the smallest that a member asks for."""
    if len(turn) == 1:
        return 1
    asked = [one.campaign.rules.combination.group_max for one in turn]
    return min([count for count in asked if count], default=1)


def choose(offers: Made, codes: Sequence[str], choice: GroupChoice) -> list[tuple[Compiled, Offer]]:
    """Return the offers that are taken next; members stand by priority and id."""
    if len(offers) == 1:
        return list(offers)
    match choice:
        case GroupChoice.FIRST:
            return [offers[0]]
        case GroupChoice.LATEST_CODE:
            return [max(offers, key=lambda pair: (_find_turn(pair[0], codes), -pair[0].place))]
        case GroupChoice.BEST_BY_LINE | GroupChoice.LEAST_BY_LINE:
            return _choose_by_line(offers, 1 if choice is GroupChoice.BEST_BY_LINE else -1)
        case GroupChoice.LEAST:
            return [min(offers, key=lambda pair: (_weigh(pair[1]), pair[0].place))]
    return [max(offers, key=lambda pair: (_weigh(pair[1]), -pair[0].place))]


def _weigh(offer: Offer) -> int:
    """Return what an offer gives: what it takes off, and what its gifts are worth."""
    return offer.total + sum([one.units * one.value_minor for one in offer.presents])


def _find_turn(one: Compiled, codes: Sequence[str]) -> int:
    """Return where the last code of a campaign stands among those presented, -1 without any."""
    trigger = one.campaign.rules.trigger
    if not isinstance(trigger, CouponTrigger):
        return -1
    own = {code.upper() for code in trigger.codes}
    return max([turn for turn, code in enumerate(codes) if code.upper() in own], default=-1)


def _choose_by_line(offers: Made, sign: int) -> list[tuple[Compiled, Offer]]:
    """Let each pile take the offer that gives most on it; with -1 the one that gives least."""
    best: dict[int, tuple[int, int]] = {}
    for place, (_, offer) in enumerate(offers):
        for pile, amount in zip(offer.piles, offer.amounts):
            if amount > 0 and (pile not in best or sign * amount > sign * best[pile][0]):
                best[pile] = (amount, place)
    taken = []
    for place, (one, offer) in enumerate(offers):
        won = [pile for pile in offer.piles if best.get(pile, (0, -1))[1] == place]
        if won:
            given = dict(zip(offer.piles, offer.amounts))
            total = sum([given[pile] for pile in won])
            strata = {pile: units for pile, units in (offer.strata or {}).items() if pile in won}
            part = offer._replace(
                piles=won,
                amounts=[given[pile] for pile in won],
                total=total,
                desired=total,
                strata=strata or None,
            )
            taken.append((one, part))
    return taken or [max(offers, key=lambda pair: (pair[1].total, -pair[0].place))]


def tell_losers(
    winners: Made, losers: Made, limit: int, choice: GroupChoice
) -> Mapping[int, Verdict]:
    """Return why the others of a group are not applied."""
    winner = winners[0][0].campaign.campaign_id
    verdicts: dict[int, Verdict] = {}
    for one, offer in losers:
        details: Details = (("winner", winner), ("value", str(_weigh(offer))))
        reason = OutcomeReason.LOST_BEST_OF
        if choice is GroupChoice.LATEST_CODE and limit == 1:
            reason, details = OutcomeReason.REPLACED_BY_LATER_CODE, details[:1]
        elif limit > 1 or choice is GroupChoice.FIRST:
            reason, details = OutcomeReason.CATEGORY_LIMIT, (("limit", str(limit)),)
        verdicts[one.place] = Verdict(reason, None, details)
    return verdicts
