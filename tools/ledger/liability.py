"""`python -m tools ledger liability`: what is owed, for the end of the month."""

import asyncio
import csv
import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.chassis import database
from services.ledger import engine
from services.ledger.config import Settings
from services.ledger.storage import Assets, Liabilities
from tools.ledger import installation

#: Reading everything takes its time.
_STATEMENT_S_MAX = 3_600

_console = Console(soft_wrap=True)


def liability(
    asset_code: Annotated[str, typer.Argument(help="The asset, for example `points`.")],
    config: installation.Config = None,
    *,
    value_minor: Annotated[
        int, typer.Option(min=1, help="What `--units` points are worth, in minor units of money.")
    ] = 1,
    units: Annotated[int, typer.Option(min=1, help="See `--value-minor`.")] = 1,
    currency: Annotated[str, typer.Option(help="ISO 4217; without it, points alone.")] = "",
    history_months: Annotated[
        int, typer.Option(min=1, max=240, help="Months of earning that breakage is learnt from.")
    ] = engine.HISTORY_MONTHS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each age.")] = False,
) -> None:
    """Report what is owed to shoppers: by age, by expiry, and what is expected to expire unused."""
    settings = installation.settings(config)
    now = datetime.now(UTC)
    found = asyncio.run(_report(settings, asset_code, now, history_months=history_months))
    if found is None:
        raise typer.BadParameter(f"there is no asset {asset_code}", param_hint="ASSET_CODE")
    document = _document(asset_code, found, now)
    if currency:
        document["money"] = _money(found, value_minor, units, currency)
    if as_json:
        print(json.dumps(document, indent=2))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(engine.AgeLine._fields))
        writer.writeheader()
        writer.writerows(line._asdict() for line in found.by_age)
    else:
        _show(document, found)


async def _report(
    settings: Settings, asset_code: str, now: datetime, *, history_months: int
) -> engine.Liability | None:
    patient = settings.database.model_copy(update={"statement_s_max": _STATEMENT_S_MAX})
    async with database.Database.open(patient) as source:
        asset = (await Assets(source).get([asset_code])).get(asset_code)
        if asset is None:
            return None
        return await Liabilities(source).report(asset, now=now, history_months=history_months)


def _document(asset_code: str, found: engine.Liability, now: datetime) -> dict[str, Any]:
    return {
        "asset_code": asset_code,
        "as_of_time": now.isoformat(),
        "available": found.available,
        "pending": found.pending,
        "held": found.held,
        "expired": found.expired,
        "outstanding": found.outstanding,
        "expected_breakage": found.breakage,
        "by_age": [line._asdict() for line in found.by_age],
        "by_expiry": [
            {**line._asdict(), "month": engine.month_name(line.month)} for line in found.by_expiry
        ],
    }


def _money(
    found: engine.Liability, value_minor: int, units: int, currency: str
) -> dict[str, str | int]:
    outstanding = engine.money(found.outstanding, value_minor=value_minor, units=units)
    breakage = engine.money(found.breakage, value_minor=value_minor, units=units)
    return {
        "currency_code": currency,
        "outstanding_minor": outstanding,
        "expected_breakage_minor": breakage,
        "liability_minor": outstanding - breakage,
    }


def _show(document: dict[str, Any], found: engine.Liability) -> None:
    totals = Table("", "points", title=f"{document['asset_code']} at {document['as_of_time']}")
    for name in ("available", "pending", "held", "outstanding", "expected_breakage", "expired"):
        totals.add_row(name.replace("_", " "), f"{document[name]:,}")
    for name, amount in document.get("money", {}).items():
        shown = f"{amount:,}" if isinstance(amount, int) else amount
        totals.add_row(name.replace("_", " "), shown)
    ages = Table("age, months", "outstanding", "expires unused", "expected breakage")
    for line in found.by_age:
        share = f"{line.breakage_rate * 100 / engine.WHOLE:.1f} %"
        ages.add_row(str(line.age), f"{line.outstanding:,}", share, f"{line.breakage:,}")
    expiries = Table("expires in", "available", "pending", "held")
    for due in found.by_expiry:
        month = engine.month_name(due.month) or "never"
        expiries.add_row(month, *(f"{amount:,}" for amount in due[1:]))
    for table in (totals, ages, expiries):
        for column in table.columns[1:]:
            column.justify = "right"
        _console.print(table)
