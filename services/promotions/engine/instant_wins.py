"""Chances of winning at once that anybody can check: a sealed seed, sealed terms, and arithmetic.

The SHA-256 of seed and terms is published before the first chance; the seed itself when no chance
can be drawn any more. Chance number n of a receipt, from 1, is the number SHA-256(seed ||
"receipt_id/n"). The numbers below 2^256 are dealt to the prizes in their order, to each 2^256
divided by its `one_in`, rounded down; what is left wins nothing. Nothing else decides, so nobody
who does not know the seed can steer it, and nobody at all after it is sealed.

Prizes come out over the period in portions, whether or not those before them were won. A chance
that wins a prize of which none is out gets nothing.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.promotions.engine.decisions import Drawn
from services.promotions.engine.rules import (
    InstantPrize,
    InstantWin,
    Period,
    PointsSpread,
    Text,
)

SEED_BYTES: Final = 32
#: A receipt has so many chances of one campaign at most.
CHANCES_MAX: Final = 20
#: In so many portions a prize comes out at most.
PORTIONS_MAX: Final = 366
_SPAN: Final = 1 << 256
#: A till may record a purchase so long after it was made.
_LATE: Final = timedelta(hours=1)
#: Then nothing is drawn any more, whoever's clock is wrong by how much.
_TOLD_AFTER: Final = timedelta(hours=24)
#: By so much the clocks of those who release prizes and record receipts may differ.
_SKEW: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is sealed: how much there is of each prize, at what odds, and when it comes out."""

    campaign_id: str
    win: InstantWin

    @property
    def drawn_until(self) -> datetime:
        """The moment from which on no chance is drawn, by the clock of the platform."""
        return _later(self.win.period.end_time, _LATE)

    @property
    def told_from(self) -> datetime:
        """The moment from which on the seed is public."""
        return _later(self.win.period.end_time, _TOLD_AFTER)


def _later(moment: datetime, span: timedelta) -> datetime:
    return moment + min(span, datetime.max.replace(tzinfo=moment.tzinfo) - moment)


