"""Decide batches: facts in, postings or typed refusals out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.ledger import errors
from services.ledger.engine import accounts, assets, handing
from services.ledger.engine.accounts import (
    AccountState,
    HoldState,
    Key,
    Lot,
    LotPart,
    Place,
    Reserve,
)
from services.ledger.engine.batches import (
    BY_LEDGER,
    OWE,
    PAY_OFF,
    REVERSE,
    Batch,
    Capture,
    Changes,
    Decision,
    Facts,
    Handover,
    Held,
    Hold,
    HoldRow,
    Moved,
    Movement,
    Operation,
    OperationResult,
    Other,
    Outcome,
    Posted,
    Refused,
    Release,
    Reversal,
    ReversalRow,
    Shortfall,
    Target,
    Transfer,
    TransferRow,
    Unmoved,
    Void,
)
from services.ledger.engine.book import Page, Rows
from services.ledger.engine.planning import targets

#: How far a caller's clock may be ahead.
FUTURE_MAX = timedelta(minutes=1)

#: When several reasons apply to a batch, the first of these is given.
PRECEDENCE: tuple[type[errors.LedgerRefusal], ...] = (
    errors.BatchConflict,
    errors.OccurredInFuture,
    errors.AssetNotFound,
    errors.AccountsMustDiffer,
    errors.DebtAccount,
    errors.LotsNotKept,
    errors.TransferNotFound,
    errors.HoldNotFound,
    errors.NotReversible,
    errors.NotAHold,
    errors.HoldCaptured,
    errors.HoldVoided,
    errors.HoldExpired,
    errors.AccountNotFound,
    errors.AccountClosed,
    errors.AccountFrozen,
    errors.ExceedsReversible,
    errors.ExceedsHold,
    errors.InsufficientFunds,
    errors.CeilingExceeded,
)
_RANKS = {kind: rank for rank, kind in enumerate(PRECEDENCE)}
_ENDED = (
    (HoldState.CAPTURED, errors.HoldCaptured),
    (HoldState.VOIDED, errors.HoldVoided),
    (HoldState.EXPIRED, errors.HoldExpired),
)


def post(
    facts: Facts, batches: Sequence[Batch], *, now: datetime, due: Iterable[Key] = ()
) -> Outcome:
    """Decide batches one after the other, each seeing what those before it did.

    On the accounts in `due`, expiries are booked whether or not a batch touches them. The facts
    hold what `plan` asked for. Refusals are decisions, not exceptions.
    """
    desk = _Desk(facts, now, looked_back_at={place.batch_id for place in targets(batches)})
    for key in due:
        desk.sweep(key)
    decisions = [desk.decide(batch) for batch in batches]
    return Outcome(decisions, desk.changes())


class _Desk:
    """The state between batches: pages and rows of those that were posted."""

    def __init__(self, facts: Facts, now: datetime, *, looked_back_at: set[UUID]) -> None:
        self.facts = facts
        self.now = now
        #: Batches whose transfers others want to undo.
        self.looked_back_at = looked_back_at
        self.targets: dict[Place, Target] = dict(facts.targets)
        self.lots: dict[UUID, Lot] = dict(facts.lots)
        self._pages: dict[UUID, Page] = {}
        self._rows = Rows()
        self._kept: set[UUID] = set()

    def open(self, key: Key) -> Page:
        """Return the page of an account with a running balance, with due expiries booked."""
        page = self._pages.get(key.id)
        if page is None:
            asset = self.facts.assets[key.asset_code]
            if asset.lots is not None and not accounts.keeps_lots(key, asset):
                asset = replace(asset, lots=None)
            account = self.facts.accounts.get(key.id) or accounts.opened(key, asset)
            page = Page(account, asset, self.now)
            self._pages[key.id] = page
        return page

    def sweep(self, key: Key) -> None:
        """Book the due expiries of an account."""
        page = self.open(key)
        if page.waiting is not None:
            self.keep({key.id: page}, Rows())

    def decide(self, batch: Batch) -> Decision:
        """Decide one batch; only a posted one leaves anything behind."""
        if batch.occurred_at > self.now + FUTURE_MAX:
            return Refused(batch, errors.OccurredInFuture(), BY_LEDGER)
        return self._decide_each(batch) if batch.independent else self._decide_all(batch)

    def _decide_all(self, batch: Batch) -> Decision:
        draft = _Draft(self, batch)
        for index, operation in enumerate(batch.operations):
            draft.apply(index, operation)
        if draft.refusals:
            _, index, refusal = min(draft.refusals, key=lambda found: found[:2])
            return Refused(batch, refusal, index)
        draft.expire()
        self.keep(draft.pages, draft.rows)
        self.targets.update(draft.targets)
        balances = tuple(page.view(self.now) for page in draft.pages.values())
        return Posted(batch, tuple(draft.results), tuple(draft.movements), balances)

    def _decide_each(self, batch: Batch) -> Decision:
        """Decide operations each for itself: as many drafts, or one for transfers alone."""
        if all(isinstance(operation, Transfer) for operation in batch.operations):
            draft = _Draft(self, batch, writes_through=True)
            for index, operation in enumerate(batch.operations):
                draft.apply(index, operation)
                draft.settle()
            self.keep(draft.pages, draft.rows)
            self.targets.update(draft.targets)
            return Posted(batch, tuple(draft.results), tuple(draft.movements), ())
        results: list[OperationResult] = []
        movements: list[Movement] = []
        for index, operation in enumerate(batch.operations):
            draft = _Draft(self, batch)
            draft.apply(index, operation)
            if draft.refusals:
                draft.settle()
                self.targets[Place(batch.id, index)] = Other()
            else:
                draft.expire()
                self.keep(draft.pages, draft.rows)
                self.targets.update(draft.targets)
                movements += draft.movements
            results += draft.results[-1:]
        return Posted(batch, tuple(results), tuple(movements), ())

    def keep(self, pages: dict[UUID, Page], rows: Rows) -> None:
        """Make the pages and rows of a posted batch part of the outcome."""
        for page in pages.values():
            if page.waiting is not None:
                self._rows.absorb(page.waiting)
                page.waiting = None
        self._rows.absorb(rows)
        self._pages.update(pages)
        self._kept.update(pages)

    def changes(self) -> Changes:
        """Return everything that has to be written."""
        pages = [self._pages[account_id] for account_id in sorted(self._kept)]
        pages = [page for page in pages if page.version != page.account.version]
        rows = self._rows
        return Changes(
            accounts=[page.written(self.now) for page in pages],
            transfers=rows.transfers,
            entries=rows.entries,
            lots_made=[lot for page in pages for lot in page.lots_made()],
            lots_changed=[pair for page in pages for pair in page.lots_changed()],
            takes=rows.takes,
            reversals=rows.reversals,
            expiries=rows.expiries,
            holds=rows.holds,
            reserves_made=[one for page in pages for one in page.reserves_kept(new=True)],
            reserves_changed=[one for page in pages for one in page.reserves_kept(new=False)],
            tallies=rows.tallies,
        )


class _Draft:
    """One batch on its way.

    After a refusal the rest is still examined, for the precedence: as if the refused operation had
    done what it could. A draft that `writes_through` to the desk's own pages is for transfers that
    stand each for itself: of those, a refused one does nothing.
    """

    def __init__(self, desk: _Desk, batch: Batch, *, writes_through: bool = False) -> None:
        self.pages: dict[UUID, Page] = {}
        self.rows = Rows()
        self.results: list[OperationResult] = []
        self.movements: list[Movement] = []
        self.targets: dict[Place, Target] = {}
        self.refusals: list[tuple[int, int, errors.LedgerRefusal]] = []
        self._desk = desk
        self._batch = batch
        self._now = desk.now
        self._place = Place(batch.id, -1)
        self._writes_through = writes_through
        self._touched: dict[UUID, Page] = {}
        self._policy_terms: dict[str, tuple[datetime | None, datetime | None]] = {}

    def apply(self, index: int, operation: Operation) -> None:
        """Carry out one operation, or note why not."""
        self._place = Place(self._batch.id, index)
        if isinstance(operation, Transfer | Handover | Hold):
            if self._examine(operation):
                self._begin(operation)
            return
        target = self.targets.get(operation.target) or self._desk.targets.get(operation.target)
        if isinstance(operation, Capture | Void):
            self._settle(operation, target)
        elif target is None:
            self._refuse(errors.TransferNotFound())
        elif isinstance(target, Unmoved) and isinstance(operation, Reversal):
            self._refuse(errors.ExceedsReversible(remaining=0))
        elif not isinstance(target, Moved):
            self._refuse(errors.NotReversible())
        elif isinstance(operation, Reversal):
            self._reverse(operation, target)
        else:
            self._release(operation, target)

    def _begin(self, operation: Transfer | Handover | Hold) -> None:
        if isinstance(operation, Transfer):
            self._transfer(operation)
        elif isinstance(operation, Hold):
            self._hold(operation)
        else:
            self._hand_over(operation)

    def expire(self) -> None:
        """Book what came back, or came late, with an expiry that is past."""
        for page in self.pages.values():
            page.expire(self._now, self.rows)

    def settle(self) -> None:
        """Close an independent operation: it stands, or nothing of it does."""
        if self.refusals:
            _, _, refusal = min(self.refusals, key=lambda found: found[0])
            self.refusals.clear()
            self.results.append(OperationResult(0, refusal=refusal))
            self.targets[self._place] = Other()
        else:
            for page in self._touched.values():
                page.expire(self._now, self.rows)
            self.pages.update(self._touched)
        self._touched.clear()

    def _examine(self, operation: Transfer | Handover | Hold) -> bool:
        """Refuse what is wrong at sight; tells whether nothing is."""
        asset = self._desk.facts.assets.get(operation.debit.asset_code)
        found = len(self.refusals)
        if asset is None:
            self._refuse(errors.AssetNotFound(asset_code=operation.debit.asset_code))
        if operation.debit.id == operation.credit.id:
            self._refuse(errors.AccountsMustDiffer())
        if accounts.DEBT in {operation.debit.owner_type, operation.credit.owner_type}:
            self._refuse(errors.DebtAccount())
        for_lots = operation.needs_lots
        if for_lots and asset and not all(accounts.keeps_lots(key, asset) for key in for_lots):
            self._refuse(errors.LotsNotKept())
        return found == len(self.refusals)

    def _transfer(self, transfer: Transfer) -> None:
        debit, credit = self._page(transfer.debit), self._page(transfer.credit)
        self._admit(debit, credit)
        amount, lots = self._bounded(transfer, debit, credit)
        if self._is_void:
            return
        taken: list[LotPart] = []
        if amount and debit is not None:
            taken = debit.take(lots, amount, self._place, self.rows)
            debit.move(-amount, self._place, self.rows)
        if amount and credit is not None:
            credit.move(amount, self._place, self.rows)
            if credit.asset.lots is not None:
                self._make_lot(
                    credit,
                    credit.asset.lots,
                    amount,
                    giver=transfer.debit,
                    activates_at=transfer.activates_at,
                    expires_at=transfer.expires_at,
                )
        self._record(
            transfer.debit,
            transfer.credit,
            amount,
            reason=transfer.reason,
            campaign_id=transfer.campaign_id,
        )
        paid_off = self._pay_off(credit, amount) if credit is not None else 0
        self.results.append(OperationResult(amount, tuple(taken), paid_off=paid_off))
        self._note_moved(
            transfer.debit, transfer.credit, amount, taken, campaign_id=transfer.campaign_id
        )

    def _hold(self, hold: Hold) -> None:
        debit, credit = self._page(hold.debit), self._page(hold.credit)
        self._admit(debit, credit)
        amount, lots = self._bounded(hold, debit, credit)
        ends = self._now + hold.life
        if debit is not None:
            debit.reserve(lots, amount, self._place, is_credit=False, expires_at=ends)
        if credit is not None:
            credit.reserve((), amount, self._place, is_credit=True, expires_at=ends)
        self.rows.holds.append(
            HoldRow(
                self._place,
                hold.debit,
                hold.credit,
                amount,
                hold.reason,
                hold.campaign_id,
                ends,
            )
        )
        self.results.append(OperationResult(amount, expires_at=ends))
        self.targets[self._place] = Held(
            hold.debit, hold.credit, amount, hold.reason, hold.campaign_id
        )

    def _settle(self, operation: Capture | Void, target: Target | None) -> None:
        """Capture or void, when there is a hold that still stands."""
        if target is None:
            self._refuse(errors.HoldNotFound())
            return
        if not isinstance(target, Held):
            self._refuse(errors.NotAHold())
            return
        pages = [page for page in map(self._page, (target.debit, target.credit)) if page]
        states = {page.reserves[operation.target].state for page in pages}
        for state, refusal in _ENDED:
            if state in states:
                self._refuse(refusal())
                return
        if isinstance(operation, Capture):
            self._capture(operation, target)
        else:
            self._void(operation.target, pages)

    def _capture(self, capture: Capture, held: Held) -> None:
        debit, credit = self._page(held.debit), self._page(held.credit)
        self._admit(debit, credit)
        sides = [(page, page.reserves[capture.target]) for page in (debit, credit) if page]
        remaining = sides[0][1].remaining
        amount = remaining if capture.amount is None else capture.amount
        if amount > remaining:
            self._refuse(errors.ExceedsHold(remaining=remaining))
            amount = remaining
        taken: list[LotPart] = []
        for page, reserve in sides:
            taken += page.draw(reserve, amount, self._place, self.rows)
            if amount:
                page.move(amount if page is credit else -amount, self._place, self.rows)
            if capture.is_final or amount == remaining:
                page.end(capture.target, HoldState.CAPTURED, self._now)
        if amount and credit is not None and credit.asset.lots is not None:
            self._make_lot(credit, credit.asset.lots, amount, giver=held.debit)
        self._book_late(sides)
        self._record(
            held.debit, held.credit, amount, reason=held.reason, campaign_id=held.campaign_id
        )
        paid_off = self._pay_off(credit, amount) if credit is not None else 0
        self.results.append(OperationResult(amount, tuple(taken), paid_off=paid_off))
        self._note_moved(held.debit, held.credit, amount, taken, campaign_id=held.campaign_id)

    def _void(self, place: Place, pages: Sequence[Page]) -> None:
        sides = [(page, page.reserves[place]) for page in pages]
        for page, _ in sides:
            page.end(place, HoldState.VOIDED, self._now)
        self._book_late(sides)
        self.results.append(OperationResult(sides[0][1].remaining))
        self.targets[self._place] = Other()

    def _book_late(self, sides: Iterable[tuple[Page, Reserve]]) -> None:
        """Book the expiry of what a hold has kept alive until now."""
        for page, reserve in sides:
            if reserve.lots:
                page.expire(self._now, self.rows)

    def _bounded(
        self, operation: Transfer | Hold, debit: Page | None, credit: Page | None
    ) -> tuple[int, list[Lot]]:
        """Return how much can go from page to page, and the lots to take it from, in order.

        That is all of it, or a refusal, unless the caller takes less.
        """
        amount, lots = operation.amount, list[Lot]()
        if debit is not None:
            available, lots = _spendable(debit, self._now)
            if available < amount:
                if not operation.up_to:
                    self._refuse(errors.InsufficientFunds(available=available, required=amount))
                amount = available
        if operation.up_to and credit is not None:
            amount = min(amount, credit.room)
        self._check_room(credit, amount)
        return amount, lots

    def _note_moved(
        self, debit: Key, credit: Key, amount: int, taken: Sequence[LotPart], *, campaign_id: str
    ) -> None:
        """Remember a movement that others of the same group want to undo."""
        if self._batch.id in self._desk.looked_back_at:
            self.targets[self._place] = Moved(
                debit,
                credit,
                amount,
                campaign_id,
                self._batch.occurred_at,
                tuple(taken),
                0,
                0,
            )

    def _make_lot(
        self,
        page: Page,
        policy: assets.LotPolicy,
        amount: int,
        *,
        giver: Key,
        activates_at: datetime | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        credited_at = self._batch.occurred_at
        expiry_given = expires_at is not None
        if activates_at is None and expires_at is None:
            activates_at, expires_at = self._terms(page.asset.code, policy)
        else:
            activates_at = activates_at or assets.activation(policy, credited_at=credited_at)
            if expires_at is None and activates_at is not None:
                expires_at = assets.expiry(policy, activated_at=activates_at)
        if policy.slides:
            renewed = assets.slide(policy, credited_at=credited_at)
            page.slides_until = max(filter(None, (page.slides_until, renewed)))
        lot = Lot(
            self._lot_id(self._place, credited_at),
            page.account.key.id,
            *self._place,
            amount,
            amount,
            0,
            activates_at,
            expires_at,
            expiry_given,
            self._now,
            giver.id if giver.owner_type == accounts.PARTNER else None,
            giver.id if giver.owner_type in accounts.PEOPLE else None,
        )
        page.put(None, lot)

    def _hand_over(self, handover: Handover) -> None:
        giver, receiver = self._page(handover.debit), self._page(handover.credit)
        assert giver is not None
        assert receiver is not None
        self._admit(giver, receiver)
        parts = handing.parts(handover, giver.spendable_lots(self._now))
        amount = sum(part for _, part in parts)
        self._check_room(receiver, amount)
        taken: list[LotPart] = []
        for lot, part in parts:
            taken += giver.take([lot], part, self._place, self.rows)
            handed = handing.handed(
                lot,
                part,
                handover.credit.id,
                place=self._place,
                slides_until=giver.slides_until,
                now=self._now,
            )
            receiver.put(None, handed)
        if amount:
            giver.move(-amount, self._place, self.rows)
            receiver.move(amount, self._place, self.rows)
        self._record(
            handover.debit, handover.credit, amount, reason=handover.reason, campaign_id=""
        )
        self.results.append(OperationResult(amount, tuple(taken)))
        self.targets[self._place] = Other()

    def _terms(
        self, asset_code: str, policy: assets.LotPolicy
    ) -> tuple[datetime | None, datetime | None]:
        """Return what the asset's policy says; days are counted once for all of a batch."""
        terms = self._policy_terms.get(asset_code)
        if terms is None:
            activates_at = assets.activation(policy, credited_at=self._batch.occurred_at)
            expires_at = activates_at and assets.expiry(policy, activated_at=activates_at)
            terms = self._policy_terms[asset_code] = activates_at, expires_at
        return terms

    def _reverse(self, reversal: Reversal, moved: Moved) -> None:
        remaining = moved.amount - moved.reversed
        if reversal.amount > remaining:
            self._refuse(errors.ExceedsReversible(remaining=remaining))
        giver, receiver = self._page(moved.credit), self._page(moved.debit)
        self._admit(giver, receiver, takes_back=True)
        amount, owed, lots = reversal.amount, 0, list[Lot]()
        if giver is not None:
            available, lots = self._reclaimable(giver, reversal, moved)
            if available < amount and reversal.shortfall == Shortfall.REFUSE:
                self._refuse(errors.InsufficientFunds(available=available, required=amount))
            if reversal.shortfall == Shortfall.DEBT:
                owed = max(amount - available, 0)
            amount = min(amount, available)
        self._check_room(receiver, amount + owed)
        taken: list[LotPart] = []
        if amount and giver is not None:
            taken = giver.take(lots, amount, self._place, self.rows)
            giver.move(-amount, self._place, self.rows)
        if amount and receiver is not None:
            receiver.move(amount, self._place, self.rows)
        self._record(
            moved.credit, moved.debit, amount, reason=REVERSE, campaign_id=moved.campaign_id
        )
        if owed and giver is not None:
            self._owe(giver, receiver, moved, owed)
        if receiver is not None:
            parts = _last_taken(moved.taken, skip=moved.reversed, amount=amount + owed)
            receiver.give_back(parts, self._desk.lots, self._place, self.rows, now=self._now)
        self.results.append(OperationResult(amount, tuple(taken), owed=owed))
        self.targets[self._place] = Other()
        if amount + owed:
            self._count(reversal.target, moved, amount + owed)

    def _owe(self, giver: Page, receiver: Page | None, moved: Moved, amount: int) -> None:
        """Let the giver's debt give what the giver does not have."""
        key = accounts.debt_key(moved.credit)
        debt = self._page(key)
        assert debt is not None
        place = debt.own_place()
        debt.move(-amount, place, self.rows)
        if receiver is not None:
            receiver.move(amount, place, self.rows)
        giver.debt += amount
        giver.version += 1
        self._record(
            key, moved.debit, amount, reason=OWE, campaign_id=moved.campaign_id, place=place
        )

    def _pay_off(self, page: Page, amount: int) -> int:
        """Let what has just come pay off what its owner owes; returns how much that was."""
        paid = min(page.debt, amount)
        if not paid:
            return 0
        key = accounts.debt_key(page.account.key)
        debt = self._page(key)
        assert debt is not None
        place = page.own_place()
        if page.asset.lots is not None:
            made = page.lots[self._lot_id(self._place, self._batch.occurred_at)]
            page.take([made], paid, place, self.rows)
        page.move(-paid, place, self.rows)
        debt.move(paid, place, self.rows)
        page.debt -= paid
        self._record(page.account.key, key, paid, reason=PAY_OFF, campaign_id="", place=place)
        return paid

    def _admit(self, debit: Page | None, credit: Page | None, *, takes_back: bool = False) -> None:
        """Refuse what accounts do not let happen; from frozen ones the program still takes back."""
        for side, page in (("debit", debit), ("credit", credit)):
            if page is None:
                continue
            if page.asset.opened_explicitly and not page.version:
                self._refuse(errors.AccountNotFound(side=side))
            if page.account.state is AccountState.CLOSED:
                self._refuse(errors.AccountClosed(side=side))
        if debit is not None and debit.account.state is AccountState.FROZEN and not takes_back:
            self._refuse(errors.AccountFrozen(side="debit"))

    def _reclaimable(self, giver: Page, reversal: Reversal, moved: Moved) -> tuple[int, list[Lot]]:
        """Return how much a reversal may take, and the lots to take it from, in order."""
        now = self._now
        pending_only = reversal.shortfall == Shortfall.TAKE_PENDING
        if giver.asset.lots is None:
            # Without lots nothing is pending.
            return (0 if pending_only else giver.above_floor), []
        made = giver.lots.get(self._lot_id(reversal.target, moved.occurred_at))
        lots = []
        if made is not None and made.free and (made.is_pending(now) or not pending_only):
            lots.append(made)
        if not pending_only:
            lots += [lot for lot in giver.spendable_lots(now) if lot is not made]
        return sum(lot.free for lot in lots), lots

    def _count(self, target: Place, moved: Moved, amount: int) -> None:
        """Remember how much of a transfer is undone, so that it is never undone twice."""
        undone = moved.reversed + amount
        self.targets[target] = Moved(
            moved.debit,
            moved.credit,
            moved.amount,
            moved.campaign_id,
            moved.occurred_at,
            moved.taken,
            undone,
            moved.reversals + 1,
        )
        self.rows.reversals.append(
            ReversalRow(*target, moved.reversals + 1, *self._place, amount, undone, moved.amount)
        )

    def _release(self, release: Release, moved: Moved) -> None:
        page = self._page(moved.credit)
        policy = None if page is None else page.asset.lots
        lot_id = self._lot_id(release.target, moved.occurred_at)
        lot = None if page is None else page.lots.get(lot_id)
        if page is None or policy is None or lot is None or not lot.is_pending(self._now):
            self._refuse(errors.NotReversible())
            return
        activates_at, expires_at = self._batch.occurred_at, lot.expires_at
        if not lot.expiry_given:
            expires_at = assets.expiry(policy, activated_at=activates_at)
        released = Lot(
            lot.id,
            lot.account_id,
            lot.batch_id,
            lot.operation_index,
            lot.amount,
            lot.remaining,
            lot.held,
            activates_at,
            expires_at,
            lot.expiry_given,
            lot.created_at,
            lot.issuer,
            lot.bringer,
        )
        page.put(lot, released)
        page.version += 1
        self.results.append(OperationResult(lot.remaining))
        self.targets[self._place] = Other()

    def _record(
        self,
        debit: Key,
        credit: Key,
        amount: int,
        *,
        reason: int,
        campaign_id: str,
        place: Place | None = None,
    ) -> None:
        self.rows.transfers.append(
            TransferRow(
                *(place or self._place),
                debit.id,
                credit.id,
                amount,
                reason,
                campaign_id,
                self._batch.occurred_at,
            )
        )
        if amount:
            self.movements.append(Movement(debit, credit, amount, reason, campaign_id))
        if debit.is_world:
            self.rows.tallies[debit] -= amount
        if credit.is_world:
            self.rows.tallies[credit] += amount

    def _check_room(self, page: Page | None, amount: int) -> None:
        if page is not None and amount > page.room:
            self._refuse(errors.CeilingExceeded(room=page.room, required=amount))

    @property
    def _is_void(self) -> bool:
        """True when the operation at hand will have done nothing."""
        return self._writes_through and bool(self.refusals)

    def _page(self, key: Key) -> Page | None:
        """Return the page to write on; accounts of the world have none."""
        if key.is_world:
            return None
        if self._writes_through:
            self._touched[key.id] = self._desk.open(key)
            return self._touched[key.id]
        page = self.pages.get(key.id)
        if page is None:
            page = self.pages[key.id] = self._desk.open(key).copy()
        return page

    def _lot_id(self, place: Place, credited_at: datetime) -> UUID:
        return accounts.lot_id(
            batch_id=place.batch_id,
            operation_index=place.operation_index,
            credited_at=credited_at,
        )

    def _refuse(self, refusal: errors.LedgerRefusal) -> None:
        rank = _RANKS[type(refusal)]
        self.refusals.append((rank, self._place.operation_index, refusal))


def _spendable(page: Page, now: datetime) -> tuple[int, list[Lot]]:
    """Return how much may be taken from a page, and from which lots, in order."""
    if page.asset.lots is None:
        return page.above_floor, []
    lots = page.spendable_lots(now)
    return sum(lot.remaining - lot.held for lot in lots), lots


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
