"""Secret codes that tills present: each stands for a public code of its campaign."""

from collections.abc import Iterable
from dataclasses import replace

from services.promotions.engine.carts import Cart, Facts
from services.promotions.engine.rules import CouponTrigger
from services.promotions.engine.rulesets import Ruleset


def unknown_codes(ruleset: Ruleset, presented: Iterable[str]) -> tuple[str, ...]:
    """Return the presented codes, in upper case and in order, that no campaign has."""
    folded = dict.fromkeys(code.upper() for code in presented)
    return tuple(
        code
        for code in folded
        if code not in ruleset.index.codes and code not in ruleset.inactive_codes
    )


def answers_to_bearers(ruleset: Ruleset, campaign_id: str) -> bool:
    """Tell whether secret codes may call a campaign: it is live and its coupons are personal."""
    campaign = ruleset.find(campaign_id)
    trigger = campaign.rules.trigger if campaign else None
    return isinstance(trigger, CouponTrigger) and trigger.personal


def present(ruleset: Ruleset, cart: Cart, facts: Facts) -> Cart:
    """Return the cart with the campaigns' own codes instead of the secret ones in the facts.

    From there on a bearer's code is told and weighed as the campaign's is.
    """
    if not facts.bearers:
        return cart
    own: dict[str, str] = {}
    for campaign_id, bearer in facts.bearers.items():
        campaign = ruleset.find(campaign_id)
        trigger = campaign.rules.trigger if campaign else None
        if isinstance(trigger, CouponTrigger):
            own |= dict.fromkeys(bearer.codes, trigger.codes[0])
    shown = tuple(own.get(code.upper(), code) for code in cart.coupon_codes)
    return replace(cart, coupon_codes=shown)
