"""What a case says of the shopper and the request, as attributes that conditions can ask for."""

from collections.abc import Iterable, Mapping

from services.promotions import engine
from tools.conformance.promotions.words import Unsupported, Words, read_names

BIRTHDAY = "birth"
STORE = "~store"
CHANNEL = "channel"
KNOWN = "~known"
_CODE = "~code:"
_TESTS = {
    "eq": engine.AttributeTest.IN,
    "in": engine.AttributeTest.IN,
    "gte": engine.AttributeTest.AT_LEAST,
    "lte": engine.AttributeTest.AT_MOST,
    "exists": engine.AttributeTest.PRESENT,
    "present": engine.AttributeTest.PRESENT,
}
_OPPOSITES = {"ne": "eq", "not_in": "in", "gt": "lte", "lt": "gte"}


def has(name: str) -> engine.Attribute:
    """Return the condition that the shopper has an attribute, whatever its value."""
    return engine.Attribute(name, engine.AttributeTest.PRESENT, (), engine.AttributeSource.MEMBER)


def has_code(code: str) -> engine.Attribute:
    """Return the condition that a code was presented."""
    return engine.Attribute(f"{_CODE}{code.upper()}", engine.AttributeTest.PRESENT)


def says(name: str, values: Iterable[str]) -> engine.Attribute:
    """Return the condition that the request says one of these values."""
    return engine.Attribute(name, engine.AttributeTest.IN, tuple(sorted(values)))


def describe(names: Iterable[str]) -> dict[str, str]:
    """Return attributes that are nothing but there."""
    return dict.fromkeys(names, "yes")


def describe_codes(codes: Iterable[str]) -> dict[str, str]:
    """Return the presented codes as attributes of the request."""
    return describe(f"{_CODE}{code.upper()}" for code in codes)


def read_attributes(words: Words) -> dict[str, str]:
    """Return the attributes of a shopper or a request, as texts."""
    return {name: to_text(value) for name, value in words.table("attributes").items()}


def read_other(words: Words, *, texts_only: bool) -> dict[str, str]:
    """Return the plain words that nobody else reads as attributes: only conditions ask for them.

    Of a cart these are texts, such as a country: its numbers and flags might change sums.
    """
    kinds = (str,) if texts_only else (str, int, float)
    names = [name for name in words.left if isinstance(words.peek(name), kinds)]
    return {name: to_text(words.take(name)) for name in names}


def to_text(value: object) -> str:
    """Return a value as attributes have it: true is "true", 5 is "5"."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise Unsupported("an attribute that is no plain value")
    return str(value)


def read_attribute(words: Words, test: str) -> engine.Condition:
    """Read a comparison of an attribute; who does not say it never meets it."""
    name = words.text("attribute", "name")
    source = engine.AttributeSource.CART
    for prefix in ("member.", "customer."):
        if name.startswith(prefix):
            source, name = engine.AttributeSource.MEMBER, name.removeprefix(prefix)
    name = name.removeprefix("cart.")
    opposite = _OPPOSITES.get(test)
    kind = _TESTS.get(opposite or test)
    if not name or kind is None:
        raise Unsupported(f"unknown word: conditions.type attribute_{test}")
    values: tuple[str, ...] = ()
    if kind is not engine.AttributeTest.PRESENT:
        values = tuple(sorted(_take_values(words)))
    asked = engine.Attribute(name, kind, values, source)
    if opposite is None:
        return asked
    present = engine.Attribute(name, engine.AttributeTest.PRESENT, (), source)
    return engine.AllOf((present, engine.Not(asked)))


def _take_values(words: Words) -> list[str]:
    found = words.take("values", "value", default=[])
    if isinstance(found, str | int | float):
        return [to_text(found)]
    if isinstance(found, Mapping):
        raise Unsupported(f"{words.where}.value that is no plain value")
    return read_names([to_text(one) for one in found], words.where)
