"""Points that were spent before they were claimed back: owed apart, and paid off first."""

import itertools

import pytest

from services.ledger import engine, errors
from tests.unit.ledger.teller import (
    SHOP,
    START,
    Teller,
    batch_id,
    days,
    member,
    move,
    plain,
    points,
    refusal,
)

ANNA, BORIS = member("anna"), member("boris")
DEBT = engine.Shortfall.DEBT


def _indebted(asset=None):
    """100 earned, 70 of them spent, the purchase returned: 30 are taken back and 70 owed."""
    teller = Teller(asset or points())
    earned = teller.earn(100)
    teller.spend(70)
    return teller, teller.reverse(earned, 100, DEBT), earned


def _lines(teller, key):
    return [(row.amount, row.balance_after) for row in teller.entries if row.account_id == key.id]


@pytest.mark.parametrize("asset", [points(), plain()])
def test_what_cannot_be_taken_back_is_owed_on_an_account_of_its_own(asset):
    """Never a silent negative: the balance is 0, the debt 70, and the sum over all is zero."""
    teller, undone, _ = _indebted(asset)
    assert (undone.operations[0].amount, undone.operations[0].owed) == (30, 70)
    assert (teller.available(), teller.debt()) == (0, 70)
    assert teller.balance(engine.debt_key(ANNA)).available == -70
    assert _lines(teller, engine.debt_key(ANNA)) == [(-70, -70)]
    assert [(one.amount, one.reason) for one in undone.movements] == [
        (30, engine.REVERSE),
        (70, engine.OWE),
    ]
    assert teller.tallies[SHOP.id] == 70
    assert teller.sum() == 0


@pytest.mark.parametrize("asset", [points(), plain()])
def test_the_next_earnings_pay_off_the_debt_first(asset):
    """100 come: 70 pay it off, 30 are there, and both are in the statement."""
    teller, _, _ = _indebted(asset)
    earned = teller.earn(100)
    assert (earned.operations[0].amount, earned.operations[0].paid_off) == (100, 70)
    assert (teller.available(), teller.debt()) == (30, 0)
    assert _lines(teller, ANNA)[-2:] == [(100, 100), (-70, 30)]
    assert _lines(teller, engine.debt_key(ANNA)) == [(-70, -70), (70, 0)]
    assert teller.earn(5).operations[0].paid_off == 0
    assert teller.sum() == 0


def test_a_debt_is_paid_off_in_as_many_parts_as_it_takes():
    """20, 20, 20, and 10 of 20."""
    teller, _, _ = _indebted()
    assert [teller.earn(20).operations[0].paid_off for _ in range(4)] == [20, 20, 20, 10]
    assert (teller.available(), teller.debt()) == (10, 0)


@pytest.mark.parametrize("make", [points, plain])
def test_what_pays_off_needs_no_room(make):
    """At its ceiling an account takes what it owes, and no more; a hold needs room for all."""
    teller = Teller(make(ceiling=100))
    earned = teller.earn(100)
    held = teller.hold(100)
    teller.reverse(earned, 100, DEBT)
    teller.void(held)
    assert (teller.available(), teller.debt()) == (100, 100)
    assert refusal(teller.earn(101)) == errors.CeilingExceeded(room=100, required=101)
    assert teller.earn(60).operations[0].paid_off == 60
    most = teller.earn(60, up_to=True).operations[0]
    assert (most.amount, most.paid_off) == (40, 40)
    assert (teller.available(), teller.debt(), teller.sum()) == (100, 0, 0)


def test_pending_points_pay_off_too():
    """They are the next that come; what is left of them still waits."""
    teller = Teller(points(pending_days=5))
    earned = teller.earn(100)
    teller.at(6).spend(70)
    teller.reverse(earned, 100, DEBT)
    teller.earn(100)
    assert (teller.held(), teller.debt()) == ((0, 30), 0)


def test_what_paid_off_a_debt_can_be_claimed_back_itself():
    """Then it is owed again."""
    teller, _, _ = _indebted()
    second = teller.earn(100)
    undone = teller.reverse(second, 100, DEBT)
    assert (undone.operations[0].amount, undone.operations[0].owed) == (30, 70)
    assert (teller.available(), teller.debt(), teller.sum()) == (0, 70, 0)


def test_what_is_owed_counts_as_undone():
    """It is claimed back once: by the debt."""
    teller, _, earned = _indebted()
    assert refusal(teller.reverse(earned, 1, DEBT)) == errors.ExceedsReversible(remaining=0)


def test_nothing_is_owed_when_there_is_enough():
    """The policy is about what is missing."""
    teller = Teller(points())
    undone = teller.reverse(teller.earn(100), 40, DEBT)
    assert (undone.operations[0].amount, undone.operations[0].owed) == (40, 0)
    assert engine.debt_key(ANNA).id not in teller.accounts


def test_a_refund_to_an_indebted_member_is_not_kept():
    """What was paid with points comes back as it was: only what comes anew pays off."""
    teller = Teller(points(expiry=days(30)))
    earned = teller.earn(100)
    spent = teller.spend(70)
    teller.reverse(earned, 100, DEBT)
    teller.reverse(spent, 70)
    assert (teller.available(), teller.debt()) == (70, 70)


