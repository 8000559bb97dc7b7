"""The index and the compiled conditions, held against a plain reading of the rules."""

import dataclasses
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

Reason = engine.OutcomeReason
_some = settings(max_examples=50, deadline=None)


def _fits(item_filter, line, facts):
    """Tell whether a line's goods are meant, by the words of the contract."""
    article = facts.articles.get(line.sku, engine.Article())
    asked = [
        (item_filter.skus, {line.sku}),
        (item_filter.category_ids, article.category_ids),
        (item_filter.brands, {article.brand} - {""}),
        (item_filter.tags, article.tags),
    ]
    refused = [
        (item_filter.exclude_skus, {line.sku}),
        (item_filter.exclude_category_ids, article.category_ids),
        (item_filter.exclude_brands, {article.brand}),
        (item_filter.exclude_tags, article.tags),
    ]
    highest = item_filter.unit_price_max_minor
    reduced = line.regular_unit_price_minor > line.unit_price_minor
    states = {engine.PriceState.FULL: not reduced, engine.PriceState.REDUCED: reduced}
    return (
        _amount(line) > 0
        and line.kind in (item_filter.kinds or {engine.LineKind.GOODS})
        and states.get(item_filter.price_state, True)
        and all(not names or names & has for names, has in asked)
        and not any(names & has for names, has in refused)
        and line.unit_price_minor >= item_filter.unit_price_min_minor
        and (not highest or line.unit_price_minor <= highest)
    )


def _amount(line):
    return (line.quantity_thousandths * line.unit_price_minor + 500) // 1_000


def _holds(condition, cart, facts):
    """Tell whether a condition holds for a cart without discounts."""
    match condition:
        case engine.AllOf():
            return all(_holds(child, cart, facts) for child in condition.conditions)
        case engine.AnyOf():
            return any(_holds(child, cart, facts) for child in condition.conditions)
        case engine.Not():
            return not _holds(condition.condition, cart, facts)
        case engine.PurchaseNumber():
            return facts.member is not None and _counts(condition, facts.member)
        case engine.PaymentPlan():
            prefixes = tuple(condition.card_prefixes or [""])
            return any(one.card_prefix.startswith(prefixes) for one in cart.planned_payments)
    return _has_goods(condition, cart, facts)


def _has_goods(condition, cart, facts):
    lines = [line for line in cart.lines if _fits(condition.filter, line, facts)]
    spent = sum(_amount(line) for line in lines)
    match condition:
        case engine.EveryLine():
            return bool(lines) and all(
                _fits(condition.required, line, facts)
                and sum(_amount(other) for other in lines if _pile(other) == _pile(line))
                >= condition.amount_min_minor
                for line in lines
            )
        case engine.BasketTotal():
            return spent >= condition.amount_min_minor
        case engine.ItemGroup():
            quantity = sum(line.quantity_thousandths for line in lines)
            enough = quantity >= condition.quantity_min_thousandths
            return enough and spent >= condition.amount_min_minor
    return len({line.sku for line in lines}) >= condition.count_min


def _pile(line):
    return line.sku, line.unit_price_minor, line.regular_unit_price_minor, line.kind


def _counts(condition, member):
    current = member.purchases_before + 1
    return current == condition.number or (condition.every > 0 and current % condition.every == 0)


def _simple_campaign(**changes):
    rules = engine.Rules(
        title=engine.Text("Test"),
        rewards=(engine.Reward(engine.AmountOff(1, engine.AmountSpread.ACROSS)),),
        combination=engine.Combination(engine.Lane.RECEIPT),
    )
    return engine.Campaign("cmp_1", 1, dataclasses.replace(rules, **changes))


@_some
@given(samples.goods_conditions, samples.carts(), samples.facts(), st.integers(0, 3))
def test_compiled_conditions_hold_exactly_when_the_words_do(condition, cart, facts, purchases):
    """No compiled condition, index included, lets a cart in or keeps it out wrongly."""
    if facts.member is not None:
        member = dataclasses.replace(facts.member, purchases_before=purchases)
        facts = dataclasses.replace(facts, member=member)
    facts = dataclasses.replace(
        facts,
        identity_answered=True,
        articles=_without_floors(facts),
        cap=engine.ReceiptCap(),
    )
    try:
        ruleset = engine.compile([_simple_campaign(condition=condition)], version=1)
    except engine.RulesetInvalid:  # it contradicts itself, and holds for nobody
        assert not _holds(condition, cart, facts)
        return
    decision = engine.evaluate(ruleset, cart, facts, now=samples.NOW)
    goods = [line for line in cart.lines if line.kind is engine.LineKind.GOODS]
    priced = any(_amount(line) for line in goods)
    assert bool(decision.discount_minor) == (priced and _holds(condition, cart, facts))


def _without_floors(facts):
    return {
        sku: dataclasses.replace(article, floor_price_minor=0)
        for sku, article in facts.articles.items()
    }


@_some
@given(samples.filters, samples.carts(), samples.facts())
def test_compiled_filters_mean_exactly_the_goods_that_the_words_mean(item_filter, cart, facts):
    """A discount of everything leaves exactly the goods that are not meant."""
    facts = dataclasses.replace(facts, articles=_without_floors(facts), cap=engine.ReceiptCap())
    rewards = (engine.Reward(engine.PercentOff(10_000), item_filter),)
    ruleset = engine.compile([_simple_campaign(rewards=rewards)], version=1)
    decision = engine.evaluate(ruleset, cart, facts, now=samples.NOW)
    for line, decided in zip(cart.lines, decision.lines, strict=True):
        assert decided.total_minor == (0 if _fits(item_filter, line, facts) else _amount(line))


