"""Cards carry a check digit; every household has its own."""

from hypothesis import given
from hypothesis import strategies as st

from tools.demo import households
from tools.demo.households import Households


def test_a_known_number_has_its_check_digit() -> None:
    """The example of the formula's own description."""
    assert households.check_digit("7992739871") == 3


@given(st.integers(1, 99_999), st.integers(0, 14), st.integers(1, 9))
def test_a_single_wrong_digit_is_noticed(household: int, place: int, shift: int) -> None:
    """Changing any one digit before the last makes the number invalid."""
    number = households.card_number(household)
    wrong = str((int(number[place]) + shift) % 10)
    payload = number[:place] + wrong + number[place + 1 : -1]
    assert households.check_digit(payload) != int(number[-1])


def test_every_household_has_a_card_of_its_own(planned_people: Households) -> None:
    """All 2,469 households of the year, with different cards."""
    members = planned_people.members
    assert members.height == 2_469
    assert members["card_number"].n_unique() == 2_469
    assert members["card_number"].str.len_chars().unique().to_list() == [16]


def test_segments_are_the_mailings_and_two_of_the_demographics(
    planned_people: Households,
) -> None:
    """Each of the 27 campaigns of the data set is a segment of the households it was sent to."""
    names = planned_people.segments["segment_id"].unique().sort().to_list()
    assert names == ["families", *(f"mailing-{number:02d}" for number in range(1, 28)), "seniors"]
