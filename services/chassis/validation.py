"""Requests against the rules of their contract."""

from collections.abc import Callable
from typing import Any

import protovalidate
from google.protobuf import descriptor, message, message_factory

from services.chassis import errors

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

    def read(data: bytes) -> message.Message:
        try:
            request = parse(data)
        except message.DecodeError:
            raise errors.InvalidRequest([_MALFORMED]) from None
        broken = violations(request)
        if broken:
            raise errors.InvalidRequest([describe(item.proto) for item in broken])
        return request

    return read


def describe(proto: Any) -> errors.FieldViolation:
    """Return a broken rule as callers read it; `proto` is protovalidate's Violation."""
    path = ""
    for element in proto.field.elements if proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    return errors.FieldViolation(path, proto.message or "it breaks a rule", proto.rule_id or "")
