"""Campaigns as short as they can be said."""

from typing import Any

from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.type.v1 import text_pb2


def rules(reward: pb.Reward, lane: int, title: str = "Test", **fields) -> pb.CampaignRules:
    made = pb.CampaignRules(
        title=text_pb2.LocalizedText(en=title, ru="Тест"),
        trigger=pb.Trigger(automatic=pb.AutomaticTrigger()),
        rewards=[reward],
        combination=pb.Combination(lane=lane),  # type: ignore[arg-type]
    )
    made.MergeFrom(pb.CampaignRules(**fields))
    return made


def percent_off(basis_points: int, *skus: str, **fields) -> pb.CampaignRules:
    """So much percent off some articles."""
    reward = pb.Reward(
        percent_off=pb.PercentOff(basis_points=basis_points), target=pb.ItemFilter(skus=skus)
    )
    return rules(reward, pb.LANE_ITEM, **fields)


def amount_off(amount_minor: int, *, lane: int = pb.LANE_RECEIPT, **fields) -> pb.CampaignRules:
    """An amount off the receipt."""
    off = pb.AmountOff(amount_minor=amount_minor, spread=pb.AMOUNT_SPREAD_ACROSS)
    return rules(pb.Reward(amount_off=off), lane, **fields)


def coupon(code: str, amount_minor: int = 100, *, personal: bool = False, **fields):
    """An amount off for a code."""
    trigger = pb.Trigger(coupon=pb.CouponTrigger(codes=[code], personal=personal))
    return amount_off(amount_minor, lane=pb.LANE_COUPON, trigger=trigger, **fields)


def earn(basis_points: int, **fields) -> pb.CampaignRules:
    """Points for money."""
    reward = pb.Reward(earn_percent=pb.EarnPercent(basis_points=basis_points))
    return rules(reward, pb.LANE_EARN, **fields)


def earn_short_lived(points: int, days: int) -> pb.CampaignRules:
    """Points for a receipt that live so many days."""
    reward = pb.Reward(
        earn_points=pb.EarnPoints(points=points, spread=pb.POINTS_SPREAD_ONCE, expire_days=days)
    )
    return rules(reward, pb.LANE_EARN)


def cheapest_free(units: int) -> pb.CampaignRules:
    """Of so many units the cheapest costs nothing."""
    reward = pb.Reward(
        percent_off=pb.PercentOff(basis_points=10_000),
        pick=pb.Pick(order=pb.PICK_ORDER_CHEAPEST, count_max=1),
    )
    groups = [pb.UnitGroup(units=units)]
    return rules(reward, pb.LANE_MULTI_BUY, multi_buy=pb.MultiBuy(groups=groups))


def limits(**fields: Any) -> pb.Limits:
    return pb.Limits(**fields)
