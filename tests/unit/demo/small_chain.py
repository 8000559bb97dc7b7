"""A small chain without servers: the tills' plan, decided by the engine over balances in a dict."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from services.promotions import engine
from services.promotions.wire import rules as wire_rules
from tools.demo import catalogue, dataset
from tools.demo.coupons import Coupons
from tools.demo.dataset import Calendar
from tools.demo.households import Households
from tools.demo.plan import Plan
from tools.demo.program import Offer

CALENDAR = Calendar.ending_before(date(2026, 11, 22))
START_TIME = datetime(2017, 1, 1) + CALENDAR.shift  # noqa: DTZ001  wall-clock of the stores
ZONE = ZoneInfo(dataset.TIME_ZONE)


@dataclass
class Ledger:
    """Balances by what they are of: points, uses, budgets, coupons."""

    points: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    uses: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    coupons: dict[tuple[str, int], int] = field(default_factory=dict)
    budgets: dict[str, int] = field(default_factory=dict)


@dataclass
class Chain:
    """The engine's decisions for every sale and every return of a plan."""

    plan: Plan
    people: Households
    coupons: Coupons
    offers: list[Offer]
    ledger: Ledger = field(default_factory=Ledger)
    sales: dict[int, engine.Decision] = field(default_factory=dict)
    returns: dict[int, engine.ReturnDecision] = field(default_factory=dict)

    def rows_of_gives(self) -> Iterator[tuple[int, str, str, int]]:
        for basket_id, decision in self.sales.items():
            for line in decision.lines:
                for part in line.parts:
                    if part.discount_minor:
                        yield basket_id, line.line_id, part.campaign_id, part.discount_minor

    def rows_of_earns(self) -> Iterator[tuple[int, str, int]]:
        for basket_id, decision in self.sales.items():
            for earning in decision.earnings:
                yield basket_id, earning.campaign_id, earning.points


