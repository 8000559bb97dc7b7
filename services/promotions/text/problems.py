"""What is wrong with a text, and where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that cannot stay: line and column from 1, the place in words, and why."""

    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        """Return the problem in one line, without the file."""
        where = f"{self.path}: " if self.path else ""
        return f"{self.line}:{self.column}: {where}{self.text}"


class Unreadable(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """Says that one value cannot be read, and why."""
