"""Members through the running service."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from tessera.event.v1 import event_pb2
from tessera.identity.v1 import error_reason_pb2, member_pb2
from tessera.identity.v1 import member_service_pb2 as messages

from services.chassis import ids, status
from services.identity.engine import cards

UNKNOWN = "mem_" + "0" * 32


def phone() -> str:
    return f"+7916{secrets.randbelow(10**7):07}"


def registration(**fields: Any) -> messages.RegisterMemberRequest:
    fields.setdefault("request_id", secrets.token_hex(8))
    if not {"phone", "card_number"} & fields.keys():
        fields["phone"] = phone()
    return messages.RegisterMemberRequest(**fields)


async def register(identity: Any, **fields: Any) -> member_pb2.Member:
    response = await identity.call(identity.members.RegisterMember, registration(**fields))
    member: member_pb2.Member = response.member
    return member


def key(**fields: str) -> member_pb2.MemberKey:
    return member_pb2.MemberKey(**fields)


async def look_up(identity: Any, **fields: str) -> member_pb2.MemberSummary:
    request = messages.LookupMemberRequest(key=key(**fields))
    response = await identity.call(identity.members.LookupMember, request)
    summary: member_pb2.MemberSummary = response.member
    return summary


async def context_of(identity: Any, **fields: str) -> member_pb2.MemberContext:
    request = messages.GetMemberContextRequest(key=key(**fields))
    response = await identity.call(identity.members.GetMemberContext, request)
    context: member_pb2.MemberContext = response.context
    return context


async def issue(identity: Any, **fields: str) -> member_pb2.Card:
    fields.setdefault("request_id", secrets.token_hex(8))
    response = await identity.call(identity.members.IssueCard, messages.IssueCardRequest(**fields))
    card: member_pb2.Card = response.card
    return card


async def events_about(identity: Any, member_id: str) -> list[event_pb2.Event]:
    """Return a member's events in their order, wherever they are on their way.

    The outbox is read first: what leaves it meanwhile is in the stream already.
    """
    import redis.asyncio

    kept = await identity.db.fetch("SELECT payload FROM outbox_events ORDER BY sequence")
    async with redis.asyncio.from_url(identity.settings.hotstore.url) as valkey:
        entries: Any = await valkey.xrange("events.identity")
    sent = [fields[b"data"] for _, fields in entries]
    events: dict[str, event_pb2.Event] = {}
    for payload in [*sent, *(row["payload"] for row in kept)]:
        event = event_pb2.Event.FromString(payload)
        events.setdefault(event.event_id, event)
    return [event for event in events.values() if event.subject_id == member_id]


async def test_member_is_registered_and_read_back_whole(identity: Any) -> None:
    """What was told is answered at once and read later, in one spelling."""
    number = phone()
    member = await register(
        identity,
        phone=f"8 ({number[2:5]}) {number[5:8]}-{number[8:]}",
        email=" Anna.Ivanova@Example.COM ",
        display_name="Анна",
        language_code="ru",
        time_zone="Europe/Moscow",
        birth_date=member_pb2.BirthDate(year=1990, month=2, day=28),
        store_id="store-1",
    )
    assert member.phone == number
    assert member.email == "Anna.Ivanova@example.com"
    assert member.state == member_pb2.MEMBER_STATE_ACTIVE
    assert [card.state for card in member.cards] == [member_pb2.CARD_STATE_ACTIVE]
    assert cards.is_luhn_valid(member.cards[0].card_number)
    read = await identity.call(
        identity.members.GetMember, messages.GetMemberRequest(member_id=member.member_id)
    )
    assert read.member == member


async def test_every_key_leads_to_the_same_member(identity: Any) -> None:
    """Card in either case, phone in any spelling and the id itself find one person."""
    number = phone()
    code = secrets.token_hex(6)
    member = await register(identity, phone=number, card_number=code, display_name="Boris")
    keys = [
        {"member_id": member.member_id},
        {"card_number": code},
        {"card_number": code.upper()},
        {"phone": number},
        {"phone": "8 " + number[2:]},
    ]
    for fields in keys:
        summary = await look_up(identity, **fields)
        assert summary.member_id == member.member_id
        assert summary.display_name == "Boris"
        assert summary.masked_phone == "+*******" + number[-4:]
        assert (await context_of(identity, **fields)).member_id == member.member_id


async def test_context_holds_what_prices_a_cart_and_no_contact(identity: Any) -> None:
    """Segments, language, zone, birthday and history; no age, and nothing to reach anybody by."""
    member = await register(
        identity,
        language_code="ru",
        time_zone="Europe/Moscow",
        birth_date=member_pb2.BirthDate(year=1988, month=2, day=29),
    )
    for segment in ("zeta", "alpha"):
        await identity.call(
            identity.members.UpdateSegment,
            messages.UpdateSegmentRequest(segment_id=segment, add_member_ids=[member.member_id]),
        )
    context = await context_of(identity, member_id=member.member_id)
    expected = member_pb2.MemberContext(
        member_id=member.member_id,
        state=member_pb2.MEMBER_STATE_ACTIVE,
        segment_ids=["alpha", "zeta"],
        language_code="ru",
        time_zone="Europe/Moscow",
        birth_date=member_pb2.BirthDate(month=2, day=29),
        create_time=member.create_time,
    )
    assert context == expected
    assert not context.HasField("last_purchase_time")


async def test_contexts_are_read_many_at_a_time(identity: Any) -> None:
    """Each key has its answer in its place, also the one that leads to nobody."""
    member, other = await register(identity, phone=phone()), await register(identity)
    card = other.cards[0]
    blocked = await issue(identity, member_id=other.member_id)
    await identity.call(
        identity.members.BlockCard, messages.BlockCardRequest(card_number=blocked.card_number)
    )
    keys = [
        key(phone=member.phone),
        key(phone="12345"),
        key(member_id=UNKNOWN),
        key(card_number=card.card_number),
        key(card_number=blocked.card_number),
        key(member_id=member.member_id),
    ]
    response = await identity.call(
        identity.members.BatchGetMemberContexts, messages.BatchGetMemberContextsRequest(keys=keys)
    )
    known = await context_of(identity, member_id=member.member_id)
    assert list(response.results) == [
        messages.MemberContextResult(context=known),
        messages.MemberContextResult(refusal=error_reason_pb2.ERROR_REASON_PHONE_INVALID),
        messages.MemberContextResult(refusal=error_reason_pb2.ERROR_REASON_MEMBER_NOT_FOUND),
        messages.MemberContextResult(context=await context_of(identity, member_id=other.member_id)),
        messages.MemberContextResult(refusal=error_reason_pb2.ERROR_REASON_CARD_BLOCKED),
        messages.MemberContextResult(context=known),
    ]


async def test_nobody_behind_a_key_is_a_typed_refusal(identity: Any) -> None:
    """Unknown ids, cards and phones all say MEMBER_NOT_FOUND; a phone that cannot be says so."""
    for fields in ({"member_id": UNKNOWN}, {"card_number": "NOBODY1"}, {"phone": phone()}):
        for method, request in (
            (identity.members.LookupMember, messages.LookupMemberRequest(key=key(**fields))),
            (
                identity.members.GetMemberContext,
                messages.GetMemberContextRequest(key=key(**fields)),
            ),
        ):
            assert await identity.refusal(method, request) == ("NOT_FOUND", "MEMBER_NOT_FOUND")
    assert await identity.refusal(
        identity.members.GetMember, messages.GetMemberRequest(member_id=UNKNOWN)
    ) == ("NOT_FOUND", "MEMBER_NOT_FOUND")
    assert await identity.refusal(
        identity.members.LookupMember, messages.LookupMemberRequest(key=key(phone="12345"))
    ) == ("INVALID_ARGUMENT", "PHONE_INVALID")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"phone": "12345"}, "PHONE_INVALID"),
        ({"email": "nobody"}, "EMAIL_INVALID"),
        ({"time_zone": "Mars/Base"}, "TIME_ZONE_UNKNOWN"),
        ({"birth_date": member_pb2.BirthDate(year=2023, month=2, day=29)}, "BIRTH_DATE_INVALID"),
        ({"birth_date": member_pb2.BirthDate(year=2100, month=1, day=1)}, "BIRTH_DATE_INVALID"),
        ({"birth_date": member_pb2.BirthDate(year=1990, month=13, day=1)}, "INVALID_REQUEST"),
        ({"card_number": "not a card"}, "INVALID_REQUEST"),
        ({"language_code": "tlh"}, "INVALID_REQUEST"),
        ({"request_id": "short"}, "INVALID_REQUEST"),
        ({"phone": ""}, "INVALID_REQUEST"),
        ({"phone": "", "email": "only@example.com"}, "INVALID_REQUEST"),
        ({"display_name": "x" * 101}, "INVALID_REQUEST"),
        ({"display_name": "An\x00na"}, "INVALID_REQUEST"),
        ({"store_id": "st\x00re"}, "INVALID_REQUEST"),
        ({"request_id": "a request"}, "INVALID_REQUEST"),
        ({"request_id": "request\x00\x00"}, "INVALID_REQUEST"),
        ({"time_zone": "Europe/Moscow\x00"}, "INVALID_REQUEST"),
        ({"phone": "+7916\x00123456"}, "INVALID_REQUEST"),
        ({"email": "a\x00b@example.com"}, "INVALID_REQUEST"),
        ({"card_number": "12\x0034"}, "INVALID_REQUEST"),
    ],
)
async def test_bad_registration_is_refused_and_leaves_nothing(
    identity: Any, fields: dict[str, Any], reason: str
) -> None:
    """Each mistake has its reason, and no member, card or request is left behind."""
    before = await _row_counts(identity)
    refusal = await identity.refusal(identity.members.RegisterMember, registration(**fields))
    assert refusal == ("INVALID_ARGUMENT", reason)
    assert await _row_counts(identity) == before


async def _row_counts(identity: Any) -> list[int]:
    tables = ("members", "contacts", "cards", "requests")
    return [await identity.db.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


async def test_taken_keys_are_refused_by_name(identity: Any) -> None:
    """A phone, an address and a card belong to one person each, in whatever spelling."""
    number, code = phone(), secrets.token_hex(6)
    mail = f"{secrets.token_hex(6)}@example.com"
    await register(identity, phone=number, email=mail, card_number=code)
    before = await _row_counts(identity)
    for fields, reason in (
        ({"phone": "8" + number[2:], "email": mail, "card_number": code}, "PHONE_TAKEN"),
        ({"phone": phone(), "email": mail.upper(), "card_number": code}, "EMAIL_TAKEN"),
        ({"phone": phone(), "card_number": code.upper()}, "CARD_TAKEN"),
    ):
        refusal = await identity.refusal(identity.members.RegisterMember, registration(**fields))
        assert refusal == ("ALREADY_EXISTS", reason)
    assert await _row_counts(identity) == before


async def test_repeated_registration_answers_the_first_result(identity: Any) -> None:
    """The same request gets the same answer, even after the member has changed."""
    request = registration(display_name="Vera")
    first = await identity.call(identity.members.RegisterMember, request)
    await issue(identity, member_id=first.member.member_id)
    again = await identity.call(identity.members.RegisterMember, request)
    assert again == first


async def test_changed_request_under_an_old_id_is_a_conflict(identity: Any) -> None:
    """The first field that differs is named, also one that was left out."""
    request = registration(display_name="Vera", store_id="store-1")
    await identity.call(identity.members.RegisterMember, request)
    for changes, field in (
        ({"display_name": "Nora", "store_id": "store-2"}, "display_name"),
        ({"email": "vera@example.com"}, "email"),
        ({"store_id": ""}, "store_id"),
        ({"birth_date": member_pb2.BirthDate(month=1, day=1)}, "birth_date"),
    ):
        changed = messages.RegisterMemberRequest()
        changed.CopyFrom(request)
        changed.MergeFrom(messages.RegisterMemberRequest(**changes))
        if changes.get("store_id") == "":
            changed.store_id = ""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.call(identity.members.RegisterMember, changed)
        answer = status.read(caught.value)
        assert (answer.reason, answer.metadata["field"]) == ("REQUEST_CONFLICT", field)


async def test_request_ids_of_two_clients_do_not_meet(identity: Any) -> None:
    """A request id belongs to the client that chose it."""
    token = await identity.token_of(*await identity.client("members.write"))
    request = registration()
    first = await identity.call(identity.members.RegisterMember, request)
    other = registration(request_id=request.request_id)
    second = await identity.call(identity.members.RegisterMember, other, token=token)
    assert second.member.member_id != first.member.member_id


async def test_of_many_registrations_of_one_phone_one_wins(identity: Any) -> None:
    """A hundred at once: one member, ninety-nine refusals, nothing half-done."""
    number = phone()
    before = await _row_counts(identity)
    outcomes = await asyncio.gather(
        *(
            identity.call(identity.members.RegisterMember, registration(phone=number))
            for _ in range(100)
        ),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [
        status.read(outcome).reason
        for outcome in outcomes
        if isinstance(outcome, grpc.aio.AioRpcError)
    ]
    assert len(won) == 1
    assert lost == ["PHONE_TAKEN"] * 99
    assert await _row_counts(identity) == [count + 1 for count in before]


async def test_of_many_repeats_at_once_all_get_one_answer(identity: Any) -> None:
    """The same request from a hundred impatient retries makes one member."""
    request = registration()
    before = await _row_counts(identity)
    answers = await asyncio.gather(
        *(identity.call(identity.members.RegisterMember, request) for _ in range(100))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await _row_counts(identity) == [count + 1 for count in before]
    events = await events_about(identity, answers[0].member.member_id)
    assert [event.WhichOneof("payload") for event in events] == [
        "member_registered",
        "card_issued",
    ]


async def test_member_holds_many_cards(identity: Any) -> None:
    """More cards are issued, plastic and virtual; each finds the member; a number is used once."""
    member = await register(identity)
    code = secrets.token_hex(6).upper()
    plastic = await issue(identity, member_id=member.member_id, card_number=code.lower())
    virtual = await issue(identity, member_id=member.member_id)
    assert plastic.card_number == code
    for card in (plastic, virtual, member.cards[0]):
        found = await look_up(identity, card_number=card.card_number)
        assert found.member_id == member.member_id
    read = await identity.call(
        identity.members.GetMember, messages.GetMemberRequest(member_id=member.member_id)
    )
    assert list(read.member.cards) == [member.cards[0], plastic, virtual]
    again = messages.IssueCardRequest(
        request_id="another-one", member_id=member.member_id, card_number=code
    )
    refusal = await identity.refusal(identity.members.IssueCard, again)
    assert refusal == ("ALREADY_EXISTS", "CARD_TAKEN")


async def test_repeated_issue_answers_the_first_card(identity: Any) -> None:
    """A retry does not print a second card; another body under the id is a conflict."""
    member, other = await register(identity), await register(identity)
    request_id = secrets.token_hex(8)
    first = await issue(identity, request_id=request_id, member_id=member.member_id)
    again = await issue(identity, request_id=request_id, member_id=member.member_id)
    assert again == first
    changed = messages.IssueCardRequest(request_id=request_id, member_id=other.member_id)
    refusal = await identity.refusal(identity.members.IssueCard, changed)
    assert refusal == ("ALREADY_EXISTS", "REQUEST_CONFLICT")
    unknown = messages.IssueCardRequest(request_id=secrets.token_hex(8), member_id=UNKNOWN)
    refusal = await identity.refusal(identity.members.IssueCard, unknown)
    assert refusal == ("NOT_FOUND", "MEMBER_NOT_FOUND")


async def test_blocked_card_identifies_nobody_for_good(identity: Any) -> None:
    """After a block the card is refused, the member's phone still works, a second block is fine."""
    number = phone()
    member = await register(identity, phone=number)
    code = member.cards[0].card_number
    request = messages.BlockCardRequest(card_number=code)
    for _ in range(2):
        response = await identity.call(identity.members.BlockCard, request)
        assert response.card.state == member_pb2.CARD_STATE_BLOCKED
    for method, message in (
        (identity.members.LookupMember, messages.LookupMemberRequest(key=key(card_number=code))),
        (
            identity.members.GetMemberContext,
            messages.GetMemberContextRequest(key=key(card_number=code)),
        ),
    ):
        assert await identity.refusal(method, message) == ("FAILED_PRECONDITION", "CARD_BLOCKED")
    assert (await look_up(identity, phone=number)).member_id == member.member_id
    refusal = await identity.refusal(
        identity.members.BlockCard, messages.BlockCardRequest(card_number="NOBODY1")
    )
    assert refusal == ("NOT_FOUND", "CARD_NOT_FOUND")
    blocks = [
        event
        for event in await events_about(identity, member.member_id)
        if event.WhichOneof("payload") == "card_blocked"
    ]
    assert [event.card_blocked.card_id for event in blocks] == [member.cards[0].card_id]
    acts = await identity.db.fetch(
        "SELECT client_id, action FROM audit_entries WHERE subject_id = $1",
        member.cards[0].card_id,
    )
    assert [tuple(act) for act in acts] == [("admin", "card.block")]