def write_terms(terms: Terms) -> str:
    """Return the text that is sealed with the seed; equal terms have equal texts."""
    win = terms.win
    plain = {
        "campaign_id": terms.campaign_id,
        "start_time": win.period.start_time.isoformat(),
        "end_time": win.period.end_time.isoformat(),
        "spread": win.spread.name,
        "step_minor": win.step_minor,
        "chances_max": win.chances_max,
        "prizes": [
            {
                "title": {"en": one.title.en, "ru": one.title.ru},
                "count": one.count,
                "one_in": one.one_in,
                "points": one.points,
            }
            for one in win.prizes
        ],
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def read_terms(text: str) -> Terms:
    """Return the terms that `write_terms` made this of."""
    plain = json.loads(text)
    return Terms(
        plain["campaign_id"],
        InstantWin(
            prizes=tuple(
                InstantPrize(
                    Text(one["title"]["en"], one["title"]["ru"]),
                    one["count"],
                    one["one_in"],
                    one["points"],
                )
                for one in plain["prizes"]
            ),
            period=Period(
                datetime.fromisoformat(plain["start_time"]),
                datetime.fromisoformat(plain["end_time"]),
            ),
            spread=PointsSpread[plain["spread"]],
            step_minor=plain["step_minor"],
            chances_max=plain["chances_max"],
        ),
    )


def seal(seed: bytes, text: str) -> str:
    """Return what is published before: the SHA-256 of seed and terms, hexadecimal."""
    return hashlib.sha256(seed + text.encode()).hexdigest()


def draw(seed: bytes, odds: Sequence[int], *, receipt_id: str, number: int) -> int | None:
    """Return the place of the prize that a chance wins, None for nothing.

    `odds` are the prizes' `one_in`, in their order.
    """
    mixed = hashlib.sha256(seed + f"{receipt_id}/{number}".encode()).digest()
    left = int.from_bytes(mixed, "big")
    for place, one_in in enumerate(odds):
        share = _SPAN // one_in
        if left < share:
            return place
        left -= share
    return None


def draw_all(seed: bytes, terms: Terms, *, receipt_id: str, count: int) -> tuple[Drawn, ...]:
    """Return what so many chances of a receipt win by their numbers."""
    odds = [one.one_in for one in terms.win.prizes]
    places = [
        draw(seed, odds, receipt_id=receipt_id, number=number) for number in range(1, count + 1)
    ]
    return tuple(_drawn(terms, number, place) for number, place in enumerate(places, start=1))


def _drawn(terms: Terms, number: int, place: int | None) -> Drawn:
    if place is None:
        return Drawn(terms.campaign_id, number)
    prize, account_id = terms.win.prizes[place], find_account(terms, place)
    return Drawn(terms.campaign_id, number, place, prize.title, prize.points, account_id)


def find_account(terms: Terms, place: int) -> str:
    """Return where the ledger keeps how many of a prize are out.

    Terms that were tried and never went live have accounts of their own.
    """
    digest = hashlib.sha256(write_terms(terms).encode()).hexdigest()
    return f"{terms.campaign_id}.{digest[:16]}.{place}"


def parse_account(account_id: str) -> tuple[str, int]:
    """Return the campaign and the place of the prize that `find_account` made this of."""
    campaign_id, _, place = account_id.split(".")
    return campaign_id, int(place)


def portions(count: int, *, period: Period) -> Iterator[tuple[datetime, int]]:
    """Yield when how many of a prize come out: evenly over the period, the first at its start."""
    number, length = min(count, PORTIONS_MAX), period.end_time - period.start_time
    for place in range(number):
        share = count * (place + 1) // number - count * place // number
        yield period.start_time + length * place // number, share


def released(count: int, moment: datetime, *, period: Period) -> int:
    """Return how many of a prize have come out by a moment."""
    return sum(share for when, share in portions(count, period=period) if when <= moment)


@dataclass(frozen=True, slots=True)
class Told:
    """What is published of a chance; `given` and `gone` tell what became of a prize that it won."""

    receipt_id: str
    record_time: datetime
    number: int
    prize_index: int | None
    given: bool
    gone: bool


def verify(*, seed: bytes, sealed: str, text: str, told: Sequence[Told]) -> list[str]:
    """Return what is wrong with chances as they were published; empty when nothing is."""
    if seal(seed, text) != sealed:
        return ["seed and terms are not those that were sealed"]
    win = read_terms(text).win
    return [
        *_check_numbers(told),
        *_check_draws(seed, [one.one_in for one in win.prizes], told),
        *_check_prizes(win, told),
    ]


def _check_numbers(told: Sequence[Told]) -> Iterator[str]:
    numbers: dict[str, list[int]] = {}
    for one in told:
        numbers.setdefault(one.receipt_id, []).append(one.number)
    for receipt_id, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"{receipt_id}: its chances are not numbered from 1, each once"


def _check_draws(seed: bytes, odds: Sequence[int], told: Sequence[Told]) -> Iterator[str]:
    for one in told:
        place = draw(seed, odds, receipt_id=one.receipt_id, number=one.number)
        if place != one.prize_index:
            ours, theirs = _name(place), _name(one.prize_index)
            yield f"{one.receipt_id}/{one.number}: wins {ours}, and was told {theirs}"
        elif (place is not None) != (one.given or one.gone):
            yield f"{one.receipt_id}/{one.number}: it is not told what became of {_name(place)}"


def _name(place: int | None) -> str:
    return "nothing" if place is None else f"prize {place}"


def _check_prizes(win: InstantWin, told: Sequence[Told]) -> Iterator[str]:
    given: Counter[int | None] = Counter(one.prize_index for one in told if one.given)
    for index, prize in enumerate(win.prizes):
        if given[index] > prize.count:
            yield f"prize {index}: {given[index]} were given, and there are {prize.count}"
    for one in told:
        place = one.prize_index
        if not one.gone or place is None or place >= len(win.prizes):
            continue
        out = released(win.prizes[place].count, one.record_time - _SKEW, period=win.period)
        if given[place] < out:
            yield (
                f"{one.receipt_id}/{one.number}: prize {place} was refused,"
                f" and only {given[place]} of {out} that were out were ever given"
            )
