"""The command line of the roles: what it refuses, and in which words."""

import importlib

import pytest

from services import __main__ as commands
from services import roles


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["leger"], "leger is not a role; the roles are identity, ledger, promotions."),
        (["ledger", "nobody"], "nobody is not a role"),
        (["migrate"], "Nothing is not a role"),
        (["letters", "x"], "x is not a role"),
    ],
)
def test_unknown_role_is_named(capsys, words, sentence):
    """A typing mistake ends with the list of what there is."""
    assert commands.main(words) == 2
    assert sentence in capsys.readouterr().err


def test_mistake_in_the_settings_ends_with_its_sentence(capsys, tmp_path):
    """No traceback for what a person can mend."""
    path = tmp_path / "tessera.yaml"
    path.write_text("ledger: {servr: {}}")
    assert commands.main(["ledger", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert error == "ledger.servr is not a known setting (did you mean server?).\n"


@pytest.mark.parametrize("package", roles.ROLES.values())
def test_every_role_has_settings_and_a_main(package):
    """The table of roles names packages of the agreed shape."""
    assert importlib.import_module(f"{package}.config").Settings
    assert importlib.import_module(f"{package}.main").main
