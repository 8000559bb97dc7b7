"""Between the contract's messages and what the engine speaks of."""

from collections.abc import Callable
from typing import Any

from google.protobuf import message
from tessera.identity.v1 import client_pb2, error_reason_pb2, member_pb2, member_service_pb2

from services.chassis import ids, timestamps
from services.identity import errors, vault
from services.identity.engine import cards, clients, contacts, members, requests

MEMBER = "mem"
CARD = "crd"

_MEMBER_STATES = {
    members.State.ACTIVE: member_pb2.MEMBER_STATE_ACTIVE,
    members.State.BLOCKED: member_pb2.MEMBER_STATE_BLOCKED,
}
_CARD_STATES = {
    cards.State.ACTIVE: member_pb2.CARD_STATE_ACTIVE,
    cards.State.BLOCKED: member_pb2.CARD_STATE_BLOCKED,
}
_CLIENT_STATES = {
    clients.State.ACTIVE: client_pb2.CLIENT_STATE_ACTIVE,
    clients.State.REVOKED: client_pb2.CLIENT_STATE_REVOKED,
}


def read_request(
    message: Any, *, client_id: str, method: str, fingerprint: Callable[[str, str], str]
) -> requests.Request:
    """Return what tells a repeatable request from another; no field's text is kept."""
    fields = [field for field in message.DESCRIPTOR.fields if field.name != "request_id"]
    return requests.Request(
        client_id=client_id,
        method=method,
        request_id=message.request_id,
        fields=tuple(field.name for field in fields),
        fingerprints={
            field.name: fingerprint(field.name, _text(value))
            for field, value in message.ListFields()
            if field.name != "request_id"
        },
    )


def read_registration(request: member_service_pb2.RegisterMemberRequest) -> members.Registration:
    """Return what was told about a person."""
    born = request.birth_date
    return members.Registration(
        phone=request.phone,
        email=request.email,
        card_number=request.card_number,
        display_name=request.display_name,
        language_code=request.language_code,
        time_zone=request.time_zone,
        birth_date=members.BirthDate(born.year, born.month, born.day)
        if request.HasField("birth_date")
        else None,
        store_id=request.store_id,
    )


def read_key(key: member_pb2.MemberKey, *, phone_region: str) -> members.Key:
    """Return what the shopper shows. Raises PhoneInvalid."""
    match key.WhichOneof("key"):
        case "card_number":
            return members.ByCard(cards.read_number(key.card_number))
        case "phone":
            return members.ByPhone(contacts.read_phone(key.phone, region=phone_region))
        case _:
            return members.ById(ids.parse(MEMBER, key.member_id))


def try_key(
    key: member_pb2.MemberKey, *, phone_region: str
) -> members.Key | errors.IdentityRefusal:
    """Return what the shopper shows, or why it shows nothing."""
    try:
        return read_key(key, phone_region=phone_region)
    except errors.IdentityRefusal as refusal:
        return refusal


def show_refused(refusal: errors.IdentityRefusal) -> member_service_pb2.MemberContextResult:
    """Return why a key leads to nobody."""
    reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}")
    return member_service_pb2.MemberContextResult(refusal=reason)


def show_identified(
    found: members.Found[members.Context] | vault.VaultError | None,
) -> member_service_pb2.MemberContextResult:
    """Return what prices a cart; nothing for a member whose data cannot be opened."""
    if isinstance(found, vault.VaultError):
        return member_service_pb2.MemberContextResult()
    try:
        known = members.identified(found)
    except errors.IdentityRefusal as refusal:
        return show_refused(refusal)
    return member_service_pb2.MemberContextResult(context=show_context(known))


def show_member(member: members.Member) -> member_pb2.Member:
    """Return a member with everything, contacts included."""
    return member_pb2.Member(
        member_id=ids.show(MEMBER, member.member_id),
        state=_MEMBER_STATES[member.state],
        display_name=member.display_name,
        phone=member.phone,
        email=member.email,
        language_code=member.language_code,
        time_zone=member.time_zone,
        birth_date=_show_birth_date(member.birth_date),
        cards=[show_card(card) for card in member.cards],
        segment_ids=member.segment_ids,
        register_store_id=member.register_store_id,
        create_time=timestamps.show(member.create_time),
    )


def show_card(card: cards.Card) -> member_pb2.Card:
    """Return a card."""
    return member_pb2.Card(
        card_id=ids.show(CARD, card.card_id),
        card_number=card.card_number,
        state=_CARD_STATES[card.state],
        create_time=timestamps.show(card.create_time),
    )


def show_summary(summary: members.Summary) -> member_pb2.MemberSummary:
    """Return what a cashier may see."""
    return member_pb2.MemberSummary(
        member_id=ids.show(MEMBER, summary.member_id),
        state=_MEMBER_STATES[summary.state],
        display_name=summary.display_name,
        masked_phone=summary.masked_phone,
        language_code=summary.language_code,
    )


def show_context(context: members.Context) -> member_pb2.MemberContext:
    """Return what prices a cart."""
    return member_pb2.MemberContext(
        member_id=ids.show(MEMBER, context.member_id),
        state=_MEMBER_STATES[context.state],
        segment_ids=context.segment_ids,
        language_code=context.language_code,
        time_zone=context.time_zone,
        birth_date=_show_birthday(context.birth_date),
        create_time=timestamps.show(context.create_time),
        purchase_count=context.purchase_count,
        last_purchase_time=timestamps.show(context.last_purchase_time),
    )


def show_client(client: clients.Client) -> client_pb2.Client:
    """Return a client."""
    return client_pb2.Client(
        client_id=client.client_id,
        display_name=client.display_name,
        scopes=client.scopes,
        store_ids=client.store_ids,
        state=_CLIENT_STATES[client.state],
        create_time=timestamps.show(client.create_time),
    )


def _show_birth_date(born: members.BirthDate | None) -> member_pb2.BirthDate | None:
    if born is None:
        return None
    return member_pb2.BirthDate(year=born.year, month=born.month, day=born.day)


def _show_birthday(born: members.BirthDate | None) -> member_pb2.BirthDate | None:
    return None if born is None else member_pb2.BirthDate(month=born.month, day=born.day)


def _text(value: Any) -> str:
    if isinstance(value, message.Message):
        return value.SerializeToString(deterministic=True).hex()
    return str(value)
