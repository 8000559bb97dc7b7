"""What is asked of the command, before anything runs."""

from pathlib import Path

import pytest
import typer

from tools.demo import command
from tools.stack.layout import Layout


@pytest.mark.parametrize(("text", "count"), [("4000", 4000), ("1", 1), ("all", None)])
def test_receipts_are_a_number_or_all(text: str, count: int | None) -> None:
    """Both ways to say how many."""
    assert command._count(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", ""])
def test_nothing_else_is_a_number_of_receipts(text: str) -> None:
    """A sentence says what is wrong."""
    with pytest.raises(typer.BadParameter, match="number above 0"):
        command._count(text)


def test_fewer_receipts_than_before_are_as_many_as_before(tmp_path: Path) -> None:
    """What is in the ledger already belongs to the proof; the whole year stays the whole year."""
    place = Layout(tmp_path)
    assert command._continue(place, 100) == 100
    assert command._continue(place, 50) == 100
    assert command._continue(place, 200) == 200
    assert command._continue(place, None) is None
    assert command._continue(place, 300) is None
