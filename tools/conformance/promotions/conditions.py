"""Conditions of a case: whom a campaign is for, when it works, and what the cart must have."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from services.promotions import engine
from tools.conformance.promotions import goods, measures, people, windows
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import (
    Unsupported,
    Words,
    fold,
    read_minor,
    read_thousandths,
)

_SOMETHING_THOUSANDTHS = 1
ORDERS = ("choose", "order", "sort", "sorter", "sorting", "select")
MOST_SETS = ("max_sets", "max_groups", "max_bundles", "max_repeats", "max_applications")
_SUBJECTS = "(?P<subject>sku|article|product|category|tag|brand|collection)s?"
_CONTAINS = re.compile(
    r"(?:(?:cart|order|basket)_)?(?P<no>not_|no_)?(?:contains?|has|includes?|holds)"
    r"(?:_(?P<how>any|all)(?:_of)?)?(?:_(?:items?|products?|goods)_(?:from|of|in))?"
    rf"(?:_{_SUBJECTS}(?:_in)?)?"
)
_IN_CART = re.compile(rf"{_SUBJECTS}_(?P<no>not_)?(?:in|present)(?:_(?:cart|order|basket))?")
_DISTINCT = re.compile(r"(?:distinct|different|unique|coverage)(?:_\w+?)?(?:_(?:gte|min))?")
_FIRST = re.compile(r"(?:is_)?(?:(?:member|customer)_)?first_(?:order|purchase)")
_BELONGS = re.compile(
    r"(?P<no>not_)?(?:(?:member|customer|user)_)?(?P<never>not_)?"
    r"(?:(?:is_)?(?:has|in|belongs_to)_)?(?:segment|group|tier|level|role)s?"
    r"(?:_(?:is|eq|in|(?P<out>not_in|ne)))?"
)
_PLACES = re.compile(r"(?P<of>store|channel)s?(?:_(?:is|eq|in|(?P<out>not_in|ne)))?")
_PRICED = re.compile(r"(?:any_)?(?:(?:unit|item|line)_)?price_(?P<comparison>gte|gt|lte|lt)")
_AFTER = re.compile(r"_(?P<when>after|before)_discounts?")
_LINES = re.compile(
    r"(?:(?P<which>every|any)_)?line_(?P<measure>amount|total|subtotal|value|qty|quantity|units)"
    r"(?:_(?P<comparison>gte|gt|lte|lt))?"
)
_GROUPS = re.compile(
    r"(?:(?:line|item|set|quantity|unit|cart|contains|in|per)_)*(?:set|group|package|bundle)s?"
    r"(?:_(?:complete|count|qty|quantity|size|of|n|gte|rule|present))*"
)
_ATTRIBUTES = re.compile(
    r"(?:cart_|member_)?(?:attribute|rule|field|numeric|number)(?:_(?P<test>\w+))?"
)
_CIRCUMSTANCES = re.compile(
    r"(?:(?:cart|order|request)_|(?P<member>member_|customer_))?"
    r"(?P<name>(?:shipping_|delivery_|billing_)?(?:country|region|city|zone)|language|device|platform"
    r"|payment_(?:method|type)|(?:shipping|delivery)_method|(?:card_)?bin|age|gender)"
    r"(?:_(?P<test>in|not_in|eq|ne|gte|gt|lte|lt))?"
)
_IS_ONE = re.compile(r"(?:member|customer|user)_is_(?P<one>\w+)|(?P<only>\w+)_only")
_PURCHASES = re.compile(
    r"(?:member_)?(?:order|purchase)s?_(?P<what>number|placed|count)(?:_(?P<comparison>\w+))?"
)
_BIRTHDAY = re.compile(r"(?:is_)?(?:(?:member|customer)_)?birthday(?:_\w+)?")
_PERIOD = re.compile(r"(?:(?:valid|active)_)?(?:dates?|period|between)(?:_(?:between|range|in))?")
_NTH = re.compile(r"(?:is_)?(?:(?:member|customer)_)?nth_(?:order|purchase)(?:_eq)?")
_BASES = {
    "after_item_offers": engine.Basis.RUNNING,
    "after_previous_campaigns": engine.Basis.TURN,
    "remaining_after_previous": engine.Basis.TURN,
    "after_discounts": engine.Basis.TURN,
    "running": engine.Basis.RUNNING,
    "original": engine.Basis.ORIGINAL,
    "initial": engine.Basis.ORIGINAL,
    "before_discounts": engine.Basis.ORIGINAL,
}
# What stands before an amount: one after discounts, or a base, which only the catalogue has cut.
_BASES_BEFORE = {"discounted": "after_discounts", "base": ""}


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

    `asked` and `bundle` (the groups of a set) are what sets can be made of; who makes them takes
    them out of the conditions.
    """

    conditions: list[engine.Condition] = field(default_factory=list)
    segment_ids: frozenset[str] = frozenset()
    exclude_segment_ids: frozenset[str] = frozenset()
    store_ids: frozenset[str] = frozenset()
    exclude_store_ids: frozenset[str] = frozenset()
    membership: engine.Membership = engine.Membership.EVERYBODY
    weekdays: frozenset[int] = frozenset()
    hours: tuple[engine.HourWindow, ...] = ()
    asked: list[Asked] = field(default_factory=list)
    bundle: list[engine.UnitGroup] = field(default_factory=list)
    bundle_names: list[str] = field(default_factory=list)
    sets_max: int = 0
    starts: str = ""
    ends: str = ""

    def take_asked(self) -> Asked | None:
        """Return the only demand for units or an amount, which is no condition any more."""
        if len(self.asked) > 1:
            raise Unsupported("sets of several demands")
        if not self.asked:
            return None
        asked = self.asked.pop()
        self.conditions.remove(asked.condition)
        return asked

    def take_bundle(self) -> list[engine.UnitGroup]:
        """Return the set that is asked for, which is no condition any more."""
        bundle, self.bundle = self.bundle, []
        return bundle

    def settle_bundle(self) -> None:
        """Let a set that nobody has made be a condition: that its goods are there."""
        for group in self.take_bundle():
            self.conditions.append(
                engine.ItemGroup(group.filter, group.units * 1_000, group.amount_min_minor)
            )

    def settle_audience(self) -> list[engine.Condition]:
        """Return whom and where it is for as conditions, and forget it as an audience."""
        found: list[engine.Condition] = []
        for names, wanted in ((self.segment_ids, True), (self.exclude_segment_ids, False)):
            if names:
                said = engine.AnyOf(tuple(people.has(segment_of(name)) for name in sorted(names)))
                found.append(said if wanted else engine.Not(said))
        for stores, wanted in ((self.store_ids, True), (self.exclude_store_ids, False)):
            if stores:
                here = people.says(people.STORE, stores)
                found.append(here if wanted else engine.Not(here))
        if self.membership is engine.Membership.MEMBERS:
            found.append(people.has(people.KNOWN))
        self.segment_ids = self.exclude_segment_ids = frozenset()
        self.store_ids = self.exclude_store_ids = frozenset()
        self.membership = engine.Membership.EVERYBODY
        return found

    @property
    def condition(self) -> engine.Condition | None:
        """Return the conditions as one."""
        if len(self.conditions) > 1:
            return engine.AllOf(tuple(self.conditions))
        return self.conditions[0] if self.conditions else None


