"""From text to messages, with every problem at its place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeAlias

import protovalidate
import yaml
from google.protobuf import message
from google.type import date_pb2
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.chassis import errors as chassis_errors
from services.chassis import validation
from services.promotions import engine, errors
from services.promotions.text import nodes, references, scalars, wording, words
from services.promotions.text.problems import Problem, Unreadable
from services.promotions.wire import programs, templates
from services.promotions.wire import rules as wire_rules

Rules: TypeAlias = campaign_pb2.CampaignRules | program_pb2.ProgramRules

_NUMBERS = {words.Field.TYPE_INT32: 31, words.Field.TYPE_INT64: 63}
_NUMBER = re.compile(r"-?\d+")
_BOUNDS = campaign_pb2.NumberBounds.DESCRIPTOR


@dataclass
class Reader:
    """Reads one file: its currency, what is wrong with it, and where each field of a message is."""

    currency: str
    problems: list[Problem] = field(default_factory=list)
    #: Names of campaigns by the ids that stand for them.
    references: dict[str, str] = field(default_factory=dict)
    #: What sound rules say and hardly anybody means, at `now`; not looked for without it.
    warnings: list[Problem] = field(default_factory=list)
    now: datetime | None = None

    def complain(self, node: nodes.Node, path: str, text: str) -> None:
        """Note a problem at a node."""
        self.problems.append(_problem(node, path, text))


def _problem(node: nodes.Node, path: str, text: str) -> Problem:
    mark = node.start_mark
    return Problem(mark.line + 1, mark.column + 1, path, text)


def read_rules(reader: Reader, node: nodes.Node, *, name: str) -> campaign_pb2.CampaignRules | None:
    """Return the rules at a node, checked as the server checks them; None when they are not sound.

    `name` stands before the paths of problems.
    """
    made = campaign_pb2.CampaignRules()
    walk = _Walk(reader, name, made)
    if not _read_sound(walk, reader, node, made):
        return None
    if reader.now is not None:
        for doubt in engine.find_doubts(wire_rules.parse_rules(made), now=reader.now):
            walk.warn_at(node, doubt.field, doubt.problem)
    return made


def read_program(reader: Reader, node: nodes.Node, *, name: str) -> program_pb2.ProgramRules | None:
    """Return a program's rules at a node like `read_rules`; whatever day it is."""
    made = program_pb2.ProgramRules()
    return made if _read_sound(_Walk(reader, name, made), reader, node, made) else None


def _read_sound(walk: "_Walk", reader: Reader, node: nodes.Node, made: Rules) -> bool:
    """Read rules, and tell whether nothing is wrong with them."""
    before = len(reader.problems)
    walk.read_message(node, made, "")
    if len(reader.problems) == before:
        for path, problem in _find_problems(made, reader.currency):
            walk.complain_at(node, path, problem)
    return len(reader.problems) == before


def parse_rules(reader: Reader, node: nodes.Node, made: Rules) -> Rules:
    """Return the rules at a node, read into `made`, whether they make sense or not."""
    _Walk(reader, "", made).read_message(node, made, "")
    return made


def _find_problems(made: Rules, currency: str) -> Iterator[tuple[str, str]]:
    broken = protovalidate.collect_violations(made)
    for violation in broken:
        shown = validation.describe(violation.proto, made.DESCRIPTOR)
        described = wording.tell_rule(violation.proto, shown.description)
        if shown.rule.startswith(("int32.", "int64.")):
            unit = _unit_at(made, violation.proto)
            described = _in_unit(described, unit, currency)
        yield shown.field, described
    if broken:
        return
    if isinstance(made, program_pb2.ProgramRules):
        yield from _find_program_problems(made)
        return
    try:
        parsed = wire_rules.parse_rules(made)
    except chassis_errors.InvalidRequest as refusal:
        for one in refusal.violations:
            yield one.field.removeprefix("rules."), one.description
        return
    for problem in [*engine.find_problems(parsed), *templates.find_problems(made)]:
        yield problem.field, problem.problem


def _find_program_problems(made: program_pb2.ProgramRules) -> Iterator[tuple[str, str]]:
    try:
        # A file stays right when its days have passed.
        problems = programs.find_problems(made, today=date.min)
    except errors.ProgramInvalid as refusal:
        yield str(refusal.fields["field"]).removeprefix("rules."), str(refusal.fields["problem"])
        return
    for problem in problems:
        yield problem.field, problem.problem


