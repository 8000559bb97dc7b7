"""Runs cases: each ends in one verdict, with its reasons."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tools.conformance.promotions import (
    comparison,
    policies,
    registers,
    results,
    scenarios,
    spellings,
)
from tools.conformance.promotions.cases import Case
from tools.conformance.promotions.comparison import Difference
from tools.conformance.promotions.policies import Policy
from tools.conformance.promotions.results import Result
from tools.conformance.promotions.scenarios import Scenario
from tools.conformance.promotions.words import Gaps


class Verdict(enum.Enum):
    """How a case ends."""

    PASSED = "passed"
    DIFFERS = "differs by policy"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case; `gaps` are the mechanics that it needs and does not find."""

    case: Case
    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    policies: tuple[Policy, ...] = ()
    gaps: tuple[str, ...] = ()
    scenario: Scenario | None = None
    result: Result | None = None


def run_all(found: Iterable[Case]) -> list[Outcome]:
    """Return the outcome of each case, in order."""
    return [run(case) for case in found]


def _run_registers(case: Case) -> Outcome:
    gaps = Gaps()
    differences: list[Difference] = []
    with gaps.collect():
        differences = registers.compare(case, gaps)
    if gaps.found:
        return Outcome(case, Verdict.UNSUPPORTED, gaps=gaps.found)
    verdict = Verdict.FAILED if differences else Verdict.PASSED
    return Outcome(case, verdict, tuple(differences))


def run(case: Case) -> Outcome:
    """Return the outcome of a case; whatever a case says, this does not raise."""
    try:
        outcome = _run(case)
        return outcome if outcome.verdict is not Verdict.UNSUPPORTED else _run_respelt(outcome)
    except Exception as fault:  # noqa: BLE001  one case must not end the run
        broken = Difference("run", "an answer", f"{type(fault).__name__}: {fault}")
        return Outcome(case, Verdict.FAILED, differences=(broken,))


def _run_respelt(unread: Outcome) -> Outcome:
    """Return the outcome of an unread case in our words, if they are read."""
    case = unread.case
    respelt = spellings.respell(case.plain)
    if respelt == case.plain:
        return unread
    outcome = _run(replace(case, plain=respelt))
    return unread if outcome.verdict is Verdict.UNSUPPORTED else replace(outcome, case=case)


def _run(case: Case) -> Outcome:
    if registers.is_about_registers(case):
        return _run_registers(case)
    scenario, lacking = scenarios.read(case)
    if scenario is None:
        return Outcome(case, Verdict.UNSUPPORTED, gaps=lacking)
    gaps = Gaps()
    differences: list[Difference] = []
    result = None
    with gaps.collect():
        result = results.evaluate(scenario)
        differences = comparison.compare(scenario, result, gaps)
    if gaps.found or result is None:
        return Outcome(case, Verdict.UNSUPPORTED, gaps=gaps.found, scenario=scenario, result=result)
    explained = policies.find(scenario, differences)
    verdict = Verdict.PASSED
    if differences:
        verdict = Verdict.DIFFERS if explained else Verdict.FAILED
    return Outcome(case, verdict, tuple(differences), explained, (), scenario, result)
