"""Holds: what is reserved, captured, given back, and what time does to it."""

from datetime import timedelta

import pytest

from services.ledger import engine, errors
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
    refusal,
)

ANNA, BORIS = member("anna"), member("boris")


def _shown(teller, key=ANNA):
    """Return what is available, what is held and what is in the balance as it was written."""
    balance = teller.balance(key)
    return balance.available, balance.held, teller.accounts[key.id].balance


def test_what_is_held_stays_in_the_balance_and_cannot_be_spent():
    """100, of which 30 are held: 70 can be spent."""
    teller = Teller(plain())
    teller.earn(100)
    held = teller.hold(30)
    assert (held.operations[0].amount, held.movements) == (30, ())
    assert held.operations[0].expires_at == START + timedelta(days=1)
    assert _shown(teller) == (70, 30, 100)
    assert refusal(teller.spend(71)) == errors.InsufficientFunds(available=70, required=71)
    assert refusal(teller.spend(70)) is None
    assert _shown(teller) == (0, 30, 30)


@pytest.mark.parametrize("asset", [plain(), points()])
def test_holds_count_against_each_other(asset):
    """Of six holds of 1000 on 5000, five succeed."""
    teller = Teller(asset)
    teller.earn(5000)
    refusals = [refusal(teller.hold(1000)) for _ in range(6)]
    assert refusals == [None] * 5 + [errors.InsufficientFunds(available=0, required=1000)]


def test_a_final_capture_gives_back_the_rest():
    """13 of 15 are taken, 2 come back, and there is nothing left to capture."""
    teller = Teller(plain())
    teller.earn(100)
    held = teller.hold(15)
    captured = teller.capture(held, 13, final=True)
    assert captured.operations[0].amount == 13
    assert [(one.amount, one.reason) for one in captured.movements] == [(13, 2)]
    assert _shown(teller) == (87, 0, 87)
    assert refusal(teller.capture(held, 2)) == errors.HoldCaptured()
    assert teller.sum() == 0


def test_a_hold_is_captured_in_parts_until_nothing_is_left():
    """15 are 5, 7 and 3; 4 are one too many."""
    teller = Teller(plain())
    teller.earn(100)
    held = teller.hold(15)
    assert [teller.capture(held, part).operations[0].amount for part in (5, 7)] == [5, 7]
    assert refusal(teller.capture(held, 4)) == errors.ExceedsHold(remaining=3)
    assert _shown(teller) == (85, 3, 88)
    assert teller.capture(held).operations[0].amount == 3
    assert refusal(teller.capture(held)) == errors.HoldCaptured()
    assert _shown(teller) == (85, 0, 85)


def test_an_ended_hold_stays_ended():
    """Captured, voided and timed out, each is told apart; nothing moves any more."""
    teller = Teller(plain())
    teller.earn(100)
    captured, voided, late = teller.hold(10), teller.hold(10), teller.hold(10)
    teller.capture(captured)
    assert teller.void(voided).operations[0].amount == 10
    teller.at(1)
    version = teller.balance().version
    for held, reason in (
        (captured, errors.HoldCaptured()),
        (voided, errors.HoldVoided()),
        (late, errors.HoldExpired()),
    ):
        assert refusal(teller.capture(held)) == reason
        assert refusal(teller.void(held)) == reason
    assert (teller.available(), teller.balance().version) == (90, version)


def test_only_holds_can_be_captured():
    """A transfer is none, a refused hold does not exist, and a hold cannot be undone."""
    teller = Teller(plain())
    earned, refused = teller.earn(100), teller.hold(101)
    assert refusal(refused) == errors.InsufficientFunds(available=100, required=101)
    assert refusal(teller.capture(earned)) == errors.NotAHold()
    assert refusal(teller.capture(refused)) == errors.HoldNotFound()
    held = teller.hold(10)
    assert refusal(teller.reverse(held, 10)) == errors.NotReversible()
    assert refusal(teller.release(held)) == errors.NotReversible()


