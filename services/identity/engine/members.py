"""Members: what makes a registration acceptable, and what the others may know of a person."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.identity import errors
from services.identity.engine import cards, contacts

# The first place on Earth where a day begins is 14 hours ahead of UTC.
_EARLIEST_ZONE = timedelta(hours=14)


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
    phone: contacts.Contact | None
    email: contacts.Contact | None
    language_code: str
    time_zone: str
    birth_date: BirthDate | None
    cards: tuple[cards.Card, ...]
    segment_ids: tuple[str, ...]
    register_store_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a cashier may see."""

    member_id: UUID
    state: State
    display_name: str
    masked_phone: str
    language_code: str


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


def register(
    told: Registration,
    *,
    rules: Rules,
    member_id: UUID,
    card_id: UUID,
    randomness: bytes,
    now: datetime,
) -> Member:
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
    return Member(
        member_id=member_id,
        state=State.ACTIVE,
        display_name=told.display_name.strip(),
        phone=phone,
        email=email,
        language_code=told.language_code or rules.language_code,
        time_zone=told.time_zone,
        birth_date=told.birth_date,
        cards=(
            issue_card(
                told.card_number,
                rules=rules,
                member_id=member_id,
                card_id=card_id,
                randomness=randomness,
                now=now,
            ),
        ),
        segment_ids=(),
        register_store_id=told.store_id,
        create_time=now,
    )


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


def first_difference(
    stored: Mapping[str, str], given: Mapping[str, str], *, order: tuple[str, ...]
) -> str | None:
    """Return the first field, in the contract's order, in which two requests differ; None if equal.

    A field left out equals one left empty: either mapping holds only the fields that were set.
    """
    return next((name for name in order if stored.get(name) != given.get(name)), None)
