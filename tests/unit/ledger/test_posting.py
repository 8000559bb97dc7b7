"""Deciding batches, told as bank statements."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tessera.ledger.v1 import error_reason_pb2

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
TAKE_AVAILABLE = engine.Shortfall.TAKE_AVAILABLE
TAKE_PENDING = engine.Shortfall.TAKE_PENDING


def _running(teller, key):
    return [row.balance_after for row in teller.entries if row.account_id == key.id]


# Plain balances


def test_a_statement_runs_from_entry_to_entry():
    """Every entry starts where the one before it ended, and versions count up by one."""
    teller = Teller(plain())
    teller.earn(100)
    teller.spend(30)
    teller.earn(5)
    entries = [row for row in teller.entries if row.account_id == ANNA.id]
    assert [(row.amount, row.balance_before, row.balance_after) for row in entries] == [
        (100, 0, 100),
        (-30, 100, 70),
        (5, 70, 75),
    ]
    assert [row.version for row in entries] == [1, 2, 3]
    assert teller.sum() == 0


def test_a_spending_of_more_than_there_is_is_refused_and_nothing_moves():
    """The refusal tells how much there is."""
    teller = Teller(plain())
    teller.earn(100)
    assert refusal(teller.spend(101)) == errors.InsufficientFunds(available=100, required=101)
    assert teller.available() == 100
    assert len(teller.entries) == 1


def test_a_floor_below_zero_is_a_limit_that_can_be_reached_exactly():
    """30 and 20 fit into 50, one more does not."""
    teller = Teller(plain(floor=-50))
    assert refusal(teller.spend(30)) is None
    assert refusal(teller.spend(20)) is None
    assert teller.available() == -50
    assert refusal(teller.spend(1)) == errors.InsufficientFunds(available=0, required=1)


def test_a_ceiling_is_a_limit_that_can_be_reached_exactly():
    """Two uses a day are two, not three."""
    teller = Teller(plain(ceiling=2))
    assert refusal(teller.earn(2)) is None
    assert refusal(teller.earn(1)) == errors.CeilingExceeded(room=0, required=1)


def test_no_balance_grows_without_bound():
    """Even without a ceiling, sums stay inside of 64 bits."""
    teller = Teller(plain())
    for _ in range(1000):
        teller.earn(10**15)
    assert refusal(teller.earn(1)) == errors.CeilingExceeded(room=0, required=1)


def test_up_to_moves_what_there_is():
    """The answer tells how much that was; nothing is fine too."""
    teller = Teller(plain())
    teller.earn(30)
    first, second = teller.spend(40, up_to=True), teller.spend(40, up_to=True)
    assert (first.operations[0].amount, second.operations[0].amount) == (30, 0)
    assert teller.available() == 0
    assert [row.amount for row in teller.transfers] == [30, 30, 0]


def test_up_to_also_means_what_there_is_room_for():
    """A counter takes what fits below its ceiling, and nothing when it is full."""
    teller = Teller(plain(ceiling=10))
    first, second = teller.earn(8, up_to=True), teller.earn(8, up_to=True)
    third = teller.earn(8, up_to=True)
    assert [one.operations[0].amount for one in (first, second, third)] == [8, 2, 0]
    assert teller.available() == 10


def test_operations_see_what_those_before_them_did():
    """A gift can be passed on in the batch that brings it."""
    teller = Teller(plain())
    decision = teller.post(move(SHOP, ANNA, 10), move(ANNA, BORIS, 4), move(BORIS, SHOP, 4))
    assert refusal(decision) is None
    assert (teller.available(ANNA), teller.available(BORIS)) == (6, 0)
    assert [balance.version for balance in decision.balances] == [2, 2]


def test_a_batch_stands_or_falls_as_a_whole():
    """The second operation cannot be done, so the first was not either."""
    teller = Teller(plain())
    decision = teller.post(move(SHOP, ANNA, 10), move(BORIS, SHOP, 1))
    assert (refusal(decision), decision.operation_index) == (
        errors.InsufficientFunds(available=0, required=1),
        1,
    )
    assert (teller.entries, teller.accounts, teller.tallies) == ([], {}, {})


def test_a_refused_batch_does_not_disturb_its_neighbours():
    """Of three in one group, the first and the last are posted."""
    teller = Teller(plain())
    group = [
        teller.batch(move(SHOP, ANNA, 10)),
        teller.batch(move(ANNA, SHOP, 5), move(ANNA, SHOP, 6)),
        teller.batch(move(ANNA, SHOP, 7)),
    ]
    decisions = teller.group(*group)
    assert [refusal(one) is None for one in decisions] == [True, False, True]
    assert teller.available() == 3


def test_accounts_of_the_world_take_and_give_without_bound():
    """They have no entries; what they received is tallied."""
    teller = Teller(plain())
    bank = engine.key("points", engine.WORLD, "bank")
    decision = teller.transfer(bank, SHOP, 10**15)
    assert (refusal(decision), decision.balances, teller.entries) == (None, (), [])
    assert teller.tallies == {bank.id: -(10**15), SHOP.id: 10**15}


# Refusals


def test_of_several_reasons_the_first_of_the_documented_order_is_given():
    """Whatever the order of the operations; within one reason the earliest operation."""
    teller = Teller(plain(ceiling=100), points(code="stamps"))
    late = teller.hold(0, up_to=True, life=timedelta(seconds=1))
    teller.at(1).earn(50)
    earned = teller.earn(10, BORIS)
    captured, voided, active = teller.hold(2), teller.hold(3), teller.hold(4)
    frozen, closed = member("clara"), member("dora")
    teller.act(engine.Action.FREEZE, frozen)
    teller.act(engine.Action.CLOSE, closed)
    cards = replace(plain(code="cards"), opened_explicitly=True)
    teller.assets["cards"] = cards
    teller.capture(captured)
    teller.void(voided)
    broken = [
        move(SHOP, ANNA, 1000),  # CEILING_EXCEEDED
        move(ANNA, SHOP, 10**6),  # INSUFFICIENT_FUNDS
        engine.Capture(engine.Place(active.batch.id, 0), 5, is_final=True),  # EXCEEDS_HOLD
        engine.Reversal(engine.Place(earned.batch.id, 0), 11, TAKE_AVAILABLE),  # EXCEEDS_REVERSIBLE
        move(frozen, SHOP, 1),  # ACCOUNT_FROZEN
        move(SHOP, closed, 1),  # ACCOUNT_CLOSED
        move(engine.key("cards", 1, "bank"), member("anna", "cards"), 1),  # ACCOUNT_NOT_FOUND
        engine.Void(engine.Place(late.batch.id, 0)),  # HOLD_EXPIRED
        engine.Void(engine.Place(voided.batch.id, 0)),  # HOLD_VOIDED
        engine.Void(engine.Place(captured.batch.id, 0)),  # HOLD_CAPTURED
        engine.Void(engine.Place(earned.batch.id, 0)),  # NOT_A_HOLD
        engine.Release(engine.Place(earned.batch.id, 0)),  # NOT_REVERSIBLE
        engine.Void(engine.Place(batch_id("nobody"), 0)),  # HOLD_NOT_FOUND
        engine.Release(engine.Place(batch_id("nobody"), 0)),  # TRANSFER_NOT_FOUND
        move(SHOP, ANNA, 1, expires_at=START),  # LOTS_NOT_KEPT
        move(SHOP, engine.debt_key(ANNA), 1),  # DEBT_ACCOUNT
        move(ANNA, ANNA, 1),  # ACCOUNTS_MUST_DIFFER
        move(member("anna", "gold"), member("boris", "gold"), 1),  # ASSET_NOT_FOUND
    ]
    reasons = []
    while broken:
        decision = teller.post(*broken)
        reasons.append(refusal(decision).reason)
        assert decision.operation_index == len(broken) - 1
        broken.pop()
    assert reasons == [kind.reason for kind in engine.PRECEDENCE[2:]]


def test_the_order_is_the_one_that_the_contract_lists():
    """The contract documents the precedence by the order of its enum, not by the numbers."""
    listed = [value.name for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values]
    places = [listed.index(f"ERROR_REASON_{kind.reason}") for kind in engine.PRECEDENCE]
    assert places == sorted(places)


def test_a_clock_that_is_more_than_a_minute_ahead_is_refused_before_anything_else():
    """One minute is forgiven."""
    teller = Teller(plain())
    gold = move(member("anna", "gold"), member("boris", "gold"), 1)
    late = teller.batch(gold, occurred_at=teller.now + timedelta(seconds=60, microseconds=1))
    fine = teller.batch(move(SHOP, ANNA, 1), occurred_at=teller.now + timedelta(seconds=60))
    decisions = teller.group(late, fine)
    assert (refusal(decisions[0]), decisions[0].operation_index) == (errors.OccurredInFuture(), -1)
    assert refusal(decisions[1]) is None


def test_a_reason_is_about_the_earliest_operation_that_has_it():
    """Two spendings are too large: the first is named."""
    teller = Teller(plain())
    decision = teller.post(move(SHOP, ANNA, 1), move(ANNA, SHOP, 2), move(BORIS, SHOP, 3))
    assert decision.operation_index == 1


def test_a_ceiling_is_not_blamed_on_the_spending_behind_it():
    """Later operations are examined as if the refused credit had come."""
    teller = Teller(plain(ceiling=10))
    decision = teller.post(move(SHOP, ANNA, 11), move(ANNA, SHOP, 11))
    assert refusal(decision) == errors.CeilingExceeded(room=10, required=11)


@pytest.mark.parametrize("credit", [SHOP, member("anna", "coins")])
def test_lot_terms_are_refused_where_no_lots_are_kept(credit):
    """By the world, and by assets without a lot policy."""
    teller = Teller(points(), plain(code="coins"))
    giver = engine.key(credit.asset_code, engine.WORLD, "bank")
    decision = teller.transfer(giver, credit, 1, activates_at=START)
    assert refusal(decision) == errors.LotsNotKept()


# Lots


def test_the_earliest_expiry_is_spent_first_whatever_the_earning_date():
    """Lots without expiry come last, by earning date."""
    teller = Teller(points())
    never = teller.at(0).earn(100)
    late = teller.at(1).earn(100, expires_at=START + timedelta(days=20))
    soon = teller.at(2).earn(100, expires_at=START + timedelta(days=10))
    also_never = teller.at(3).earn(100)
    spent = teller.at(4).spend(350)
    made = {lot.id: lot.batch_id for lot in teller.lots.values()}
    assert [(made[part.lot_id], part.amount) for part in spent.operations[0].taken] == [
        (soon.batch.id, 100),
        (late.batch.id, 100),
        (never.batch.id, 100),
        (also_never.batch.id, 50),
    ]


def test_pending_points_cannot_be_spent_before_their_day():
    """100 points, pending three days: nothing on day 2, all on day 3."""
    teller = Teller(points(pending_days=3))
    teller.earn(100)
    teller.at(2)
    assert teller.held() == (0, 100)
    assert refusal(teller.spend(50)) == errors.InsufficientFunds(available=0, required=50)
    teller.at(3)
    assert teller.held() == (100, 0)
    assert refusal(teller.spend(50)) is None


def test_a_balance_is_right_at_the_instant_although_nothing_was_booked():
    """The boundary is exclusive: at the instant of expiry the points are gone."""
    teller = Teller(points(expiry=days(5)))
    teller.earn(40)
    teller.now = START + timedelta(days=5) - timedelta(microseconds=1)
    assert teller.available() == 40
    assert teller.balance().changes_at == START + timedelta(days=5)
    teller.at(5)
    assert teller.available() == 0
    assert refusal(teller.spend(1)) == errors.InsufficientFunds(available=0, required=1)
    assert len(teller.entries) == 1


def test_an_expiry_is_booked_before_the_next_movement():
    """The statement shows it on its own line, and the world's breakage receives it."""
    teller = Teller(points(expiry=days(5)))
    teller.earn(40)
    teller.at(3).earn(10)
    decision = teller.at(6).earn(7)
    assert _running(teller, ANNA) == [40, 50, 10, 17]
    expired = teller.entries[2]
    assert (expired.amount, expired.operation_index) == (-40, engine.BY_LEDGER)
    assert decision.balances[0].version == 4
    breakage = engine.key("points", engine.WORLD, engine.BREAKAGE)
    assert teller.tallies[breakage.id] == 40
    assert [(row.key, row.amount, row.expired_at) for row in teller.expiries] == [
        (ANNA, 40, START + timedelta(days=5))
    ]
    assert teller.sum() == 0


