"""What holds after any history."""

from collections import defaultdict
from datetime import timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger import engine
from tests.unit.ledger.teller import SHOP, START, Teller, days, member, move, plain, points

KEYS = [SHOP, *(member(name) for name in ("anna", "boris", "clara"))]

policies = st.builds(
    points,
    pending_days=st.sampled_from([0, 0, 3, None]),
    expiry=st.sampled_from(
        [
            None,
            days(5),
            engine.Rolling(1, 0, engine.Rounding.END_OF_MONTH),
            engine.Calendar(((1, 31), (3, 15)), 2),
            engine.Sliding(6),
        ]
    ),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    ceiling=st.sampled_from([None, 300]),
)
assets = st.one_of(policies, st.builds(plain, floor=st.sampled_from([0, -40])))
moves = st.builds(
    move,
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.integers(1, 120),
    up_to=st.booleans(),
)


@st.composite
def histories(draw):
    """A list of groups; each step moves the clock, and refers back to earlier batches by number."""
    steps = st.one_of(
        st.tuples(st.just("move"), st.lists(moves, min_size=1, max_size=3)),
        st.tuples(st.just("move"), st.lists(moves, min_size=1, max_size=3)),
        st.tuples(
            st.just("undo"),
            st.tuples(
                st.integers(0, 30),
                st.integers(0, 2),
                st.integers(1, 150),
                st.sampled_from(engine.Shortfall),
            ),
        ),
        st.tuples(st.just("release"), st.tuples(st.integers(0, 30), st.integers(0, 2))),
        st.tuples(st.just("sweep"), st.none()),
    )
    return draw(
        st.lists(
            st.tuples(st.integers(0, 60), st.lists(steps, min_size=1, max_size=3)),
            min_size=1,
            max_size=12,
        )
    )


def _play(asset, history):
    teller = Teller(asset)
    batches: list[engine.Batch] = []
    hours = 0
    for wait, steps in history:
        hours += wait
        teller.now = START + timedelta(hours=hours)
        group = []
        for kind, what in steps:
            if kind == "sweep":
                teller.sweep()
                continue
            if kind == "move":
                operations = what
            elif not batches:
                continue
            else:
                place = engine.Place(batches[what[0] % len(batches)].id, what[1])
                operations = [
                    engine.Release(place)
                    if kind == "release"
                    else engine.Reversal(place, what[2], what[3])
                ]
            group.append(teller.batch(*operations))
            batches.append(group[-1])
        teller.group(*group)
        yield teller


@settings(max_examples=300, deadline=None)
@given(assets, histories())
def test_invariants_hold_after_any_history(asset, history):
    """Sums are zero, limits hold, and balances, entries, lots and takes agree."""
    for teller in _play(asset, history):
        assert teller.sum() == 0
        for account in teller.accounts.values():
            _check_account(teller, asset, account)
        _check_transfers(teller)


def _check_account(teller, asset, account):
    assert account.floor <= account.balance
    assert account.ceiling is None or account.balance <= account.ceiling
    entries = [row for row in teller.entries if row.account_id == account.key.id]
    assert sum(row.amount for row in entries) == account.balance
    running = 0
    version = 0
    for row in entries:
        assert (row.balance_before, row.balance_after) == (running, running + row.amount)
        assert row.version > version
        running, version = row.balance_after, row.version
    assert account.version >= version
    view = engine.balance_at(teller._read(account, deep=True), teller.now)
    assert teller.balance(account.key) == view
    if asset.lots is not None:
        _check_lots(teller, account, view)


def _check_lots(teller, account, view):
    lots = [lot for lot in teller.lots.values() if lot.account_id == account.key.id]
    assert sum(lot.remaining for lot in lots) == account.balance
    taken: defaultdict[UUID, int] = defaultdict(int)
    for row in teller.takes:
        taken[row.lot_id] += row.amount
    assert all(lot.amount - taken[lot.id] == lot.remaining >= 0 for lot in lots)
    live = [
        lot
        for lot in lots
        if (ends := engine.expiry(lot, account.slides_until)) is None or ends > teller.now
    ]
    pending = sum(lot.remaining for lot in live if lot.is_pending(teller.now))
    available = sum(lot.remaining for lot in live) - pending
    assert (view.available, view.pending) == (available, pending)


def _check_transfers(teller):
    amounts = {row[:2]: row.amount for row in teller.transfers}
    undone: defaultdict[tuple[UUID, int], int] = defaultdict(int)
    for row in teller.reversals:
        undone[row[:2]] += row.amount
        assert row.reversed_amount == undone[row[:2]]
    assert all(amount <= amounts[place] for place, amount in undone.items())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=8),
    st.lists(st.integers(1, 60), max_size=6),
)
def test_spending_always_takes_what_expires_first(credits_, spendings):
    """After any spending, no lot that was touched expires later than one that is left untouched."""
    teller = Teller(points())
    for amount, day in credits_:
        teller.earn(amount, expires_at=START + timedelta(days=day))
    for amount in spendings:
        teller.spend(amount)
        live = teller.live()
        touched = [lot for lot in live if lot.remaining < lot.amount]
        assert touched in ([], live[:1])


@settings(max_examples=200, deadline=None)
@given(policies, st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), max_size=8))
def test_a_group_decides_as_its_batches_alone_would(asset, credits_):
    """Gathering requests into one transaction changes no answer."""
    together, apart = Teller(asset), Teller(asset)
    batches = [
        together.batch(move(SHOP, KEYS[1 + number % 3], amount), name=f"n{index}")
        for index, (number, amount) in enumerate(credits_)
    ]
    grouped = together.group(*batches)
    alone = [apart.group(batch)[0] for batch in batches]
    assert list(grouped) == alone
    assert together.accounts == apart.accounts
    assert together.lots == apart.lots
