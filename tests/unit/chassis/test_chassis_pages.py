"""Page tokens: each leads back to its place in its own list, and whatever else comes is refused."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import errors, pages


class Invalid(errors.Refusal):
    """Not one of ours."""

    category = errors.Category.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"


PAGES = pages.Pages(Invalid)
PLACE = UUID(int=7)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@given(name=TEXTS, other=TEXTS, parts=st.lists(TEXTS, min_size=1, max_size=4))
def test_a_token_leads_back_to_its_place_in_its_own_list_alone(name, other, parts):
    """Whatever the parts hold, their number and their borders stay."""
    token = PAGES.token(name, *parts)
    assert PAGES.position(name, token, list) == parts
    if other != name:
        with pytest.raises(Invalid):
            PAGES.position(other, token, list)


def test_a_list_begins_without_a_token():
    assert PAGES.position("entries", "", pages.number) is None


@given(st.text(max_size=100).filter(bool))
def test_a_made_up_token_is_refused(token):
    with pytest.raises(Invalid):
        PAGES.position("entries", token, list)


@given(at=st.integers(0, 30), char=st.sampled_from("AZaz09-_%é"))
def test_a_damaged_token_is_refused(at, char):
    """One character is enough, and so is one that is missing."""
    token = PAGES.token("entries", "a member with a name of some length", 7)
    damaged = token[:at] + char + token[at + 1 :]
    for one in {damaged, token[:at] + token[at + 1 :]} - {token}:
        with pytest.raises(Invalid):
            PAGES.position("entries", one, list)


@pytest.mark.parametrize(
    ("part", "read", "expected"),
    [
        (0, pages.number, 0),
        (2**63 - 1, pages.number, 2**63 - 1),
        (2**31 - 1, pages.small_number, 2**31 - 1),
        ("ключ", pages.text, "ключ"),
        (f"prg_{PLACE.hex}", pages.identifier("prg"), f"prg_{PLACE.hex}"),
        (PLACE, lambda parts: UUID(parts[0]), PLACE),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            lambda parts: pages.moment(parts[0]),
            datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        ),
    ],
)
def test_a_part_is_read_as_what_it_was(part, read, expected):
    assert PAGES.position("list", PAGES.token("list", part), read) == expected


@pytest.mark.parametrize(
    ("parts", "read"),
    [
        (("1", "2"), pages.number),
        (("",), pages.number),
        ((-1,), pages.number),
        (("²",), pages.number),
        ((2**63,), pages.number),
        (("1" * 5000,), pages.number),
        ((2**31,), pages.small_number),
        (("a", "b"), pages.text),
        (("prg_1",), pages.identifier("prg")),
        ((f"cmp_{PLACE.hex}",), pages.identifier("prg")),
        (("yesterday",), lambda parts: pages.moment(parts[0])),
        (("2026-01-01T00:00:00",), lambda parts: pages.moment(parts[0])),
        (("9999-12-31T23:59:59-23:00",), lambda parts: pages.moment(parts[0])),
        (("x",), lambda parts: UUID(parts[0])),
    ],
)
def test_a_mark_that_fits_does_not_make_a_place(parts, read):
    """Who computes a mark for a place that no list has is refused like everybody else."""
    with pytest.raises(Invalid):
        PAGES.position("list", PAGES.token("list", *parts), read)
