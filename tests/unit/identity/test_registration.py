"""What makes a registration acceptable."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import errors
from services.identity.engine import cards, members, requests

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = members.Rules(
    phone_region="RU",
    language_code="en",
    virtual_card_prefix="29",
    time_zones=frozenset({"Europe/Moscow"}),
)


def register(**told: Any) -> members.Newcomer:
    return members.register(
        members.Registration(**told),
        rules=RULES,
        member_id=UUID(int=1),
        card_id=UUID(int=2),
        randomness=bytes(16),
        now=NOON,
    )


def test_phone_alone_makes_a_member_with_a_virtual_card() -> None:
    """The shortest registration: everything else has its default."""
    new = register(phone="89161234567")
    assert new.member.phone == "+79161234567"
    assert new.member.language_code == "en"
    assert new.member.state is members.State.ACTIVE
    assert [card.card_number for card in new.member.cards] == ["2900000000000007"]
    assert [contact.lookup for contact in new.contacts] == ["+79161234567"]


def test_card_alone_makes_a_member_without_contacts() -> None:
    """Plastic handed out without a word is a member too."""
    new = register(card_number="ab12cd")
    assert new.contacts == ()
    assert new.member.cards[0].card_number == "AB12CD"


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        ({"phone": "12", "email": "nobody", "time_zone": "Mars"}, errors.PhoneInvalid),
        ({"email": "nobody", "time_zone": "Mars"}, errors.EmailInvalid),
        (
            {"card_number": "1234", "time_zone": "Mars/Base", "birth_date": (2026, 2, 30)},
            errors.TimeZoneUnknown,
        ),
        ({"card_number": "1234", "birth_date": (2026, 2, 30)}, errors.BirthDateInvalid),
    ],
)
def test_refusals_come_in_one_order(
    told: dict[str, Any], refusal: type[errors.IdentityRefusal]
) -> None:
    """Of several mistakes the first in the documented order is named."""
    if "birth_date" in told:
        told = {**told, "birth_date": members.BirthDate(*told["birth_date"])}
    with pytest.raises(refusal):
        register(**told)


@pytest.mark.parametrize(
    ("born", "is_valid"),
    [
        ((1990, 2, 28), True),
        ((2000, 2, 29), True),
        ((1900, 2, 29), False),
        ((2023, 2, 29), False),
        ((0, 2, 29), True),
        ((0, 2, 30), False),
        ((0, 13, 1), False),
        ((1990, 4, 31), False),
        ((2026, 5, 2), True),  # has begun on Kiritimati
        ((2026, 5, 3), False),
        ((2100, 1, 1), False),
    ],
)
def test_birth_date_must_exist_and_have_come(born: tuple[int, int, int], is_valid: bool) -> None:  # noqa: FBT001
    """Leap days need a leap year; the future has no births."""
    try:
        members.check_birth_date(members.BirthDate(*born), now=NOON)
    except errors.BirthDateInvalid:
        assert not is_valid
    else:
        assert is_valid


@given(st.dates(min_value=date(1900, 1, 1), max_value=NOON.date() + timedelta(days=400)))
def test_birth_date_agrees_with_the_calendar(day: date) -> None:
    """Every day that has come is a possible birthday."""
    born = members.BirthDate(day.year, day.month, day.day)
    if day <= (NOON + timedelta(hours=14)).date():
        members.check_birth_date(born, now=NOON)
    else:
        with pytest.raises(errors.BirthDateInvalid):
            members.check_birth_date(born, now=NOON)


def test_blocked_card_identifies_nobody() -> None:
    """Only the key that was shown matters: the same member is found by phone."""
    with pytest.raises(errors.CardBlocked):
        members.identified(members.Found("anna", cards.State.BLOCKED))
    assert members.identified(members.Found("anna", cards.State.ACTIVE)) == "anna"
    assert members.identified(members.Found("anna", None)) == "anna"
    with pytest.raises(errors.MemberNotFound):
        members.identified(None)


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_segment_change_names_each_member_once(add: list[int], remove: list[int]) -> None:
    """Who is named on both sides leaves; order and repeats do not matter."""
    change = members.change_segment(
        add=[UUID(int=value) for value in add], remove=[UUID(int=value) for value in remove]
    )
    assert change.enter == tuple(UUID(int=value) for value in sorted(set(add) - set(remove)))
    assert change.leave == tuple(UUID(int=value) for value in sorted(set(remove)))


def test_first_difference_follows_the_contract() -> None:
    """The field named is the first in the contract, set, changed or left out."""
    fields = ("phone", "email", "language_code")
    stored = {"phone": "p", "email": "e"}
    assert requests.first_difference(stored, dict(stored), fields=fields) is None
    assert requests.first_difference(stored, {"phone": "p"}, fields=fields) == "email"
    assert requests.first_difference(stored, {"email": "x", "phone": "y"}, fields=fields) == "phone"
    assert requests.first_difference(stored, {**stored, "language_code": "l"}, fields=fields) == (
        "language_code"
    )
