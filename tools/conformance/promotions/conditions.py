"""Conditions of a case: whom a campaign is for, when it works, and what the cart must have."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from services.promotions import engine
from tools.conformance.promotions import goods
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import Unsupported, Words, read_names

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_SOMETHING_THOUSANDTHS = 1
_MEASURE = re.compile(
    r"(?:(?P<subject>goods|cart|order|items|total|sku|product|category|tag|brand|collection)_)?"
    r"(?P<measure>total|subtotal|amount|value|qty)_(?P<comparison>gte|gt|lte|lt|eq)"
)
_CONTAINS = re.compile(r"cart_contains_(?P<subject>sku|product|category|tag|brand|collection)")
_BASES = {
    "after_item_offers": engine.Basis.RUNNING,
    "after_previous_campaigns": engine.Basis.RUNNING,
    "running": engine.Basis.RUNNING,
    "original": engine.Basis.ORIGINAL,
    "initial": engine.Basis.ORIGINAL,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Units or an amount that a condition asks for: a reward may make sets of just these."""

    condition: engine.Condition
    filter: engine.ItemFilter
    quantity_thousandths: int = 0
    amount_minor: int = 0


@dataclass(slots=True)
class Terms:
    """What the conditions of one campaign come to.

    `at_turn` says that an amount is measured when the campaign has its turn, after all that came
    before. `asked` and `bundle` (articles and units of a set) are what sets can be made of; who
    makes them takes them out of the conditions.
    """

    conditions: list[engine.Condition] = field(default_factory=list)
    segment_ids: frozenset[str] = frozenset()
    exclude_segment_ids: frozenset[str] = frozenset()
    store_ids: frozenset[str] = frozenset()
    exclude_store_ids: frozenset[str] = frozenset()
    membership: engine.Membership = engine.Membership.EVERYBODY
    weekdays: frozenset[int] = frozenset()
    hours: tuple[engine.HourWindow, ...] = ()
    at_turn: bool = False
    asked: list[Asked] = field(default_factory=list)
    bundle: list[tuple[str, int]] = field(default_factory=list)

    def take_asked(self) -> Asked | None:
        """Return the only demand for units or an amount, which is no condition any more."""
        if len(self.asked) > 1:
            raise Unsupported("sets of several demands")
        if not self.asked:
            return None
        asked = self.asked.pop()
        self.conditions.remove(asked.condition)
        return asked

    def take_bundle(self) -> list[tuple[str, int]]:
        """Return the set that is asked for, which is no condition any more."""
        bundle, self.bundle = self.bundle, []
        return bundle

    def settle_bundle(self) -> None:
        """Let a set that nobody has made be a condition: that its articles are there."""
        for sku, units in self.take_bundle():
            meant = engine.ItemFilter(skus=frozenset({sku}))
            self.conditions.append(engine.ItemGroup(meant, units * 1_000))

    @property
    def condition(self) -> engine.Condition | None:
        """Return the conditions as one."""
        if len(self.conditions) > 1:
            return engine.AllOf(tuple(self.conditions))
        return self.conditions[0] if self.conditions else None


_Reader: TypeAlias = Callable[[Words, Goods, Terms], None]


def read_terms(found: list[Words], cart_goods: Goods) -> Terms:
    """Return what a list of conditions comes to; what it lacks is remembered."""
    terms = Terms()
    for words in found:
        with words.gaps.collect():
            _read(words, cart_goods, terms)
    return terms


def member_segment(member_id: str) -> str:
    """Return the segment that holds one member alone."""
    return f"member:{member_id}"


def _read(words: Words, cart_goods: Goods, terms: Terms) -> None:
    name = words.text("type")
    if name in _READERS:
        _READERS[name](words, cart_goods, terms)
    elif found := _CONTAINS.fullmatch(name):
        terms.conditions.append(_read_contains(words, cart_goods, found["subject"]))
    elif found := _MEASURE.fullmatch(name):
        _read_measure(words, cart_goods, terms, found)
    else:
        raise Unsupported(f"unknown word: conditions.type {name}")
    words.close()


def _read_contains(words: Words, cart_goods: Goods, subject: str) -> engine.Condition:
    meant = _filter_of(words, cart_goods, subject, goods.read_values(words))
    quantity = words.thousandths("qty") or _SOMETHING_THOUSANDTHS
    return engine.ItemGroup(filter=meant, quantity_min_thousandths=quantity)


def _filter_of(
    words: Words, cart_goods: Goods, subject: str, names: frozenset[str]
) -> engine.ItemFilter:
    inner = Words({f"{subject}_in": sorted(names)}, words.where, words.gaps)
    return goods.read_filter(inner, cart_goods)