def test_expiries_of_different_days_are_booked_apart():
    """Two lines, each with the day of its own."""
    teller = Teller(points(expiry=days(5)))
    teller.earn(40)
    teller.earn(1)
    teller.at(1).earn(2)
    teller.at(9).sweep()
    assert [
        (row.amount, row.occurred_at) for row in teller.transfers if row.reason == engine.EXPIRE
    ] == [
        (41, START + timedelta(days=5)),
        (2, START + timedelta(days=6)),
    ]


def test_sweeping_twice_books_once():
    """The second finds nothing."""
    teller = Teller(points(expiry=days(5)))
    teller.earn(40)
    assert teller.at(4).sweep().accounts == []
    assert len(teller.at(5).sweep().accounts) == 1
    assert teller.sweep().accounts == []
    assert _running(teller, ANNA) == [40, 0]


def test_a_refused_batch_leaves_the_expiry_to_the_next():
    """Nothing is written for a refusal, and the balance is right all the same."""
    teller = Teller(points(expiry=days(5)))
    teller.earn(40)
    teller.at(6).spend(10)
    assert len(teller.entries) == 1
    assert teller.available() == 0


def test_the_expiry_clock_starts_at_activation():
    """Pending until released, valid for 30 days: released on day 10, gone on day 40."""
    teller = Teller(points(pending_days=None, expiry=days(30)))
    earned = teller.earn(100)
    assert teller.at(9).held() == (0, 100)
    released = teller.at(10).release(earned)
    assert released.operations[0].amount == 100
    assert released.balances[0].version == 2
    assert teller.held() == (100, 0)
    assert teller.at(39.9).available() == 100
    assert teller.at(40).available() == 0


