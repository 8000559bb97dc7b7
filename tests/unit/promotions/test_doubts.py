"""What rules may say and hardly anybody means."""

from datetime import UTC, datetime, timedelta

import pytest

from services.promotions import engine, text
from services.promotions.wire import rules as wire_rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = (NOW + timedelta(seconds=1)).isoformat()
FREE = "rewards: [{percent_off: 100%}]"
WHOLE = "gives any amount of goods for nothing"


def doubts_about(written):
    """Return the doubts about a campaign of the text form, by field."""
    lines = ["title: A", *written.splitlines()]
    if "combination" not in written:
        lines.append("combination: receipt")
    if "trigger" not in written:
        lines.append("trigger: automatic")
    file = "currency: USD\ncampaigns:\n  a:\n" + "".join(f"    {line}\n" for line in lines)
    document = text.read(file)
    assert document.problems == []
    given = wire_rules.parse_rules(document.campaigns["a"])
    return {one.field: one.problem for one in engine.find_doubts(given, now=NOW)}


@pytest.mark.parametrize(
    "reward",
    [
        "{percent_off: 100%}",
        "{fixed_price: 0 USD}",
        "{set_price: 0 USD}",
        "{price_list: {prices: [{sku: a, unit_price: 1.00 USD}, {sku: b, unit_price: 0 USD}]}}",
    ],
)
def test_goods_for_nothing_without_a_bound_are_doubtful(reward):
    """Whatever makes them cost nothing."""
    ((field, problem),) = doubts_about(f"rewards: [{reward}]").items()
    assert field.startswith("rewards[0].")
    assert problem.startswith(WHOLE)


@pytest.mark.parametrize(
    "bounded",
    [
        "rewards: [{percent_off: 99.99%}]",
        "rewards: [{percent_off: 100%, amount_max: 5 USD}]",
        "rewards: [{percent_off: 100%, pick: {count_max: 1}}]",
        "rewards: [{percent_off: 100%, pick: {skip: 1, every: 2}}]",
        "rewards: [{percent_off: 100%, target: {kinds: delivery}}]",
        FREE + "\nlimits: {budget: 100 USD}",
        FREE + "\nlimits: {uses_per_member_max: 1}",
        FREE + "\nlimits: {units_max: 5}",
        FREE + "\ntrigger: {coupon: {codes: [FREE], personal: true}}",
        FREE + "\ntrigger: {coupon: {codes: [FREE], stamps: {card_id: tea, count: 9}}}",
        FREE + "\nstamp_price: {card_id: tea, count: 9}",
        (
            "rewards: [{percent_off: 100%, groups: [1]}]\ncombination: multi_buy\n"
            "multi_buy: {groups: [{units: 2}, {units: 1}]}"
        ),
        FREE + "\ncombination: multi_buy\nmulti_buy: {groups: [{units: 2}], sets_max: 1}",
    ],
)
def test_a_bound_of_any_kind_ends_the_doubt(bounded):
    """On the receipt, in all, for each member, by what is picked, or by what it costs."""
    assert doubts_about(bounded) == {}


def test_all_of_every_set_for_nothing_is_doubtful():
    """Sets alone bound nothing."""
    sets = "\ncombination: multi_buy\nmulti_buy: {groups: [{units: 2}, {units: 1}]}"
    assert list(doubts_about(FREE + sets)) == ["rewards[0].percent_off"]
    both = "rewards: [{percent_off: 100%, groups: [0, 1]}]"
    assert list(doubts_about(both + sets)) == ["rewards[0].percent_off"]


@pytest.mark.parametrize(
    ("earning", "doubtful"),
    [
        ("{earn_percent: 99.99%}", False),
        ("{earn_percent: 100%}", True),
        ("{earn_percent: 100%, amount_max: 500}", False),
        (
            "{earn_percent: {percent: 50%, multipliers: [{filter: {skus: a}, factor: 2}]}}",
            True,
        ),
    ],
)
def test_points_worth_what_is_paid_are_doubtful(earning, doubtful):
    """With the factor of any goods."""
    found = doubts_about(f"rewards: [{earning}]\ncombination: earn")
    assert ("rewards[0].earn_percent" in found) is doubtful


def test_a_period_that_has_passed_is_doubtful():
    """At its last moment, and not before."""
    written = f"rewards: [{{percent_off: 10%}}]\nvalidity: {{period: {{end_time: '{LATER}'}}}}"
    assert doubts_about(written) == {}
    over = doubts_about(written.replace(LATER, NOW.isoformat()))
    assert over == {"validity.period.end_time": "has passed: no cart will see the campaign"}


def test_a_step_that_gives_less_than_the_one_before_is_doubtful():
    """The place of the later one."""
    steps = "scale: {{measure: amount, steps: [{}]}}"
    step = "{{begin: {} USD, rewards: [{{percent_off: {}%}}]}}"
    falling = ", ".join([step.format(10, 5), step.format(20, 10), step.format(30, 5)])
    assert list(doubts_about(steps.format(falling))) == ["scale.steps[2]"]
    rising = ", ".join([step.format(10, 5), step.format(20, 10)])
    assert doubts_about(steps.format(rising)) == {}


def test_a_choice_without_a_group_is_doubtful():
    """It would choose among nothing."""
    written = "rewards: [{{percent_off: 10%}}]\ncombination: {{lane: item, {}}}"
    loose = doubts_about(written.format("group_choice: first, group_max: 2"))
    assert set(loose) == {"combination.group_choice", "combination.group_max"}
    assert doubts_about(written.format("group_choice: first, exclusive_group: a")) == {}
