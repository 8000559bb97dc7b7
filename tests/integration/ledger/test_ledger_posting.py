"""Posting through the real server."""

from tests.integration.ledger.conftest import move, undo, world
from tessera.ledger.v1 import batch_pb2

POSTED, REFUSED = batch_pb2.BATCH_STATE_POSTED, batch_pb2.BATCH_STATE_REFUSED


async def test_a_posting_moves_and_tells(ledger):
    """The answer carries what moved and what is left."""
    anna = ledger.member()
    earned = await ledger.earn(anna, 100)
    assert (earned.state, earned.balances[0].available, earned.balances[0].version) == (
        POSTED,
        100,
        1,
    )
    spent = await ledger.spend(anna, 30)
    assert spent.operations[0].amount == 30
    assert spent.operations[0].taken[0].amount == 30
    assert await ledger.available(anna) == 70
    back = await ledger.post(undo(spent, 10))
    assert back.balances[0].available == 80
