"""Every promotion case, as a test that bears its id."""

from pathlib import Path

import pytest

from tools.conformance.promotions import cases, runner
from tools.conformance.promotions.runner import Outcome, Verdict

FILES = ("promotions.json", "promotions_own.json", "promotions_peers.json")
OUTCOMES = [
    outcome
    for name in FILES
    for outcome in runner.run_all(cases.read_file(Path(__file__).parent / name))
]


@pytest.mark.parametrize("outcome", [pytest.param(one, id=one.case.case_id) for one in OUTCOMES])
def test_case_gets_what_it_expects_or_what_we_decided(outcome: Outcome):
    """The engine answers as the case has it, or differs by one of our policies."""
    assert outcome.verdict in {Verdict.PASSED, Verdict.DIFFERS}, "\n".join(
        [
            *outcome.gaps,
            *[
                f"{one.field}: expected {one.expected}, got {one.actual}"
                for one in outcome.differences
            ],
        ]
    )


def test_our_own_cases_get_what_they_expect():
    """What we expect ourselves does not differ from what we decided."""
    own = [one for one in OUTCOMES if one.case.case_id.startswith("OWN-")]
    assert {one.verdict for one in own} == {Verdict.PASSED}


def test_cases_have_ids_of_their_own():
    """An id means one case."""
    ids = [one.case.case_id for one in OUTCOMES]
    assert len(ids) == len(set(ids))
