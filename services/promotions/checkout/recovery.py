"""What a stopped process left half way is taken to its end by another."""

import asyncio
from datetime import timedelta

import structlog
from prometheus_client import Counter

from services.chassis import clock, database, ids, tasks
from services.chassis import errors as chassis_errors
from services.promotions import config, storage
from services.promotions.checkout.promises import Promises
from services.promotions.checkout.settlement import Settlement
from services.promotions.storage.keys import Key

_ROWS_MAX = 100
#: How long it is remembered what an ended reservation was for.
_RESERVATIONS_KEPT = timedelta(days=1)

RECOVERED = Counter(
    "promotions_recovered", "Receipts and returns that were found half way", ["outcome"]
)

log = structlog.get_logger()


class Recovery:
    """Looks for receipts that wait for the ledger too long; of all processes one at a time."""

    def __init__(
        self,
        db: database.Database,
        settlement: Settlement,
        promised: Promises,
        settings: config.RecoverySettings,
        *,
        months: storage.keys.Months,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._promises = promised
        self._months = months
        self._settings = settings
        self._now = now

    async def run(self) -> None:
        """Recover until cancelled."""
        await tasks.alone(
            self._db,
            "promotions.recovery",
            lambda _: self._work(),
            interval_s=self._settings.interval_s,
        )

    async def _work(self) -> None:
        await self._months.prepare(self._now())
        await storage.reservations.forget(self._db, before=self._now() - _RESERVATIONS_KEPT)
        await self.sweep()

    async def sweep(self) -> int:
        """Take everything that waits too long to its end; return how many that were."""
        count = 0
        while True:
            before = self._now() - timedelta(seconds=self._settings.patience_s)
            found = await storage.keys.unfinished(self._db, before=before, count_max=_ROWS_MAX)
            # Side by side: what they ask of others is asked for all of them at once.
            done = await asyncio.gather(*map(self._recover, found))
            count += len(found)
            if len(found) < _ROWS_MAX or not all(done):
                return count

    async def _recover(self, key: Key) -> bool:
        """Tell whether a receipt has come to its end."""
        receipt_id = ids.show(storage.keys.PREFIX, key.receipt_id)
        try:
            await self._finish(key)
        except chassis_errors.Refusal as refusal:
            log.warning("not recovered", receipt_id=receipt_id, reason=refusal.reason)
            RECOVERED.labels(refusal.reason).inc()
            return False
        log.info("recovered", receipt_id=receipt_id)
        RECOVERED.labels("done").inc()
        return True

    async def _finish(self, key: Key) -> None:
        """Finish what a key stands for, unless it was finished or forgotten meanwhile."""
        if key.kind == storage.keys.RETURN:
            returned = await storage.returns.find(self._db, key)
            if returned is not None and returned.state == storage.returns.PENDING:
                await self._settlement.complete_return(returned)
            return
        receipt = await storage.receipts.find(self._db, key)
        if receipt is not None and receipt.state == storage.receipts.VOIDING:
            await self._settlement.complete_void(receipt)
        elif receipt is not None and receipt.state == storage.receipts.PENDING:
            await self._promises.complete(receipt)
