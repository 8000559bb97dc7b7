"""Problems in the words of files: the engine and the contract tell them in their own."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor

from services.promotions.text import words

_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")
_FIELD = re.compile(r"\b[a-z]+(?:_[a-z]+)*_(?:minor|thousandths|hundredths|points)\b")
#: What the patterns of the contract ask for.
_FORMS = {
    "^[0-9A-Za-z-]{3,32}$": "3 to 32 Latin letters, digits and hyphens",
    "^[0-9]{1,8}$": "1 to 8 digits",
    "^[a-z][a-z0-9_]{0,31}$": "up to 32 small Latin letters, digits and _, a letter first",
    "^[a-z][a-z0-9_]{0,39}$": "up to 40 small Latin letters, digits and _, a letter first",
    "^[a-z][a-z0-9_]{0,63}$": "up to 64 small Latin letters, digits and _, a letter first",
    "^[a-z0-9][a-z0-9_-]{0,31}$": "up to 32 small Latin letters, digits, - and _",
    "^[a-z0-9][a-z0-9_-]{0,63}$": "up to 64 small Latin letters, digits, - and _",
    "^cmp_[0-9a-f]{32}$": "the name of a campaign",
}


def tell_rule(violation: Any, described: str) -> str:
    """Return a broken rule of the contract; `violation` is protovalidate's."""
    if described == "value is required":
        return "is missing"
    if violation.rule_id == "string.pattern":
        return f"must be {tell_pattern(described.partition('`')[2].rstrip('`'))}"
    return described


def tell_pattern(pattern: str) -> str:
    """Return in words what a text must be that has a pattern."""
    return _FORMS.get(pattern, f"like {pattern}")


def in_words(text: str) -> str:
    """Return a problem with the words of files for the names of the contract."""
    return _FIELD.sub(_to_word, _NAME.sub(_to_value, text))


def _to_word(found: re.Match[str]) -> str:
    return _fields().get(found[0], found[0])


def _to_value(found: re.Match[str]) -> str:
    return _values().get(found[0], found[0])


@cache
def _fields() -> Mapping[str, str]:
    """Return the words of fields by their names."""
    return {field.name: words.word_of(field) for kind in _messages() for field in kind.fields}


@cache
def _values() -> Mapping[str, str]:
    """Return the words of enumerations: `lane earn` for LANE_EARN, `each_step` for EACH_STEP."""
    found: dict[str, str] = {}
    for kind in _messages():
        for enum in (field.enum_type for field in kind.fields if field.enum_type is not None):
            for word in words.values_of(enum):
                found.setdefault(word.upper(), word)
                prefix = words.prefix_of(enum)
                found[f"{prefix}_{word.upper()}"] = f"{prefix.lower()} {word}"
    return found


def find_patterns() -> set[str]:
    """Return every pattern that the contract asks texts of the rules to have."""
    found = set()
    for kind in _messages():
        for field in kind.fields:
            rules = field.GetOptions().Extensions[validate_pb2.field]
            for one in (rules.string, rules.repeated.items.string):
                if one.HasField("pattern"):
                    found.add(one.pattern)
    return found


def _messages() -> Iterator[descriptor.Descriptor]:
    """Return every message that files can say."""
    seen, waiting = set(), [words.RULES, words.PROGRAM]
    while waiting:
        kind = waiting.pop()
        if kind.full_name not in seen:
            seen.add(kind.full_name)
            yield kind
            waiting += [one.message_type for one in kind.fields if one.message_type is not None]
