"""What happens at the tills: who shows a card, presents a code, pays with points, brings back.

Of this the data set tells only the coupons. The rest follows from the receipts' numbers, so every
run of the demo plans the same.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from tools.demo import baskets, dataset, program
from tools.demo.baskets import Baskets
from tools.demo.coupons import Coupons
from tools.demo.households import Households

# Shares of all receipts, as one in so many.
_CARD_FORGOTTEN = 40
_SELF_CHECKOUT = 5
_SHARED_CODE = 20
_POINTS_PAID = 4
_VOIDED = 100
_RETURNED = 16
# A household's first receipts stay, so that "the first purchase" means the same to everybody.
_SETTLED_FIRST = 2
_TILLS = 12
_CHANNELS = {True: "CHANNEL_SELF_CHECKOUT", False: "CHANNEL_TILL"}


@dataclass(frozen=True)
class Plan:
    """The tills' day books.

    `sales` has a row for each receipt; `lines` what is in them; `returns` a row for each line that
    comes back; `steps` the order of everything: `sale`, then perhaps `void` or, later, `return`.
    """

    sales: pl.DataFrame
    lines: pl.DataFrame
    returns: pl.DataFrame
    steps: pl.DataFrame


def write(bought: Baskets, people: Households, coupons: Coupons) -> Plan:
    """Return the plan for these receipts."""
    sales = _sales(bought, people, coupons)
    returns = _returns(sales, bought.lines)
    return Plan(sales=sales, lines=bought.lines, returns=returns, steps=_steps(sales, returns))


def _sales(bought: Baskets, people: Households, coupons: Coupons) -> pl.DataFrame:
    basket = pl.col("basket_id")
    codes = coupons.redemptions.group_by("basket_id", maintain_order=True).agg("code")
    presented = pl.col("code").fill_null([])
    shared = pl.when(_one_in(_SHARED_CODE, salt=1)).then(
        pl.concat_list(presented, pl.lit(program.SHARED_CODE))
    )
    known = ~_one_in(_CARD_FORGOTTEN, salt=2)
    settled = pl.int_range(pl.len()).over("household_id") < _SETTLED_FIRST
    return (
        bought.receipts.sort("occurred_time", "basket_id")
        .join(codes, on="basket_id", how="left", maintain_order="left")
        .join(people.members.select("household_id", "card_number"), on="household_id", how="left")
        .with_columns(known=known | settled, settled=settled)
        .select(
            "basket_id",
            "household_id",
            "store_id",
            "local_time",
            "occurred_time",
            "known",
            "card_number",
            till_id=(baskets.spread(basket) % _TILLS + 1).cast(pl.String),
            shift_id=pl.col("local_time").dt.strftime("%Y%m%d"),
            channel=_one_in(_SELF_CHECKOUT, salt=3).replace_strict(_CHANNELS),
            codes=shared.otherwise(presented),
            points_share_percent=pl.when(pl.col("known") & _one_in(_POINTS_PAID, salt=4))
            .then(pl.when(_one_in(2, salt=5)).then(100).otherwise(50))
            .otherwise(0),
            voided=_one_in(_VOIDED, salt=6) & ~pl.col("settled"),
            returned=_one_in(_RETURNED, salt=7) & ~pl.col("settled"),
        )
        .sort("occurred_time", "basket_id")
    )


def _one_in(count: int, *, salt: int) -> pl.Expr:
    """Return true for one receipt of so many; each salt chooses others."""
    return baskets.spread(pl.col("basket_id"), salt=salt) % count == 0


def _returns(sales: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return what comes back a day and an hour later: of some receipts all, of others a third."""
    back = sales.filter(pl.col("returned") & ~pl.col("voided")).select(
        "basket_id", "household_id", "store_id", "local_time", whole=_one_in(8, salt=8)
    )
    turn = baskets.spread(pl.col("basket_id") + pl.col("number"), salt=9)
    # Of several pieces only some come back: the half, rounded up.
    pieces = (pl.col("quantity_thousandths") // 1000 + 1) // 2 * 1000
    countable = pl.col("quantity_thousandths") % 1000 == 0
    some = pl.when(countable & ~pl.col("whole")).then(pieces)
    first = pl.int_range(pl.len()).over("basket_id") == 0
    local_time = pl.col("local_time") + timedelta(days=1, hours=1)
    return (
        lines.join(back, on="basket_id")
        .sort("basket_id", "number", "line_id")
        .filter(pl.col("whole") | first | (turn % 3 == 0))
        .select(
            "basket_id",
            "household_id",
            "store_id",
            "line_id",
            quantity_thousandths=some.otherwise("quantity_thousandths"),
            occurred_time=dataset.Calendar.instant(local_time),
            shift_id=local_time.dt.strftime("%Y%m%d"),
        )
    )


def _steps(sales: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    """Return everything in the order of time; a void follows its sale at once."""
    columns = ["household_id", "basket_id", "occurred_time"]
    kinds = (("sale", sales), ("void", sales.filter("voided")), ("return", returns))
    return pl.concat(
        frame.select(*columns).unique().with_columns(kind=pl.lit(kind), rank=rank)
        for rank, (kind, frame) in enumerate(kinds)
    ).sort("occurred_time", "basket_id", "rank")
