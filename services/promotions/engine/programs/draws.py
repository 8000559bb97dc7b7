"""Prize draws that anybody can check: a sealed seed, a list of tickets, and arithmetic.

The SHA-256 of the seed is published before the first ticket; the seed itself afterwards. The list
has a line for each receipt, `receipt_id tickets`, in the order of ids, each ended by a newline; its
SHA-256 is published with the winners. Ticket number `int(SHA-256(seed || list hash || n)) mod
tickets`, for n = 0, 1, 2, … as eight bytes, big-endian, wins the next prize; a receipt wins once.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate

from services.promotions.engine.programs.challenges import Reward
from services.promotions.engine.programs.measures import Measure
from services.promotions.engine.programs.spans import find_day_problems
from services.promotions.engine.rules import Text
from services.promotions.engine.set_problems import Problem

SEED_BYTES = 32
_UNTITLED = Text("")


@dataclass(frozen=True, slots=True)
class Prize:
    """So many equal prizes; without a reward, somebody hands them over."""

    count: int
    reward: Reward | None = None
    title: Text = _UNTITLED


@dataclass(frozen=True, slots=True)
class DrawRules:
    """A ticket for each `per_ticket` that the measure counts of a receipt between two days."""

    measure: Measure
    per_ticket: int
    first: date
    last: date
    prizes: tuple[Prize, ...]
    hold_days: int = 0

    @property
    def prizes_in_order(self) -> list[int]:
        """The place in `prizes` of each single prize, the first prize first."""
        return [place for place, prize in enumerate(self.prizes) for _ in range(prize.count)]

    @property
    def ready(self) -> date:
        """The first day on which nothing can come back any more; the last of all days at most."""
        return self.last + min(timedelta(days=self.hold_days + 1), date.max - self.last)


@dataclass(frozen=True, slots=True)
class Entry:
    """The tickets of a receipt, at least one."""

    receipt_id: str
    tickets: int


def find_draw_problems(rules: DrawRules, *, today: date) -> list[Problem]:
    """Return why a draw made today cannot work; empty when it can."""
    problems = find_day_problems({"first_date": rules.first, "last_date": rules.last})
    if rules.first < today:
        problems.append(Problem("first_date", "must not be before today: nothing was counted"))
    if rules.first > rules.last:
        problems.append(Problem("last_date", "must not be before first_date"))
    return problems


def seal(seed: bytes) -> str:
    """Return what is published of the seed before the draw."""
    return hashlib.sha256(seed).hexdigest()


def digest(entries: Sequence[Entry]) -> str:
    """Return what is published of the list of tickets; entries stand in the order of ids."""
    lines = "".join(f"{entry.receipt_id} {entry.tickets}\n" for entry in entries)
    return hashlib.sha256(lines.encode()).hexdigest()


def draw(seed: bytes, entries: Sequence[Entry], *, count: int) -> list[str]:
    """Return the winning receipts, the first prize first; fewer when there are fewer receipts."""
    ends = list(accumulate(entry.tickets for entry in entries))
    listed = bytes.fromhex(digest(entries))
    winners: list[str] = []
    seen: set[str] = set()
    n = 0
    while len(winners) < min(count, len(entries)):
        mixed = hashlib.sha256(seed + listed + n.to_bytes(8, "big")).digest()
        ticket = int.from_bytes(mixed, "big") % ends[-1]
        winner = entries[bisect_right(ends, ticket)].receipt_id
        if winner not in seen:
            seen.add(winner)
            winners.append(winner)
        n += 1
    return winners


def verify(
    *, seed: str, sealed: str, entries: Sequence[Entry], listed: str, winners: Sequence[str]
) -> list[str]:
    """Return what is wrong with a draw as it was published; empty when nothing is.

    Seed and hashes are hexadecimal.
    """
    wrong = []
    if seal(bytes.fromhex(seed)) != sealed:
        wrong.append("the seed is not the one that was sealed")
    if [entry.receipt_id for entry in entries] != sorted({one.receipt_id for one in entries}):
        wrong.append("the list is not in the order of receipts, each once")
    if any(entry.tickets < 1 for entry in entries):
        wrong.append("a receipt on the list has no ticket")
    if digest(entries) != listed:
        wrong.append("the list is not the one that was published")
    if not wrong and draw(bytes.fromhex(seed), entries, count=len(winners)) != list(winners):
        wrong.append("the winners do not follow from the seed and the list")
    return wrong
