"""Picks of a case: which units a reward is for, of all goods or of each set.

Sources have many words for the same few things, alone and put together (`nth`, `apply_to`,
`filter_applier`, `max_usage`): each word is known by the parts that it is made of.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from services.promotions import engine
from tools.conformance.promotions import conditions
from tools.conformance.promotions.words import Unsupported, Words, read_whole

_KINDS_BY = {"unit": engine.PickBy.UNIT, "line": engine.PickBy.LINE}
_LOOSE = ("apply_to", "applier", "picker", "usage", "max_usage", "sorter", "order")
_PREFIXES = ("filter_", "pick_", "picker_")
# Parts of words that only a pick has, wherever they stand.
_OF_PICKS = frozenset({"nth", "picker", "applier", "sorter", "picking", "usage"})
_EACH_SET = frozenset(f"units_per_{one}" for one in ("group", "set", "bundle", "package"))
_NUMBERED = re.compile(r"(?P<every>every_)?(?P<number>\d+)(?:st|nd|rd|th)(?:_\w+)?")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
# In this order: `max_nth` would be a bound, `apply_to_nth` is a place.
_PARTS = {
    "order": {"order", "sort", "sorter", "sorting", "select"},
    "bound": {"max", "maximum", "usage", "usages", "uses", "limit"},
    "place": {
        "nth",
        "applier",
        "apply",
        "position",
        "index",
        "rank",
        "n",
        "item",
        "place",
        "number",
        "which",
        "ordinal",
    },
    "scope": {"scope", "picker", "picking", "mode", "per", "across", "over", "within"},
}
_OVER_ALL = ("horizontal", "over", "across", "all", "total")
_IN_EACH = ("vertical", "each", "per", "in", "group", "set")


def read_pick(words: Words, allocation: str) -> engine.Pick | None:
    """Return which units it is for; `once` takes the cheapest first."""
    if isinstance(listed := words.peek("pick"), list) and len(listed) == 1:
        words.put("pick", listed[0])
    inner = words.open("pick")
    for one in ("select", "choose"):
        if isinstance(words.peek(one), Mapping):
            for part, said in words.table(one).items():
                inner.put(part, said)
    name = words.text("select", "choose") or ("cheapest" if allocation == "once" else "")
    _gather(words, inner)
    _tell_apart(inner)
    by = inner.text("target", "by") or "unit"
    if by not in _KINDS_BY:
        words.gaps.add(f"unknown word: reward.pick.target {by}")
    skip, every = inner.whole("skip"), inner.whole("every")
    count = inner.take("count", "first", "take", "only")
    said = {part: inner.take(*_find(inner, parts)) for part, parts in _PARTS.items()}
    order = conditions.read_order(_text(said["order"], inner) or name, words)
    by_line = ("max_quantity", "max_qty") if allocation.startswith("each") else ()
    of_line = words.whole("max_units_per_line", *by_line)
    pick = engine.Pick(
        order=order or engine.PickOrder.DEAREST,
        count_max=words.whole(*_MOST, *_find_most(words)) or 0,
        units_per_line_max=of_line or 0,
        skip=skip or words.whole("after_units", "after_qty", "above_qty") or _before(words),
        every=every or 0,
        by=_KINDS_BY.get(by, engine.PickBy.UNIT),
    )
    if count is not None and (said["place"] is None or said["bound"] is not None):
        pick = replace(pick, count_max=pick.count_max or _read_most(count, inner))
    elif count is not None:  # beside a place it says how many of these there are
        said["bound"] = count
    pick = _settle(pick, said, inner)
    inner.close()
    return None if pick == engine.Pick(order=pick.order) else pick


_MOST = ("max_units_total", "max_units", "max_qty", "max_quantity", "max_items", "max_pieces")


def _find_most(words: Words) -> list[str]:
    """Return the words for a bound on all units, such as `max_affected_items`."""
    parts = {"affected", "discounted", "rewarded"}
    return [name for name in words.left if name.startswith("max_") and parts & {*name.split("_")}]


def _before(words: Words) -> int:
    """Return how many units come before the first one that is meant: `from_unit` counts it in."""
    first = words.whole("from_unit", "from_nth", "starting_from_unit")
    return max(0, (first or 1) - 1)


def without_sets(pick: engine.Pick | None) -> engine.Pick | None:
    """Return a pick as one of all goods: the bound over all sets is the only one."""
    if pick is None or not pick.total_max:
        return pick
    bound = min(filter(None, (pick.total_max, pick.count_max)))
    return replace(pick, total_max=0, count_max=bound)


def is_of_picks(name: str) -> bool:
    """Tell whether a word, wherever it stands, says which units are meant."""
    return name in _LOOSE or bool(_OF_PICKS & {*name.split("_")})


def _gather(words: Words, inner: Words) -> None:
    """Let words that stand beside the pick count as said in it."""
    for name in words.left:
        if name in _EACH_SET:
            inner.put("count", words.take(name))
        elif name in _LOOSE and isinstance(found := words.peek(name), Mapping):
            words.drop(name)
            for one, said in found.items():
                inner.put(one, said)
    for name in words.left:
        prefix = next((one for one in _PREFIXES if name.startswith(one)), "")
        if prefix or name in _LOOSE or _OF_PICKS & {*name.split("_")}:
            inner.put(name.removeprefix(prefix), words.take(name))


def _tell_apart(words: Words) -> None:
    """Put texts under the words that they are of: an order and a scope tell themselves."""
    for name in words.left:
        said = words.peek(name)
        if isinstance(said, list) and len(said) == 1:  # a list of places
            said = said[0]
            words.put(name if name != "units" else "nth", said)
            words.drop("units")
        if isinstance(said, str) and _number(words, name, said):
            continue
        if isinstance(said, bool) and said and "first" in name:
            words.drop(name)
            words.put("count", 1)
        elif isinstance(said, bool) and {*name.split("_")} & _PARTS["scope"]:  # `per_group: true`
            words.drop(name)
            over_all = any(sign in name for sign in _OVER_ALL)
            words.put("scope", "all" if said is over_all else "each")
        if not isinstance(said, str) or name in {"target", "by"} or _is_all(said):
            continue
        folded = said.lower()
        if not said.isdigit():
            words.drop(name)
            in_order = conditions.says_order(folded)
            words.put("order" if in_order else "scope", said)
            if in_order and _ALONE & {*name.split("_")}:  # "for the cheapest": only that one
                words.put("count", 1)


def _number(words: Words, name: str, said: str) -> bool:
    """Put a number that is told in letters under its word: `2nd`, `every_3rd`, `second`."""
    folded = said.lower()
    found = _NUMBERED.fullmatch(folded)
    number = int(found["number"]) if found else _ORDINALS.get(folded.split("_")[0])
    if number is None:
        return False
    words.drop(name)
    if found and found["every"]:
        words.put("every", number)
        words.put("skip", number - 1)
    else:
        words.put("nth", number)
    return True


_ALONE = frozenset({"for", "only"})


def _find(words: Words, parts: set[str]) -> list[str]:
    return [name for name in words.left if parts & {*name.split("_")}]


def _text(found: object, words: Words) -> str:
    if not isinstance(found, str | None):
        raise Unsupported(f"{words.where}.order that is not a text")
    return found or ""


def _settle(pick: engine.Pick, said: dict[str, object], words: Words) -> engine.Pick:
    """Return the pick with the n-th unit of each set or of all of them, and how many of these."""
    scope = _text(said["scope"], words).lower()
    over_all = any(sign in scope for sign in _OVER_ALL)
    if scope and not over_all and not any(sign in scope for sign in _IN_EACH):
        words.gaps.add(f"unknown word: reward.pick.scope {scope}")
    place, most = said["place"], said["bound"]
    if place is not None and not _is_all(place):
        most = most or pick.count_max or None  # a bound beside a place is one over all sets
        pick = replace(pick, skip=read_whole(place, words.where) - 1, count_max=1)
    if most is not None:
        pick = replace(pick, total_max=_read_most(most, words))
    return replace(pick, scope=engine.PickScope(1 + over_all))


def _read_most(found: object, words: Words) -> int:
    """Return a bound; 0, as many as there are, for `all`."""
    return 0 if _is_all(found) else read_whole(found, words.where)


def _is_all(value: object) -> bool:
    return isinstance(value, str) and value.lower() in {"all", "unlimited"}
