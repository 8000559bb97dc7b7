"""What programs pay reaches the ledger: in order, and once, whoever dies in between."""

import asyncio
from contextlib import suppress

import structlog
from tessera.ledger.v1 import batch_pb2

from services.chassis import database, tasks
from services.promotions import storage
from services.promotions.peers.ledger import Ledger

_ROWS_MAX = 100
_IDLE_S = 0.5

log = structlog.get_logger()


class Payouts:
    """Posts what programs pay; of all processes one does."""

    def __init__(self, db: database.Database, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Say that something was written: it is posted at once, if this process is the one."""
        self._nudged.set()

    async def run(self) -> None:
        """Post until cancelled."""
        await tasks.alone(self._db, "promotions.payouts", lambda _: self._work())

    async def _work(self) -> None:
        self._nudged.clear()
        if await self.sweep() < _ROWS_MAX:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), _IDLE_S)

    async def sweep(self) -> int:
        """Post what waits; return how much that was."""
        found = await storage.payouts.pending(self._db, count_max=_ROWS_MAX)
        for payout in found:
            batch = batch_pb2.Batch.FromString(payout.batch)
            result = await self._ledger.post(batch)
            posted = result.state == batch_pb2.BATCH_STATE_POSTED
            if not posted:
                log.error("a program's payout was refused", batch=str(batch), why=str(result))
            state = storage.payouts.POSTED if posted else storage.payouts.REFUSED
            await storage.payouts.finish(self._db, payout.batch_id, state=state)
        return len(found)
