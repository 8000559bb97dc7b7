"""Codes: how they are written, and how they are drawn and recognised."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.chassis import config
from services.ledger import codes
from services.ledger.codes import Codes, Kind
from services.ledger.engine import codes as writing

MADE = Codes(bytes(range(32)))
NUMBERS = st.integers(0, 31**15 - 1)
PLACES = st.integers(0, 15)


def test_alphabet_has_no_character_that_looks_like_another():
    """Nobody has to ask whether it is a zero."""
    assert len(set(writing.ALPHABET)) == 31
    assert not set("ILO01") & set(writing.ALPHABET)


@given(NUMBERS, PLACES, st.sampled_from(writing.ALPHABET))
def test_one_wrong_character_is_always_found(number, place, wrong):
    """A typing error is told apart from an unknown code."""
    code = writing.written(number, length=16)
    assume(code[place] != wrong)
    assert writing.is_sound(code, length=16)
    assert not writing.is_sound(code[:place] + wrong + code[place + 1 :], length=16)


@given(NUMBERS, PLACES, PLACES)
def test_two_exchanged_characters_are_always_found(number, one, other):
    """Wherever they stand."""
    code = list(writing.written(number, length=16))
    assume(code[one] != code[other])
    code[one], code[other] = code[other], code[one]
    assert not writing.is_sound("".join(code), length=16)


@given(NUMBERS, NUMBERS)
def test_different_numbers_are_written_differently(one, other):
    """Nothing of a number is lost."""
    written = [writing.written(number, length=16) for number in (one, other)]
    assert (written[0] == written[1]) == (one == other)


@pytest.mark.parametrize("text", ["", "ABC", "2" * 15, "2" * 17, "I" * 16, "0" * 16, "é" * 16])
def test_what_is_no_code_is_not_sound(text):
    """Length and alphabet come first."""
    assert not writing.is_sound(text, length=16)


def test_code_may_be_typed_as_people_do():
    """Case, spaces and hyphens are the printer's taste."""
    code = MADE.draw(Kind.GIFT_CARD, "request-1", 7)
    printed = writing.grouped(code)
    assert [len(part) for part in printed.split("-")] == [4, 4, 4, 4]
    for typed in (printed, printed.lower(), printed.replace("-", " "), f" {code}"):
        assert writing.normalised(typed) == code


def test_codes_follow_from_key_issue_and_number_alone():
    """The same request draws the same codes again; everything else draws others."""
    drawn = MADE.draw(Kind.GIFT_CARD, "request-1", 7)
    assert drawn == Codes(bytes(range(32))).draw(Kind.GIFT_CARD, "request-1", 7)
    others = {
        MADE.draw(Kind.GIFT_CARD, "request-1", 8),
        MADE.draw(Kind.GIFT_CARD, "request-2", 7),
        MADE.draw(Kind.COUPON, "request-1", 7),
        Codes(bytes(32)).draw(Kind.GIFT_CARD, "request-1", 7),
    }
    assert drawn not in others
    assert len(others) == 4


def test_ten_thousand_codes_are_sound_and_all_different():
    """As many as one request may ask for."""
    drawn = [MADE.draw(Kind.COUPON, "series", number) for number in range(10_000)]
    assert len(set(drawn)) == 10_000
    assert all(writing.is_sound(code, length=Kind.COUPON.length) for code in drawn)


def test_id_of_a_code_needs_the_key():
    """A stolen database says nothing about codes, and kinds do not meet."""
    ids = {
        MADE.identify(Kind.GIFT_CARD, "A"),
        MADE.identify(Kind.COUPON, "A"),
        Codes(bytes(32)).identify(Kind.GIFT_CARD, "A"),
    }
    assert len(ids) == 3
    assert {one.version for one in ids} == {8}


LINE = base64.b64encode(bytes(32)).decode()


def test_key_file_has_one_key_a_line(tmp_path):
    """The first line is the newest; an editor may leave empty ones."""
    path = tmp_path / "key"
    path.write_text(f"{base64.b64encode(bytes(range(32))).decode()}\n\n{LINE}\n")
    newest, oldest = codes.load(path)
    assert newest.check_value == MADE.check_value
    assert oldest.check_value == Codes(bytes(32)).check_value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        base64.b64encode(b"x" * 31).decode(),
        "*" * 44,
        f"{LINE}\n{LINE}",
        f"{LINE}\nshort",
    ],
)
def test_key_file_with_something_else_is_refused(tmp_path, text):
    """One sentence that names the setting."""
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(config.ConfigError, match=r"ledger\.code_key_file"):
        codes.load(path)
