"""Debts: what an owner could not give back, and what pays it off."""

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Place
from services.ledger.engine.batches import OWE, PAY_OFF, Moved
from services.ledger.engine.book import Page
from services.ledger.engine.posting.draft import Draft


def owe(draft: Draft, giver: Page, receiver: Page | None, moved: Moved, amount: int) -> Place:
    """Let the giver's debt give what the giver does not have; returns the movement's place."""
    key = accounts.debt_key(moved.credit)
    debt = draft.page(key)
    assert debt is not None
    place = debt.own_place()
    debt.move(-amount, place, draft.rows)
    if receiver is not None:
        receiver.move(amount, place, draft.rows)
    giver.debt += amount
    giver.version += 1
    draft.record(key, moved.debit, amount, reason=OWE, campaign_id=moved.campaign_id, place=place)
    return place


def pay_off(draft: Draft, page: Page, amount: int) -> int:
    """Let what has just come pay off what its owner owes; returns how much that was."""
    paid = min(page.debt, amount)
    if not paid:
        return 0
    key = accounts.debt_key(page.account.key)
    debt = draft.page(key)
    assert debt is not None
    place = page.own_place()
    if page.asset.lots is not None:
        made = page.lots[draft.lot_id(draft.place, draft.batch.occurred_at)]
        page.take([made], paid, place, draft.rows)
    page.move(-paid, place, draft.rows)
    debt.move(paid, place, draft.rows)
    page.debt -= paid
    draft.record(page.account.key, key, paid, reason=PAY_OFF, campaign_id="", place=place)
    return paid
