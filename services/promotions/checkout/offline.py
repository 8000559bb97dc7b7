"""Receipts that tills decided by themselves: recorded as they were, held against what we decide."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    offline_service_pb2,
)

from services.chassis import clock, database, differences
from services.chassis import errors as chassis_errors
from services.promotions import config, engine, errors, storage
from services.promotions.checkout import conflicts, drafts, promises, veils
from services.promotions.checkout.facts import Collector, Gathered, Question
from services.promotions.checkout.offers import Decided
from services.promotions.checkout.purchases import Purchases
from services.promotions.checkout.settlement import Settlement
from services.promotions.rulesets import Rulesets
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import carts, evaluations, sold, times
from services.promotions.wire.batches import Terms

Request = offline_service_pb2.RecordReceiptRequest
Conflict = checkout_pb2.ReceiptConflict

_ROUNDS_MAX = 20


@dataclass(frozen=True, slots=True)
class _Heard:
    """What we know of a purchase that has happened, and what we know better than the till did."""

    gathered: Gathered
    conflicts: tuple[Conflict, ...]


class Offline:
    """Records what happened without us."""

    def __init__(
        self,
        db: database.Database,
        settings: config.OfflineSettings,
        *,
        rulesets: Rulesets,
        collector: Collector,
        purchases: Purchases,
        settlement: Settlement,
        terms: Terms,
        months: storage.keys.Months,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._settings = settings
        self._rulesets = rulesets
        self._collector = collector
        self._purchases = purchases
        self._settlement = settlement
        self._terms = terms
        self._months = months
        self._now = now

    async def record(self, request: Request) -> tuple[Receipt, bool]:
        """Record a purchase; return it, and whether that had happened before."""
        receipt_id = storage.keys.derive(request.purchase.receipt_key)
        for _ in range(_ROUNDS_MAX):
            stored = await self._purchases.find(receipt_id)
            if stored is not None:
                done = await self._purchases.repeat(stored, request.purchase)
                if done is not None:
                    _require_lines(done, request)
                    return done, True
                continue
            receipt = await self._draw_up(receipt_id, request)
            await self._months.ensure(receipt.occurred_time, now=self._now())
            if await self._settlement.add(receipt):
                return await self._post(receipt), False
        raise chassis_errors.Contention

    async def _post(self, receipt: Receipt) -> Receipt:
        """Post it if the ledger is there; otherwise the recovery will."""
        if receipt.state != storage.receipts.PENDING:
            return receipt
        try:
            return await self._settlement.complete(receipt)
        except errors.DependencyUnavailable:
            return receipt

    async def _draw_up(self, receipt_id: str, request: Request) -> Receipt:
        """Return the purchase as it is to be recorded: the till's prices, our conflicts."""
        ruleset = await self._rulesets.find(request.purchase.ruleset_version)
        purchase, secrets = await veils.veil(request.purchase, ruleset, salt=receipt_id)
        cart = carts.parse_cart(purchase.cart)
        occurred_time = times.read(purchase.occurred_time, field="occurred_time")
        told = sold.parse(request, cart, ruleset, terms=self._terms.points)
        heard = await self._hear(purchase, cart, ruleset, occurred_time, secrets)
        facts, now = heard.gathered.facts, heard.gathered.now
        claim = engine.weigh(ruleset, cart, facts, told.lines, now=now)
        given = replace(told, charges=claim.charges, stamp_moves=claim.stamp_moves)
        ours = engine.evaluate(ruleset, cart, facts, now=now)
        is_known = bool(heard.gathered.member_id)
        found = [
            *heard.conflicts,
            *(self._question_payment(given, claim) if is_known else conflicts.of_nobody(given)),
            *await self._find_conflicts(given, ours, occurred_time),
        ]
        honoured = self._honour(given, ours, ruleset, is_known=is_known)
        shown = evaluations.show_decision(honoured, member_id=heard.gathered.member_id)
        decided = Decided(ruleset, honoured, heard.gathered, shown)
        draft = drafts.draw_up(
            receipt_id, purchase, decided, terms=self._terms, now=self._now(), lenient=True
        )
        return replace(
            draft,
            promised=draft.state == storage.receipts.PENDING,
            conflicts=conflicts.pack(found),
            given=_lines_of(request.lines).SerializeToString()
            if _find_other_line(shown, request)
            else b"",
        )

    async def _hear(
        self,
        purchase: checkout_service_pb2.CommitRequest,
        cart: engine.Cart,
        ruleset: engine.Ruleset,
        occurred_time: datetime,
        secrets: Mapping[str, str],
    ) -> _Heard:
        """Ask who the shopper is; whoever is nobody bought as one."""
        question = Question(
            cart=cart,
            member_key=carts.member_key(purchase.cart),
            ruleset=ruleset,
            occurred_time=occurred_time,
            is_binding=True,
            hands_out=False,
            secrets=secrets,
        )
        try:
            return _Heard(await self._collector.collect(question), ())
        except (errors.MemberUnknown, errors.MemberBlocked) as refusal:
            nobody = replace(question, member_key=None)
            told = promises.conflict_of(refusal)
            return _Heard(await self._collector.collect(nobody), (told,))

    def _question_payment(self, given: engine.Decision, claim: engine.Claim) -> Iterator[Conflict]:
        """Tell when points paid more than they may for such goods, whoever has how many."""
        more = given.points_payment_minor - claim.payment_max_minor
        if more > 0:
            yield Conflict(
                kind=checkout_pb2.CONFLICT_KIND_POINTS_PAYMENT_OVER,
                till_amount=given.points_payment_minor,
                centre_amount=claim.payment_max_minor,
                beyond_bounds=more > self._settings.discount_over_minor_max,
            )

    async def _find_conflicts(
        self, given: engine.Decision, ours: engine.Decision, occurred_time: datetime
    ) -> list[Conflict]:
        in_force = await storage.campaigns.ruleset_at(self._db, occurred_time)
        return [*self._compare(given, ours), *self._judge(given, in_force, occurred_time)]

    def _compare(self, given: engine.Decision, ours: engine.Decision) -> Iterator[Conflict]:
        if given.total_minor != ours.total_minor:
            lost = ours.total_minor - given.total_minor
            yield Conflict(
                kind=checkout_pb2.CONFLICT_KIND_TOTAL,
                till_amount=given.total_minor,
                centre_amount=ours.total_minor,
                beyond_bounds=lost > self._settings.discount_over_minor_max,
            )
        if given.points_earned != ours.points_earned:
            more = given.points_earned - ours.points_earned
            yield Conflict(
                kind=checkout_pb2.CONFLICT_KIND_POINTS_EARNED,
                till_amount=given.points_earned,
                centre_amount=ours.points_earned,
                beyond_bounds=more > self._settings.points_over_units_max,
            )

    def _judge(
        self, given: engine.Decision, in_force: int, occurred_time: datetime
    ) -> Iterator[Conflict]:
        if given.ruleset_version != in_force:
            yield Conflict(
                kind=checkout_pb2.CONFLICT_KIND_RULESET_OUTDATED,
                till_amount=given.ruleset_version,
                centre_amount=in_force,
            )
        yield from conflicts.late(
            occurred_time, now=self._now(), hours_max=self._settings.late_h_max
        )

    def _honour(
        self,
        given: engine.Decision,
        ours: engine.Decision,
        ruleset: engine.Ruleset,
        *,
        is_known: bool,
    ) -> engine.Decision:
        """Return what the shopper gets: the till's points within bounds, else ours; nobody none.

        Stamps and coupons for later are ours, for no till tells them.
        """
        if not is_known:
            return sold.without_member(given)
        more = given.points_earned - ours.points_earned
        is_within = more <= self._settings.points_over_units_max
        honoured = given if is_within else sold.with_points_of(given, ours)
        return sold.with_extras(honoured, ours, ruleset)


def _require_lines(stored: Receipt, request: Request) -> None:
    """Raise ReceiptConflict unless what is recorded was given on the same lines."""
    if stored.given:
        before = Request.FromString(stored.given)
        difference = differences.find_difference(before, _lines_of(request.lines))
    else:
        evaluation = checkout_pb2.Evaluation.FromString(stored.evaluation)
        difference = _find_other_line(evaluation, request)
    if difference:
        raise errors.ReceiptConflict(field=difference)


def _find_other_line(evaluation: checkout_pb2.Evaluation, request: Request) -> str:
    """Return the path of the first field in which lines differ from an evaluation's."""
    return differences.find_difference(
        _lines_of(sold.show_lines(evaluation)), _lines_of(request.lines)
    )


def _lines_of(lines: Iterable[offline_service_pb2.GivenLine]) -> Request:
    return Request(lines=lines)
