"""The index: which campaigns can apply to a cart, found without looking at any of them.

Campaigns are bits of a whole number, bit 0 the first in the order of evaluation. Each dimension
(store, channel, hour, segments, goods, amounts) keeps such sets by value; one AND per dimension
leaves the survivors.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from services.promotions.engine import conditions, filters, rules
from services.promotions.engine.baskets import Basket
from services.promotions.engine.carts import Cart, Facts, Member
from services.promotions.engine.decisions import OutcomeReason

_DAY: Final = 1_440
_WEEK: Final = 7 * _DAY
_WHOLE_DAY: Final = rules.HourWindow(0, _DAY)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """One dimension with sets of names: who wants one of them, who wants none of them."""

    anyone: int
    wanted: Mapping[str, int]
    unwanted: Mapping[str, int]

    def admit(self, names: Iterable[str]) -> int:
        """Return who accepts something that has all these names."""
        admitted, refused = self.anyone, 0
        for name in names:
            admitted |= self.wanted.get(name, 0)
            refused |= self.unwanted.get(name, 0)
        return admitted & ~refused


@dataclass(frozen=True, slots=True)
class Ladder:
    """Sorted steps; `sets[i]` is who belongs to a value that has passed the first `i` steps."""

    steps: Sequence[int]
    sets: Sequence[int]

    def at(self, value: int) -> int:
        """Return who belongs to this value; a value equal to a step has passed it."""
        return self.sets[bisect_right(self.steps, value)]


@dataclass(frozen=True, slots=True)
class Goods:
    """Who needs certain goods, by kind of name; `anyone` needs none that the index knows.

    Everybody is in it twice: in the lower bits by the goods of the rewards, in the upper ones, all
    of them in the same order, by those of the condition. A name of goods is looked up once.
    """

    anyone: int
    by_name: tuple[Mapping[str, int], ...]

    def find(self, basket: Basket) -> int:
        """Return who finds in the basket at least one of the names that it needs."""
        found = self.anyone
        for wanted, present in zip(self.by_name, basket.masks):
            if wanted:
                for name in present:
                    if name in wanted:
                        found |= wanted[name]
        return found


@dataclass(frozen=True, slots=True)
class Index:
    """All dimensions of a rule set."""

    everyone: int
    automatic: int
    codes: Mapping[str, int]
    started: Ladder
    unfinished: Ladder
    stores: Choice
    regions: Choice
    formats: Choice
    channels: Mapping[rules.Channel, int]
    times: Ladder
    by_minute: bool
    segments: Choice
    tiers: Choice
    plans: Choice
    members: Choice
    members_only: int
    goods: Goods
    spends: Ladder


@dataclass(frozen=True, slots=True)
class Match:
    """What the index leaves: `dimensions` in the order in which reasons are given.

    `unanswered` would be in it if identity had said who the shopper is.
    """

    dimensions: tuple[tuple[OutcomeReason, int], ...]
    survivors: int
    unanswered: int


def build(campaigns: Sequence[rules.Campaign]) -> Index:
    """Return the index of campaigns that stand in the order of evaluation."""
    given = [campaign.rules for campaign in campaigns]
    spans = [_span(one) for one in given]
    audiences = [one.audience for one in given]
    everyone = (1 << len(given)) - 1
    return Index(
        everyone=everyone,
        automatic=_set_of(isinstance(one.trigger, rules.AutomaticTrigger) for one in given),
        codes=_build_codes(given),
        started=_build_started([start for start, _ in spans]),
        unfinished=_build_unfinished([end for _, end in spans]),
        stores=_build_choice(
            [one.store_ids for one in audiences], [one.exclude_store_ids for one in audiences]
        ),
        regions=_build_choice([one.region_ids for one in audiences]),
        formats=_build_choice([one.format_ids for one in audiences]),
        channels={
            channel: _set_of(not one.channels or channel in one.channels for one in audiences)
            for channel in rules.Channel
        },
        times=_build_times([one.validity for one in given]),
        by_minute=any(conditions.reads_clock(one.condition) for one in given),
        segments=_build_choice(
            [one.segment_ids for one in audiences], [one.exclude_segment_ids for one in audiences]
        ),
        plans=_build_choice([one.plan_ids for one in audiences]),
        tiers=_build_choice(
            [one.tier_ids for one in audiences], [one.exclude_tier_ids for one in audiences]
        ),
        members=_build_choice([one.member_ids for one in audiences]),
        members_only=_set_of(_asks_for_member(one) for one in given),
        goods=_build_goods(
            [
                *[_target_names(one) for one in given],
                *[_needed_names(one.condition) for one in given],
            ]
        ),
        spends=_build_rising([conditions.required_spend(one.condition) for one in given]),
    )


def match(
    index: Index, cart: Cart, basket: Basket, facts: Facts, *, now: datetime, far: bool = False
) -> Match:
    """Return who can apply, or misses no more than about half of an amount.

    Whose code is presented is among them however much it misses. With `far` whoever fails by goods
    or amounts that its condition asks for is among them, too.
    """
    instant = (now - _EPOCH) // _MICROSECOND
    codes = index.codes
    presented = 0
    for code in cart.coupon_codes:
        presented |= codes.get(code.upper(), 0)
    audience = _admit_member(index, facts.member)
    finding = index.goods.find(basket)
    elsewhere = (
        (OutcomeReason.CODE_NOT_PRESENTED, index.automatic | presented),
        (OutcomeReason.NOT_STARTED, index.started.at(instant)),
        (OutcomeReason.EXPIRED, index.unfinished.at(instant)),
        (
            OutcomeReason.WRONG_STORE,
            index.stores.admit((cart.store_id,))
            & index.regions.admit((facts.store.region_id,))
            & index.formats.admit((facts.store.format_id,)),
        ),
        (OutcomeReason.WRONG_CHANNEL, index.channels[cart.channel]),
        (OutcomeReason.OUTSIDE_TIME, index.times.at(_minute_of_week(now))),
        (OutcomeReason.NO_TARGET_ITEMS, index.everyone & finding),
        (
            OutcomeReason.CONDITION_NOT_MET,
            index.everyone
            if far
            else presented
            | index.spends.at(2 * basket.subtotal) & finding >> index.everyone.bit_length(),
        ),
    )
    alive = index.everyone
    for _, bits in elsewhere:
        alive &= bits
    about_member = OutcomeReason.NOT_IN_AUDIENCE
    unanswered = 0
    if not facts.identity_answered:
        about_member = OutcomeReason.DEPENDENCY_UNAVAILABLE
        unanswered = alive & ~audience
    dimensions = (*elsewhere[:6], (about_member, audience), *elsewhere[6:])
    return Match(dimensions=dimensions, survivors=alive & audience, unanswered=unanswered)


def is_same_moment(index: Index, one: datetime, other: datetime) -> bool:
    """Tell whether the index leaves the same at both: one day, and nothing begins or ends between.

    Both are aware times in the zone of the store.
    """
    if one.date() != other.date():
        return False
    if index.by_minute and _minute_of_week(one) != _minute_of_week(other):
        return False
    return all(
        bisect_right(ladder.steps, (one - _EPOCH) // _MICROSECOND)
        == bisect_right(ladder.steps, (other - _EPOCH) // _MICROSECOND)
        for ladder in (index.started, index.unfinished)
    ) and bisect_right(index.times.steps, _minute_of_week(one)) == bisect_right(
        index.times.steps, _minute_of_week(other)
    )


def _minute_of_week(now: datetime) -> int:
    return now.weekday() * _DAY + now.hour * 60 + now.minute


def _set_of(flags: Iterable[bool]) -> int:
    found = 0
    for place, flag in enumerate(flags):
        if flag:
            found |= 1 << place
    return found


def _build_codes(given: Sequence[rules.Rules]) -> dict[str, int]:
    codes: dict[str, int] = {}
    for place, one in enumerate(given):
        if isinstance(one.trigger, rules.CouponTrigger):
            for code in one.trigger.codes:
                codes[code.upper()] = 1 << place
    return codes


def _build_choice(
    wanted_names: Sequence[frozenset[str]], unwanted_names: Sequence[frozenset[str]] = ()
) -> Choice:
    return Choice(
        anyone=_set_of(not names for names in wanted_names),
        wanted=_invert(wanted_names),
        unwanted=_invert(unwanted_names),
    )


def _invert(names_by_place: Iterable[Iterable[str]]) -> dict[str, int]:
    inverted: dict[str, int] = {}
    for place, names in enumerate(names_by_place):
        for name in names:
            inverted[name] = inverted.get(name, 0) | 1 << place
    return inverted


def _build_rising(minimums: Sequence[int]) -> Ladder:
    """Let a campaign in from its minimum on."""
    order = sorted(range(len(minimums)), key=minimums.__getitem__)
    sets = [0]
    for place in order:
        sets.append(sets[-1] | 1 << place)
    return Ladder(steps=[minimums[place] for place in order], sets=sets)


def _build_started(starts: Sequence[datetime | None]) -> Ladder:
    first = -(1 << 63)
    return _build_rising(
        [first if one is None else (one - _EPOCH) // _MICROSECOND for one in starts]
    )


def _build_unfinished(ends: Sequence[datetime | None]) -> Ladder:
    """Let a campaign out at its end."""
    bounded = sorted(
        ((end - _EPOCH) // _MICROSECOND, place) for place, end in enumerate(ends) if end is not None
    )
    sets = [(1 << len(ends)) - 1]
    for _, place in bounded:
        sets.append(sets[-1] ^ 1 << place)
    return Ladder(steps=[end for end, _ in bounded], sets=sets)


def _build_times(validities: Sequence[rules.Validity]) -> Ladder:
    """Let campaigns in and out at the minutes of the week at which their windows begin and end."""
    entering, leaving = [0] * (_WEEK + 1), [0] * (_WEEK + 1)
    for place, validity in enumerate(validities):
        for start, end in _spans(validity):
            entering[start] |= 1 << place
            leaving[end] |= 1 << place
    steps, sets, present = [], [0], 0
    for minute, (entered, left) in enumerate(zip(entering, leaving)):
        if entered or left:
            present = present & ~left | entered
            steps.append(minute)
            sets.append(present)
    return Ladder(steps=steps, sets=sets)


def _spans(validity: rules.Validity) -> list[tuple[int, int]]:
    """Return the minutes of the week as half-open spans, apart from one another."""
    spans = []
    for day in validity.weekdays or range(1, 8):
        for window in validity.hours or (_WHOLE_DAY,):
            start = (day - 1) * _DAY + window.start_minute
            end = start + ((window.end_minute - window.start_minute) % _DAY or _DAY)
            spans.append((start, min(end, _WEEK)))
            if end > _WEEK:
                spans.append((0, end - _WEEK))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _admit_member(index: Index, member: Member | None) -> int:
    if member is None:
        return index.everyone & ~index.members_only
    return (
        index.segments.admit(member.segment_ids)
        & index.tiers.admit(member.tier_ids)
        & index.plans.admit(member.plan_ids)
        & index.members.admit((member.member_id,))
    )


def _span(given: rules.Rules) -> tuple[datetime | None, datetime | None]:
    """Return when a campaign begins and ends: chances of winning have a period of their own."""
    start, end = given.validity.start_time, given.validity.end_time
    if given.instant_win is None:
        return start, end
    period = given.instant_win.period
    return max(start or period.start_time, period.start_time), min(
        end or period.end_time, period.end_time
    )


def _asks_for_member(given: rules.Rules) -> bool:
    audience = given.audience
    return (
        audience.membership is rules.Membership.MEMBERS
        or (given.combination.lane is rules.Lane.EARN and not _is_for_anybody(given))
        or given.price is not None
        or bool(
            audience.segment_ids or audience.plan_ids or audience.tier_ids or audience.member_ids
        )
        or given.limits.uses_per_member_max > 0
        or given.limits.units_per_member_max > 0
    )


def _is_for_anybody(given: rules.Rules) -> bool:
    """Tell whether all that the campaign gives can be given to a shopper whom nobody knows."""
    return all(_needs_no_account(one.kind) for one in given.all_rewards)


def _needs_no_account(kind: rules.RewardKind) -> bool:
    match kind:
        case rules.IssueCoupon():
            return kind.bearer
        case rules.InstantWin():
            return not any(prize.points for prize in kind.prizes)
    return False


def _target_names(given: rules.Rules) -> list[tuple[int, frozenset[str]]]:
    """Return what one of the rewards needs; an empty list when one of them needs nothing.

    A campaign of sets comes near a cart that has goods of any group: the others may be bought.
    """
    wanted = [_target_of(reward) for reward in given.all_rewards]
    if given.multi_buy is not None:
        wanted = [group.filter for group in given.multi_buy.groups]
    found = []
    for one in wanted:
        names = filters.required_names(one)
        if names is None:
            return []
        found.append(names)
    return found


def _target_of(reward: rules.Reward) -> rules.ItemFilter:
    """Return the goods without which a reward gives nothing."""
    match reward.kind:
        case rules.PriceList():
            listed = frozenset(one.sku for one in reward.kind.prices)
            return reward.target if reward.target.skus else rules.ItemFilter(skus=listed)
        case rules.Upgrade():
            return rules.ItemFilter(skus=frozenset({reward.kind.to_sku, reward.kind.from_sku}))
    return reward.target


def _needed_names(condition: rules.Condition | None) -> list[tuple[int, frozenset[str]]]:
    names = conditions.required_names(condition)
    return [] if names is None else [names]


def _build_goods(needed: Sequence[Sequence[tuple[int, frozenset[str]]]]) -> Goods:
    by_name: tuple[dict[str, int], ...] = ({}, {}, {}, {})
    anyone = 0
    for place, kinds in enumerate(needed):
        if not kinds:
            anyone |= 1 << place
        for dimension, names in kinds:
            inverted = by_name[dimension]
            for name in names:
                inverted[name] = inverted.get(name, 0) | 1 << place
    return Goods(anyone=anyone, by_name=by_name)
