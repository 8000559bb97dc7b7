"""What the companies of a coalition owe one another for points."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.ledger import errors
from services.ledger.engine import owing

#: The party that owes for points which no partner issued; in rates, everybody.
PROGRAM = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """`value_minor` of money for each `units` points of an issuer that an acceptor took in."""

    asset_code: str
    issuer_id: str
    acceptor_id: str
    effective_at: datetime
    value_minor: int
    units: int
    currency_code: str


class Accepted(NamedTuple):
    """Points of one issuer that one partner took in, less what it gave back."""

    issuer_id: str
    acceptor_id: str
    amount: int


class Debt(NamedTuple):
    """What an issuer owes an acceptor, in minor units, and the rate it comes from."""

    issuer_id: str
    acceptor_id: str
    amount: int
    value_minor: int
    units: int
    owed_minor: int


class Net(NamedTuple):
    """What one party pays another in the end, in minor units, above 0."""

    debtor_id: str
    creditor_id: str
    owed_minor: int


def debts(accepted: Iterable[Accepted], rates: Sequence[Rate]) -> tuple[list[Debt], str]:
    """Return who owes whom by issuer and acceptor, and the currency (empty when nobody does).

    `rates` are those in force. A partner owes itself nothing. Raises RateNotFound,
    and AmountTooLarge beyond 64 bits.
    """
    known = {(rate.issuer_id, rate.acceptor_id): rate for rate in rates}
    owed, currency_code = [], ""
    for part in sorted(accepted):
        if part.issuer_id != part.acceptor_id and part.amount:
            rate = _rate(part, known)
            money = owing.told(_half_up(part.amount * rate.value_minor, rate.units))
            owed.append(Debt(*part, rate.value_minor, rate.units, money))
            currency_code = rate.currency_code
    return owed, currency_code


def nets(owed: Iterable[Debt]) -> list[Net]:
    """Return the debts with those of both directions set off, by debtor and creditor.

    Raises AmountTooLarge beyond 64 bits.
    """
    sums: dict[tuple[str, str], int] = {}
    for debt in owed:
        one, other = debt.issuer_id, debt.acceptor_id
        pair, sign = ((one, other), 1) if one < other else ((other, one), -1)
        sums[pair] = owing.told(sums.get(pair, 0) + sign * debt.owed_minor)
    found = [
        Net(one, other, money) if money > 0 else Net(other, one, -money)
        for (one, other), money in sums.items()
        if money
    ]
    return sorted(found)


def _rate(part: Accepted, known: Mapping[tuple[str, str], Rate]) -> Rate:
    """Return the most specific rate: of both parties, of the issuer, of the acceptor, of all."""
    issuer_id, acceptor_id, _ = part
    for parties in (
        (issuer_id, acceptor_id),
        (issuer_id, ""),
        ("", acceptor_id),
        ("", ""),
    ):
        rate = known.get(parties)
        if rate is not None:
            return rate
    raise errors.RateNotFound(issuer_id=issuer_id, acceptor_id=acceptor_id)


def _half_up(dividend: int, divisor: int) -> int:
    """Divide, half away from zero."""
    size = (2 * abs(dividend) + divisor) // (2 * divisor)
    return size if dividend >= 0 else -size
