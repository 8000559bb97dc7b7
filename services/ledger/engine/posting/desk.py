"""What is on the desk between two batches."""

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
        self._pages: dict[UUID, Page] = {}
        self._rows = Rows()
        self._kept: set[UUID] = set()

    def open(self, key: Key) -> Page:
        """Return the page of an account with a running balance, with due expiries booked."""
        page = self._pages.get(key.id)
        if page is None:
            asset = self.facts.assets[key.asset_code]
            if asset.lots is not None and not accounts.keeps_lots(key, asset):
                asset = replace(asset, lots=None)
            account = self.facts.accounts.get(key.id) or accounts.opened(key, asset)
            page = Page(account, asset, self.now)
            self._pages[key.id] = page
        return page

    def sweep(self, key: Key) -> None:
        """Book the due expiries of an account."""
        page = self.open(key)
        if page.waiting is not None:
            self.keep({key.id: page}, Rows())

    def keep(self, pages: dict[UUID, Page], rows: Rows) -> None:
        """Make the pages and rows of a posted batch part of the outcome."""
        for page in pages.values():
            if page.waiting is not None:
                self._rows.absorb(page.waiting)
                page.waiting = None
        self._rows.absorb(rows)
        self._pages.update(pages)
        self._kept.update(pages)

    def changes(self) -> Changes:
        """Return everything that has to be written."""
        pages = [self._pages[account_id] for account_id in sorted(self._kept)]
        pages = [page for page in pages if page.version != page.account.version]
        rows = self._rows
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
            tallies=rows.tallies,
        )
