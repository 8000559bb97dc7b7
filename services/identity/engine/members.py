"""Members: what makes a registration acceptable, and what the others may know of a person."""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from services.identity import errors
from services.identity.engine import cards, contacts

# The first place on Earth where a day begins is 14 hours ahead of UTC.
_EARLIEST_ZONE = timedelta(hours=14)

T = TypeVar("T")


class State(StrEnum):
    """Whether a member may use the program."""

    ACTIVE = "active"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class BirthDate:
    """A date of birth; the year is 0 when it is unknown."""

    year: int
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Rules:
    """How this installation reads what people tell about themselves."""

    phone_region: str
    language_code: str
    virtual_card_prefix: str
    time_zones: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a person or a cashier told; empty texts were left out."""

    phone: str = ""
    email: str = ""
    card_number: str = ""
    display_name: str = ""
    language_code: str = ""
    time_zone: str = ""
    birth_date: BirthDate | None = None
    store_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person with everything that identity knows."""

    member_id: UUID
    state: State
    display_name: str
    phone: str
    email: str
    language_code: str
    time_zone: str
    birth_date: BirthDate | None
    cards: tuple[cards.Card, ...]
    segment_ids: tuple[str, ...]
    register_store_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A member about to be added, with the contacts that must be free."""

    member: Member
    contacts: tuple[contacts.Contact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a cashier may see."""

    member_id: UUID
    state: State
    display_name: str
    masked_phone: str
    language_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentChange:
    """Who is put into a segment and who is taken out of it."""

    enter: tuple[UUID, ...]
    leave: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ById:
    """The member itself."""

    member_id: UUID


@dataclass(frozen=True, slots=True)
class ByCard:
    """A card, in the one spelling of its number."""

    card_number: str


@dataclass(frozen=True, slots=True)
class ByPhone:
    """A phone."""

    phone: contacts.Contact


Key = ById | ByCard | ByPhone


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What prices a cart."""

    member_id: UUID
    state: State
    segment_ids: tuple[str, ...]
    language_code: str
    time_zone: str
    birth_date: BirthDate | None
    create_time: datetime
    purchase_count: int
    last_purchase_time: datetime | None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was found behind a key; `card_state` is None when the key was no card."""

    member: T
    card_state: cards.State | None


def identified(found: Found[T] | None) -> T:
    """Return who was found. Raises MemberNotFound, or CardBlocked for a blocked card."""
    if found is None:
        raise errors.MemberNotFound
    if found.card_state is cards.State.BLOCKED:
        raise errors.CardBlocked
    return found.member


def register(
    told: Registration,
    *,
    rules: Rules,
    member_id: UUID,
    card_id: UUID,
    randomness: bytes,
    now: datetime,
) -> Newcomer:
    """Return the member that the registration makes, with one card.

    `randomness` (16 bytes) goes into the number of a virtual card. Raises PhoneInvalid,
    EmailInvalid, TimeZoneUnknown or BirthDateInvalid, in this order.
    """
    phone = contacts.read_phone(told.phone, region=rules.phone_region) if told.phone else None
    email = contacts.read_email(told.email) if told.email else None
    if told.time_zone and told.time_zone not in rules.time_zones:
        raise errors.TimeZoneUnknown
    if told.birth_date is not None:
        check_birth_date(told.birth_date, now=now)
    card = issue_card(
        told.card_number,
        rules=rules,
        member_id=member_id,
        card_id=card_id,
        randomness=randomness,
        now=now,
    )
    member = Member(
        member_id=member_id,
        state=State.ACTIVE,
        display_name=told.display_name.strip(),
        phone=phone.address if phone else "",
        email=email.address if email else "",
        language_code=told.language_code or rules.language_code,
        time_zone=told.time_zone,
        birth_date=told.birth_date,
        cards=(card,),
        segment_ids=(),
        register_store_id=told.store_id,
        create_time=now,
    )
    return Newcomer(member, tuple(contact for contact in (phone, email) if contact))


def issue_card(
    number: str,
    *,
    rules: Rules,
    member_id: UUID,
    card_id: UUID,
    randomness: bytes,
    now: datetime,
) -> cards.Card:
    """Return a new card of this number, or a virtual one when the number is empty."""
    card_number = cards.read_number(number) or cards.virtual_number(
        prefix=rules.virtual_card_prefix, randomness=randomness
    )
    return cards.Card(
        card_id=card_id,
        member_id=member_id,
        card_number=card_number,
        state=cards.State.ACTIVE,
        create_time=now,
    )


def with_state(summary: Summary, state: State) -> Summary:
    """Return the member with this state; one who has it already stays as it is."""
    return replace(summary, state=state)


def change_segment(*, add: Iterable[UUID], remove: Iterable[UUID]) -> SegmentChange:
    """Return who enters and who leaves, each once, in the order of ids.

    Who is named on both sides leaves.
    """
    leave = set(remove)
    enter = set(add) - leave
    return SegmentChange(enter=tuple(sorted(enter)), leave=tuple(sorted(leave)))


def check_birth_date(born: BirthDate, *, now: datetime) -> None:
    """Raise BirthDateInvalid unless the date exists and has begun somewhere on Earth.

    Without a year, 29 February exists.
    """
    year = born.year or 2000
    exists = 1 <= born.month <= 12 and 1 <= born.day <= calendar.monthrange(year, born.month)[1]
    if not exists:
        raise errors.BirthDateInvalid
    if born.year and date(born.year, born.month, born.day) > (now + _EARLIEST_ZONE).date():
        raise errors.BirthDateInvalid
