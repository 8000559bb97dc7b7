"""What is wrong with rules before they go live, each problem with the field that has it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.promotions.engine import condition_problems, reward_problems, rules, set_problems
from services.promotions.engine.set_problems import Problem


@dataclass(frozen=True, slots=True)
class LostCoupon:
    """A coupon for later that no campaign would ever take."""

    campaign_id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class TakenCode:
    """A coupon code that two campaigns would answer to."""

    code: str
    campaign_id: str
    other_campaign_id: str


def find_problems(given: rules.Rules) -> list[Problem]:
    """Return everything that forbids these rules to go live, in the order of the fields."""
    return [
        *_check_title(given.title),
        *_check_trigger(given),
        *_check_validity(given.validity),
        *_check_audience(given.audience),
        *condition_problems.find_problems(given.condition),
        *reward_problems.find_problems(given),
        *set_problems.find_problems(given),
        *_check_combination(given.combination),
        *_check_limits(given),
    ]


def find_taken_codes(campaigns: Iterable[rules.Campaign]) -> list[TakenCode]:
    """Return every code that more than one campaign has; the earlier campaign is named first."""
    owners: dict[str, str] = {}
    taken = []
    for campaign in campaigns:
        trigger = campaign.rules.trigger
        if isinstance(trigger, rules.CouponTrigger):
            for code in {code.upper(): code for code in trigger.codes}.values():
                owner = owners.setdefault(code.upper(), campaign.campaign_id)
                if owner != campaign.campaign_id:
                    taken.append(TakenCode(code, owner, campaign.campaign_id))
    return taken


def find_lost_coupons(
    new: Iterable[rules.Campaign], known: Iterable[rules.Campaign]
) -> list[LostCoupon]:
    """Return every reward of `new` whose coupon is no personal one of a campaign of `known`."""
    taken = {
        one.campaign_id
        for one in known
        if isinstance(one.rules.trigger, rules.CouponTrigger) and one.rules.trigger.personal
    }
    text = "must be a campaign with a personal coupon, live or going live with this one"
    return [
        LostCoupon(one.campaign_id, Problem(f"{path}.issue_coupon.campaign_id", text))
        for one in new
        for path, kind in reward_problems.find_kinds(one.rules)
        if isinstance(kind, rules.IssueCoupon) and kind.campaign_id not in taken
    ]


def _check_title(title: rules.Text) -> Iterator[Problem]:
    if not title.en:
        yield Problem("title.en", "must not be empty: other languages fall back to it")


def _check_trigger(given: rules.Rules) -> Iterator[Problem]:
    trigger = given.trigger
    if isinstance(trigger, rules.AutomaticTrigger):
        if given.combination.lane is rules.Lane.COUPON:
            yield Problem("combination.lane", "LANE_COUPON needs a coupon as the trigger")
        return
    if not trigger.codes:
        yield Problem("trigger.coupon.codes", "must hold a code")
    if trigger.stamps is not None and trigger.stamps.count < 1:
        yield Problem("trigger.coupon.stamps.count", "must be at least 1")
    if trigger.stamps is not None and given.multi_buy is not None:
        # Sets are taken all at once, so no campaign could see what another one takes of a card.
        yield Problem("trigger.coupon.stamps", "cannot pay for sets")
    seen: set[str] = set()
    for place, code in enumerate(trigger.codes):
        if code.upper() in seen:
            yield Problem(
                f"trigger.coupon.codes[{place}]", f"{code} is there twice: letter case is ignored"
            )
        seen.add(code.upper())


def _check_validity(validity: rules.Validity) -> Iterator[Problem]:
    start, end = validity.start_time, validity.end_time
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment is not None and moment.tzinfo is None:
            yield Problem(f"validity.period.{name}", "must be an instant, not a wall-clock time")
            return
    if start is not None and end is not None and start >= end:
        yield Problem("validity.period", "end_time must be after start_time")
    if not validity.weekdays <= set(range(1, 8)):
        yield Problem("validity.weekdays", "must be days of the week")
    for place, window in enumerate(validity.hours):
        if not (0 <= window.start_minute < 1_440 and 0 <= window.end_minute <= 1_440):
            yield Problem(f"validity.hours[{place}]", "must lie within the day")
        elif window.start_minute == window.end_minute:
            yield Problem(f"validity.hours[{place}]", "must not be empty")


def _check_audience(audience: rules.Audience) -> Iterator[Problem]:
    for name, wanted, unwanted in (
        ("exclude_store_ids", audience.store_ids, audience.exclude_store_ids),
        ("exclude_segment_ids", audience.segment_ids, audience.exclude_segment_ids),
        ("exclude_tier_ids", audience.tier_ids, audience.exclude_tier_ids),
    ):
        if wanted and wanted <= unwanted:
            yield Problem(f"audience.{name}", "leaves nobody: everything included is excluded")


def _check_combination(combination: rules.Combination) -> Iterator[Problem]:
    if not -1_000 <= combination.priority <= 1_000:
        yield Problem("combination.priority", "must be -1000 to 1000")
    if bool(combination.contest) != bool(combination.side):
        yield Problem("combination.side", "goes together with contest")
    if combination.group_max < 0:
        yield Problem("combination.group_max", "must not be negative")
    if combination.labels & combination.incompatible_labels:
        yield Problem("combination.incompatible_labels", "must not be its own labels")
    if combination.contest and combination.lane is rules.Lane.EARN:
        yield Problem("combination.contest", "is about discounts, and LANE_EARN gives none")


def _check_limits(given: rules.Rules) -> Iterator[Problem]:
    limits = given.limits
    for name in (
        "uses_max",
        "uses_per_member_max",
        "budget_minor",
        "units_max",
        "units_per_article_max",
        "units_per_member_max",
    ):
        if getattr(limits, name) < 0:
            yield Problem(f"limits.{name}", "must not be negative")
    if limits.budget_minor and given.combination.lane is rules.Lane.EARN:
        yield Problem("limits.budget_minor", "counts discounts, and LANE_EARN gives none")
    if limits.count_sets and given.multi_buy is None:
        yield Problem("limits.count_sets", "needs sets")
    if limits.count_without_effect and isinstance(given.trigger, rules.AutomaticTrigger):
        yield Problem("limits.count_without_effect", "needs a coupon as the trigger")
    if limits.counts_units:
        yield from _check_units(given)


def _check_units(given: rules.Rules) -> Iterator[Problem]:
    """Return what is wrong with limits that count rewarded units."""
    earning = given.combination.lane is rules.Lane.EARN
    if earning or given.scale is not None or len(given.rewards) != 1:
        yield Problem("limits.units_max", "needs exactly one reward, a discount without a scale")
    if any(_is_uncountable(one) for one in given.rewards):
        yield Problem("limits.units_max", "counts units that a discount on goods picks")
    if given.multi_buy is not None:
        if given.limits.units_per_article_max:
            yield Problem("limits.units_per_article_max", "does not go together with sets")
        if any(not group.units for group in given.multi_buy.groups):
            yield Problem("limits.units_max", "needs groups of units")


def _is_uncountable(reward: rules.Reward) -> bool:
    by_lines = reward.pick is not None and reward.pick.by is rules.PickBy.LINE
    return by_lines or isinstance(reward.kind, rules.GiftItems | rules.Upgrade)
