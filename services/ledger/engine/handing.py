"""Lots that change hands: which, how much of each, and what they are afterwards."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Lot, Place
from services.ledger.engine.batches import Handover, Selection

#: One handover takes no more lots than this; what is left can be handed over by another.
LOTS_MAX = 10_000


def parts(handover: Handover, lots: Iterable[Lot]) -> list[tuple[Lot, int]]:
    """Return the lots that a handover takes and how much of each, of active lots in spending order.

    The shares are counted through: of the first n lots together, the part taken is their sum times
    `share` over `whole`, rounded down. So is the part of all of them, and no lot is favoured.
    """
    chosen = [lot for lot in lots if _is_chosen(handover, lot)][:LOTS_MAX]
    taken, seen, given = [], 0, 0
    for lot in chosen:
        seen += lot.free
        part = seen * handover.share // handover.whole - given
        given += part
        if part:
            taken.append((lot, part))
    return taken


def handed(
    lot: Lot, amount: int, to: UUID, *, place: Place, slides_until: datetime | None, now: datetime
) -> Lot:
    """Return the lot that a part of another becomes on the account `to`.

    It keeps when it expires: where it slid with its account, that is the date of now. Its id keeps
    the time of the credit, and thereby its place among lots that expire together.
    """
    return Lot(
        accounts.handed_lot_id(lot.id, **place._asdict()),
        to,
        *place,
        amount,
        amount,
        0,
        lot.activates_at,
        accounts.expiry(lot, slides_until),
        lot.expiry_given,
        now,
        lot.issuer,
        lot.account_id,
    )


def _is_chosen(handover: Handover, lot: Lot) -> bool:
    if handover.selection == Selection.ALL:
        return True
    wanted = handover.credit.id if handover.selection == Selection.BROUGHT else None
    return lot.bringer == wanted
