"""Random load from many callers through two ledgers; afterwards everything adds up."""

import asyncio
import random

from tessera.ledger.v1 import asset_pb2, batch_pb2

from services.chassis import timestamps
from tests.integration.ledger.conftest import move, release, running, undo, world

SHORTFALLS = [
    batch_pb2.SHORTFALL_REFUSE,
    batch_pb2.SHORTFALL_TAKE_AVAILABLE,
    batch_pb2.SHORTFALL_TAKE_PENDING,
]

# What must be empty after any history.
CONTRADICTIONS = {
    "the sum over all accounts of an asset is zero": """
        SELECT accounts.asset_code, sum(held.amount)
        FROM (
            SELECT account_id, balance AS amount FROM accounts
            UNION ALL SELECT account_id, amount FROM tallies
        ) AS held
        JOIN accounts USING (account_id)
        GROUP BY accounts.asset_code HAVING sum(held.amount) <> 0
    """,
    "tallies are what transfers say": """
        SELECT account_id, tallied.amount, moved.amount
        FROM (SELECT account_id, sum(amount) AS amount FROM tallies GROUP BY account_id) AS tallied
        FULL JOIN (
            SELECT account_id, sum(amount) AS amount
            FROM (
                SELECT credit_account_id AS account_id, amount FROM transfers
                UNION ALL SELECT debit_account_id, -amount FROM transfers
            ) AS sides
            JOIN accounts USING (account_id)
            WHERE owner_type = 1
            GROUP BY account_id
        ) AS moved USING (account_id)
        WHERE COALESCE(tallied.amount, 0) <> COALESCE(moved.amount, 0)
    """,
    "a balance is the sum of its entries": """
        SELECT account_id, balance, sum(entries.amount)
        FROM accounts LEFT JOIN entries USING (account_id)
        GROUP BY account_id, balance HAVING balance <> COALESCE(sum(entries.amount), 0)
    """,
    "entries follow each other": """
        SELECT * FROM (
            SELECT account_id, version, balance_before,
                lag(balance_after, 1, 0::BIGINT) OVER history AS balance_then
            FROM entries WINDOW history AS (PARTITION BY account_id ORDER BY version)
        ) AS steps WHERE balance_before <> balance_then
    """,
    "entries are the sides of transfers": """
        SELECT batch_id, operation_index, account_id
        FROM entries JOIN transfers USING (batch_id, operation_index)
        WHERE entries.amount <> CASE
            WHEN credit_account_id = account_id THEN transfers.amount
            WHEN debit_account_id = account_id THEN -transfers.amount
            ELSE 0 END
    """,
    "a balance in lots is the sum of its lots": """
        SELECT account_id, balance, sum(remaining)
        FROM accounts JOIN assets USING (asset_code) LEFT JOIN lots USING (account_id)
        WHERE lot_policy IS NOT NULL AND owner_type <> 1
        GROUP BY account_id, balance HAVING balance <> COALESCE(sum(remaining), 0)
    """,
    "what is left of a lot is what was not taken": """
        SELECT lots.lot_id FROM lots
        LEFT JOIN lot_takes ON lot_takes.lot_id = lots.lot_id
        GROUP BY lots.lot_id, lots.amount, lots.remaining
        HAVING lots.remaining <> lots.amount - COALESCE(sum(lot_takes.amount), 0)
    """,
    "reversals stay within their transfer": """
        SELECT batch_id, operation_index FROM reversals JOIN transfers
        USING (batch_id, operation_index)
        GROUP BY batch_id, operation_index, transfers.amount
        HAVING sum(reversals.amount) > transfers.amount
            OR max(reversed_amount) <> sum(reversals.amount)
    """,
    "posted batches have their transfers, refused ones none": """
        SELECT batches.batch_id FROM batches LEFT JOIN transfers USING (batch_id)
        WHERE refused AND transfers.batch_id IS NOT NULL
    """,
    "lots that are left are found from where their account says": """
        SELECT account_id FROM accounts JOIN lots USING (account_id)
        WHERE remaining > 0 AND expire_time < COALESCE(lots_from_time, 'infinity')
    """,
}


class Crowd:
    """Callers who do whatever comes to their minds, on a few accounts."""

    def __init__(self, ledgers, members):
        self.ledgers = ledgers
        self.members = members
        self.chance = random.Random(7)
        self.sent = []
        self.answers = {}

    async def act(self):
        batch = self.chance.choice(self.sent) if self._rarely() and self.sent else self._batch()
        self.sent.append(batch)
        ledger = self.chance.choice(self.ledgers)
        result = (await ledger.send(batch))[0]
        told = (result.state, result.record_time.ToNanoseconds())
        assert self.answers.setdefault(batch.batch_id, told) == told

    def _rarely(self):
        return self.chance.random() < 0.1

    def _batch(self):
        count = self.chance.choice([1, 1, 1, 2, 3])
        occurred = timestamps.show(self.ledgers[0].now())
        operations = [self._operation() for _ in range(count)]
        return self.ledgers[0].batch(*operations, occurred_time=occurred)

    def _operation(self):
        kind = self.chance.random()
        if self.sent and kind < 0.2:
            target = self.chance.choice(self.sent)
            index = self.chance.randrange(len(target.operations))
            if kind < 0.03:
                return release(target, index)
            amount = self.chance.randint(1, 60)
            return undo(target, amount, self.chance.choice(SHORTFALLS), index)
        one, other = self.chance.sample(self.members, 2)
        amount = self.chance.randint(1, 50)
        if kind < 0.6:
            return move(world(one.asset_code), one, amount)
        if kind < 0.8 or one.asset_code != other.asset_code:
            return move(one, world(one.asset_code, "redemption"), amount, up_to=kind < 0.7)
        return move(one, other, amount)


async def test_everything_adds_up_after_a_random_load(ledger_database, valkey):
    """Sums are zero, evidence agrees with balances, copies agree with the truth."""
    async with (
        running(ledger_database, valkey.url) as first,
        running(ledger_database, valkey.url, pace_ms=0) as second,
    ):
        policy = asset_pb2.LotPolicy(time_zone="UTC", sliding=asset_pb2.SlidingExpiry(days=30))
        await first.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        await first.asset(
            "held", lot_policy=asset_pb2.LotPolicy(time_zone="UTC", pending_until_release=True)
        )
        await first.asset("lazy", lot_policy=policy)
        await first.asset("coins", floor=-30)
        codes = ("points", "held", "lazy", "coins")
        members = [first.member(code) for code in codes for _ in range(3)]
        crowd = Crowd([first, second], members)
        for _ in range(25):
            await asyncio.gather(*(crowd.act() for _ in range(24)))
        for rule, statement in CONTRADICTIONS.items():
            assert (rule, await first.db.fetch(statement)) == (rule, [])
        for member in members:
            shown = [(await one.balances(member))[0] for one in (first, second)]
            assert {balance.available + balance.pending for balance in shown} == {
                await first.truth(member)
            }
        answered = await first.db.fetchval("SELECT count(*) FROM batches")
        assert answered == len(crowd.answers)
