"""The proof: what the platform recorded against what must be, each agreement a line of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from tessera.ledger.v1 import account_pb2

from tools.demo.plan import Plan
from tools.demo.reading import Account, Receipts
from tools.demo.recomputation import Books, Chosen

#: Campaigns that may run out: the receipts tell who was first.
LIMITED = ("frozen", "thanks")
_UNDONE = ("VOIDED", "RETURNED")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: how it came out, and in figures what was compared."""

    name: str
    passed: bool
    figures: str


@dataclass(frozen=True)
class Value:
    """What the ledger tells.

    `movements` are the statements of the members' points (member_id, reason, amount), `balances`
    all accounts that the demo knows by the ledger's books, `copies` by its hot copies, `assets`
    every asset there is.
    """

    movements: pl.DataFrame
    balances: Mapping[Account, account_pb2.Balance]
    copies: Mapping[Account, account_pb2.Balance]
    assets: Sequence[str]


def read_choices(receipts: Receipts) -> Chosen:
    """Return what no data set knows: points paid, and what limited campaigns still gave."""
    limited = receipts.gives.filter(pl.col("campaign").is_in(LIMITED))
    return Chosen(
        payments=receipts.receipts.select("basket_id", amount="paid_with_points"),
        drawn=limited.group_by("basket_id", "campaign").agg(amount=pl.col("discount").sum()),
    )


def compare_receipts(plan: Plan, books: Books, receipts: Receipts) -> list[Check]:
    """Return the checks of everything that is on receipts."""
    recorded = receipts.receipts
    own = books.receipts
    return [
        _check_stores(plan, own, recorded),
        _equal(
            "Every receipt: amount before discounts, discounts, points",
            own.select("basket_id", "subtotal", "discount", "earned"),
            recorded.select("basket_id", "subtotal", "discount", "earned"),
            unit="receipts",
        ),
        _equal(
            "Every line: discount of every campaign",
            books.gives,
            receipts.gives,
            unit="discounts",
        ),
        _equal(
            "Every receipt: points of every campaign", books.earns, receipts.earns, unit="earnings"
        ),
        _check_returns(books, receipts),
        _check_states(plan, books, recorded),
    ]


def compare_limits(
    books: Books, receipts: Receipts, offers: Mapping[str, tuple[int, int]], left: Mapping[str, int]
) -> list[Check]:
    """Return the checks of campaigns that may run out.

    `offers` has (uses_max, budget_minor) by campaign, `left` what their accounts still hold.
    """
    kept = receipts.receipts.filter(~pl.col("state").is_in(_UNDONE)).select("basket_id")
    checks = []
    for name in LIMITED:
        uses_max, budget = offers[name]
        given = receipts.gives.filter(pl.col("campaign") == name)
        net = given.join(kept, on="basket_id", how="semi")
        used = net["basket_id"].n_unique() if uses_max else int(net["discount"].sum())
        limit = uses_max or budget
        due = books.due.filter(pl.col("campaign") == name)
        drawn = given.group_by("basket_id").agg(drawn=pl.col("discount").sum())
        above = due.join(drawn, on="basket_id", how="full", coalesce=True).filter(
            pl.col("drawn").fill_null(0) > pl.col("amount").fill_null(0)
        )
        wanting = due.height - drawn.height
        told = limit - used == left[name] if budget else used == left[name]
        what = "uses" if uses_max else "cents"
        checks.append(
            Check(
                f"“{name}” is given out and not overdrawn",
                passed=used <= limit and above.is_empty() and told,
                figures=f"{used:,} of {limit:,} {what}; {wanting:,} receipts came too late",
            )
        )
    return checks


