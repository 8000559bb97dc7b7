"""Return: goods come back, and what stays is priced again by the rules of the day of the purchase.

Returns of one purchase are priced one after the other: each holds the row of the purchase while it
is decided, and none is decided while another still waits for the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import clock, database, differences, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import engine, errors, storage
from services.promotions.catalogue import Catalogue
from services.promotions.checkout import chances, facts
from services.promotions.checkout.promises import Promises
from services.promotions.checkout.settlement import Settlement, new_batch_id
from services.promotions.peers.ledger import Ledger
from services.promotions.rulesets import Rulesets
from services.promotions.storage.keys import Key
from services.promotions.storage.receipts import Receipt
from services.promotions.storage.returns import Return
from services.promotions.wire import accounts, batches, carts, evaluations, times

#: How often a call looks again when others work on the same purchase.
_ROUNDS_MAX = 20

#: Purchases that wait for the ledger.
_ON_THE_WAY = frozenset({storage.receipts.PENDING, storage.receipts.VOIDING})

Request = checkout_service_pb2.ReturnRequest


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase, what came back of it so far, and the campaigns that it took."""

    receipt: Receipt
    returns: Sequence[Return]
    ruleset: engine.Ruleset


class Returns:
    """Takes goods back."""

    def __init__(
        self,
        db: database.Database,
        *,
        rulesets: Rulesets,
        settlement: Settlement,
        promised: Promises,
        ledger: Ledger,
        goods: Catalogue,
        owes: bool,
        ahead_s_max: int,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._goods = goods
        self._owes = owes
        self._ahead_max = timedelta(seconds=ahead_s_max)
        self._rulesets = rulesets
        self._settlement = settlement
        self._promises = promised
        self._ledger = ledger
        self._now = now

    async def give_back(self, request: Request) -> tuple[Return, bool]:
        """Record a return; return it, and whether that had happened before."""
        store_id, return_id = request.receipt_key.store_id, storage.keys.derive(request.receipt_key)
        carts.parse_returned(request)
        for _ in range(_ROUNDS_MAX):
            stored = await self._find(return_id)
            if stored is not None:
                return await self._repeat(stored, request), True
            if store_id not in self._goods.stores:
                raise errors.StoreNotFound(store_id=store_id)
            receipt, key = await self._purchase(request.receipt_id)
            self._require_after(receipt, request)
            if await self._help(receipt, key):
                continue
            if receipt.batch_id:  # from here on the ledger must answer
                await self._ledger.find_batch(receipt.batch_id)
            ruleset = await self._load_rules(receipt)
            returned = await self._try(return_id, request, key=key, ruleset=ruleset)
            if returned is not None:
                return await self._complete(returned), False
        raise chassis_errors.Contention

    async def _find(self, return_id: str) -> Return | None:
        key = await storage.keys.find(self._db, return_id)
        if key is None:
            return None
        if key.kind != storage.keys.RETURN:
            raise errors.ReceiptConflict(field="receipt_key", used_by="purchase")
        return await storage.returns.find(self._db, key)

    async def _repeat(self, stored: Return, request: Request) -> Return:
        """Return a stored return to a repeated call, having helped it to its end."""
        before = Request.FromString(stored.request)
        difference = differences.find_difference(before, request)
        if difference:
            raise errors.ReceiptConflict(field=difference)
        return await self._complete(stored)

    async def _purchase(self, receipt_id: str) -> tuple[Receipt, Key]:
        key = await storage.keys.find(self._db, receipt_id)
        if key is None or key.kind != storage.keys.PURCHASE:
            raise errors.ReceiptNotFound
        receipt = await storage.receipts.find(self._db, key)
        if receipt is None:
            raise errors.ReceiptNotFound
        return receipt, key

    def _require_after(self, receipt: Receipt, request: Request) -> None:
        """Raise ReturnBeforePurchase for what tills' clocks cannot explain."""
        moment = times.read(request.occurred_time, field="occurred_time")
        if moment + self._ahead_max < receipt.occurred_time:
            raise errors.ReturnBeforePurchase(purchase_time=receipt.occurred_time.isoformat())

    async def _help(self, receipt: Receipt, key: Key) -> bool:
        """Take to its end whatever of a purchase waits for the ledger; False when nothing does."""
        if receipt.state == storage.receipts.PENDING:
            try:
                await self._promises.complete(receipt)
            except errors.REFUSED_BY_LEDGER:
                raise errors.ReceiptNotFound from None
            return True
        if receipt.state == storage.receipts.VOIDING:
            await self._settlement.complete_void(receipt)
            return True
        for returned in await storage.returns.of_purchase(self._db, key):
            if returned.state == storage.returns.PENDING:
                await self._complete(returned)
                return True
        return False

    async def _complete(self, returned: Return) -> Return:
        if returned.state == storage.returns.COMMITTED:
            return returned
        return await self._settlement.complete_return(returned)

    async def _load_rules(self, receipt: Receipt) -> engine.Ruleset:
        """Return the campaigns that a purchase took, with their rules of that day."""
        evaluation = checkout_pb2.Evaluation.FromString(receipt.evaluation)
        wanted = evaluations.applied_campaigns(evaluation)
        revisions = await storage.campaigns.revisions(self._db, wanted) if wanted else []
        return await self._rulesets.compile(revisions, version=receipt.ruleset_version)

    async def _try(
        self, return_id: str, request: Request, *, key: Key, ruleset: engine.Ruleset
    ) -> Return | None:
        """Decide and write a return; None when something came in between.

        Raises ReceiptState, LineNotFound or ReturnExceedsBought.
        """
        async with self._db.transaction() as tx:
            receipt = await storage.receipts.lock(tx, key)
            if receipt is None or receipt.state in _ON_THE_WAY:
                return None
            returns = await storage.returns.of_purchase(tx, key)
            if any(returned.return_id == return_id for returned in returns):
                return None  # the same call was quicker: this one is a repeated one
            if receipt.state != storage.receipts.COMMITTED:
                raise errors.ReceiptState(state=receipt.state)
            if any(returned.state == storage.returns.PENDING for returned in returns):
                return None
            returned = self._decide(return_id, request, Purchase(receipt, returns, ruleset))
            if not await storage.returns.add(tx, returned):
                return None
            if returned.batch:
                return returned
            return await self._settlement.record_return(tx, returned)

    def _decide(self, return_id: str, request: Request, purchase: Purchase) -> Return:
        """Return a return as it is to be recorded."""
        priced, now = _price(request, purchase), self._now()
        occurred_time = timestamps.read(request.occurred_time)
        gifts = _gifts(purchase, priced)
        operations = _operations(purchase, priced, gifts, owes=self._owes)
        bought = batch_pb2.Batch.FromString(purchase.receipt.batch)
        restored = batches.find_restored(bought, operations)
        batch = batch_pb2.Batch(
            batch_id=new_batch_id() if operations else "",
            operations=operations,
            receipt_id=return_id,
            occurred_time=timestamps.show(min(occurred_time, now)),
        )
        document = checkout_pb2.Return(
            return_id=return_id,
            receipt_key=request.receipt_key,
            receipt_id=request.receipt_id,
            lines=request.lines,
            refund_minor=priced.refund_minor,
            points_restored=priced.points_restored,
            points_clawed_back=priced.points_clawed_back,
            gifts=request.gifts,
            gifts_deducted_minor=priced.gifts_deducted_minor,
            stamp_moves=evaluations.show_stamps(priced.stamp_moves),
            points_prices=evaluations.show_prices(priced.stamp_moves),
            gift_card_refunds=_show_gifts(purchase.receipt, gifts),
            gift_cards_not_refunded_minor=_not_refunded(purchase, priced),
            points_not_restored=priced.points_restored - restored,
            coupons_withdrawn=_withdrawn(purchase.receipt) if priced.complete else (),
            prizes_withdrawn=chances.won(purchase.receipt) if priced.complete else (),
            remaining=_show_remaining(priced, purchase.receipt),
            occurred_time=request.occurred_time,
            record_time=timestamps.show(now),
        )
        return Return(
            return_id=return_id,
            purchase_time=purchase.receipt.occurred_time,
            receipt_id=request.receipt_id,
            number=len(purchase.returns) + 1,
            occurred_time=occurred_time,
            record_time=now,
            state=storage.returns.PENDING,
            member_id=purchase.receipt.member_id,
            request=request.SerializeToString(),
            document=document.SerializeToString(),
            empties=priced.complete,
            batch_id=batch.batch_id,
            batch=batch.SerializeToString() if operations else b"",
        )


def _price(request: Request, purchase: Purchase) -> engine.ReturnDecision:
    """Return what a return gives and takes; raises LineNotFound or ReturnExceedsBought."""
    receipt = purchase.receipt
    bought = checkout_service_pb2.CommitRequest.FromString(receipt.request)
    gathered = facts.load(receipt.facts, occurred_time=receipt.occurred_time)
    evaluation = checkout_pb2.Evaluation.FromString(receipt.evaluation)
    try:
        return engine.price_return(
            purchase.ruleset,
            carts.parse_cart(bought.cart),
            gathered.facts,
            evaluations.parse_evaluation(evaluation),
            now=gathered.now,
            returned=carts.parse_returned(request),
            gifts=carts.parse_returned_gifts(request),
            before=_before(purchase.returns),
        )
    except engine.LineUnknown as error:
        raise errors.LineNotFound(line_id=error.line_id) from None
    except engine.ReturnExceeds as error:
        raise errors.ReturnExceedsBought(
            line_id=error.line_id, remaining_thousandths=error.remaining_thousandths
        ) from None
    except engine.GiftUnknown as error:
        raise errors.GiftNotFound(
            campaign_id=error.campaign_id, sku=error.sku, remaining_units=error.remaining_units
        ) from None


def _before(returns: Sequence[Return]) -> engine.ReturnedSoFar:
    """Return what came back so far. What was due counts, whether or not it could be recovered."""
    quantities: dict[str, int] = {}
    gifts: dict[tuple[str, str], int] = {}
    stamps: dict[tuple[str, str], tuple[int, int]] = {}
    refund_minor = restored = clawed_back = 0
    for returned in returns:
        told = checkout_pb2.Return.FromString(returned.document)
        for line in told.lines:
            before = quantities.get(line.line_id, 0)
            quantities[line.line_id] = before + line.quantity_thousandths
        refund_minor += told.refund_minor
        restored += told.points_restored
        clawed_back += told.points_clawed_back
        for gift in told.gifts:
            key = (gift.campaign_id, gift.sku)
            gifts[key] = gifts.get(key, 0) + gift.units
        for move in evaluations.parse_moves(told):
            earned, spent = stamps.get((move.campaign_id, move.card), (0, 0))
            stamps[move.campaign_id, move.card] = (earned + move.earned, spent + move.spent)
    return engine.ReturnedSoFar(
        quantities=tuple(quantities.items()),
        refund_minor=refund_minor,
        points_restored=restored,
        points_clawed_back=clawed_back,
        gifts=tuple((*key, units) for key, units in sorted(gifts.items())),
        stamps=tuple(engine.StampMove(*key, *moved) for key, moved in sorted(stamps.items())),
    )


def _operations(
    purchase: Purchase, priced: engine.ReturnDecision, gifts: Mapping[int, int], *, owes: bool
) -> list[batch_pb2.Operation]:
    if not purchase.receipt.batch:
        return []
    return batches.build_return(
        batch_pb2.Batch.FromString(purchase.receipt.batch),
        purchase.receipt.moved,
        undone=_undone(purchase),
        value=batches.ReturnedValue(
            points_restored=priced.points_restored,
            points_clawed_back=priced.points_clawed_back,
            losses=_losses(purchase, priced),
            complete=priced.complete,
            gifts=gifts,
            stamp_moves=priced.stamp_moves,
        ),
        owes=owes,
        drawn=chances.drawn(purchase.receipt),
    )


def _undone(purchase: Purchase) -> dict[int, int]:
    earlier = [
        batch_pb2.Batch.FromString(returned.batch)
        for returned in purchase.returns
        if returned.batch
    ]
    return batches.sum_undone(earlier)


def _gifts(purchase: Purchase, priced: engine.ReturnDecision) -> dict[int, int]:
    """Return what goes back to gift cards, by operation: they get their money first."""
    return batches.spread_refund(
        batch_pb2.Batch.FromString(purchase.receipt.batch),
        purchase.receipt.moved,
        undone=_undone(purchase),
        refund_minor=priced.refund_minor,
    )


def _not_refunded(purchase: Purchase, priced: engine.ReturnDecision) -> int:
    """Return what of a refund gift cards had paid by the receipt alone."""
    receipt = purchase.receipt
    bought = checkout_service_pb2.CommitRequest.FromString(receipt.request)
    paid_minor = sum(one.amount_minor for one in bought.gift_card_payments)
    if not paid_minor:
        return 0
    return batches.find_not_refunded(
        batch_pb2.Batch.FromString(receipt.batch),
        receipt.moved,
        paid_minor=paid_minor,
        before_minor=_before(purchase.returns).refund_minor,
        refund_minor=priced.refund_minor,
    )


def _show_gifts(receipt: Receipt, gifts: Mapping[int, int]) -> list[checkout_pb2.GiftCardPayment]:
    """Return what goes back to each card: once, however often it had been given as payment."""
    operations = batch_pb2.Batch.FromString(receipt.batch).operations
    by_card: dict[str, int] = {}
    for index, amount in gifts.items():
        card_id = operations[index].transfer.debit.owner_id
        by_card[card_id] = by_card.get(card_id, 0) + amount
    return [
        checkout_pb2.GiftCardPayment(card_id=card_id, amount_minor=amount)
        for card_id, amount in by_card.items()
    ]


def _withdrawn(receipt: Receipt) -> list[checkout_pb2.CouponGrant]:
    """Return the coupons for later that a purchase brought its member."""
    given = {
        (operation.transfer.campaign_id, operation.transfer.asset_code)
        for operation in batch_pb2.Batch.FromString(receipt.batch).operations
        if batches.is_coupon_grant(operation)
    }
    return [
        grant
        for grant in checkout_pb2.Evaluation.FromString(receipt.evaluation).coupon_grants
        if (grant.campaign_id, accounts.coupon_asset(grant.coupon_campaign_id)) in given
    ]


def _losses(purchase: Purchase, priced: engine.ReturnDecision) -> dict[str, int]:
    """Return by how much less each campaign gives than before this return, in points."""
    if purchase.returns:
        latest = checkout_pb2.Return.FromString(purchase.returns[-1].document).remaining
    else:
        latest = checkout_pb2.Evaluation.FromString(purchase.receipt.evaluation)
    losses = evaluations.points_by_campaign(latest.lines)
    for line in priced.remaining.lines if priced.remaining else ():
        for part in line.parts:
            losses[part.campaign_id] = losses.get(part.campaign_id, 0) - part.points
    return losses


def _show_remaining(
    priced: engine.ReturnDecision, receipt: Receipt
) -> checkout_pb2.Evaluation | None:
    if priced.remaining is None:
        return None
    return evaluations.show_decision(priced.remaining, member_id=receipt.member_id)
