"""The catalogue as this process holds it in memory, and the rules of its category tree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from services.promotions import engine


class Row(Protocol):
    """A row by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""


@dataclass(frozen=True, slots=True)
class Store:
    """A shop: what campaigns see of it, its zone, its currency."""

    facts: engine.Store
    zone: ZoneInfo
    currency_code: str


class Catalogue:
    """All articles and stores, as of one version. A change is applied in one piece, between calls.

    Equal articles share one value: a chain has ten times more skus than kinds of them.
    """

    def __init__(self) -> None:
        self.version = 0
        self.articles: dict[str, engine.Article] = {}
        self.stores: dict[str, Store] = {}
        self._parents: dict[str, str | None] = {}
        self._lineages: dict[str, frozenset[str]] = {}
        self._category_ids: dict[str, str] = {}
        self._shared: dict[engine.Article, engine.Article] = {}

    def apply(
        self,
        *,
        version: int,
        categories: Iterable[Row],
        products: Iterable[Row],
        stores: Iterable[Row],
    ) -> None:
        """Take over everything that changed up to `version`."""
        self._apply_categories(categories)
        for row in products:
            self._apply_product(row)
        for row in stores:
            self.stores[row["store_id"]] = Store(
                facts=engine.Store(region_id=row["region_id"], format_id=row["format_id"]),
                zone=ZoneInfo(row["time_zone"]),
                currency_code=row["currency_code"],
            )
        self.version = version

    def _apply_categories(self, categories: Iterable[Row]) -> None:
        changed = {row["category_id"]: row["parent_id"] for row in categories}
        if not changed:
            return
        self._parents.update(changed)
        before, self._lineages = self._lineages, {}
        moved = {name for name, old in before.items() if self._lineage(name) != old}
        for sku, category_id in self._category_ids.items():
            if category_id in moved:
                article = _relocated(self.articles[sku], self._lineage(category_id))
                self.articles[sku] = self._share(article)

    def _apply_product(self, row: Row) -> None:
        category_id = row["category_id"] or ""
        self._category_ids[row["sku"]] = category_id
        self.articles[row["sku"]] = self._share(
            engine.Article(
                category_ids=self._lineage(category_id),
                brand=row["brand"],
                tags=frozenset(row["tags"]),
                floor_price_minor=row["floor_price_minor"],
                weighed=row["weighed"],
                earning_excluded=row["earning_excluded"],
                points_payment_excluded=row["points_payment_excluded"],
            )
        )

    def _lineage(self, category_id: str) -> frozenset[str]:
        found = self._lineages.get(category_id)
        if found is None:
            found = self._lineages[category_id] = lineage(self._parents, category_id)
        return found

    def _share(self, article: engine.Article) -> engine.Article:
        return self._shared.setdefault(article, article)


def _relocated(article: engine.Article, category_ids: frozenset[str]) -> engine.Article:
    return engine.Article(
        category_ids=category_ids,
        brand=article.brand,
        tags=article.tags,
        floor_price_minor=article.floor_price_minor,
        weighed=article.weighed,
        earning_excluded=article.earning_excluded,
        points_payment_excluded=article.points_payment_excluded,
    )


def lineage(parents: Mapping[str, str | None], category_id: str) -> frozenset[str]:
    """Return a category and all above it; nothing for the empty id."""
    above: set[str] = set()
    current: str | None = category_id
    while current and current not in above:
        above.add(current)
        current = parents.get(current)
    return frozenset(above)


def find_cycle(parents: Mapping[str, str | None], starts: Iterable[str]) -> str:
    """Return the first of `starts` that lies below itself; empty when none does."""
    cleared: set[str] = set()
    for start in starts:
        path: set[str] = set()
        current: str | None = start
        while current and current not in cleared:
            if current in path:
                return start
            path.add(current)
            current = parents.get(current)
        cleared |= path
    return ""
