"""Requests against the rules of their contract."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf import descriptor, message, message_factory

from services.chassis import errors, spans

_PLACE = re.compile(r"\bthis\.(\w+(?:\.\w+)*)")
#: How protovalidate names the rule that it could not evaluate.
_EVALUATED = re.compile(r"error evaluating (\S+):")
#: No database keeps it in text, and no till prints it.
_NUL = "\x00"
_MALFORMED = errors.FieldViolation("", "it is not a message of the contract", "message")


def reader(
    kind: descriptor.Descriptor, validator: protovalidate.Validator
) -> Callable[[bytes], message.Message]:
    """Return the function that makes a valid message of a type from bytes.

    The function raises InvalidRequest with every broken rule. Compiles the rules at once, so a
    rule that makes no sense raises protovalidate's CompilationError here and not at the first call.
    """
    cls = message_factory.GetMessageClass(kind)
    parse, violations = cls.FromString, validator.collect_violations
    violations(cls())
    find_unsound = spans.checker(kind)

    def read(data: bytes) -> message.Message:
        try:
            request = parse(data)
        except message.DecodeError:
            raise errors.InvalidRequest([_MALFORMED]) from None
        if unsound := find_unsound(request):  # rules that reckon with them could not be evaluated
            raise errors.InvalidRequest([_no_span(path) for path in unsound])
        try:
            broken = [describe(item.proto, kind) for item in violations(request)]
        except protovalidate.EvaluationError as error:
            raise errors.InvalidRequest([_beyond_rules(str(error), kind)]) from None
        if b"\x00" in data:  # which numbers may have, too
            broken += [
                errors.FieldViolation(path, "must not contain U+0000", "string.nul")
                for path in _texts_with_nul(request)
            ]
        if broken:
            raise errors.InvalidRequest(broken)
        return request

    return read


def _no_span(path: str) -> errors.FieldViolation:
    return errors.FieldViolation(path, "is no instant or duration", "time.parts")


def _beyond_rules(said: str, kind: descriptor.Descriptor) -> errors.FieldViolation:
    """Return what is wrong with values that a rule cannot reckon with, such as the year 9999."""
    rule = _EVALUATED.search(said)
    rule_id = rule[1] if rule else ""
    return errors.FieldViolation(_first(rule_id, kind), "is too far from usual values", rule_id)


def describe(proto: Any, kind: descriptor.Descriptor) -> errors.FieldViolation:
    """Return a broken rule of a message of the kind as callers read it.

    `proto` is protovalidate's Violation. The field is where a caller has to look: of a oneof the
    message around it, and of a rule about the whole request the first field that the rule names.
    """
    elements = list(proto.field.elements) if proto.field else []
    choice = elements.pop().field_name if elements and not elements[-1].field_number else ""
    path = ""
    for element in elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    if not path:
        path = kind.oneofs_by_name[choice].fields[0].name if choice else _first(proto.rule_id, kind)
    return errors.FieldViolation(path, proto.message or "it breaks a rule", proto.rule_id or "")


def _first(rule_id: str, kind: descriptor.Descriptor) -> str:
    """Return the path of the first field that a rule about a whole message names."""
    for rule in kind.GetOptions().Extensions[validate_pb2.message].cel:
        if rule.id == rule_id:
            named = (_follow(found[1], kind) for found in _PLACE.finditer(rule.expression))
            return next(filter(None, named), "")
    return ""


def _follow(words: str, kind: descriptor.Descriptor) -> str:
    """Return the path of fields that words of an expression are; what is called on them is none."""
    path: list[str] = []
    within: descriptor.Descriptor | None = kind
    for word in words.split("."):
        field = within.fields_by_name.get(word) if within is not None else None
        if field is None:
            break
        path.append(word)
        within = None if field.is_repeated else field.message_type
    return ".".join(path)


def _texts_with_nul(value: message.Message, path: str = "") -> Iterator[str]:
    """Yield the path of each text of a message that contains U+0000."""
    for field, held in value.ListFields():
        place = f"{path}.{field.name}" if path else field.name
        for inner, one in _each(field, held, place):
            if isinstance(one, message.Message):
                yield from _texts_with_nul(one, inner)
            elif isinstance(one, str) and _NUL in one:
                yield inner


def _each(field: descriptor.FieldDescriptor, held: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield what a field holds, each with its path; keys of maps are texts, too."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        for key, one in held.items():
            yield f"{place} key", key
            yield f'{place}["{key}"]', one
    elif field.is_repeated:
        for index, one in enumerate(held):
            yield f"{place}[{index}]", one
    else:
        yield place, held
