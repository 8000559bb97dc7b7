"""Card numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.engine import cards


@pytest.mark.parametrize(
    ("digits", "check"), [("7992739871", 3), ("411111111111111", 1), ("0", 0), ("29", 9)]
)
def test_check_digit_follows_luhn(digits: str, check: int) -> None:
    """Known numbers end in the digit that the standard gives."""
    assert cards.luhn_digit(digits) == check
    assert cards.is_luhn_valid(digits + str(check))


@given(
    st.from_regex(r"\A[0-9]{1,6}\Z", fullmatch=True),
    st.binary(min_size=16, max_size=32),
)
def test_virtual_number_is_whole_and_checks(prefix: str, randomness: bytes) -> None:
    """Whatever the randomness, a number has its prefix, 16 digits and a right check digit."""
    number = cards.virtual_number(prefix=prefix, randomness=randomness)
    assert number.startswith(prefix)
    assert len(number) == cards.VIRTUAL_DIGITS
    assert number.isdecimal()
    assert cards.is_luhn_valid(number)


@given(st.from_regex(r"\A[0-9]{15}\Z", fullmatch=True), st.integers(0, 15), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(body: str, place: int, shift: int) -> None:
    """Luhn finds every single mistyped digit."""
    number = body + str(cards.luhn_digit(body))
    wrong = str((int(number[place]) + shift) % 10)
    assert not cards.is_luhn_valid(number[:place] + wrong + number[place + 1 :])


def test_too_little_randomness_is_a_defect() -> None:
    """A number that could be guessed is never made."""
    with pytest.raises(ValueError, match="randomness"):
        cards.virtual_number(prefix="29", randomness=b"short")


def test_capitals_do_not_make_another_card() -> None:
    """Scanners and people disagree about capitals."""
    assert cards.read_number("ab12") == cards.read_number("AB12") == "AB12"
