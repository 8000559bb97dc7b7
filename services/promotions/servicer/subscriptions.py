"""SubscriptionService: members who pay for belonging."""

from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

import grpc
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    program_pb2,
    subscription_pb2,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)

from services.chassis import clock, database, differences, ids, outbox, timestamps
from services.promotions import errors, storage
from services.promotions.engine import programs as engine
from services.promotions.peers.identity import Identity
from services.promotions.storage.programs import Program, Version
from services.promotions.storage.subscriptions import Payment, Subscription
from services.promotions.wire import pages, programs, times

Context = grpc.aio.ServicerContext[Any, Any]

_LIST_MAX = 100
_PAGES = "dueRenewals"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as somebody has begun it: the version that holds, and that of the next period."""

    rules: engine.PlanRules
    version: int
    next_rules: engine.PlanRules
    next_version: int


class SubscriptionServicer(subscription_service_pb2_grpc.SubscriptionServiceServicer):
    """Subscribes members, notes payments, cancels."""

    def __init__(
        self, db: database.Database, identity: Identity, *, zone: tzinfo, now: clock.Clock
    ) -> None:
        self._db = db
        self._identity = identity
        self._zone = zone
        self._now = now

    async def Subscribe(
        self, request: subscription_service_pb2.SubscribeRequest, context: Context
    ) -> subscription_service_pb2.SubscribeResponse:
        """Subscribe a member to a plan."""
        await self._identity.member(member_pb2.MemberKey(member_id=request.member_id))
        async with self._db.transaction() as tx:
            await storage.standings.lock_members(tx, [request.member_id])
            made = await storage.subscriptions.find_by_request(tx, request.request_id)
            program = await self._program(tx, request.program_id, live=made is None)
            found = made[0] if made else await self._add(tx, request, program)
        if made:
            first = subscription_service_pb2.SubscribeRequest.FromString(made[1])
            if difference := differences.find_difference(first, request):
                raise errors.RequestConflict(field=difference)
        return subscription_service_pb2.SubscribeResponse(
            subscription=self._show(found, self._plan_of(program, found))
        )

    async def _add(
        self,
        tx: database.Transaction,
        request: subscription_service_pb2.SubscribeRequest,
        program: Program,
    ) -> Subscription:
        now = self._now()
        before = await storage.subscriptions.of_program(tx, request.member_id, request.program_id)
        for one in before:
            begun = self._plan_of(program, one).rules
            if engine.state_at(begun, _load(one), now) != engine.SubscriptionState.ENDED:
                raise errors.SubscriptionExists(subscription_id=one.subscription_id)
        live = program.at(engine.day_of(now, self._zone))
        plan = _read(live)
        stored = engine.subscribe(plan, with_trial=not before, now=now)
        new = Subscription(
            subscription_id=ids.new(storage.subscriptions.PREFIX),
            member_id=request.member_id,
            program_id=request.program_id,
            create_time=now,
            covered_until=stored.covered_until,
            expire_time=engine.end_of(plan, stored),
            program_version=live.version,
        )
        await storage.subscriptions.add(
            tx, new, request_id=request.request_id, request=request.SerializeToString()
        )
        await self._tell(tx, new, self._plan_of(program, new))
        return new

    async def ConfirmPayment(
        self, request: subscription_service_pb2.ConfirmPaymentRequest, context: Context
    ) -> subscription_service_pb2.ConfirmPaymentResponse:
        """Note that a period was paid for."""
        payment = Payment(
            request.payment_id, request.subscription_id, request.period, request.amount_minor
        )
        async with self._db.transaction() as tx:
            found, program = await self._lock(tx, request.subscription_id)
            if await self._is_new(tx, payment):
                found = await self._pay(tx, found, program, payment)
        return subscription_service_pb2.ConfirmPaymentResponse(
            subscription=self._show(found, self._plan_of(program, found))
        )

    async def _is_new(self, tx: database.Transaction, payment: Payment) -> bool:
        """Tell a payment from a repeated one; raises RequestConflict for an id used otherwise."""
        before = await storage.subscriptions.find_payment(tx, payment.payment_id)
        if before is None:
            return True
        for field in ("subscription_id", "period", "amount_minor"):
            if getattr(before, field) != getattr(payment, field):
                raise errors.RequestConflict(field=field)
        return False

    async def _pay(
        self,
        tx: database.Transaction,
        found: Subscription,
        program: Program,
        payment: Payment,
    ) -> Subscription:
        now, stored, plan = self._now(), _load(found), self._plan_of(program, found)
        if engine.state_at(plan.rules, stored, now) == engine.SubscriptionState.ENDED:
            raise errors.SubscriptionEnded(subscription_id=found.subscription_id)
        if payment.period != stored.period + 1:
            raise errors.PaymentPeriod(period=stored.period + 1)
        if payment.amount_minor != plan.next_rules.fee_minor:
            raise errors.PaymentAmount(fee_minor=plan.next_rules.fee_minor)
        if not await storage.subscriptions.add_payment(tx, payment, now=now):
            raise errors.RequestConflict(field="subscription_id")
        paid = engine.pay(plan.next_rules, stored, zone=self._zone, now=now)
        renewed = replace(found, program_version=plan.next_version)
        return await self._save(tx, renewed, program, paid)

    async def CancelSubscription(
        self, request: subscription_service_pb2.CancelSubscriptionRequest, context: Context
    ) -> subscription_service_pb2.CancelSubscriptionResponse:
        """Cancel a subscription, at once or when what is paid for ends."""
        async with self._db.transaction() as tx:
            found, program = await self._lock(tx, request.subscription_id)
            now, stored = self._now(), _load(found)
            plan = self._plan_of(program, found)
            if engine.state_at(plan.rules, stored, now) == engine.SubscriptionState.ENDED:
                raise errors.SubscriptionEnded(subscription_id=found.subscription_id)
            cancelled = engine.cancel(stored, at_once=request.at_once, now=now)
            if cancelled != stored:
                found = await self._save(tx, found, program, cancelled)
        return subscription_service_pb2.CancelSubscriptionResponse(
            subscription=self._show(found, self._plan_of(program, found))
        )

    async def _save(
        self,
        tx: database.Transaction,
        found: Subscription,
        program: Program,
        changed: engine.Subscription,
    ) -> Subscription:
        new = replace(
            found,
            period=changed.period,
            anchor=changed.anchor,
            covered_until=changed.covered_until,
            cancel_time=changed.cancel_time,
            end_time=changed.end_time,
            expire_time=engine.end_of(self._plan_of(program, found).rules, changed),
        )
        await storage.subscriptions.save(tx, new)
        await self._tell(tx, new, self._plan_of(program, new))
        return new

    async def _tell(self, tx: database.Transaction, found: Subscription, plan: Plan) -> None:
        now = self._now()
        told = programs.tell_subscription(self._show(found, plan), now=now)
        await outbox.append(tx, told)

    async def GetSubscription(
        self, request: subscription_service_pb2.GetSubscriptionRequest, context: Context
    ) -> subscription_service_pb2.GetSubscriptionResponse:
        """Read a subscription."""
        found = await storage.subscriptions.find(self._db, request.subscription_id)
        if found is None:
            raise errors.SubscriptionNotFound(subscription_id=request.subscription_id)
        (shown,) = await self._show_all([found])
        return subscription_service_pb2.GetSubscriptionResponse(subscription=shown)

    async def ListSubscriptions(
        self, request: subscription_service_pb2.ListSubscriptionsRequest, context: Context
    ) -> subscription_service_pb2.ListSubscriptionsResponse:
        """List a member's subscriptions, newest first."""
        found = await storage.subscriptions.of_member(
            self._db, request.member_id, count_max=_LIST_MAX
        )
        return subscription_service_pb2.ListSubscriptionsResponse(
            subscriptions=await self._show_all(found)
        )

    async def ListDueRenewals(
        self, request: subscription_service_pb2.ListDueRenewalsRequest, context: Context
    ) -> subscription_service_pb2.ListDueRenewalsResponse:
        """List what is to be charged, the earliest end of cover first."""
        count = pages.count(request.page_size)
        found = await storage.subscriptions.due(
            self._db,
            before=times.read(request.before_time, field="before_time"),
            now=self._now(),
            after=pages.position(_PAGES, request.page_token, pages.subscription),
            count_max=count + 1,
        )
        response = subscription_service_pb2.ListDueRenewalsResponse(
            subscriptions=await self._show_all(found[:count])
        )
        if len(found) > count:
            last = found[count - 1]
            assert last.covered_until is not None
            response.next_page_token = pages.token(_PAGES, last.covered_until, last.subscription_id)
        return response

    async def _lock(
        self, tx: database.Transaction, subscription_id: str
    ) -> tuple[Subscription, Program]:
        found = await storage.subscriptions.lock(tx, subscription_id)
        if found is None:
            raise errors.SubscriptionNotFound(subscription_id=subscription_id)
        return found, await self._program(tx, found.program_id, live=False)

    async def _program(self, db: database.Queryable, program_id: str, *, live: bool) -> Program:
        """Return a plan; raises ProgramNotFound or, when it must be `live`, ProgramEnded."""
        program = await storage.programs.find(db, program_id)
        rules = program_pb2.ProgramRules.FromString(program.newest.rules if program else b"")
        if program is None or rules.WhichOneof("kind") != "plan":
            raise errors.ProgramNotFound(program_id=program_id)
        if live and program.state != storage.programs.LIVE:
            raise errors.ProgramEnded(program_id=program_id)
        return program

    def _plan_of(self, program: Program, one: Subscription) -> Plan:
        """Return what somebody has begun, and what the next period brings on its first day.

        Whoever has nothing yet is charged what was asked for when the subscription was made.
        """
        begun = following = program.versions[one.program_version - 1]
        if one.covered_until is not None:
            following = program.at(engine.day_of(one.covered_until, self._zone))
        return Plan(_read(begun), begun.version, _read(following), following.version)

    async def _show_all(self, found: list[Subscription]) -> list[subscription_pb2.Subscription]:
        programs_ = {
            program_id: await self._program(self._db, program_id, live=False)
            for program_id in {one.program_id for one in found}
        }
        return [self._show(one, self._plan_of(programs_[one.program_id], one)) for one in found]

    def _show(self, one: Subscription, plan: Plan) -> subscription_pb2.Subscription:
        state = engine.state_at(plan.rules, _load(one), self._now())
        return subscription_pb2.Subscription(
            subscription_id=one.subscription_id,
            member_id=one.member_id,
            program_id=one.program_id,
            plan_id=plan.rules.plan_id,
            state=subscription_pb2.SubscriptionState.ValueType(state),
            paid_periods=one.period,
            covered_until=timestamps.show(one.covered_until),
            end_time=timestamps.show(one.expire_time),
            cancel_time=timestamps.show(one.cancel_time),
            fee_minor=plan.next_rules.fee_minor,
            privileges=plan.rules.privileges,
            create_time=timestamps.show(one.create_time),
            plan_version=plan.version,
        )


def _read(version: Version) -> engine.PlanRules:
    return programs.parse_plan(program_pb2.ProgramRules.FromString(version.rules).plan)


def _load(row: Subscription) -> engine.Subscription:
    return engine.Subscription(
        row.period, row.anchor, row.covered_until, row.cancel_time, row.end_time
    )
