"""What is wrong with rewards and scales before they go live."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from services.promotions.engine import amounts, rules, set_problems
from services.promotions.engine.instant_wins import CHANCES_MAX
from services.promotions.engine.set_problems import Problem, check_filter

REWARDS_MAX: Final = 10
MULTIPLIERS_MAX: Final = 50
STEPS_MAX: Final = 20
POINTS_PRICE_MAX: Final = 1_000_000_000
PRIZES_MAX: Final = 20


def find_problems(given: rules.Rules) -> Iterator[Problem]:
    """Return what is wrong with what a campaign gives."""
    if given.scale is None:
        yield from _check_rewards(given, given.rewards, "rewards")
    else:
        if given.rewards:
            yield Problem("rewards", "must be empty, for a scale says what is given")
        yield from _check_scale(given, given.scale)
    yield from _check_chances(given)
    if given.stamp_price is not None:
        if given.stamp_price.count <= 0 or not given.stamp_price.card_id:
            yield Problem("stamp_price", "must name a card and a number above 0")
        if given.scale is not None:
            yield Problem("stamp_price", "does not go together with a scale")
    if given.points_price is not None:
        yield from _check_points_price(given, given.points_price)


def _check_points_price(given: rules.Rules, price: rules.PointsPrice) -> Iterator[Problem]:
    if not 0 < price.points <= POINTS_PRICE_MAX:
        yield Problem("points_price.points", f"must be 1 to {POINTS_PRICE_MAX}")
    if given.scale is not None:
        yield Problem("points_price", "does not go together with a scale")
    if given.stamp_price is not None:
        yield Problem("points_price", "does not go together with a price in stamps")
    if given.instant_win is not None:
        yield Problem("points_price", "cannot pay for chances: it would come back with the goods")


def find_kinds(given: rules.Rules) -> Iterator[tuple[str, rules.RewardKind]]:
    """Yield what each reward gives, with its place."""
    for place, reward in enumerate(given.rewards):
        yield f"rewards[{place}]", reward.kind
    for number, step in enumerate(given.scale.steps if given.scale else ()):
        for place, reward in enumerate(step.rewards):
            yield f"scale.steps[{number}].rewards[{place}]", reward.kind


def _check_chances(given: rules.Rules) -> Iterator[Problem]:
    """Return what is wrong with chances of winning at once beside everything else."""
    kinds = [one for one in given.all_rewards if isinstance(one.kind, rules.InstantWin)]
    if not kinds:
        return
    if len(kinds) > 1:
        yield Problem("rewards", "may hold chances of winning once")
    if any(one.amount_max for one in kinds):
        yield Problem("rewards", "bound chances by chances_max, not by amount_max")
    if given.scale is not None:
        yield Problem("scale", "does not go together with chances of winning")
    if given.stamp_price is not None:
        yield Problem("stamp_price", "cannot pay for chances: it would come back with the goods")


def _check_scale(given: rules.Rules, scale: rules.Scale) -> Iterator[Problem]:
    if not 1 <= len(scale.steps) <= STEPS_MAX:
        yield Problem("scale.steps", f"must hold 1 to {STEPS_MAX} steps")
        return
    yield from check_filter(scale.filter, "scale.filter")
    begins = [step.begin for step in scale.steps]
    if begins[0] < 0 or any(one >= other for one, other in itertools.pairwise(begins)):
        yield Problem("scale.steps", "must begin one above the other")
    for place, step in enumerate(scale.steps):
        yield from _check_rewards(given, step.rewards, f"scale.steps[{place}].rewards")
    if scale.progressive:
        yield from _check_progressive(given, scale)


def _check_progressive(given: rules.Rules, scale: rules.Scale) -> Iterator[Problem]:
    first = scale.steps[0].rewards[0]
    for place, step in enumerate(scale.steps):
        reward = step.rewards[0]
        plain = rules.Reward(reward.kind, first.target)
        if step.rewards != (plain,) or not isinstance(reward.kind, rules.PercentOff):
            path = f"scale.steps[{place}].rewards"
            yield Problem(path, "must be one percentage off the same goods and nothing else")
    if scale.measure is rules.ScaleMeasure.ARTICLES or scale.each_line or given.multi_buy:
        yield Problem("scale.progressive", "goes by money or units of all the goods, without sets")
    if scale.measure is rules.ScaleMeasure.UNITS and scale.steps[0].begin < 1:
        yield Problem("scale.steps[0].begin", "must be the first unit that counts, from 1 on")
    if given.combination.basis not in {rules.Basis.RUNNING, rules.Basis.TURN}:
        yield Problem("scale.progressive", "is of what is left at its turn")


def _check_rewards(
    given: rules.Rules, rewards: Sequence[rules.Reward], where: str
) -> Iterator[Problem]:
    if not 1 <= len(rewards) <= REWARDS_MAX:
        yield Problem(where, f"must say what it gives, in 1 to {REWARDS_MAX} rewards")
    earning = given.combination.lane is rules.Lane.EARN
    for place, reward in enumerate(rewards):
        path = f"{where}[{place}]"
        name = KIND_NAMES[type(reward.kind)]
        if earning != isinstance(reward.kind, rules.EARNS):
            where_to = "belong into LANE_EARN" if not earning else "do not belong into LANE_EARN"
            what = "points" if not earning else "discounts"
            yield Problem(f"{path}.{name}", f"{what} {where_to}")
        if reward.amount_max < 0:
            yield Problem(f"{path}.amount_max", "must not be negative")
        yield from check_filter(reward.target, f"{path}.target")
        yield from set_problems.check_reward(given, reward, path)
        check = _CHECKS.get(type(reward.kind))
        if check is not None:
            yield from check(reward.kind, f"{path}.{name}")


KIND_NAMES: dict[type, str] = {
    rules.PercentOff: "percent_off",
    rules.AmountOff: "amount_off",
    rules.FixedPrice: "fixed_price",
    rules.SetPrice: "set_price",
    rules.PriceList: "price_list",
    rules.Upgrade: "upgrade",
    rules.GiftItems: "gift_items",
    rules.EarnPercent: "earn_percent",
    rules.EarnPoints: "earn_points",
    rules.EarnStamps: "earn_stamps",
    rules.MultiplyPoints: "multiply_points",
    rules.IssueCoupon: "issue_coupon",
    rules.InstantWin: "instant_win",
}


def _check_percent(kind: rules.PercentOff, path: str) -> Iterator[Problem]:
    if not 1 <= kind.basis_points <= 10_000:
        yield Problem(f"{path}.basis_points", "must be 1 to 10000")


def _check_amount(kind: rules.AmountOff, path: str) -> Iterator[Problem]:
    if kind.amount_minor <= 0:
        yield Problem(f"{path}.amount_minor", "must be above 0")
    across = kind.spread is rules.AmountSpread.ACROSS
    if kind.share_by is not rules.ShareBy.AMOUNT and not across:
        yield Problem(f"{path}.share_by", "is for an amount across goods")


def _check_price(kind: rules.FixedPrice, path: str) -> Iterator[Problem]:
    if kind.unit_price_minor < 0:
        yield Problem(f"{path}.unit_price_minor", "must not be negative")


def _check_set_price(kind: rules.SetPrice, path: str) -> Iterator[Problem]:
    if kind.price_minor < 0:
        yield Problem(f"{path}.price_minor", "must not be negative")


def _check_price_list(kind: rules.PriceList, path: str) -> Iterator[Problem]:
    skus = {one.sku for one in kind.prices}
    if not skus or len(skus) < len(kind.prices):
        yield Problem(f"{path}.prices", "must hold articles, each one once")
    if any(one.unit_price_minor < 0 for one in kind.prices):
        yield Problem(f"{path}.prices", "must not be negative")


def _check_upgrade(kind: rules.Upgrade, path: str) -> Iterator[Problem]:
    if not kind.from_sku or not kind.to_sku or kind.from_sku == kind.to_sku:
        yield Problem(f"{path}.to_sku", "must be another article than from_sku")
    if min(kind.from_price_minor, kind.to_units, kind.replacements_max) < 0:
        yield Problem(path, "must not have negative numbers")


def _check_gift_items(kind: rules.GiftItems, path: str) -> Iterator[Problem]:
    skus = {one.sku for one in kind.items}
    if not skus or len(skus) < len(kind.items):
        yield Problem(f"{path}.items", "must hold articles, each one once")
    if any(one.units <= 0 or one.value_minor < 0 for one in kind.items):
        yield Problem(f"{path}.items", "must have units above 0 and no negative value")
    if not 0 <= kind.choose <= len(kind.items):
        yield Problem(f"{path}.choose", "must not be above the number of items")
    if kind.times_max < 0:
        yield Problem(f"{path}.times_max", "must not be negative")
    for name, spread in (
        ("step_units", rules.GiftSpread.EACH_UNITS),
        ("step_minor", rules.GiftSpread.EACH_STEP),
    ):
        step = getattr(kind, name)
        if step < 0 or (step > 0) != (kind.spread is spread):
            yield Problem(f"{path}.{name}", f"must be above 0 for {spread.name} and 0 otherwise")
    if not 0 <= kind.basis_points <= amounts.BASIS_POINTS:
        yield Problem(f"{path}.basis_points", f"must be 0 to {amounts.BASIS_POINTS}")
    if kind.reduces and not kind.add_missing:
        yield Problem(f"{path}.basis_points", "needs add_missing: what is cheaper must be bought")
    if kind.on_return is rules.GiftReturn.DEDUCT and any(not one.value_minor for one in kind.items):
        yield Problem(f"{path}.items", "must have a value that a return can take off")


def _check_earn_percent(kind: rules.EarnPercent, path: str) -> Iterator[Problem]:
    if not 1 <= kind.basis_points <= 100_000:
        yield Problem(f"{path}.basis_points", "must be 1 to 100000")
    if len(kind.multipliers) > MULTIPLIERS_MAX:
        yield Problem(f"{path}.multipliers", f"must hold at most {MULTIPLIERS_MAX}")
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


def _check_stamps(kind: rules.EarnStamps, path: str) -> Iterator[Problem]:
    if kind.stamps <= 0 or not kind.card_id:
        yield Problem(f"{path}.stamps", "must name a card and a number above 0")
    if kind.step_minor < 0 or (kind.spread is rules.PointsSpread.EACH_STEP) != (
        kind.step_minor > 0
    ):
        yield Problem(f"{path}.step_minor", "must be above 0 for EACH_STEP and 0 otherwise")


def _check_multiplier(kind: rules.MultiplyPoints, path: str) -> Iterator[Problem]:
    if not 101 <= kind.factor_hundredths <= 10_000:
        yield Problem(f"{path}.factor_hundredths", "must be 101 to 10000")


def _check_coupon(kind: rules.IssueCoupon, path: str) -> Iterator[Problem]:
    if not kind.campaign_id or min(kind.uses, kind.expire_days) < 0:
        yield Problem(path, "must name a campaign and have no negative numbers")


def _check_prizes(prizes: Sequence[rules.InstantPrize], path: str) -> Iterator[Problem]:
    for place, prize in enumerate(prizes):
        where = f"{path}[{place}]"
        if not prize.title.en:
            yield Problem(f"{where}.title.en", "must not be empty: other languages fall back to it")
        if prize.count < 1:
            yield Problem(f"{where}.count", "must be at least 1")
        if prize.one_in < 1:
            yield Problem(f"{where}.one_in", "must be at least 1")
        if prize.points < 0:
            yield Problem(f"{where}.points", "must not be negative")
    if sum(Fraction(1, max(one.one_in, 1)) for one in prizes) > 1:
        yield Problem(path, "must not have odds above 1 together")


def _check_instant_win(kind: rules.InstantWin, path: str) -> Iterator[Problem]:
    if not 1 <= len(kind.prizes) <= PRIZES_MAX:
        yield Problem(f"{path}.prizes", f"must hold 1 to {PRIZES_MAX} prizes")
    yield from _check_prizes(kind.prizes, f"{path}.prizes")
    if kind.period.start_time >= kind.period.end_time:
        yield Problem(f"{path}.period", "end_time must be after start_time")
    if not 0 <= kind.chances_max <= CHANCES_MAX:
        yield Problem(f"{path}.chances_max", f"must be 0 to {CHANCES_MAX}")
    if kind.step_minor < 0 or (kind.spread is rules.PointsSpread.EACH_STEP) != (
        kind.step_minor > 0
    ):
        yield Problem(f"{path}.step_minor", "must be above 0 for EACH_STEP and 0 otherwise")


_CHECKS: Mapping[type, Callable[[Any, str], Iterator[Problem]]] = {
    rules.PercentOff: _check_percent,
    rules.AmountOff: _check_amount,
    rules.FixedPrice: _check_price,
    rules.SetPrice: _check_set_price,
    rules.PriceList: _check_price_list,
    rules.Upgrade: _check_upgrade,
    rules.GiftItems: _check_gift_items,
    rules.EarnPercent: _check_earn_percent,
    rules.EarnPoints: _check_earn_points,
    rules.EarnStamps: _check_stamps,
    rules.MultiplyPoints: _check_multiplier,
    rules.IssueCoupon: _check_coupon,
    rules.InstantWin: _check_instant_win,
}
