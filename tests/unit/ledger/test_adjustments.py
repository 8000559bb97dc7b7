"""Who may correct a balance alone, and who may agree."""

from datetime import timedelta
from uuid import UUID

import pytest

from services.ledger import engine, errors
from tests.unit.ledger.teller import START

State = engine.AdjustmentState


def adjustment(amount: int = 100) -> engine.Adjustment:
    return engine.Adjustment(
        UUID(int=1),
        "points",
        UUID(int=2),
        amount,
        State.PENDING,
        "",
        "mila",
        START,
        None,
        START + timedelta(days=14),
    )


@pytest.mark.parametrize(
    ("amount", "limit", "alone", "state"),
    [
        (100, (100, 100), 0, State.APPROVED),
        (-100, (100, 100), 0, State.APPROVED),
        (101, (100, 1000), 0, State.PENDING),
        (-101, (100, 1000), 0, State.PENDING),
        (100, (100, 250), 150, State.APPROVED),
        (100, (100, 250), 151, State.PENDING),
        (1, (0, 0), 0, State.PENDING),
    ],
)
def test_within_both_limits_an_operator_needs_nobody(amount, limit, alone, state):
    decided = engine.proposed(adjustment(amount), limit=engine.AdjustmentLimit(*limit), alone=alone)
    assert decided.state is state
    assert decided.decided_at == (START if state is State.APPROVED else None)


def test_a_second_person_agrees():
    """At another instant than that of the proposal, even in the same microsecond."""
    decided = engine.approved(adjustment(), by="nina", now=START)
    assert decided.state is State.APPROVED
    assert decided.decided_at is not None
    assert decided.decided_at > START


def test_nobody_agrees_with_themselves():
    with pytest.raises(errors.SameOperator):
        engine.approved(adjustment(), by="mila", now=START)


def test_whoever_proposed_may_withdraw():
    assert engine.rejected(adjustment(), now=START).state is State.REJECTED


def test_what_waited_too_long_is_over():
    """At the very instant."""
    late = START + timedelta(days=14)
    assert adjustment().at(late - timedelta(microseconds=1)).state is State.PENDING
    assert adjustment().at(late).state is State.EXPIRED
    for decide in (
        lambda: engine.approved(adjustment(), by="nina", now=late),
        lambda: engine.rejected(adjustment(), now=late),
    ):
        with pytest.raises(errors.AdjustmentDecided) as caught:
            decide()
        assert caught.value.metadata["state"] == "EXPIRED"


@pytest.mark.parametrize(
    "state", [State.APPROVED, State.POSTED, State.REFUSED, State.REJECTED, State.EXPIRED]
)
def test_what_is_decided_stays(state):
    done = engine.Adjustment(
        UUID(int=1), "points", UUID(int=2), 5, state, "", "mila", START, START, START
    )
    with pytest.raises(errors.AdjustmentDecided):
        engine.approved(done, by="nina", now=START)
    with pytest.raises(errors.AdjustmentDecided):
        engine.rejected(done, now=START)
