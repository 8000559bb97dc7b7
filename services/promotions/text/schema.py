"""A JSON Schema of the text form, for editors: made of the contract like the form itself.

It knows the words, the forms of values, and the bounds of the contract. What depends on several
fields at once, the reader alone can tell.
"""

from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor
from tessera.promotions.v1 import campaign_pb2

from services.promotions.text import forms, references, words
from services.promotions.text.files import CURRENCY, KEY
from services.promotions.text.words import Unit

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PATTERNS = {
    Unit.MONEY: r"^-?\d{1,18}(\.\d{1,3})? [A-Z]{3}$",
    Unit.PERCENT: r"^-?\d{1,18}(\.\d{1,2})? ?%$",
}
#: Without its zone a time would be another one in each store.
_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_WINDOW = r"^\d{1,2}:\d{2} ?- ?\d{1,2}:\d{2}$"
_BOUND = "A number in the unit of the field."


def make_schema() -> Schema:
    """Return the schema of files."""
    definitions: dict[str, Schema] = {}
    rules = _message(words.RULES, definitions)
    program = _message(words.PROGRAM, definitions)
    trial = forms.Trial.model_json_schema(ref_template="#/$defs/{model}")
    definitions |= trial.pop("$defs", {})
    return {
        "$schema": _DIALECT,
        "title": "Campaigns of Tessera",
        "type": "object",
        "additionalProperties": False,
        "required": ["currency"],
        "anyOf": [{"required": ["campaigns"]}, {"required": ["programs"]}],
        "properties": {
            "currency": {"type": "string", "pattern": f"^{CURRENCY.pattern}$"},
            "points": forms.Terms.model_json_schema(),
            "articles": {
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/Article"},
            },
            "campaigns": {
                "type": "object",
                "propertyNames": {"pattern": f"^{KEY.pattern}$"},
                "additionalProperties": rules,
            },
            "programs": {
                "type": "object",
                "propertyNames": {"pattern": f"^{KEY.pattern}$"},
                "additionalProperties": program,
            },
            "trials": {"type": "array", "items": trial},
        },
        "$defs": definitions,
    }


def _message(kind: descriptor.Descriptor, definitions: dict[str, Schema]) -> Schema:
    """Return a reference to the schema of a message, which is made on the way."""
    if kind.name not in definitions:
        definitions[kind.name] = {}
        definitions[kind.name] = _describe(kind, definitions)
    return {"$ref": f"#/$defs/{kind.name}"}


def _describe(kind: descriptor.Descriptor, definitions: dict[str, Schema]) -> Schema:
    if kind.full_name == "google.protobuf.Timestamp":
        return {"type": "string", "pattern": _TIME}
    if kind.full_name == "google.type.Date":
        return {"type": "string", "pattern": _DATE}
    if kind is campaign_pb2.NumberBounds.DESCRIPTOR:
        return _number_bounds(kind)
    mapping: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            word: _field(field, definitions) for word, field in words.fields_of(kind).items()
        },
    }
    if required := [
        word for word, field in words.fields_of(kind).items() if _rules(field).required
    ]:
        mapping["required"] = required
    for choice in kind.oneofs:
        group = [words.word_of(field) for field in choice.fields]
        several = [{"required": [word]} for word in group]
        must = choice.GetOptions().Extensions[validate_pb2.oneof].required
        mapping.setdefault("allOf", []).append(
            {"oneOf": several if must else [*several, {"not": {"anyOf": several}}]}
        )
    forms = [mapping]
    if kind is campaign_pb2.HourWindow.DESCRIPTOR:
        forms.append({"type": "string", "pattern": _WINDOW})
    if kind.name in words.BRIEF:
        brief = _field(kind.fields[0], definitions)
        forms += brief.get("anyOf", [brief])
    if words.is_choice(kind):
        bare = [one.name for one in kind.fields if one.message_type and not one.message_type.fields]
        forms += [{"enum": bare}] if bare else []
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _number_bounds(kind: descriptor.Descriptor) -> Schema:
    forms = {
        "anyOf": [
            {"type": "number"},
            *({"type": "string", "pattern": pattern} for pattern in _PATTERNS.values()),
        ],
        "description": _BOUND,
    }
    properties = {field.name: forms for field in kind.fields}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _rules(field: words.Field) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def _field(field: words.Field, definitions: dict[str, Schema]) -> Schema:
    if not field.is_repeated:
        return _single(field, _rules(field), definitions)
    bounds = _rules(field).repeated
    item = _single(field, bounds.items, definitions)
    several: Schema = {"type": "array", "items": item}
    if bounds.HasField("min_items"):
        several["minItems"] = bounds.min_items
    if bounds.HasField("max_items"):
        several["maxItems"] = bounds.max_items
    return {"anyOf": [several, item]}


def _single(field: words.Field, rules: Any, definitions: dict[str, Schema]) -> Schema:
    if field.message_type is not None:
        return _message(field.message_type, definitions)
    if field.enum_type is not None:
        refused = set(rules.enum.not_in)
        known = words.values_of(field.enum_type).items()
        return {"enum": [word for word, number in known if number not in refused]}
    if field.type == words.Field.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type == words.Field.TYPE_STRING:
        if field.name == references.FIELD:
            return {"type": "string", "pattern": f"^({references.ID.pattern}|{KEY.pattern})$"}
        return _text(rules.string)
    return _number(field, rules)


def _text(rules: Any) -> Schema:
    """Return what a text may be; what looks like a number is one to an editor, and a text to us."""
    text: Schema = {"type": "string"}
    for name, word in (("min_len", "minLength"), ("max_len", "maxLength"), ("pattern", "pattern")):
        if rules.HasField(name):
            text[word] = getattr(rules, name)
    return {"anyOf": [text, {"type": "number"}]}


def _number(field: words.Field, rules: Any) -> Schema:
    unit = words.unit_of(field)
    if field.containing_type and (field.containing_type.name, field.name) in words.EITHER:
        money: Schema = {"type": "string", "pattern": _PATTERNS[Unit.MONEY]}
        return {"anyOf": [money, {"type": "integer", "minimum": 0}]}
    if unit in _PATTERNS:
        return {"type": "string", "pattern": _PATTERNS[unit]}
    bounds = rules.int32 if field.type == words.Field.TYPE_INT32 else rules.int64
    scale = {Unit.QUANTITY: 1_000, Unit.FACTOR: 100}.get(unit, 1)
    made: Schema = {"type": "integer" if unit is Unit.COUNT else "number"}
    for name, word in (
        ("gte", "minimum"),
        ("gt", "exclusiveMinimum"),
        ("lte", "maximum"),
        ("lt", "exclusiveMaximum"),
    ):
        if bounds.HasField(name):
            made[word] = getattr(bounds, name) / scale if scale > 1 else getattr(bounds, name)
    return made
