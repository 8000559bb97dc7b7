"""Everything that promotions keeps in PostgreSQL, one module for each part of the schema."""

from services.promotions.storage import (
    campaigns,
    catalogue,
    compensations,
    draws,
    keys,
    news,
    offers,
    payouts,
    programs,
    receipts,
    referrals,
    reservations,
    returns,
    searching,
    standings,
    subscriptions,
)

__all__ = [
    "campaigns",
    "catalogue",
    "compensations",
    "draws",
    "keys",
    "news",
    "offers",
    "payouts",
    "programs",
    "receipts",
    "referrals",
    "reservations",
    "returns",
    "searching",
    "standings",
    "subscriptions",
]
