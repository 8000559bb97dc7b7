"""Purchases that were promised to the till while identity or the ledger was away.

The till was answered and the goods are gone. What the shopper is due waits on disk until everybody
answers again, and then comes once: the member is found, the points are counted by the rules and for
the prices of the day, the batch is written down before it is posted. Nobody may refuse such a
purchase any more; what cannot be had is left out and told as a conflict.
"""

from dataclasses import dataclass, replace

from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.chassis import clock, database
from services.promotions import engine, errors, storage
from services.promotions.checkout import conflicts, drafts, facts
from services.promotions.checkout.facts import Collector, Gathered, Question
from services.promotions.checkout.offers import Decided
from services.promotions.checkout.settlement import Settlement
from services.promotions.rulesets import Rulesets
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import carts, evaluations
from services.promotions.wire.batches import Terms


@dataclass(frozen=True, slots=True)
class _Met:
    """A promised purchase with its shopper, or with why there is none."""

    decided: Decided
    conflicts: tuple[checkout_pb2.ReceiptConflict, ...] = ()


class Promises:
    """Takes pending purchases to their end, promised or not."""

    def __init__(
        self,
        db: database.Database,
        *,
        rulesets: Rulesets,
        collector: Collector,
        settlement: Settlement,
        terms: Terms,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._rulesets = rulesets
        self._collector = collector
        self._settlement = settlement
        self._terms = terms
        self._now = now

    async def complete(self, receipt: Receipt) -> Receipt:
        """Return a pending purchase as committed.

        Raises DependencyUnavailable while somebody is away; BenefitGone or PointsPaymentTooHigh
        when the ledger refused a purchase that was not promised.
        """
        if receipt.awaits_member:
            receipt = await self._deliver(receipt)
        if receipt.state != storage.receipts.PENDING:
            return receipt
        return await self._settlement.complete(receipt)

    async def _deliver(self, receipt: Receipt) -> Receipt:
        """Write down what a purchase gives now that the shopper can be asked for."""
        met = await self._meet(receipt)
        batch = drafts.draw_batch(
            receipt.receipt_id,
            met.decided,
            receipt.occurred_time,
            store_id=receipt.store_id,
            terms=self._terms,
            now=self._now(),
            lenient=True,
        )
        delivered = replace(
            receipt,
            member_id=met.decided.gathered.member_id,
            facts=met.decided.gathered.dump(),
            evaluation=met.decided.evaluation.SerializeToString(),
            batch_id=batch.batch_id if batch else "",
            batch=batch.SerializeToString() if batch else b"",
            conflicts=conflicts.pack([*conflicts.unpack(receipt.conflicts), *met.conflicts]),
            campaign_ids=drafts.applied(met.decided.decision),
        )
        key = storage.keys.locate(receipt.receipt_id, receipt.occurred_time)
        async with self._db.transaction() as tx:
            locked = await storage.receipts.lock(tx, key)
            if locked is None or not locked.awaits_member:
                return locked or receipt  # somebody else was faster
            await storage.receipts.deliver(tx, delivered, now=self._now())
            if batch is None:
                return await self._settlement.record_plain(tx, delivered)
        return delivered

    async def _meet(self, receipt: Receipt) -> _Met:
        request = checkout_service_pb2.CommitRequest.FromString(receipt.request)
        cart, key = carts.parse_cart(request.cart), request.cart.member_key
        if receipt.awaited_phone:
            key = member_pb2.MemberKey(phone=receipt.awaited_phone)
        ruleset = await self._rulesets.find(receipt.ruleset_version)
        kept = facts.load(receipt.facts, occurred_time=receipt.occurred_time)
        sold = engine.evaluate(ruleset, cart, kept.facts, now=kept.now)
        question = Question(
            cart=cart,
            member_key=key,
            ruleset=ruleset,
            occurred_time=receipt.occurred_time,
            is_binding=True,
            hands_out=kept.facts.hands_out,
        )
        try:
            gathered = await self._collector.collect(question)
        except (errors.MemberUnknown, errors.MemberBlocked) as refusal:
            unknown = Gathered(facts=replace(kept.facts, identity_answered=True), now=kept.now)
            return _Met(_decided(ruleset, sold, unknown), (conflict_of(refusal),))
        # What was sold rests on the facts of then, what it earns on what is known of the shopper.
        gathered = _remember(gathered, kept.facts)
        earned = engine.earn_later(ruleset, cart, gathered.facts, sold, now=gathered.now)
        return _Met(_decided(ruleset, earned, gathered))


def _remember(gathered: Gathered, kept: engine.Facts) -> Gathered:
    """Return what is known now with the goods of then, and whose the codes were that were shown."""
    shown = {name: kept.remaining[name] for name in kept.bearers if name in kept.remaining}
    facts = replace(
        gathered.facts,
        articles=kept.articles,
        codes_answered=kept.codes_answered,
        bearers={**kept.bearers, **gathered.facts.bearers},
        remaining={**gathered.facts.remaining, **shown},
    )
    return replace(gathered, facts=facts)


def conflict_of(
    refusal: errors.MemberUnknown | errors.MemberBlocked,
) -> checkout_pb2.ReceiptConflict:
    """Return the conflict of a shopper who gets nothing."""
    blocked = isinstance(refusal, errors.MemberBlocked)
    return checkout_pb2.ReceiptConflict(
        kind=checkout_pb2.CONFLICT_KIND_MEMBER_BLOCKED
        if blocked
        else checkout_pb2.CONFLICT_KIND_MEMBER_UNKNOWN
    )


def _decided(ruleset: engine.Ruleset, decision: engine.Decision, gathered: Gathered) -> Decided:
    shown = evaluations.show_decision(decision, member_id=gathered.member_id)
    return Decided(ruleset, decision, gathered, shown)


def awaits_member(cart: checkout_pb2.Cart, gathered: Gathered) -> bool:
    """Tell whether a shopper showed who they are and nobody could say whether that is so."""
    return (
        carts.member_key(cart) is not None
        and checkout_pb2.DEGRADATION_IDENTITY in gathered.degradations
    )
