"""Publishing: campaigns become a rule set that carts can be held against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.promotions.engine import (
    conditions,
    discounts,
    earnings,
    index,
    multibuys,
    problems,
    rules,
    scales,
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
class Need:
    """Which balances of a campaign to ask the ledger for."""

    campaign_id: str
    uses: bool
    member_uses: bool
    budget: bool
    coupons: bool
    stamps: bool
    units: bool = False
    article_units: bool = False
    member_units: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A campaign, ready to run; `place` is its place in the order of evaluation.

    `need` is what to ask the ledger about a limited one, None for all others.
    One that `contends` shares the goods with others in the best combination of sets. `bounded`
    ones find more than goods when their turn comes, `has_terms` when something follows from it
    that one is applied.
    """

    place: int
    campaign: rules.Campaign
    lane: rules.Lane
    exclusive_group: str
    priority: int
    stop: bool
    coded: bool
    personal: bool
    stamps: rules.StampPrice | None
    limits: rules.Limits
    need: Need | None
    counts_purchases: bool
    asks_price_state: bool
    contest: str
    side: str
    price: rules.StampPrice | None
    bounded: bool
    has_terms: bool
    sets: sets.SetRules | None
    contends: bool
    check: conditions.Check | None
    discount: discounts.Discounter | None
    earn: earnings.Earner | None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Campaigns that are live together, in the order of evaluation. Never changes.

    `inactive_codes` are codes of campaigns that are not live, in upper case.
    """

    version: int
    campaigns: tuple[rules.Campaign, ...]
    compiled: tuple[Compiled, ...]
    index: index.Index
    place_by_id: Mapping[str, int]
    inactive_codes: Mapping[str, rules.Campaign]

    def find(self, campaign_id: str) -> rules.Campaign | None:
        """Return the campaign with this id, if it is live."""
        place = self.place_by_id.get(campaign_id)
        return None if place is None else self.campaigns[place]


def compile(  # noqa: A001 - the word of the trade, always read as engine.compile
    campaigns: Iterable[rules.Campaign],
    *,
    version: int,
    inactive: Iterable[rules.Campaign] = (),
) -> Ruleset:
    """Return the rule set of these campaigns; `inactive` ones answer to their codes and no more.

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
        inactive_codes={
            code.upper(): one
            for one in inactive
            if isinstance(one.rules.trigger, rules.CouponTrigger)
            for code in one.rules.trigger.codes
        },
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
    made_of = None
    if given.multi_buy is not None and given.scale is None:
        made_of = sets.compile_sets(given, given.multi_buy)
    need = _find_need(campaign, personal=personal, stamps=stamps)
    gifts = any(isinstance(one.kind, rules.GiftItems) for one in given.all_rewards)
    combination = given.combination
    return Compiled(
        place=place,
        campaign=campaign,
        lane=given.combination.lane,
        exclusive_group=given.combination.exclusive_group,
        priority=given.combination.priority,
        stop=given.combination.stop,
        coded=coded,
        personal=personal,
        stamps=stamps,
        limits=given.limits,
        need=need,
        counts_purchases=conditions.counts_purchases(given.condition),
        asks_price_state=_asks_price_state(given),
        sets=made_of,
        contends=_contends(given, made_of),
        contest=combination.contest,
        side=combination.side,
        price=given.price,
        bounded=need is not None or gifts or given.price is not None,
        has_terms=bool(
            given.price
            or stamps
            or combination.stop_lanes
            or combination.labels
            or combination.incompatible_labels
        ),
        check=None if given.condition is None else conditions.compile_condition(given.condition),
        discount=_compile_discount(given, made_of),
        earn=earnings.compile_earnings(given) if earning else None,
    )


def _find_need(
    campaign: rules.Campaign, *, personal: bool, stamps: rules.StampPrice | None
) -> Need | None:
    limits = campaign.rules.limits
    if not personal and stamps is None and limits == _UNLIMITED:
        return None
    return Need(
        campaign_id=campaign.campaign_id,
        uses=limits.uses_max > 0,
        units=limits.units_max > 0,
        article_units=limits.units_per_article_max > 0,
        member_uses=limits.uses_per_member_max > 0,
        member_units=limits.units_per_member_max > 0,
        budget=limits.budget_minor > 0,
        coupons=personal,
        stamps=stamps is not None,
    )


def _asks_price_state(given: rules.Rules) -> bool:
    """Tell whether the campaign looks at what others have reduced before its turn."""
    wanted = [reward.target for reward in given.all_rewards]
    if given.scale is not None:
        wanted.append(given.scale.filter)
    if given.multi_buy is not None:
        wanted += [group.filter for group in given.multi_buy.groups]
    return conditions.asks_price_state(given.condition) or any(one.price_state for one in wanted)


def _compile_discount(
    given: rules.Rules, made_of: sets.SetRules | None
) -> discounts.Discounter | None:
    if given.combination.lane is rules.Lane.EARN:
        return None
    if given.scale is not None:
        return scales.compile_discounts(given, given.scale, _compile_plain)
    return _compile_plain(given) if made_of is None else multibuys.compile_multi_buy(made_of)


def _compile_plain(given: rules.Rules) -> discounts.Discounter:
    if given.multi_buy is None:
        return discounts.compile_discounts(given)
    return multibuys.compile_multi_buy(sets.compile_sets(given, given.multi_buy))


def _contends(given: rules.Rules, made_of: sets.SetRules | None) -> bool:
    """Tell whether a campaign shares its goods in the best combination of sets.

    Whoever stops others, counts incomplete sets or leaves marks on later ones takes turns.
    """
    combination = given.combination
    return (
        made_of is not None
        and not made_of.allowed
        and not made_of.partial
        and not made_of.outside
        and not combination.stop
        and not combination.labels
        and not combination.incompatible_labels
        and not combination.stop_lanes
        and combination.group_choice is rules.GroupChoice.BEST
        and combination.group_max <= 1
        and given.price is None
        and given.scale is None
    )


_UNLIMITED: Final = rules.Limits()
