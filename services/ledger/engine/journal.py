"""The integrity chain: what is hashed, and how a rewritten journal is told from an honest one.

Every row of evidence has a digest, made by the database (see `storage.evidence`). Rows are grouped
by the batch (or account, adjustment, asset) that they belong to, and consecutive transactions form
a block. Its root is

    SHA-256( "tessera.ledger.block." format 00
             previous root (32 bytes, zeros before the first)
             number, first transaction, end of transactions, rows (8 bytes each, big-endian)
             for each batch (or what it is) in the order of its id:
                 id (16 bytes), rows (4 bytes),
                 for each row in the order of kind and digest: kind (1 byte), digest (32 bytes) )

so that it covers every row there ever was. Beside the root a block keeps an index, eight bytes of
each digest: it proves nothing, and tells which row it was when a root does not come out.

Blocks of format 1 know the kinds up to HOLDS. A block of format 2 that follows one of format 1 also
covers all evidence of the newer kinds from before it, so nothing is left out when a process of an
older version has chained in between.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

#: What the first block follows.
GENESIS = bytes(32)

#: What new blocks are made in.
FORMAT = 2

_KIND = 1
_DIGEST = 32
_SHORT = 8
_ROW = _KIND + _DIGEST
_MARK = _KIND + _SHORT


class Kind(IntEnum):
    """The tables whose rows are chained; the numbers are part of what is hashed."""

    BATCHES = 1
    TRANSFERS = 2
    ENTRIES = 3
    LOTS = 4
    LOT_TAKES = 5
    REVERSALS = 6
    LOT_TERMS = 7
    HOLDS = 8
    ACCOUNT_ACTS = 9
    ADJUSTMENTS = 10
    ADJUSTMENT_ACTS = 11
    ADJUSTMENT_LIMIT_ACTS = 12
    SETTLEMENT_RATES = 13
    SETTLEMENT_PERIODS = 14
    SETTLEMENT_POSITIONS = 15
    SETTLEMENT_DEBTS = 16


#: What blocks of format 1 do not know.
NEWER = frozenset(kind for kind in Kind if kind > Kind.HOLDS)
_KINDS = frozenset(map(int, Kind))


class Unit(NamedTuple):
    """The rows of one batch (or of one booking by the ledger itself): kinds and digests, sorted."""

    id: UUID
    rows: bytes

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.rows) // _ROW


@dataclass(frozen=True, slots=True)
class Block:
    """A link of the chain: all evidence of transactions from `start` until before `end`."""

    number: int
    start: int
    end: int
    count: int
    root: bytes
    index: bytes
    format: int


class Mark(NamedTuple):
    """What the index of a block remembers of a row."""

    unit_id: UUID
    kind: Kind
    short_digest: bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows of one kind and batch that a block knows otherwise than the tables have them.

    `missing` are digests that nothing has any more, `foreign` are those of rows that nothing knew.
    """

    unit_id: UUID
    kind: Kind
    missing: int
    foreign: tuple[bytes, ...]


def newer_start(previous: Block | None, *, end: int, form: int = FORMAT) -> int:
    """Return from which transaction on a block that ends so covers the newer kinds."""
    if form == 1:
        return end
    return previous.end if previous is not None and previous.format > 1 else 0


def link(previous: Block | None, *, end: int, units: Sequence[Unit], form: int = FORMAT) -> Block:
    """Return the block that follows `previous`, of all evidence until before transaction `end`."""
    number, start = (previous.number + 1, previous.end) if previous else (1, 0)
    count = sum(unit.size for unit in units)
    digest = hashlib.sha256(f"tessera.ledger.block.{form}\0".encode())
    digest.update(previous.root if previous else GENESIS)
    digest.update(b"".join(one.to_bytes(8, "big") for one in (number, start, end, count)))
    for unit in units:
        digest.update(unit.id.bytes + unit.size.to_bytes(4, "big") + unit.rows)
    index = b"".join(map(_entry, units))
    return Block(number, start, end, count, digest.digest(), index, form)


def is_honest(block: Block, previous: Block | None, units: Sequence[Unit]) -> bool:
    """Tell whether a block is what its rows and the block before it come to."""
    return block == link(previous, end=block.end, units=units, form=block.format)


def differences(block: Block, units: Iterable[Unit]) -> list[Difference]:
    """Return where the rows that a block's index remembers differ from those that are there."""
    known = Counter(_marks(block.index))
    found = Counter(mark for unit in units for mark in _marks(_entry(unit)))
    missing: Counter[tuple[UUID, Kind]] = Counter()
    foreign: defaultdict[tuple[UUID, Kind], list[bytes]] = defaultdict(list)
    for mark in (known - found).elements():
        missing[mark.unit_id, mark.kind] += 1
    for mark in (found - known).elements():
        foreign[mark.unit_id, mark.kind].append(mark.short_digest)
    return [
        Difference(*place, missing[place], tuple(foreign.get(place, ())))
        for place in dict.fromkeys((*missing, *foreign))
    ]


def _entry(unit: Unit) -> bytes:
    rows = unit.rows
    marks = (rows[start : start + _MARK] for start in range(0, len(rows), _ROW))
    return unit.id.bytes + unit.size.to_bytes(4, "big") + b"".join(marks)


def _marks(index: bytes) -> Iterator[Mark]:
    """Read an index; one that somebody has cut is read as far as it goes."""
    place = 0
    while place + 20 <= len(index):
        unit_id = UUID(bytes=index[place : place + 16])
        count = int.from_bytes(index[place + 16 : place + 20], "big")
        place += 20
        for start in range(place, min(place + count * _MARK, len(index)), _MARK):
            kind, short = index[start], index[start + 1 : start + _MARK]
            if kind in _KINDS and len(short) == _SHORT:
                yield Mark(unit_id, Kind(kind), short)
        place += count * _MARK