def test_a_hold_is_over_at_its_instant_though_nothing_is_booked():
    """By the clock, not by the sweeper: what is shown, what can be spent and captured."""
    teller = Teller(plain())
    teller.earn(100)
    held = teller.hold(60, life=timedelta(minutes=15))
    teller.now = START + timedelta(minutes=15) - timedelta(microseconds=1)
    assert _shown(teller) == (40, 60, 100)
    assert teller.balance().changes_at == START + timedelta(minutes=15)
    teller.now = START + timedelta(minutes=15)
    assert _shown(teller) == (100, 0, 100)
    assert refusal(teller.capture(held)) == errors.HoldExpired()
    assert refusal(teller.spend(100)) is None
    assert _shown(teller) == (0, 0, 0)


def test_the_sweeper_books_once_what_timed_out():
    """The hold ends at its own instant, whenever that is written; the next keeps its own."""
    teller = Teller(points())
    teller.earn(100)
    teller.hold(60, life=timedelta(hours=1))
    teller.hold(30, life=timedelta(hours=3))
    teller.at(0.1)
    assert len(teller.sweep().reserves_changed) == 1
    assert teller.sweep().accounts == []
    ended = [one for one in teller.reserves.values() if one.state is engine.HoldState.EXPIRED]
    assert [one.ended_at for one in ended] == [START + timedelta(hours=1)]
    assert _shown(teller) == (70, 30, 100)
    assert teller.balance().changes_at == START + timedelta(hours=3)
    assert len(teller.entries) == 1


def test_a_hold_reserves_room_below_a_ceiling():
    """A limit of two uses: one is counted, one is reserved, and a third finds no room."""
    teller = Teller(plain(ceiling=2))
    teller.earn(1)
    held = teller.post(hold(SHOP, ANNA, 1))
    balance = teller.balance()
    assert (balance.available, balance.held, balance.incoming) == (1, 0, 1)
    assert refusal(teller.earn(1)) == errors.CeilingExceeded(room=0, required=1)
    assert refusal(teller.post(hold(SHOP, ANNA, 1))) == errors.CeilingExceeded(room=0, required=1)
    assert refusal(teller.capture(held)) is None
    assert (teller.available(), teller.balance().incoming) == (2, 0)


def test_room_is_free_again_when_a_hold_ends():
    """Voided or timed out."""
    teller = Teller(plain(ceiling=2))
    voided = teller.post(hold(SHOP, ANNA, 2))
    teller.void(voided)
    teller.post(hold(SHOP, ANNA, 2, life=timedelta(hours=1)))
    assert refusal(teller.earn(1)) == errors.CeilingExceeded(room=0, required=1)
    teller.at(1)
    assert refusal(teller.earn(2)) is None


def test_a_hold_between_two_accounts_reserves_on_both():
    """An amount here, room there; a capture moves from one to the other."""
    teller = Teller(points(ceiling=100))
    teller.earn(80)
    held = teller.post(hold(ANNA, BORIS, 60))
    assert (teller.balance(ANNA).held, teller.balance(BORIS).incoming) == (60, 60)
    assert refusal(teller.earn(41, BORIS)) == errors.CeilingExceeded(room=40, required=41)
    assert refusal(teller.capture(held, 50)) is None
    assert (teller.available(ANNA), teller.available(BORIS)) == (20, 50)
    teller.at(1)
    assert (teller.available(ANNA), teller.balance(BORIS).incoming) == (30, 0)
    assert refusal(teller.earn(50, BORIS)) is None


def test_a_hold_of_up_to_reserves_what_there_is():
    """Of the amount, of the room, and nothing is fine too."""
    teller = Teller(plain(ceiling=50))
    nothing = teller.hold(10, up_to=True)
    teller.earn(30)
    some = teller.hold(40, up_to=True)
    room = teller.post(hold(SHOP, ANNA, 40, up_to=True))
    assert [one.operations[0].amount for one in (nothing, some, room)] == [0, 30, 20]
    assert teller.capture(nothing).operations[0].amount == 0
    assert refusal(teller.capture(nothing)) == errors.HoldCaptured()


def test_a_hold_may_use_what_a_floor_below_zero_allows():
    """30 and 20 fit into 50, one more does not."""
    teller = Teller(plain(floor=-50))
    teller.hold(30)
    held = teller.hold(20)
    assert refusal(teller.hold(1)) == errors.InsufficientFunds(available=0, required=1)
    assert refusal(teller.capture(held)) is None
    assert _shown(teller) == (-50, 30, -20)


