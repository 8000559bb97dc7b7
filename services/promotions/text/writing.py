"""From messages to text."""

from collections.abc import Mapping
from typing import Any

import yaml
from google.protobuf import message, timestamp_pb2
from google.type import date_pb2
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions.text import references, scalars, words
from services.promotions.wire import templates

_WIDTH = 120


class Bare(str):
    """A text that is written without quotes, though it looks like something else than text."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes what the reader reads; indents lists under their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002  the library's signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_bare(dumper: yaml.SafeDumper, data: Bare) -> yaml.Node:
    tag = dumper.resolve(yaml.ScalarNode, str(data), (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag, str(data))


def _represent_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # Characters that nobody sees are escaped; other styles would fold some of them into a space.
    style = None if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(Bare, _represent_bare)
_Dumper.add_representer(str, _represent_text)


def dump(document: Any) -> str:
    """Return plain values as YAML: what holds single values only in one line."""
    return str(
        yaml.dump(
            document,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=_WIDTH,
            default_flow_style=None,
        )
    )


def write_rules(
    rules: campaign_pb2.CampaignRules | program_pb2.ProgramRules,
    *,
    currency: str,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return rules as plain values, ready to be dumped; `names` are those of campaigns by id."""
    written = _Writer(currency, rules, names or {}).write(rules)
    assert isinstance(written, dict)
    return written


def _write_single(value: message.Message) -> str | None:
    """Return a message that is written as one value; None for what is not."""
    if isinstance(value, timestamp_pb2.Timestamp):
        return str(value.ToJsonString())
    if isinstance(value, date_pb2.Date):
        return scalars.write_date(value)
    if isinstance(value, campaign_pb2.HourWindow) and scalars.is_window(
        value.start_minute, value.end_minute
    ):
        return scalars.write_window(value.start_minute, value.end_minute)
    return None


class _Writer:
    def __init__(
        self,
        currency: str,
        rules: campaign_pb2.CampaignRules | program_pb2.ProgramRules,
        names: Mapping[str, str],
    ) -> None:
        self._currency = currency
        self._rules = rules
        self._names = names

    def write(self, value: message.Message) -> Any:
        """Return a message as a mapping, or as briefly as it may be written."""
        if (single := _write_single(value)) is not None:
            return Bare(single)
        kind: Any = value.DESCRIPTOR
        if isinstance(value, campaign_pb2.Parameter):
            return self._parameter(value)
        present = value.ListFields()
        if words.is_choice(kind) and present:
            one: Any = present[0][0]
            if not one.message_type.fields:
                return one.name
        if kind.name in words.BRIEF and [one for one, _ in present] == [kind.fields[0]]:
            return self._value(value, *present[0])
        ordered = sorted(present, key=lambda pair: pair[0].index)
        return {words.word_of(one): self._value(value, one, held) for one, held in ordered}

    def _value(self, holder: message.Message, one: words.Field, held: Any) -> Any:
        if one.is_repeated:
            return [self._single(holder, one, item) for item in held]
        return self._single(holder, one, held)

    def _single(self, holder: message.Message, one: words.Field, held: Any) -> Any:
        if one.message_type is not None:
            return self.write(held)
        if one.enum_type is not None:
            names = {number: word for word, number in words.values_of(one.enum_type).items()}
            return names[held]
        if one.name == references.FIELD:
            return self._names.get(held, held)
        if one.type in {words.Field.TYPE_STRING, words.Field.TYPE_BOOL}:
            return held
        unit = words.unit_of(one, holder, self._rules)
        return Bare(scalars.write_number(held, unit, self._currency))

    def _parameter(self, parameter: campaign_pb2.Parameter) -> dict[str, Any]:
        """Return a parameter: its field in words, its bounds in the unit of the field."""
        written: dict[str, Any] = {}
        for one, held in sorted(parameter.ListFields(), key=lambda pair: pair[0].index):
            if one.name == "field":
                written["field"] = words.to_words(held)
            elif one.name == "number":
                spot = None
                if isinstance(self._rules, campaign_pb2.CampaignRules):
                    spot = templates.locate(self._rules, parameter.field)
                unit = words.Unit.COUNT
                if spot is not None:
                    unit = words.unit_of(spot.field, spot.holder, self._rules)
                written["number"] = {
                    bound.name: Bare(scalars.write_number(value, unit, self._currency))
                    for bound, value in held.ListFields()
                }
            else:
                written[words.word_of(one)] = self._single(parameter, one, held)
        return written