def _unit_at(made: Rules, violation: Any) -> words.Unit:
    """Return what the number that breaks a rule counts."""
    *parents, last = violation.field.elements
    holder: Any = made
    for element in parents:
        holder = getattr(holder, element.field_name)
        if element.subscript is not None:
            holder = holder[element.subscript.value]
    return words.unit_of(holder.DESCRIPTOR.fields_by_name[last.field_name], holder, made)


def _in_unit(described: str, unit: words.Unit, currency: str) -> str:
    """Return a rule with its bounds as the file writes such numbers."""
    return _NUMBER.sub(lambda found: scalars.write_number(int(found[0]), unit, currency), described)


class _Walk:
    """Reads one message and remembers where its fields stand."""

    def __init__(self, reader: Reader, name: str, rules: Rules) -> None:
        self._reader = reader
        self._name = name
        self._places: dict[str, nodes.Node] = {}
        self._rules = rules

    def complain(self, node: nodes.Node, path: str, text: str) -> None:
        self._reader.complain(node, self._tell(path), wording.in_words(text))

    def complain_at(self, root: nodes.Node, path: str, text: str) -> None:
        """Note a problem with a field of the contract at the nearest place that was written."""
        self.complain(self._find(root, path), path, text)

    def warn_at(self, root: nodes.Node, path: str, text: str) -> None:
        """Note a doubt about a field like a problem with it."""
        found = _problem(self._find(root, path), self._tell(path), wording.in_words(text))
        self._reader.warnings.append(found)

    def _tell(self, path: str) -> str:
        shown = words.to_words(path, self._rules.DESCRIPTOR)
        return ": ".join(part for part in (self._name, shown) if part)

    def _find(self, root: nodes.Node, path: str) -> nodes.Node:
        while path and path not in self._places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._places.get(path, root)

    def read_message(self, node: nodes.Node, into: message.Message, path: str) -> None:
        """Read what a node says into a message."""
        self._places[path] = node
        kind: Any = into.DESCRIPTOR
        try:
            if self._read_special(node, into):
                return
        except Unreadable as error:
            self.complain(node, path, str(error))
            return
        if isinstance(node, yaml.MappingNode):
            self._read_mapping(node, into, path)
        elif nodes.is_null(node):
            self.complain(node, path, "is empty")
        elif kind.name in words.BRIEF:
            self._read_field(node, into, kind.fields[0], _join(path, kind.fields[0].name))
        elif isinstance(node, yaml.ScalarNode) and words.is_choice(kind):
            self._read_name(node, into, path)
        else:
            self.complain(node, path, f"must be a mapping of {', '.join(words.fields_of(kind))}")

    def _read_special(self, node: nodes.Node, into: message.Message) -> bool:
        """Read a message that is written as one value."""
        if not isinstance(node, yaml.ScalarNode):
            return False
        if into.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
            into.CopyFrom(scalars.read_time(node.value))
            return True
        if isinstance(into, date_pb2.Date):
            into.CopyFrom(scalars.read_date(node.value))
            return True
        if isinstance(into, campaign_pb2.HourWindow):
            into.start_minute, into.end_minute = scalars.read_window(node.value)
            return True
        return False

    def _read_name(self, node: yaml.ScalarNode, into: message.Message, path: str) -> None:
        """Read a kind that has nothing to say but its name."""
        kind: Any = into.DESCRIPTOR
        bare = [one.name for one in kind.fields if not one.message_type.fields]
        try:
            getattr(into, scalars.read_word(node.value, bare)).SetInParent()
        except Unreadable as error:
            self.complain(node, path, str(error))

    def _read_mapping(self, node: yaml.MappingNode, into: message.Message, path: str) -> None:
        known = words.fields_of(into.DESCRIPTOR)
        seen: dict[str, str] = {}
        later = []
        for key, value in node.value:
            try:
                word = scalars.read_word(str(key.value), known)
            except Unreadable as error:
                self.complain(key, path, str(error))
                continue
            one = known[word]
            group = one.containing_oneof.name if one.containing_oneof else word
            if group in seen:
                both = (
                    "is there twice"
                    if seen[group] == word
                    else f"cannot stand beside {seen[group]}"
                )
                self.complain(key, _join(path, one.name), both)
                continue
            seen[group] = word
            if one.name in words.LATER:
                later.append((value, one))
            else:
                self._read_field(value, into, one, _join(path, one.name))
        for value, one in later:
            if one.name == "parameters":
                self._read_parameters(value, into, path)
            else:
                self._read_field(value, into, one, _join(path, one.name))

    def _read_field(
        self, node: nodes.Node, into: message.Message, one: words.Field, path: str
    ) -> None:
        self._places[path] = node
        if not one.is_repeated:
            if one.message_type is not None:
                held = getattr(into, one.name)
                held.SetInParent()
                self.read_message(node, held, path)
            else:
                value = self._read_scalar(node, into, one, path)
                if value is not None:
                    setattr(into, one.name, value)
            return
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        held = getattr(into, one.name)
        for place, item in enumerate(items):
            where = f"{path}[{place}]"
            if one.message_type is not None:
                self.read_message(item, held.add(), where)
                continue
            self._places[where] = item
            value = self._read_scalar(item, into, one, where)
            if value is not None:
                held.append(value)

    def _read_scalar(
        self, node: nodes.Node, into: message.Message, one: words.Field, path: str
    ) -> Any:
        """Return the value of a node; None after a complaint."""
        if not isinstance(node, yaml.ScalarNode):
            self.complain(node, path, "must be a single value")
            return None
        try:
            return self._parse(node, into, one)
        except Unreadable as error:
            self.complain(node, path, str(error))
            return None

    def _parse(self, node: yaml.ScalarNode, into: message.Message, one: words.Field) -> Any:
        text = str(node.value)
        if nodes.is_null(node):
            raise Unreadable("is empty")
        if one.type == words.Field.TYPE_BOOL:
            if not nodes.is_truth(node):
                raise Unreadable(f"must be true or false, not {text}")
            return text == "true"
        if one.enum_type is not None:
            known = words.values_of(one.enum_type)
            return known[scalars.read_word(text, known)]
        if one.type == words.Field.TYPE_STRING:
            if nodes.is_truth(node):
                raise Unreadable(f'is yes or no; write "{text}" for the word')
            return self._refer(text) if one.name == references.FIELD else text
        return self._count(text, words.unit_of(one, into, self._rules), one)

    def _refer(self, text: str) -> str:
        """Return the id of a campaign, for a name the one that stands for it."""
        if references.ID.fullmatch(text):
            return text
        made = references.placeholder(text)
        self._reader.references[made] = text
        return made

    def _count(self, text: str, unit: words.Unit, one: words.Field) -> int:
        value = scalars.read_number(text, unit, self._reader.currency)
        if abs(value) >> _NUMBERS[one.type]:
            raise Unreadable("is too large")
        return value

    def _read_parameters(self, node: nodes.Node, into: Any, path: str) -> None:
        """Read parameters: their fields in words, their bounds in the unit of the field."""
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for place, item in enumerate(items):
            where = f"{_join(path, 'parameters')}[{place}]"
            made = into.parameters.add()
            if not isinstance(item, yaml.MappingNode):
                self.complain(item, where, "must be a mapping")
                continue
            bounds = [value for key, value in item.value if key.value == "number"]
            kept = [(key, value) for key, value in item.value if key.value != "number"]
            rest = yaml.MappingNode(item.tag, kept, item.start_mark, item.end_mark)
            self.read_message(rest, made, where)
            made.field = words.from_words(made.field)
            spot = templates.locate(into, made.field)
            unit = words.Unit.COUNT
            if spot is not None:
                unit = words.unit_of(spot.field, spot.holder, into)
            for one in bounds:
                if made.WhichOneof("bounds"):
                    self.complain(one, where, "has bounds of two kinds")
                made.number.SetInParent()
                self._read_bounds(one, made.number, unit, f"{where}.number")

    def _read_bounds(
        self, node: nodes.Node, into: campaign_pb2.NumberBounds, unit: words.Unit, path: str
    ) -> None:
        self._places[path] = node
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, path, "must be a mapping of min, max, step")
            return
        known = words.fields_of(_BOUNDS)
        for key, value in node.value:
            where = _join(path, str(key.value))
            self._places[where] = value
            try:
                one = known[scalars.read_word(str(key.value), known)]
                setattr(into, one.name, self._count(str(value.value), unit, one))
            except Unreadable as error:
                self.complain(value, where, str(error))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
