"""Transfers: so much from one account to another; and how much, which holds ask as well."""

from collections.abc import Sequence
from datetime import datetime

from services.ledger import errors
from services.ledger.engine.accounts import Key, Lot, LotPart, LotsUnread
from services.ledger.engine.batches import Hold, Moved, OperationResult, Transfer
from services.ledger.engine.book import Page
from services.ledger.engine.posting import debts, lots
from services.ledger.engine.posting.draft import Draft


def transfer(draft: Draft, order: Transfer) -> None:
    """Move what was ordered, or less where the caller takes less."""
    debit, credit = draft.page(order.debit), draft.page(order.credit)
    draft.admit(debit, credit)
    # What pays off a debt goes on at once, and needs no room.
    room = None if credit is None else credit.room + credit.debt
    amount, givers = bounded(draft, order, debit, room)
    if draft.is_void:
        return
    taken: list[LotPart] = []
    if amount and debit is not None:
        taken = debit.take(givers, amount, draft.place, draft.rows)
        debit.move(-amount, draft.place, draft.rows)
    if amount and credit is not None:
        credit.move(amount, draft.place, draft.rows)
        if credit.asset.lots is not None:
            lots.make(
                draft,
                credit,
                credit.asset.lots,
                amount,
                giver=order.debit,
                activates_at=order.activates_at,
                expires_at=order.expires_at,
            )
    draft.record(
        order.debit,
        order.credit,
        amount,
        reason=order.reason,
        campaign_id=order.campaign_id,
    )
    paid_off = debts.pay_off(draft, credit, amount) if credit is not None else 0
    draft.results.append(OperationResult(amount, tuple(taken), paid_off=paid_off))
    note_moved(draft, order.debit, order.credit, amount, taken, campaign_id=order.campaign_id)


def bounded(
    draft: Draft, operation: Transfer | Hold, debit: Page | None, room: int | None
) -> tuple[int, list[Lot]]:
    """Return how much a page can give, and the lots to take it from, in order.

    That is all of it, or a refusal, unless the caller takes less. `room` is how much the receiver
    takes, None without a limit.
    """
    amount, givers = operation.amount, list[Lot]()
    if debit is not None:
        available, givers = _spendable(debit, draft.now)
        if available < amount:
            if debit.last_read is not None:
                raise LotsUnread
            if not operation.up_to:
                draft.refuse(errors.InsufficientFunds(available=available, required=amount))
            amount = available
    if operation.up_to and room is not None:
        amount = min(amount, room)
    draft.check_room(room, amount)
    return amount, givers


def note_moved(
    draft: Draft,
    debit: Key,
    credit: Key,
    amount: int,
    taken: Sequence[LotPart],
    *,
    campaign_id: str,
) -> None:
    """Remember a movement that others of the same group want to undo."""
    if draft.batch.id in draft.desk.looked_back_at:
        draft.targets[draft.place] = Moved(
            debit,
            credit,
            amount,
            campaign_id,
            draft.batch.occurred_at,
            tuple(taken),
            0,
            0,
        )


def _spendable(page: Page, now: datetime) -> tuple[int, list[Lot]]:
    """Return how much may be taken from a page, and from which lots, in order."""
    if page.asset.lots is None:
        return page.above_floor, []
    spendable = page.spendable_lots(now)
    return sum(lot.remaining - lot.held for lot in spendable), spendable
