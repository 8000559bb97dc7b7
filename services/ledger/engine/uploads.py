"""How far an upload is: rows in order, each counted once however often it is sent."""

from collections.abc import Iterable
from typing import NamedTuple

from services.ledger import errors

#: Rows that share a batch; batches begin at multiples of it.
ROWS_PER_BATCH = 200


class Progress(NamedTuple):
    """All rows before `next_row` have their outcome; so many of them were posted and refused."""

    next_row: int
    posted: int
    refused: int


class BatchOutcome(NamedTuple):
    """How many rows a batch has, and how many of them were refused."""

    rows: int
    refused: int


def require_no_gap(progress: Progress, first_row: int) -> None:
    """Raise UploadGap when rows before `first_row` were never sent.

    Nothing comes after a batch that is not full: its rows cannot be completed any more.
    """
    if first_row > progress.next_row:
        raise errors.UploadGap(next_row=progress.next_row)


def advance(progress: Progress, first_row: int, outcomes: Iterable[BatchOutcome]) -> Progress:
    """Return the progress after batches that begin at `first_row` have their outcomes.

    Batches that were counted before are not counted again.
    """
    row = first_row
    for rows, refused in outcomes:
        if row == progress.next_row:
            progress = Progress(
                row + rows, progress.posted + rows - refused, progress.refused + refused
            )
        row += ROWS_PER_BATCH
    return progress
