"""The refusals of every service are exactly those that its contract documents."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from services import roles
from services.chassis import errors as chassis_errors

ROOT = Path(roles.__file__).parent
PREFIX = "ERROR_REASON_"
PRESENT = [role for role in roles.ROLES if (ROOT / role / "errors.py").exists()]


def contract_reasons(role: str) -> set[str]:
    module: Any = importlib.import_module(f"tessera.{role}.v1.error_reason_pb2")
    names = set(module.ErrorReason.keys())
    assert all(name.startswith(PREFIX) for name in names)
    return {name.removeprefix(PREFIX) for name in names} - {"UNSPECIFIED"}


def refusals(role: str) -> list[type[chassis_errors.Refusal]]:
    """Return the classes that errors.py of a role defines and that carry a reason."""
    module = importlib.import_module(f"services.{role}.errors")
    return [kind for kind in _classes(module) if kind.reason]


def _classes(module: ModuleType) -> list[type[chassis_errors.Refusal]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, chassis_errors.Refusal)
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("role", PRESENT)
def test_reasons_are_those_of_the_contract(role: str) -> None:
    """No reason is sent that the contract does not know, and none is documented in vain."""
    assert {kind.reason for kind in refusals(role)} == contract_reasons(role)


@pytest.mark.parametrize("role", PRESENT)
def test_each_reason_has_one_refusal(role: str) -> None:
    """A reason means one thing: one class, one category, one message."""
    reasons = [kind.reason for kind in refusals(role)]
    assert sorted(reasons) == sorted(set(reasons))


@pytest.mark.parametrize("role", PRESENT)
def test_refusals_speak_for_their_role(role: str) -> None:
    """The domain names the role, the category says what kind of refusal it is, the text says it."""
    for kind in refusals(role):
        assert kind.domain == f"{role}.tessera", kind
        assert kind.category is not chassis_errors.Category.UNKNOWN, kind
        assert (kind.__doc__ or "").strip().endswith("."), kind


def test_reasons_of_the_chassis_are_nobody_elses() -> None:
    """What every service may answer is not given another meaning by one of them."""
    own = {kind.reason for kind in _classes(chassis_errors) if kind.reason}
    for role in PRESENT:
        assert not own & contract_reasons(role), role