async def test_support_blocks_a_member_and_lifts_the_block(identity: Any) -> None:
    """The state shows wherever the member is looked at, and each change is in the audit log."""
    member = await register(identity)
    for method, request, state in (
        (
            identity.members.BlockMember,
            messages.BlockMemberRequest(member_id=member.member_id, cause="fraud case 17"),
            member_pb2.MEMBER_STATE_BLOCKED,
        ),
        (
            identity.members.UnblockMember,
            messages.UnblockMemberRequest(member_id=member.member_id, cause="cleared"),
            member_pb2.MEMBER_STATE_ACTIVE,
        ),
    ):
        for _ in range(2):
            response = await identity.call(method, request)
            assert response.member.state == state
        assert (await context_of(identity, member_id=member.member_id)).state == state
    acts = await identity.db.fetch(
        "SELECT action, detail FROM audit_entries WHERE subject_id = $1 ORDER BY audit_id",
        member.member_id,
    )
    assert [tuple(act) for act in acts] == [
        ("member.block", '{"cause": "fraud case 17"}'),
        ("member.unblock", '{"cause": "cleared"}'),
    ]
    unknown = messages.BlockMemberRequest(member_id=UNKNOWN, cause="?")
    refusal = await identity.refusal(identity.members.BlockMember, unknown)
    assert refusal == ("NOT_FOUND", "MEMBER_NOT_FOUND")


