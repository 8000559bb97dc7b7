"""Everything that promotions keeps in PostgreSQL, one module for each part of the schema."""

from services.promotions.storage import (
    campaigns,
    catalogue,
    keys,
    news,
    payouts,
    programs,
    receipts,
    referrals,
    returns,
    searching,
    subscriptions,
)

__all__ = [
    "campaigns",
    "catalogue",
    "keys",
    "news",
    "payouts",
    "programs",
    "receipts",
    "referrals",
    "returns",
    "searching",
    "subscriptions",
]
