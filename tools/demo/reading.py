"""Read back what the platform recorded: every receipt, every balance, every movement of points."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from tessera.ledger.v1 import account_pb2, ledger_service_pb2
from tessera.promotions.v1 import checkout_pb2

from tools.demo import replay
from tools.demo.plan import Plan
from tools.demo.session import Progress, Session

POINTS = "points"
#: The outside of the ledger, by purpose: where value comes from and where it goes.
WORLD = ("issuance", "redemption", "breakage", "funding", "discounts", "counting")
#: No copy of a balance is as new as this: the ledger then reads its own books.
TRUTH = 2**62
#: Any copy will do.
COPIES = 0
_ACCOUNTS_PER_CALL = 100
_ENTRIES_PER_PAGE = 1_000

Account = tuple[account_pb2.OwnerType.ValueType, str, str]


@dataclass
class Recorded:
    """The receipts as the platform tells them, in rows for each of the frames below."""

    receipts: list[tuple[Any, ...]] = field(default_factory=list)
    gives: list[tuple[int, str, str, int]] = field(default_factory=list)
    earns: list[tuple[int, str, int]] = field(default_factory=list)
    outcomes: list[tuple[int, str, str]] = field(default_factory=list)
    returns: list[tuple[Any, ...]] = field(default_factory=list)
    #: The receipt that tells most: the first with the most campaigns applied.
    example: checkout_pb2.Receipt = field(default_factory=checkout_pb2.Receipt)


@dataclass(frozen=True)
class Receipts:
    """What was recorded.

    `receipts` has a row for each receipt, `gives` and `earns` one for what each campaign gave on a
    line or on a receipt, `outcomes` one for each campaign that answered, `returns` one for each
    return.
    """

    receipts: pl.DataFrame
    gives: pl.DataFrame
    earns: pl.DataFrame
    outcomes: pl.DataFrame
    returns: pl.DataFrame
    example: checkout_pb2.Receipt


_RECEIPT = {
    "basket_id": pl.Int64,
    "receipt_id": pl.String,
    "member_id": pl.String,
    "state": pl.String,
    "subtotal": pl.Int64,
    "discount": pl.Int64,
    "total": pl.Int64,
    "paid_with_points": pl.Int64,
    "spent": pl.Int64,
    "earned": pl.Int64,
}
_GIVE = {
    "basket_id": pl.Int64,
    "line_id": pl.String,
    "campaign": pl.String,
    "discount": pl.Int64,
}
_EARN = {"basket_id": pl.Int64, "campaign": pl.String, "points": pl.Int64}
_OUTCOME = {"basket_id": pl.Int64, "campaign": pl.String, "reason": pl.String}
_RETURN = {
    "basket_id": pl.Int64,
    "refund": pl.Int64,
    "restored": pl.Int64,
    "clawed_back": pl.Int64,
    "not_recovered": pl.Int64,
    "remaining_discount": pl.Int64,
    "remaining_earned": pl.Int64,
}


async def read_receipts(
    session: Session, plan: Plan, campaigns: Mapping[str, str], progress: Progress
) -> Receipts:
    """Find every planned receipt by its key; `campaigns` has the campaign ids by our names.

    Raises LookupError when one is missing.
    """
    names = {campaign_id: name for name, campaign_id in campaigns.items()}
    recorded = Recorded()

    async def read(sale: dict[str, Any]) -> None:
        receipt = await replay.find(session, replay.receipt_key(sale))
        if receipt is None:
            raise LookupError(f"the receipt of basket {sale['basket_id']} is missing")
        _note(recorded, sale["basket_id"], receipt, names)

    sales = plan.sales.select("basket_id", "store_id", "till_id", "shift_id").rows(named=True)
    await session.each(sales, read, "receipts read back", progress)
    return Receipts(
        receipts=_frame(recorded.receipts, _RECEIPT),
        gives=_frame(recorded.gives, _GIVE),
        earns=_frame(recorded.earns, _EARN),
        outcomes=_frame(recorded.outcomes, _OUTCOME),
        returns=_frame(recorded.returns, _RETURN),
        example=recorded.example,
    )


def _note(
    recorded: Recorded, basket_id: int, receipt: checkout_pb2.Receipt, names: Mapping[str, str]
) -> None:
    evaluation = receipt.evaluation
    state = checkout_pb2.ReceiptState.Name(receipt.state).removeprefix("RECEIPT_STATE_")
    recorded.receipts.append(
        (
            basket_id,
            receipt.receipt_id,
            evaluation.member_id,
            state,
            evaluation.subtotal_minor,
            evaluation.discount_minor,
            evaluation.total_minor,
            evaluation.points_payment_minor,
            evaluation.points_spent,
            evaluation.points_earned,
        )
    )
    for line in evaluation.lines:
        for part in line.parts:
            if part.discount_minor:
                name = names.get(part.campaign_id, part.campaign_id)
                recorded.gives.append((basket_id, line.line_id, name, part.discount_minor))
    for outcome in evaluation.outcomes:
        name = names.get(outcome.campaign_id, outcome.campaign_id)
        reason = checkout_pb2.OutcomeReason.Name(outcome.reason).removeprefix("OUTCOME_REASON_")
        recorded.outcomes.append((basket_id, name, reason))
        if outcome.points:
            recorded.earns.append((basket_id, name, outcome.points))
    recorded.returns.extend(_return_row(basket_id, back) for back in receipt.returns)
    if _told(receipt) > _told(recorded.example):
        recorded.example = receipt


def _return_row(basket_id: int, back: checkout_pb2.Return) -> tuple[int, ...]:
    return (
        basket_id,
        back.refund_minor,
        back.points_restored,
        back.points_clawed_back,
        back.points_not_recovered,
        back.remaining.discount_minor,
        back.remaining.points_earned,
    )


def _told(receipt: checkout_pb2.Receipt) -> tuple[int, int, int]:
    """Return how much there is to tell: campaigns applied, points paid, few lines."""
    applied = sum(
        outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED
        for outcome in receipt.evaluation.outcomes
    )
    return applied, receipt.evaluation.points_spent > 0, -len(receipt.cart.lines)


async def read_balances(
    session: Session,
    accounts: Sequence[Account],
    name: str,
    progress: Progress,
    *,
    min_version: int,
) -> dict[Account, account_pb2.Balance]:
    """Return what accounts hold, from copies that are not older than the version."""
    balances: dict[Account, account_pb2.Balance] = {}

    async def read(part: Sequence[Account]) -> None:
        request = ledger_service_pb2.GetBalancesRequest(
            accounts=[key(one) for one in part], min_version=min_version
        )
        answer = await session.ask("GetBalances", session.ledger.GetBalances, request)
        balances.update(zip(part, answer.balances, strict=True))

    parts = [
        accounts[start : start + _ACCOUNTS_PER_CALL]
        for start in range(0, len(accounts), _ACCOUNTS_PER_CALL)
    ]
    await session.each(parts, read, name, progress)
    return balances


async def read_assets(session: Session) -> list[str]:
    """Return the code of every asset of the ledger."""
    codes: list[str] = []
    token = ""
    while True:
        request = ledger_service_pb2.ListAssetsRequest(page_size=1_000, page_token=token)
        page = await session.ask("ListAssets", session.ledger.ListAssets, request)
        codes += [asset.asset_code for asset in page.assets]
        token = page.next_page_token
        if not token:
            return codes


_MOVEMENT = {"member_id": pl.String, "reason": pl.String, "amount": pl.Int64}


async def read_movements(
    session: Session, member_ids: Iterable[str], progress: Progress
) -> pl.DataFrame:
    """Return the statements of the members' points, as member_id, reason and amount."""
    rows: list[tuple[str, str, int]] = []

    async def read(member_id: str) -> None:
        token = ""
        while True:
            request = ledger_service_pb2.ListEntriesRequest(
                account=key(member_points(member_id)),
                page_size=_ENTRIES_PER_PAGE,
                page_token=token,
            )
            page = await session.ask("ListEntries", session.ledger.ListEntries, request)
            rows.extend((member_id, _reason(entry), entry.amount) for entry in page.entries)
            token = page.next_page_token
            if not token:
                return

    await session.each(sorted(member_ids), read, "statements", progress)
    return _frame(rows, _MOVEMENT)


def _reason(entry: account_pb2.Entry) -> str:
    return account_pb2.TransferReason.Name(entry.reason).removeprefix("TRANSFER_REASON_")


def member_points(member_id: str) -> Account:
    """Return the account of a member's points."""
    return account_pb2.OWNER_TYPE_MEMBER, member_id, POINTS


def key(account: Account) -> account_pb2.AccountKey:
    """Return an account as the ledger names it."""
    owner_type, owner_id, asset_code = account
    owner = account_pb2.Owner(owner_type=owner_type, owner_id=owner_id)
    return account_pb2.AccountKey(owner=owner, asset_code=asset_code)


def _frame(rows: Sequence[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")
