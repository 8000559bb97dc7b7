"""Receipts that an installation has stored, as purchases to replay."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import polars as pl
from tessera.promotions.v1 import checkout_service_pb2

from services.chassis import config, database, timestamps
from services.promotions import engine, rulesets, storage
from services.promotions.checkout import facts
from services.promotions.config import Settings
from services.promotions.main import terms_of
from services.promotions.wire import carts
from tools.simulation.purchases import HEADS, Purchase, Source, whole

# What was voided was never sold; what came back later was.
_HEADS = """
SELECT purchases.receipt_id, purchases.purchase_time, purchases.store_id, purchases.member_id
FROM purchases
JOIN receipts ON receipts.receipt_id = purchases.receipt_id AND receipts.state = 'COMMITTED'
WHERE purchases.purchase_time >= $1 AND purchases.purchase_time < $2
ORDER BY purchases.purchase_time, purchases.receipt_id
"""
_DOCUMENTS = """
SELECT receipt_id, purchase_time, request, facts
FROM purchases
WHERE receipt_id = ANY($1::UUID[]) AND purchase_time BETWEEN $2 AND $3
"""


@dataclass(frozen=True)
class StoredChunk:
    """Some members' receipts by their names; the process that replays them reads them itself."""

    settings: config.DatabaseSettings
    heads: pl.DataFrame

    def histories(self) -> Iterator[Sequence[Purchase]]:
        """Yield members' purchases, each member's in the order of time; unknown shoppers' alone."""
        documents = asyncio.run(self._read())
        rows = self.heads.sort("member_id", "number").iter_rows(named=True)
        for member_id, heads in groupby(rows, key=lambda row: str(row["member_id"])):
            history = [_purchase(row["number"], *documents[row["receipt_id"]]) for row in heads]
            if member_id:
                yield history
            else:
                yield from ([purchase] for purchase in history)

    async def _read(self) -> dict[str, tuple[bytes, bytes]]:
        times = self.heads["occurred_time"]
        async with database.Database.open(self.settings) as db:
            rows = await db.fetch(
                _DOCUMENTS, self.heads["receipt_id"].to_list(), times.min(), times.max()
            )
        return {row["receipt_id"].hex: (row["request"], row["facts"]) for row in rows}


async def read(settings: Settings, *, start: datetime, end: datetime) -> Source:
    """Return the purchases from `start` until before `end`, by the tills' clocks."""
    async with database.Database.open(settings.database) as db:
        rows = await db.fetch(_HEADS, start, end)
    heads = pl.DataFrame(
        [
            (number, receipt.hex, time, store, member.hex if member else "")
            for number, (receipt, time, store, member) in enumerate(rows)
        ],
        schema=HEADS,
        orient="row",
    )
    return Source(
        heads=heads,
        chunks=[StoredChunk(settings.database, part) for part in whole(heads)],
        currency_code=settings.currency_code,
        terms=terms_of(settings).points,
    )


async def live(settings: Settings) -> list[engine.Campaign]:
    """Return the campaigns that are live now."""
    async with database.Database.open(settings.database) as db:
        version = await storage.campaigns.ruleset_head(db)
        revisions = await storage.campaigns.ruleset(db, version)
    return rulesets.parse(revisions or (), engine.compile((), version=0))


def _purchase(number: int, request: bytes, kept: bytes) -> Purchase:
    asked = checkout_service_pb2.CommitRequest.FromString(request)
    gathered = facts.load(kept, occurred_time=timestamps.read(asked.occurred_time))
    return Purchase(number, carts.parse_cart(asked.cart), gathered.facts, gathered.now)
