"""What is on the desk between two batches."""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Key, Lot, Place
from services.ledger.engine.batches import Changes, Facts, Target
from services.ledger.engine.book import Page, Rows


class Desk:
    """The state between batches: pages and rows of those that were posted."""

    def __init__(self, facts: Facts, now: datetime, *, looked_back_at: set[UUID]) -> None:
        self.facts = facts
        self.now = now
        #: Batches whose transfers others want to undo.
        self.looked_back_at = looked_back_at
        self.targets: dict[Place, Target] = dict(facts.targets)
        self.lots: dict[UUID, Lot] = dict(facts.lots)
        #: What was made of batches that were posted, and at its end of the one at hand.
        self.rows = Rows()
        self._pages: dict[UUID, Page] = {}
        self._kept: set[UUID] = set()

    def open(self, key: Key) -> Page:
        """Return the page of an account with a running balance, with due expiries booked."""
        page = self._pages.get(key.id)
        if page is None:
            page = self._pages[key.id] = self._fresh(key)
        return page

    def copy(self, key: Key) -> Page:
        """Return such a page to write on, which replaces the desk's own when it is kept."""
        page = self._pages.get(key.id)
        return self._fresh(key) if page is None else page.copy()

    def _fresh(self, key: Key) -> Page:
        asset = self.facts.assets[key.asset_code]
        if asset.lots is not None and not accounts.keeps_lots(key, asset):
            asset = replace(asset, lots=None)
        account = self.facts.accounts.get(key.id) or accounts.opened(key, asset)
        return Page(account, asset, self.now)

    def sweep(self, key: Key) -> None:
        """Book the due expiries of an account."""
        page = self.open(key)
        if page.waiting is not None:
            self.keep({key.id: page})

    def keep(self, pages: dict[UUID, Page]) -> None:
        """Make the pages of a posted batch part of the outcome; its rows are there already."""
        for page in pages.values():
            if page.waiting is not None:
                self.rows.absorb(page.waiting)
                page.waiting = None
        self._pages.update(pages)
        self._kept.update(pages)

    def changes(self) -> Changes:
        """Return everything that has to be written."""
        pages = [self._pages[account_id] for account_id in sorted(self._kept)]
        pages = [page for page in pages if page.version != page.account.version]
        rows = self.rows
        tallies: defaultdict[Key, int] = defaultdict(int)
        for key, amount in rows.tallies:
            tallies[key] += amount
        return Changes(
            accounts=[page.written(self.now) for page in pages],
            transfers=rows.transfers,
            entries=rows.entries,
            lots_made=[lot for page in pages for lot in page.lots_made()],
            lots_changed=[pair for page in pages for pair in page.lots_changed()],
            takes=rows.takes,
            reversals=rows.reversals,
            expiries=rows.expiries,
            holds=rows.holds,
            reserves_made=[one for page in pages for one in page.reserves_kept(new=True)],
            reserves_changed=[one for page in pages for one in page.reserves_kept(new=False)],
            tallies=tallies,
        )
