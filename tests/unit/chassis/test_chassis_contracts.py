"""What contracts say: deadlines, scopes, rules."""

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from tessera.identity.v1 import member_service_pb2
from tessera.ledger.v1 import ledger_service_pb2

from services.chassis import contracts, errors, validation


def test_every_method_has_a_deadline_of_its_contract():
    """No method of ours falls back to the default."""
    for file in (member_service_pb2, ledger_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                timeout_s = contracts.timeout_s(service.full_name, method.name)
                assert 0 < timeout_s < contracts.DEFAULT_TIMEOUT_S or timeout_s == 10


def test_most_specific_name_gives_the_deadline(monkeypatch):
    """The method wins over its service, the service over all."""
    config = {
        "methodConfig": [
            {"name": [{}], "timeout": "9s"},
            {"name": [{"service": "a.B", "method": "C"}], "timeout": "0.5s"},
            {"name": [{"service": "a.B"}], "timeout": "2s"},
        ]
    }
    monkeypatch.setattr(contracts, "service_config", lambda _: config)
    assert contracts.timeout_s("a.B", "C") == 0.5
    assert contracts.timeout_s("a.B", "D") == 2
    assert contracts.timeout_s("x.Y", "C") == 9


def test_contract_without_a_package_has_the_default():
    """Contracts that were compiled at run time bring no files."""
    assert contracts.service_config("nowhere.v1.Service") == {}
    assert contracts.timeout_s("nowhere.v1.Service", "Get") == contracts.DEFAULT_TIMEOUT_S


def test_scope_comes_from_the_contract():
    """The permission is an option of the method."""
    service = ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]
    assert contracts.scope(service.methods_by_name["PostBatches"]) == "ledger.post"


def test_method_without_a_permission_is_refused():
    """Forgetting the option closes the method at start-up, not open it to the world."""
    file = descriptor_pb2.FileDescriptorProto(name="bare.proto", package="bare", syntax="proto3")
    file.message_type.add(name="M")
    file.service.add(name="S").method.add(name="Get", input_type=".bare.M", output_type=".bare.M")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    with pytest.raises(ValueError, match=r"bare\.S\.Get"):
        contracts.scope(pool.FindServiceByName("bare.S").methods_by_name["Get"])


def _reader(kind):
    return validation.reader(kind.DESCRIPTOR, protovalidate.Validator())


def test_broken_rules_name_their_fields():
    """The path leads through repeated fields."""
    read = _reader(ledger_service_pb2.PostBatchesRequest)
    request = ledger_service_pb2.PostBatchesRequest()
    request.batches.add()
    with pytest.raises(errors.InvalidRequest) as caught:
        read(request.SerializeToString())
    fields = {violation.field for violation in caught.value.violations}
    assert "batches[0].batch_id" in fields
    assert all(violation.rule for violation in caught.value.violations)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe"])
def test_bytes_that_are_no_message_are_an_invalid_request(data):
    """Garbage is the caller's mistake, not an internal error."""
    with pytest.raises(errors.InvalidRequest):
        _reader(member_service_pb2.LookupMemberRequest)(data)