class Till:
    """Decides the steps of a plan one after the other."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._ruleset = engine.compile(
            [
                engine.Campaign(offer.key, 1, wire_rules.parse_rules(offer.rules))
                for offer in chain.offers
            ],
            version=1,
        )
        self._articles = _articles()
        self._formats = dict(catalogue.read().stores.select("store_id", "format_id").rows())
        members = chain.people.segments.group_by("household_id").agg("segment_id")
        self._segments = {row[0]: frozenset(row[1]) for row in members.rows()}
        self._sales = {row["basket_id"]: row for row in chain.plan.sales.rows(named=True)}
        self._lines = {
            key[0]: part.rows(named=True)
            for key, part in chain.plan.lines.partition_by("basket_id", as_dict=True).items()
        }
        self._kept: dict[int, tuple[engine.Cart, engine.Facts, datetime]] = {}
        for offer in chain.offers:
            if offer.rules.limits.budget_minor:
                chain.ledger.budgets[offer.key] = offer.rules.limits.budget_minor
            for household in offer.granted_to:
                chain.ledger.coupons[offer.key, household] = 1

    def run(self) -> None:
        steps = self._chain.plan.steps.select("basket_id", "kind").rows()
        for basket_id, kind in steps:
            if kind == "sale":
                self._sell(basket_id)
            elif kind == "void":
                self._undo(basket_id)
            else:
                self._take_back(basket_id)

    def _sell(self, basket_id: int) -> None:
        sale = self._sales[basket_id]
        now = sale["occurred_time"].astimezone(ZONE)
        cart = self._cart(sale, points_payment_minor=0)
        facts = self._facts(sale, cart)
        decision = engine.evaluate(self._ruleset, cart, facts, now=now)
        payment = decision.points_payment_max_minor * sale["points_share_percent"] // 100
        if payment:
            cart = self._cart(sale, points_payment_minor=payment)
            decision = engine.evaluate(self._ruleset, cart, facts, now=now)
        self._kept[basket_id] = cart, facts, now
        self._chain.sales[basket_id] = decision
        household = sale["household_id"]
        self._chain.ledger.points[household] += decision.points_earned - decision.points_spent
        self._charge(household, decision, sign=1)

    def _undo(self, basket_id: int) -> None:
        decision = self._chain.sales[basket_id]
        household = self._sales[basket_id]["household_id"]
        self._chain.ledger.points[household] -= decision.points_earned - decision.points_spent
        self._charge(household, decision, sign=-1)

    def _take_back(self, basket_id: int) -> None:
        cart, facts, now = self._kept[basket_id]
        decision = self._chain.sales[basket_id]
        lines = self._chain.plan.returns.filter(pl.col("basket_id") == basket_id)
        back = engine.price_return(
            self._ruleset,
            cart,
            facts,
            decision,
            now=now,
            returned=dict(lines.select("line_id", "quantity_thousandths").rows()),
        )
        household = self._sales[basket_id]["household_id"]
        points = self._chain.ledger.points
        points[household] += back.points_restored
        points[household] -= min(back.points_clawed_back, points[household])
        if back.complete:
            self._charge(household, decision, sign=-1)
        self._chain.returns[basket_id] = back

    def _charge(self, household: int, decision: engine.Decision, *, sign: int) -> None:
        ledger = self._chain.ledger
        for charge in decision.charges:
            key = charge.campaign_id
            ledger.uses[key, 0] += sign
            ledger.uses[key, household] += sign
            if charge.personal:
                ledger.coupons[key, household] -= sign
            if charge.budget_minor:
                ledger.budgets[key] -= sign * charge.budget_minor

    def _cart(self, sale: dict[str, Any], *, points_payment_minor: int) -> engine.Cart:
        return engine.Cart(
            store_id=sale["store_id"],
            channel=engine.Channel[sale["channel"].removeprefix("CHANNEL_")],
            currency_code=dataset.CURRENCY,
            lines=tuple(
                engine.CartLine(
                    line["line_id"],
                    line["sku"],
                    line["quantity_thousandths"],
                    line["unit_price_minor"],
                )
                for line in self._lines[sale["basket_id"]]
            ),
            coupon_codes=tuple(sale["codes"]),
            points_payment_minor=points_payment_minor,
        )

    def _facts(self, sale: dict[str, Any], cart: engine.Cart) -> engine.Facts:
        household = sale["household_id"]
        member = engine.Member(
            member_id=str(household),
            segment_ids=self._segments.get(household, frozenset()),
            points_balance=self._chain.ledger.points[household],
        )
        return engine.Facts(
            store=engine.Store(format_id=self._formats[sale["store_id"]]),
            articles={
                line.sku: self._articles[line.sku]
                for line in cart.lines
                if line.sku in self._articles
            },
            member=member if sale["known"] else None,
            remaining={
                offer.key: self._remaining(offer, household) for offer in self._chain.offers
            },
            terms=engine.PointsTerms(payment_share_max_basis_points=5_000),
        )

    def _remaining(self, offer: Offer, household: int) -> engine.Remaining:
        ledger, limits = self._chain.ledger, offer.rules.limits
        return engine.Remaining(
            uses=limits.uses_max - ledger.uses[offer.key, 0],
            member_uses=limits.uses_per_member_max - ledger.uses[offer.key, household],
            budget_minor=ledger.budgets.get(offer.key),
            coupons=ledger.coupons.get((offer.key, household), 0),
        )


def _articles() -> dict[str, engine.Article]:
    return {
        row["sku"]: engine.Article(
            category_ids=frozenset(
                filter(None, (row["department_id"], row["category_path"], row["type_path"]))
            ),
            brand=row["brand"] or "",
            tags=frozenset(row["tags"]),
            weighed=row["weighed"],
            earning_excluded=row["earning_excluded"],
            points_payment_excluded=row["points_payment_excluded"],
        )
        for row in catalogue.read().products.rows(named=True)
    }
