"""Lots that change hands: into a household, out of it, and who issued them."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger import engine
from tests.unit.ledger.teller import SHOP, START, Teller, days, member, move, plain, points, refusal

HOME = engine.key("points", 3, "home")
BANK = engine.key("points", engine.PARTNER, "bank")
ANNA, BORIS, CLARA = (member(name) for name in ("anna", "boris", "clara"))
Selection = engine.Selection


def pool(of: engine.Key) -> engine.Handover:
    return engine.Handover(of, HOME, engine.POOL, Selection.ALL, 1, 1)


def split(to: engine.Key, selection: Selection = Selection.BROUGHT, share: int = 1, whole: int = 1):
    return engine.Handover(HOME, to, engine.SPLIT, selection, share, whole)


def terms(teller: Teller, key: engine.Key):
    """Return what an account has: amounts with all that matters about them, as they are spent."""
    account = teller.accounts.get(key.id)
    if account is None:
        return []
    return [
        (
            lot.remaining,
            lot.activates_at,
            engine.expiry(lot, account.slides_until),
            lot.issuer,
            lot.id.int >> 64,
        )
        for lot in teller.live(key)
    ]


def test_lots_move_with_their_terms():
    """Expiry, activation and the date of earning stay; amounts add up."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(10)
    teller.at(5).earn(20)
    before = terms(teller, ANNA)
    decision = teller.at(6).post(pool(ANNA))
    assert decision.operations[0].amount == 30
    assert [part.amount for part in decision.operations[0].taken] == [10, 20]
    assert teller.held(ANNA) == (0, 0)
    assert terms(teller, HOME) == before
    assert [lot.bringer for lot in teller.live(HOME)] == [ANNA.id, ANNA.id]
    assert teller.at(31).held(HOME) == (20, 0)
    assert teller.sum() == 0


def test_the_id_of_a_handed_lot_is_told_by_where_it_came_from():
    """So that a lot can be followed in both directions."""
    teller = Teller(points())
    teller.earn(10)
    source = teller.live(ANNA)[0]
    decision = teller.post(pool(ANNA))
    made = teller.live(HOME)[0]
    assert made.id == engine.handed_lot_id(source.id, batch_id=decision.batch.id, operation_index=0)
    assert made.id != source.id


def test_pending_points_stay_with_the_member():
    """They may still be released, or taken back with the receipt that gave them."""
    teller = Teller(points(pending_days=3))
    teller.earn(10)
    teller.at(2).earn(5)
    assert teller.at(3).post(pool(ANNA)).operations[0].amount == 10
    assert teller.held(ANNA) == (0, 5)


def test_everybody_gets_what_is_left_of_their_own():
    """Spending takes what expires first, whoever brought it; a refund gives it back to them."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(10, ANNA)
    teller.at(1).earn(20, BORIS)
    teller.at(2).post(pool(ANNA), pool(BORIS))
    spent = teller.spend(15, HOME)
    teller.reverse(spent, 2)
    decision = teller.post(split(ANNA), split(BORIS))
    assert [one.amount for one in decision.operations] == [0, 17]
    assert (teller.available(ANNA), teller.available(BORIS)) == (0, 17)
    assert teller.available(HOME) == 0


def test_what_the_household_earned_itself_is_common():
    """It is divided by shares, lot by lot, to the last unit."""
    teller = Teller(points(expiry=days(30)))
    teller.earn(7, HOME)
    teller.at(1).earn(8, HOME)
    teller.earn(4, ANNA)
    teller.post(pool(ANNA))
    common = Selection.COMMON
    decision = teller.post(split(ANNA), split(ANNA, common, 1, 3), split(BORIS, common, 2, 2))
    assert [one.amount for one in decision.operations] == [4, 5, 10]
    assert [lot.remaining for lot in teller.live(BORIS)] == [5, 5]
    assert teller.available(HOME) == 0


def test_a_gift_from_a_member_is_brought_by_that_member():
    """A plain transfer counts like a handover, though its lot is a new one."""
    teller = Teller(points())
    teller.earn(10)
    teller.transfer(ANNA, HOME, 6)
    assert teller.post(split(ANNA)).operations[0].amount == 6
    assert teller.available(ANNA) == 10


def test_a_handover_of_a_sliding_asset_keeps_the_date_of_now():
    """The household's own activity may renew it further."""
    teller = Teller(points(expiry=engine.Sliding(10)))
    teller.earn(5)
    teller.at(4).earn(5)
    before = terms(teller, ANNA)
    teller.at(5).post(pool(ANNA))
    assert [row[2] for row in terms(teller, HOME)] == [row[2] for row in before]
    assert [lot.expires_at for lot in teller.live(HOME)] == [row[2] for row in before]
    teller.at(8).earn(1, HOME)
    assert teller.at(18).available(HOME) == 11
    assert teller.at(19).available(HOME) == 0


@pytest.mark.parametrize(
    ("asset", "debit", "credit", "reason"),
    [
        (points(), SHOP, ANNA, "LOTS_NOT_KEPT"),
        (points(), ANNA, SHOP, "LOTS_NOT_KEPT"),
        (points(), BANK, ANNA, "LOTS_NOT_KEPT"),
        (plain(), ANNA, HOME, "LOTS_NOT_KEPT"),
        (points(), ANNA, ANNA, "ACCOUNTS_MUST_DIFFER"),
        (points(code="other"), ANNA, HOME, "ASSET_NOT_FOUND"),
    ],
)
def test_a_handover_is_between_two_accounts_that_keep_lots(asset, debit, credit, reason):
    decision = Teller(asset).post(engine.Handover(debit, credit, engine.POOL, Selection.ALL, 1, 1))
    assert refusal(decision).reason == reason


