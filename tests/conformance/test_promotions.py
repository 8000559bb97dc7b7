"""Every promotion case that we support, as a test that bears its id."""

from pathlib import Path

import pytest

from tools.conformance.promotions import cases, runner
from tools.conformance.promotions.runner import Outcome, Verdict

OUTCOMES = runner.run_all(cases.read_file(Path(__file__).parent / "promotions.json"))
SUPPORTED = [one for one in OUTCOMES if one.verdict is not Verdict.UNSUPPORTED]
# What the engine does not have yet. The number only ever falls: a case that was supported stays so.
UNSUPPORTED_MAX = 49


@pytest.mark.parametrize("outcome", [pytest.param(one, id=one.case.case_id) for one in SUPPORTED])
def test_case_gets_what_it_expects_or_what_we_decided(outcome: Outcome):
    """The engine answers as the case has it, or differs by one of our policies."""
    assert outcome.verdict in {Verdict.PASSED, Verdict.DIFFERS}, "\n".join(
        f"{one.field}: expected {one.expected}, got {one.actual}" for one in outcome.differences
    )


def test_supported_cases_stay_supported():
    """No change of engine or reader makes a case unreadable that was read before."""
    assert len(OUTCOMES) - len(SUPPORTED) <= UNSUPPORTED_MAX


def test_cases_have_ids_of_their_own():
    """An id means one case."""
    ids = [one.case.case_id for one in OUTCOMES]
    assert len(ids) == len(set(ids))
