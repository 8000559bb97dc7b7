"""What the next version of a live campaign may change, because the ledger counts by the rest."""

import pytest

from services.promotions import engine


def rules(**limits):
    return engine.Rules(
        title=engine.Text("A"),
        rewards=(engine.Reward(engine.PercentOff(1_000)),),
        combination=engine.Combination(engine.Lane.RECEIPT),
        limits=engine.Limits(**limits),
    )


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({}, {"uses_per_member_max": 2}, ""),
        ({"uses_per_member_max": 2}, {"uses_per_member_max": 2}, ""),
        ({"uses_per_member_max": 2}, {"uses_per_member_max": 3}, "limits.uses_per_member_max"),
        ({"uses_per_member_max": 2}, {}, "limits.uses_per_member_max"),
        ({"budget_minor": 500}, {"budget_minor": 600}, ""),
        ({"budget_minor": 500}, {"budget_minor": 499}, "limits.budget_minor"),
        ({"budget_minor": 500}, {}, ""),
        ({}, {"budget_minor": 500}, ""),
        ({"uses_max": 5}, {"uses_max": 6}, ""),
        ({"uses_max": 5}, {"uses_max": 4}, "limits.uses_max"),
        ({"uses_max": 5}, {}, ""),
        ({"units_max": 5}, {"units_max": 4}, "limits.units_max"),
        ({"units_max": 5}, {"units_max": 6}, ""),
        (
            {"units_per_article_max": 5},
            {"units_per_article_max": 6},
            "limits.units_per_article_max",
        ),
    ],
)
def test_bounds_stay_and_sums_only_grow(before, after, field):
    """A bound per member stays; a budget and a number of uses grow, begin, or go."""
    found = engine.find_succession_problems(rules(**before), rules(**after))
    assert [one.field for one in found] == ([field] if field else [])
