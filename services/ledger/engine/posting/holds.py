"""Holds: what is kept back, then captured or let go."""

from collections.abc import Iterable, Sequence

from services.ledger import errors
from services.ledger.engine.accounts import HoldState, LotPart, Place, Reserve
from services.ledger.engine.batches import (
    Capture,
    Held,
    Hold,
    HoldRow,
    OperationResult,
    Other,
    Target,
    Void,
)
from services.ledger.engine.book import Page
from services.ledger.engine.posting import debts, lots, transfers
from services.ledger.engine.posting.draft import Draft

_ENDED = (
    (HoldState.CAPTURED, errors.HoldCaptured),
    (HoldState.VOIDED, errors.HoldVoided),
    (HoldState.EXPIRED, errors.HoldExpired),
)


def hold(draft: Draft, order: Hold) -> None:
    """Keep back what was ordered, and room for it on the other side."""
    debit, credit = draft.page(order.debit), draft.page(order.credit)
    draft.admit(debit, credit)
    room = None if credit is None else credit.room
    amount, givers = transfers.bounded(draft, order, debit, room)
    ends = draft.now + order.life
    if debit is not None:
        debit.reserve(givers, amount, draft.place, is_credit=False, expires_at=ends)
    if credit is not None:
        credit.reserve((), amount, draft.place, is_credit=True, expires_at=ends)
    draft.rows.holds.append(
        HoldRow(
            draft.place,
            order.debit,
            order.credit,
            amount,
            order.reason,
            order.campaign_id,
            ends,
        )
    )
    draft.results.append(OperationResult(amount, expires_at=ends))
    draft.targets[draft.place] = Held(
        order.debit, order.credit, amount, order.reason, order.campaign_id
    )


def settle(draft: Draft, operation: Capture | Void, target: Target | None) -> None:
    """Capture or void, when there is a hold that still stands."""
    if target is None:
        draft.refuse(errors.HoldNotFound())
        return
    if not isinstance(target, Held):
        draft.refuse(errors.NotAHold())
        return
    pages = [page for page in map(draft.page, (target.debit, target.credit)) if page]
    states = {page.reserves[operation.target].state for page in pages}
    for state, refusal in _ENDED:
        if state in states:
            draft.refuse(refusal())
            return
    if isinstance(operation, Capture):
        _capture(draft, operation, target)
    else:
        _void(draft, operation.target, pages)


def _capture(draft: Draft, capture: Capture, held: Held) -> None:
    debit, credit = draft.page(held.debit), draft.page(held.credit)
    draft.admit(debit, credit)
    sides = [(page, page.reserves[capture.target]) for page in (debit, credit) if page]
    remaining = sides[0][1].remaining
    amount = remaining if capture.amount is None else capture.amount
    if amount > remaining:
        draft.refuse(errors.ExceedsHold(remaining=remaining))
        amount = remaining
    taken: list[LotPart] = []
    for page, reserve in sides:
        taken += page.draw(reserve, amount, draft.place, draft.rows)
        if amount:
            page.move(amount if page is credit else -amount, draft.place, draft.rows)
        if capture.is_final or amount == remaining:
            page.end(capture.target, HoldState.CAPTURED, draft.now)
    if amount and credit is not None and credit.asset.lots is not None:
        lots.make(draft, credit, credit.asset.lots, amount, giver=held.debit)
    _book_late(draft, sides)
    draft.record(held.debit, held.credit, amount, reason=held.reason, campaign_id=held.campaign_id)
    paid_off = debts.pay_off(draft, credit, amount) if credit is not None else 0
    draft.results.append(OperationResult(amount, tuple(taken), paid_off=paid_off))
    transfers.note_moved(
        draft, held.debit, held.credit, amount, taken, campaign_id=held.campaign_id
    )


def _void(draft: Draft, place: Place, pages: Sequence[Page]) -> None:
    sides = [(page, page.reserves[place]) for page in pages]
    for page, _ in sides:
        page.end(place, HoldState.VOIDED, draft.now)
    _book_late(draft, sides)
    draft.results.append(OperationResult(sides[0][1].remaining))
    draft.targets[draft.place] = Other()


def _book_late(draft: Draft, sides: Iterable[tuple[Page, Reserve]]) -> None:
    """Book the expiry of what a hold has kept alive until now."""
    for page, reserve in sides:
        if reserve.lots:
            page.expire(draft.now, draft.rows)
