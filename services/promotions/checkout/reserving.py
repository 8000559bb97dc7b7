"""Reservations: a cart is decided, and what it takes is held until it is paid for.

The ledger holds, and gives back by itself when the time is over. The decision is kept with the
facts that it rests on, so the purchase is recorded as it was shown: its batch gives the holds back
and takes the same amounts in one piece, which nobody can come between.
"""

from datetime import timedelta

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    reservation_service_pb2,
)

from services.chassis import clock, database, ids, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import engine, errors, storage
from services.promotions.checkout import drafts, facts, permissions, veils
from services.promotions.checkout.offers import Decided
from services.promotions.checkout.promises import Promises
from services.promotions.peers.ledger import Ledger
from services.promotions.rulesets import Rulesets
from services.promotions.storage.reservations import Reservation
from services.promotions.wire import batches, carts
from services.promotions.wire.batches import Terms

Request = reservation_service_pb2.ReserveRequest


class Reserving:
    """Holds what carts take, and lets purchases have it."""

    def __init__(
        self,
        db: database.Database,
        *,
        rulesets: Rulesets,
        promised: Promises,
        ledger: Ledger,
        terms: Terms,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._rulesets = rulesets
        self._promises = promised
        self._ledger = ledger
        self._terms = terms
        self._now = now

    async def find_by_request(self, request: Request) -> Reservation | None:
        """Return the reservation that a request made before; raises RequestConflict."""
        found = await storage.reservations.find_by_request(self._db, request.request_id)
        if found is not None:
            first = Request.FromString(found.request)
            salt = found.reservation_id
            if difference := await veils.find_request_difference(first, request, salt=salt):
                raise errors.RequestConflict(field=difference)
        return found

    async def hold(
        self, request: Request, decided: Decided, *, reservation_id: str
    ) -> Reservation | None:
        """Write what was decided and hold what it takes; None when its request just did the same.

        Raises BenefitGone or PointsPaymentTooHigh when that is gone.
        """
        now, seconds = self._now(), request.time_to_live.seconds
        draft = drafts.draw_batch(
            reservation_id,
            decided,
            now,
            store_id=request.cart.store_id,
            terms=self._terms,
            now=now,
        )
        holds = batches.build_holds(draft.operations, seconds=seconds) if draft else []
        batch = batch_pb2.Batch(
            batch_id=draft.batch_id if draft else "",
            operations=holds,
            occurred_time=timestamps.show(now),
        )
        reservation = Reservation(
            reservation_id=reservation_id,
            request_id=request.request_id,
            store_id=request.cart.store_id,
            request=veils.without_phone(request).SerializeToString(),
            ruleset_version=decided.decision.ruleset_version,
            facts=decided.gathered.dump(),
            evaluation=decided.evaluation.SerializeToString(),
            batch=batch.SerializeToString() if holds else b"",
            create_time=now,
            expire_time=now + timedelta(seconds=seconds),
        )
        if not await storage.reservations.add(self._db, reservation):
            return None
        return await self.complete(reservation)

    async def complete(self, reservation: Reservation) -> Reservation:
        """Place the holds of a reservation, if they are not; raises what `hold` raises."""
        if reservation.batch:
            batch = batch_pb2.Batch.FromString(reservation.batch)
            result = await self._ledger.post(batch)
            if result.state == batch_pb2.BATCH_STATE_REFUSED:
                await storage.reservations.drop(self._db, reservation.reservation_id)
                refusal = batches.explain_refusal(batch, result.refusal, terms=self._terms)
                raise refusal or chassis_errors.Internal()
        return reservation

    async def cancel(self, reservation_id: str) -> None:
        """Give back what is held.

        Raises ReservationNotFound or, when it was sold, ReservationEnded.
        """
        found = await self._find(reservation_id)
        permissions.require_store(found.store_id)
        await self._require_unsold(found)
        if not found.batch:
            return
        holding = batch_pb2.Batch.FromString(found.batch)
        batch = batch_pb2.Batch(
            batch_id=ids.derive("bat", "cancel", reservation_id),
            operations=batches.build_voids(holding),
            occurred_time=timestamps.show(found.create_time),
        )
        result = await self._ledger.post(batch)
        if result.state == batch_pb2.BATCH_STATE_POSTED:
            return
        refusal = batches.explain_refusal(batch, result.refusal, terms=self._terms)
        if not isinstance(refusal, errors.ReservationEnded):
            raise refusal or chassis_errors.Internal()
        await self._require_unsold(await self._find(reservation_id))

    async def sell(self, reservation_id: str, *, receipt_id: str) -> None:
        """Note the receipt that a reservation was sold with."""
        await storage.reservations.sell(self._db, reservation_id, receipt_id=receipt_id)

    async def recall(
        self, receipt_id: str, request: checkout_service_pb2.CommitRequest
    ) -> tuple[Decided, checkout_pb2.Cart, list[batch_pb2.Operation]]:
        """Return what was decided for a cart, the cart as it is kept, and what ends its holds.

        From then on the reservation names the receipt, so whoever finds the purchase half way, as
        a process that stopped leaves it, knows whose it is.

        Raises ReservationNotFound, ReservationMismatch or, when its time is over or another receipt
        has it, ReservationEnded; Contention when another is just taking it.
        """
        found = await self._find(request.reservation_id)
        cart = Request.FromString(found.request).cart
        salt = found.reservation_id
        if difference := await veils.find_difference(cart, request.cart, salt=salt):
            raise errors.ReservationMismatch(field=f"cart.{difference}")
        if request.ruleset_version not in {0, found.ruleset_version}:
            raise errors.ReservationMismatch(field="ruleset_version")
        if found.receipt_id != receipt_id:
            await self._require_unsold(found)
        if found.expire_time <= self._now():
            raise errors.ReservationEnded
        if not await storage.reservations.claim(self._db, found, receipt_id=receipt_id):
            raise chassis_errors.Contention
        ruleset = await self._rulesets.find(found.ruleset_version)
        gathered = facts.load(found.facts, occurred_time=found.create_time)
        decision = engine.evaluate(
            ruleset, carts.parse_cart(cart), gathered.facts, now=gathered.now
        )
        evaluation = checkout_pb2.Evaluation.FromString(found.evaluation)
        holding = batch_pb2.Batch.FromString(found.batch)
        decided = Decided(ruleset, decision, gathered, evaluation)
        return decided, cart, batches.build_voids(holding)

    async def _find(self, reservation_id: str) -> Reservation:
        found = await storage.reservations.find(self._db, reservation_id)
        if found is None:
            raise errors.ReservationNotFound
        return found

    async def _require_unsold(self, reservation: Reservation) -> None:
        """Raise ReservationEnded when a receipt has it; one that is half way is taken to its end.

        Raises DependencyUnavailable while that cannot be.
        """
        if not reservation.receipt_id:
            return
        key = await storage.keys.find(self._db, reservation.receipt_id)
        receipt = await storage.receipts.find(self._db, key) if key else None
        if receipt is None:
            return  # it was refused, or never written
        bought = checkout_service_pb2.CommitRequest.FromString(receipt.request)
        if bought.reservation_id != reservation.reservation_id:
            return  # the key had another purchase already
        if receipt.state == storage.receipts.PENDING:
            try:
                await self._promises.complete(receipt)
            except errors.REFUSED_BY_LEDGER:
                return
        raise errors.ReservationEnded(receipt_id=reservation.receipt_id)
