"""Handovers: lots that change their owner and keep their terms."""

from services.ledger.engine import handing
from services.ledger.engine.accounts import LotPart
from services.ledger.engine.batches import Handover, OperationResult, Other
from services.ledger.engine.posting.draft import Draft


def hand_over(draft: Draft, handover: Handover) -> None:
    """Give parts of lots to another account, as lots with the same terms."""
    giver, receiver = draft.page(handover.debit), draft.page(handover.credit)
    assert giver is not None
    assert receiver is not None
    draft.admit(giver, receiver)
    parts = handing.parts(handover, giver.spendable_lots(draft.now))
    amount = sum(part for _, part in parts)
    draft.check_room(receiver.room, amount)
    taken: list[LotPart] = []
    for lot, part in parts:
        taken += giver.take([lot], part, draft.place, draft.rows)
        handed = handing.handed(
            lot,
            part,
            handover.credit.id,
            place=draft.place,
            slides_until=giver.slides_until,
            now=draft.now,
        )
        receiver.put(None, handed)
    if amount:
        giver.move(-amount, draft.place, draft.rows)
        receiver.move(amount, draft.place, draft.rows)
    draft.record(handover.debit, handover.credit, amount, reason=handover.reason, campaign_id="")
    draft.results.append(OperationResult(amount, tuple(taken)))
    draft.targets[draft.place] = Other()
