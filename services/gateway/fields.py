"""The tables behind strict.lua: which fields each message has, and which body each method takes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2

from services.gateway import contracts

_SCRIPT = Path(__file__).with_name("strict.lua")
_FIELD = descriptor_pb2.FieldDescriptorProto
#: Well-known types that take any JSON value.
_ANYTHING = {
    "google.protobuf.Any",
    "google.protobuf.ListValue",
    "google.protobuf.Struct",
    "google.protobuf.Value",
}
#: Well-known types that are written as a single value, and its shape.
_SINGLE = {
    "google.protobuf.BoolValue": "scalar",
    "google.protobuf.BytesValue": "text",
    "google.protobuf.DoubleValue": "scalar",
    "google.protobuf.Duration": "duration",
    "google.protobuf.FieldMask": "text",
    "google.protobuf.FloatValue": "scalar",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.StringValue": "text",
    "google.protobuf.Timestamp": "time",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
}
#: What a plain field holds; floating numbers are left to the transcoder.
_PLAIN = {
    _FIELD.TYPE_BOOL: "truth",
    _FIELD.TYPE_BYTES: "text",
    _FIELD.TYPE_INT32: "int32",
    _FIELD.TYPE_INT64: "int64",
    _FIELD.TYPE_STRING: "text",
    _FIELD.TYPE_UINT32: "uint32",
    _FIELD.TYPE_UINT64: "uint64",
}


def script(source: contracts.Contracts) -> str:
    """Return the whole Lua program that refuses what a JSON body says beyond its message."""
    bodies = {
        method.path: body
        for method in source.methods
        if (body := _body(source, method)) is not None
    }
    names = _reachable(source, (method.request for method in source.methods))
    messages = (f'  ["{name}"] = {{{_fields(source, name)}}},' for name in names)
    enums = {
        name
        for message in names
        for field in source.messages[message].field
        if (name := field.type_name.removeprefix(".")) in source.enums
    }
    words = (
        f'  ["{name}"] = {{{", ".join(f"{one} = true" for one in source.enums[name])}}},'
        for name in sorted(enums)
    )
    entries = (f'  ["{path}"] = {body},' for path, body in bodies.items())
    return "\n".join(
        [
            "local MESSAGES = {",
            *messages,
            "}",
            "local NAMES = {",
            *words,
            "}",
            "local BODIES = {",
            *entries,
            "}",
            _SCRIPT.read_text(encoding="utf-8"),
        ]
    )


def _body(source: contracts.Contracts, method: contracts.Method) -> str | None:
    """Return the entry that the body of a method must follow; None when it takes none."""
    body = method.bindings[0].body if method.bindings else ""
    if not body:
        return None
    if body == "*":
        return f'{{shape = "message", message = "{method.request}"}}'
    field = next(each for each in source.messages[method.request].field if each.name == body)
    repeated = str(_is_list(source, field)).lower()
    shape, message = _shape(source, field)
    return f'{{shape = "{shape}", message = "{message}", list = {repeated}}}'


def _fields(source: contracts.Contracts, name: str) -> str:
    return ", ".join(_entry(source, field) for field in source.messages[name].field)


def _entry(source: contracts.Contracts, field: descriptor_pb2.FieldDescriptorProto) -> str:
    shape, message = _shape(source, field)
    parts = [f'"{field.name}"', f'"{field.json_name or field.name}"', f'"{shape}"']
    if message or _is_list(source, field):
        parts.append(f'"{message}"')
    if _is_list(source, field):
        parts.append("true")
    return f"{{{', '.join(parts)}}}"


def _shape(
    source: contracts.Contracts, field: descriptor_pb2.FieldDescriptorProto
) -> tuple[str, str]:
    """Return how a field's value looks in JSON, and the message or enumeration that it follows."""
    if field.type == _FIELD.TYPE_ENUM:
        return "name", field.type_name.removeprefix(".")
    if field.type != _FIELD.TYPE_MESSAGE:
        return _PLAIN.get(field.type, "scalar"), ""
    name = field.type_name.removeprefix(".")
    if name in _ANYTHING:
        return "any", ""
    if name in _SINGLE:
        return _SINGLE[name], ""
    return "map" if source.messages[name].options.map_entry else "message", name


def _is_list(source: contracts.Contracts, field: descriptor_pb2.FieldDescriptorProto) -> bool:
    return field.label == _FIELD.LABEL_REPEATED and _shape(source, field)[0] != "map"


def _reachable(source: contracts.Contracts, roots: Iterable[str]) -> list[str]:
    seen: set[str] = set()

    def follow(name: str) -> Iterator[str]:
        if name not in seen:
            seen.add(name)
            for field in source.messages[name].field:
                _, message = _shape(source, field)
                if message in source.messages:
                    yield message

    waiting = list(roots)
    while waiting:
        waiting.extend(follow(waiting.pop()))
    return sorted(seen)
