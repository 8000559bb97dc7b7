"""The gate that keeps released contracts whole, tried on a break."""

import shutil

import pytest

from tools import check, contracts


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Compile our contracts as they are."""
    path = tmp_path_factory.mktemp("image") / "contracts.binpb"
    contracts.compile_image(path)
    return path


@pytest.fixture
def released(tmp_path):
    """Copy our contracts, as if they had been released."""
    copy = tmp_path / "protos"
    shutil.copytree(contracts.PROTOS, copy, ignore=shutil.ignore_patterns("*.py", "*.pyi"))
    return copy


def test_unchanged_contracts_break_nobody(image, released, tmp_path):
    """The comparison with ourselves passes."""
    outcome = check.compare(image, released, scratch=tmp_path)
    assert outcome.passed, outcome.output


def test_a_method_that_is_gone_breaks_its_callers(image, released, tmp_path):
    """A released method that the contracts lack is named."""
    contract = released / "tessera" / "ledger" / "v1" / "ledger_service.proto"
    text = contract.read_text()
    contract.write_text(text.replace("rpc CreateAsset(", "rpc CreateAssetOnce(", 1))
    outcome = check.compare(image, released, scratch=tmp_path)
    assert outcome.passed is False
    assert "CreateAssetOnce" in outcome.output
