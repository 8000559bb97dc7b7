"""The lots that operations make."""

from datetime import datetime

from services.ledger.engine import accounts, assets
from services.ledger.engine.accounts import Key, Lot
from services.ledger.engine.book import Page
from services.ledger.engine.posting.draft import Draft


def make(
    draft: Draft,
    page: Page,
    policy: assets.LotPolicy,
    amount: int,
    *,
    giver: Key,
    activates_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Put a lot on a page: with the terms given, else those of the asset's policy."""
    credited_at = draft.batch.occurred_at
    expiry_given = expires_at is not None
    if activates_at is None and expires_at is None:
        activates_at, expires_at = _terms(draft, page.asset.code, policy)
    else:
        activates_at = activates_at or assets.activation(policy, credited_at=credited_at)
        if expires_at is None and activates_at is not None:
            expires_at = assets.expiry(policy, activated_at=activates_at)
    if policy.slides:
        renewed = assets.slide(policy, credited_at=credited_at)
        page.slides_until = max(filter(None, (page.slides_until, renewed)))
    lot = Lot(
        draft.lot_id(draft.place, credited_at),
        page.account.key.id,
        *draft.place,
        amount,
        amount,
        0,
        activates_at,
        expires_at,
        expiry_given,
        draft.now,
        giver.id if giver.owner_type == accounts.PARTNER else None,
        giver.id if giver.owner_type in accounts.PEOPLE else None,
    )
    page.put(None, lot)


def _terms(
    draft: Draft, asset_code: str, policy: assets.LotPolicy
) -> tuple[datetime | None, datetime | None]:
    """Return what the asset's policy says; days are counted once for all of a batch."""
    terms = draft.policy_terms.get(asset_code)
    if terms is None:
        activates_at = assets.activation(policy, credited_at=draft.batch.occurred_at)
        expires_at = activates_at and assets.expiry(policy, activated_at=activates_at)
        terms = draft.policy_terms[asset_code] = activates_at, expires_at
    return terms
