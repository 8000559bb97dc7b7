"""What frozen, closed and unopened accounts let happen."""

from dataclasses import replace

import pytest

from services.ledger import engine, errors
from tests.unit.ledger.teller import SHOP, Teller, days, hold, member, move, plain, points, refusal

ANNA, BORIS = member("anna"), member("boris")
Action, State = engine.Action, engine.AccountState


def _account(state=State.OPEN, **fields):
    return engine.opened(ANNA, plain())._replace(state=state, version=3, **fields)


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        (State.OPEN, Action.FREEZE, State.FROZEN),
        (State.FROZEN, Action.FREEZE, State.FROZEN),
        (State.FROZEN, Action.UNFREEZE, State.OPEN),
        (State.OPEN, Action.UNFREEZE, State.OPEN),
        (State.OPEN, Action.CLOSE, State.CLOSED),
        (State.FROZEN, Action.CLOSE, State.CLOSED),
        (State.CLOSED, Action.CLOSE, State.CLOSED),
        (State.CLOSED, Action.REOPEN, State.OPEN),
        (State.OPEN, Action.REOPEN, State.OPEN),
        (State.FROZEN, Action.REOPEN, State.FROZEN),
        (State.CLOSED, Action.FREEZE, None),
        (State.CLOSED, Action.UNFREEZE, None),
    ],
)
def test_every_action_in_every_state(before, action, after):
    """What is so already stays as it is, down to the version."""
    account = _account(before)
    if after is None:
        with pytest.raises(errors.AccountClosed):
            engine.changed(account, action)
        return
    changed = engine.changed(account, action)
    assert changed.state is after
    assert changed.version == account.version + (before is not after)


@pytest.mark.parametrize(("balance", "debt"), [(1, 0), (-1, 0), (0, 1)])
def test_only_empty_accounts_are_closed(balance, debt):
    """Neither with value nor below zero nor with a debt."""
    with pytest.raises(errors.AccountNotEmpty) as caught:
        engine.changed(_account(balance=balance, debt=debt), Action.CLOSE)
    assert caught.value.metadata == {"balance": str(balance), "debt": str(debt)}


def test_a_frozen_account_gives_nothing_and_takes_what_comes():
    """No transfers, holds, captures or handovers out of it; credits in, and expiry goes on."""
    teller = Teller(points(expiry=days(30)))
    earned = teller.earn(100)
    held = teller.hold(10)
    teller.act(Action.FREEZE)
    frozen = errors.AccountFrozen(side="debit")
    home = engine.key("points", 3, "home")
    pool = engine.Handover(ANNA, home, engine.POOL, engine.Selection.ALL, share=1, whole=1)
    for operation in (
        move(ANNA, SHOP, 1),
        move(ANNA, BORIS, 1),
        hold(ANNA, SHOP, 1),
        engine.Capture(engine.Place(held.batch.id, 0), 1, is_final=False),
        pool,
    ):
        assert refusal(teller.post(operation)) == frozen
    assert refusal(teller.earn(5)) is None
    assert refusal(teller.transfer(SHOP, ANNA, 5)) is None
    assert refusal(teller.void(held)) is None
    assert refusal(teller.reverse(earned, 40)) is None
    assert teller.available() == 70
    teller.act(Action.UNFREEZE)
    assert refusal(teller.spend(70)) is None


def test_a_closed_account_neither_gives_nor_takes():
    """Each side is named."""
    teller = Teller(plain(floor=-50))
    teller.act(Action.CLOSE)
    assert refusal(teller.earn(5)) == errors.AccountClosed(side="credit")
    assert refusal(teller.spend(5)) == errors.AccountClosed(side="debit")
    assert refusal(teller.hold(5)) == errors.AccountClosed(side="debit")
    assert teller.accounts[ANNA.id].balance == 0
    teller.act(Action.REOPEN)
    assert refusal(teller.earn(5)) is None


def test_a_hold_on_a_closed_account_can_only_be_given_back():
    """A capture is refused and the hold stands; a void is not, and the account stays closed."""
    teller = Teller(plain(floor=-50))
    held = teller.hold(10)
    teller.act(Action.CLOSE)
    assert refusal(teller.capture(held)) == errors.AccountClosed(side="debit")
    assert teller.balance().held == 10
    assert refusal(teller.void(held)) is None
    assert (teller.balance().held, teller.accounts[ANNA.id].state) == (0, State.CLOSED)


def test_a_hold_on_a_closed_account_times_out():
    """By the clock, and by the sweeper."""
    teller = Teller(plain(floor=-50))
    teller.hold(10)
    teller.act(Action.CLOSE)
    assert teller.at(1).balance().held == 0
    assert len(teller.sweep().reserves_changed) == 1
    assert teller.accounts[ANNA.id].state is State.CLOSED


def test_a_refund_to_a_closed_account_waits_for_it_to_be_reopened():
    """Money does not vanish into an account that nobody looks at."""
    teller = Teller(points())
    teller.earn(100)
    spent = teller.spend(100)
    teller.act(Action.CLOSE)
    assert refusal(teller.reverse(spent, 100)) == errors.AccountClosed(side="credit")
    teller.act(Action.REOPEN)
    assert refusal(teller.reverse(spent, 100)) is None


def test_accounts_that_must_be_opened_are_not_found_before():
    """On either side; opened, they work like all others."""
    asset = replace(plain(), opened_explicitly=True)
    teller = Teller(asset)
    assert refusal(teller.earn(5)) == errors.AccountNotFound(side="credit")
    assert refusal(teller.spend(5)) == errors.AccountNotFound(side="debit")
    assert refusal(teller.hold(5)) == errors.AccountNotFound(side="debit")
    assert teller.accounts == {}
    teller.act(Action.OPEN)
    assert refusal(teller.earn(5)) is None
    assert refusal(teller.transfer(ANNA, BORIS, 5)) == errors.AccountNotFound(side="credit")


@pytest.mark.parametrize(
    ("floor", "ceiling", "field"), [(0, 10, None), (-1, 10, "floor"), (0, None, "ceiling")]
)
def test_an_open_account_is_opened_again_only_with_the_same_limits(floor, ceiling, field):
    """The first difference is named."""
    assert engine.differs(_account(ceiling=10), floor=floor, ceiling=ceiling) == field
