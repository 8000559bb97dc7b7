"""What is wrong with rules before they go live, each problem with the field that has it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.promotions.engine import condition_problems, rules, set_problems
from services.promotions.engine.set_problems import Problem, check_filter

REWARDS_MAX = 10
MULTIPLIERS_MAX = 50


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
        *_check_rewards(given),
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


def _check_rewards(given: rules.Rules) -> Iterator[Problem]:
    if not 1 <= len(given.rewards) <= REWARDS_MAX:
        yield Problem("rewards", f"must be 1 to {REWARDS_MAX}")
    earning = given.combination.lane is rules.Lane.EARN
    for place, reward in enumerate(given.rewards):
        path = f"rewards[{place}]"
        name = _KIND_NAMES[type(reward.kind)]
        if earning != isinstance(reward.kind, rules.EARNS):
            where = "belong into LANE_EARN" if not earning else "do not belong into LANE_EARN"
            what = "points" if not earning else "discounts"
            yield Problem(f"{path}.{name}", f"{what} {where}")
        if reward.amount_max < 0:
            yield Problem(f"{path}.amount_max", "must not be negative")
        yield from check_filter(reward.target, f"{path}.target")
        yield from set_problems.check_reward(given, reward, path)
        yield from _check_kind(reward.kind, f"{path}.{name}")


_KIND_NAMES: dict[type, str] = {
    rules.PercentOff: "percent_off",
    rules.AmountOff: "amount_off",
    rules.FixedPrice: "fixed_price",
    rules.SetPrice: "set_price",
    rules.EarnPercent: "earn_percent",
    rules.EarnPoints: "earn_points",
}


def _check_kind(kind: rules.RewardKind, path: str) -> Iterator[Problem]:
    match kind:
        case rules.PercentOff() if not 1 <= kind.basis_points <= 10_000:
            yield Problem(f"{path}.basis_points", "must be 1 to 10000")
        case rules.AmountOff() if kind.amount_minor <= 0:
            yield Problem(f"{path}.amount_minor", "must be above 0")
        case rules.FixedPrice() if kind.unit_price_minor < 0:
            yield Problem(f"{path}.unit_price_minor", "must not be negative")
        case rules.SetPrice() if kind.price_minor < 0:
            yield Problem(f"{path}.price_minor", "must not be negative")
        case rules.EarnPercent():
            yield from _check_earn_percent(kind, path)
        case rules.EarnPoints():
            yield from _check_earn_points(kind, path)


def _check_earn_percent(kind: rules.EarnPercent, path: str) -> Iterator[Problem]:
    if not 1 <= kind.basis_points <= 100_000:
        yield Problem(f"{path}.basis_points", "must be 1 to 100000")
    if len(kind.multipliers) > MULTIPLIERS_MAX:
        yield Problem(f"{path}.multipliers", f"must be at most {MULTIPLIERS_MAX}")
    for place, multiplier in enumerate(kind.multipliers):
        where = f"{path}.multipliers[{place}]"
        if not 0 <= multiplier.factor_hundredths <= 10_000:
            yield Problem(f"{where}.factor_hundredths", "must be 0 to 10000")
        yield from check_filter(multiplier.filter, f"{where}.filter")


def _check_earn_points(kind: rules.EarnPoints, path: str) -> Iterator[Problem]:
    if kind.points <= 0:
        yield Problem(f"{path}.points", "must be above 0")
    if kind.step_minor < 0 or (kind.spread is rules.PointsSpread.EACH_STEP) != (
        kind.step_minor > 0
    ):
        yield Problem(f"{path}.step_minor", "must be above 0 for EACH_STEP and 0 otherwise")
    if kind.expire_days < 0:
        yield Problem(f"{path}.expire_days", "must not be negative")


def _check_combination(combination: rules.Combination) -> Iterator[Problem]:
    if not -1_000 <= combination.priority <= 1_000:
        yield Problem("combination.priority", "must be -1000 to 1000")


def _check_limits(given: rules.Rules) -> Iterator[Problem]:
    limits = given.limits
    for name in ("uses_max", "uses_per_member_max", "budget_minor"):
        if getattr(limits, name) < 0:
            yield Problem(f"limits.{name}", "must not be negative")
    if limits.budget_minor and given.combination.lane is rules.Lane.EARN:
        yield Problem("limits.budget_minor", "counts discounts, and LANE_EARN gives none")
