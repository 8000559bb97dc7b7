"""Comparisons of a case: amounts, quantities and numbers of purchases, in terms of "at least"."""

import re
from collections.abc import Callable
from itertools import permutations
from typing import TypeAlias

from services.promotions import engine
from tools.conformance.promotions import goods
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import Unsupported, Words, read_list, read_whole

AtLeast: TypeAlias = Callable[[int], engine.Condition]
PATTERN = re.compile(
    r"(?P<bound>min_|max_)?"
    r"(?:(?P<subject>goods|cart|order|basket|items?|total|sku|article|product|category|tag|brand"
    r"|collection|eligible)_)?"
    r"(?P<measure>total|subtotal|amount|value|spend|qty|quantity|units|count)"
    r"(?:_(?P<comparison>gte|gt|lte|lt|eq|ne|between))?"
)
_SUBJECTS = frozenset({"sku", "article", "product", "category", "tag", "brand", "collection"})
_COUNTS = frozenset({"qty", "quantity", "units", "count"})
_COMPARISONS = {
    ">=": "gte",
    ">": "gt",
    "<=": "lte",
    "<": "lt",
    "=": "eq",
    "==": "eq",
    "!=": "ne",
    "at_least": "gte",
    "at_most": "lte",
    "min_": "gte",
    "max_": "lte",
}
_PURCHASES_MAX = 50
_PARTS_MAX = 4
_SHORT = {"minimum": "min", "maximum": "max"}
_FILLERS = frozenset({"set", "of", "in", "for", "the", "sum", "goods", "cart", "order", "items"})


def rearrange(name: str) -> str:
    """Return the name of a comparison in our order of words: `total_of_category_gte` is ours too.

    What is no such name comes back as it is.
    """
    if PATTERN.fullmatch(name):
        return name
    parts = [_SHORT.get(part, part) for part in name.split("_") if part not in _FILLERS]
    for ordered in permutations(parts) if len(parts) <= _PARTS_MAX else ():
        if PATTERN.fullmatch("_".join(ordered)):
            return "_".join(ordered)
    return name


def read_comparison(words: Words, written: str | None) -> str:
    """Return how things are compared: as the type says, else the operator, else "at least"."""
    name = written or words.text("operator", "op") or "gte"
    comparison = _COMPARISONS.get(name, name)
    if comparison not in {"gte", "gt", "lte", "lt", "eq", "ne", "between"}:
        raise Unsupported(f"unknown word: {words.where}.operator {name}")
    return comparison


def compare(comparison: str, value: int, at_least: AtLeast) -> list[engine.Condition]:
    """Return a comparison of whole numbers in terms of "at least", which is all that we have."""
    lowest = value + 1 if comparison == "gt" else value
    above = value if comparison == "lt" else value + 1
    if comparison == "ne":
        return [engine.Not(engine.AllOf(tuple(compare("eq", value, at_least))))]
    found: list[engine.Condition] = []
    if comparison in {"gte", "gt", "eq"} and lowest > 0:
        found.append(at_least(lowest))
    if comparison in {"lte", "lt", "eq"}:
        found.append(engine.Not(at_least(above)))
    return found


def take_bounds(
    words: Words, comparison: str, read: Callable[[object, str], int]
) -> list[tuple[str, int]]:
    """Return what is compared with what; "between" is two comparisons."""
    found = words.take("value", "values", "qty", "quantity", "amount")
    if comparison != "between":
        if found is None:
            raise Unsupported("a comparison with nothing")
        return [(comparison, read(found, words.where))]
    bounds = read_list(found, words.where) or [words.take("min", "from"), words.take("max", "to")]
    if len(bounds) != 2:
        raise Unsupported(f"{words.where} between that is no pair")
    names = ("gte", "lte")
    return [
        (name, read(one, words.where))
        for name, one in zip(names, bounds, strict=True)
        if one is not None
    ]


def counts_units(measure: str) -> bool:
    """Tell whether a measure is a quantity and not money."""
    return measure in _COUNTS


