"""Keeping this process up to date: told by PostgreSQL, and asking in case it was not told."""

import asyncio

import structlog

from services.chassis import database, errors
from services.promotions import catalogue, rulesets, storage
from services.promotions.programs.book import Book

log = structlog.get_logger()


class News:
    """Brings catalogue, rule set and programs of this process to the latest versions."""

    def __init__(
        self,
        db: database.Database,
        goods: catalogue.Catalogue,
        sets: rulesets.Rulesets,
        book: Book,
        *,
        interval_s: float,
    ) -> None:
        self._db = db
        self._goods = goods
        self._sets = sets
        self._book = book
        self._interval_s = interval_s
        self._refreshing = asyncio.Lock()

    async def begin(self) -> None:
        """Learn everything there is; waits for PostgreSQL as long as it takes."""
        while True:
            try:
                return await self.refresh()
            except errors.Refusal as error:
                log.warning("no catalogue yet", error=str(error))
            await asyncio.sleep(self._interval_s)

    async def refresh(self) -> None:
        """Take over what is new; returns when this process knows all that was committed before."""
        async with self._refreshing:
            catalogue_version, ruleset_version = await storage.news.heads(self._db)
            if catalogue_version > self._goods.version:
                changes = await storage.catalogue.changes(self._db, after=self._goods.version)
                self._goods.apply(
                    version=changes.version,
                    categories=changes.categories,
                    products=changes.products,
                    stores=changes.stores,
                )
            if ruleset_version > self._sets.current.version:
                await self._sets.refresh()
            await self._book.refresh()

    async def listen(self) -> None:
        """Refresh whenever PostgreSQL says that something changed."""
        await self._db.listen(storage.news.CHANNEL, self._heard)

    async def poll(self) -> None:
        """Refresh every so often, for what was said while nobody listened."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self._heard("")

    async def _heard(self, _payload: str) -> None:
        try:
            await self.refresh()
        except errors.Refusal as error:
            log.warning("no news", error=str(error))
