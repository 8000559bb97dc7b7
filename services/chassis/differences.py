"""Where two messages differ, for callers that use one id for two things."""

from typing import Any

from google.protobuf import message


def find_difference(stored: message.Message, sent: message.Message) -> str:
    """Return the path of the first field that differs, for example `cart.lines[2].sku`.

    Fields are compared in the contract's order. Empty when the messages are equal.
    """
    for field in stored.DESCRIPTOR.fields:
        path = _difference(field.name, *(_value(side, field.name) for side in (stored, sent)))
        if path:
            return path
    return ""


def _value(side: message.Message, name: str) -> Any:
    field = side.DESCRIPTOR.fields_by_name[name]
    present = not field.has_presence or side.HasField(name)
    return getattr(side, name) if present else None


def _difference(path: str, stored: Any, sent: Any) -> str:
    if isinstance(stored, message.Message) and isinstance(sent, message.Message):
        inner = find_difference(stored, sent)
        return f"{path}.{inner}" if inner else ""
    if _is_list(stored) and _is_list(sent):
        return _list_difference(path, stored, sent)
    return "" if stored == sent else path


def _list_difference(path: str, stored: Any, sent: Any) -> str:
    for index, (one, other) in enumerate(zip(stored, sent, strict=False)):
        inner = _difference(f"{path}[{index}]", one, other)
        if inner:
            return inner
    if len(stored) == len(sent):
        return ""
    return f"{path}[{min(len(stored), len(sent))}]"


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | message.Message)
