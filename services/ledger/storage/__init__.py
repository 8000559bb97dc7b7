"""Where the ledger keeps what it knows: PostgreSQL for the truth, Valkey for speed."""

from services.ledger.storage.accounts import Accounts, Act
from services.ledger.storage.adjustments import Adjustments
from services.ledger.storage.assets import Assets
from services.ledger.storage.books import Books
from services.ledger.storage.checks import Checks, Extract, Finding
from services.ledger.storage.code_keys import CodeKeys
from services.ledger.storage.copies import Copies
from services.ledger.storage.coupons import Coupons
from services.ledger.storage.gift_cards import GiftCards
from services.ledger.storage.holds import HoldCursor, HoldLine, Holds
from services.ledger.storage.households import Households
from services.ledger.storage.journal import Journal
from services.ledger.storage.liabilities import Liabilities
from services.ledger.storage.postings import Known, Postings, Stale, Tables
from services.ledger.storage.settlements import Settlements
from services.ledger.storage.statements import EntryLine, LotCursor, Statements
from services.ledger.storage.upkeep import Upkeep
from services.ledger.storage.uploads import Upload, Uploads
from services.ledger.storage.writing import StoredBatch

__all__ = [
    "Accounts",
    "Act",
    "Adjustments",
    "Assets",
    "Books",
    "Checks",
    "CodeKeys",
    "Copies",
    "Coupons",
    "EntryLine",
    "Extract",
    "Finding",
    "GiftCards",
    "HoldCursor",
    "HoldLine",
    "Holds",
    "Households",
    "Journal",
    "Known",
    "Liabilities",
    "LotCursor",
    "Postings",
    "Settlements",
    "Stale",
    "Statements",
    "StoredBatch",
    "Tables",
    "Upkeep",
    "Upload",
    "Uploads",
]