def compare_members(receipts: Receipts, books: Books, value: Value) -> list[Check]:
    """Return the checks of the members' points: receipts against statements against balances."""
    expected = _expected_movements(receipts, books)
    told = _told_movements(value)
    both = expected.join(told, on="member_id", how="full", coalesce=True).fill_null(0)
    sums = {column: int(both[column].sum()) for column in both.columns if column != "member_id"}
    wrong = both.filter(
        (pl.col("earned") != pl.col("EARN"))
        | (pl.col("spent") != -pl.col("REDEEM"))
        # A point that expired before a return could take it is not there to be taken.
        | ((pl.col("reversed") != pl.col("REVERSE")) & (pl.col("EXPIRE") == 0))
        | (pl.col("REVERSE") < pl.col("reversed"))
    )
    statements = pl.sum_horizontal("EARN", "REDEEM", "REVERSE", "EXPIRE")
    odd = both.filter(statements != pl.col("balance"))
    outstanding = sums["EARN"] + sums["REDEEM"] + sums["REVERSE"] + sums["EXPIRE"]
    return [
        Check(
            "Every member: receipts agree with the ledger's statement",
            passed=wrong.is_empty(),
            figures=f"{both.height:,} members, {wrong.height} differ",
        ),
        Check(
            "Every member: earned - spent ± undone - expired is the balance",
            passed=odd.is_empty(),
            figures=(
                f"{sums['EARN']:,} - {-sums['REDEEM']:,} {sums['REVERSE']:+,} "
                f"- {-sums['EXPIRE']:,} = {outstanding:,}; {odd.height} differ"
            ),
        ),
        Check(
            "All members: outstanding points are the sum of the balances",
            passed=outstanding == sums["balance"],
            figures=f"{outstanding:,} = {sums['balance']:,}",
        ),
    ]


def sum_up(value: Value) -> dict[str, int]:
    """Return by asset what the accounts that the demo knows come to."""
    sums = dict.fromkeys(value.assets, 0)
    for (_, _, asset_code), balance in value.balances.items():
        sums[asset_code] += balance.available + balance.pending
    return sums


def compare_sums(value: Value, *, all_accounts: Mapping[str, int] | None = None) -> Check:
    """Return the check that every asset sums up to zero over all accounts.

    `all_accounts` has the sums of the ledger's own books, where others hold something, too.
    """
    known = sum_up(value)
    odd = {code: total for code, total in (all_accounts or known).items() if total}
    figures = f"{len(known)} assets, {len(value.balances):,} accounts"
    if all_accounts is not None:
        foreign = sum(total != 0 for total in known.values())
        figures += f", and others' of {foreign}"
    if odd:
        figures += f"; not zero: {odd}"
    return Check("Every asset sums up to zero", passed=not odd, figures=figures)


def compare_again(
    *,
    calls: int,
    news: int,
    before: Mapping[Account, account_pb2.Balance],
    after: Mapping[Account, account_pb2.Balance],
) -> Check:
    """Return the check that sending everything again changed nothing."""
    moved = _count_different(before, after)
    return Check(
        "The same receipts again: the stored answers, and nothing moves",
        passed=news == 0 and moved == 0,
        figures=f"{calls:,} calls, {news} new; {len(before):,} accounts, {moved} moved",
    )


def compare_copies(value: Value, *, after_failures: bool) -> Check:
    """Return the check that the ledger shows what is in its books.

    A copy may lag behind for a minute when the ledger was stopped between writing and showing.
    """
    old = _count_different(value.balances, value.copies)
    figures = f"{len(value.copies):,} accounts, {old} differ"
    if old and after_failures:
        figures += ": services were away, so for a minute at the most"
    return Check(
        "Every balance: the hot copy is what is on disk",
        passed=not old or after_failures,
        figures=figures,
    )


def _count_different(
    one: Mapping[Account, account_pb2.Balance], other: Mapping[Account, account_pb2.Balance]
) -> int:
    return sum(
        (held.available, held.pending, held.version)
        != (other[account].available, other[account].pending, other[account].version)
        for account, held in one.items()
    )


def _check_stores(plan: Plan, own: pl.DataFrame, recorded: pl.DataFrame) -> Check:
    """Compare what each store sold: the data set's sums against the receipts'."""
    stores = plan.sales.select("basket_id", "store_id")
    told = recorded.join(stores, on="basket_id").group_by("store_id").agg(pl.col("subtotal").sum())
    computed = own.group_by("store_id").agg(pl.col("subtotal").sum())
    wrong = _differences(computed, told)
    total = int(own["subtotal"].sum())
    return Check(
        "Every store: what it sold",
        passed=not wrong and total == int(recorded["subtotal"].sum()),
        figures=f"{computed.height} stores, ${total / 100:,.2f}; {wrong} differ",
    )