def test_a_released_lot_keeps_the_expiry_that_the_caller_gave():
    """Only the policy's expiry starts at the release."""
    teller = Teller(points(pending_days=None, expiry=days(30)))
    earned = teller.earn(100, expires_at=START + timedelta(days=12))
    teller.at(10).release(earned)
    assert teller.at(11).available() == 100
    assert teller.at(12).available() == 0


def test_points_that_wait_for_a_release_can_expire_before_it():
    """When the caller gave them an end."""
    teller = Teller(points(pending_days=None))
    earned = teller.earn(100, expires_at=START + timedelta(days=12))
    assert teller.at(12).held() == (0, 0)
    assert refusal(teller.release(earned)) == errors.NotReversible()


def test_only_pending_lots_can_be_released():
    """Twice is once too much, and a spending made none."""
    teller = Teller(points(pending_days=5))
    earned = teller.earn(100)
    assert refusal(teller.release(earned)) is None
    spent = teller.spend(10)
    for target in (earned, spent):
        assert refusal(teller.release(target)) == errors.NotReversible()


def test_every_credit_renews_all_lots_of_a_sliding_asset():
    """30 days without a credit end everything, to the end of the day."""
    teller = Teller(points(expiry=engine.Sliding(30)))
    teller.at(0).earn(10)
    teller.at(20).earn(10)
    assert teller.at(49).available() == 20
    assert teller.balance().next_expire_amount == 20
    teller.at(50.6)
    assert teller.available() == 0
    teller.earn(5)
    assert _running(teller, ANNA) == [10, 20, 0, 5]
    assert teller.at(80).available() == 5


