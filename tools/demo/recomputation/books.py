"""The run through the SQL: once over the receipts as bought, once over what stayed of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from tools.demo import dataset, program
from tools.demo.coupons import Coupon
from tools.demo.plan import Plan
from tools.demo.recomputation import uses

_SCRIPTS = Path(__file__).parent
_TABLES = ("transactions", "products", "demographics")
_BOUGHT, _STAYED = "bought", "stayed"


@dataclass(frozen=True)
class Chosen:
    """What only the platform can tell, one row a receipt.

    `payments`: (basket_id, amount) paid with points. `drawn`: (basket_id, campaign, amount) that
    limited campaigns gave.
    """

    payments: pl.DataFrame
    drawn: pl.DataFrame


@dataclass(frozen=True)
class Books:
    """What must have happened.

    `receipts`: basket_id, store_id, household_id, subtotal, discount, earned. `gives`: basket_id,
    line_id, campaign, discount. `earns`: basket_id, campaign, points. `refunds`: basket_id,
    complete, refund, restored, clawed_back, remaining_discount, remaining_earned. `due`: what
    limited campaigns would have given without a limit, as basket_id, campaign, amount.
    """

    receipts: pl.DataFrame
    gives: pl.DataFrame
    earns: pl.DataFrame
    refunds: pl.DataFrame
    due: pl.DataFrame


def recompute(
    plan: Plan, coupons: Sequence[Coupon], chosen: Chosen, *, start_time: datetime
) -> Books:
    """Return what the receipts of the plan must come to; `start_time` as in `program.write`."""
    with duckdb.connect(":memory:") as database:
        desk = _Desk(database, plan, coupons, chosen, start_time)
        desk.open()
        desk.price_bought()
        desk.price_stayed()
        return desk.close()


class _Desk:
    """One run; tables and scripts are named alike."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        plan: Plan,
        coupons: Sequence[Coupon],
        chosen: Chosen,
        start_time: datetime,
    ) -> None:
        self._database = database
        self._plan = plan
        self._coupons = coupons
        self._chosen = chosen
        self._start_time = start_time

    def open(self) -> None:
        """Bring in the data set and the tills' day books."""
        for table in _TABLES:
            self._execute(f"CREATE VIEW {table} AS FROM '{dataset.folder() / f'{table}.parquet'}'")
        self._keep("sales", self._plan.sales.drop("codes"))
        self._keep("codes", self._plan.sales.select("basket_id", code="codes").explode("code"))
        self._keep(
            "returns", self._plan.returns.select("basket_id", "line_id", "quantity_thousandths")
        )
        self._execute(f"SET VARIABLE start_time = TIMESTAMP '{self._start_time}'")
        self._keep("coupons", _coupon_rows(self._coupons))
        self._keep("coupon_articles", _coupon_articles(self._coupons))
        self._run("sold")

    def price_bought(self) -> None:
        """Price the receipts as they were bought."""
        self._begin(_BOUGHT)
        self._keep("drawn", self._chosen.drawn)
        self._run("prices", "take", "frozen", "take", "baskets", "take")
        self._present()
        self._take_coupons()
        self._keep("payments", self._chosen.payments)
        self._run("points")
        self._keep("first_uses", self._settle("FROM point_claims"))
        self._run("once")

    def price_stayed(self) -> None:
        """Price what stayed of the receipts that goods came back of."""
        self._begin(_STAYED)
        self._run("prices", "take", "frozen", "take", "baskets", "take")
        self._run("presented_again")
        self._take_coupons()
        self._run("kept", "points")
        self._keep("first_uses", self._query("FROM bought.first_uses"))
        self._run("once")

    def close(self) -> Books:
        """Return the results."""
        self._run("results")
        return Books(
            receipts=self._query("FROM final_receipts"),
            gives=self._query("FROM bought.gives"),
            earns=self._query("FROM bought.earns"),
            refunds=self._query("FROM final_refunds"),
            due=self._query("FROM final_due"),
        )

    def _begin(self, schema: str) -> None:
        self._execute(f"CREATE SCHEMA {schema}; SET search_path = '{schema},main'")
        self._run(schema, "lines")

    def _present(self) -> None:
        """Find the coupons that count, in their order: those that the household still had."""
        self._run("claims")
        self._keep("held", self._settle("FROM coupon_claims WHERE personal"))
        self._run("presented")

    def _take_coupons(self) -> None:
        found = self._query("SELECT coalesce(max(turn), 0) AS turns FROM presented")
        for turn in range(1, found["turns"][0] + 1):
            self._execute(f"SET VARIABLE turn = {turn}")
            self._run("coupon", "take")

    def _settle(self, claims: str) -> pl.DataFrame:
        """Return those of the claims that found the benefit unused, as basket_id and campaign."""
        rows = self._query(f"SELECT basket_id, campaign {claims}").rows()
        undone = set(self._plan.sales.filter("voided")["basket_id"]) | set(
            self._query("FROM complete_returns")["basket_id"]
        )
        steps = self._plan.steps.select("household_id", "basket_id", "kind").iter_rows()
        met = uses.settle(steps, [uses.Claim(*row) for row in rows], undone=undone)
        return pl.DataFrame(
            [(claim.basket_id, claim.benefit) for claim in met],
            schema={"basket_id": pl.Int64, "campaign": pl.String},
            orient="row",
        )

    def _run(self, *scripts: str) -> None:
        for script in scripts:
            self._execute((_SCRIPTS / f"{script}.sql").read_text(encoding="utf-8"))

    def _keep(self, table: str, rows: pl.DataFrame) -> None:
        self._database.register("given_rows", rows)
        self._execute(f"CREATE TABLE {table} AS FROM given_rows")
        self._database.unregister("given_rows")

    def _execute(self, statements: str) -> None:
        self._database.execute(statements)

    def _query(self, statement: str) -> pl.DataFrame:
        rows: pl.DataFrame = self._database.sql(statement).pl()
        return rows


def _coupon_rows(coupons: Sequence[Coupon]) -> pl.DataFrame:
    """Return the coupons, a row for each code."""
    return pl.DataFrame(
        [
            {
                "code": code,
                "campaign": program.coupon_key(coupon),
                "personal": coupon.personal,
                "amount": coupon.amount_minor,
                "place": place,
                "start_time": coupon.start_time,
                "end_time": coupon.end_time,
                "households": list(coupon.households),
            }
            for place, coupon in enumerate(coupons)
            for code in coupon.codes
        ]
    )


def _coupon_articles(coupons: Sequence[Coupon]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"campaign": program.coupon_key(coupon), "product_id": int(sku)}
            for coupon in coupons
            for sku in coupon.skus
        ]
    )
