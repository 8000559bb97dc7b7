"""What a run found, for people (tables) and for programs (JSON)."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.pretty import Pretty
from rich.table import Table

from tools.conformance.promotions.comparison import Difference
from tools.conformance.promotions.runner import Outcome, Verdict

_COLOURS = {
    Verdict.PASSED: "green",
    Verdict.DIFFERS: "cyan",
    Verdict.UNSUPPORTED: "yellow",
    Verdict.FAILED: "red",
}


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print verdicts by fidelity, then why: policies, missing mechanics, failures."""
    console.print(_table_of_verdicts(outcomes))
    for verdict, tell in (
        (Verdict.DIFFERS, _table_of_policies),
        (Verdict.UNSUPPORTED, _table_of_gaps),
        (Verdict.FAILED, _table_of_failures),
    ):
        chosen = [one for one in outcomes if one.verdict is verdict]
        if chosen:
            console.print(tell(chosen))
    if told := _find_told(outcomes):
        console.print(f"Gifts chosen as the case expects, for nothing else tells: {_list(told)}")


def show_one(console: Console, outcome: Outcome) -> None:
    """Print one case whole: as it is written, as we read it, what it got, what differs."""
    colour = _COLOURS[outcome.verdict]
    console.rule(f"{escape(outcome.case.case_id)} [{colour}]{outcome.verdict.value}[/{colour}]")
    console.print(escape(outcome.case.title))
    console.print_json(data={k: v for k, v in outcome.case.plain.items() if k != "source"})
    if outcome.scenario:
        for campaign in outcome.scenario.campaigns:
            console.print(Pretty(campaign, expand_all=False))
        console.print(Pretty(outcome.scenario.cart))
    if outcome.result:
        console.print(Pretty(outcome.result.decision))
    for gap in outcome.gaps:
        console.print(f"[yellow]lacks[/yellow] {escape(gap)}")
    for policy in outcome.policies:
        console.print(f"[cyan]{escape(policy.question)}[/cyan] {escape(policy.answer)}")
    if outcome.differences:
        console.print(_table_of_differences(outcome.differences))


def write(path: Path, file: Path, outcomes: Sequence[Outcome]) -> None:
    """Write everything as JSON."""
    counts = Counter(one.verdict.value for one in outcomes)
    content = {
        "file": file.name,
        "counts": {verdict.value: counts[verdict.value] for verdict in Verdict},
        "cases": [_plain(one) for one in outcomes],
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.case.case_id,
        "title": outcome.case.title,
        "fidelity": outcome.case.fidelity,
        "verdict": outcome.verdict.value,
        "gifts_chosen_as_expected": bool(_find_told([outcome])),
        "policies": [policy.question for policy in outcome.policies],
        "unsupported": list(outcome.gaps),
        "differences": [
            {"field": one.field, "expected": one.expected, "actual": one.actual}
            for one in outcome.differences
        ],
    }


def _table_of_verdicts(outcomes: Sequence[Outcome]) -> Table:
    table = Table("fidelity", title="Cases")
    for verdict in Verdict:
        table.add_column(verdict.value, justify="right", style=_COLOURS[verdict])
    table.add_column("all", justify="right")
    for fidelity in dict.fromkeys(one.case.fidelity for one in outcomes):
        chosen = [one for one in outcomes if one.case.fidelity == fidelity]
        table.add_row(fidelity, *_count(chosen))
    table.add_section()
    table.add_row("all", *_count(outcomes))
    return table


def _count(outcomes: Sequence[Outcome]) -> list[str]:
    counts = Counter(one.verdict for one in outcomes)
    return [*(str(counts[verdict] or "") for verdict in Verdict), str(len(outcomes))]


def _table_of_policies(outcomes: Sequence[Outcome]) -> Table:
    cases = defaultdict(list)
    answers = {}
    for outcome in outcomes:
        for policy in outcome.policies:
            cases[policy.question].append(outcome.case.case_id)
            answers[policy.question] = policy.answer
    table = Table("question", "our answer", "cases", title="Differ by policy", show_lines=True)
    for question, ids in sorted(cases.items(), key=_by_size):
        table.add_row(escape(question), escape(answers[question]), _list(ids))
    return table


def _table_of_gaps(outcomes: Sequence[Outcome]) -> Table:
    cases = defaultdict(list)
    for outcome in outcomes:
        for gap in outcome.gaps:
            cases[gap].append(outcome)
    table = Table(title="Unsupported", show_lines=True)
    table.add_column("what is missing")
    table.add_column("cases", justify="right")
    table.add_column("only this", justify="right")
    table.add_column("ids")
    for gap, chosen in sorted(cases.items(), key=_by_size):
        alone = sum(len(one.gaps) == 1 for one in chosen)
        ids = _list([one.case.case_id for one in chosen])
        table.add_row(escape(gap), str(len(chosen)), str(alone), ids)
    return table


def _table_of_failures(outcomes: Iterable[Outcome]) -> Table:
    table = Table("case", "title", "field", "expected", "actual", title="Failed")
    for outcome in outcomes:
        for place, one in enumerate(outcome.differences):
            first = (outcome.case.case_id, outcome.case.title) if not place else ("", "")
            table.add_row(*map(escape, (*first, one.field, one.expected, one.actual)))
        table.add_section()
    return table


def _table_of_differences(differences: Iterable[Difference]) -> Table:
    table = Table("field", "expected", "actual", title="Differences")
    for one in differences:
        table.add_row(*map(escape, (one.field, one.expected, one.actual)))
    return table


def _find_told(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the cases whose expectation told which gifts to take."""
    return [one.case.case_id for one in outcomes if one.scenario and one.scenario.told]


def _by_size(item: tuple[str, Sequence[object]]) -> tuple[int, str]:
    return -len(item[1]), item[0]


def _list(ids: Iterable[str]) -> str:
    return escape(", ".join(ids))