def test_spending_renews_nothing():
    """Only credits count as activity."""
    teller = Teller(points(expiry=engine.Sliding(30)))
    teller.earn(10)
    teller.at(29).spend(1)
    assert teller.at(31).available() == 0


def test_a_sliding_expiry_starts_at_activation():
    """Pending for 60 days, then 30 days to live."""
    teller = Teller(points(pending_days=60, expiry=engine.Sliding(30)))
    teller.earn(10)
    assert teller.at(59).held() == (0, 10)
    assert teller.at(60).held() == (10, 0)
    assert teller.at(91).held() == (0, 0)


def test_a_late_receipt_earns_from_the_day_it_happened():
    """Its points expire as the receipt promised, at once when that is past."""
    teller = Teller(points(expiry=days(30)))
    teller.at(10)
    teller.group(teller.batch(move(SHOP, ANNA, 10), occurred_at=START))
    assert teller.at(29).available() == 10
    assert teller.at(30).available() == 0
    decision = teller.group(teller.batch(move(SHOP, ANNA, 7), occurred_at=START))[0]
    assert decision.balances[0].available == 0
    assert _running(teller, ANNA) == [10, 0, 7, 0]


def test_the_next_expiry_is_told_with_its_amount():
    """Lots of one day are told together."""
    teller = Teller(points(expiry=engine.Rolling(0, 5, engine.Rounding.END_OF_DAY)))
    teller.earn(40)
    teller.earn(2)
    teller.at(1).earn(5)
    balance = teller.balance()
    assert balance.next_expire_amount == 42
    assert balance.next_expire_at == START.replace(day=16, hour=0)