async def update_segment(identity: Any, segment_id: str, **fields: Any) -> tuple[int, int]:
    response = await identity.call(
        identity.members.UpdateSegment,
        messages.UpdateSegmentRequest(segment_id=segment_id, **fields),
    )
    return response.added_count, response.removed_count


async def test_segment_counts_what_has_changed(identity: Any) -> None:
    """Members already there or gone count as done; named on both sides means out."""
    anna, boris, vera = [(await register(identity)).member_id for _ in range(3)]
    assert await update_segment(identity, "loyal", add_member_ids=[anna, boris, anna]) == (2, 0)
    assert await update_segment(identity, "loyal", add_member_ids=[boris, vera]) == (1, 0)
    assert await update_segment(
        identity, "loyal", add_member_ids=[anna], remove_member_ids=[anna, boris]
    ) == (0, 2)
    assert await update_segment(identity, "loyal", remove_member_ids=[anna]) == (0, 0)
    assert list((await context_of(identity, member_id=anna)).segment_ids) == []
    assert list((await context_of(identity, member_id=vera)).segment_ids) == ["loyal"]
    changes = [
        (event.segment_changed.segment_id, event.segment_changed.entered)
        for event in await events_about(identity, anna)
        if event.WhichOneof("payload") == "segment_changed"
    ]
    assert changes == [("loyal", True), ("loyal", False)]