def test_a_hold_can_be_captured_in_its_own_batch_and_group():
    """Each operation sees what those before it did."""
    teller = Teller(points())
    teller.earn(100)
    one = teller.batch(hold(ANNA, SHOP, 30), name="one")
    same = engine.Batch(
        one.id,
        (*one.operations, engine.Capture(engine.Place(one.id, 0), 10, is_final=False)),
        "",
        "",
        teller.now,
    )
    other = teller.batch(engine.Void(engine.Place(one.id, 0)))
    third = teller.batch(engine.Void(engine.Place(one.id, 0)))
    decisions = teller.group(same, other, third)
    assert [refusal(decision) for decision in decisions] == [None, None, errors.HoldVoided()]
    assert decisions[1].operations[0].amount == 20
    assert _shown(teller) == (90, 0, 90)


def test_a_refused_batch_leaves_the_hold_as_it_was():
    """Neither placed nor captured."""
    teller = Teller(points())
    teller.earn(100)
    held = teller.hold(30)
    capture = engine.Capture(engine.Place(held.batch.id, 0), 30, is_final=False)
    assert refusal(teller.post(capture, move(BORIS, SHOP, 1))) is not None
    assert _shown(teller) == (70, 30, 100)
    assert refusal(teller.post(hold(ANNA, SHOP, 50), move(BORIS, SHOP, 1))) is not None
    assert _shown(teller) == (70, 30, 100)


def test_what_was_captured_can_be_refunded():
    """Like any payment, never more than it was; its lots come back."""
    teller = Teller(points())
    teller.earn(100, expires_at=START + timedelta(days=20))
    held = teller.hold(60)
    captured = teller.capture(held, 40)
    assert refusal(teller.reverse(captured, 41)) == errors.ExceedsReversible(remaining=40)
    assert refusal(teller.reverse(captured, 40)) is None
    assert _shown(teller) == (80, 20, 100)
    assert [lot.expires_at for lot in teller.live()] == [START + timedelta(days=20)]


# Lots


def _two_lots():
    """Two lots of 100: the second expires on day 5, the first on day 20."""
    teller = Teller(points())
    late = teller.earn(100, expires_at=START + timedelta(days=20))
    soon = teller.earn(100, expires_at=START + timedelta(days=5))
    return teller, soon, late


def test_a_hold_reserves_the_lots_that_would_be_spent_first():
    """Others spend what comes after them; captures take in the same order."""
    teller, soon, late = _two_lots()
    held = teller.hold(150, life=timedelta(days=30))
    made = {lot.id: lot.batch_id for lot in teller.lots.values()}
    spent = teller.spend(50)
    assert [made[part.lot_id] for part in spent.operations[0].taken] == [late.batch.id]
    parts = [teller.capture(held, 80), teller.capture(held, 70)]
    assert [
        [(made[part.lot_id], part.amount) for part in one.operations[0].taken] for one in parts
    ] == [[(soon.batch.id, 80)], [(soon.batch.id, 20), (late.batch.id, 50)]]
    assert _shown(teller) == (0, 0, 0)


def test_held_lots_outlive_their_expiry_until_the_hold_ends():
    """Of 100 that expire on day 5, 60 are held: 40 expire, 60 can be captured on day 6."""
    teller = Teller(points())
    teller.earn(100, expires_at=START + timedelta(days=5))
    held = teller.at(4).hold(60, life=timedelta(days=4))
    teller.at(6)
    assert _shown(teller)[:2] == (0, 60)
    teller.sweep()
    assert _shown(teller) == (0, 60, 60)
    assert refusal(teller.capture(held, 50)) is None
    assert _shown(teller) == (0, 10, 10)
    assert [row.amount for row in teller.expiries] == [40]


@pytest.mark.parametrize("how", ["void", "final", "time", "sweeper"])
def test_what_comes_back_after_its_expiry_expires_at_once(how):
    """It is no fresh lot: available stays 0, and breakage has it all."""
    teller = Teller(points())
    teller.earn(100, expires_at=START + timedelta(days=5))
    held = teller.at(4).hold(60, life=timedelta(days=3))
    taken = 0
    if how == "void":
        teller.at(6).void(held)
    elif how == "final":
        taken = 10
        teller.at(6).capture(held, 10, final=True)
    else:
        teller.at(7)
        assert _shown(teller)[:2] == (0, 0)
        if how == "sweeper":
            teller.sweep()
        else:
            teller.earn(1)
            teller.spend(1)
    assert _shown(teller) == (0, 0, 0)
    assert sum(row.amount for row in teller.expiries) == 100 - taken


