"""Publishing: campaigns become a rule set that carts can be held against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.promotions.engine import (
    conditions,
    discounts,
    earnings,
    index,
    multibuys,
    problems,
    rules,
    set_problems,
    sets,
)


class RulesetInvalid(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """Says that campaigns cannot go live together; `problems` says why."""

    def __init__(self, found: Iterable[tuple[str, set_problems.Problem]]) -> None:
        self.problems = tuple(found)
        first_id, first = self.problems[0]
        super().__init__(f"{first_id}: {first.field} {first.problem}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A campaign, ready to run; `place` is its place in the order of evaluation.

    One that `contends` shares the goods with others in the best combination of sets.
    """

    place: int
    campaign: rules.Campaign
    lane: rules.Lane
    exclusive_group: str
    stop: bool
    coded: bool
    personal: bool
    stamps: rules.StampPrice | None
    limits: rules.Limits
    limited: bool
    counts_purchases: bool
    asks_price_state: bool
    sets: sets.SetRules | None
    contends: bool
    check: conditions.Check | None
    discount: discounts.Discounter | None
    earn: earnings.Earner | None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Campaigns that are live together, in the order of evaluation. Never changes."""

    version: int
    campaigns: tuple[rules.Campaign, ...]
    compiled: tuple[Compiled, ...]
    index: index.Index
    place_by_id: Mapping[str, int]

    def find(self, campaign_id: str) -> rules.Campaign | None:
        """Return the campaign with this id, if it is live."""
        place = self.place_by_id.get(campaign_id)
        return None if place is None else self.campaigns[place]


def compile(campaigns: Iterable[rules.Campaign], *, version: int) -> Ruleset:  # noqa: A001 - the word of the trade, always read as engine.compile
    """Return the rule set of these campaigns.

    The order of evaluation is lane, priority (higher first), id. Raises RulesetInvalid when a
    campaign has problems, an id is there twice, or two campaigns share a coupon code.
    """
    given = sorted(campaigns, key=_order)
    if found := _find_problems(given):
        raise RulesetInvalid(found)
    return Ruleset(
        version=version,
        campaigns=tuple(given),
        compiled=tuple(_compile_one(place, one) for place, one in enumerate(given)),
        index=index.build(given),
        place_by_id={one.campaign_id: place for place, one in enumerate(given)},
    )


def _order(campaign: rules.Campaign) -> tuple[int, int, str]:
    combination = campaign.rules.combination
    return combination.lane, -combination.priority, campaign.campaign_id


def _find_problems(given: list[rules.Campaign]) -> list[tuple[str, set_problems.Problem]]:
    found = [
        (one.campaign_id, problem) for one in given for problem in problems.find_problems(one.rules)
    ]
    seen: set[str] = set()
    for one in given:
        if one.campaign_id in seen:
            found.append((one.campaign_id, set_problems.Problem("campaign_id", "is there twice")))
        seen.add(one.campaign_id)
    found.extend(
        (
            taken.other_campaign_id,
            set_problems.Problem(
                "trigger.coupon.codes", f"{taken.code} belongs to {taken.campaign_id} already"
            ),
        )
        for taken in problems.find_taken_codes(given)
    )
    return found


def _compile_one(place: int, campaign: rules.Campaign) -> Compiled:
    given = campaign.rules
    earning = given.combination.lane is rules.Lane.EARN
    trigger = given.trigger
    coded = isinstance(trigger, rules.CouponTrigger)
    personal = isinstance(trigger, rules.CouponTrigger) and trigger.personal
    stamps = trigger.stamps if isinstance(trigger, rules.CouponTrigger) else None
    made_of = None if given.multi_buy is None else sets.compile_sets(given, given.multi_buy)
    return Compiled(
        place=place,
        campaign=campaign,
        lane=given.combination.lane,
        exclusive_group=given.combination.exclusive_group,
        stop=given.combination.stop,
        coded=coded,
        personal=personal,
        stamps=stamps,
        limits=given.limits,
        limited=personal or stamps is not None or given.limits != _UNLIMITED,
        counts_purchases=conditions.counts_purchases(given.condition),
        asks_price_state=_asks_price_state(given),
        sets=made_of,
        contends=made_of is not None and not made_of.allowed and not given.combination.stop,
        check=None if given.condition is None else conditions.compile_condition(given.condition),
        discount=_compile_discount(given, made_of),
        earn=earnings.compile_earnings(given) if earning else None,
    )


def _asks_price_state(given: rules.Rules) -> bool:
    """Tell whether the campaign looks at what others have reduced before its turn."""
    wanted = [reward.target for reward in given.rewards]
    if given.multi_buy is not None:
        wanted += [group.filter for group in given.multi_buy.groups]
    return conditions.asks_price_state(given.condition) or any(one.price_state for one in wanted)


def _compile_discount(
    given: rules.Rules, made_of: sets.SetRules | None
) -> discounts.Discounter | None:
    if given.combination.lane is rules.Lane.EARN:
        return None
    if made_of is not None:
        return multibuys.compile_multi_buy(made_of)
    return discounts.compile_discounts(given)


_UNLIMITED = rules.Limits()