async def test_segment_with_an_unknown_member_changes_nothing(identity: Any) -> None:
    """One wrong id refuses the whole change, whichever side it is on."""
    anna = (await register(identity)).member_id
    for fields in (
        {"add_member_ids": [anna, UNKNOWN]},
        {"add_member_ids": [anna], "remove_member_ids": [UNKNOWN]},
    ):
        request = messages.UpdateSegmentRequest(segment_id="careful", **fields)
        refusal = await identity.refusal(identity.members.UpdateSegment, request)
        assert refusal == ("NOT_FOUND", "MEMBER_NOT_FOUND")
    assert list((await context_of(identity, member_id=anna)).segment_ids) == []


async def test_segment_changes_at_once_end_in_one_order(identity: Any) -> None:
    """Many callers on the same members: nothing fails, and the counts add up."""
    people = [(await register(identity)).member_id for _ in range(5)]
    changes = await asyncio.gather(
        *(
            update_segment(identity, "crowded", add_member_ids=people[turn % 5 :])
            if turn % 2
            else update_segment(identity, "crowded", remove_member_ids=people[: turn % 5 + 1])
            for turn in range(40)
        )
    )
    inside = await identity.db.fetchval(
        "SELECT count(*) FROM segment_members WHERE segment_id = 'crowded'"
    )
    assert sum(added for added, _ in changes) - sum(gone for _, gone in changes) == inside


