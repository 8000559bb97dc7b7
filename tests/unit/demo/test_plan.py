"""The day books are the same in every run, and possible."""

import polars as pl

from tests.unit.demo.small_chain import CALENDAR
from tools.demo import baskets, plan
from tools.demo.coupons import Coupons
from tools.demo.households import Households
from tools.demo.plan import Plan


def test_every_run_plans_the_same(
    small_plan: Plan, planned_people: Households, planned_coupons: Coupons
) -> None:
    """Nothing is left to chance."""
    again = plan.write(baskets.read(CALENDAR, count=600), planned_people, planned_coupons)
    assert again.sales.equals(small_plan.sales)
    assert again.returns.equals(small_plan.returns)
    assert again.steps.equals(small_plan.steps)


def test_everything_that_a_till_knows_happens(small_plan: Plan) -> None:
    """Unknown shoppers, codes, points, self-checkouts, voids and returns all occur."""
    sales = small_plan.sales
    assert not sales["known"].all()
    assert (sales["codes"].list.len() > 0).any()
    assert set(sales["points_share_percent"]) == {0, 50, 100}
    assert set(sales["channel"]) == {"CHANNEL_TILL", "CHANNEL_SELF_CHECKOUT"}
    assert set(small_plan.steps["kind"]) == {"sale", "void", "return"}


def test_nothing_comes_back_that_was_voided(small_plan: Plan) -> None:
    """A receipt is voided, or goods come back of it, never both."""
    voided = small_plan.sales.filter("voided")["basket_id"].implode()
    assert not small_plan.returns["basket_id"].is_in(voided).any()


def test_no_more_comes_back_than_was_bought(small_plan: Plan) -> None:
    """Each returned line is a line of the purchase, with at most its quantity."""
    bought = small_plan.lines.select("basket_id", "line_id", bought=pl.col("quantity_thousandths"))
    back = small_plan.returns.join(bought, on=["basket_id", "line_id"], how="left")
    assert (back["quantity_thousandths"] <= back["bought"]).all()
    assert (back["quantity_thousandths"] > 0).all()


def test_steps_are_in_the_order_of_time(small_plan: Plan) -> None:
    """Sales come before what undoes them."""
    steps = small_plan.steps
    assert steps["occurred_time"].is_sorted()
    seen = set()
    for basket_id, kind in steps.select("basket_id", "kind").rows():
        assert (basket_id in seen) == (kind != "sale")
        seen.add(basket_id)
