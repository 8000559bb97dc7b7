"""What is said of a request that breaks its contract's rules, and where."""

import protovalidate
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.ledger.v1 import batch_pb2, ledger_service_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    checkout_pb2,
    checkout_service_pb2,
    offline_service_pb2,
    receipt_service_pb2,
    reservation_service_pb2,
)

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


def test_a_rule_about_a_field_further_in_names_the_way_to_it(refuse):
    """`purchase` has eight fields: a form that only knows that much has to guess."""
    request = offline_service_pb2.RecordReceiptRequest(
        purchase=checkout_service_pb2.CommitRequest(
            receipt_key=_key(), cart=_cart(), occurred_time=timestamp_pb2.Timestamp(seconds=10**9)
        ),
        lines=[offline_service_pb2.GivenLine(line_id="1")],
    )
    assert refuse(request) == [("purchase.ruleset_version", "record_receipt.ruleset")]


def test_what_is_missing_is_told_once(refuse):
    """A rule between two fields has nothing to say while one of them is not there."""
    request = checkout_service_pb2.CommitRequest(
        cart=_cart(), occurred_time=timestamp_pb2.Timestamp(seconds=10**9)
    )
    assert refuse(request) == [("receipt_key", "required")]


@pytest.mark.parametrize("nanos", [-(2**31), -1, 1_000_000_000, 2**31 - 1])
def test_an_instant_has_parts_of_a_second(refuse, nanos):
    """Such a time would be kept, and JSON could never show it again."""
    request = checkout_service_pb2.EvaluateRequest(
        cart=_cart(), occurred_time=timestamp_pb2.Timestamp(seconds=10**9, nanos=nanos)
    )
    assert refuse(request) == [("occurred_time", "time.parts")]


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(60, -1), (-60, 1), (60, 1_000_000_000), (315_576_000_001, 0)]
)
def test_a_duration_has_one_sign_and_an_end(refuse, seconds, nanos):
    """Also where no rule of the contract bounds it, and wherever it is."""
    request = reservation_service_pb2.ReserveRequest(
        request_id="r-12345678",
        cart=_cart(),
        time_to_live=duration_pb2.Duration(seconds=seconds, nanos=nanos),
    )
    assert ("time_to_live", "time.parts") in refuse(request)


def test_an_instant_far_beyond_every_calendar_breaks_no_rule_that_reckons_with_it(refuse):
    """The span of a search is a difference: of such times there is none."""
    request = receipt_service_pb2.SearchReceiptsRequest(
        from_time=timestamp_pb2.Timestamp(seconds=10**9),
        until_time=timestamp_pb2.Timestamp(seconds=10**12),
    )
    assert refuse(request) == [("until_time", "time.parts")]


@pytest.mark.parametrize("until_s", [32_503_679_999, 253_402_300_799])
def test_a_span_of_many_centuries_is_a_span_that_is_too_long(refuse, until_s):
    """`Until the year 3000` is how people write `everything`."""
    request = receipt_service_pb2.SearchReceiptsRequest(
        from_time=timestamp_pb2.Timestamp(), until_time=timestamp_pb2.Timestamp(seconds=until_s)
    )
    assert ("from_time", "search_receipts.bounded") in refuse(request)


def test_what_a_rule_cannot_reckon_with_is_refused_by_its_field(refuse):
    """A hundred days after the last of all days: an error of whoever asks, and not of ours."""
    last = timestamp_pb2.Timestamp(seconds=253_402_300_799)
    request = receipt_service_pb2.SearchReceiptsRequest(from_time=last, until_time=last)
    assert refuse(request) == [("from_time", "search_receipts.bounded")]


def test_instants_in_lists_are_found_where_they_are():
    """A batch has times in its operations, and a rule about them is no rule about their parts."""
    request = ledger_service_pb2.PostBatchesRequest(
        batches=[
            batch_pb2.Batch(operations=[batch_pb2.Operation(), _transfer(nanos=5)]),
            batch_pb2.Batch(operations=[batch_pb2.Operation(), _transfer(nanos=-5)]),
        ]
    )
    check = validation.reader(request.DESCRIPTOR, protovalidate.Validator())
    with pytest.raises(errors.InvalidRequest) as refusal:
        check(request.SerializeToString())
    broken = [one.field for one in refusal.value.violations if one.rule == "time.parts"]
    assert broken == ["batches[1].operations[1].transfer.lot_expire_time"]


def _transfer(*, nanos):
    expire_time = timestamp_pb2.Timestamp(seconds=10**9, nanos=nanos)
    return batch_pb2.Operation(transfer=batch_pb2.Transfer(lot_expire_time=expire_time))


def _key():
    return checkout_pb2.ReceiptKey(store_id="1", till_id="1", shift_id="1", receipt_number="1")


def _cart():
    line = checkout_pb2.CartLine(line_id="1", sku="milk", quantity_thousandths=1_000)
    return checkout_pb2.Cart(
        store_id="1", channel=campaign_pb2.CHANNEL_TILL, currency_code="USD", lines=[line]
    )