async def test_large_segment_is_filled_by_one_call(identity: Any) -> None:
    """Ten thousand members enter and leave within the method's deadline."""
    member_ids = [ids.uuid7() for _ in range(10_000)]
    await identity.db.execute(
        """
        INSERT INTO members (
            member_id, state, wrapped_key, language_code, time_zone, register_store_id, create_time
        )
        SELECT member_id, 'active', '\\x00', 'en', '', '', $2
        FROM unnest($1::UUID[]) AS made (member_id)
        """,
        member_ids,
        datetime.now(UTC),
    )
    shown = [ids.show("mem", member_id) for member_id in member_ids]
    assert await update_segment(identity, "everybody", add_member_ids=shown) == (10_000, 0)
    assert await update_segment(identity, "everybody", remove_member_ids=shown) == (0, 10_000)


async def test_client_of_one_store_registers_there_alone(identity: Any) -> None:
    """A till's token is for its own store; outside of stores it may register too."""
    client = await identity.client("members.write", store_ids=("store-7",))
    token = await identity.token_of(*client)
    register_method = identity.members.RegisterMember
    for store_id in ("store-7", ""):
        await identity.call(register_method, registration(store_id=store_id), token=token)
    refusal = await identity.refusal(register_method, registration(store_id="store-8"), token=token)
    assert refusal == ("PERMISSION_DENIED", "STORE_NOT_ALLOWED")


