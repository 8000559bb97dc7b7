"""Making receipts good: points by adjustments of the ledger, in the name of whoever asks.

What is asked for is noted first, so that a call that was cut off is repeated with one outcome. The
ledger decides whether it needs a second person; what has become of it is asked until it is known.
"""

import asyncio
from dataclasses import replace

from tessera.ledger.v1 import adjustment_service_pb2

from services.chassis import auth, clock, database, ids
from services.promotions import errors, storage
from services.promotions.peers.ledger import Ledger
from services.promotions.storage.compensations import Compensation
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import accounts

#: What the ledger asks of whoever proposes.
SCOPE = "adjustments.propose"


class Compensations:
    """Proposes adjustments for receipts, and knows what has become of them."""

    def __init__(
        self,
        db: database.Database,
        ledger: Ledger,
        *,
        points_asset: str,
        units_max: int,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._points_asset = points_asset
        self._units_max = units_max
        self._now = now

    async def give(
        self, receipt: Receipt, *, request_id: str, points: int, cause: str
    ) -> Compensation:
        """Propose points for a receipt; return what has become of it. The caller has the scope.

        Raises ReceiptWithoutMember, CompensationTooHigh, RequestConflict or
        DependencyUnavailable.
        """
        if not receipt.member_id:
            raise errors.ReceiptWithoutMember
        if points > self._units_max:
            raise errors.CompensationTooHigh(max_points=self._units_max)
        wanted = Compensation(
            request_id=request_id,
            receipt_id=receipt.receipt_id,
            member_id=receipt.member_id,
            points=points,
            cause=cause,
            client_id=auth.current().client_id,
            batch_id=ids.derive("bat", "compensation", request_id),
            create_time=self._now(),
        )
        noted = await storage.compensations.note(self._db, wanted)
        for name in ("receipt_id", "points", "cause", "client_id"):
            if getattr(noted, name) != getattr(wanted, name):
                raise errors.RequestConflict(field=name)
        if not noted.is_open:
            return noted
        request = self._request(noted)
        answer = await self._ledger.propose(request, authorization=auth.authorization())
        return await self._settle(noted, answer)

    async def points_of(self, member_id: str) -> int:
        """Return what a member has available, in the asset's smallest unit."""
        account = accounts.points(member_id, self._points_asset)
        return (await self._ledger.balance(account)).available

    async def of_receipt(self, receipt_id: str) -> list[Compensation]:
        """Return what was given for a receipt or waits, oldest first.

        While the ledger is away, as it was when somebody asked last.
        """
        found = await storage.compensations.of_receipt(self._db, receipt_id)
        current = await asyncio.gather(*map(self._refresh, found))
        return [one for one in current if one.state]

    async def _refresh(self, one: Compensation) -> Compensation:
        if not one.is_open:
            return one
        try:
            answer = await self._ledger.find_adjustment(one.adjustment_id)
        except errors.DependencyUnavailable:
            return one
        return one if answer is None else await self._settle(one, answer)

    async def _settle(
        self, one: Compensation, answer: adjustment_service_pb2.Adjustment
    ) -> Compensation:
        name = adjustment_service_pb2.AdjustmentState.Name(answer.state)
        state = name.removeprefix("ADJUSTMENT_STATE_")
        if (state, answer.refusal_reason) != (one.state, one.refusal_reason):
            await storage.compensations.settle(
                self._db,
                one.request_id,
                state=state,
                refusal_reason=answer.refusal_reason,
                now=self._now(),
            )
        return replace(one, state=state, refusal_reason=answer.refusal_reason)

    def _request(self, one: Compensation) -> adjustment_service_pb2.ProposeAdjustmentRequest:
        return adjustment_service_pb2.ProposeAdjustmentRequest(
            adjustment_id=one.adjustment_id,
            account=accounts.key(accounts.points(one.member_id, self._points_asset)),
            amount=one.points,
            reason=adjustment_service_pb2.ADJUSTMENT_REASON_COMPENSATION,
            note=one.cause,
            receipt_id=one.receipt_id,
        )
