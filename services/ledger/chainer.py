"""Chains the journal in the background: what was once written cannot be rewritten unnoticed."""

import asyncio

import structlog
from prometheus_client import Counter, Gauge

from services.chassis import database, tasks
from services.ledger.engine import journal
from services.ledger.engine.journal import Block
from services.ledger.storage import Journal

CHAINED = Counter("ledger_journal_rows", "Rows of evidence that were chained")
WAITING_SECONDS = Gauge(
    "ledger_journal_waiting_seconds", "How long the oldest batch has waited to be chained"
)

#: A block covers about as many batches and transfers at most, as long as one transaction has less.
_ROWS_MAX = 10_000
#: How many transactions a block spans at first; many were other roles' and wrote nothing here.
_SPAN = 256
#: How often the head is logged: whoever keeps logs elsewhere keeps anchors, in seconds.
_TELL_S = 60.0

log = structlog.get_logger()


class Chainer:
    """Appends blocks to the chain, of all processes one at a time."""

    def __init__(self, source: database.Database, blocks: Journal, *, interval_s: float) -> None:
        self._source = source
        self._journal = blocks
        self._interval_s = interval_s
        self._span = _SPAN
        self._scanned = 0
        self._told_at = 0.0

    async def run(self) -> None:
        """Chain again and again until cancelled; outages are waited out."""
        await tasks.alone(self._source, "ledger journal", self._work, interval_s=self._interval_s)

    async def _work(self, session: database.Queryable) -> None:
        await self._journal.prepare(session)
        head = await self.chain(session)
        self._tell(head)
        WAITING_SECONDS.set(await self._journal.waiting_s(session, head))

    async def chain(self, session: database.Queryable) -> Block | None:
        """Chain everything that is complete by now; return the last block."""
        head = await self._journal.head(session)
        horizon = await self._journal.horizon(session)
        if head is not None and head.end > horizon:
            # A copy of the tables in a server that counts from elsewhere; see the runbook.
            log.error("the server's transactions are behind the journal", block=head.number)
            return head
        # What was found empty before is complete, and still empty.
        start = max(self._scanned, head.end if head else 0)
        while start < horizon:
            end = min(start + self._span, horizon)
            if end - start > 1 and await self._journal.has_more(
                session, start=start, end=end, rows=_ROWS_MAX
            ):
                self._span = (end - start) // 2
                continue
            newer_start = journal.newer_start(head, end=end)
            units = await self._journal.units(
                session, start=start, end=end, newer_start=newer_start
            )
            if units:
                head = journal.link(head, end=end, units=units)
                await self._journal.append(session, head)
                CHAINED.inc(head.count)
            if end < horizon:
                self._span *= 2
            start = self._scanned = end
        return head

    def _tell(self, head: Block | None) -> None:
        now = asyncio.get_running_loop().time()
        if head is not None and now - self._told_at > _TELL_S:
            log.info("journal head", block=head.number, root=head.root.hex())
            self._told_at = now
