"""The catalogue in memory: articles with their place in a tree that changes."""

from services.promotions import engine
from services.promotions.catalogue import Catalogue, find_cycle, lineage


def product(sku, category_id, **fields):
    plain = {
        "brand": "",
        "tags": [],
        "floor_price_minor": 0,
        "weighed": False,
        "earning_excluded": False,
        "points_payment_excluded": False,
    }
    return {"sku": sku, "category_id": category_id, **plain, **fields}


def category(category_id, parent_id=None):
    return {"category_id": category_id, "parent_id": parent_id}


def made(categories=(), products=(), stores=()):
    goods = Catalogue()
    goods.apply(version=1, categories=categories, products=products, stores=stores)
    return goods


def test_an_article_lies_in_its_category_and_all_above():
    """Without a category it lies in none."""
    goods = made(
        [category("dairy", "food"), category("food")],
        [product("milk", "dairy", tags=["bio"], brand="Alp", weighed=True), product("bag", None)],
    )
    assert goods.articles["milk"] == engine.Article(
        category_ids=frozenset({"dairy", "food"}),
        brand="Alp",
        tags=frozenset({"bio"}),
        weighed=True,
    )
    assert goods.articles["bag"].category_ids == frozenset()


def test_moving_a_category_moves_its_articles():
    """Also those far below; others stay as they are."""
    goods = made(
        [category("food"), category("fresh"), category("dairy", "food"), category("milk", "dairy")],
        [product("a", "milk"), product("b", "food")],
    )
    kept = goods.articles["b"]
    goods.apply(version=2, categories=[category("dairy", "fresh")], products=[], stores=[])
    assert goods.articles["a"].category_ids == {"milk", "dairy", "fresh"}
    assert goods.articles["b"] is kept
    assert goods.version == 2


def test_equal_articles_share_one_value():
    """A hundred thousand skus are a few kinds of goods."""
    goods = made([category("food")], [product("a", "food"), product("b", "food")])
    assert goods.articles["a"] is goods.articles["b"]


def test_a_store_has_its_zone():
    """Hours of campaigns are counted in it."""
    row = {
        "store_id": "s",
        "region_id": "north",
        "format_id": "hyper",
        "time_zone": "Asia/Yekaterinburg",
        "currency_code": "RUB",
    }
    store = made(stores=[row]).stores["s"]
    assert store.facts == engine.Store(region_id="north", format_id="hyper")
    assert (str(store.zone), store.currency_code) == ("Asia/Yekaterinburg", "RUB")


def test_lineages_and_cycles():
    """A circle is found by who lies on it, and hangs nobody."""
    parents = {"a": "b", "b": "c", "c": None, "x": "y", "y": "x", "z": "x"}
    assert lineage(parents, "a") == {"a", "b", "c"}
    assert lineage(parents, "") == frozenset()
    assert lineage(parents, "x") == {"x", "y"}
    assert not find_cycle(parents, ["a", "b", "c"])
    assert find_cycle(parents, ["a", "y"]) == "y"
