"""Refusals on the wire and back."""

import base64
import urllib.parse

import grpc
from google.rpc import error_details_pb2
from redis import exceptions

from services.chassis import errors, hotstore, status


def _received(refusal):
    encoded = status.encode(refusal).SerializeToString()
    code = next(code for code in grpc.StatusCode if code.value[0] == refusal.category)
    trailing = grpc.aio.Metadata((status.METADATA_KEY, encoded))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, refusal.message)


def test_refusal_survives_the_wire():
    """Another service reads category, reason, domain, fields and words."""
    refusal = errors.PermissionDenied(scope="checkout")
    assert status.read(_received(refusal)) == status.Answer(
        category=errors.Category.PERMISSION_DENIED,
        message=refusal.message,
        reason="PERMISSION_DENIED",
        domain="tessera",
        metadata={"scope": "checkout"},
    )


def test_broken_rules_travel_as_field_violations():
    """A form can mark its fields."""
    refusal = errors.InvalidRequest([errors.FieldViolation("a.b", "must be set", "required")])
    detail = error_details_pb2.BadRequest()
    assert status.encode(refusal).details[1].Unpack(detail)
    (violation,) = detail.field_violations
    assert (violation.field, violation.description, violation.reason) == (
        "a.b",
        "must be set",
        "required",
    )


def test_overload_says_when_to_come_back():
    """RetryInfo carries the delay for clients that read details."""
    detail = error_details_pb2.RetryInfo()
    assert status.encode(errors.Overloaded()).details[1].Unpack(detail)
    assert detail.retry_delay.ToMilliseconds() == errors.Overloaded.retry_delay_ms


def test_refusal_of_any_size_fits_into_trailers():
    """A request with a thousand mistakes is still answered: clients accept 8 KB of trailers."""
    violation = errors.FieldViolation("lines[0]." + "x" * 1000, "ы" * 1000, "rule.id")
    refusal = errors.InvalidRequest([violation] * 1000)
    details = base64.b64encode(status.encode(refusal).SerializeToString())
    message = urllib.parse.quote(status.short(refusal.message))
    assert len(details) + len(message) < 8192


def test_error_without_details_still_has_a_category():
    """Not every peer is ours."""
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"
    )
    assert status.read(error) == status.Answer(errors.Category.NOT_FOUND, "gone")


def test_damaged_details_are_left_out():
    """A peer's garbage is no reason to fail."""
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata((status.METADATA_KEY, b"\xff\xff")),
        "gone",
    )
    assert status.read(error).reason == ""


def test_outages_are_explained_as_refusals():
    """What a dependency does to us is not our defect."""
    away = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
    )
    away.add_note("tessera.ledger.v1.LedgerService/PostBatches")
    explained = status.explain(away)
    assert isinstance(explained, errors.Unavailable)
    assert "LedgerService/PostBatches" in explained.message
    assert status.explain(TimeoutError()) == errors.DeadlineExceeded()
    assert status.explain(exceptions.ConnectionError()) == errors.Unavailable(dependency="hotstore")
    assert isinstance(exceptions.TimeoutError(), hotstore.FAILURES)


def test_defects_are_not_explained():
    """A peer that calls our request wrong, or a plain bug, is ours to mend."""
    wrong = grpc.aio.AioRpcError(
        grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), grpc.aio.Metadata()
    )
    assert status.explain(wrong) is None
    assert status.explain(KeyError("x")) is None
