"""Item filters, compiled: from a basket to the set of piles that are meant."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from services.promotions.engine.baskets import BRAND, CATEGORY, SKU, TAG, Basket, places
from services.promotions.engine.rules import EVERYTHING, ItemFilter, LineKind, PriceState

Selector: TypeAlias = Callable[[Basket], int]
_Picker: TypeAlias = Callable[[Mapping[str, int]], int]
_FEW: Final = 8


def compile_filter(item_filter: ItemFilter) -> Selector:
    """Return the function that finds the piles which the filter means, as a set of bits."""
    if item_filter == EVERYTHING:
        return _select_all
    includes = _pickers(
        (SKU, item_filter.skus),
        (CATEGORY, item_filter.category_ids),
        (BRAND, item_filter.brands),
        (TAG, item_filter.tags),
    )
    excludes = _pickers(
        (SKU, item_filter.exclude_skus),
        (CATEGORY, item_filter.exclude_category_ids),
        (BRAND, item_filter.exclude_brands),
        (TAG, item_filter.exclude_tags),
    )
    bounded = item_filter.unit_price_min_minor or item_filter.unit_price_max_minor
    price_min = item_filter.unit_price_min_minor
    price_max = item_filter.unit_price_max_minor
    state = item_filter.price_state
    kinds = item_filter.kinds
    if len(includes) == 1 and not (excludes or bounded or state or kinds):
        return _compile_single(*includes[0])

    def select(basket: Basket) -> int:
        mask = _of_kinds(basket, kinds) if kinds else basket.priced
        for dimension, pick in includes:
            mask &= pick(basket.masks[dimension])
        for dimension, pick in excludes:
            mask &= ~pick(basket.masks[dimension])
        if bounded:
            mask = _priced_between(basket, mask, price_min=price_min, price_max=price_max)
        if state:
            mask &= basket.reduced if state is PriceState.REDUCED else ~basket.reduced
        return mask

    return select


def _compile_single(dimension: int, pick: _Picker) -> Selector:
    """Return the commonest filter without any detour: goods of one kind of name."""

    def select(basket: Basket) -> int:
        return basket.priced & pick(basket.masks[dimension])

    return select


def required_names(item_filter: ItemFilter) -> tuple[int, frozenset[str]] | None:
    """Return names of which the cart must have one for the filter to find anything.

    The most telling kind that the filter names: articles, then brands, categories, tags. None
    when it names nothing that an index could use.
    """
    for dimension, names in (
        (SKU, item_filter.skus),
        (BRAND, item_filter.brands),
        (CATEGORY, item_filter.category_ids),
        (TAG, item_filter.tags),
    ):
        if names:
            return dimension, names
    return None


def _select_all(basket: Basket) -> int:
    return basket.priced


def _of_kinds(basket: Basket, kinds: frozenset[LineKind]) -> int:
    found = basket.priced if LineKind.GOODS in kinds else 0
    for kind, mask in basket.fees.items():
        if kind in kinds:
            found |= mask
    return found


def _pickers(*sets: tuple[int, frozenset[str]]) -> tuple[tuple[int, _Picker], ...]:
    return tuple((dimension, _picker(names)) for dimension, names in sets if names)


def _picker(names: frozenset[str]) -> _Picker:
    """Choose what to walk through: the filter's names when they are few, else the cart's."""
    few = tuple(sorted(names)) if len(names) <= _FEW else ()

    if len(few) == 1:
        name = few[0]
        return lambda masks: masks.get(name, 0)

    def pick_few(masks: Mapping[str, int]) -> int:
        found = 0
        for name in few:
            found |= masks.get(name, 0)
        return found

    def pick_many(masks: Mapping[str, int]) -> int:
        found = 0
        for name in names.intersection(masks):
            found |= masks[name]
        return found

    return pick_few if few else pick_many


def _priced_between(basket: Basket, mask: int, *, price_min: int, price_max: int) -> int:
    found = 0
    for place in places(mask):
        unit_price = basket.prices[place]
        if unit_price >= price_min and (not price_max or unit_price <= price_max):
            found |= 1 << place
    return found