def test_the_receiver_of_a_gift_that_is_undone_gets_all_of_it():
    """What the other has spent is owed by the other."""
    teller = Teller(points())
    teller.earn(100)
    gift = teller.transfer(ANNA, BORIS, 60)
    teller.spend(50, BORIS)
    teller.reverse(gift, 60, DEBT)
    assert (teller.available(ANNA), teller.available(BORIS), teller.debt(BORIS)) == (100, 0, 50)
    assert [lot.remaining for lot in teller.live(ANNA)] == [100]
    assert teller.sum() == 0


def test_nobody_owes_more_than_an_account_holds():
    """10^18 and no unit more: then it is refused as missing, and nothing is half written."""
    teller = Teller(plain())
    earned, again = teller.earn(2), teller.earn(1)
    teller.spend(3)
    teller.reverse(earned, 1, DEBT)
    debt = engine.debt_key(ANNA)
    teller.accounts[ANNA.id] = teller.accounts[ANNA.id]._replace(debt=10**18 - 1)
    teller.accounts[debt.id] = teller.accounts[debt.id]._replace(balance=-(10**18) + 1)
    assert refusal(teller.reverse(earned, 1, DEBT)) is None
    assert teller.balance(debt).available == -(10**18)
    refused = refusal(teller.reverse(again, 1, DEBT))
    assert refused == errors.InsufficientFunds(available=0, required=1)


@pytest.mark.parametrize("is_booked", [True, False])
@pytest.mark.parametrize("part", [100, 60, 10])
def test_what_expired_unspent_is_never_owed(part, is_booked):
    """Of 100 earned 30 were spent and 70 lapsed: 30 are owed, however the 100 are claimed."""
    teller = Teller(points(expiry=days(30)))
    earned = teller.earn(100)
    teller.spend(30)
    teller.at(31)
    if is_booked:
        teller.sweep()
    undone = [teller.reverse(earned, part, DEBT).operations[0] for _ in range(100 // part)]
    assert [one.amount for one in undone] == [0] * len(undone)
    assert sum(one.owed for one in undone) == teller.debt() == 30
    assert teller.sum() == 0


def test_what_expires_while_it_is_claimed_in_one_group_is_not_owed_either():
    """Points of a receipt that comes very late, and its return."""
    teller = Teller(points(expiry=days(5)))
    teller.at(9)
    earn = teller.batch(move(SHOP, ANNA, 100), occurred_at=START)
    undo = teller.batch(engine.Reversal(engine.Place(earn.id, 0), 100, DEBT))
    _, undone = teller.group(earn, undo)
    assert (undone.operations[0].amount, undone.operations[0].owed) == (0, 0)
    assert (teller.available(), teller.debt(), teller.sum()) == (0, 0, 0)


@pytest.mark.parametrize(("spent", "restored"), [(50, {False: 10, True: 50}), (60, {True: 60})])
def test_lots_are_restored_by_the_movement_that_brought_the_points_back(spent, restored):
    """What the receiver had by the reversal, what it owes now by the debt."""
    teller = Teller(points())
    teller.earn(100)
    gift = teller.transfer(ANNA, BORIS, 60)
    teller.spend(spent, BORIS)
    undone = teller.reverse(gift, 60, DEBT)
    takes = {row.batch_id != undone.batch.id: -row.amount for row in teller.takes if row.amount < 0}
    assert takes == restored
    rows = [(row.number, row.amount, row.reversed_amount) for row in teller.reversals]
    sums = list(itertools.accumulate(restored.values()))
    assert rows == list(zip(range(1, 3), restored.values(), sums, strict=False))
    places = {row[3:5]: row.amount for row in teller.reversals}
    assert places == {row[:2]: -row.amount for row in teller.takes if row.amount < 0}
    assert refusal(teller.reverse(gift, 1, DEBT)) == errors.ExceedsReversible(remaining=0)


def test_a_debt_can_be_made_and_paid_in_one_group():
    """A purchase, its points spent, its return, and the next purchase in one call."""
    teller = Teller(points())
    one = teller.batch(move(SHOP, ANNA, 100), move(ANNA, SHOP, 70))
    two = teller.batch(engine.Reversal(engine.Place(one.id, 0), 100, DEBT))
    three = teller.batch(move(SHOP, ANNA, 30))
    decisions = teller.group(one, two, three)
    assert [refusal(decision) for decision in decisions] == [None] * 3
    assert decisions[2].operations[0].paid_off == 30
    assert (teller.available(), teller.debt()) == (0, 40)


def test_a_refused_batch_leaves_no_debt():
    """Neither made nor paid off."""
    teller = Teller(points())
    earned = teller.earn(100)
    teller.spend(70)
    undo = engine.Reversal(engine.Place(earned.batch.id, 0), 100, DEBT)
    assert refusal(teller.post(undo, move(BORIS, SHOP, 1))) is not None
    assert (teller.available(), teller.debt()) == (30, 0)


def test_callers_do_not_move_debts():
    """Not even to forgive them: that is a credit like any other."""
    teller, _, _ = _indebted()
    for operation in (move(SHOP, engine.debt_key(ANNA), 1), move(engine.debt_key(ANNA), SHOP, 1)):
        assert refusal(teller.post(operation)) == errors.DebtAccount()
    assert teller.earn(70).operations[0].paid_off == 70


def test_a_reversal_that_left_a_debt_is_not_undone():
    """As no reversal is."""
    teller, undone, _ = _indebted()
    assert refusal(teller.reverse(undone, 30)) == errors.NotReversible()
    assert batch_id("nobody") not in teller.posted