def read_subject(
    words: Words, cart_goods: Goods, found: re.Match[str]
) -> tuple[engine.ItemFilter, engine.Basis]:
    """Return which goods count; a subtotal is of everything, before discounts."""
    subject, measure = found["subject"], found["measure"]
    if subject in _SUBJECTS:
        names = words.names(subject, f"{subject}_in", f"{subject}s", "categories", "names", "of")
        if not names and "value" in words:
            names = words.names("values")
        inner = Words({f"{subject}_in": sorted(names)}, words.where, words.gaps)
        return goods.read_filter(inner, cart_goods), engine.Basis.RUNNING
    if named := _read_named(words):
        meant = goods.read_filter(Words(named, words.where, words.gaps), cart_goods)
        return meant, engine.Basis.RUNNING
    if "filter" in words:
        return goods.read_filter(words.open("filter"), cart_goods), engine.Basis.RUNNING
    if measure == "subtotal":
        fee_line = engine.ItemFilter(
            exclude_skus=frozenset({goods.FEE_LINE}) & {*cart_goods.articles}
        )
        return fee_line, engine.Basis.ORIGINAL
    if subject in {None, "order", "cart", "basket"} and measure == "total":
        return engine.ItemFilter(), engine.Basis.RUNNING
    meant = goods.everything(cart_goods)
    if subject is None:  # so many, or so much, of what a campaign may work on
        meant = goods.discountable(meant, cart_goods)
    return meant, engine.Basis.RUNNING


def _read_named(words: Words) -> dict[str, list[str]]:
    """Return the goods that a condition names beside its type, as a filter says them."""
    return {
        f"{one}_in": sorted(words.names(f"{one}_in", one, f"{one}s"))
        for one in _SUBJECTS
        if any(name in words for name in (f"{one}_in", one, f"{one}s"))
    }


def read_line_bound(words: Words, cart_goods: Goods, found: re.Match[str]) -> engine.Condition:
    """Read what is asked of every line, or of any line: an amount or a quantity."""
    meant = goods.everything(cart_goods)
    named = _read_named(words)
    if "filter" in words:
        meant = goods.read_filter(words.open("filter"), cart_goods)
    elif named:
        meant = goods.read_filter(Words(named, words.where, words.gaps), cart_goods)
    by_units = counts_units(found["measure"])
    comparison = read_comparison(words, found["comparison"])
    value = (words.thousandths if by_units else words.minor)("value")
    if value is None:
        raise Unsupported("a comparison with nothing")
    if comparison not in {"gte", "gt", "lte", "lt"}:
        raise Unsupported(f"lines compared by {comparison}")
    every = found["which"] == "every"
    if not every:  # a line with it is there, where not every line is without it
        comparison = {"gte": "lt", "gt": "lte", "lte": "gt", "lt": "gte"}[comparison]
    name = "quantity" if by_units else "amount"
    unit = "thousandths" if by_units else "minor"
    value += {"gt": 1, "lt": -1}.get(comparison, 0)
    end = "min" if comparison in {"gte", "gt"} else "max"
    if end == "max" and value < 1:
        raise Unsupported("a line of nothing")
    asked = engine.EveryLine(meant, **{f"{name}_{end}_{unit}": value})  # type: ignore[arg-type]
    return asked if every else engine.Not(asked)


def read_purchases(words: Words, comparison: str, *, before: bool) -> engine.Condition:
    """Read which purchase of the member it must be; `before` counts those before this one."""
    value = read_whole(words.take("value", "number", "qty"), words.where) + before
    if comparison == "eq":
        return engine.PurchaseNumber(number=value)

    def at_least(lowest: int) -> engine.Condition:
        if lowest > _PURCHASES_MAX:
            raise Unsupported("so many purchases")
        earlier = tuple(engine.PurchaseNumber(number=n) for n in range(1, max(2, lowest)))
        known = engine.PurchaseNumber(every=1)
        return known if lowest <= 1 else engine.AllOf((known, engine.Not(engine.AnyOf(earlier))))

    found = compare(comparison, value, at_least)
    return engine.AllOf((engine.PurchaseNumber(every=1), *found))
