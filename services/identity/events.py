"""What identity tells the others. Nothing here names a person by more than the member id."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tessera.event.v1 import event_pb2, identity_events_pb2

from services.chassis import ids, timestamps
from services.identity.engine import cards, members


def member_registered(member: members.Member) -> event_pb2.Event:
    """Return the event of a registration."""
    return _event(
        member.member_id,
        member.create_time,
        member_registered=identity_events_pb2.MemberRegistered(
            member_id=ids.show("mem", member.member_id), store_id=member.register_store_id
        ),
    )


def card_issued(card: cards.Card) -> event_pb2.Event:
    """Return the event of a card given to its member."""
    return _event(
        card.member_id,
        card.create_time,
        card_issued=identity_events_pb2.CardIssued(
            member_id=ids.show("mem", card.member_id), card_id=ids.show("crd", card.card_id)
        ),
    )


def card_blocked(card: cards.Card, *, now: datetime) -> event_pb2.Event:
    """Return the event of a card that stopped working."""
    return _event(
        card.member_id,
        now,
        card_blocked=identity_events_pb2.CardBlocked(
            member_id=ids.show("mem", card.member_id), card_id=ids.show("crd", card.card_id)
        ),
    )


def segment_changed(
    member_id: UUID, segment_id: str, *, entered: bool, now: datetime
) -> event_pb2.Event:
    """Return the event of a member who entered a segment or left it."""
    return _event(
        member_id,
        now,
        segment_changed=identity_events_pb2.SegmentChanged(
            member_id=ids.show("mem", member_id), segment_id=segment_id, entered=entered
        ),
    )


def _event(member_id: UUID, occurred_time: datetime, **payload: Any) -> event_pb2.Event:
    return event_pb2.Event(
        source="identity",
        subject_id=ids.show("mem", member_id),
        occurred_time=timestamps.show(occurred_time),
        **payload,
    )
