"""Receipts decided twice, with the limits that campaigns have."""

import random

import polars as pl
import pytest

from tests.unit.simulation import sales
from tools.simulation import lines, replaying, totals
from tools.simulation.purchases import whole
from tools.simulation.replaying import DRAFT, LIVE, Plan


def replayed(tables, live, draft):
    source = lines.source(tables)
    plan = Plan(live, draft)
    heard: list[int] = []
    found = replaying.replay(source, plan, progress=heard.append, processes=1)
    assert sum(heard) == tables.receipts.height
    return found, totals.count(source, found, plan)


def discounts(found, side):
    return found.receipts.sort("number")[f"{side}_discount_minor"].to_list()


def test_a_draft_changes_what_it_names_and_nothing_else():
    """Both sides decide the same carts; the difference is the draft's."""
    live = sales.campaigns(sales.percent("always", 10))
    draft = sales.campaigns(sales.percent("always", 20))
    found, sums = replayed(sales.tables(("m1", 1000), ("", 500)), live, draft)
    assert discounts(found, LIVE) == [100, 50]
    assert discounts(found, DRAFT) == [200, 100]
    assert sums.sums["changed_receipts"] == 2
    assert sums.sums["changed_members"] == 1
    assert sums.campaigns["change_minor"].to_list() == [150]


def test_a_campaign_that_loses_to_the_draft_is_seen_to_lose():
    """What one campaign takes from another is in the table of campaigns, with its sign."""
    live = sales.campaigns(sales.percent("old", 10))
    grouped = "    combination: {lane: item, exclusive_group: best}\n"
    both = (sales.percent("old", 10) + sales.percent("new", 30)).replace(
        "    combination: item\n", grouped
    )
    _, sums = replayed(sales.tables(("m1", 1000)), live, sales.campaigns(both))
    changes = dict(sums.campaigns.select("campaign_id", "change_minor").iter_rows())
    assert changes == {"new": 300, "old": -100}


def test_a_budget_ends_at_the_receipt_that_empties_it():
    """Later receipts get nothing, whichever process decides them and whoever buys."""
    live = sales.campaigns(sales.percent("sale", 10, limits="{budget: 2.50 USD}"))
    tables = sales.tables(("m1", 1000), ("", 1000), ("m2", 1000), ("m1", 1000))
    found, _ = replayed(tables, live, [])
    assert discounts(found, LIVE) == [100, 100, 50, 0]
    assert found.is_settled


def test_uses_of_a_member_are_counted_along_the_members_own_receipts():
    """A second purchase of the same member gets nothing, one of another member does."""
    live = sales.campaigns(sales.percent("once", 10, limits="{uses_per_member_max: 1}"))
    found, _ = replayed(sales.tables(("m1", 1000), ("m2", 1000), ("m1", 1000)), live, live)
    assert discounts(found, LIVE) == [100, 100, 0]


def test_what_a_member_used_is_remembered_when_others_are_decided_again():
    """A budget that ends sends receipts back; a use before them still counts."""
    both = sales.percent("once", 10, limits="{uses_per_member_max: 1}") + sales.percent(
        "sale", 10, limits="{budget: 1.00 USD}"
    )
    live = sales.campaigns(both)
    found, _ = replayed(sales.tables(("m1", 500), ("m2", 1000), ("m1", 1000)), live, live)
    gains = found.gains.filter((pl.col("side") == LIVE) & (pl.col("campaign_id") == "once"))
    assert sorted(gains["number"].to_list()) == [0, 1]


@pytest.mark.parametrize("seed", range(6))
def test_budgets_end_where_counting_one_by_one_ends_them(seed):
    """The same as a plain loop over the receipts that keeps the budget in a variable."""
    chance = random.Random(seed)
    bought = [
        (chance.choice(["", "m1", "m2", "m3"]), chance.randrange(100, 5000)) for _ in range(80)
    ]
    live = sales.campaigns(sales.percent("sale", 15, limits="{budget: 60.00 USD}"))
    found, _ = replayed(sales.tables(*bought), live, [])
    left, expected = 6000, []
    for _, price in bought:
        given = min((price * 15 + 50) // 100, left)
        left -= given
        expected.append(given)
    assert discounts(found, LIVE) == expected


def test_periods_are_set_aside_and_weekdays_are_not():
    """A draft for the summer shows what it would have done in March, on its weekdays."""
    written = sales.percent("monday", 10) + (
        "    validity: {weekdays: [monday], period: {start_time: 2027-06-01T00:00:00Z}}\n"
    )
    campaign = sales.campaigns(written)
    kept, _ = replayed(sales.tables(("m1", 1000)), campaign, [])
    assert discounts(kept, LIVE) == [0]
    days = sales.tables(*[("", 1000)] * 30)
    timeless, _ = replayed(days, replaying.timeless(campaign), [])
    assert discounts(timeless, LIVE) == [100] * 11 + [0] * 19  # midnight comes early in Moscow


def test_parts_keep_members_whole():
    """No member's receipts are in two parts, unknown shoppers' anywhere, and none is lost."""
    receipts = pl.DataFrame(
        {
            "number": range(300),
            "member_id": [["", "a", "b", "c"][number % 4] for number in range(300)],
        }
    )
    parts = whole(receipts, size=50)
    assert len(parts) > 2
    assert sorted(number for part in parts for number in part["number"]) == list(range(300))
    for member in "abc":
        assert sum(member in part["member_id"].to_list() for part in parts) == 1


def test_chances_are_counted_and_prizes_expected():
    """Never more than there are; nobody draws, and nothing is in the cost."""
    written = """
  win:
    title: Win
    trigger: automatic
    rewards:
    - instant_win:
        prizes:
        - {title: Mug, count: 3, one_in: 2}
        - {title: Points, count: 900, one_in: 4, points: 100}
        period: {start_time: 2027-06-01T00:00:00Z, end_time: 2027-07-01T00:00:00Z}
        spread: each_step
        step: 5.00 USD
    combination: earn
"""
    draft = replaying.timeless(sales.campaigns(written))
    _, sums = replayed(sales.tables(*[("m1", 1000)] * 5, ("m2", 499)), [], draft)
    rows = [
        (row["side"], row["prize"], row["chances"], row["prizes_expected"], row["points_expected"])
        for row in sums.prizes.iter_rows(named=True)
    ]
    assert rows == [(DRAFT, "Mug", 10, 3.0, 0.0), (DRAFT, "Points", 10, 2.5, 250.0)]
    assert sums.campaigns["draft_chances"].to_list() == [10]
    assert sums.campaigns["change_minor"].to_list() == [0]
