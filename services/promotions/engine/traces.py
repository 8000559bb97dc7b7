"""The trace: what became of every campaign that came near the cart."""

from collections.abc import Mapping
from typing import Final

from services.promotions.engine.baskets import places
from services.promotions.engine.carts import Cart, Facts
from services.promotions.engine.decisions import Explain, Outcome, OutcomeReason
from services.promotions.engine.groups import Verdict
from services.promotions.engine.index import Match
from services.promotions.engine.lanes import Run
from services.promotions.engine.offers import Offer
from services.promotions.engine.rules import CouponTrigger, Text
from services.promotions.engine.rulesets import Compiled, Ruleset

_NO_TITLE: Final = Text("")
#: Makes an outcome as its own constructor does, in half the time.
_new_outcome: Final = tuple.__new__


def tell(ruleset: Ruleset, run: Run, found: Match, *, explain: Explain) -> tuple[Outcome, ...]:
    """Return what was applied in its order, then the others in theirs, unknown codes at the end.

    Candidates are campaigns that the index leaves, presented coupons, and near misses; with FULL
    every campaign of the rule set answers.
    """
    codes = presented_codes(run.cart)
    full = explain is Explain.FULL
    verdicts = _drop_distant(ruleset, run, found) if not full else dict(run.verdicts)
    unanswered = Verdict(OutcomeReason.DEPENDENCY_UNAVAILABLE)
    verdicts.update(dict.fromkeys(places(found.unanswered), unanswered))
    asked = ruleset.index.everyone if full else _called(ruleset, codes)
    verdicts.update(_find_refused(found, asked & ~found.survivors & ~found.unanswered))
    return (
        *[_tell_applied(one, offer, codes) for one, offer in run.applied],
        *[_tell(ruleset.compiled[place], verdicts[place], codes) for place in sorted(verdicts)],
        *[
            _tell_unknown(ruleset, run.facts, folded, code)
            for folded, code in sorted(codes.items())
            if folded not in ruleset.index.codes
        ],
    )


def _tell_unknown(ruleset: Ruleset, facts: Facts, folded: str, code: str) -> Outcome:
    details = (("code", code),)
    known = ruleset.inactive_codes.get(folded)
    if known is None:
        reason = (
            OutcomeReason.UNKNOWN_CODE
            if facts.codes_answered
            else OutcomeReason.DEPENDENCY_UNAVAILABLE
        )
        return Outcome("", 0, _NO_TITLE, reason, details=details)
    reason, title = OutcomeReason.INACTIVE, known.rules.title
    return Outcome(known.campaign_id, known.version, title, reason, details=details)


def presented_codes(cart: Cart) -> dict[str, str]:
    """Return the coupon codes as the shopper wrote them first, by their upper-case form."""
    return {code.upper(): code for code in reversed(cart.coupon_codes)}


def codes_of(one: Compiled) -> tuple[str, ...]:
    """Return the codes that a campaign answers to."""
    trigger = one.campaign.rules.trigger
    return trigger.codes if isinstance(trigger, CouponTrigger) else ()


def presented_code(one: Compiled, codes: Mapping[str, str]) -> str:
    """Return the code by which the campaign was called, or an empty text."""
    if not codes:
        return ""
    return next((codes[code.upper()] for code in codes_of(one) if code.upper() in codes), "")


def _drop_distant(ruleset: Ruleset, run: Run, found: Match) -> dict[int, Verdict]:
    """Leave out whom the index let pass for a near miss that it then was not."""
    beyond = found.survivors & ~ruleset.index.spends.at(run.basket.subtotal)
    return {
        place: verdict
        for place, verdict in run.verdicts.items()
        if (verdict.near_miss and verdict.near_miss.close)
        or ruleset.compiled[place].coded
        or not beyond >> place & 1
    }


def _called(ruleset: Ruleset, codes: Mapping[str, str]) -> int:
    called = 0
    for code in codes:
        called |= ruleset.index.codes.get(code, 0)
    return called


def _find_refused(found: Match, asked: int) -> dict[int, Verdict]:
    """Give each campaign the first dimension that it failed as its reason."""
    verdicts: dict[int, Verdict] = {}
    for reason, admitted in found.dimensions:
        if not asked:
            break
        verdicts.update(dict.fromkeys(places(asked & ~admitted), Verdict(reason)))
        asked &= admitted
    return verdicts


def _tell_applied(one: Compiled, offer: Offer, codes: Mapping[str, str]) -> Outcome:
    campaign = one.campaign
    discount = one.discount is not None
    details = _name_code(one, codes) + offer.details if one.coded else offer.details
    if cut := offer.desired - offer.total:
        details += (("cut_minor", str(cut)), ("desired_minor", str(offer.desired)))
    return _new_outcome(
        Outcome,
        (
            campaign.campaign_id,
            campaign.version,
            campaign.rules.title,
            OutcomeReason.APPLIED,
            offer.total if discount else 0,
            0 if discount else offer.total,
            None,
            details,
        ),
    )


def _tell(one: Compiled, verdict: Verdict, codes: Mapping[str, str]) -> Outcome:
    campaign = one.campaign
    return _new_outcome(
        Outcome,
        (
            campaign.campaign_id,
            campaign.version,
            campaign.rules.title,
            verdict.reason,
            0,
            0,
            verdict.near_miss,
            _name_code(one, codes) + verdict.details if one.coded else verdict.details,
        ),
    )


def _name_code(one: Compiled, codes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    code = presented_code(one, codes) if one.coded else ""
    return (("code", code),) if code else ()
