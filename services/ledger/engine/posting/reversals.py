"""Reversals: a transfer undone, in whole or in part."""

from collections.abc import Sequence

from services.ledger import errors
from services.ledger.engine import accounts
from services.ledger.engine.accounts import Lot, LotPart, Place
from services.ledger.engine.batches import (
    REVERSE,
    Moved,
    OperationResult,
    Other,
    Reversal,
    ReversalRow,
    Shortfall,
)
from services.ledger.engine.book import Page
from services.ledger.engine.posting import debts
from services.ledger.engine.posting.draft import Draft


def reverse(draft: Draft, reversal: Reversal, moved: Moved) -> None:
    """Take back from who received, and give it to who gave."""
    remaining = moved.amount - moved.reversed
    if reversal.amount > remaining:
        draft.refuse(errors.ExceedsReversible(remaining=remaining))
    giver, receiver = draft.page(moved.credit), draft.page(moved.debit)
    draft.admit(giver, receiver, takes_back=True)
    amount, owed, lots = reversal.amount, 0, list[Lot]()
    if giver is not None:
        available, lots = _reclaimable(draft, giver, reversal, moved)
        if available < amount and reversal.shortfall == Shortfall.REFUSE:
            draft.refuse(errors.InsufficientFunds(available=available, required=amount))
        amount = min(amount, available)
        if reversal.shortfall == Shortfall.DEBT:
            owed = min(reversal.amount, _spent(draft, giver, reversal, moved)) - amount
            owed = max(owed, 0)
            if giver.debt + owed > accounts.BALANCE_MAX:
                draft.refuse(
                    errors.InsufficientFunds(available=available, required=reversal.amount)
                )
    draft.check_room(None if receiver is None else receiver.room, amount + owed)
    taken: list[LotPart] = []
    if amount and giver is not None:
        taken = giver.take(lots, amount, draft.place, draft.rows)
        giver.move(-amount, draft.place, draft.rows)
    if amount and receiver is not None:
        receiver.move(amount, draft.place, draft.rows)
    draft.record(moved.credit, moved.debit, amount, reason=REVERSE, campaign_id=moved.campaign_id)
    moved = _restore(draft, receiver, reversal.target, moved, amount, by=draft.place)
    if owed and giver is not None:
        place = debts.owe(draft, giver, receiver, moved, owed)
        _restore(draft, receiver, reversal.target, moved, owed, by=place)
    draft.results.append(OperationResult(amount, tuple(taken), owed=owed))
    draft.targets[draft.place] = Other()


def _reclaimable(
    draft: Draft, giver: Page, reversal: Reversal, moved: Moved
) -> tuple[int, list[Lot]]:
    """Return how much a reversal may take, and the lots to take it from, in order."""
    now = draft.now
    pending_only = reversal.shortfall == Shortfall.TAKE_PENDING
    if giver.asset.lots is None:
        # Without lots nothing is pending.
        return (0 if pending_only else giver.above_floor), []
    made = giver.lots.get(draft.lot_id(reversal.target, moved.occurred_at))
    lots = []
    if made is not None and made.free and (made.is_pending(now) or not pending_only):
        lots.append(made)
    if not pending_only:
        lots += [lot for lot in giver.spendable_lots(now) if lot is not made]
    return sum(lot.free for lot in lots), lots


def _spent(draft: Draft, giver: Page, reversal: Reversal, moved: Moved) -> int:
    """Return how much of a transfer may still be claimed: what expired unspent is nobody's debt."""
    made = draft.lot_id(reversal.target, moved.occurred_at)
    expired = draft.desk.facts.expired.get(made, 0) + giver.expired.get(made, 0)
    return moved.amount - moved.reversed - expired


def _restore(
    draft: Draft, receiver: Page | None, target: Place, moved: Moved, amount: int, *, by: Place
) -> Moved:
    """Give back to lots what the movement `by` brings back, and remember it as undone."""
    if not amount:
        return moved
    if receiver is not None:
        parts = _last_taken(moved.taken, skip=moved.reversed, amount=amount)
        receiver.give_back(parts, draft.desk.lots, by, draft.rows, now=draft.now)
    undone = moved.reversed + amount
    number = moved.reversals + 1
    draft.rows.reversals.append(ReversalRow(*target, number, *by, amount, undone, moved.amount))
    moved = draft.targets[target] = Moved(
        moved.debit,
        moved.credit,
        moved.amount,
        moved.campaign_id,
        moved.occurred_at,
        moved.taken,
        undone,
        number,
    )
    return moved


def _last_taken(taken: Sequence[LotPart], *, skip: int, amount: int) -> list[LotPart]:
    """Return the parts that make up an amount, going back from the end of what was taken.

    `skip` units at the end were given back before; a transfer that took no lots has no parts.
    """
    parts = []
    for part in reversed(taken):
        given, skip = min(part.amount, skip), max(skip - part.amount, 0)
        back = min(part.amount - given, amount)
        if back:
            parts.append(LotPart(part.lot_id, part.account_id, back))
            amount -= back
    return parts
