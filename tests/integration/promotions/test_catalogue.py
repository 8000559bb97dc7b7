"""The catalogue: written as a whole or not at all, and seen by every process soon."""

import pytest
from tessera.promotions.v1 import catalogue_pb2, catalogue_service_pb2

from tests.integration.promotions.houses import CURRENCY, cart_of, line, until

Products = catalogue_service_pb2.UpsertProductsRequest
Categories = catalogue_service_pb2.UpsertCategoriesRequest
Stores = catalogue_service_pb2.UpsertStoresRequest


def product(sku, category="", **fields):
    return catalogue_pb2.Product(sku=sku, category_id=category, **fields)


def category(name, parent=""):
    return catalogue_pb2.Category(category_id=name, parent_id=parent)


def store(name, **fields):
    fields = {"time_zone": "Europe/Moscow", "currency_code": CURRENCY, **fields}
    return catalogue_pb2.Store(store_id=name, **fields)


async def test_a_product_is_read_as_it_was_written(house):
    """Every property survives, and a second upsert replaces all of them."""
    full = product(
        "cheese",
        "dairy",
        display_name="Cheese",
        brand="Alp",
        tags=["own-label", "bio"],
        weighed=True,
        floor_price_minor=99,
        earning_excluded=True,
        points_payment_excluded=True,
    )
    answer = await house.call(house.catalogue.UpsertProducts, Products(products=[full]))
    assert answer.changed_count == 1
    read = catalogue_service_pb2.GetProductRequest(sku="cheese")
    assert (await house.call(house.catalogue.GetProduct, read)).product == full
    again = await house.call(house.catalogue.UpsertProducts, Products(products=[full]))
    assert again.changed_count == 0
    bare = product("cheese")
    await house.call(house.catalogue.UpsertProducts, Products(products=[bare]))
    assert (await house.call(house.catalogue.GetProduct, read)).product == bare


async def test_five_thousand_products_come_in_one_call(house):
    """The largest request the contract allows is one statement."""
    sent = [product(f"bulk-{number}", "food", brand=f"b{number % 7}") for number in range(5000)]
    answer = await house.call(house.catalogue.UpsertProducts, Products(products=sent))
    assert answer.changed_count == 5000


@pytest.mark.parametrize(
    ("products", "reason"),
    [
        ([product("fine"), product("lost", "nowhere")], "CATEGORY_NOT_FOUND"),
        ([product("twice"), product("twice")], "INVALID_REQUEST"),
        ([product("nul\x00byte")], "INVALID_REQUEST"),
        ([product("fine", brand="nul\x00byte")], "INVALID_REQUEST"),
    ],
)
async def test_products_are_refused_together(house, products, reason):
    """One bad product keeps the good ones out."""
    refusal = await house.refusal(house.catalogue.UpsertProducts, Products(products=products))
    assert refusal.reason == reason
    missing = await house.refusal(
        house.catalogue.GetProduct, catalogue_service_pb2.GetProductRequest(sku="fine")
    )
    assert missing.reason == "PRODUCT_NOT_FOUND"
    assert missing.metadata["sku"] == "fine"


async def test_parents_may_come_in_the_same_request(house):
    """A tree arrives in any order."""
    sent = [category("leaf", "branch"), category("branch", "root"), category("root")]
    answer = await house.call(house.catalogue.UpsertCategories, Categories(categories=sent))
    assert answer.changed_count == 3


@pytest.mark.parametrize(
    ("categories", "reason", "named"),
    [
        ([category("orphan", "nowhere")], "CATEGORY_NOT_FOUND", "nowhere"),
        ([category("ring-a", "ring-b"), category("ring-b", "ring-a")], "CATEGORY_CYCLE", "ring-a"),
        ([category("self", "self")], "CATEGORY_CYCLE", "self"),
        ([category("food", "dairy")], "CATEGORY_CYCLE", "food"),
    ],
)
async def test_a_broken_tree_is_refused(house, categories, reason, named):
    """Unknown parents and circles are named, also when half of the circle was there before."""
    refusal = await house.refusal(
        house.catalogue.UpsertCategories, Categories(categories=categories)
    )
    assert (refusal.reason, refusal.metadata["category_id"]) == (reason, named)


async def test_a_store_needs_a_zone_and_the_currency_of_the_program(house):
    """Hours are counted in the zone, and every amount is of one currency."""
    refusal = await house.refusal(
        house.catalogue.UpsertStores, Stores(stores=[store("x", time_zone="Mars/Base")])
    )
    assert refusal.reason == "TIME_ZONE_UNKNOWN"
    refusal = await house.refusal(
        house.catalogue.UpsertStores, Stores(stores=[store("x", currency_code="JPY")])
    )
    assert refusal.reason == "INVALID_REQUEST"


async def test_stores_are_listed_in_pages(house):
    """Pages follow each other by id; a token of nobody's making is refused."""
    names = [f"page-{number}" for number in range(5)]
    await house.call(house.catalogue.UpsertStores, Stores(stores=[store(name) for name in names]))
    seen, token = [], ""
    while True:
        request = catalogue_service_pb2.ListStoresRequest(page_size=2, page_token=token)
        page = await house.call(house.catalogue.ListStores, request)
        seen += [one.store_id for one in page.stores]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(seen)
    assert set(names) <= set(seen)
    for bad in ("nonsense", "!!!", "czE="):
        refusal = await house.refusal(
            house.catalogue.ListStores, catalogue_service_pb2.ListStoresRequest(page_token=bad)
        )
        assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_another_process_sees_a_new_store_within_two_seconds(
    house, promotions_settings, promotions_database, run_promotions
):
    """What one process writes, the other one knows without being asked to look."""
    async with run_promotions(promotions_settings(promotions_database)) as other:
        await house.call(house.catalogue.UpsertStores, Stores(stores=[store("fresh")]))
        await until(lambda: "fresh" in other.goods.stores, 2)
    offer = await house.evaluate(cart_of(line("1", "bread", 100), store="fresh"))
    assert offer.total_minor == 100
