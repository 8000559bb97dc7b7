"""Files of campaigns, read together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tessera.promotions.v1 import campaign_pb2

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
    return [Source(path, text.read(path.read_text(encoding="utf-8"))) for path in find(paths)]


def find_problems(sources: Iterable[Source]) -> Iterator[str]:
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
