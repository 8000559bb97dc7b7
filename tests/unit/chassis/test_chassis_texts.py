"""Requests against the rules of their contract: texts that nobody can keep."""

import protovalidate
import pytest
from google.protobuf import struct_pb2, timestamp_pb2
from tessera.promotions.v1 import campaign_pb2, checkout_pb2, checkout_service_pb2

from services.chassis import errors, validation


@pytest.fixture(scope="module")
def read():
    descriptor = checkout_service_pb2.EvaluateRequest.DESCRIPTOR
    return validation.reader(descriptor, protovalidate.Validator())


def request_of(**fields):
    cart = checkout_pb2.Cart(
        store_id="1",
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code="USD",
        lines=[
            checkout_pb2.CartLine(
                line_id="1", sku="milk", quantity_thousandths=1_000, unit_price_minor=199
            )
        ],
    )
    cart.MergeFrom(checkout_pb2.Cart(**fields))
    return checkout_service_pb2.EvaluateRequest(cart=cart)


def broken(read, request):
    with pytest.raises(errors.InvalidRequest) as caught:
        read(request.SerializeToString())
    return [(one.field, one.rule) for one in caught.value.violations]


def test_texts_with_nul_are_named(read):
    """No matter how deep; what else is broken is named beside them."""
    attribute = checkout_pb2.CartAttribute(name="Colour", value="r\0d")
    line = checkout_pb2.CartLine(line_id="2\0", sku="\0", quantity_thousandths=1_000)
    request = request_of(lines=[line], attributes=[attribute])
    assert sorted(broken(read, request)) == [
        ("cart.attributes[0].name", "string.pattern"),
        ("cart.attributes[0].value", "string.nul"),
        ("cart.lines[1].line_id", "string.nul"),
        ("cart.lines[1].sku", "string.nul"),
    ]


def test_numbers_may_have_zero_bytes(read):
    """An explicit zero on the wire is a number like any other."""
    request = request_of()
    moment = timestamp_pb2.Timestamp(seconds=1_767_225_600).SerializeToString() + b"\x10\x00"
    stamp = b"\x12" + bytes([len(moment)]) + moment  # occurred_time with nanos: 0
    assert read(request.SerializeToString() + stamp).cart == request.cart


def test_keys_and_values_of_maps_are_texts():
    read = validation.reader(struct_pb2.Struct.DESCRIPTOR, protovalidate.Validator())
    request = struct_pb2.Struct()
    request.update({"a\0": "x", "b": ["y", {"c": "\0"}]})
    found = {field for field, _ in broken(read, request)}
    assert found == {
        "fields key",
        'fields["b"].list_value.values[1].struct_value.fields["c"].string_value',
    }
