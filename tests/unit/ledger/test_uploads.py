"""How far an upload is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import errors
from services.ledger.engine import uploads
from services.ledger.engine.uploads import BatchOutcome, Progress

START = Progress(0, 0, 0)


def test_rows_are_counted_by_their_outcome():
    """Two full batches and a rest."""
    outcomes = [BatchOutcome(200, 3), BatchOutcome(200, 0), BatchOutcome(45, 1)]
    assert uploads.advance(START, 0, outcomes) == Progress(445, 441, 4)


def test_piece_that_comes_again_counts_once():
    """A client that saw no answer sends the piece again."""
    outcomes = [BatchOutcome(200, 3), BatchOutcome(45, 1)]
    done = uploads.advance(START, 0, outcomes)
    assert uploads.advance(done, 0, outcomes) == done
    assert uploads.advance(done, 200, outcomes[1:]) == done


def test_piece_that_was_half_counted_counts_the_other_half():
    """The ledger was cut between two batches of a piece."""
    half = uploads.advance(START, 0, [BatchOutcome(200, 0)])
    whole = uploads.advance(half, 0, [BatchOutcome(200, 0), BatchOutcome(7, 7)])
    assert whole == Progress(207, 200, 7)


@pytest.mark.parametrize(
    ("done", "first_row", "is_gap"),
    [
        (0, 0, False),
        (0, 200, True),
        (400, 400, False),
        (400, 600, True),
        (445, 400, False),
        (445, 600, True),
        (400, 0, False),
    ],
)
def test_rows_may_be_repeated_and_not_left_out(done, first_row, is_gap):
    """A piece begins at the latest at the next row, and nothing follows a batch that is short."""
    progress = Progress(done, done, 0)
    if is_gap:
        with pytest.raises(errors.UploadGap, match=str(done)):
            uploads.require_no_gap(progress, first_row)
    else:
        uploads.require_no_gap(progress, first_row)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=20))
def test_any_order_of_repetitions_counts_every_row_once(pieces):
    """Whatever is sent again, posted and refused add up to the rows."""
    progress = START
    for first, count in pieces:
        row = first * uploads.ROWS_PER_BATCH
        if row <= progress.next_row:
            batches = range(first, first + count)
            outcomes = [BatchOutcome(200, number % 7) for number in batches]
            progress = uploads.advance(progress, row, outcomes)
    batches_done = progress.next_row // uploads.ROWS_PER_BATCH
    assert progress.posted + progress.refused == progress.next_row
    assert progress.refused == sum(number % 7 for number in range(batches_done))