def test_what_a_void_gives_back_cannot_be_spent_when_it_has_expired():
    """Not even in the same batch."""
    teller = Teller(points())
    teller.earn(100, expires_at=START + timedelta(days=5))
    held = teller.at(4).hold(60, life=timedelta(days=3))
    void = engine.Void(engine.Place(held.batch.id, 0))
    decision = teller.at(6).post(void, move(ANNA, SHOP, 1))
    assert refusal(decision) == errors.InsufficientFunds(available=0, required=1)


def test_pending_lots_cannot_be_held():
    """They cannot be spent either."""
    teller = Teller(points(pending_days=3))
    teller.earn(100)
    assert refusal(teller.hold(1)) == errors.InsufficientFunds(available=0, required=1)


def test_claiming_back_leaves_alone_what_is_held():
    """100 earned, 70 of them held: 30 can be taken back."""
    teller = Teller(points())
    earned = teller.earn(100)
    teller.hold(70)
    assert refusal(teller.reverse(earned, 31)) == errors.InsufficientFunds(
        available=30, required=31
    )
    taken = teller.reverse(earned, 100, engine.Shortfall.TAKE_AVAILABLE)
    assert taken.operations[0].amount == 30
    all_held = teller.reverse(earned, 70, engine.Shortfall.TAKE_AVAILABLE)
    assert (all_held.operations[0].amount, all_held.operations[0].taken) == (0, ())


def test_what_is_held_is_not_handed_over():
    """It stays with its owner, who may still capture it."""
    teller = Teller(points())
    teller.earn(100)
    held = teller.hold(30)
    home = engine.key("points", 3, "home")
    pooled = teller.post(
        engine.Handover(ANNA, home, engine.POOL, engine.Selection.ALL, share=1, whole=1)
    )
    assert pooled.operations[0].amount == 70
    assert _shown(teller) == (0, 30, 30)
    assert refusal(teller.capture(held)) is None


def test_a_partner_reserves_down_to_its_floor():
    """Points that a partner gives out need not be there, and make lots of its issue."""
    teller = Teller(points())
    bank = engine.key("points", engine.PARTNER, "bank")
    teller.earn(1, bank)
    account = teller.accounts[bank.id]
    limited = engine.limited(account, teller.assets["points"], floor=-50, ceiling=None)
    teller.accounts[bank.id] = limited
    held = teller.post(hold(bank, ANNA, 51))
    assert refusal(teller.post(hold(bank, ANNA, 1))) is not None
    teller.capture(held)
    assert [lot.issuer for lot in teller.live()] == [bank.id]
    assert (teller.balance(bank).available, teller.sum()) == (-50, 0)


def test_the_next_expiry_is_of_what_can_still_expire():
    """Held points do not expire, so they are not announced."""
    teller, _, _ = _two_lots()
    teller.hold(100, life=timedelta(days=30))
    assert teller.balance().next_expire_at == START + timedelta(days=20)
    teller.at(6)
    assert _shown(teller) == (100, 100, 200)


def test_credits_to_an_account_with_holds_need_not_read_them():
    """The sums that are there go on counting."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(100)
    teller.hold(60)
    teller.earn(10)
    assert teller.plan_of(move(SHOP, ANNA, 1)).holding == frozenset()
    assert _shown(teller) == (50, 60, 110)
    assert teller.balance().changes_at == START + timedelta(days=1)


def test_limits_respect_what_is_promised():
    """A ceiling may not fall below the room that holds have reserved, nor a floor rise above."""
    teller = Teller(plain(floor=-50, ceiling=10))
    teller.post(hold(SHOP, ANNA, 10))
    teller.hold(20, BORIS)
    anna, boris = teller.accounts[ANNA.id], teller.accounts[BORIS.id]
    asset = teller.assets["points"]
    with pytest.raises(errors.LimitConflict):
        engine.limited(anna, asset, floor=-50, ceiling=9)
    assert engine.limited(anna, asset, floor=0, ceiling=11).ceiling == 11
    with pytest.raises(errors.LimitConflict):
        engine.limited(boris, asset, floor=-19, ceiling=None)
    assert engine.limited(boris, asset, floor=-20, ceiling=None).floor == -20
