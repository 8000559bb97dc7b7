"""Rows for set-based statements, as PostgreSQL's own array literals.

The driver inspects every element of an array that it encodes, which costs more than all else that
a posting does with the database. A text that PostgreSQL parses is ten times cheaper to make.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of columns: how its values are written, and what PostgreSQL makes of them."""

    write: Callable[[Sequence[Any]], str]
    cast: str


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a statement that works on rows, which its text calls {rows} and {columns}.

    The rows come as one literal for each column.
    """

    name: str
    columns: Mapping[str, Kind]
    text: str

    def literals(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        """Return the arguments that stand for rows, of which there is one at least."""
        columns = zip(*rows, strict=True)
        kinds = self.columns.values()
        return [kind.write(column) for kind, column in zip(kinds, columns, strict=True)]


@lru_cache(maxsize=256)
def compose(parts: tuple[Part, ...], *, first: int) -> str:
    """Return the WITH list of the parts, with their parameters numbered from `first`."""
    number = first
    composed = []
    for part in parts:
        casts = []
        for kind in part.columns.values():
            casts.append(f"${number}::TEXT::{kind.cast}[]")
            number += 1
        names = ", ".join(part.columns)
        rows = f"unnest({', '.join(casts)}) AS {part.name} ({names})"
        composed.append(f"{part.name} AS ({part.text.format(rows=rows, columns=names)})")
    return "WITH " + ",\n".join(composed)


def uuids(values: Iterable[UUID | None]) -> str:
    """Return the literal of a column of UUIDs."""
    return "{" + ",".join(["NULL" if value is None else value.hex for value in values]) + "}"


def _numbers(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _flags(values: Iterable[bool]) -> str:
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def _texts(values: Iterable[str]) -> str:
    return "{" + ",".join([_quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _blobs(values: Iterable[bytes]) -> str:
    return "{" + ",".join(['"\\\\x' + value.hex() + '"' for value in values]) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    """Return the literal of a column of times, for the function instant() of the schema."""
    return _numbers(
        [None if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
    )


UUIDS = Kind(uuids, "UUID")
NUMBERS = Kind(_numbers, "BIGINT")
SMALL_NUMBERS = Kind(_numbers, "SMALLINT")
LARGE_NUMBERS = Kind(_numbers, "NUMERIC")
FLAGS = Kind(_flags, "BOOLEAN")
TEXTS = Kind(_texts, "TEXT")
BLOBS = Kind(_blobs, "BYTEA")
INSTANTS = Kind(instants, "BIGINT")
