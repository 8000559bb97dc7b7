"""Campaign rules, from the wire to the engine."""

from collections.abc import Callable
from typing import Any

from tessera.promotions.v1 import campaign_pb2
from tessera.type.v1 import text_pb2

from services.promotions import engine
from services.promotions.wire import times

_PERIOD = "rules.validity.period"


def parse_campaign(
    campaign_id: str, version: int, rules: campaign_pb2.CampaignRules
) -> engine.Campaign:
    """Return a campaign as the engine knows it."""
    return engine.Campaign(campaign_id=campaign_id, version=version, rules=parse_rules(rules))


def parse_rules(rules: campaign_pb2.CampaignRules) -> engine.Rules:
    """Return what a campaign promises."""
    return engine.Rules(
        title=parse_text(rules.title),
        trigger=_trigger(rules.trigger),
        validity=_validity(rules.validity),
        audience=_audience(rules.audience),
        condition=_condition(rules.condition) if rules.HasField("condition") else None,
        rewards=tuple(_reward(reward) for reward in rules.rewards),
        combination=_combination(rules.combination),
        limits=engine.Limits(
            uses_max=rules.limits.uses_max,
            uses_per_member_max=rules.limits.uses_per_member_max,
            budget_minor=rules.limits.budget_minor,
        ),
        multi_buy=_multi_buy(rules.multi_buy) if rules.HasField("multi_buy") else None,
    )


def parse_text(text: text_pb2.LocalizedText) -> engine.Text:
    """Return words in every language."""
    return engine.Text(en=text.en, ru=text.ru)


def _trigger(trigger: campaign_pb2.Trigger) -> engine.AutomaticTrigger | engine.CouponTrigger:
    if trigger.WhichOneof("kind") == "coupon":
        return engine.CouponTrigger(
            codes=tuple(trigger.coupon.codes), personal=trigger.coupon.personal
        )
    return engine.AutomaticTrigger()


def _validity(validity: campaign_pb2.Validity) -> engine.Validity:
    period = validity.period
    return engine.Validity(
        start_time=times.read(period.start_time, field=f"{_PERIOD}.start_time")
        if period.HasField("start_time")
        else None,
        end_time=times.read(period.end_time, field=f"{_PERIOD}.end_time")
        if period.HasField("end_time")
        else None,
        weekdays=frozenset(int(day) for day in validity.weekdays),
        hours=tuple(
            engine.HourWindow(start_minute=window.start_minute, end_minute=window.end_minute)
            for window in validity.hours
        ),
    )


def _audience(audience: campaign_pb2.Audience) -> engine.Audience:
    return engine.Audience(
        membership=engine.Membership(audience.membership or engine.Membership.EVERYBODY),
        store_ids=frozenset(audience.store_ids),
        exclude_store_ids=frozenset(audience.exclude_store_ids),
        region_ids=frozenset(audience.region_ids),
        format_ids=frozenset(audience.format_ids),
        channels=frozenset(engine.Channel(channel) for channel in audience.channels),
        segment_ids=frozenset(audience.segment_ids),
        exclude_segment_ids=frozenset(audience.exclude_segment_ids),
        tier_ids=frozenset(audience.tier_ids),
    )


def _condition(condition: campaign_pb2.Condition) -> engine.Condition:
    kind = condition.WhichOneof("kind") or ""
    return _CONDITIONS[kind](getattr(condition, kind))


def _not(condition: campaign_pb2.Condition) -> engine.Not:
    return engine.Not(condition=_condition(condition))


def _all(conditions: campaign_pb2.ConditionList) -> engine.AllOf:
    return engine.AllOf(conditions=_conditions(conditions))


def _any(conditions: campaign_pb2.ConditionList) -> engine.AnyOf:
    return engine.AnyOf(conditions=_conditions(conditions))


def _conditions(sent: campaign_pb2.ConditionList) -> tuple[engine.Condition, ...]:
    return tuple(_condition(condition) for condition in sent.conditions)


def _basket_total(total: campaign_pb2.BasketTotal) -> engine.BasketTotal:
    return engine.BasketTotal(
        amount_min_minor=total.amount_min_minor,
        filter=_filter(total.filter),
        basis=_basis(total.basis),
    )


def _item_group(group: campaign_pb2.ItemGroup) -> engine.ItemGroup:
    return engine.ItemGroup(
        filter=_filter(group.filter),
        quantity_min_thousandths=group.quantity_min_thousandths,
        amount_min_minor=group.amount_min_minor,
    )


def _distinct_items(items: campaign_pb2.DistinctItems) -> engine.DistinctItems:
    return engine.DistinctItems(count_min=items.count_min, filter=_filter(items.filter))


def _purchase_number(purchase: campaign_pb2.PurchaseNumber) -> engine.PurchaseNumber:
    return engine.PurchaseNumber(number=purchase.number, every=purchase.every)


def _expression(expression: campaign_pb2.Expression) -> engine.Expression:
    return engine.Expression(cel=expression.cel)


