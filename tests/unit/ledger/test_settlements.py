"""Who owes whom, against books computed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import engine, errors
from tests.unit.ledger.teller import START


def rate(issuer: str, acceptor: str, value: int, units: int) -> engine.Rate:
    return engine.Rate("points", issuer, acceptor, START, value, units, "EUR")


#: 100 points cost 95 cents, the bank's cost 80, the bank's at the fuel station 70; what anybody's
#: points cost at the airline is the bank's business only where nothing is said about the bank.
RATES = [
    rate("", "", 95, 100),
    rate("bank", "", 80, 100),
    rate("bank", "fuel", 70, 100),
    rate("", "airline", 120, 100),
]


@pytest.mark.parametrize(
    ("issuer", "acceptor", "amount", "owed"),
    [
        ("grocer", "fuel", 1000, 950),
        ("bank", "grocer", 1000, 800),
        ("bank", "fuel", 1000, 700),
        ("bank", "airline", 1000, 800),
        ("grocer", "airline", 1000, 1200),
        ("", "airline", 1000, 1200),
        ("", "fuel", 1000, 950),
        ("grocer", "fuel", 1, 1),  # 0.95
        ("grocer", "fuel", 10, 10),  # 9.5, half away from zero
        ("grocer", "fuel", -10, -10),
        ("grocer", "fuel", -7, -7),  # 6.65
        ("bank", "grocer", 3, 2),  # 2.4
    ],
)
def test_the_most_specific_rate_counts_and_cents_are_rounded(issuer, acceptor, amount, owed):
    debts, currency = engine.debts([engine.Accepted(issuer, acceptor, amount)], RATES)
    assert [(debt.issuer_id, debt.acceptor_id, debt.owed_minor) for debt in debts] == [
        (issuer, acceptor, owed)
    ]
    assert currency == "EUR"


def test_money_that_cannot_be_told_is_refused():
    """Of one debt, and of several in one direction."""
    most = [rate("", "", 2**53, 1)]
    accepted = [engine.Accepted("bank", name, 1000) for name in ("fuel", "grocer")]
    owed, _ = engine.debts(accepted, most)
    assert engine.nets(owed)[0].owed_minor == 1000 * 2**53
    with pytest.raises(errors.AmountTooLarge):
        engine.debts([engine.Accepted("bank", "fuel", -1025)], most)
    with pytest.raises(errors.AmountTooLarge):
        engine.nets([owed[0]._replace(acceptor_id="fuel") for _ in range(2)])


def test_own_points_and_even_returns_owe_nothing():
    accepted = [engine.Accepted("bank", "bank", 500), engine.Accepted("bank", "fuel", 0)]
    assert engine.debts(accepted, []) == ([], "")


def test_what_has_no_rate_is_refused():
    """With both parties: somebody has to agree on a price first."""
    accepted = [engine.Accepted("bank", "fuel", 5)]
    with pytest.raises(errors.RateNotFound) as caught:
        engine.debts(accepted, [rate("grocer", "", 1, 1), rate("", "bank", 1, 1)])
    assert caught.value.metadata == {"issuer_id": "bank", "acceptor_id": "fuel"}


def test_debts_in_both_directions_are_set_off():
    """1,000 of the bank's at the fuel station, 300 the other way round, and a pair that is even."""
    accepted = [
        engine.Accepted("bank", "fuel", 1000),  # 700
        engine.Accepted("fuel", "bank", 300),  # 285
        engine.Accepted("grocer", "fuel", 100),  # 95
        engine.Accepted("fuel", "grocer", 100),  # 95
        engine.Accepted("", "bank", 10),  # 10
    ]
    debts, _ = engine.debts(accepted, RATES)
    assert engine.nets(debts) == [
        engine.Net("", "bank", 10),
        engine.Net("bank", "fuel", 415),
    ]


parties = st.sampled_from(["", "bank", "fuel", "grocer"])
flows = st.lists(st.tuples(parties, parties, st.integers(-(10**6), 10**6)), max_size=12)


@given(flows)
def test_setting_off_changes_what_nobody_has_in_the_end(flows):
    """Everybody's receipts less payments are the same before and after, and sum to zero."""
    sums: dict[tuple[str, str], int] = {}
    for issuer, acceptor, amount in flows:
        sums[issuer, acceptor] = sums.get((issuer, acceptor), 0) + amount
    accepted = [engine.Accepted(*pair, amount) for pair, amount in sums.items()]
    debts, _ = engine.debts(accepted, RATES)
    before, after = dict.fromkeys(["", "bank", "fuel", "grocer"], 0), {}
    after.update(before)
    for debt in debts:
        before[debt.issuer_id] -= debt.owed_minor
        before[debt.acceptor_id] += debt.owed_minor
    for net in engine.nets(debts):
        assert net.owed_minor > 0
        after[net.debtor_id] -= net.owed_minor
        after[net.creditor_id] += net.owed_minor
    assert after == before
    assert sum(after.values()) == 0
