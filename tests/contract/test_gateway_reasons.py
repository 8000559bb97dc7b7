"""The gateway's own refusals are those that its contract documents; all others are the chassis'."""

from tessera.gateway.v1 import error_reason_pb2

from services.chassis import errors as chassis_errors
from services.gateway import errors


def _refusals():
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayRefusal) and kind.reason
    ]


def test_reasons_are_those_of_the_contract():
    """No reason is sent that the contract does not know, and none is documented in vain."""
    documented = {
        name.removeprefix("ERROR_REASON_")
        for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    } - {"UNSPECIFIED"}
    assert {kind.reason for kind in _refusals()} == documented


def test_refusals_speak_for_the_gateway():
    """The domain says who refused, and no reason of the chassis means something else here."""
    shared = {
        kind.reason
        for kind in vars(chassis_errors).values()
        if isinstance(kind, type) and issubclass(kind, chassis_errors.Refusal)
    }
    for kind in _refusals():
        assert kind.domain == "gateway.tessera"
        assert kind.category is not chassis_errors.Category.UNKNOWN
        assert kind.reason not in shared