def test_a_balance_of_pending_and_active_points_counts_against_the_ceiling():
    """The ceiling bounds the whole balance."""
    teller = Teller(points(pending_days=5, ceiling=100))
    teller.earn(60)
    assert refusal(teller.earn(41)) == errors.CeilingExceeded(room=40, required=41)


def test_points_can_wander_between_members():
    """The receiver's lot is a new one with terms of its own."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(100)
    teller.at(10).transfer(ANNA, BORIS, 60)
    assert (teller.available(ANNA), teller.available(BORIS)) == (40, 60)
    assert teller.at(30).available(ANNA) == 0
    assert teller.available(BORIS) == 60


# Reversals


def _spent_from_two_lots():
    """Two lots of 100, the first expires on day 5, the second on day 20; 150 are spent on day 1."""
    teller = Teller(points())
    teller.earn(100, expires_at=START + timedelta(days=20))
    teller.earn(100, expires_at=START + timedelta(days=5))
    return teller, teller.at(1).spend(150)


def test_a_refund_restores_the_lots_newest_consumed_first():
    """150 took 100 of the early lot, then 50 of the late one: 60 back are 50 and 10."""
    teller, spent = _spent_from_two_lots()
    teller.at(2).reverse(spent, 60)
    assert [(lot.remaining, (lot.expires_at - START).days) for lot in teller.live()] == [
        (10, 5),
        (100, 20),
    ]


def test_refunds_in_parts_never_restore_more_than_was_taken():
    """Cumulatively, over as many refunds as one likes."""
    teller, spent = _spent_from_two_lots()
    for amount in (60, 50, 40):
        assert refusal(teller.reverse(spent, amount)) is None
    assert [lot.remaining for lot in teller.live()] == [100, 100]
    assert refusal(teller.reverse(spent, 1)) == errors.ExceedsReversible(remaining=0)
    assert teller.available() == 200


def test_a_refund_of_more_than_was_taken_is_refused():
    """The refusal tells what is left."""
    teller, spent = _spent_from_two_lots()
    teller.reverse(spent, 100)
    assert refusal(teller.reverse(spent, 51)) == errors.ExceedsReversible(remaining=50)


def test_what_is_restored_after_its_expiry_expires_at_once():
    """Both lines are in the statement."""
    teller, spent = _spent_from_two_lots()
    decision = teller.at(7).reverse(spent, 150)
    assert decision.balances[0].available == 100
    assert _running(teller, ANNA)[-2:] == [200, 100]
    assert teller.entries[-1].operation_index == engine.BY_LEDGER


def test_a_grace_keeps_alive_what_a_refund_restores_too_late():
    """Three days from the refund, to the end of the last; what has not expired keeps its date."""
    teller = Teller(points(grace_days=3, time_zone="Europe/Berlin"))
    teller.earn(100, expires_at=START + timedelta(days=20))
    teller.earn(100, expires_at=START + timedelta(days=5))
    spent = teller.at(1).spend(150)
    refund = teller.at(7).reverse(spent, 150)
    end = datetime(2026, 1, 20, 23, tzinfo=UTC)
    assert [(lot.remaining, lot.expires_at) for lot in teller.live()] == [
        (100, end),
        (100, START + timedelta(days=20)),
    ]
    assert refund.balances[0].next_expire_at == end
    assert teller.live()[0].batch_id == refund.batch.id
    teller.now = end
    assert teller.available() == 100


def test_refunds_in_parts_each_have_their_own_grace():
    """And together they restore no more than was taken."""
    teller = Teller(points(grace_days=1))
    teller.earn(100, expires_at=START + timedelta(days=5))
    spent = teller.at(1).spend(100)
    teller.at(6).reverse(spent, 60)
    teller.at(8).reverse(spent, 40)
    assert refusal(teller.reverse(spent, 1)) == errors.ExceedsReversible(remaining=0)
    assert teller.available() == 40
    again = teller.spend(40)
    assert refusal(teller.at(20).reverse(again, 40)) is None
    assert teller.available() == 40


def test_two_refunds_in_one_group_share_the_limit():
    """The second sees what the first gave back."""
    teller, spent = _spent_from_two_lots()
    undo = engine.Reversal(engine.Place(spent.batch.id, 0), 100, engine.Shortfall.REFUSE)
    decisions = teller.group(teller.batch(undo), teller.batch(undo))
    assert [refusal(one) for one in decisions] == [None, errors.ExceedsReversible(remaining=50)]


def test_a_transfer_can_be_undone_in_the_group_that_makes_it():
    """A call may carry a purchase and its return."""
    teller = Teller(points())
    purchase = teller.batch(move(SHOP, ANNA, 100), move(ANNA, SHOP, 30))
    refund = teller.batch(
        engine.Reversal(engine.Place(purchase.id, 1), 30, engine.Shortfall.REFUSE),
        engine.Reversal(engine.Place(purchase.id, 0), 100, engine.Shortfall.REFUSE),
    )
    decisions = teller.group(purchase, refund)
    assert [refusal(one) for one in decisions] == [None, None]
    assert (teller.available(), teller.sum()) == (0, 0)


def test_an_operation_can_undo_an_earlier_one_of_its_own_batch_but_not_a_later():
    """What is not done yet cannot be found."""
    teller = Teller(plain())
    batch = teller.batch(move(SHOP, ANNA, 10), name="self")
    undo = engine.Reversal(engine.Place(batch.id, 0), 4, engine.Shortfall.REFUSE)
    done = engine.Batch(batch.id, (*batch.operations, undo), "", "", teller.now)
    assert refusal(teller.group(done)[0]) is None
    assert teller.available() == 6
    ahead = engine.Reversal(engine.Place(batch_id("ahead"), 1), 4, engine.Shortfall.REFUSE)
    decision = teller.group(teller.batch(ahead, move(SHOP, ANNA, 10), name="ahead"))[0]
    assert refusal(decision) == errors.TransferNotFound()


def test_a_refused_transfer_cannot_be_undone():
    """Nothing took place."""
    teller = Teller(plain())
    refused = teller.batch(move(ANNA, SHOP, 10))
    undo = engine.Reversal(engine.Place(refused.id, 0), 10, engine.Shortfall.REFUSE)
    assert refusal(teller.group(refused, teller.batch(undo))[1]) == errors.TransferNotFound()


def test_a_reversal_cannot_be_reversed():
    """Post the transfer anew instead."""
    teller, spent = _spent_from_two_lots()
    undone = teller.reverse(spent, 10)
    assert refusal(teller.reverse(undone, 10)) == errors.NotReversible()


@pytest.mark.parametrize(
    ("shortfall", "left", "taken"),
    [
        (engine.Shortfall.REFUSE, 30, None),
        (TAKE_AVAILABLE, 0, 30),
        (TAKE_PENDING, 30, 0),
        (engine.Shortfall.DEBT, 0, 30),
    ],
)
def test_claiming_back_points_that_are_already_spent_follows_the_policy(shortfall, left, taken):
    """100 earned, 70 spent, the purchase is returned."""
    teller = Teller(points())
    earned = teller.earn(100)
    teller.spend(70)
    decision = teller.reverse(earned, 100, shortfall)
    if taken is None:
        assert refusal(decision) == errors.InsufficientFunds(available=30, required=100)
    else:
        assert decision.operations[0].amount == taken
    assert teller.available() == left


def test_claiming_back_takes_the_points_of_the_purchase_first():
    """Before those that would be spent first, and pending ones too."""
    teller = Teller(points(pending_days=5))
    old = teller.earn(50, activates_at=START, expires_at=START + timedelta(days=9))
    earned = teller.earn(100)
    decision = teller.reverse(earned, 120, TAKE_AVAILABLE)
    assert refusal(decision) == errors.ExceedsReversible(remaining=100)
    assert teller.reverse(earned, 100).operations[0].amount == 100
    assert teller.held() == (50, 0)
    assert teller.live()[0].batch_id == old.batch.id


def test_only_pending_takes_from_the_purchase_alone():
    """Other pending points stay."""
    teller = Teller(points(pending_days=5))
    earned = teller.earn(100)
    teller.earn(100)
    assert teller.reverse(earned, 100, TAKE_PENDING).operations[0].amount == 100
    assert teller.held() == (0, 100)


def test_what_is_taken_back_counts_even_when_it_was_less():
    """30 of 100 could be taken: 70 can still be claimed later."""
    teller = Teller(points())
    earned = teller.earn(100)
    teller.spend(70)
    assert teller.reverse(earned, 100, TAKE_AVAILABLE).operations[0].amount == 30
    teller.earn(500)
    assert refusal(teller.reverse(earned, 71)) == errors.ExceedsReversible(remaining=70)
    assert refusal(teller.reverse(earned, 70)) is None


def test_undoing_a_gift_restores_the_givers_lots():
    """The receiver's lot goes, the giver's comes back with its own expiry."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(100)
    gift = teller.at(10).transfer(ANNA, BORIS, 60)
    teller.at(11).reverse(gift, 60)
    assert (teller.available(ANNA), teller.available(BORIS)) == (100, 0)
    assert [lot.remaining for lot in teller.live(ANNA)] == [100]


def test_undoing_can_meet_a_ceiling():
    """The account was filled again meanwhile."""
    teller = Teller(plain(ceiling=10))
    teller.earn(10)
    spent = teller.spend(4)
    teller.earn(4)
    assert refusal(teller.reverse(spent, 4)) == errors.CeilingExceeded(room=0, required=4)


def test_undoing_a_movement_between_accounts_of_the_world_is_limited_too():
    """Though nothing there is ever locked."""
    teller = Teller(plain())
    moved = teller.transfer(engine.key("points", engine.WORLD, "bank"), SHOP, 10)
    assert refusal(teller.reverse(moved, 10)) is None
    assert refusal(teller.reverse(moved, 1)) == errors.ExceedsReversible(remaining=0)
    assert set(teller.tallies.values()) == {0}


def test_traces_lead_from_spending_back_to_earning():
    """The parts of a spending sum up to it; a refund is traced as negative parts."""
    teller, spent = _spent_from_two_lots()
    teller.reverse(spent, 60)
    assert [part.amount for part in spent.operations[0].taken] == [100, 50]
    assert [row.amount for row in teller.takes] == [100, 50, -50, -10]
    assert [row.position for row in teller.takes] == [0, 1, 0, 1]
