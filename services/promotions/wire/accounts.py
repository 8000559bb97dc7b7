"""Where the ledger keeps what campaigns and shoppers have: accounts by their meaning."""

from typing import NamedTuple

from tessera.ledger.v1 import account_pb2

from services.chassis import ids

#: Receipts that took a campaign, counted up to a ceiling.
USES_ASSET = "uses"
#: Rewarded units of a campaign, counted up to a ceiling.
UNITS_ASSET = "units"
#: Prizes that chances win at once, of all campaigns.
PRIZES_ASSET = "prizes"
#: What the assets of stamp cards begin with.
STAMPS = "stamps."
#: Where points and coupons come from.
ISSUANCE = "issuance"
#: Where points and coupons go when they are used.
REDEMPTION = "redemption"
#: Where budgets come from.
FUNDING = "funding"
#: Where budgets go.
DISCOUNTS = "discounts"
#: The other side of every count.
COUNTING = "counting"

#: How the assets of gift cards begin.
GIFTS = "gift."
#: How the assets of personal coupons begin.
COUPONS = "coupon."


class Account(NamedTuple):
    """One owner's account of one asset."""

    owner_type: account_pb2.OwnerType.ValueType
    owner_id: str
    asset_code: str


def member_uses_asset(campaign_id: str, limit: int) -> str:
    """Return the asset that counts a member's receipts with a campaign.

    The limit is the asset's ceiling, so it belongs to the name: a draft may change its mind.
    """
    return f"use.{campaign_id}.{limit}"


def coupon_asset(campaign_id: str) -> str:
    """Return the asset of a campaign's personal coupons."""
    return f"{COUPONS}{campaign_id}"


def stamps_asset(card_id: str) -> str:
    """Return the asset of a card's stamps."""
    return f"{STAMPS}{card_id}"


def budget_asset(currency_code: str) -> str:
    """Return the asset of budgets, in minor units of the currency."""
    return f"budget.{currency_code}"


def article_units_asset(campaign_id: str, limit: int) -> str:
    """Return the asset that counts a campaign's rewarded units of one article; see above."""
    return f"article.{campaign_id}.{limit}"


def member_units_asset(campaign_id: str, limit: int) -> str:
    """Return the asset that counts a campaign's rewarded units of one member; see above."""
    return f"unit.{campaign_id}.{limit}"


def units(campaign_id: str) -> Account:
    """Return the account that counts all units that a campaign has rewarded."""
    return Account(account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, UNITS_ASSET)


def article_units(campaign_id: str, limit: int, sku: str) -> Account:
    """Return the account that counts the units of an article that a campaign has rewarded.

    Article numbers may be anything, so the owner's id follows from the number.
    """
    asset_code = article_units_asset(campaign_id, limit)
    return Account(account_pb2.OWNER_TYPE_CAMPAIGN, ids.derive("art", sku), asset_code)


def prizes(account_id: str) -> Account:
    """Return the account of what is left of a prize; what has not come out yet is pending."""
    return Account(account_pb2.OWNER_TYPE_CAMPAIGN, account_id, PRIZES_ASSET)


def points(member_id: str, asset_code: str) -> Account:
    """Return the account of a member's points."""
    return Account(account_pb2.OWNER_TYPE_MEMBER, member_id, asset_code)


def points_debt(member_id: str, asset_code: str) -> Account:
    """Return the account of what a member owes of points; it holds 0 or less."""
    return Account(account_pb2.OWNER_TYPE_DEBT, f"member:{member_id}", asset_code)


def coupons(member_id: str, campaign_id: str) -> Account:
    """Return the account of the coupons that a member holds; each use burns one."""
    return Account(account_pb2.OWNER_TYPE_MEMBER, member_id, coupon_asset(campaign_id))


def bearer_coupon(coupon_id: str, campaign_id: str) -> Account:
    """Return the account of what is left of a secret code; each use burns one."""
    return Account(account_pb2.OWNER_TYPE_CARD, coupon_id, coupon_asset(campaign_id))


def stamps(member_id: str, card_id: str) -> Account:
    """Return the account of the stamps that a member has on a card."""
    return Account(account_pb2.OWNER_TYPE_MEMBER, member_id, stamps_asset(card_id))


def member_uses(member_id: str, campaign_id: str, limit: int) -> Account:
    """Return the account that counts a member's receipts with a campaign."""
    asset_code = member_uses_asset(campaign_id, limit)
    return Account(account_pb2.OWNER_TYPE_MEMBER, member_id, asset_code)


def member_units(member_id: str, campaign_id: str, limit: int) -> Account:
    """Return the account that counts the units that a campaign has rewarded a member for."""
    asset_code = member_units_asset(campaign_id, limit)
    return Account(account_pb2.OWNER_TYPE_MEMBER, member_id, asset_code)


def uses(campaign_id: str) -> Account:
    """Return the account that counts all receipts with a campaign."""
    return Account(account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, USES_ASSET)


def budget(campaign_id: str, currency_code: str) -> Account:
    """Return the account of what is left of a campaign's budget."""
    return Account(account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, budget_asset(currency_code))


def gift_card(card_id: str, currency_code: str) -> Account:
    """Return the account of a gift card's money."""
    return Account(account_pb2.OWNER_TYPE_CARD, card_id, f"{GIFTS}{currency_code}")


def is_count(account: Account) -> bool:
    """Tell whether an account counts uses up to a ceiling."""
    return account.asset_code == USES_ASSET or account.asset_code.startswith("use.")


def owner(account: Account) -> account_pb2.Owner:
    """Return an account's owner as a message."""
    return account_pb2.Owner(owner_type=account.owner_type, owner_id=account.owner_id)


def key(account: Account) -> account_pb2.AccountKey:
    """Return what the ledger calls an account."""
    return account_pb2.AccountKey(owner=owner(account), asset_code=account.asset_code)


def world(purpose: str) -> account_pb2.Owner:
    """Return the outside of the ledger, by purpose."""
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id=purpose)


def company(partner_id: str, purpose: str) -> account_pb2.Owner:
    """Return whose account points come from and go to: a partner's, or else the outside's."""
    if not partner_id:
        return world(purpose)
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_PARTNER, owner_id=partner_id)
