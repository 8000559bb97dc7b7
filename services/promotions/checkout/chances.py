"""Chances of winning at once: drawn when a purchase is recorded, told when the ledger has given.

A chance follows from the sealed seed and the id of the receipt, so nothing is decided before there
is a receipt, and a repeated call decides the same. Whether a prize was out, the ledger says: what
it gave stands in the receipt's batch.
"""

from collections.abc import Iterable
from dataclasses import replace

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import checkout_pb2

from services.chassis import clock, database
from services.promotions import engine, storage
from services.promotions.checkout.offers import Decided
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import batches, evaluations, rules

_UNDONE = frozenset({storage.receipts.VOIDED, storage.receipts.RETURNED})
_WON = checkout_pb2.INSTANT_DRAW_STATE_WON
_GONE = checkout_pb2.INSTANT_DRAW_STATE_GONE
_WITHDRAWN = checkout_pb2.INSTANT_DRAW_STATE_WITHDRAWN


class Chances:
    """Draws the chances of purchases."""

    def __init__(self, db: database.Database, *, now: clock.Clock) -> None:
        self._db = db
        self._now = now

    async def draw(self, receipt_id: str, decided: Decided) -> Decided:
        """Return what was decided with what its chances win.

        Those of a campaign whose time of drawing is over win nothing: its seed is soon told.
        """
        given = decided.decision.instant_chances
        if not given:
            return decided
        sealed = await storage.instant_wins.find(self._db, [one.campaign_id for one in given])
        drawn: list[engine.Drawn] = []
        for one in given:
            found = sealed[one.campaign_id]
            terms = engine.instant_wins.read_terms(found.terms)
            if self._now() < terms.drawn_until:
                drawn += engine.instant_wins.draw_all(
                    found.seed, terms, receipt_id=receipt_id, count=one.number
                )
        evaluation = checkout_pb2.Evaluation()
        evaluation.CopyFrom(decided.evaluation)
        evaluation.instant_draws.extend(map(evaluations.show_draw, drawn))
        decision = replace(decided.decision, instant_draws=tuple(drawn))
        return replace(decided, decision=decision, evaluation=evaluation)


def tell(receipt: Receipt) -> checkout_pb2.Evaluation:
    """Return the evaluation of a recorded purchase, with what became of its chances."""
    evaluation = checkout_pb2.Evaluation.FromString(receipt.evaluation)
    if not evaluation.instant_draws:
        return evaluation
    batch = batch_pb2.Batch.FromString(receipt.batch)
    left = {
        engine.instant_wins.parse_account(account_id): count
        for account_id, count in batches.count_prizes(batch, receipt.moved).items()
    }
    for one in evaluation.instant_draws:
        if one.prize_index < 0:
            continue
        key = (one.campaign_id, one.prize_index)
        one.state = _GONE
        if left.get(key, 0):
            left[key] -= 1
            one.state = _WITHDRAWN if receipt.state in _UNDONE else _WON
    evaluation.messages.extend(
        evaluations.show_message(message)
        for one in evaluation.instant_draws
        if one.state == _WON
        for message in engine.tell_win(
            one.campaign_id, rules.parse_text(one.title), is_handed_over=not one.points
        )
    )
    return evaluation


def won(receipt: Receipt) -> list[checkout_pb2.InstantDraw]:
    """Return the prizes that a purchase has won, as they are taken back with it."""
    found = [one for one in tell(receipt).instant_draws if one.state == _WON]
    for one in found:
        one.state = _WITHDRAWN
    return found


def ask_back(draws: Iterable[checkout_pb2.InstantDraw]) -> list[checkout_pb2.Message]:
    """Return what the cashier is told of prizes that somebody has handed over and that go back."""
    return [
        evaluations.show_message(
            engine.tell_withdrawal(one.campaign_id, rules.parse_text(one.title))
        )
        for one in draws
        if one.state == _WITHDRAWN and not one.points
    ]


def drawn(receipt: Receipt) -> frozenset[str]:
    """Return the campaigns whose chances a purchase took."""
    told: Iterable[checkout_pb2.InstantDraw] = checkout_pb2.Evaluation.FromString(
        receipt.evaluation
    ).instant_draws
    return frozenset(one.campaign_id for one in told)
