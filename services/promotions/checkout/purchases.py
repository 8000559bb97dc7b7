"""Evaluate, Commit and Void."""

from collections.abc import Mapping
from dataclasses import replace

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    reservation_service_pb2,
)

from services.chassis import clock, database, ids, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import engine, errors, storage
from services.promotions.checkout import (
    chances,
    conflicts,
    debts,
    drafts,
    permissions,
    promises,
    standings,
    veils,
)
from services.promotions.checkout.facts import Collector, Question
from services.promotions.checkout.offers import Decided, Offers
from services.promotions.checkout.printing import Printing
from services.promotions.checkout.promises import Promises
from services.promotions.checkout.reserving import Reserving
from services.promotions.checkout.settlement import Settlement, new_batch_id
from services.promotions.peers.ledger import Ledger
from services.promotions.rulesets import Rulesets
from services.promotions.storage.receipts import Receipt
from services.promotions.storage.reservations import PREFIX as RESERVATION_PREFIX
from services.promotions.storage.reservations import Reservation
from services.promotions.wire import batches, carts, evaluations, times
from services.promotions.wire.batches import Terms

#: How often a call looks again when others work on the same key.
_ROUNDS_MAX = 20


class Purchases:
    """What happens to a cart until it is a receipt, and to a receipt that is undone."""

    def __init__(
        self,
        db: database.Database,
        *,
        rulesets: Rulesets,
        collector: Collector,
        offers: Offers,
        settlement: Settlement,
        promised: Promises,
        reserving: Reserving,
        printing: Printing,
        drawing: chances.Chances,
        ledger: Ledger,
        terms: Terms,
        late_h_max: int,
        months: storage.keys.Months,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._rulesets = rulesets
        self._collector = collector
        self._offers = offers
        self._settlement = settlement
        self._promises = promised
        self._reserving = reserving
        self._printing = printing
        self._drawing = drawing
        self._ledger = ledger
        self._terms = terms
        self._late_h_max = late_h_max
        self._months = months
        self._now = now

    async def evaluate(self, request: checkout_service_pb2.EvaluateRequest) -> Decided:
        """Return what a cart gets now, or at the moment asked for."""
        stamp = request.occurred_time if request.HasField("occurred_time") else None
        cart = carts.parse_cart(request.cart)
        question = Question(
            cart=cart,
            member_key=carts.member_key(request.cart),
            ruleset=self._rulesets.current,
            occurred_time=self._now()
            if stamp is None
            else times.read(stamp, field="occurred_time"),
            is_binding=False,
        )
        decided = await self._decide(question)
        if stamp is None:
            self._offers.keep(request.cart, decided)
        return decided

    async def reserve(self, request: reservation_service_pb2.ReserveRequest) -> Reservation:
        """Decide a cart and hold what it takes; return the reservation, made now or before.

        Raises what Evaluate and `_require_payment` raise, and what Reserving.hold raises.
        """
        for _ in range(_ROUNDS_MAX):
            found = await self._reserving.find_by_request(request)
            if found is not None:
                return await self._reserving.complete(found)
            made = await self._try_reserve(request)
            if made is not None:
                return made
        raise chassis_errors.Contention

    async def _try_reserve(
        self, request: reservation_service_pb2.ReserveRequest
    ) -> Reservation | None:
        """Decide a cart and hold what it takes; None when its request just did the same."""
        try:
            return await self._reserve(request)
        except errors.PromotionsRefusal:
            # What we miss may be what the same call, coming twice at once, has taken.
            if await self._reserving.find_by_request(request) is None:
                raise
            return None

    async def _reserve(self, request: reservation_service_pb2.ReserveRequest) -> Reservation | None:
        reservation_id, ruleset = ids.new(RESERVATION_PREFIX), self._rulesets.current
        kept, secrets = await veils.veil(request, ruleset, salt=reservation_id)
        question = Question(
            cart=carts.parse_cart(kept.cart),
            member_key=carts.member_key(request.cart),
            ruleset=ruleset,
            occurred_time=self._now(),
            is_binding=True,
            secrets=secrets,
        )
        decided = await self._decide(question)
        _require_payment(decided.decision, request.cart)
        return await self._reserving.hold(kept, decided, reservation_id=reservation_id)

    async def _decide(self, question: Question) -> Decided:
        gathered = await self._collector.collect(question)
        decision = engine.evaluate(
            question.ruleset,
            question.cart,
            gathered.facts,
            now=gathered.now,
            meeting=gathered.meeting,
        )
        gathered = replace(gathered, meeting=None)  # offers are kept, and this is big
        evaluation = evaluations.show_decision(
            decision,
            member_id=gathered.member_id,
            degradations=gathered.degradations,
            payment=evaluations.show_payment_offer(
                decision,
                terms=gathered.facts.terms,
                currency_code=question.cart.currency_code,
            ),
        )
        if gathered.membership.tiers or gathered.membership.plans:
            standings.tell(evaluation, question.cart, gathered)
        if gathered.points_debt:
            debts.tell(evaluation, gathered)
        return Decided(question.ruleset, decision, gathered, evaluation)

    async def commit(self, request: checkout_service_pb2.CommitRequest) -> tuple[Receipt, bool]:
        """Record a purchase; return it, and whether that had happened before."""
        receipt_id = storage.keys.derive(request.receipt_key)
        if request.reservation_id:
            answer = await self._commit(receipt_id, request)
            await self._reserving.sell(request.reservation_id, receipt_id=receipt_id)
            return answer
        fresh = await self._commit_offered(receipt_id, request)
        if fresh is not None:
            return fresh, False
        return await self._commit(receipt_id, request)

    async def _commit(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest
    ) -> tuple[Receipt, bool]:
        for _ in range(_ROUNDS_MAX):
            fresh = await self._try_commit(receipt_id, request)
            if fresh is not None:
                return fresh, False
            stored = await self.find(receipt_id)
            if stored is not None and (done := await self.repeat(stored, request)) is not None:
                return done, True
        raise chassis_errors.Contention

    async def _commit_offered(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest
    ) -> Receipt | None:
        """Record a purchase as it was just offered; None when it has to be decided again."""
        offered = self._offers.take(
            request.cart,
            ruleset_version=request.ruleset_version or self._rulesets.current.version,
            occurred_time=times.read(request.occurred_time, field="occurred_time"),
        )
        if offered is None or engine.unknown_codes(offered.ruleset, request.cart.coupon_codes):
            return None  # secret codes are kept in another form than they were offered in
        try:
            offered = await self._hand_out(receipt_id, offered)
        except errors.DependencyUnavailable:
            return None  # without what would be handed out it is another purchase
        try:
            return await self._record(self._draw_up(receipt_id, request, offered))
        except (errors.BenefitGone, errors.PointsPaymentTooHigh, errors.TotalChanged):
            return None  # the facts of this moment give the refusal its figures

    async def _try_commit(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest
    ) -> Receipt | None:
        """Decide and record a purchase; None when its key is in use.

        A purchase of the past may be refused by the facts of today: then, too, None.
        """
        try:
            receipt = await self._decide_receipt(receipt_id, request)
        except errors.PromotionsRefusal:
            if await storage.keys.find(self._db, receipt_id) is None:
                raise
            return None
        return await self._record(receipt)

    async def _decide_receipt(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest
    ) -> Receipt:
        """Return a purchase by the facts of this moment; promised, when somebody is away."""
        if request.reservation_id:
            decided, cart, voids = await self._reserving.recall(receipt_id, request)
            request = veils.with_cart(request, cart)
            _compare(decided.decision, request)
            decided = await self._hand_out(receipt_id, decided)
            return drafts.draw_up(
                receipt_id, request, decided, terms=self._terms, now=self._now(), first=voids
            )
        ruleset = await self._rulesets.find(request.ruleset_version)
        request, secrets = await veils.veil(request, ruleset, salt=receipt_id)
        try:
            decided = await self._hand_out(receipt_id, await self._decide_now(request, secrets))
            return self._draw_up(receipt_id, request, decided)
        except errors.DependencyUnavailable as away:
            if request.gift_card_payments:
                raise  # money is not promised
            decided = await self._decide_now(request, secrets, is_binding=False)
            if not decided.gathered.degradations:
                return self._draw_up(receipt_id, request, decided)
            try:
                receipt = self._draw_up(receipt_id, request, decided)
            except errors.PromotionsRefusal:
                raise away from None  # the till was shown what somebody away would have given
            return _promised(receipt, awaits=promises.awaits_member(request.cart, decided.gathered))

    async def _decide_now(
        self,
        request: checkout_service_pb2.CommitRequest,
        secrets: Mapping[str, str],
        *,
        is_binding: bool = True,
    ) -> Decided:
        """Return what a purchase gets by the facts of this moment.

        When it need not be binding, somebody is away and nothing is printed.
        """
        question = Question(
            cart=carts.parse_cart(request.cart),
            member_key=carts.member_key(request.cart),
            ruleset=await self._rulesets.find(request.ruleset_version),
            occurred_time=times.read(request.occurred_time, field="occurred_time"),
            is_binding=is_binding,
            hands_out=is_binding,
            secrets=secrets,
        )
        return await self._decide(question)

    async def _hand_out(self, receipt_id: str, decided: Decided) -> Decided:
        """Return what was decided with what comes with the answer: codes, and drawn chances.

        Raises DependencyUnavailable.
        """
        return await self._drawing.draw(
            receipt_id, await self._printing.prepare(receipt_id, decided)
        )

    async def printed(self, receipt: Receipt) -> list[checkout_pb2.PrintedCoupon]:
        """Return the coupons that are to be printed with a recorded purchase."""
        return await self._printing.tell(receipt)

    def _draw_up(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest, decided: Decided
    ) -> Receipt:
        """Return a purchase as it is to be recorded; raises what `_compare` raises."""
        _compare(decided.decision, request)
        return drafts.draw_up(receipt_id, request, decided, terms=self._terms, now=self._now())

    async def _record(self, receipt: Receipt) -> Receipt | None:
        """Write a purchase and post it; return it as committed, None when its key is in use."""
        now = self._now()
        if late := [*conflicts.late(receipt.occurred_time, now=now, hours_max=self._late_h_max)]:
            receipt = replace(receipt, conflicts=conflicts.pack(late))
        await self._months.ensure(receipt.occurred_time, now=now)
        if not await self._settlement.add(receipt):
            return None
        if receipt.promised:
            return receipt  # delivered by the recovery, or by whoever asks for it
        if receipt.state == storage.receipts.PENDING:
            return await self._settlement.post(receipt)
        return receipt

    async def repeat(
        self, stored: Receipt, request: checkout_service_pb2.CommitRequest
    ) -> Receipt | None:
        """Return a stored purchase to a repeated call, having helped it to its end.

        Raises ReceiptConflict for another body. None when it came to nothing and the body is
        another one, which may try its own luck.
        """
        before = checkout_service_pb2.CommitRequest.FromString(stored.request)
        salt = request.reservation_id or stored.receipt_id
        difference = await veils.find_request_difference(before, request, salt=salt)
        if stored.state == storage.receipts.PENDING:
            try:
                stored = await self._promises.complete(stored)
            except errors.REFUSED_BY_LEDGER:
                if not difference:
                    raise
                return None
            except errors.DependencyUnavailable:
                if not stored.promised:
                    raise
        if difference:
            raise errors.ReceiptConflict(field=difference)
        return stored

    async def find(self, receipt_id: str) -> Receipt | None:
        """Return a purchase in any state; raises ReceiptConflict when the key is a return's."""
        key = await storage.keys.find(self._db, receipt_id)
        if key is None:
            return None
        if key.kind != storage.keys.PURCHASE:
            raise errors.ReceiptConflict(field="receipt_key", used_by="return")
        return await storage.receipts.find(self._db, key)

    async def void(self, receipt_id: str) -> Receipt:
        """Undo a purchase; return it as voided, also when it was before."""
        for _ in range(_ROUNDS_MAX):
            receipt = await self.get(receipt_id, settled=True)
            if receipt.state == storage.receipts.COMMITTED:
                await self._probe(receipt)
                receipt = await self._begin_void(receipt)
            if receipt.state == storage.receipts.VOIDING:
                receipt = await self._settlement.complete_void(receipt)
            if receipt.state == storage.receipts.VOIDED:
                return receipt
            if receipt.state == storage.receipts.RETURNED:
                raise errors.ReceiptState(state=receipt.state)
        raise chassis_errors.Contention

    async def find_by_key(self, receipt_id: str) -> Receipt:
        """Return a recorded purchase by the id that follows from its key, or a return's of it.

        Raises what `get` raises.
        """
        key = await storage.keys.find(self._db, receipt_id)
        if key is not None and key.kind == storage.keys.RETURN:
            returned = await storage.returns.find(self._db, key)
            if returned is not None:
                receipt_id = returned.receipt_id
        return await self.get(receipt_id)

    async def get(self, receipt_id: str, *, settled: bool = False) -> Receipt:
        """Return a recorded purchase; one that waits is taken to its end first.

        While somebody is away, a promised one is returned as it is, unless it must be `settled`:
        then DependencyUnavailable is raised.

        Raises ReceiptNotFound, or StoreNotAllowed when the caller may not act for its store.
        """
        key = await storage.keys.find(self._db, receipt_id)
        if key is None or key.kind != storage.keys.PURCHASE:
            raise errors.ReceiptNotFound
        receipt = await storage.receipts.find(self._db, key)
        if receipt is None:
            raise errors.ReceiptNotFound
        permissions.require_store(receipt.store_id)
        if receipt.state == storage.receipts.PENDING:
            try:
                return await self._promises.complete(receipt)
            except errors.REFUSED_BY_LEDGER:
                raise errors.ReceiptNotFound from None
            except errors.DependencyUnavailable:
                if settled or not receipt.promised:
                    raise
        return receipt

    async def _probe(self, receipt: Receipt) -> None:
        """Make sure that the ledger answers before anything is changed."""
        if receipt.batch_id:
            await self._ledger.find_batch(receipt.batch_id)

    async def _begin_void(self, receipt: Receipt) -> Receipt:
        """Note how a purchase is to be undone, or undo it at once when nothing of value moved.

        Returns the purchase as it is then, whoever changed it.
        """
        key = storage.keys.locate(receipt.receipt_id, receipt.occurred_time)
        async with self._db.transaction() as tx:
            locked = await storage.receipts.lock(tx, key)
            if locked is None or locked.state != storage.receipts.COMMITTED:
                return locked or receipt
            returns = await storage.returns.of_purchase(tx, key)
            if returns:
                raise errors.ReceiptState(state=locked.state, return_count=len(returns))
            batch = self._undo(locked)
            if not batch.operations:
                await self._settlement.record_void(tx, locked)
                return replace(locked, state=storage.receipts.VOIDED)
            undo = batch.SerializeToString()
            await storage.receipts.begin_void(tx, locked, undo_batch=undo, now=self._now())
            return replace(locked, state=storage.receipts.VOIDING, undo_batch=undo)

    def _undo(self, receipt: Receipt) -> batch_pb2.Batch:
        batch = batch_pb2.Batch.FromString(receipt.batch)
        return batch_pb2.Batch(
            batch_id=new_batch_id(),
            operations=batches.build_undo(
                batch, receipt.moved, owes=self._terms.owes, drawn=chances.drawn(receipt)
            ),
            receipt_id=receipt.receipt_id,
            occurred_time=timestamps.show(self._now()),
        )


def _promised(receipt: Receipt, *, awaits: bool) -> Receipt:
    """Return a purchase that nobody may refuse any more; without a batch, when that must wait."""
    if awaits:
        return replace(
            receipt, state=storage.receipts.PENDING, promised=True, batch_id="", batch=b""
        )
    return replace(receipt, promised=receipt.state == storage.receipts.PENDING)


def _compare(decision: engine.Decision, request: checkout_service_pb2.CommitRequest) -> None:
    """Raise PointsPaymentTooHigh, PointsPaymentStep or TotalChanged unless it is as decided."""
    _require_payment(decision, request.cart)
    if decision.total_minor != request.expected_total_minor:
        raise errors.TotalChanged(
            total_minor=decision.total_minor, expected_total_minor=request.expected_total_minor
        )
    left = decision.total_minor - decision.points_payment_minor
    if sum(one.amount_minor for one in request.gift_card_payments) > left:
        raise errors.GiftCardPaymentTooHigh(max_minor=left)


def _require_payment(decision: engine.Decision, cart: checkout_pb2.Cart) -> None:
    """Raise PointsPaymentTooHigh or PointsPaymentStep unless points pay what the shopper chose."""
    wanted, possible = cart.points_payment_minor, decision.points_payment_max_minor
    if wanted > possible:
        raise errors.PointsPaymentTooHigh(max_minor=possible)
    if wanted != decision.points_payment_minor:
        assert decision.payment is not None
        raise errors.PointsPaymentStep(
            min_minor=decision.payment.min_minor, step_minor=decision.payment.step_minor
        )
