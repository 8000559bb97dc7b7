"""Products, categories and stores, and the clock that orders their changes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.chassis import database

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in the catalogue after some version, up to `version`."""

    version: int
    categories: list[database.Record]
    products: list[database.Record]
    stores: list[database.Record]


_ADVANCE = "UPDATE catalogue_clock SET version = version + 1 RETURNING version"


async def advance(tx: database.Queryable) -> int:
    """Move the clock on and hold it: until the transaction ends, nobody else writes."""
    version: int = await tx.fetchval(_ADVANCE)
    return version


_UPSERT_PRODUCTS = """
INSERT INTO products (
    sku, display_name, category_id, brand, tags, weighed, floor_price_minor, earning_excluded,
    points_payment_excluded, version
)
SELECT
    sku, display_name, category_id, brand, tags, weighed, floor_price_minor, earning_excluded,
    points_payment_excluded, $2
FROM jsonb_to_recordset($1::JSONB) AS sent (
    sku TEXT, display_name TEXT, category_id TEXT, brand TEXT, tags TEXT[], weighed BOOLEAN,
    floor_price_minor BIGINT, earning_excluded BOOLEAN, points_payment_excluded BOOLEAN
)
ON CONFLICT (sku) DO UPDATE SET
    display_name = EXCLUDED.display_name,
    category_id = EXCLUDED.category_id,
    brand = EXCLUDED.brand,
    tags = EXCLUDED.tags,
    weighed = EXCLUDED.weighed,
    floor_price_minor = EXCLUDED.floor_price_minor,
    earning_excluded = EXCLUDED.earning_excluded,
    points_payment_excluded = EXCLUDED.points_payment_excluded,
    version = EXCLUDED.version
WHERE (
    products.display_name, products.category_id, products.brand, products.tags, products.weighed,
    products.floor_price_minor, products.earning_excluded, products.points_payment_excluded
) IS DISTINCT FROM (
    EXCLUDED.display_name, EXCLUDED.category_id, EXCLUDED.brand, EXCLUDED.tags, EXCLUDED.weighed,
    EXCLUDED.floor_price_minor, EXCLUDED.earning_excluded, EXCLUDED.points_payment_excluded
)
"""


async def upsert_products(tx: database.Queryable, products: Iterable[Row], *, version: int) -> int:
    """Write products, each sku once; return how many are new or different."""
    return await _upsert(tx, _UPSERT_PRODUCTS, products, version)


_UPSERT_CATEGORIES = """
INSERT INTO categories (category_id, parent_id, display_name, version)
SELECT category_id, parent_id, display_name, $2
FROM jsonb_to_recordset($1::JSONB) AS sent (category_id TEXT, parent_id TEXT, display_name TEXT)
ON CONFLICT (category_id) DO UPDATE SET
    parent_id = EXCLUDED.parent_id,
    display_name = EXCLUDED.display_name,
    version = EXCLUDED.version
WHERE (categories.parent_id, categories.display_name)
    IS DISTINCT FROM (EXCLUDED.parent_id, EXCLUDED.display_name)
"""


async def upsert_categories(
    tx: database.Queryable, categories: Iterable[Row], *, version: int
) -> int:
    """Write categories, each id once; return how many are new or different."""
    return await _upsert(tx, _UPSERT_CATEGORIES, categories, version)


_UPSERT_STORES = """
INSERT INTO stores (
    store_id, display_name, region_id, format_id, time_zone, currency_code, version
)
SELECT store_id, display_name, region_id, format_id, time_zone, currency_code, $2
FROM jsonb_to_recordset($1::JSONB) AS sent (
    store_id TEXT, display_name TEXT, region_id TEXT, format_id TEXT, time_zone TEXT,
    currency_code TEXT
)
ON CONFLICT (store_id) DO UPDATE SET
    display_name = EXCLUDED.display_name,
    region_id = EXCLUDED.region_id,
    format_id = EXCLUDED.format_id,
    time_zone = EXCLUDED.time_zone,
    currency_code = EXCLUDED.currency_code,
    version = EXCLUDED.version
WHERE (
    stores.display_name, stores.region_id, stores.format_id, stores.time_zone, stores.currency_code
) IS DISTINCT FROM (
    EXCLUDED.display_name, EXCLUDED.region_id, EXCLUDED.format_id, EXCLUDED.time_zone,
    EXCLUDED.currency_code
)
"""


async def upsert_stores(tx: database.Queryable, stores: Iterable[Row], *, version: int) -> int:
    """Write stores, each id once; return how many are new or different."""
    return await _upsert(tx, _UPSERT_STORES, stores, version)


async def _upsert(tx: database.Queryable, sql: str, rows: Iterable[Row], version: int) -> int:
    word = await tx.execute(sql, json.dumps(list(rows)), version)
    return int(word.rsplit(" ", 1)[-1])


_KNOWN_CATEGORIES = "SELECT category_id FROM categories WHERE category_id = ANY($1::TEXT[])"


async def known_categories(tx: database.Queryable, category_ids: Iterable[str]) -> set[str]:
    """Return those of the ids that exist."""
    rows = await tx.fetch(_KNOWN_CATEGORIES, list(category_ids))
    return {row["category_id"] for row in rows}


_PARENTS = "SELECT category_id, parent_id FROM categories"


async def parents(tx: database.Queryable) -> dict[str, str | None]:
    """Return the category above every category."""
    return {row["category_id"]: row["parent_id"] for row in await tx.fetch(_PARENTS)}


_PRODUCT = """
SELECT
    sku, display_name, category_id, brand, tags, weighed, floor_price_minor, earning_excluded,
    points_payment_excluded
FROM products
WHERE sku = $1
"""


async def find_product(db: database.Queryable, sku: str) -> database.Record | None:
    """Return a product, or None."""
    return await db.fetchrow(_PRODUCT, sku)


_STORES = """
SELECT store_id, display_name, region_id, format_id, time_zone, currency_code
FROM stores
WHERE store_id > $1
ORDER BY store_id
LIMIT $2
"""


async def list_stores(
    db: database.Queryable, *, after: str, count_max: int
) -> list[database.Record]:
    """Return the stores whose ids come after another, in order."""
    return await db.fetch(_STORES, after, count_max)


_VERSION = "SELECT version FROM catalogue_clock"
_CHANGED_CATEGORIES = "SELECT category_id, parent_id FROM categories WHERE version > $1"
_CHANGED_PRODUCTS = """
SELECT
    sku, category_id, brand, tags, weighed, floor_price_minor, earning_excluded,
    points_payment_excluded
FROM products
WHERE version > $1
"""
_CHANGED_STORES = """
SELECT store_id, region_id, format_id, time_zone, currency_code FROM stores WHERE version > $1
"""


async def changes(db: database.Database, *, after: int) -> Changes:
    """Return everything that changed after a version, as of one instant."""
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        return Changes(
            version=await tx.fetchval(_VERSION),
            categories=await tx.fetch(_CHANGED_CATEGORIES, after),
            products=await tx.fetch(_CHANGED_PRODUCTS, after),
            stores=await tx.fetch(_CHANGED_STORES, after),
        )
