"""Members through the running service."""

from typing import Any
from uuid import uuid4

import grpc
import pytest
from tessera.identity.v1 import member_pb2
from tessera.identity.v1 import member_service_pb2 as messages


def phone() -> str:
    return f"+7916{uuid4().int % 10**7:07}"


def registration(**fields: Any) -> messages.RegisterMemberRequest:
    fields.setdefault("request_id", uuid4().hex)
    if not {"phone", "email", "card_number"} & fields.keys():
        fields["phone"] = phone()
    return messages.RegisterMemberRequest(**fields)


async def register(identity: Any, **fields: Any) -> member_pb2.Member:
    response = await identity.call(identity.members.RegisterMember, registration(**fields))
    member: member_pb2.Member = response.member
    return member


async def refused(identity: Any, refusal_of: Any, method: Any, request: Any, **options: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity.call(method, request, **options)
    return caught.value.code(), refusal_of(caught.value)["reason"]


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
    assert [card.state for card in member.cards] == [member_pb2.CARD_STATE_ACTIVE]
    read = await identity.call(
        identity.members.GetMember, messages.GetMemberRequest(member_id=member.member_id)
    )
    assert read.member == member