def _check_returns(books: Books, receipts: Receipts) -> Check:
    """Compare returns: money, points given back, points taken back, and what stays."""
    told = receipts.returns.select(
        "basket_id",
        "refund",
        "restored",
        (pl.col("clawed_back") + pl.col("not_recovered")).alias("clawed_back"),
        "remaining_discount",
        "remaining_earned",
    )
    return _equal(
        "Every return: money, points, and what the rest costs",
        books.refunds.select(told.columns),
        told,
        unit="returns",
    )


def _check_states(plan: Plan, books: Books, recorded: pl.DataFrame) -> Check:
    """Compare what became of receipts with what was planned for them."""
    complete = books.refunds.filter("complete")["basket_id"].implode()
    state = (
        pl.when("voided")
        .then(pl.lit("VOIDED"))
        .when(pl.col("basket_id").is_in(complete))
        .then(pl.lit("RETURNED"))
        .otherwise(pl.lit("COMMITTED"))
    )
    planned = plan.sales.select("basket_id", state=state)
    wrong = _differences(planned, recorded.select("basket_id", "state"))
    counts = dict(recorded.group_by("state").len().rows())
    figures = ", ".join(f"{counts[name]:,} {name.lower()}" for name in sorted(counts))
    return Check("Every receipt: in the state that was planned", passed=not wrong, figures=figures)


def _expected_movements(receipts: Receipts, books: Books) -> pl.DataFrame:
    """Return by member what the receipts say was earned, spent and undone."""
    backs = receipts.returns.group_by("basket_id").agg(
        back=(pl.col("restored") - pl.col("clawed_back")).sum()
    )
    voided = (
        pl.when(pl.col("state") == "VOIDED").then(pl.col("spent") - pl.col("points")).otherwise(0)
    )
    points = books.receipts.select("basket_id", points="earned")
    return (
        receipts.receipts.filter(pl.col("member_id") != "")
        .join(points, on="basket_id")
        .join(backs, on="basket_id", how="left")
        .group_by("member_id")
        .agg(
            earned=pl.col("points").sum(),
            spent=pl.col("spent").sum(),
            reversed=(voided + pl.col("back").fill_null(0)).sum(),
        )
    )


def _told_movements(value: Value) -> pl.DataFrame:
    """Return by member what the ledger's statements and balances say."""
    reasons = ("EARN", "REDEEM", "REVERSE", "EXPIRE")
    moved = value.movements.group_by("member_id").agg(
        pl.col("amount").filter(pl.col("reason") == reason).sum().alias(reason)
        for reason in reasons
    )
    members = set(value.movements["member_id"])
    balances = [
        (owner_id, balance.available + balance.pending)
        for (_, owner_id, asset_code), balance in value.balances.items()
        if asset_code == "points" and owner_id in members
    ]
    held = pl.DataFrame(
        balances, schema={"member_id": pl.String, "balance": pl.Int64}, orient="row"
    )
    return moved.join(held, on="member_id", how="full", coalesce=True)


def _equal(name: str, own: pl.DataFrame, told: pl.DataFrame, *, unit: str) -> Check:
    wrong = _differences(own, told)
    return Check(name, passed=not wrong, figures=f"{own.height:,} {unit}, {wrong} differ")


def _differences(own: pl.DataFrame, told: pl.DataFrame) -> int:
    """Return how many rows are on one side only."""
    columns = own.columns
    missing = own.join(told, on=columns, how="anti").height
    surplus = told.select(columns).join(own, on=columns, how="anti").height
    return max(missing, surplus, abs(own.height - told.height))


def all_passed(checks: Iterable[Check]) -> bool:
    """Tell whether nothing differs."""
    return all(check.passed for check in checks)
