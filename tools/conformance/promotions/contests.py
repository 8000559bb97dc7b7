"""Campaigns that want the same goods and of which the best combination is applied.

Our engine finds it among campaigns of sets. A discount on single goods is one of sets of one unit.
"""

from dataclasses import replace

from services.promotions import engine
from tools.conformance.promotions.offers import Offer


def is_open(given: list[Offer]) -> bool:
    """Tell whether campaigns without sets contend for the same goods."""
    best = [one for one in given if one.contends and one.gift.reduces]
    return len(best) > 1 and not all(one.gift.multi_buy for one in best) and _overlap(best)


def can_be_sets(one: Offer) -> bool:
    """Tell whether a campaign contends with sets, makes some, or stays outside of the contest."""
    gift = one.gift
    if not one.contends or not gift.reduces or gift.multi_buy or gift.on_order:
        return True
    return len(gift.rewards) == 1 and gift.scale is None and _is_by_unit(gift.rewards[0])


def as_sets(one: Offer) -> Offer:
    """Return a campaign that contends for single units as one of sets of one unit."""
    gift = one.gift
    if not one.contends or not gift.reduces or gift.multi_buy or gift.on_order:
        return one
    (reward,) = gift.rewards
    pick = reward.pick or engine.Pick()
    group = engine.UnitGroup(reward.target, 1, order=pick.order)
    made = replace(reward, target=engine.ItemFilter(), pick=None)
    sets = engine.MultiBuy((group,), pick.count_max)
    return replace(one, gift=replace(gift, rewards=(made,), multi_buy=sets))


def _is_by_unit(reward: engine.Reward) -> bool:
    kind, pick = reward.kind, reward.pick or engine.Pick()
    if isinstance(kind, engine.AmountOff) and kind.spread is not engine.AmountSpread.EACH_UNIT:
        return False
    bounded = pick.skip or pick.every or pick.units_per_line_max
    return not bounded and isinstance(
        kind, engine.PercentOff | engine.AmountOff | engine.FixedPrice
    )


def _overlap(given: list[Offer]) -> bool:
    """Tell whether campaigns want the same goods, as far as names tell."""
    seen: set[str] = set()
    for one in given:
        for reward in one.gift.rewards:
            wanted = reward.target.skus or reward.target.category_ids
            if not wanted or seen & wanted:
                return True
            seen |= wanted
    return False
