"""Instants and durations in messages: those that are none could be kept, and never shown in JSON.

Rules of contracts bound the seconds of most of them. No rule looks at the parts of a second.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor, message

#: What the two may hold by their own contracts: seconds, and whether they go below zero together.
_SPANS = {
    "google.protobuf.Timestamp": (range(-62_135_596_800, 253_402_300_800), False),
    "google.protobuf.Duration": (range(-315_576_000_000, 315_576_000_001), True),
}
_NANOS_MAX = 999_999_999


@dataclass(slots=True)
class _Way:
    """A field that leads to a span, itself or through what it holds."""

    name: str
    is_list: bool
    is_map: bool
    span: tuple[range, bool] | None
    inner: list["_Way"] = field(default_factory=list)


def checker(kind: descriptor.Descriptor) -> Callable[[message.Message], list[str]]:
    """Return the function that tells the paths of spans of a message which are none."""
    ways = _find_ways(kind)

    def check(value: message.Message) -> list[str]:
        # Nearly always nothing is found, and paths cost more than looking.
        return list(_find(value, ways)) if _is_broken(value, ways) else []

    return check


def _find_ways(kind: descriptor.Descriptor) -> list[_Way]:
    """Return the ways from a message; one that holds itself has a way back into itself."""
    below: dict[str, descriptor.Descriptor] = {}
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        if one.full_name not in below:
            below[one.full_name] = one
            waiting += [each.message_type for each in one.fields if each.message_type]
    leading = set(_SPANS)
    while more := {
        name for name, one in below.items() if name not in leading and _towards(one, leading)
    }:
        leading |= more
    ways: dict[str, list[_Way]] = {name: [] for name in leading | {kind.full_name}}
    for name in below.keys() & leading - _SPANS.keys():
        ways[name] += [_way(each, ways) for each in _towards(below[name], leading)]
    return ways[kind.full_name]


def _towards(kind: descriptor.Descriptor, names: set[str]) -> list[descriptor.FieldDescriptor]:
    return [one for one in kind.fields if one.message_type and one.message_type.full_name in names]


def _way(one: descriptor.FieldDescriptor, ways: dict[str, list[_Way]]) -> _Way:
    kind = one.message_type
    assert kind is not None
    is_map = kind.GetOptions().map_entry
    held = kind.fields_by_name["value"].message_type if is_map else kind
    assert held is not None
    inner = held.full_name
    return _Way(one.name, one.is_repeated, is_map, _SPANS.get(inner), ways[inner])


def _is_broken(value: Any, ways: list[_Way]) -> bool:
    for way in ways:
        name, span, inner = way.name, way.span, way.inner
        if way.is_list:
            held = getattr(value, name)
            some = held.values() if way.is_map else held
        elif value.HasField(name):
            some = (getattr(value, name),)
        else:
            continue
        for one in some:
            if not _is_sound(one, *span) if span else _is_broken(one, inner):
                return True
    return False


def _find(value: Any, ways: list[_Way], path: str = "") -> Iterator[str]:
    for way in ways:
        held, place = getattr(value, way.name), f"{path}.{way.name}" if path else way.name
        if way.is_map:
            some = [(f'{place}["{key}"]', one) for key, one in held.items()]
        elif way.is_list:
            some = [(f"{place}[{index}]", one) for index, one in enumerate(held)]
        else:
            some = [(place, held)] if value.HasField(way.name) else []
        for inner, one in some:
            if way.span is None:
                yield from _find(one, way.inner, inner)
            elif not _is_sound(one, *way.span):
                yield inner


def _is_sound(one: Any, seconds: range, is_signed: bool) -> bool:  # noqa: FBT001  from a table
    if one.seconds not in seconds or not -_NANOS_MAX <= one.nanos <= _NANOS_MAX:
        return False
    return bool(one.seconds * one.nanos >= 0 if is_signed else one.nanos >= 0)
