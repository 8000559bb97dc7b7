"""Receipts decided again: by the rules of their day or by others, with what differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    receipt_service_pb2,
)

from services.promotions import catalogue, engine
from services.promotions.checkout import chances, facts, veils
from services.promotions.checkout.facts import Collector, Gathered, Question
from services.promotions.rulesets import Rulesets
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import carts, evaluations, times

_AMOUNTS = (
    "subtotal_minor",
    "discount_minor",
    "total_minor",
    "points_payment_minor",
    "points_payment_max_minor",
    "points_spent",
    "points_earned",
)

Request = receipt_service_pb2.RerunReceiptRequest


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a receipt got and what it would get."""

    recorded: checkout_pb2.Evaluation
    rerun: checkout_pb2.Evaluation
    #: That of the amounts.
    currency_code: str


class Reruns:
    """Decides receipts again; changes nothing."""

    def __init__(
        self, goods: catalogue.Catalogue, rulesets: Rulesets, collector: Collector
    ) -> None:
        self._goods = goods
        self._rulesets = rulesets
        self._collector = collector

    async def rerun(self, receipt: Receipt, request: Request) -> Rerun:
        """Return what a receipt would get as the request has it."""
        bought = checkout_service_pb2.CommitRequest.FromString(receipt.request)
        cart = request.cart if request.HasField("cart") else bought.cart
        parsed = carts.parse_cart(cart)
        ruleset = await self._rulesets.find(request.ruleset_version or receipt.ruleset_version)
        moment = receipt.occurred_time
        if request.HasField("occurred_time"):
            moment = times.read(request.occurred_time, field="occurred_time")
        kept = facts.load(receipt.facts, occurred_time=moment)
        is_same_shopper = _is_same_shopper(cart, bought.cart)
        if is_same_shopper and cart.store_id == bought.cart.store_id:
            gathered = self._complete(kept, parsed)
        else:
            key = carts.member_key(cart)
            if is_same_shopper and receipt.member_id:
                key = member_pb2.MemberKey(member_id=receipt.member_id)
            gathered = await self._collector.collect(
                Question(
                    cart=parsed,
                    member_key=key,
                    ruleset=ruleset,
                    occurred_time=moment,
                    is_binding=True,
                )
            )
            remaining = {**gathered.facts.remaining, **kept.facts.remaining}
            bearers = {**gathered.facts.bearers, **kept.facts.bearers}
            told = replace(gathered.facts, remaining=remaining, bearers=bearers)
            gathered = replace(gathered, facts=told)
        return Rerun(
            recorded=chances.tell(receipt),
            currency_code=bought.cart.currency_code,
            rerun=_decide(ruleset, parsed, gathered, explain_all=request.explain_all),
        )

    def _complete(self, kept: Gathered, cart: engine.Cart) -> Gathered:
        """Add what the catalogue says today of goods that were not on the receipt."""
        known, articles = kept.facts.articles, self._goods.articles
        fresh = {
            line.sku: articles[line.sku]
            for line in cart.lines
            if line.sku not in known and line.sku in articles
        }
        return replace(kept, facts=replace(kept.facts, articles={**known, **fresh}))


def _is_same_shopper(cart: checkout_pb2.Cart, bought: checkout_pb2.Cart) -> bool:
    return veils.hide_phone(cart).member_key == veils.hide_phone(bought).member_key


def _decide(
    ruleset: engine.Ruleset, cart: engine.Cart, gathered: Gathered, *, explain_all: bool
) -> checkout_pb2.Evaluation:
    decision = engine.evaluate(
        ruleset,
        cart,
        gathered.facts,
        now=gathered.now,
        explain=engine.Explain.FULL if explain_all else engine.Explain.CANDIDATES,
    )
    return evaluations.show_decision(
        decision,
        member_id=gathered.member_id,
        degradations=gathered.degradations,
        payment=evaluations.show_payment_offer(
            decision, terms=gathered.facts.terms, currency_code=cart.currency_code
        ),
    )


def find_differences(rerun: Rerun) -> list[receipt_service_pb2.RerunDifference]:
    """Return what differs between both evaluations: amounts first, then campaigns."""
    return [*_find_amounts(rerun), *_find_campaigns(rerun)]


def _find_amounts(rerun: Rerun) -> Iterator[receipt_service_pb2.RerunDifference]:
    for name in _AMOUNTS:
        before, after = getattr(rerun.recorded, name), getattr(rerun.rerun, name)
        if before != after:
            yield receipt_service_pb2.RerunDifference(
                field=name, recorded_minor=before, rerun_minor=after
            )


def _find_campaigns(rerun: Rerun) -> Iterator[receipt_service_pb2.RerunDifference]:
    before, after = _outcomes(rerun.recorded), _outcomes(rerun.rerun)
    nothing = checkout_pb2.CampaignOutcome()
    for campaign_id in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(campaign_id, nothing), after.get(campaign_id, nothing)
        if (one.reason, one.discount_minor, one.points) == (
            other.reason,
            other.discount_minor,
            other.points,
        ):
            continue
        yield receipt_service_pb2.RerunDifference(
            campaign_id=campaign_id,
            title=(other if other.campaign_id else one).title,
            recorded_reason=one.reason,
            rerun_reason=other.reason,
            recorded_minor=one.discount_minor,
            rerun_minor=other.discount_minor,
            recorded_points=one.points,
            rerun_points=other.points,
        )


def _outcomes(
    evaluation: checkout_pb2.Evaluation,
) -> Mapping[str, checkout_pb2.CampaignOutcome]:
    return {outcome.campaign_id: outcome for outcome in evaluation.outcomes}
