"""One batch on its way: what its operations write on, and what they make."""

from datetime import datetime
from uuid import UUID

from services.ledger import errors
from services.ledger.engine import accounts
from services.ledger.engine.accounts import AccountState, Key, Place
from services.ledger.engine.batches import (
    Batch,
    Movement,
    OperationResult,
    Other,
    Target,
    TransferRow,
)
from services.ledger.engine.book import Page
from services.ledger.engine.posting.desk import Desk
from services.ledger.engine.posting.precedence import RANKS


class Draft:
    """One batch on its way.

    After a refusal the rest is still examined, for the precedence: as if the refused operation had
    done what it could. A draft that `writes_through` to the desk's own pages is for transfers that
    stand each for itself: of those, a refused one does nothing.
    """

    def __init__(self, desk: Desk, batch: Batch, *, writes_through: bool = False) -> None:
        self.desk = desk
        self.batch = batch
        self.now = desk.now
        #: The place of the operation at hand.
        self.place = Place(batch.id, -1)
        self.pages: dict[UUID, Page] = {}
        self.rows = desk.rows
        self.results: list[OperationResult] = []
        self.movements: list[Movement] = []
        self.targets: dict[Place, Target] = {}
        self.refusals: list[tuple[int, int, errors.LedgerRefusal]] = []
        #: When lots become active and expire by the policies of their assets.
        self.policy_terms: dict[str, tuple[datetime | None, datetime | None]] = {}
        self._writes_through = writes_through
        self._touched: dict[UUID, Page] = {}
        self._begin = desk.rows.mark()

    def keep(self) -> None:
        """Make the batch part of the outcome."""
        self.desk.keep(self.pages)
        self.desk.targets.update(self.targets)

    def discard(self) -> None:
        """Leave nothing behind."""
        self.rows.cut(self._begin)

    def expire(self) -> None:
        """Book what came back, or came late, with an expiry that is past."""
        for page in self.pages.values():
            page.expire(self.now, self.rows)

    def settle(self) -> None:
        """Close an independent operation: it stands, or nothing of it does."""
        if self.refusals:
            _, _, refusal = min(self.refusals, key=lambda found: found[0])
            self.refusals.clear()
            self.results.append(OperationResult(0, refusal=refusal))
            self.targets[self.place] = Other()
        else:
            for page in self._touched.values():
                page.expire(self.now, self.rows)
            self.pages.update(self._touched)
        self._touched.clear()

    @property
    def is_void(self) -> bool:
        """True when the operation at hand will have done nothing."""
        return self._writes_through and bool(self.refusals)

    def page(self, key: Key) -> Page | None:
        """Return the page to write on; accounts of the world have none."""
        if key.is_world:
            return None
        if self._writes_through:
            self._touched[key.id] = self.desk.open(key)
            return self._touched[key.id]
        page = self.pages.get(key.id)
        if page is None:
            page = self.pages[key.id] = self.desk.copy(key)
            if page.waiting is not None:
                self.rows.absorb(page.waiting)
                page.waiting = None
        return page

    def admit(self, debit: Page | None, credit: Page | None, *, takes_back: bool = False) -> None:
        """Refuse what accounts do not let happen; from frozen ones the program still takes back."""
        for side, page in (("debit", debit), ("credit", credit)):
            if page is None:
                continue
            if page.asset.opened_explicitly and not page.version:
                self.refuse(errors.AccountNotFound(side=side))
            if page.account.state is AccountState.CLOSED:
                self.refuse(errors.AccountClosed(side=side))
        if debit is not None and debit.account.state is AccountState.FROZEN and not takes_back:
            self.refuse(errors.AccountFrozen(side="debit"))

    def check_room(self, room: int | None, amount: int) -> None:
        """Refuse more than an account may still receive; None is without a limit."""
        if room is not None and amount > room:
            self.refuse(errors.CeilingExceeded(room=room, required=amount))

    def record(
        self,
        debit: Key,
        credit: Key,
        amount: int,
        *,
        reason: int,
        campaign_id: str,
        place: Place | None = None,
    ) -> None:
        """Note a movement; `place` is that of the operation at hand unless it is given."""
        self.rows.transfers.append(
            TransferRow(
                *(place or self.place),
                debit.id,
                credit.id,
                amount,
                reason,
                campaign_id,
                self.batch.occurred_at,
            )
        )
        if amount:
            self.movements.append(Movement(debit, credit, amount, reason, campaign_id))
        if debit.is_world:
            self.rows.tallies.append((debit, -amount))
        if credit.is_world:
            self.rows.tallies.append((credit, amount))

    def lot_id(self, place: Place, credited_at: datetime) -> UUID:
        """Return the id of the lot that an operation made."""
        return accounts.lot_id(
            batch_id=place.batch_id,
            operation_index=place.operation_index,
            credited_at=credited_at,
        )

    def refuse(self, refusal: errors.LedgerRefusal) -> None:
        """Note why the operation at hand is not carried out."""
        rank = RANKS[type(refusal)]
        self.refusals.append((rank, self.place.operation_index, refusal))
