"""What every statement about people has in common: how a key finds them, how their rows open."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from services.chassis import database
from services.identity import vault
from services.identity.engine import cards, members

_BIRTH_DATE: Final = "birth_date"

#: How each kind of key leads to a member: `member_id` and `card_state`, $1 is the key.
FIND_BY: Final[Mapping[type[members.Key], str]] = {
    members.ById: "SELECT member_id, NULL AS card_state FROM members WHERE member_id = $1",
    members.ByCard: "SELECT member_id, state AS card_state FROM cards WHERE card_number = $1",
    members.ByPhone: """
        SELECT member_id, NULL AS card_state FROM contacts
        WHERE kind = 'phone' AND blind_index = $1
    """,
}


def argument(key: members.Key, box: vault.Vault) -> UUID | str | bytes:
    """Return what stands for a key in SQL."""
    match key:
        case members.ById(member_id):
            return member_id
        case members.ByCard(card_number):
            return card_number
        case members.ByPhone(phone):
            return box.index(phone.kind, phone.lookup)


def found(row: database.Record, member: members.T) -> members.Found[members.T]:
    """Return a member with the state of the card that led to it."""
    state = row["card_state"]
    return members.Found(member, None if state is None else cards.State(state))


def open_person(row: database.Record, box: vault.Vault) -> vault.PersonBox:
    """Return the box of the member in a row. Raises VaultError."""
    return box.open_person(row["member_id"], row["wrapped_key"])


def seal_birth_date(person: vault.PersonBox, born: members.BirthDate | None) -> bytes | None:
    """Return the ciphertext of a date of birth; None for None."""
    text = "" if born is None else f"{born.year:04}-{born.month:02}-{born.day:02}"
    return person.seal(_BIRTH_DATE, text)


def birth_date(person: vault.PersonBox, row: database.Record) -> members.BirthDate | None:
    """Return the date of birth in a row. Raises VaultError."""
    text = person.open(_BIRTH_DATE, row["birth_date_ciphertext"])
    return members.BirthDate(*map(int, text.split("-"))) if text else None
