"""CatalogueService: what a chain sells and where."""

from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import available_timezones

import grpc
from tessera.promotions.v1 import (
    catalogue_pb2,
    catalogue_service_pb2,
    catalogue_service_pb2_grpc,
)

from services.chassis import database
from services.chassis import errors as chassis_errors
from services.promotions import catalogue, errors, news, storage
from services.promotions.wire import pages

Context = grpc.aio.ServicerContext[Any, Any]

_STORES = "stores"


class CatalogueServicer(catalogue_service_pb2_grpc.CatalogueServiceServicer):
    """Writes what the warehouse system knows, and lets it be read."""

    def __init__(self, db: database.Database, tidings: news.News, *, currency_code: str) -> None:
        self._db = db
        self._news = tidings
        self._currency_code = currency_code
        self._zones = available_timezones()

    async def UpsertProducts(
        self, request: catalogue_service_pb2.UpsertProductsRequest, context: Context
    ) -> catalogue_service_pb2.UpsertProductsResponse:
        """Write products."""
        _refuse_repeats([product.sku for product in request.products], "products", "sku")
        rows = [_product_row(product) for product in request.products]
        async with self._db.transaction() as tx:
            version = await storage.catalogue.advance(tx)
            await _require_categories(tx, [row["category_id"] for row in rows])
            changed = await storage.catalogue.upsert_products(tx, rows, version=version)
            await storage.news.announce(tx, storage.news.CATALOGUE)
        await self._news.refresh()
        return catalogue_service_pb2.UpsertProductsResponse(changed_count=changed)

    async def UpsertCategories(
        self, request: catalogue_service_pb2.UpsertCategoriesRequest, context: Context
    ) -> catalogue_service_pb2.UpsertCategoriesResponse:
        """Write categories."""
        sent = [category.category_id for category in request.categories]
        _refuse_repeats(sent, "categories", "category_id")
        rows = [_category_row(category) for category in request.categories]
        async with self._db.transaction() as tx:
            version = await storage.catalogue.advance(tx)
            _require_tree(await storage.catalogue.parents(tx), rows)
            changed = await storage.catalogue.upsert_categories(tx, rows, version=version)
            await storage.news.announce(tx, storage.news.CATALOGUE)
        await self._news.refresh()
        return catalogue_service_pb2.UpsertCategoriesResponse(changed_count=changed)

    async def UpsertStores(
        self, request: catalogue_service_pb2.UpsertStoresRequest, context: Context
    ) -> catalogue_service_pb2.UpsertStoresResponse:
        """Write stores."""
        _refuse_repeats([store.store_id for store in request.stores], "stores", "store_id")
        for index, store in enumerate(request.stores):
            self._require_place(store, index)
        rows = [_store_row(store) for store in request.stores]
        async with self._db.transaction() as tx:
            version = await storage.catalogue.advance(tx)
            changed = await storage.catalogue.upsert_stores(tx, rows, version=version)
            await storage.news.announce(tx, storage.news.CATALOGUE)
        await self._news.refresh()
        return catalogue_service_pb2.UpsertStoresResponse(changed_count=changed)

    async def GetProduct(
        self, request: catalogue_service_pb2.GetProductRequest, context: Context
    ) -> catalogue_service_pb2.GetProductResponse:
        """Read a product."""
        row = await storage.catalogue.find_product(self._db, request.sku)
        if row is None:
            raise errors.ProductNotFound(sku=request.sku)
        return catalogue_service_pb2.GetProductResponse(product=_show_product(row))

    async def ListStores(
        self, request: catalogue_service_pb2.ListStoresRequest, context: Context
    ) -> catalogue_service_pb2.ListStoresResponse:
        """List stores by id."""
        count = pages.count(request.page_size)
        after = pages.position(_STORES, request.page_token, pages.text) or ""
        rows = await storage.catalogue.list_stores(self._db, after=after, count_max=count + 1)
        response = catalogue_service_pb2.ListStoresResponse(
            stores=[catalogue_pb2.Store(**dict(row)) for row in rows[:count]]
        )
        if len(rows) > count:
            response.next_page_token = pages.token(_STORES, rows[count - 1]["store_id"])
        return response

    def _require_place(self, store: catalogue_pb2.Store, index: int) -> None:
        """Raise TimeZoneUnknown, or InvalidRequest for another currency than the program's."""
        if store.time_zone not in self._zones:
            raise errors.TimeZoneUnknown(time_zone=store.time_zone)
        if store.currency_code != self._currency_code:
            raise chassis_errors.InvalidRequest(
                [
                    chassis_errors.FieldViolation(
                        f"stores[{index}].currency_code",
                        f"the program's currency is {self._currency_code}",
                        "store.currency",
                    )
                ]
            )


def _refuse_repeats(sent: Sequence[str], field: str, key: str) -> None:
    """Raise InvalidRequest when an id comes twice."""
    if len(set(sent)) == len(sent):
        return
    index = next(index for index, one in enumerate(sent) if one in sent[:index])
    raise chassis_errors.InvalidRequest(
        [
            chassis_errors.FieldViolation(
                f"{field}[{index}].{key}", f"{sent[index]} comes twice", "unique"
            )
        ]
    )


async def _require_categories(tx: database.Queryable, sent: Iterable[str | None]) -> None:
    wanted = list(dict.fromkeys(category_id for category_id in sent if category_id))
    known = await storage.catalogue.known_categories(tx, wanted)
    for category_id in wanted:
        if category_id not in known:
            raise errors.CategoryNotFound(category_id=category_id)


def _require_tree(parents: dict[str, str | None], rows: Iterable[storage.catalogue.Row]) -> None:
    """Raise CategoryNotFound or CategoryCycle unless the rows fit into the tree of `parents`."""
    changed = {row["category_id"]: row["parent_id"] for row in rows}
    tree = parents | changed
    for parent_id in changed.values():
        if parent_id and parent_id not in tree:
            raise errors.CategoryNotFound(category_id=parent_id)
    cyclic = catalogue.find_cycle(tree, changed)
    if cyclic:
        raise errors.CategoryCycle(category_id=cyclic)


def _product_row(product: catalogue_pb2.Product) -> storage.catalogue.Row:
    return {
        "sku": product.sku,
        "display_name": product.display_name,
        "category_id": product.category_id or None,
        "brand": product.brand,
        "tags": list(product.tags),
        "weighed": product.weighed,
        "floor_price_minor": product.floor_price_minor,
        "earning_excluded": product.earning_excluded,
        "points_payment_excluded": product.points_payment_excluded,
    }


def _show_product(row: database.Record) -> catalogue_pb2.Product:
    return catalogue_pb2.Product(**{**dict(row), "category_id": row["category_id"] or ""})


def _category_row(category: catalogue_pb2.Category) -> storage.catalogue.Row:
    return {
        "category_id": category.category_id,
        "parent_id": category.parent_id or None,
        "display_name": category.display_name,
    }


def _store_row(store: catalogue_pb2.Store) -> storage.catalogue.Row:
    return {
        "store_id": store.store_id,
        "display_name": store.display_name,
        "region_id": store.region_id,
        "format_id": store.format_id,
        "time_zone": store.time_zone,
        "currency_code": store.currency_code,
    }
