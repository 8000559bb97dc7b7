"""Batches whose operations stand each for itself."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.ledger import engine, errors
from tests.unit.ledger.teller import SHOP, Teller, days, member, move, plain, points

ANNA, BORIS = member("anna"), member("boris")


def bulk(teller, *operations, **terms):
    """Post independent operations as one batch."""
    made = teller.batch(*operations, **terms)
    independent = engine.Batch(
        made.id,
        made.operations,
        made.receipt_id,
        made.operator_id,
        made.occurred_at,
        independent=True,
    )
    return teller.group(independent)[0]


def refusals(decision):
    return [result.refusal for result in decision.operations]


def test_refused_operation_leaves_its_neighbours_alone():
    """Anna's empty purse is not Boris' business."""
    teller = Teller(points())
    decision = bulk(teller, move(SHOP, BORIS, 5), move(ANNA, SHOP, 3), move(SHOP, BORIS, 7))
    assert isinstance(decision, engine.Posted)
    assert refusals(decision) == [
        None,
        errors.InsufficientFunds(available=0, required=3),
        None,
    ]
    assert [result.amount for result in decision.operations] == [5, 0, 7]
    assert (teller.available(ANNA), teller.available(BORIS)) == (0, 12)
    assert [movement.amount for movement in decision.movements] == [5, 7]
    assert decision.balances == ()


def test_operations_see_what_those_before_them_did():
    """Rows of a file count in their order."""
    teller = Teller(points())
    decision = bulk(teller, move(SHOP, ANNA, 5), move(ANNA, SHOP, 5), move(ANNA, SHOP, 1))
    assert refusals(decision) == [
        None,
        None,
        errors.InsufficientFunds(available=0, required=1),
    ]


def test_each_refusal_is_the_first_in_precedence_of_its_own_operation():
    """The order of reasons holds for every operation by itself."""
    teller = Teller(plain(ceiling=10))
    unknown = move(member("anna", "ghosts"), member("boris", "ghosts"), 1)
    terms = move(SHOP, SHOP, 1, expires_at=teller.now)
    decision = bulk(teller, unknown, terms, move(SHOP, ANNA, 11))
    assert refusals(decision) == [
        errors.AssetNotFound(asset_code="ghosts"),
        errors.AccountsMustDiffer(),
        errors.CeilingExceeded(room=10, required=11),
    ]


def test_future_is_refused_as_a_whole():
    """When it happened is the batch's own property."""
    teller = Teller(points())
    decision = bulk(teller, move(SHOP, ANNA, 1), occurred_at=teller.now + timedelta(hours=1))
    assert isinstance(decision, engine.Refused)
    assert (decision.refusal, decision.operation_index) == (errors.OccurredInFuture(), -1)


def test_expired_lots_of_a_refused_operation_wait_for_the_sweeper():
    """Looking at an account in vain changes nothing on it."""
    teller = Teller(points(expiry=days(1)))
    teller.earn(5, ANNA)
    teller.at(2)
    assert refusals(bulk(teller, move(ANNA, SHOP, 5))) == [
        errors.InsufficientFunds(available=0, required=5)
    ]
    assert teller.expiries == []
    teller.sweep()
    assert [row.amount for row in teller.expiries] == [5]
    assert teller.sum() == 0


def test_expired_lots_are_booked_by_the_operation_that_finds_them():
    """One movement for the expiry, one for the earning."""
    teller = Teller(points(expiry=days(1)))
    teller.earn(5, ANNA)
    teller.at(2)
    bulk(teller, move(ANNA, SHOP, 1), move(SHOP, ANNA, 7))
    assert [row.amount for row in teller.expiries] == [5]
    assert teller.available(ANNA) == 7
    assert teller.sum() == 0


def test_credit_that_came_with_a_past_expiry_is_gone_for_the_next_operation():
    """Each operation is closed before the next begins."""
    teller = Teller(points())
    late = move(SHOP, ANNA, 5, expires_at=teller.now - timedelta(days=1))
    decision = bulk(teller, late, move(ANNA, SHOP, 5))
    assert refusals(decision)[1] == errors.InsufficientFunds(available=0, required=5)