_Reader: TypeAlias = Callable[[Words, Goods, Terms], None]
_PatternReader: TypeAlias = Callable[[Words, Goods, Terms, re.Match[str]], None]


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


def segment_of(name: str) -> str:
    """Return the attribute that members of a segment have."""
    return f"segment:{name}"


def _read(words: Words, cart_goods: Goods, terms: Terms) -> None:
    name = fold(words.text("type"))
    if found := _AFTER.search(name):
        words.put("basis", f"{found['when']}_discounts")
        name = _AFTER.sub("", name)
    before, _, bare = name.partition("_")
    if before in _BASES_BEFORE and measures.PATTERN.fullmatch(bare):
        words.put("basis", words.text("basis") or _BASES_BEFORE[before])
        name = bare
    if name not in _READERS and not any(one.fullmatch(name) for one, _ in _PATTERNS):
        name = measures.rearrange(name)
    if name in _READERS:
        _READERS[name](words, cart_goods, terms)
    else:
        matches = ((pattern.fullmatch(name), read) for pattern, read in _PATTERNS)
        found, read = next((one for one in matches if one[0]), (None, None))
        if found is None or read is None:
            raise Unsupported(f"unknown word: conditions.type {name}")
        read(words, cart_goods, terms, found)
    words.close()


def _read_circumstance(words: Words, _: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read a comparison of what the shopper or the request says, such as a country."""
    words.put("name", f"{'member.' if found['member'] else ''}{found['name']}")
    terms.conditions.append(people.read_attribute(words, found["test"] or "in"))


def _read_is_one(words: Words, _: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read that the shopper is one of a kind: `member_is_staff`, `staff_only`."""
    wanted = words.flag("value", default=True)
    condition = people.has(segment_of(found["one"] or found["only"]))
    terms.conditions.append(condition if wanted else engine.Not(condition))


def _read_attribute(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read a comparison of what the request says; of its sums, as those are compared."""
    test = found["test"] or words.text("operator", "op") or "eq"
    name = str(words.peek("attribute") or "").replace(".", "_")
    if measure := measures.PATTERN.fullmatch(f"{name}_{test}"):
        words.drop("attribute")
        _read_measure(words, cart_goods, terms, measure)
        return
    terms.conditions.append(people.read_attribute(words, test))


def _read_lines(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    terms.conditions.append(measures.read_line_bound(words, cart_goods, found))


def _read_contains(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read that goods are there: any of the names, or all of them, or none."""
    subject = found["subject"] or next(
        (one for one in _NAMES if any(name in words for name in (one, f"{one}_in", f"{one}s"))),
        "sku",
    )
    names = words.names("values", "value")
    names = names or words.names(subject, f"{subject}_in", f"{subject}s", "names", "of")
    least = words.thousandths(*_LEASTS) or _SOMETHING_THOUSANDTHS
    every = found.groupdict().get("how") == "all"
    wanted = [frozenset({name}) for name in sorted(names)] if every else [names]
    groups = tuple(
        engine.ItemGroup(_filter_of(words, cart_goods, subject, some), least) for some in wanted
    )
    asked: engine.Condition = groups[0] if len(groups) == 1 else engine.AllOf(groups)
    terms.conditions.append(engine.Not(asked) if found["no"] else asked)


_LEASTS = ("qty", "quantity", "min_qty", "min_quantity", "min", "minimum", "at_least", "count")
_NAMES = ("sku", "article", "product", "category", "tag", "brand", "collection")


def _filter_of(
    words: Words, cart_goods: Goods, subject: str, names: frozenset[str]
) -> engine.ItemFilter:
    inner = Words({f"{subject}_in": sorted(names)}, words.where, words.gaps)
    return goods.read_filter(inner, cart_goods)


def _read_measure(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read a comparison of an amount or a quantity, of certain goods or of the whole cart."""
    meant, basis = measures.read_subject(words, cart_goods, found)
    by_units = measures.counts_units(found["measure"])
    basis = _read_basis(words) or basis

    def at_least(minimum: int) -> engine.Condition:
        if by_units:
            return engine.ItemGroup(filter=meant, quantity_min_thousandths=minimum)
        return engine.BasketTotal(amount_min_minor=minimum, filter=meant, basis=basis)

    comparison = measures.read_comparison(words, found["comparison"] or found["bound"])
    bounds = measures.take_bounds(words, comparison, read_thousandths if by_units else read_minor)
    compared = [one for name, value in bounds for one in measures.compare(name, value, at_least)]
    terms.conditions.extend(compared)
    if comparison == "gte" and compared and (by_units or found["measure"] == "value"):
        ((_, value),) = bounds
        terms.asked.append(
            Asked(
                condition=compared[0],
                filter=meant,
                quantity_thousandths=value if by_units else 0,
                amount_minor=0 if by_units else value,
            )
        )


def _read_basis(words: Words) -> engine.Basis | None:
    name = words.text("basis")
    if name and name not in _BASES:
        raise Unsupported(f"unknown word: conditions.basis {name}")
    return _BASES.get(name)


def _read_purchases(words: Words, _: Goods, terms: Terms, found: re.Match[str]) -> None:
    comparison = found["comparison"] or "eq"
    if comparison == "every":
        _read_every_order(words, _NO_GOODS, terms)
    else:
        before = found["what"] != "number"
        terms.conditions.append(measures.read_purchases(words, comparison, before=before))


def _read_segments(words: Words, _: Goods, terms: Terms) -> None:
    _audience(terms, goods.read_values(words))


def _read_members(words: Words, _: Goods, terms: Terms) -> None:
    _audience(terms, frozenset(map(member_segment, goods.read_values(words))))


def _audience(terms: Terms, segment_ids: frozenset[str]) -> None:
    """Remember an audience; a second one is a condition besides."""
    if terms.segment_ids:
        terms.conditions += Terms(segment_ids=segment_ids).settle_audience()
    else:
        terms.segment_ids = segment_ids


def _read_no_segments(words: Words, _: Goods, terms: Terms) -> None:
    terms.exclude_segment_ids |= goods.read_values(words)


def _read_stores(words: Words, _: Goods, terms: Terms) -> None:
    store_ids = goods.read_values(words)
    if terms.store_ids:
        terms.conditions += Terms(store_ids=store_ids).settle_audience()
    else:
        terms.store_ids = store_ids


def _read_no_stores(words: Words, _: Goods, terms: Terms) -> None:
    terms.exclude_store_ids |= goods.read_values(words)


def _read_every_order(words: Words, _: Goods, terms: Terms) -> None:
    every = words.whole("value", "every")
    terms.conditions.append(engine.PurchaseNumber(every=every or 0))


def _read_first(_: Words, __: Goods, terms: Terms, ___: re.Match[str]) -> None:
    terms.conditions.append(engine.PurchaseNumber(number=1))


def _read_nth(words: Words, _: Goods, terms: Terms, ___: re.Match[str]) -> None:
    terms.conditions.append(measures.read_purchases(words, "eq", before=False))


def _read_birthday(words: Words, _: Goods, terms: Terms, __: re.Match[str]) -> None:
    """Read that today lies so many days around the shopper's birthday."""
    around = words.whole("days", "value", "window") or 0
    before, after = words.whole("days_before", "before"), words.whole("days_after", "after")
    terms.conditions.append(
        engine.MemberDate(
            people.BIRTHDAY,
            -(around if before is None else before),
            around if after is None else after,
            yearly=True,
        )
    )


def _read_belongs(words: Words, _: Goods, terms: Terms, found: re.Match[str]) -> None:
    out = found["no"] or found["never"] or found["out"]
    (_read_no_segments if out else _read_segments)(words, _NO_GOODS, terms)


def _read_belonging(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read a group of shoppers where names are given, else one of goods."""
    names = any(one in words for one in ("values", "value", "segment", "group", "tier", "role"))
    of_goods = any(one in words for one in ("packager", "sorter", "groups", "size", "qty"))
    if of_goods or not names:
        _read_groups(words, cart_goods, terms, found)
    else:
        _read_belongs(words, cart_goods, terms, found)


def _read_places(words: Words, _: Goods, terms: Terms, found: re.Match[str]) -> None:
    if found["of"] == "store":
        (_read_no_stores if found["out"] else _read_stores)(words, _NO_GOODS, terms)
        return
    said = people.says(people.CHANNEL, goods.read_values(words))
    terms.conditions.append(engine.Not(said) if found["out"] else said)


def _read_priced(words: Words, cart_goods: Goods, terms: Terms, found: re.Match[str]) -> None:
    """Read that goods of such a price are there."""
    inner = Words(
        {f"unit_price_{found['comparison']}": words.take("value")}, words.where, words.gaps
    )
    meant = goods.read_filter(inner, cart_goods)
    terms.conditions.append(engine.ItemGroup(meant, _SOMETHING_THOUSANDTHS))


def _read_how_many(words: Words, cart_goods: Goods, terms: Terms, _: re.Match[str]) -> None:
    _read_distinct(words, cart_goods, terms)


def _read_distinct(words: Words, cart_goods: Goods, terms: Terms) -> None:
    meant = (
        goods.read_filter(words.open("filter"), cart_goods)
        if "filter" in words
        else goods.discountable(goods.everything(cart_goods), cart_goods)
    )
    count = words.whole("value", "count", "qty") or 0
    terms.conditions.append(engine.DistinctItems(count, meant))


def _read_none_reduced(_: Words, __: Goods, terms: Terms) -> None:
    present = engine.ItemGroup(
        filter=goods.reduced(), quantity_min_thousandths=_SOMETHING_THOUSANDTHS
    )
    terms.conditions.append(engine.Not(present))


def _read_some_reduced(_: Words, __: Goods, terms: Terms) -> None:
    terms.conditions.append(
        engine.ItemGroup(goods.reduced(), quantity_min_thousandths=_SOMETHING_THOUSANDTHS)
    )


def _read_known(_: Words, __: Goods, terms: Terms) -> None:
    terms.membership = engine.Membership.MEMBERS


def _read_unknown(_: Words, __: Goods, terms: Terms) -> None:
    terms.conditions.append(engine.Not(people.has(people.KNOWN)))


def _read_codes(words: Words, _: Goods, terms: Terms) -> None:
    codes = goods.read_values(words) | words.names("code", "codes")
    said = tuple(people.has_code(code) for code in sorted(codes))
    terms.conditions.append(engine.AnyOf(said))


def _read_channels(words: Words, _: Goods, terms: Terms) -> None:
    terms.conditions.append(people.says(people.CHANNEL, goods.read_values(words)))


def _read_window(words: Words, _: Goods, terms: Terms) -> None:
    window = windows.read(words)
    if (terms.weekdays and window.weekdays) or (terms.hours and window.hours):
        raise Unsupported("two windows of time at once")
    terms.weekdays |= window.weekdays
    terms.hours += window.hours


def _read_period(words: Words, _: Goods, terms: Terms, __: re.Match[str]) -> None:
    """Read the first and the last day, or moment, of a campaign."""
    terms.starts = words.text("from", "start", "starts", "since", "after")
    last = words.text("to", "end", "ends", "until", "before")
    whole_day = re.fullmatch(r"\d{4}-\d\d-\d\d", last)
    terms.ends = f"{last}T23:59:59.999999Z" if whole_day else last


def _read_groups(words: Words, cart_goods: Goods, terms: Terms, _: re.Match[str]) -> None:
    """Read the parts of a set, or the only one: articles or goods of a filter, and how many."""
    name = next((one for one in ("items", "groups", "parts", "sets") if one in words), "")
    terms.sets_max = words.whole(*MOST_SETS) or 0
    parts = words.open_all(name) if name else [words]
    if isinstance(words.peek("group"), Mapping):
        parts = [words.open("group")]
    words.drop("group")  # its number: groups are counted as they stand
    order = words.take(*ORDERS) if words not in parts else None
    for part in parts:
        if order is not None and not any(one in part for one in ORDERS):
            part.put("order", order)
        terms.bundle_names.append(str(part.peek("id") or part.peek("name") or ""))
        terms.bundle.append(read_group(part, cart_goods))
        part.close()


def read_group(words: Words, cart_goods: Goods) -> engine.UnitGroup:
    """Read units or an amount of some goods, and which of them come first."""
    packager = words.text("packager", "by").lower()
    inner = words.open("filter")
    for name in ("sku", "product", "category", "tag", "brand", "collection"):
        if name in words or f"{name}_in" in words:
            inner.put(f"{name}_in", sorted(words.names(name, f"{name}_in")))
    meant = goods.read_filter(inner, cart_goods)
    named = [name for name in words.left if name.endswith(("_order", "_sort", "_sorter"))]
    order = words.text(*ORDERS, *named, "take", "pick")
    words.drop("id", "name")
    if "count" in packager or "quantity" in packager:
        words.put("qty", words.take("qty", "quantity", "value", "count", "size", "amount"))
    if any(sign in packager for sign in ("amount", "price", "gross", "net")):
        words.put("amount", words.take("value", "amount"))
    amount = words.minor("amount_gte", "amount")
    units = words.whole("qty", "quantity", "size", "n", "count", "units", "value")
    return engine.UnitGroup(
        filter=meant,
        units=0 if amount else units or 1,
        amount_min_minor=amount or 0,
        order=read_order(order, words) or engine.PickOrder.DEAREST,
    )


def says_order(text: str) -> bool:
    """Tell whether a text says which units come first."""
    return any(sign in text for signs in _ORDERS.values() for sign in signs)


def read_order(name: str, words: Words) -> engine.PickOrder | None:
    """Return which units come first; None where nothing is said."""
    folded = name.lower()
    if not folded:
        return None
    for order, signs in _ORDERS.items():
        if any(sign in folded for sign in signs):
            return order
    words.gaps.add(f"unknown word: {words.where}.order {name}")
    return None


_ORDERS = {
    engine.PickOrder.CHEAPEST: ("cheap", "least", "asc", "lowest"),
    engine.PickOrder.DEAREST: ("dear", "most", "desc", "highest", "expensive"),
}
_NO_GOODS = Goods((), {}, {})


def _read_all(words: Words, cart_goods: Goods, terms: Terms) -> None:
    inner = _read_inner(words, cart_goods)
    if inner:
        terms.conditions.append(engine.AllOf(inner))


def _read_any(words: Words, cart_goods: Goods, terms: Terms) -> None:
    terms.conditions.append(engine.AnyOf(_read_inner(words, cart_goods)))


def _read_not(words: Words, cart_goods: Goods, terms: Terms) -> None:
    terms.conditions.append(engine.Not(engine.AllOf(_read_inner(words, cart_goods))))


def _read_inner(words: Words, cart_goods: Goods) -> tuple[engine.Condition, ...]:
    """Return the conditions inside another; windows of time cannot be inside."""
    name = next((name for name in ("conditions", "of", "condition") if name in words), "")
    found = [words.open(name)] if name == "condition" else words.open_all(name)
    inner = read_terms(found, cart_goods)
    inner.settle_bundle()
    if inner.weekdays or inner.hours:
        raise Unsupported("a window of time inside a compound condition")
    return (*inner.conditions, *inner.settle_audience())


_READERS: Mapping[str, _Reader] = {
    "member_segment_in": _read_segments,
    "member_group_in": _read_segments,
    "customer_group_in": _read_segments,
    "member_tier_in": _read_segments,
    "member_segment_not_in": _read_no_segments,
    "member_group_not_in": _read_no_segments,
    "member_id_in": _read_members,
    "member_email_in": _read_members,
    **dict.fromkeys(
        (
            "member_known",
            "member_required",
            "member_present",
            "member_identified",
            "signed_in",
            "logged_in",
            "registered",
            "is_member",
            "is_registered",
            "members_only",
            "member_only",
            "loyalty_member",
        ),
        _read_known,
    ),
    "member_unknown": _read_unknown,
    "store_in": _read_stores,
    "store_not_in": _read_no_stores,
    "channel_in": _read_channels,
    **dict.fromkeys(
        ("code_presented", "coupon_presented", "has_coupon", "has_code", "coupon_in", "code_in"),
        _read_codes,
    ),
    "distinct_products_gte": _read_distinct,
    "distinct_skus_gte": _read_distinct,
    "distinct_lines_gte": _read_distinct,
    "line_count_gte": _read_distinct,
    **dict.fromkeys(
        ("cart_has_no_discounted_items", "no_discounted_items", "no_sale_items"),
        _read_none_reduced,
    ),
    "cart_has_discounted_items": _read_some_reduced,
    **dict.fromkeys(
        ("time_window", "weekday_in", "weekday", "day_of_week", "hours", "time_of_day", "daypart"),
        _read_window,
    ),
    "all": _read_all,
    "and": _read_all,
    "any": _read_any,
    "or": _read_any,
    "not": _read_not,
}
_PATTERNS: tuple[tuple[re.Pattern[str], _PatternReader], ...] = (
    (_CONTAINS, _read_contains),
    (_IN_CART, _read_contains),
    (_DISTINCT, _read_how_many),
    (_FIRST, _read_first),
    (_NTH, _read_nth),
    (_PERIOD, _read_period),
    (_BIRTHDAY, _read_birthday),
    (_BELONGS, _read_belonging),
    (_PLACES, _read_places),
    (_PRICED, _read_priced),
    (_LINES, _read_lines),
    (_ATTRIBUTES, _read_attribute),
    (_PURCHASES, _read_purchases),
    (_CIRCUMSTANCES, _read_circumstance),
    (_IS_ONE, _read_is_one),
    (_GROUPS, _read_groups),
    (measures.PATTERN, _read_measure),
)
