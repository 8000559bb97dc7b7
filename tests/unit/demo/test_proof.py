"""The proof notices what is wrong: one cent, one point, one receipt too many."""

import polars as pl
import pytest
from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import checkout_pb2

from tests.unit.demo.small_chain import START_TIME, Chain
from tools.demo import proof, recomputation
from tools.demo.plan import Plan
from tools.demo.proof import Check, Value
from tools.demo.reading import Account, Receipts
from tools.demo.recomputation import Books, Chosen

MEMBER = account_pb2.OWNER_TYPE_MEMBER
WORLD = account_pb2.OWNER_TYPE_WORLD


@pytest.fixture(scope="module")
def recorded(small_chain: Chain) -> Receipts:
    """Return what a faultless platform would have recorded."""
    voided = set(small_chain.plan.sales.filter("voided")["basket_id"])
    complete = {basket for basket, back in small_chain.returns.items() if back.complete}
    people = dict(small_chain.plan.sales.select("basket_id", "household_id").rows())
    known = dict(small_chain.plan.sales.select("basket_id", "known").rows())
    receipts = [
        {
            "basket_id": basket_id,
            "receipt_id": f"rcp_{basket_id}",
            "member_id": f"mem_{people[basket_id]}" if known[basket_id] else "",
            "state": "VOIDED"
            if basket_id in voided
            else "RETURNED"
            if basket_id in complete
            else "COMMITTED",
            "subtotal": decision.subtotal_minor,
            "discount": decision.discount_minor,
            "total": decision.total_minor,
            "paid_with_points": decision.points_payment_minor,
            "spent": decision.points_spent,
            "earned": decision.points_earned,
        }
        for basket_id, decision in small_chain.sales.items()
    ]
    returns = [
        {
            "basket_id": basket_id,
            "refund": back.refund_minor,
            "restored": back.points_restored,
            "clawed_back": back.points_clawed_back,
            "not_recovered": 0,
            "remaining_discount": back.remaining.discount_minor if back.remaining else 0,
            "remaining_earned": back.remaining.points_earned if back.remaining else 0,
        }
        for basket_id, back in small_chain.returns.items()
    ]
    gives = ["basket_id", "line_id", "campaign", "discount"]
    return Receipts(
        receipts=pl.DataFrame(receipts),
        gives=pl.DataFrame(list(small_chain.rows_of_gives()), schema=gives, orient="row"),
        earns=pl.DataFrame(
            list(small_chain.rows_of_earns()),
            schema=["basket_id", "campaign", "points"],
            orient="row",
        ),
        outcomes=pl.DataFrame(),
        returns=pl.DataFrame(returns),
        example=checkout_pb2.Receipt(),
    )


@pytest.fixture(scope="module")
def own_books(small_chain: Chain, recorded: Receipts) -> Books:
    chosen: Chosen = proof.read_choices(recorded)
    return recomputation.recompute(
        small_chain.plan, small_chain.coupons.offers, chosen, start_time=START_TIME
    )


def changed(recorded: Receipts, frame: str, column: str, by: int) -> Receipts:
    """Return the records with one value of one row changed."""
    rows: pl.DataFrame = getattr(recorded, frame)
    first = pl.int_range(pl.len()) == 0
    altered = rows.with_columns(pl.when(first).then(pl.col(column) + by).otherwise(pl.col(column)))
    frames = {name: getattr(recorded, name) for name in recorded.__dataclass_fields__}
    return Receipts(**{**frames, frame: altered})


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_faultless_record_passes(small_plan: Plan, own_books: Books, recorded: Receipts) -> None:
    """Nothing differs."""
    assert failed(proof.compare_receipts(small_plan, own_books, recorded)) == []


@pytest.mark.parametrize(
    ("frame", "column"),
    [
        ("receipts", "subtotal"),
        ("receipts", "discount"),
        ("receipts", "earned"),
        ("gives", "discount"),
        ("earns", "points"),
        ("returns", "refund"),
        ("returns", "restored"),
        ("returns", "clawed_back"),
        ("returns", "remaining_earned"),
    ],
)
def test_one_cent_or_point_is_noticed(
    small_plan: Plan, own_books: Books, recorded: Receipts, frame: str, column: str
) -> None:
    """Whatever figure of whatever record is off by one."""
    wrong = changed(recorded, frame, column, 1)
    assert failed(proof.compare_receipts(small_plan, own_books, wrong))


def test_a_record_too_many_is_noticed(
    small_plan: Plan, own_books: Books, recorded: Receipts
) -> None:
    """A discount that is there twice is not one that is there once."""
    frames = {name: getattr(recorded, name) for name in recorded.__dataclass_fields__}
    doubled = pl.concat([recorded.gives, recorded.gives.head(1)])
    wrong = Receipts(**{**frames, "gives": doubled})
    assert failed(proof.compare_receipts(small_plan, own_books, wrong))


