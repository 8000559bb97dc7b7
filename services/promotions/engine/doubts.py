"""What rules may say and hardly anybody means: told to whoever writes them, and no refusal."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

from services.promotions.engine import reward_problems, rules
from services.promotions.engine.amounts import BASIS_POINTS
from services.promotions.engine.set_problems import Problem


def find_doubts(given: rules.Rules, *, now: datetime) -> list[Problem]:
    """Return what is doubtful about rules that may go live, each with its field."""
    return [
        *_check_period(given.validity, now),
        *_check_rewards(given),
        *_check_steps(given),
        *_check_combination(given.combination),
    ]


def _check_period(validity: rules.Validity, now: datetime) -> Iterator[Problem]:
    if validity.end_time is not None and validity.end_time <= now:
        yield Problem("validity.period.end_time", "has passed: no cart will see the campaign")


def _check_rewards(given: rules.Rules) -> Iterator[Problem]:
    for place, reward in enumerate(given.rewards):
        yield from _check_reward(given, reward, f"rewards[{place}]")
    for number, step in enumerate(given.scale.steps if given.scale else ()):
        for place, reward in enumerate(step.rewards):
            yield from _check_reward(given, reward, f"scale.steps[{number}].rewards[{place}]")


def _check_reward(given: rules.Rules, reward: rules.Reward, path: str) -> Iterator[Problem]:
    if reward.amount_max or _is_bounded(given):
        return
    name = reward_problems.KIND_NAMES[type(reward.kind)]
    if _is_whole_price(reward.kind) and not _is_picked(given, reward):
        yield Problem(
            f"{path}.{name}",
            "gives any amount of goods for nothing: amount_max, pick or limits would bound it",
        )
    if isinstance(reward.kind, rules.EarnPercent) and _share_of(reward.kind) >= BASIS_POINTS:
        yield Problem(
            f"{path}.{name}", "gives back all that is paid, or more: amount_max would bound it"
        )


def _is_whole_price(kind: rules.RewardKind) -> bool:
    """Tell whether goods cost nothing with a reward."""
    match kind:
        case rules.PercentOff():
            return kind.basis_points == BASIS_POINTS
        case rules.FixedPrice():
            return kind.unit_price_minor == 0
        case rules.SetPrice():
            return kind.price_minor == 0
        case rules.PriceList():
            return any(one.unit_price_minor == 0 for one in kind.prices)
        case _:
            return False


def _is_picked(given: rules.Rules, reward: rules.Reward) -> bool:
    """Tell whether a reward is for some units only, or for what costs nothing to hand out."""
    pick = reward.pick
    if pick is not None and (
        pick.count_max or pick.total_max or pick.units_per_line_max or pick.every > 1
    ):
        return True
    if reward.target.kinds and rules.LineKind.GOODS not in reward.target.kinds:
        return True
    sets = given.multi_buy
    if sets is None:
        return False
    some = reward.groups and len(reward.groups) < len(sets.groups)
    return bool(sets.sets_max or some) and not reward.beside_sets


def _is_bounded(given: rules.Rules) -> bool:
    """Tell whether there is an end of a campaign, for all or for each member."""
    limits, trigger = given.limits, given.trigger
    granted = isinstance(trigger, rules.CouponTrigger) and (trigger.personal or trigger.stamps)
    return bool(
        limits.uses_max
        or limits.uses_per_member_max
        or limits.budget_minor
        or limits.counts_units
        or given.price
        or granted
    )


def _share_of(kind: rules.EarnPercent) -> int:
    """Return the largest share that goods earn, in hundredths of a percent."""
    factors = [one.factor_hundredths for one in kind.multipliers]
    return kind.basis_points * max([100, *factors]) // 100


def _check_steps(given: rules.Rules) -> Iterator[Problem]:
    """Find a percentage that falls where more is bought."""
    steps = given.scale.steps if given.scale else ()
    for place, (before, after) in enumerate(itertools.pairwise(steps), start=1):
        first, second = _percentage(before.rewards), _percentage(after.rewards)
        if first is not None and second is not None and first > second:
            yield Problem(f"scale.steps[{place}]", "gives less than the step before it")


def _percentage(rewards: Sequence[rules.Reward]) -> int | None:
    """Return the percentage of a step that gives nothing else."""
    kinds = [one.kind for one in rewards]
    if len(kinds) == 1 and isinstance(kinds[0], rules.PercentOff | rules.EarnPercent):
        return kinds[0].basis_points
    return None


def _check_combination(combination: rules.Combination) -> Iterator[Problem]:
    if combination.exclusive_group:
        return
    if combination.group_choice is not rules.GroupChoice.BEST:
        yield Problem("combination.group_choice", "does nothing without exclusive_group")
    if combination.group_max:
        yield Problem("combination.group_max", "does nothing without exclusive_group")
