"""Points that were spent before their goods came back: through both engines, as at a till."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.ledger.v1 import batch_pb2

from services.chassis import ids, timestamps
from services.ledger import engine as ledger
from services.ledger import wire
from services.promotions import engine
from services.promotions.wire import batches
from tests.unit.ledger import teller as tellers

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
MEMBER = "mem_" + "1" * 32
ACCOUNT = tellers.member(MEMBER)


def earning(name, reward, least=0):
    rules = engine.Rules(
        title=engine.Text(name),
        rewards=(engine.Reward(reward),),
        combination=engine.Combination(engine.Lane.EARN),
        condition=engine.BasketTotal(least) if least else None,
    )
    return engine.Campaign(name, 1, rules)


#: A share of what is paid, and more above a threshold that a return may break.
RULESET = engine.compile(
    [
        earning("cmp_share", engine.EarnPercent(2_000)),
        earning("cmp_large", engine.EarnPoints(150, engine.PointsSpread.ONCE), least=1_000),
    ],
    version=1,
)


@dataclass
class Sale:
    """A purchase, what it moved, and what came back of it."""

    cart: engine.Cart
    facts: engine.Facts
    decision: engine.Decision
    batch: batch_pb2.Batch
    moved: tuple[int, ...]
    back: engine.ReturnedSoFar = field(default_factory=engine.ReturnedSoFar)
    undone: list[batch_pb2.Batch] = field(default_factory=list)
    kept: int = 0
    is_over: bool = False


class Till:
    """Sells to one member and takes back; the ledger is its engine alone."""

    def __init__(self, *, owes: bool) -> None:
        self.clerk = tellers.Teller(tellers.points())
        self.sales: list[Sale] = []
        self.owed = 0
        self.terms = batches.Terms(
            points_asset="points",
            currency_code="EUR",
            zone=ZoneInfo("UTC"),
            points=engine.PointsTerms(),
            owes=owes,
        )

    @property
    def net(self) -> int:
        """What the member has less what the member owes."""
        return self.clerk.available(ACCOUNT) - self.clerk.debt(ACCOUNT)

    def buy(self, prices: tuple[int, ...], wish: int) -> None:
        lines = tuple(
            engine.CartLine(str(place), "bread", 1_000, price) for place, price in enumerate(prices)
        )
        cart = engine.Cart("s1", engine.Channel.TILL, "EUR", lines)
        member = engine.Member(MEMBER, points_balance=self.clerk.available(ACCOUNT))
        facts = engine.Facts(store=engine.Store(), articles={}, member=member)
        offer = engine.evaluate(RULESET, cart, facts, now=NOW)
        cart = replace(cart, points_payment_minor=min(wish, offer.points_payment_max_minor))
        decision = engine.evaluate(RULESET, cart, facts, now=NOW)
        operations = batches.build_purchase(
            decision,
            ruleset=RULESET,
            member_id=MEMBER,
            store_id="s1",
            occurred_time=NOW,
            terms=self.terms,
        )
        owed = self.clerk.debt(ACCOUNT)
        batch, moved = self._post(operations)
        assert self.clerk.debt(ACCOUNT) == max(owed - decision.points_earned, 0)
        kept = decision.points_earned - decision.points_spent
        self.sales.append(Sale(cart, facts, decision, batch, moved, kept=kept))

    def give_back(self, sale: Sale, line_ids: tuple[str, ...]) -> None:
        gone = dict(sale.back.quantities)
        returned = {
            line.line_id: 1_000
            for line in sale.cart.lines
            if line.line_id in line_ids and not gone.get(line.line_id)
        }
        if sale.is_over or not returned:
            return
        priced = engine.price_return(
            RULESET, sale.cart, sale.facts, sale.decision, now=NOW, returned=returned,
            before=sale.back,
        )  # fmt: skip
        operations = batches.build_return(
            sale.batch,
            sale.moved,
            undone=batches.sum_undone(sale.undone),
            value=batches.ReturnedValue(
                points_restored=priced.points_restored,
                points_clawed_back=priced.points_clawed_back,
                losses={},
                complete=priced.complete,
            ),
            owes=self.terms.owes,
        )
        self._undo(sale, operations)
        sale.back, sale.is_over = priced.so_far, priced.complete
        left = priced.remaining
        sale.kept = left.points_earned - left.points_spent if left else 0

    def void(self, sale: Sale) -> None:
        if sale.undone or sale.is_over:
            return
        operations = batches.build_undo(sale.batch, sale.moved, owes=self.terms.owes)
        self._undo(sale, operations)
        sale.kept, sale.is_over = 0, True

    def _undo(self, sale: Sale, operations: list[batch_pb2.Operation]) -> None:
        if operations:
            batch, moved = self._post(operations)
            sale.undone.append(batch)
            self.owed += batches.find_owed(batch, moved)

    def _post(
        self, operations: list[batch_pb2.Operation]
    ) -> tuple[batch_pb2.Batch, tuple[int, ...]]:
        batch = batch_pb2.Batch(
            batch_id=ids.new("bat"), operations=operations, occurred_time=timestamps.show(NOW)
        )
        if not operations:
            return batch, ()
        (posted,) = self.clerk.group(wire.order(batch).batch)
        assert isinstance(posted, ledger.Posted), posted
        return batch, tuple(one.amount for one in posted.operations)


PRICES = st.lists(st.integers(1, 1_500), min_size=1, max_size=3).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), PRICES, st.integers(0, 2_000)),
        st.tuples(st.just("return"), st.integers(0, 9), st.sets(st.sampled_from("012")).map(tuple)),
        st.tuples(st.just("void"), st.integers(0, 9), st.just(0)),
    ),
    min_size=2,
    max_size=14,
)


def play(till, steps):
    for action, what, how in steps:
        if action == "buy":
            till.buy(what, how)
        elif till.sales:
            sale = till.sales[what % len(till.sales)]
            if action == "return":
                till.give_back(sale, how)
            else:
                till.void(sale)
        yield till.net, sum(sale.kept for sale in till.sales)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_nothing_leaves_a_shopper_better_off_than_the_purchases_kept(steps):
    """After every step the member has, less what is owed, exactly what the goods kept give."""
    till = Till(owes=True)
    for net, kept in play(till, steps):
        assert net == kept
    assert till.clerk.sum() == 0


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_what_is_forgiven_is_the_shoppers_gain(steps):
    """Nothing is owed, and nobody has less than the goods that stayed give."""
    till = Till(owes=False)
    for net, kept in play(till, steps):
        assert net >= kept
    assert till.owed == till.clerk.debt(ACCOUNT) == 0


@pytest.mark.parametrize(("owes", "net"), [(True, 0), (False, 400)])
def test_earning_spending_and_giving_back(owes, net):
    """2,000 minor units earn 550; 400 of them pay for bread, and the first goods come back."""
    till = Till(owes=owes)
    till.buy((2_000,), 0)
    assert till.net == 550
    till.buy((400,), 400)
    till.give_back(till.sales[0], ("0",))
    assert till.owed == (400 if owes else 0)
    till.buy((2_000,), 0)
    assert till.net == net + 150