def test_batch_after_an_independent_one_sees_it_and_tells_right_balances():
    """Pages are shared inside a group; a told balance is never an old one."""
    teller = Teller(points())
    first = teller.batch(move(SHOP, ANNA, 5))
    second = engine.Batch(
        teller.batch().id,
        (move(SHOP, ANNA, 6, expires_at=teller.now + timedelta(1)),),
        "",
        "",
        teller.now,
        independent=True,
    )
    third = teller.batch(move(SHOP, ANNA, 7))
    decisions = teller.group(first, second, third)
    assert [d.balances[0].available for d in (decisions[0], decisions[2])] == [5, 18]
    assert decisions[2].balances[0].next_expire_amount == 6
    assert teller.balance(ANNA).next_expire_amount == 6


def test_refused_operation_cannot_be_undone():
    """What took no effect has nothing to give back, in the same group as later."""
    teller = Teller(points())
    made = teller.batch(move(ANNA, SHOP, 1))
    independent = engine.Batch(made.id, made.operations, "", "", made.occurred_at, independent=True)
    undo = engine.Reversal(engine.Place(made.id, 0), 1, engine.Shortfall.REFUSE)
    decisions = teller.group(independent, teller.batch(undo))
    assert decisions[1].refusal == errors.NotReversible()
    assert teller.post(undo).refusal == errors.NotReversible()


def test_reversals_stand_each_for_itself_too():
    """A refused one leaves no trace on what it would have undone."""
    teller = Teller(points())
    earned = teller.earn(10, ANNA)
    teller.spend(4, ANNA)
    place = engine.Place(earned.batch.id, 0)
    decision = bulk(
        teller,
        engine.Reversal(place, 7, engine.Shortfall.REFUSE),
        engine.Reversal(place, 5, engine.Shortfall.REFUSE),
        engine.Reversal(place, 6, engine.Shortfall.REFUSE),
        move(SHOP, BORIS, 1),
    )
    assert refusals(decision) == [
        errors.InsufficientFunds(available=6, required=7),
        None,
        errors.ExceedsReversible(remaining=5),
        None,
    ]
    assert (teller.available(ANNA), teller.available(BORIS)) == (1, 1)
    assert teller.sum() == 0


NAMES = ("anna", "boris", "clara")
TRANSFERS = st.builds(
    lambda giver, taker, amount, expires, up_to: (giver, taker, amount, expires, up_to),
    st.sampled_from((*NAMES, "")),
    st.sampled_from((*NAMES, "")),
    st.integers(1, 20),
    st.sampled_from((None, -1, 1, 3)),
    st.booleans(),
)


@given(st.lists(TRANSFERS, min_size=1, max_size=12), st.lists(TRANSFERS, max_size=6), st.booleans())
def test_independent_operations_do_what_as_many_batches_would(before, rows, late):
    """One batch of n operations and n batches of one end in the same books."""
    assets = (points(ceiling=60, expiry=days(2)),)
    apart, together = Teller(*assets), Teller(*assets)
    for teller in (apart, together):
        for row in before:
            teller.post(operation(teller, row))
        if late:
            teller.at(2)
    one_by_one = [apart.post(operation(apart, row)) for row in rows]
    if rows:
        decision = bulk(together, *(operation(together, row) for row in rows))
        assert [(one.refusal, one.amount) for one in decision.operations] == [
            (None, one.operations[0].amount) if isinstance(one, engine.Posted) else (one.refusal, 0)
            for one in one_by_one
        ]
    for name in NAMES:
        assert apart.held(member(name)) == together.held(member(name))
        mine, other = apart.accounts.get(member(name).id), together.accounts.get(member(name).id)
        assert (mine and mine.version) == (other and other.version)
    assert together.sum() == 0
    assert sorted(map(expired, apart.expiries)) == sorted(map(expired, together.expiries))


def expired(row):
    return row.key.owner_id, row.amount, row.expired_at


def operation(teller, row):
    giver, taker, amount, expires, up_to = row
    debit = member(giver) if giver else SHOP
    credit = member(taker) if taker else SHOP
    expires_at = None if expires is None else teller.now + timedelta(days=expires)
    return move(debit, credit, amount, up_to=up_to, expires_at=expires_at)
