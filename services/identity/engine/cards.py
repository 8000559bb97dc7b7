"""Cards: numbers as printed on plastic or made up for a phone."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

VIRTUAL_DIGITS = 16


class State(StrEnum):
    """Whether a card works."""

    ACTIVE = "active"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Card:
    """A card and the member who holds it."""

    card_id: UUID
    member_id: UUID
    card_number: str
    state: State
    create_time: datetime


def block(card: Card) -> Card:
    """Return the card stopped; a blocked one stays as it is."""
    return replace(card, state=State.BLOCKED)


def read_number(text: str) -> str:
    """Return the one spelling of a card number: scanners and people disagree about capitals."""
    return text.upper()


def virtual_number(*, prefix: str, randomness: bytes) -> str:
    """Return a virtual card's number of 16 digits, the last one a Luhn check digit.

    `prefix` is 1 to 6 digits that no plastic card starts with. `randomness` is at least 16 bytes,
    so that the bias of the remainder stays below 2**-80 and numbers cannot be guessed.
    """
    if len(randomness) < 16:
        raise ValueError("a virtual card number takes 16 bytes of randomness")
    digits = VIRTUAL_DIGITS - 1 - len(prefix)
    body = f"{prefix}{int.from_bytes(randomness, 'big') % 10**digits:0{digits}d}"
    return body + str(luhn_digit(body))


def luhn_digit(digits: str) -> int:
    """Return the check digit to append to `digits` (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def is_luhn_valid(digits: str) -> bool:
    """Tell whether the last of `digits` is the check digit of those before it."""
    return luhn_digit(digits[:-1]) == int(digits[-1])