def test_an_overdrawn_budget_is_noticed(own_books: Books, recorded: Receipts) -> None:
    """More than the budget, or another figure than the ledger's."""
    given = recorded.gives.filter(pl.col("campaign") == "frozen")
    kept = recorded.receipts.filter(pl.col("state") == "COMMITTED").select("basket_id")
    used = int(given.join(kept, on="basket_id", how="semi")["discount"].sum())
    uses = recorded.gives.filter(pl.col("campaign") == "thanks").join(kept, on="basket_id")
    limits = {"frozen": (0, 30_000), "thanks": (60, 0)}
    left = {"frozen": 30_000 - used, "thanks": uses["basket_id"].n_unique()}
    assert failed(proof.compare_limits(own_books, recorded, limits, left)) == []
    short = {**limits, "frozen": (0, used - 1)}
    assert failed(proof.compare_limits(own_books, recorded, short, {**left, "frozen": -1}))
    assert failed(proof.compare_limits(own_books, recorded, limits, {**left, "frozen": 1}))


def balance(available: int, version: int = 1) -> account_pb2.Balance:
    return account_pb2.Balance(available=available, version=version)


def ledger_value(small: dict[Account, account_pb2.Balance], *movements: tuple[str, str, int]):
    rows = pl.DataFrame(
        list(movements),
        schema={"member_id": pl.String, "reason": pl.String, "amount": pl.Int64},
        orient="row",
    )
    return Value(movements=rows, balances=small, copies=small, assets=["points"])


def test_a_sum_that_is_not_zero_is_noticed() -> None:
    """What members hold is what the world gave."""
    held: Account = (MEMBER, "mem_1", "points")
    issued: Account = (WORLD, "issuance", "points")
    assert proof.compare_sums(ledger_value({held: balance(5), issued: balance(-5)})).passed
    assert not proof.compare_sums(ledger_value({held: balance(6), issued: balance(-5)})).passed


def test_what_others_hold_counts_where_the_books_are_open() -> None:
    """With members whom the demo does not know, the ledger's own sums decide."""
    value = ledger_value({(WORLD, "issuance", "points"): balance(-5)})
    assert not proof.compare_sums(value).passed
    assert proof.compare_sums(value, all_accounts={"points": 0}).passed
    assert not proof.compare_sums(value, all_accounts={"points": 1}).passed


def test_a_balance_that_moves_is_noticed() -> None:
    """Sending again must leave even the versions alone."""
    account: Account = (MEMBER, "mem_1", "points")
    same, later = {account: balance(5)}, {account: balance(5, version=2)}
    assert proof.compare_again(calls=1, news=0, before=same, after=same).passed
    assert not proof.compare_again(calls=1, news=0, before=same, after=later).passed
    assert not proof.compare_again(calls=1, news=1, before=same, after=same).passed


def test_an_old_copy_is_noticed() -> None:
    """Unless a service was away: then a copy may lag behind for a while."""
    account: Account = (MEMBER, "mem_1", "points")
    value = Value(
        movements=pl.DataFrame(),
        balances={account: balance(5, version=2)},
        copies={account: balance(4)},
        assets=["points"],
    )
    assert not proof.compare_copies(value, after_failures=False).passed
    assert proof.compare_copies(value, after_failures=True).passed


def test_statements_are_held_against_receipts(own_books: Books, recorded: Receipts) -> None:
    """A faultless ledger passes; a member with a point too many does not."""
    people = recorded.receipts.filter(pl.col("member_id") != "").join(
        own_books.receipts.select("basket_id", points="earned"), on="basket_id"
    )
    backs = dict(
        recorded.returns.select("basket_id", pl.col("restored") - pl.col("clawed_back")).rows()
    )
    movements: list[tuple[str, str, int]] = []
    for row in people.rows(named=True):
        undone = backs.get(row["basket_id"], 0)
        if row["state"] == "VOIDED":
            undone += row["spent"] - row["points"]
        movements += [
            (row["member_id"], "EARN", row["points"]),
            (row["member_id"], "REDEEM", -row["spent"]),
            (row["member_id"], "REVERSE", undone),
        ]
    held: dict[Account, account_pb2.Balance] = {}
    for member_id in set(people["member_id"]):
        total = sum(amount for name, _, amount in movements if name == member_id)
        held[MEMBER, member_id, "points"] = balance(total)
    assert failed(proof.compare_members(recorded, own_books, ledger_value(held, *movements))) == []
    extra = (people["member_id"][0], "EARN", 1)
    wrong = ledger_value(held, *movements, extra)
    assert len(failed(proof.compare_members(recorded, own_books, wrong))) == 3
