"""Files: the currency, campaigns and programs by name, and trials beside them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pydantic
import pydantic_core
import yaml
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions.text import forms, nodes, reading, scalars, writing
from services.promotions.text.forms import Article, Terms, Trial
from services.promotions.text.problems import Problem, Unreadable

KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
CURRENCY = re.compile(r"[A-Z]{3}")
WORDS = ("currency", "campaigns", "programs", "points", "articles", "trials")


@dataclass(frozen=True, slots=True)
class Test:
    """A trial, and the line where it stands."""

    trial: Trial
    line: int


@dataclass
class Document:
    """What a file says; with `problems` it says it only in part."""

    currency: str = ""
    campaigns: dict[str, campaign_pb2.CampaignRules] = field(default_factory=dict)
    programs: dict[str, program_pb2.ProgramRules] = field(default_factory=dict)
    #: Where each campaign begins, and each program.
    lines: dict[str, int] = field(default_factory=dict)
    program_lines: dict[str, int] = field(default_factory=dict)
    points: Terms | None = None
    articles: dict[str, Article] = field(default_factory=dict)
    tests: list[Test] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: What is sound and hardly anybody means.
    warnings: list[Problem] = field(default_factory=list)
    #: Names of campaigns by the ids that stand for them in the rules.
    references: dict[str, str] = field(default_factory=dict)


def read(text: str, *, now: datetime | None = None) -> Document:
    """Return what a file says, with everything that is wrong with it.

    With `now` also what is doubtful about it at that moment.
    """
    document = Document()
    try:
        _read(text, document, now)
    except RecursionError:
        document.problems.append(Problem(1, 1, "", "is nested too deeply to be read"))
    document.problems.sort()
    return document


def _read(text: str, document: Document, now: datetime | None) -> None:
    try:
        root = nodes.compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(line, column, "", str(error.problem)))
        return
    except yaml.YAMLError as error:
        document.problems.append(Problem(1, 1, "", str(error)))
        return
    _Parser(document, now).read(root)


class _Parser:
    def __init__(self, document: Document, now: datetime | None) -> None:
        self._document = document
        self._reader = reading.Reader(
            "", document.problems, document.references, document.warnings, now
        )

    def read(self, root: nodes.Node | None) -> None:
        if not isinstance(root, yaml.MappingNode):
            self._document.problems.append(
                Problem(1, 1, "", f"must be a mapping of {', '.join(WORDS)}")
            )
            return
        parts = self._split(root, "", WORDS)
        if "currency" not in parts:
            self._reader.complain(root, "", "currency is missing")
        if "campaigns" not in parts and "programs" not in parts:
            self._reader.complain(root, "", "campaigns is missing, or programs")
        if "currency" in parts:
            self._read_currency(parts["currency"])
        if "points" in parts:
            self._document.points = self._model(Terms, parts["points"], "points")
        self._read_rules(parts)
        for sku, node in self._entries(parts.get("articles"), "articles"):
            if article := self._model(Article, node, f"articles.{sku}"):
                self._document.articles[sku] = article
        self._read_trials(parts.get("trials"))

    def _read_rules(self, parts: Mapping[str, nodes.Node]) -> None:
        """Read campaigns and programs."""
        for key, value in self._named(parts.get("campaigns"), "campaigns"):
            self._document.lines[key] = value.start_mark.line + 1
            if rules := reading.read_rules(self._reader, value, name=key):
                self._document.campaigns[key] = rules
        for key, value in self._named(parts.get("programs"), "programs"):
            self._document.program_lines[key] = value.start_mark.line + 1
            if program := reading.read_program(self._reader, value, name=key):
                self._document.programs[key] = program

    def _split(
        self, node: yaml.MappingNode, path: str, known: Iterable[str] | None = None
    ) -> dict[str, nodes.Node]:
        """Return the entries of a mapping; complains about words that are unknown or doubled."""
        parts: dict[str, nodes.Node] = {}
        for key, value in node.value:
            word = str(key.value)
            try:
                scalars.read_word(word, [word] if known is None else known)
            except Unreadable as error:
                self._reader.complain(key, path, str(error))
                continue
            if word in parts:
                self._reader.complain(key, path, f"{word} is there twice")
            else:
                parts[word] = value
        return parts

    def _entries(self, node: nodes.Node | None, path: str) -> list[tuple[str, nodes.Node]]:
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self._reader.complain(node, path, "must be a mapping of names")
            return []
        return list(self._split(node, path).items())

    def _read_currency(self, node: nodes.Node) -> None:
        value = str(node.value)
        if not isinstance(node, yaml.ScalarNode) or not CURRENCY.fullmatch(value):
            self._reader.complain(node, "currency", "must be a code like USD")
            return
        self._document.currency = self._reader.currency = value

    def _named(self, node: nodes.Node | None, path: str) -> Iterator[tuple[str, nodes.Node]]:
        """Return campaigns or programs that have a name by which they can be found."""
        for key, value in self._entries(node, path):
            if KEY.fullmatch(key):
                yield key, value
            else:
                text = "names are up to 64 small letters, digits and hyphens"
                self._reader.complain(value, f"{path}.{key}", text)

    def _read_trials(self, node: nodes.Node | None) -> None:
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self._reader.complain(node, "trials", "must be a list")
            return
        for place, item in enumerate(node.value):
            trial = self._model(Trial, item, f"trials[{place}]")
            if trial is not None:
                self._document.tests.append(Test(trial, item.start_mark.line + 1))

    def _model(self, kind: type[Any], node: nodes.Node, path: str) -> Any:
        try:
            return kind.model_validate(_plain(node))
        except pydantic.ValidationError as error:
            for one in error.errors(include_url=False):
                place, shown = node, path
                for step in one["loc"]:
                    inner = _child(place, step)
                    shown += f"[{step}]" if isinstance(step, int) else f".{step}"
                    place = place if inner is None else inner
                self._reader.complain(place, shown, _tell(one))
            return None


def _tell(error: pydantic_core.ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return forms.tell_mismatch(str(error["input"]), error["ctx"]["pattern"])
    return forms.tell_error(error["type"], error["msg"])


def _plain(node: nodes.Node) -> Any:
    """Return a node's values; names of goods and the like stay as they are written."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if nodes.is_null(node):
        return None
    if nodes.is_truth(node):
        return node.value == "true"
    return node.value


def _child(node: nodes.Node, step: int | str) -> nodes.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: nodes.Node = node.value[step]
        return found
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if str(key.value) == str(step)), None)
    return None


def dump(
    campaigns: Mapping[str, campaign_pb2.CampaignRules],
    *,
    currency: str,
    programs: Mapping[str, program_pb2.ProgramRules] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """Return campaigns and programs as the text of a file; `names` are those of campaigns by id."""
    written: dict[str, Any] = {"currency": currency}
    for word, held in (("campaigns", campaigns), ("programs", programs or {})):
        if held or word == "campaigns":
            written[word] = {
                key: writing.write_rules(rules, currency=currency, names=names)
                for key, rules in held.items()
            }
    return writing.dump(written)
