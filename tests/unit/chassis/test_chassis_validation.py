"""What is said of a request that breaks its contract's rules, and where."""

import protovalidate
import pytest
from tessera.identity.v1 import member_pb2, member_service_pb2

from services.chassis import errors, validation


@pytest.fixture
def refuse():
    """Return the broken rules of a request that is refused: (field, rule) each."""

    def read(request):
        check = validation.reader(request.DESCRIPTOR, protovalidate.Validator())
        with pytest.raises(errors.InvalidRequest) as refusal:
            check(request.SerializeToString())
        return [(one.field, one.rule) for one in refusal.value.violations]

    return read


def test_a_rule_about_the_whole_request_names_its_first_field(refuse):
    """A form has a place to show it."""
    request = member_service_pb2.RegisterMemberRequest(request_id="r-12345678", email="a@b.org")
    assert refuse(request) == [("phone", "register_member.key")]


def test_an_empty_choice_is_told_of_the_message_that_has_to_choose(refuse):
    """`key` is a field that callers write; the choice inside it is none."""
    request = member_service_pb2.LookupMemberRequest(key=member_pb2.MemberKey())
    assert refuse(request) == [("key", "required")]


def test_an_empty_choice_of_the_whole_request_names_the_first_of_its_fields(refuse):
    """Never an empty place."""
    fields = [field for field, _ in refuse(member_pb2.MemberKey())]
    assert fields == [member_pb2.MemberKey.DESCRIPTOR.oneofs[0].fields[0].name]
