"""Every ledger case, as a test that bears its id: as the case has it, or as we decided."""

import importlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from services.ledger.checker import Examiner
from services.ledger.storage import Checks, Copies
from tests.conformance.ledger.policies import POLICIES
from tests.conformance.ledger.register import CASES, PLAYS, Bank

# Plays register themselves.
for _path in sorted((Path(__file__).parent / "ledger").glob("*.py")):
    importlib.import_module(f"tests.conformance.ledger.{_path.stem}")
IDS = [one["id"] for one in CASES]


@pytest.fixture
def bank(ledger, ledger_database, valkey, database, tmp_path):
    return Bank(ledger, ledger_database, valkey, database, tmp_path)


@pytest.mark.parametrize("case_id", [one for one in IDS if one in PLAYS])
async def test_case_gets_what_it_expects_or_what_we_decided(bank, case_id):
    """Given, when, then, against a ledger with its servers."""
    await PLAYS[case_id](bank)


@pytest.mark.parametrize("case_id", IDS)
def test_no_case_is_passed_over(case_id):
    """Each is played, or a policy says why it cannot be."""
    assert case_id in PLAYS or any(case_id in policy.cases for policy in POLICIES)


def test_policies_and_plays_are_about_cases():
    """No case is claimed by two policies, and none of either is left without its case."""
    claimed = [case_id for policy in POLICIES for case_id in policy.cases]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) | set(PLAYS) <= set(IDS)
    assert len(IDS) == len(set(IDS))


async def test_the_books_agree_after_all_cases(bank):
    """Whatever was played: every balance is what its entries, lots, holds and debts come to."""
    ledger = bank.ledger
    truth = Checks(ledger.db)
    # Cases turn the clock, so the books are looked at when all of that is past, and no copy counts.
    await ledger.hot.client.flushall()
    examiner = Examiner(truth, Copies(ledger.hot), now=lambda: datetime(2090, 1, 1, tzinfo=UTC))
    found = []
    after = UUID(int=0)
    while keys := await truth.page(after=after, limit=500):
        found += await examiner.examine(keys, entries_max=2**31 - 1)
        after = keys[-1].id
    found += await truth.evidence(start=0, end=2**62)
    found += await truth.tallies(whole=True)
    found += await truth.sums()
    assert found == []
