"""Campaign rules, from the wire to the engine.

The engine's classes mirror the contract's messages: the same names, the same fields. So they are
read by what their fields are said to hold, and only what has another shape is named here. A kind
or a field that the engine does not know fails instead of becoming something else or nothing.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.message import Message
from tessera.promotions.v1 import campaign_pb2
from tessera.type.v1 import text_pb2

from services.chassis import errors
from services.promotions import engine
from services.promotions.wire import times

_PERIOD = "rules.validity.period"
_Read: TypeAlias = Callable[[Any], Any]


def parse_campaign(
    campaign_id: str, version: int, rules: campaign_pb2.CampaignRules
) -> engine.Campaign:
    """Return a campaign as the engine knows it."""
    return engine.Campaign(campaign_id=campaign_id, version=version, rules=parse_rules(rules))


def parse_rules(rules: campaign_pb2.CampaignRules) -> engine.Rules:
    """Return what a campaign promises."""
    parsed: engine.Rules = _read(engine.Rules, rules)
    return parsed


def parse_text(text: text_pb2.LocalizedText) -> engine.Text:
    """Return words in every language."""
    return engine.Text(en=text.en, ru=text.ru)


def parse_filter(item_filter: campaign_pb2.ItemFilter) -> engine.ItemFilter:
    """Return which goods are meant."""
    parsed: engine.ItemFilter = _read(engine.ItemFilter, item_filter)
    return parsed


def _read(cls: type, message: Message) -> Any:
    """Return a message as an instance of the class that mirrors it."""
    return cls(**{name: read(message) for name, read in _readers(cls).items()})


@cache
def _readers(cls: type) -> Mapping[str, _Read]:
    """Return how each field of a class is read from the message that it mirrors."""
    hints = typing.get_type_hints(cls)
    return {
        field.name: _IRREGULAR.get((cls, field.name)) or _reader(field.name, hints[field.name])
        for field in dataclasses.fields(cls)
    }


def _reader(name: str, hint: Any) -> _Read:
    """Return how a field is read: by its own type, absent where it may be None."""
    if isinstance(hint, types.UnionType) and type(None) in hint.__args__:
        one = next(part for part in hint.__args__ if part is not type(None))
        if set(hint.__args__) - {type(None)} == set(engine.Condition.__args__):
            one = engine.Condition
        convert = _converter(one)
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
    convert = _converter(hint)
    return lambda message: convert(getattr(message, name))


def _converter(hint: Any) -> _Read:
    """Return how a value becomes what a hint says."""
    if hint in _UNIONS:
        return _UNIONS[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {tuple, frozenset}:
        each = _converter(inner[0])
        return lambda values: origin(each(value) for value in values)
    if dataclasses.is_dataclass(hint):
        return lambda message: _read(typing.cast("type", hint), message)
    if issubclass(hint, enum.Enum):
        return lambda number: hint(number or _DEFAULTS.get(hint, 0))
    return lambda value: value


def _one_of(kinds: Mapping[str, _Read]) -> _Read:
    """Return the reader of a message that holds exactly one kind of several."""

    def read(message: Any) -> Any:
        kind = message.WhichOneof("kind") or ""
        return kinds[kind](getattr(message, kind))

    return read


def _mirror(cls: type) -> _Read:
    return lambda message: _read(cls, message)


def _all_of(cls: type) -> _Read:
    return lambda sent: cls(tuple(_condition(one) for one in sent.conditions))


def _not(sent: campaign_pb2.Condition) -> engine.Not:
    return engine.Not(condition=_condition(sent))


CONDITIONS: dict[str, _Read] = {
    "all": _all_of(engine.AllOf),
    "any": _all_of(engine.AnyOf),
    "not": _not,
    "basket_total": _mirror(engine.BasketTotal),
    "item_group": _mirror(engine.ItemGroup),
    "distinct_items": _mirror(engine.DistinctItems),
    "purchase_number": _mirror(engine.PurchaseNumber),
    "attribute": _mirror(engine.Attribute),
    "every_line": _mirror(engine.EveryLine),
    "member_date": _mirror(engine.MemberDate),
    "last_purchase": _mirror(engine.LastPurchase),
    "payment_plan": _mirror(engine.PaymentPlan),
    "expression": _mirror(engine.Expression),
}
REWARDS: dict[str, _Read] = {
    "percent_off": _mirror(engine.PercentOff),
    "amount_off": _mirror(engine.AmountOff),
    "fixed_price": _mirror(engine.FixedPrice),
    "set_price": _mirror(engine.SetPrice),
    "earn_percent": _mirror(engine.EarnPercent),
    "earn_points": _mirror(engine.EarnPoints),
    "price_list": _mirror(engine.PriceList),
    "upgrade": _mirror(engine.Upgrade),
    "gift_items": _mirror(engine.GiftItems),
    "issue_coupon": _mirror(engine.IssueCoupon),
    "earn_stamps": _mirror(engine.EarnStamps),
    "multiply_points": _mirror(engine.MultiplyPoints),
    "instant_win": _mirror(engine.InstantWin),
}
TRIGGERS: dict[str, _Read] = {
    "automatic": _mirror(engine.AutomaticTrigger),
    "coupon": _mirror(engine.CouponTrigger),
}
_condition = _one_of(CONDITIONS)
_reward_kind = _one_of(REWARDS)
_trigger = _one_of(TRIGGERS)
_UNIONS: dict[Any, _Read] = {engine.Condition: _condition}


def _read_trigger(rules: campaign_pb2.CampaignRules) -> engine.Trigger:
    if not rules.HasField("trigger"):
        return engine.AutomaticTrigger()
    trigger: engine.Trigger = _trigger(rules.trigger)
    return trigger


def _read_moment(name: str) -> _Read:
    def read(validity: Any) -> datetime | None:
        if not validity.period.HasField(name):
            return None
        return times.read(getattr(validity.period, name), field=f"{_PERIOD}.{name}")

    return read


def _read_rewards(rules: campaign_pb2.CampaignRules) -> tuple[engine.Reward, ...]:
    return tuple(_read_reward(place, sent) for place, sent in enumerate(rules.rewards))


def _read_reward(place: int, sent: campaign_pb2.Reward) -> engine.Reward:
    """Return a reward; what cannot be read of it is told with the place where it stands."""
    try:
        reward: engine.Reward = _read(engine.Reward, sent)
    except errors.InvalidRequest as refusal:
        raise errors.InvalidRequest(
            [
                dataclasses.replace(one, field=f"rules.rewards[{place}].{one.field}")
                for one in refusal.violations
            ]
        ) from None
    return reward


def _read_end(name: str) -> _Read:
    return lambda period: times.read(getattr(period, name), field=f"instant_win.period.{name}")


_IRREGULAR: dict[tuple[type, str], _Read] = {
    (engine.Rules, "trigger"): _read_trigger,
    (engine.Rules, "rewards"): _read_rewards,
    (engine.Reward, "kind"): _reward_kind,
    (engine.Validity, "start_time"): _read_moment("start_time"),
    (engine.Validity, "end_time"): _read_moment("end_time"),
    (engine.Period, "start_time"): _read_end("start_time"),
    (engine.Period, "end_time"): _read_end("end_time"),
}
#: What an enumeration means where nothing is said.
_DEFAULTS: dict[Any, int] = {
    engine.AttributeSource: engine.AttributeSource.CART,
    engine.Basis: engine.Basis.RUNNING,
    engine.BudgetRest: engine.BudgetRest.GIVE,
    engine.EarnBasis: engine.EarnBasis.PAID,
    engine.GiftReturn: engine.GiftReturn.KEEP,
    engine.GiftSpread: engine.GiftSpread.ONCE,
    engine.GroupChoice: engine.GroupChoice.BEST,
    engine.Membership: engine.Membership.EVERYBODY,
    engine.PickBy: engine.PickBy.UNIT,
    engine.PickOrder: engine.PickOrder.DEAREST,
    engine.PickScope: engine.PickScope.EACH_SET,
    engine.Reuse: engine.Reuse.NONE,
    engine.Rounding: engine.Rounding.HALF_UP,
    engine.RoundingUnit: engine.RoundingUnit.LINE,
    engine.ShareBy: engine.ShareBy.AMOUNT,
    engine.Sharing: engine.Sharing.REWARDED,
}
