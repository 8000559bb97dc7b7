"""Files of campaigns, read together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions import engine, text
from services.promotions.text import trials
from services.promotions.text.problems import Unreadable
from services.promotions.wire import rules as wire_rules

Rules = campaign_pb2.CampaignRules


@dataclass(frozen=True)
class Source:
    """A file and what it says."""

    path: Path
    document: text.Document


@dataclass(frozen=True)
class Failure:
    """A trial that did not turn out as expected."""

    source: Source
    test: text.Test
    differences: tuple[str, ...]


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the files; a folder stands for all `*.yaml` below it."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    return found


def read(paths: Iterable[Path]) -> list[Source]:
    """Return what files say; raises OSError and UnicodeDecodeError."""
    now = datetime.now(UTC)
    return [
        Source(path, text.read(path.read_text(encoding="utf-8"), now=now)) for path in find(paths)
    ]


def find_warnings(sources: Iterable[Source]) -> Iterator[str]:
    """Return what is sound and hardly anybody means, one line each."""
    for source in sources:
        for one in source.document.warnings:
            where = f"{source.path}:{one.line}:{one.column}"
            yield f"{where}: warning: {one.path}: {one.text}"


def find_problems(sources: Sequence[Source]) -> Iterator[str]:
    """Return everything that is wrong, in each file and between them, one line each."""
    owners: dict[str, Source] = {}
    currencies: dict[str, Source] = {}
    campaigns = []
    for source in sources:
        document = source.document
        for problem in document.problems:
            yield f"{source.path}:{problem}"
        if document.currency:
            currencies.setdefault(document.currency, source)
        for key, line in document.lines.items():
            owner = owners.setdefault(key, source)
            if owner is not source:
                yield f"{source.path}:{line}:1: {key} is in {owner.path}, too"
        for key, rules in document.campaigns.items():
            campaigns.append(engine.Campaign(key, 1, wire_rules.parse_rules(rules)))
    yield from _find_taken_names(sources)
    if len(currencies) > 1:
        named = ", ".join(f"{code} in {source.path}" for code, source in currencies.items())
        yield f"files of one program have one currency: {named}"
    for taken in engine.find_taken_codes(campaigns):
        source = owners[taken.other_campaign_id]
        line = source.document.lines[taken.other_campaign_id]
        yield (
            f"{source.path}:{line}:1: {taken.other_campaign_id}: the code {taken.code} belongs to"
            f" {taken.campaign_id}"
        )


def _find_taken_names(sources: Iterable[Source]) -> Iterator[str]:
    """Return what two programs would have: their name, or that of a level, a plan or an offer."""
    owners: dict[tuple[str, str], str] = {}
    for source in sources:
        for key, line in source.document.program_lines.items():
            names = [("program", key)]
            if rules := source.document.programs.get(key):
                names += _names_of(rules)
            for what, name in names:
                owner = owners.setdefault((what, name), f"{key} in {source.path}")
                if owner != f"{key} in {source.path}":
                    yield f"{source.path}:{line}:1: {key}: the {what} {name} belongs to {owner}"


def _names_of(rules: program_pb2.ProgramRules) -> list[tuple[str, str]]:
    """Return what campaigns call a program by."""
    found = [("level", tier.tier_id) for tier in rules.tiers.tiers]
    if rules.HasField("plan"):
        found.append(("plan", rules.plan.plan_id))
    if rules.HasField("offers"):
        found.append(("offer", rules.offers.offer_id))
    return found


def programs_of(sources: Iterable[Source]) -> dict[str, program_pb2.ProgramRules]:
    """Return every program by name."""
    return {key: rules for one in sources for key, rules in one.document.programs.items()}


def campaigns_of(sources: Iterable[Source]) -> dict[str, Rules]:
    """Return every campaign by name."""
    return {key: rules for one in sources for key, rules in one.document.campaigns.items()}


def currency_of(sources: Iterable[Source]) -> str:
    """Return the one currency of sound files."""
    return next((one.document.currency for one in sources), "")


def run_trials(source: Source, campaigns: Mapping[str, Rules]) -> list[Failure]:
    """Run the trials of a file; `campaigns` are those that they may name besides the file's own."""
    document = source.document
    failures = []
    for test in document.tests:
        known = document.campaigns if test.trial.campaigns is None else campaigns
        try:
            differences = trials.run(
                test.trial,
                known,
                currency=document.currency,
                articles=document.articles,
                terms=document.points,
            )
        except Unreadable as error:
            differences = [f"the trial makes no sense: {error}"]
        if differences:
            failures.append(Failure(source, test, tuple(differences)))
    return failures