async def test_personal_data_is_nowhere_in_the_clear(
    identity: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a table, nor an event, nor a log line shows a phone, an address, a name or a date."""
    number, mail, name = phone(), f"{secrets.token_hex(6)}@example.com", "Зинаида-Прекрасная"
    request = registration(
        phone=number,
        email=mail,
        display_name=name,
        birth_date=member_pb2.BirthDate(year=1971, month=11, day=23),
    )
    member = (await identity.call(identity.members.RegisterMember, request)).member
    await identity.refusal(identity.members.RegisterMember, registration(phone=number))
    await identity.refusal(
        identity.members.RegisterMember,
        registration(request_id=request.request_id, phone=number, email=mail),
    )
    haystack = [await _dump(identity, table) for table in await _tables(identity)]
    haystack += [
        event.SerializeToString() for event in await events_about(identity, member.member_id)
    ]
    captured = capsys.readouterr()
    haystack += [caplog.text.encode(), captured.out.encode(), captured.err.encode()]
    text = b"\n".join(haystack)
    # The search does find what is there.
    assert ids.parse("mem", member.member_id).bytes in text
    assert b"RegisterMember" in text
    for needle in (number, number[2:], mail, name, "1971-11-23"):
        for encoded in (
            needle.encode(),
            needle.encode("utf-16-le"),
            needle.encode().hex().encode(),
        ):
            assert encoded not in text


async def _tables(identity: Any) -> list[str]:
    rows = await identity.db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [row["tablename"] for row in rows]


async def _dump(identity: Any, table: str) -> bytes:
    rows = await identity.db.fetch(f"SELECT * FROM {table}")
    parts = []
    for row in rows:
        for value in row.values():
            match value:
                case bytes():
                    parts.append(value + b" " + value.hex().encode())
                case _ if hasattr(value, "bytes"):
                    parts.append(value.bytes)
                case _:
                    parts.append(str(value).encode())
    return b"\n".join(parts)


async def test_forgetting_the_key_forgets_the_person(identity: Any) -> None:
    """Once the wrapped key is gone, neither a key nor a repeated request brings anybody back."""
    number = phone()
    request = registration(phone=number)
    member = (await identity.call(identity.members.RegisterMember, request)).member
    await identity.db.execute(
        """
        UPDATE members
        SET wrapped_key = NULL, display_name_ciphertext = NULL, birth_date_ciphertext = NULL
        WHERE member_id = $1
        """,
        ids.parse("mem", member.member_id),
    )
    for fields in (
        {"member_id": member.member_id},
        {"phone": number},
        {"card_number": member.cards[0].card_number},
    ):
        refusal = await identity.refusal(
            identity.members.LookupMember, messages.LookupMemberRequest(key=key(**fields))
        )
        assert refusal == ("NOT_FOUND", "MEMBER_NOT_FOUND")
    refusal = await identity.refusal(identity.members.RegisterMember, request)
    assert refusal == ("NOT_FOUND", "MEMBER_NOT_FOUND")
