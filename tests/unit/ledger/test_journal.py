"""Blocks of the integrity chain, as they can be computed with other means."""

import hashlib
from dataclasses import replace
from uuid import UUID

import pytest

from services.ledger.engine import journal
from services.ledger.engine.journal import Kind, Unit

UNIT = Unit(UUID(int=5), bytes([Kind.BATCHES]) + b"d" * 32)


def _number(value, size=8):
    return value.to_bytes(size, "big")


@pytest.mark.parametrize("form", [1, 2])
def test_a_root_is_what_the_documentation_says(form):
    """Byte for byte, in both formats: chains of older versions hold for ever."""
    first = journal.link(None, end=9, units=[UNIT], form=form)
    second = journal.link(first, end=12, units=[], form=form)
    domain = b"tessera.ledger.block." + str(form).encode() + b"\0"
    numbers = b"".join(map(_number, (1, 0, 9, 1)))
    unit = UNIT.id.bytes + _number(1, 4) + UNIT.rows
    assert first.root == hashlib.sha256(domain + bytes(32) + numbers + unit).digest()
    numbers = b"".join(map(_number, (2, 9, 12, 0)))
    assert second.root == hashlib.sha256(domain + first.root + numbers).digest()
    assert journal.is_honest(first, None, [UNIT])
    assert journal.is_honest(second, first, [])


def test_a_block_of_another_format_is_another_block():
    """Whoever says that a block covers less has changed it."""
    block = journal.link(None, end=9, units=[UNIT])
    assert not journal.is_honest(replace(block, format=1), None, [UNIT])


def test_the_newer_kinds_begin_where_no_block_has_covered_them():
    old = journal.link(None, end=9, units=[UNIT], form=1)
    new = journal.link(old, end=12, units=[UNIT])
    assert journal.newer_start(None, end=9) == 0
    assert journal.newer_start(old, end=12) == 0
    assert journal.newer_start(new, end=20) == 12
    assert journal.newer_start(old, end=12, form=1) == 12
