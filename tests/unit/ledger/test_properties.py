"""What holds after any history."""

from collections import defaultdict
from datetime import timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger import engine
from tests.unit.ledger.teller import (
    SHOP,
    START,
    Teller,
    days,
    hold,
    member,
    move,
    plain,
    points,
)

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
    grace_days=st.sampled_from([0, 3]),
)
assets = st.one_of(policies, st.builds(plain, floor=st.sampled_from([0, -40])))
moves = st.builds(
    move,
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.integers(1, 120),
    up_to=st.booleans(),
)
holds = st.builds(
    hold,
    st.sampled_from(KEYS),
    st.sampled_from(KEYS[1:]),
    st.integers(1, 120),
    up_to=st.booleans(),
    life=st.integers(1, 200).map(lambda number: timedelta(hours=number)),
) | st.builds(hold, st.sampled_from(KEYS[1:]), st.just(SHOP), st.integers(1, 120))


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
        st.tuples(st.just("move"), st.lists(moves | holds, min_size=1, max_size=3)),
        st.tuples(
            st.just("capture"),
            st.tuples(
                st.integers(0, 30),
                st.integers(0, 2),
                st.none() | st.integers(1, 120),
                st.booleans(),
            ),
        ),
        st.tuples(st.just("void"), st.tuples(st.integers(0, 30), st.integers(0, 2))),
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
                operations = [_referring(kind, place, *what[2:])]
            group.append(teller.batch(*operations))
            batches.append(group[-1])
        teller.group(*group)
        yield teller


def _referring(kind, place, *rest):
    kinds = {
        "release": engine.Release,
        "undo": engine.Reversal,
        "capture": engine.Capture,
        "void": engine.Void,
    }
    return kinds[kind](place, *rest)


@settings(max_examples=300, deadline=None)
@given(assets, histories())
def test_invariants_hold_after_any_history(asset, history):
    """Sums are zero, limits hold, and balances, entries, lots and takes agree."""
    for teller in _play(asset, history):
        assert teller.sum() == 0
        for account in teller.accounts.values():
            _check_account(teller, asset, account)
            _check_debt(teller, account)
        _check_transfers(teller)
        _check_holds(teller)


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
    view = engine.balance_at(teller._read(account, deep=True, holds=()), teller.now)
    assert teller.balance(account.key) == view
    _check_reserves(teller, account, view)
    if engine.keeps_lots(account.key, asset):
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
    kept = _kept(teller, account)
    free = {lot.id: lot.remaining - kept[lot.id] for lot in live}
    assert min(free.values(), default=0) >= 0
    pending = sum(free[lot.id] for lot in live if lot.is_pending(teller.now))
    assert (view.available, view.pending) == (sum(free.values()) - pending, pending)


def _kept(teller, account):
    """Return what active holds reserve of each lot."""
    kept: defaultdict[UUID, int] = defaultdict(int)
    for reserve in teller.reserves.values():
        if reserve.account_id == account.key.id and reserve.is_active(teller.now):
            for part in reserve.lots:
                kept[part.lot_id] += part.amount
    return kept


def _check_reserves(teller, account, view):
    booked = [one for one in teller.reserves.values() if one.account_id == account.key.id]
    active = [one for one in booked if one.is_active(teller.now)]
    assert view.held == sum(one.remaining for one in active if not one.is_credit)
    assert view.incoming == sum(one.remaining for one in active if one.is_credit)
    assert view.available >= account.floor
    assert account.ceiling is None or account.balance + view.incoming <= account.ceiling
    standing = [one for one in booked if one.state is engine.HoldState.ACTIVE]
    reserved: defaultdict[UUID, int] = defaultdict(int)
    for one in standing:
        for part in one.lots:
            reserved[part.lot_id] += part.amount
    lots = [lot for lot in teller.lots.values() if lot.account_id == account.key.id]
    assert all(reserved[lot.id] == lot.held <= lot.remaining for lot in lots)
    if lots:
        assert account.summary.held == sum(lot.held for lot in lots)


def _check_debt(teller, account):
    """What an account says that its owner owes is what the debt's own account says."""
    if account.key.owner_type != engine.DEBT:
        debt = teller.accounts.get(engine.debt_key(account.key).id)
        assert account.debt == (-debt.balance if debt else 0) >= 0


def _check_holds(teller):
    """Nothing is captured twice, and both sides of a hold tell the same."""
    captured: defaultdict[engine.Place, int] = defaultdict(int)
    for batch in teller.posted.values():
        for index, operation in enumerate(batch.operations):
            if isinstance(operation, engine.Capture):
                place = (batch.id, index)
                captured[operation.target] += sum(
                    row.amount for row in teller.transfers if row[:2] == place
                )
    for row in teller.holds:
        sides = [one for (place, _), one in teller.reserves.items() if place == row.place]
        assert {row.amount - one.remaining for one in sides} == {captured[row.place]}


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


#: Credits with terms of their own: expired soon, late, together, never; spendable at once or later.
credits_ = st.tuples(
    st.integers(1, 40), st.sampled_from([None, 0, 2, 9]), st.sampled_from([None, 10, 11, 11, 40])
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(credits_, min_size=1, max_size=12),
    st.lists(st.lists(moves | holds, min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(0, 45),
)
def test_the_first_lots_decide_as_all_lots_do(earned, groups, day):
    """The teller compares both for every group; here the accounts have many lots of all kinds."""
    teller = Teller(points())
    for key in KEYS[1:3]:
        for amount, active, ends in earned:
            teller.earn(
                amount,
                key,
                activates_at=None if active is None else START + timedelta(days=active),
                expires_at=None if ends is None else START + timedelta(days=ends),
            )
    teller.at(day)
    for operations in groups:
        teller.group(*(teller.batch(operation) for operation in operations))


def test_the_first_lots_are_enough_to_spend_from_them():
    """Nothing else is read while they last; beyond them more is asked for."""
    teller = Teller(points())
    for day in range(5, 25):
        teller.earn(10, expires_at=START + timedelta(days=day))
    teller.briefs.clear()
    teller.spend(5)
    assert teller.briefs == {"decided": 2, "unread": 1}, "one lot does not tell the next expiry"
    teller.briefs.clear()
    teller.spend(60)
    assert teller.briefs == {"unread": 3}