def _read_measure(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read a comparison of an amount or a quantity, of certain goods or of the whole cart."""
    meant, basis = _read_subject(words, cart_goods, found)
    if found["measure"] == "qty":
        value = words.thousandths("value")

        def at_least(minimum: int) -> engine.Condition:
            return engine.ItemGroup(filter=meant, quantity_min_thousandths=minimum)
    else:
        value = words.minor("value")
        basis = _read_basis(words, terms) or basis

        def at_least(minimum: int) -> engine.Condition:
            return engine.BasketTotal(amount_min_minor=minimum, filter=meant, basis=basis)

    if value is None:
        raise Unsupported("a comparison with nothing")
    compared = _compare(found["comparison"], value, at_least)
    terms.conditions.extend(compared)
    if found["comparison"] == "gte" and compared and found["measure"] in {"qty", "value"}:
        asks_units = found["measure"] == "qty"
        terms.asked.append(
            Asked(
                condition=compared[0],
                filter=meant,
                quantity_thousandths=value if asks_units else 0,
                amount_minor=0 if asks_units else value,
            )
        )


def _read_subject(
    words: Words, cart_goods: Goods, found: re.Match[str]
) -> tuple[engine.ItemFilter, engine.Basis]:
    """Return which goods count; a subtotal is of everything, before discounts."""
    subject, measure = found["subject"], found["measure"]
    if subject in {"sku", "product", "category", "tag", "brand", "collection"}:
        names = words.names(subject, f"{subject}_in", "names")
        return _filter_of(words, cart_goods, subject, names), engine.Basis.RUNNING
    if "filter" in words:
        return goods.read_filter(words.open("filter"), cart_goods), engine.Basis.RUNNING
    if measure == "subtotal":
        fee_line = engine.ItemFilter(
            exclude_skus=frozenset({goods.FEE_LINE}) & {*cart_goods.articles}
        )
        return fee_line, engine.Basis.ORIGINAL
    if subject in {None, "order", "cart"} and measure == "total":
        return engine.ItemFilter(), engine.Basis.RUNNING
    return goods.everything(cart_goods), engine.Basis.RUNNING


def _read_basis(words: Words, terms: Terms) -> engine.Basis | None:
    name = words.text("basis")
    if not name:
        return None
    if name not in _BASES:
        raise Unsupported(f"unknown word: conditions.basis {name}")
    terms.at_turn = terms.at_turn or name == "after_previous_campaigns"
    return _BASES[name]


def _compare(
    comparison: str, value: int, at_least: Callable[[int], engine.Condition]
) -> list[engine.Condition]:
    """Return a comparison of whole numbers in terms of "at least", which is all that we have."""
    lowest = value + 1 if comparison == "gt" else value
    above = value if comparison == "lt" else value + 1
    found: list[engine.Condition] = []
    if comparison in {"gte", "gt", "eq"} and lowest > 0:
        found.append(at_least(lowest))
    if comparison in {"lte", "lt", "eq"}:
        found.append(engine.Not(at_least(above)))
    return found


def _read_segments(words: Words, _: Goods, terms: Terms) -> None:
    _audience(terms, goods.read_values(words))


def _read_members(words: Words, _: Goods, terms: Terms) -> None:
    _audience(terms, frozenset(map(member_segment, goods.read_values(words))))


def _audience(terms: Terms, segment_ids: frozenset[str]) -> None:
    if terms.segment_ids:
        raise Unsupported("two audiences at once")
    terms.segment_ids = segment_ids


def _read_no_segments(words: Words, _: Goods, terms: Terms) -> None:
    terms.exclude_segment_ids |= goods.read_values(words)


def _read_stores(words: Words, _: Goods, terms: Terms) -> None:
    if terms.store_ids:
        raise Unsupported("two sets of stores at once")
    terms.store_ids = goods.read_values(words)


def _read_no_stores(words: Words, _: Goods, terms: Terms) -> None:
    terms.exclude_store_ids |= goods.read_values(words)


def _read_order_number(words: Words, _: Goods, terms: Terms) -> None:
    number = words.whole("value")
    terms.conditions.append(engine.PurchaseNumber(number=number or 0))


def _read_every_order(words: Words, _: Goods, terms: Terms) -> None:
    every = words.whole("value")
    terms.conditions.append(engine.PurchaseNumber(every=every or 0))


def _read_distinct(words: Words, cart_goods: Goods, terms: Terms) -> None:
    meant = (
        goods.read_filter(words.open("filter"), cart_goods)
        if "filter" in words
        else goods.everything(cart_goods)
    )
    terms.conditions.append(engine.DistinctItems(words.whole("value") or 0, meant))


def _read_none_reduced(_: Words, __: Goods, terms: Terms) -> None:
    present = engine.ItemGroup(
        filter=goods.reduced(), quantity_min_thousandths=_SOMETHING_THOUSANDTHS
    )
    terms.conditions.append(engine.Not(present))


def _read_every_line(words: Words, cart_goods: Goods, terms: Terms) -> None:
    _read_line_bound(words, cart_goods, terms, above=0)


def _read_every_line_above(words: Words, cart_goods: Goods, terms: Terms) -> None:
    _read_line_bound(words, cart_goods, terms, above=1)


def _read_line_bound(words: Words, cart_goods: Goods, terms: Terms, *, above: int) -> None:
    meant = goods.everything(cart_goods)
    minimum = (words.minor("value") or 0) + above
    terms.conditions.append(engine.EveryLine(meant, amount_min_minor=minimum))


def _read_attribute(words: Words, _: Goods, terms: Terms) -> None:
    name = words.text("attribute", "name")
    source = engine.AttributeSource.CART
    if name.startswith("member."):
        source, name = engine.AttributeSource.MEMBER, name.removeprefix("member.")
    values = tuple(sorted(goods.read_values(words)))
    test = engine.AttributeTest.IN
    terms.conditions.append(engine.Attribute(name, test, values, source))


def _read_window(words: Words, _: Goods, terms: Terms) -> None:
    zone = words.text("tz") or "store"
    if zone != "store":
        raise Unsupported("hours in another zone than the store's")
    days = read_names(words.take("days", default=[]), f"{words.where}.days")
    if terms.hours or terms.weekdays or not {*days} <= {*_DAYS}:
        raise Unsupported("two windows of time at once")
    terms.weekdays = frozenset(_DAYS.index(day) + 1 for day in days)
    if "from" in words or "to" in words:
        start, end = (_minute(words, name) for name in ("from", "to"))
        terms.hours = (engine.HourWindow(start or 0, 1_440 if end is None else end),)


def _minute(words: Words, name: str) -> int | None:
    text = words.text(name)
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::00)?", text)
    if found is None:
        raise Unsupported(f"{words.where}.{name} that is no time of day")
    return int(found[1]) * 60 + int(found[2])


def _read_bundle(words: Words, _: Goods, terms: Terms) -> None:
    for item in words.open_all("items"):
        units = item.whole("qty")
        terms.bundle.append((item.text("sku"), 1 if units is None else units))
        item.close()


def _read_all(words: Words, cart_goods: Goods, terms: Terms) -> None:
    inner = _read_inner(words, cart_goods, terms)
    if inner:
        terms.conditions.append(engine.AllOf(inner))


def _read_any(words: Words, cart_goods: Goods, terms: Terms) -> None:
    terms.conditions.append(engine.AnyOf(_read_inner(words, cart_goods, terms)))


def _read_not(words: Words, cart_goods: Goods, terms: Terms) -> None:
    terms.conditions.append(engine.Not(engine.AllOf(_read_inner(words, cart_goods, terms))))


def _read_inner(words: Words, cart_goods: Goods, terms: Terms) -> tuple[engine.Condition, ...]:
    """Return the conditions inside another; what is about members or stores cannot be inside."""
    name = next((name for name in ("conditions", "of", "condition") if name in words), "")
    found = [words.open(name)] if name == "condition" else words.open_all(name)
    inner = read_terms(found, cart_goods)
    terms.at_turn = terms.at_turn or inner.at_turn
    plain = Terms(conditions=inner.conditions, at_turn=inner.at_turn, asked=inner.asked)
    if inner != plain:
        raise Unsupported("an audience inside a compound condition")
    return tuple(inner.conditions)


_READERS: Mapping[str, _Reader] = {
    "member_segment_in": _read_segments,
    "member_segment_not_in": _read_no_segments,
    "member_id_in": _read_members,
    "store_in": _read_stores,
    "store_not_in": _read_no_stores,
    "member_order_number_eq": _read_order_number,
    "member_order_number_every": _read_every_order,
    "distinct_products_gte": _read_distinct,
    "distinct_skus_gte": _read_distinct,
    "cart_has_no_discounted_items": _read_none_reduced,
    "time_window": _read_window,
    "every_line_amount_gte": _read_every_line,
    "every_line_amount_gt": _read_every_line_above,
    "attribute_eq": _read_attribute,
    "attribute_in": _read_attribute,
    "bundle_complete": _read_bundle,
    "all": _read_all,
    "and": _read_all,
    "any": _read_any,
    "or": _read_any,
    "not": _read_not,
}
