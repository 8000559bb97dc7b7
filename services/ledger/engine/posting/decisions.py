"""Deciding batches one after the other."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from services.ledger import errors
from services.ledger.engine.accounts import Key, Place
from services.ledger.engine.batches import (
    BY_LEDGER,
    Batch,
    Decision,
    Facts,
    Movement,
    OperationResult,
    Other,
    Outcome,
    Posted,
    Refused,
    Transfer,
)
from services.ledger.engine.planning import targets
from services.ledger.engine.posting import operations
from services.ledger.engine.posting.desk import Desk
from services.ledger.engine.posting.draft import Draft

#: How far a caller's clock may be ahead.
FUTURE_MAX = timedelta(minutes=1)


def post(
    facts: Facts, batches: Sequence[Batch], *, now: datetime, due: Iterable[Key] = ()
) -> Outcome:
    """Decide batches one after the other, each seeing what those before it did.

    On the accounts in `due`, expiries are booked whether or not a batch touches them. The facts
    hold what `plan` asked for. Refusals are decisions, not exceptions.
    """
    desk = Desk(facts, now, looked_back_at={place.batch_id for place in targets(batches)})
    for key in due:
        desk.sweep(key)
    decisions = [_decide(desk, batch) for batch in batches]
    return Outcome(decisions, desk.changes())


def _decide(desk: Desk, batch: Batch) -> Decision:
    """Decide one batch; only a posted one leaves anything behind."""
    if batch.occurred_at > desk.now + FUTURE_MAX:
        return Refused(batch, errors.OccurredInFuture(), BY_LEDGER)
    if not batch.independent:
        return _decide_all(desk, batch)
    if all(isinstance(operation, Transfer) for operation in batch.operations):
        return _decide_transfers(desk, batch)
    return _decide_each(desk, batch)


def _decide_all(desk: Desk, batch: Batch) -> Decision:
    """Decide operations that stand or fall together."""
    draft = Draft(desk, batch)
    for index, operation in enumerate(batch.operations):
        operations.apply(draft, index, operation)
    if draft.refusals:
        draft.discard()
        _, index, refusal = min(draft.refusals, key=lambda found: found[:2])
        return Refused(batch, refusal, index)
    draft.expire()
    draft.keep()
    balances = tuple(page.view(desk.now) for page in draft.pages.values())
    return Posted(batch, tuple(draft.results), tuple(draft.movements), balances)


def _decide_transfers(desk: Desk, batch: Batch) -> Decision:
    """Decide transfers each for itself, in one draft."""
    draft = Draft(desk, batch, writes_through=True)
    for index, operation in enumerate(batch.operations):
        operations.apply(draft, index, operation)
        draft.settle()
    draft.keep()
    return Posted(batch, tuple(draft.results), tuple(draft.movements), ())


def _decide_each(desk: Desk, batch: Batch) -> Decision:
    """Decide operations each for itself, in as many drafts."""
    results: list[OperationResult] = []
    movements: list[Movement] = []
    for index, operation in enumerate(batch.operations):
        draft = Draft(desk, batch)
        operations.apply(draft, index, operation)
        if draft.refusals:
            draft.discard()
            draft.settle()
            desk.targets[Place(batch.id, index)] = Other()
        else:
            draft.expire()
            draft.keep()
            movements += draft.movements
        results += draft.results[-1:]
    return Posted(batch, tuple(results), tuple(movements), ())