def _first_refusal(campaign, cart, facts, now):
    """Return the first reason of place, time and person, by the words of the contract."""
    rules, member = campaign.rules, facts.member
    validity, audience = rules.validity, rules.audience
    segments = member.segment_ids if member else frozenset()
    codes = {code.upper() for code in cart.coupon_codes}
    asks = (
        audience.membership is engine.Membership.MEMBERS
        or audience.segment_ids
        or audience.plan_ids
        or rules.limits.uses_per_member_max
        or audience.tier_ids
        or rules.price is not None
        or (rules.combination.lane is engine.Lane.EARN and not _is_for_bearers(rules))
    )
    fits_audience = (member is not None or not asks) and (
        member is None
        or (
            (not audience.segment_ids or audience.segment_ids & segments)
            and not audience.exclude_segment_ids & segments
            and (not audience.plan_ids or audience.plan_ids & member.plan_ids)
            and (not audience.tier_ids or audience.tier_ids & member.tier_ids)
        )
    )
    coded = isinstance(rules.trigger, engine.CouponTrigger)
    about_member = (
        Reason.NOT_IN_AUDIENCE if facts.identity_answered else Reason.DEPENDENCY_UNAVAILABLE
    )
    checks = [
        (
            Reason.CODE_NOT_PRESENTED,
            not coded or codes & {code.upper() for code in rules.trigger.codes},
        ),
        (Reason.NOT_STARTED, not validity.start_time or validity.start_time <= now),
        (Reason.EXPIRED, not validity.end_time or now < validity.end_time),
        (
            Reason.WRONG_STORE,
            (not audience.store_ids or cart.store_id in audience.store_ids)
            and cart.store_id not in audience.exclude_store_ids
            and (not audience.region_ids or facts.store.region_id in audience.region_ids)
            and (not audience.format_ids or facts.store.format_id in audience.format_ids),
        ),
        (Reason.WRONG_CHANNEL, not audience.channels or cart.channel in audience.channels),
        (Reason.OUTSIDE_TIME, _is_open(validity, now)),
        (about_member, fits_audience),
    ]
    return next((reason for reason, passed in checks if not passed), None)


def _is_for_bearers(rules):
    """Tell whether all it gives are coupons for whoever holds them."""
    steps = rules.scale.steps if rules.scale is not None else ()
    rewards = [*rules.rewards, *(reward for step in steps for reward in step.rewards)]
    return all(
        isinstance(reward.kind, engine.IssueCoupon) and reward.kind.bearer for reward in rewards
    )


def _is_open(validity, now):
    """Tell whether one of the windows that began today or yesterday is open."""
    for days_ago in (0, 1):
        day = (now - timedelta(days=days_ago)).isoweekday()
        if validity.weekdays and day not in validity.weekdays:
            continue
        minute = now.hour * 60 + now.minute + days_ago * 1_440
        for window in validity.hours or (engine.HourWindow(0, 1_440),):
            end = window.end_minute + (1_440 if window.end_minute <= window.start_minute else 0)
            if window.start_minute <= minute < end:
                return True
    return False


@settings(max_examples=80, deadline=None)
@given(
    samples.rulebooks(),
    samples.carts(),
    samples.facts(),
    st.datetimes(datetime(2026, 3, 5), datetime(2026, 3, 17)),  # noqa: DTZ001 - the zone follows
)
def test_the_index_refuses_for_the_first_reason_that_the_words_give(campaigns, cart, facts, moment):
    """Place, time and person are decided by the index as by reading every campaign."""
    now = moment.replace(tzinfo=UTC)
    ruleset = engine.compile(campaigns, version=1)
    decision = engine.evaluate(ruleset, cart, facts, now=now, explain=engine.Explain.FULL)
    outcomes = {one.campaign_id: one.reason for one in decision.outcomes}
    refusals = {
        Reason.CODE_NOT_PRESENTED,
        Reason.NOT_STARTED,
        Reason.EXPIRED,
        Reason.WRONG_STORE,
        Reason.WRONG_CHANNEL,
        Reason.OUTSIDE_TIME,
        Reason.NOT_IN_AUDIENCE,
    }
    for campaign in campaigns:
        expected = _first_refusal(campaign, cart, facts, now)
        found = outcomes[campaign.campaign_id]
        if expected is None:
            assert found not in refusals
        elif expected in refusals or found in refusals:
            assert found is expected
        else:
            assert found is not Reason.APPLIED


@pytest.mark.parametrize(
    ("instant", "hours", "open_now"),
    [
        ("2026-03-06T14:30:00+00:00", engine.HourWindow(1_020, 1_080), True),
        ("2026-03-06T15:00:00+00:00", engine.HourWindow(1_020, 1_080), False),
        ("2026-10-25T00:30:00+00:00", engine.HourWindow(180, 240), True),
    ],
)
def test_hours_are_those_of_the_stores_clock(instant, hours, open_now):
    """The instant is the same everywhere, the hour is Moscow's."""
    campaign = _simple_campaign(validity=engine.Validity(hours=(hours,)))
    ruleset = engine.compile([campaign], version=1)
    line = engine.CartLine("1", "ale", 1_000, 500)
    cart = engine.Cart("S1", engine.Channel.TILL, "RUB", (line,))
    now = datetime.fromisoformat(instant).astimezone(ZoneInfo("Europe/Moscow"))
    facts = engine.Facts(engine.Store(), {})
    decision = engine.evaluate(ruleset, cart, facts, now=now)
    assert bool(decision.discount_minor) == open_now