def test_a_handover_stops_at_the_ceiling():
    teller = Teller(points(ceiling=15))
    teller.earn(10, ANNA)
    teller.earn(10, BORIS)
    decision = teller.post(pool(ANNA), pool(BORIS))
    assert refusal(decision).reason == "CEILING_EXCEEDED"
    assert decision.operation_index == 1
    assert teller.available(ANNA) == 10


def test_a_handover_is_not_undone_by_a_reversal():
    teller = Teller(points())
    teller.earn(10)
    pooled = teller.post(pool(ANNA))
    assert refusal(teller.reverse(pooled, 1)).reason == "NOT_REVERSIBLE"
    again = teller.batch(
        pool(HOME), engine.Reversal(engine.Place(pooled.batch.id, 0), 1, engine.Shortfall.REFUSE)
    )
    assert refusal(teller.group(again)[0]).reason in {"NOT_REVERSIBLE", "ACCOUNTS_MUST_DIFFER"}


def test_partners_issue_below_zero_down_to_their_floor():
    """Their accounts keep no lots; the lots that they give out say who it was."""
    teller = Teller(points(expiry=days(30)))
    assert refusal(teller.transfer(BANK, ANNA, 1)).reason == "INSUFFICIENT_FUNDS"
    account = engine.opened(BANK, teller.assets["points"])
    teller.accounts[BANK.id] = engine.limited(
        account, teller.assets["points"], floor=-100, ceiling=None
    )
    teller.transfer(BANK, ANNA, 100)
    assert refusal(teller.transfer(BANK, ANNA, 1)).metadata["available"] == "0"
    assert [lot.issuer for lot in teller.live(ANNA)] == [BANK.id]
    assert [lot.bringer for lot in teller.live(ANNA)] == [None]
    teller.post(pool(ANNA))
    assert [lot.issuer for lot in teller.live(HOME)] == [BANK.id]
    teller.transfer(HOME, BANK, 40)
    assert teller.at(60).available(BANK) == -60
    assert teller.sum() == 0
    late = START + timedelta(days=90)
    assert refusal(teller.transfer(ANNA, BANK, 1, expires_at=late)).reason == "LOTS_NOT_KEPT"


assets = st.builds(
    points,
    pending_days=st.sampled_from([0, 0, 3]),
    expiry=st.sampled_from(
        [None, days(20), engine.Rolling(1, 0, engine.Rounding.END_OF_MONTH), engine.Sliding(15)]
    ),
)
earnings = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([ANNA, BORIS, CLARA]), st.integers(1, 90)),
    max_size=12,
)


@settings(max_examples=200)
@given(assets, earnings, st.integers(0, 60))
def test_pooling_and_splitting_without_spending_changes_nothing(asset, earned, wait):
    """Everybody has exactly the same points, expiring exactly when they did."""
    teller = Teller(asset)
    hours = 0
    for pause, who, amount in earned:
        hours += pause
        teller.now = START + timedelta(hours=hours)
        teller.earn(amount, who)
    teller.sweep()
    members = [ANNA, BORIS, CLARA]
    before = [terms(teller, key) for key in members]
    teller.post(*map(pool, members))
    teller.now += timedelta(minutes=wait)
    teller.post(*map(split, members))
    teller.sweep()
    for key, had in zip(members, before, strict=True):
        kept = [row for row in had if row[2] is None or row[2] > teller.now]
        # Of lots that were earned in the same microsecond, either may be spent first.
        assert sorted(terms(teller, key), key=repr) == sorted(kept, key=repr)
    assert teller.balance(HOME).available == 0
    assert teller.sum() == 0


steps = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["earn", "home", "pool", "split", "common", "spend", "undo", "give"]),
        st.sampled_from([ANNA, BORIS, CLARA]),
        st.integers(1, 60),
    ),
    max_size=25,
)


def _operations(kind, who, amount, spent):
    back = engine.Place(spent.batch.id, 0)
    return {
        "earn": [move(SHOP, who, amount)],
        "home": [move(SHOP, HOME, amount)],
        "pool": [pool(who)],
        "split": [split(who)],
        "common": [split(who, Selection.COMMON, 1, 2)],
        "spend": [move(HOME, SHOP, amount, up_to=True)],
        "give": [move(who, HOME, amount, up_to=True)],
        "undo": [engine.Reversal(back, amount, engine.Shortfall.TAKE_AVAILABLE)],
    }[kind]


@settings(max_examples=200)
@given(assets, steps)
def test_nothing_is_lost_or_made_on_the_way(asset, history):
    """After any history sums are zero, lots add up to balances, and takes to what left the lots."""
    teller = Teller(asset)
    spent = teller.spend(1, HOME)
    for hours, kind, who, amount in history:
        teller.now += timedelta(hours=hours)
        decision = teller.post(*_operations(kind, who, amount, spent))
        if kind == "spend":
            spent = decision
    assert teller.sum() == 0
    for account in teller.accounts.values():
        lots = [lot for lot in teller.lots.values() if lot.account_id == account.key.id]
        assert sum(lot.remaining for lot in lots) == account.balance
        for lot in lots:
            taken = sum(take.amount for take in teller.takes if take.lot_id == lot.id)
            assert lot.amount - taken == lot.remaining >= 0
            assert lot.bringer != account.key.id
