"""The catalogue fits into the contract and keeps what the data set says."""

import polars as pl
import pytest

from tools.demo import catalogue
from tools.demo.catalogue import Catalogue


@pytest.fixture(scope="module")
def goods() -> Catalogue:
    return catalogue.read()


def test_the_tree_has_parents_before_children(goods: Catalogue) -> None:
    """Ids are unique and short enough, and every parent stands above its children."""
    seen = {""}
    for category_id, parent_id in goods.categories.select("category_id", "parent_id").rows():
        assert parent_id in seen
        assert category_id not in seen
        assert len(category_id) <= 64
        seen.add(category_id)


def test_every_product_has_a_category(goods: Catalogue) -> None:
    """All products hang in the tree, at the deepest level that is known."""
    known = goods.categories["category_id"].implode()
    assert goods.products.height == 92_331
    assert goods.products["category_id"].is_in(known).all()


def test_the_own_label_is_a_tag(goods: Catalogue) -> None:
    """Private brands, and only those, carry the tag."""
    tagged = pl.col("tags").list.contains(catalogue.OWN_LABEL_TAG)
    assert goods.products.filter(tagged != (pl.col("brand") == "Private")).is_empty()


def test_fuel_and_tobacco_earn_nothing(goods: Catalogue) -> None:
    """What loyalty programs leave out is marked, and ordinary food is not."""
    fuel = goods.products.filter(pl.col("product_type") == catalogue.FUEL_TYPE)
    tobacco = goods.products.filter(pl.col("product_category") == "CIGARETTES")
    milk = goods.products.filter(pl.col("product_category") == "FLUID MILK PRODUCTS")
    assert fuel["earning_excluded"].all()
    assert tobacco["earning_excluded"].all()
    assert tobacco["points_payment_excluded"].all()
    assert not milk["earning_excluded"].any()


def test_stores_have_formats(goods: Catalogue) -> None:
    """All 457 stores, each a station, a corner shop or a supermarket."""
    assert goods.stores.height == 457
    assert set(goods.stores["format_id"]) == {"station", "corner", "super"}
