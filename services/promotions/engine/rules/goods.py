"""Which goods are meant."""

from dataclasses import dataclass

from services.promotions.engine.rules.vocabulary import LineKind, PriceState

_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which goods: in every non-empty set of the first four, in none of the excluded ones."""

    skus: frozenset[str] = _NAMES
    category_ids: frozenset[str] = _NAMES
    brands: frozenset[str] = _NAMES
    tags: frozenset[str] = _NAMES
    exclude_skus: frozenset[str] = _NAMES
    exclude_category_ids: frozenset[str] = _NAMES
    exclude_brands: frozenset[str] = _NAMES
    exclude_tags: frozenset[str] = _NAMES
    unit_price_min_minor: int = 0
    unit_price_max_minor: int = 0
    price_state: PriceState = PriceState.ANY
    kinds: frozenset[LineKind] = frozenset()


EVERYTHING = ItemFilter()