_CONDITIONS: dict[str, Callable[[Any], engine.Condition]] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "basket_total": _basket_total,
    "item_group": _item_group,
    "distinct_items": _distinct_items,
    "purchase_number": _purchase_number,
    "expression": _expression,
}


def _basis(basis: campaign_pb2.Basis.ValueType) -> engine.Basis:
    return engine.Basis(basis or engine.Basis.RUNNING)


def parse_filter(item_filter: campaign_pb2.ItemFilter) -> engine.ItemFilter:
    """Return which goods are meant."""
    return _filter(item_filter)


def _filter(item_filter: campaign_pb2.ItemFilter) -> engine.ItemFilter:
    return engine.ItemFilter(
        skus=frozenset(item_filter.skus),
        category_ids=frozenset(item_filter.category_ids),
        brands=frozenset(item_filter.brands),
        tags=frozenset(item_filter.tags),
        exclude_skus=frozenset(item_filter.exclude_skus),
        exclude_category_ids=frozenset(item_filter.exclude_category_ids),
        exclude_brands=frozenset(item_filter.exclude_brands),
        exclude_tags=frozenset(item_filter.exclude_tags),
        unit_price_min_minor=item_filter.unit_price_min_minor,
        unit_price_max_minor=item_filter.unit_price_max_minor,
    )


def _reward(reward: campaign_pb2.Reward) -> engine.Reward:
    kind = reward.WhichOneof("kind") or ""
    return engine.Reward(
        kind=_REWARDS[kind](getattr(reward, kind)),
        target=_filter(reward.target),
        amount_max=reward.amount_max,
        pick=_pick(reward.pick) if reward.HasField("pick") else None,
        groups=tuple(reward.groups),
    )


def _pick(pick: campaign_pb2.Pick) -> engine.Pick:
    return engine.Pick(
        order=_order(pick.order),
        count_max=pick.count_max,
        units_per_line_max=pick.units_per_line_max,
        skip=pick.skip,
        every=pick.every,
        by=engine.PickBy(pick.by or engine.PickBy.UNIT),
        scope=engine.PickScope(pick.scope or engine.PickScope.EACH_SET),
    )


def _order(order: campaign_pb2.PickOrder.ValueType) -> engine.PickOrder:
    return engine.PickOrder(order or engine.PickOrder.DEAREST)


def _multi_buy(multi_buy: campaign_pb2.MultiBuy) -> engine.MultiBuy:
    return engine.MultiBuy(
        groups=tuple(
            engine.UnitGroup(
                filter=_filter(group.filter),
                units=group.units,
                amount_min_minor=group.amount_min_minor,
                order=_order(group.order),
            )
            for group in multi_buy.groups
        ),
        sets_max=multi_buy.sets_max,
        sharing=engine.Sharing(multi_buy.sharing or engine.Sharing.REWARDED),
    )


def _percent_off(off: campaign_pb2.PercentOff) -> engine.PercentOff:
    return engine.PercentOff(basis_points=off.basis_points)


def _amount_off(off: campaign_pb2.AmountOff) -> engine.AmountOff:
    return engine.AmountOff(amount_minor=off.amount_minor, spread=engine.AmountSpread(off.spread))


def _fixed_price(price: campaign_pb2.FixedPrice) -> engine.FixedPrice:
    return engine.FixedPrice(unit_price_minor=price.unit_price_minor)


def _set_price(price: campaign_pb2.SetPrice) -> engine.SetPrice:
    return engine.SetPrice(price_minor=price.price_minor)


def _earn_percent(earn: campaign_pb2.EarnPercent) -> engine.EarnPercent:
    return engine.EarnPercent(
        basis_points=earn.basis_points,
        multipliers=tuple(
            engine.EarnMultiplier(
                filter=_filter(multiplier.filter), factor_hundredths=multiplier.factor_hundredths
            )
            for multiplier in earn.multipliers
        ),
    )


def _earn_points(earn: campaign_pb2.EarnPoints) -> engine.EarnPoints:
    return engine.EarnPoints(
        points=earn.points,
        spread=engine.PointsSpread(earn.spread),
        step_minor=earn.step_minor,
        expire_days=earn.expire_days,
    )


# A kind that is not here fails instead of becoming another one.
_REWARDS: dict[str, Callable[[Any], engine.RewardKind]] = {
    "percent_off": _percent_off,
    "amount_off": _amount_off,
    "fixed_price": _fixed_price,
    "set_price": _set_price,
    "earn_percent": _earn_percent,
    "earn_points": _earn_points,
}


def _combination(combination: campaign_pb2.Combination) -> engine.Combination:
    return engine.Combination(
        lane=engine.Lane(combination.lane),
        exclusive_group=combination.exclusive_group,
        priority=combination.priority,
        basis=_basis(combination.basis),
        stop=combination.stop,
        reuse=engine.Reuse(combination.reuse or engine.Reuse.NONE),
    )
